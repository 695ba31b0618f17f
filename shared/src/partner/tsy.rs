//! TSY (hkramble) IssueNotify: a flight's tickets were issued, or were not.
//!
//! Source: TSY's page "IssueNotify" (four strings; `type` is `issued` or `rejected`; `msg` is the reason of a
//! rejection and empty otherwise). The body carries no signature, time or event id.

use serde::Deserialize;
use serde_json::Value;

use crate::order::{OrderId, UNUSABLE_ID};
use crate::wire::{self, WireError};

/// The name of this notification in record keys.
pub const ISSUE_NOTIFY: &str = "issue-notify";

/// What TSY says of an order. Members that are not listed are kept with the record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct IssueNotify {
    /// Why issuing failed; empty when it did not. Absent is as good as empty.
    #[serde(default, deserialize_with = "wire::optional_text")]
    pub msg: Option<String>,
    /// TSY's order number.
    #[serde(rename = "orderNo", deserialize_with = "wire::text")]
    pub order_no: String,
    /// Our order id.
    #[serde(rename = "orderId", deserialize_with = "wire::filled_text")]
    pub order_id: String,
    /// `issued` or `rejected`.
    #[serde(rename = "type", deserialize_with = "wire::text")]
    pub kind: String,
}

impl IssueNotify {
    /// Reads a notification and whose order it is about.
    ///
    /// # Errors
    /// Names the field that is missing, of the wrong type, or no usable id.
    pub fn from_json(body: &Value) -> Result<(OrderId, Self), WireError> {
        let notification: Self = wire::read(body)?;
        let order_id = OrderId::try_from(notification.order_id.clone());
        Ok((order_id.map_err(|_| WireError::at("orderId", UNUSABLE_ID))?, notification))
    }
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
        assert_eq!((rejected.kind.as_str(), rejected.msg.as_deref()), ("rejected", Some("No seats")));
    }

    #[test]
    fn a_field_missing_or_of_the_wrong_type_is_named() {
        let whole = json!({"msg": "", "orderNo": "1", "orderId": "P", "type": "issued"});
        for (field, value, message) in [
            ("orderId", None, "field orderId is missing"),
            ("orderId", Some(json!("")), "field orderId must be a string that is not empty"),
            ("orderId", Some(json!("a\u{0}")), "field orderId must be 1 to 256 bytes long without control characters"),
            ("orderId", Some(json!(null)), "field orderId must be a string"),
            ("orderNo", None, "field orderNo is missing"),
            ("type", Some(json!(["issued"])), "field type must be a string"),
            ("msg", Some(json!({})), "field msg must be a string"),
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
}
