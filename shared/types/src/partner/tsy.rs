//! The notifications of TSY (hkramble): tickets of a flight issued or rejected, the price of a change, and the result
//! of a change. No body has a signature, time or event id.
//!
//! Sources: TSY's pages "IssueNotify" (four strings; `type` is `issued` or `rejected`; `msg` is the reason of a
//! rejection and empty otherwise) and "ChangePricePush". The body of ChangeResultPush is not published.

use serde::Deserialize;
use serde_json::{Number, Value};

use crate::digest::canonical_digest;
use crate::json::{self, FieldError, Unread};
use crate::order::{OrderId, UNUSABLE_ID};
use crate::partner::{CHANGES_ON_RESEND, named_order};

/// The prefix of the order id for a change result that names no order. The beginning of its digest follows, so each
/// result has a separate record.
const NO_ORDER: &str = "-";
/// How many digits of the digest follow.
const SHOWN_OF_DIGEST: usize = 16;

/// Tickets of an order were issued or rejected. The record keeps members that are not listed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct IssueNotify {
    /// Why issuing failed; empty if it did not fail.
    #[serde(default)]
    pub msg: Unread<Option<String>>,
    /// TSY's order number.
    #[serde(rename = "orderNo", default)]
    pub order_no: Unread<String>,
    /// The company's order id.
    #[serde(rename = "orderId", deserialize_with = "json::filled_text")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::id"))]
    pub order_id: String,
    /// `issued` or `rejected`.
    #[serde(rename = "type", deserialize_with = "json::text")]
    pub kind: String,
}

impl IssueNotify {
    /// Reads a notification and the order that it is about.
    ///
    /// # Errors
    /// Names the field that is missing, of the wrong type, or not a usable id.
    pub fn from_json(body: &Value) -> Result<(OrderId, Self), FieldError> {
        let notification: Self = json::read(body)?;
        let order_id = OrderId::try_from(notification.order_id.clone());
        Ok((order_id.map_err(|_| FieldError::at("orderId", UNUSABLE_ID))?, notification))
    }
}

/// The price of a change. Only the members with the order's id are read; the record keeps the whole body.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("anyOf" = [{"required": ["merchantOrder"]}, {"required": ["orderNum"]}])))]
pub struct ChangePricePush {
    /// `Change_Price`.
    #[serde(rename = "informType", default)]
    pub inform_type: Unread<String>,
    /// The company's order id.
    #[serde(rename = "merchantOrder", default)]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::id"))]
    pub merchant_order: Unread<Option<String>>,
    /// TSY's number of the change order.
    #[serde(rename = "orderNum", default)]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::id"))]
    pub order_num: Unread<Option<String>>,
    /// TSY's number of the original order.
    #[serde(rename = "parentOrderNum", default)]
    pub parent_order_num: Unread<Option<String>>,
    /// The total price: a decimal amount.
    #[serde(rename = "totalfee", default)]
    pub total_fee: Unread<Option<Number>>,
    /// The fees of each leg.
    #[serde(rename = "feeList", default)]
    pub fee_list: Unread<Vec<ChangeFee>>,
    /// 1 if the change may be voided.
    #[serde(rename = "permitVoid", default)]
    pub permit_void: Unread<Option<i64>>,
}

/// The fees for changing one leg: decimal amounts of `currency`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChangeFee {
    /// The currency of all amounts.
    #[serde(default)]
    pub currency: Unread<Option<String>>,
    /// The change fee.
    #[serde(rename = "changeFee", default)]
    pub change_fee: Unread<Option<Number>>,
    /// The fare difference.
    #[serde(rename = "ticketDiffFee", default)]
    pub ticket_diff_fee: Unread<Option<Number>>,
    /// The tax difference.
    #[serde(rename = "taxDiffFee", default)]
    pub tax_diff_fee: Unread<Option<Number>>,
    /// The total.
    #[serde(rename = "totalPricePer", default)]
    pub total_price_per: Unread<Option<Number>>,
}

impl ChangePricePush {
    /// Reads a notification and the order that it is about.
    ///
    /// # Errors
    /// Names the field that is missing, of the wrong type, or not a usable id.
    pub fn from_json(body: &Value) -> Result<(OrderId, Self), FieldError> {
        Ok((named_order(body, ["merchantOrder", "orderNum"])?, json::read(body)?))
    }
}

/// The order that a ChangeResultPush is about. Its body is not published, so any JSON object is accepted and recorded
/// in full. The order id is the company's `merchantOrder`, or else TSY's `orderNum`. If neither is usable, the id is
/// made from the body's digest.
///
/// # Errors
/// None in practice: an id made from the digest is usable.
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
    fn published_samples_are_read() {
        let bodies: Value = serde_json::from_str(include_str!("../../testdata/inbound-bodies.json")).unwrap();
        let (order_id, issued) = IssueNotify::from_json(&bodies["tsy_issued"]).unwrap();
        assert_eq!((order_id.as_str(), issued.kind.as_str()), ("P-1001", "issued"));
        let (_, rejected) = IssueNotify::from_json(&bodies["tsy_rejected"]).unwrap();
        assert_eq!(rejected.kind, "rejected");
    }

    #[test]
    fn error_names_a_field_that_is_missing_or_has_the_wrong_type() {
        let whole = json!({"msg": "", "orderNo": "1", "orderId": "P", "type": "issued"});
        for (field, value, message) in [
            ("orderId", None, "field orderId is missing"),
            ("orderId", Some(json!("")), "field orderId must be a non-empty string"),
            (
                "orderId",
                Some(json!("a\u{0}")),
                "field orderId must be 1 to 256 bytes long, without control characters or U+FFFD, and neither . nor ..",
            ),
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
    fn numeric_id_keeps_every_digit() {
        let body = serde_json::from_str(r#"{"orderNo":1,"orderId":9223372036854775809123,"type":"issued"}"#).unwrap();
        assert_eq!(IssueNotify::from_json(&body).unwrap().0.as_str(), "9223372036854775809123");
    }

    #[test]
    fn change_price_uses_our_order_id_or_else_tsys() {
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
    fn change_result_accepts_any_object() {
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
        assert_ne!(none(&some), none(&json!({})), "different bodies have different order ids");
        assert_eq!(none(&some), none(&some.clone()), "a repeat has the order id of the first delivery");
    }
}
