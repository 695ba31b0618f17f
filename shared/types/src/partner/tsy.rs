//! TSY's (hkramble's) notifications: a flight's tickets were issued, or were not; what a change costs; what became of
//! a change. No body carries a signature, time or event id.
//!
//! Source: TSY's pages "IssueNotify" (four strings; `type` is `issued` or `rejected`; `msg` is the reason of a
//! rejection and empty otherwise) and "ChangePricePush". The body of ChangeResultPush is not published.

use serde::Deserialize;
use serde_json::{Number, Value};

use crate::digest::canonical_digest;
use crate::json::{self, FieldError, Unread};
use crate::order::{OrderId, UNUSABLE_ID};
use crate::partner::{CHANGES_ON_RESEND, named_order};

/// IssueNotify in record keys.
pub const ISSUE_NOTIFY: &str = "issue-notify";
/// ChangePricePush in record keys.
pub const CHANGE_PRICE_PUSH: &str = "change-price-push";
/// ChangeResultPush in record keys.
pub const CHANGE_RESULT_PUSH: &str = "change-result-push";
/// How the order id begins under which a change's result is kept that names no order; some of its digest follows, so that
/// each has a place of its own.
const NO_ORDER: &str = "-";
/// How much of the digest.
const SHOWN_OF_DIGEST: usize = 16;

/// What TSY says of an order. Members that are not listed are kept with the record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct IssueNotify {
    /// Why issuing failed; empty when it did not.
    #[serde(default)]
    pub msg: Unread<Option<String>>,
    /// TSY's order number.
    #[serde(rename = "orderNo", default)]
    pub order_no: Unread<String>,
    /// Our order id.
    #[serde(rename = "orderId", deserialize_with = "json::filled_text")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::id"))]
    pub order_id: String,
    /// `issued` or `rejected`.
    #[serde(rename = "type", deserialize_with = "json::text")]
    pub kind: String,
}

impl IssueNotify {
    /// Reads a notification and whose order it is about.
    ///
    /// # Errors
    /// Names the field that is missing, of the wrong type, or no usable id.
    pub fn from_json(body: &Value) -> Result<(OrderId, Self), FieldError> {
        let notification: Self = json::read(body)?;
        let order_id = OrderId::try_from(notification.order_id.clone());
        Ok((order_id.map_err(|_| FieldError::at("orderId", UNUSABLE_ID))?, notification))
    }
}

/// What a change costs. Only the members that name the order are read; all of it is kept with the record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("anyOf" = [{"required": ["merchantOrder"]}, {"required": ["orderNum"]}])))]
pub struct ChangePricePush {
    /// `Change_Price`.
    #[serde(rename = "informType", default)]
    pub inform_type: Unread<String>,
    /// Our order id.
    #[serde(rename = "merchantOrder", default)]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::id"))]
    pub merchant_order: Unread<Option<String>>,
    /// TSY's number of the change's order.
    #[serde(rename = "orderNum", default)]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::id"))]
    pub order_num: Unread<Option<String>>,
    /// TSY's number of the order that is changed.
    #[serde(rename = "parentOrderNum", default)]
    pub parent_order_num: Unread<Option<String>>,
    /// What all of it costs: a decimal amount.
    #[serde(rename = "totalfee", default)]
    pub total_fee: Unread<Option<Number>>,
    /// Of each leg.
    #[serde(rename = "feeList", default)]
    pub fee_list: Unread<Vec<ChangeFee>>,
    /// 1 if the change may be voided.
    #[serde(rename = "permitVoid", default)]
    pub permit_void: Unread<Option<i64>>,
}

/// What the change of one leg costs: decimal amounts of `currency`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChangeFee {
    /// Of all amounts.
    #[serde(default)]
    pub currency: Unread<Option<String>>,
    /// For changing.
    #[serde(rename = "changeFee", default)]
    pub change_fee: Unread<Option<Number>>,
    /// More for the ticket.
    #[serde(rename = "ticketDiffFee", default)]
    pub ticket_diff_fee: Unread<Option<Number>>,
    /// More for taxes.
    #[serde(rename = "taxDiffFee", default)]
    pub tax_diff_fee: Unread<Option<Number>>,
    /// Together.
    #[serde(rename = "totalPricePer", default)]
    pub total_price_per: Unread<Option<Number>>,
}

impl ChangePricePush {
    /// Reads a notification and whose order it is about.
    ///
    /// # Errors
    /// Names the field that is missing, of the wrong type, or no usable id.
    pub fn from_json(body: &Value) -> Result<(OrderId, Self), FieldError> {
        Ok((named_order(body, ["merchantOrder", "orderNum"])?, json::read(body)?))
    }
}

/// Whose order a ChangeResultPush is about. Its body is not published, so that any JSON object is taken, and all of it kept
/// with the record: ours by `merchantOrder`, else TSY's by `orderNum`, else none's, if neither is there and usable.
///
/// # Errors
/// None in practice: the id that is made here is a usable one.
pub fn order_of_change_result(body: &Value) -> Result<OrderId, FieldError> {
    let usable = |field: &str| match &body[field] {
        Value::String(id) => OrderId::try_from(id.clone()).ok(),
        Value::Number(id) => OrderId::try_from(json::digits(id)).ok(),
        _ => None,
    };
    if let Some(order_id) = ["merchantOrder", "orderNum"].into_iter().find_map(usable) {
        return Ok(order_id);
    }
    let digest = canonical_digest(body, &CHANGES_ON_RESEND);
    let own = format!("{NO_ORDER}{}", digest.get(..SHOWN_OF_DIGEST).unwrap_or(&digest));
    OrderId::try_from(own).map_err(|_| FieldError::at("merchantOrder", UNUSABLE_ID))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_published_sample_reads() {
        let bodies: Value = serde_json::from_str(include_str!("../../testdata/inbound-bodies.json")).unwrap();
        let (order_id, issued) = IssueNotify::from_json(&bodies["tsy_issued"]).unwrap();
        assert_eq!((order_id.as_str(), issued.kind.as_str()), ("P-1001", "issued"));
        let (_, rejected) = IssueNotify::from_json(&bodies["tsy_rejected"]).unwrap();
        assert_eq!(rejected.kind, "rejected");
    }

    #[test]
    fn a_field_missing_or_of_the_wrong_type_is_named() {
        let whole = json!({"msg": "", "orderNo": "1", "orderId": "P", "type": "issued"});
        for (field, value, message) in [
            ("orderId", None, "field orderId is missing"),
            ("orderId", Some(json!("")), "field orderId must be a string that is not empty"),
            ("orderId", Some(json!("a\u{0}")), "field orderId must be 1 to 256 bytes long without control characters"),
            ("orderId", Some(json!(null)), "field orderId must be a string"),
            ("type", Some(json!(["issued"])), "field type must be a string"),
        ] {
            let mut body = whole.clone();
            match value {
                Some(value) => body[field] = value,
                None => drop(body.as_object_mut().unwrap().remove(field)),
            }
            assert_eq!(IssueNotify::from_json(&body).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn an_id_sent_as_a_number_keeps_every_digit() {
        let body = serde_json::from_str(r#"{"orderNo":1,"orderId":9223372036854775809123,"type":"issued"}"#).unwrap();
        assert_eq!(IssueNotify::from_json(&body).unwrap().0.as_str(), "9223372036854775809123");
    }

    #[test]
    fn the_price_of_a_change_is_our_orders_or_else_tsys() {
        let bodies: Value = serde_json::from_str(include_str!("../../testdata/inbound-bodies.json")).unwrap();
        let mut body = bodies["tsy_change_price"].clone();
        assert_eq!(ChangePricePush::from_json(&body).unwrap().0.as_str(), "P-1001");
        body["merchantOrder"] = json!("");
        assert_eq!(ChangePricePush::from_json(&body).unwrap().0.as_str(), "10862500710600");
        body["orderNum"] = json!(null);
        assert_eq!(
            ChangePricePush::from_json(&body).unwrap_err().to_string(),
            "field merchantOrder is missing, and so is orderNum: send one of them"
        );
    }

    #[test]
    fn the_result_of_a_change_is_any_object() {
        let too_long = "P".repeat(257);
        for (body, order_id) in [
            (json!({"merchantOrder": "P-1001", "orderNum": "1"}), "P-1001"),
            (json!({"orderNum": 10862500710600_i64}), "10862500710600"),
            (json!({"merchantOrder": "", "orderNum": "1"}), "1"),
            (json!({"merchantOrder": ["P-1001"], "orderNum": "1"}), "1"),
            (json!({"merchantOrder": too_long, "orderNum": "1"}), "1"),
        ] {
            assert_eq!(order_of_change_result(&body).unwrap().as_str(), order_id);
        }
        let none = |body: &Value| order_of_change_result(body).unwrap().as_str().to_owned();
        let some = json!({"result": [1, {"orderNum": "2"}]});
        for body in [&some, &json!({}), &json!({"merchantOrder": true, "orderNum": "a\u{0}"})] {
            let order_id = none(body);
            assert!(order_id.starts_with('-') && order_id.len() == 17, "{order_id}");
        }
        assert_ne!(none(&some), none(&json!({})), "each has a place of its own");
        assert_eq!(none(&some), none(&some.clone()), "a repeat has that of the first");
    }
}
