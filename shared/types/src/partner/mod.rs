//! The partners' wire formats: their notifications and the responses they expect.

pub mod sctt;
pub mod tsy;

use serde_json::Value;

use crate::json::{self, FieldError};
use crate::order::{OrderId, Partner, UNUSABLE_ID};

/// Top-level members that differ between deliveries of one notification.
pub const CHANGES_ON_RESEND: [&str; 2] = ["sign", "request_time"];

impl Partner {
    /// The response body that acknowledges a notification, byte for byte as on the partner's page. TSY's `code` is a
    /// string, SCTT's a number.
    #[must_use]
    pub const fn acknowledgement(self) -> &'static str {
        match self {
            Self::Tsy => r#"{"msg":"success","code":"0"}"#,
            Self::Sctt => r#"{"code":0,"msg":"ok","data":null}"#,
        }
    }

    /// The response body of a refusal in the partner's format. `message` must not hold personal data.
    #[must_use]
    pub fn refusal(self, status: u16, message: &str) -> String {
        let message = serde_json::Value::from(message);
        match self {
            Self::Tsy => format!(r#"{{"msg":{message},"code":"{status}"}}"#),
            Self::Sctt => format!(r#"{{"code":{status},"msg":{message},"data":null}}"#),
        }
    }
}

/// The order that a body is about. The first of `names` is the member with the company's order id, the second the one
/// with the partner's. The second is read only if the first is absent or empty.
pub(crate) fn named_order(body: &Value, names: [&str; 2]) -> Result<OrderId, FieldError> {
    for name in names {
        let id = match &body[name] {
            Value::Null => continue,
            Value::String(id) if id.is_empty() => continue,
            Value::String(id) => id.clone(),
            Value::Number(id) => json::digits(id),
            _ => return Err(FieldError::at(name, "must be a string")),
        };
        return OrderId::try_from(id).map_err(|_| FieldError::at(name, UNUSABLE_ID));
    }
    let [ours, theirs] = names;
    Err(FieldError::at(ours, format!("is missing, and so is {theirs}: send one of them")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_match_the_partners_pages() {
        let bodies: serde_json::Value =
            serde_json::from_str(include_str!("../../testdata/inbound-bodies.json")).unwrap();
        for (partner, name) in [(Partner::Tsy, "tsy_ack"), (Partner::Sctt, "sctt_ack")] {
            assert_eq!(partner.acknowledgement(), bodies[name].to_string());
        }
    }

    #[test]
    fn refusal_has_the_partners_format() {
        assert_eq!(Partner::Tsy.refusal(400, "say \"why\""), r#"{"msg":"say \"why\"","code":"400"}"#);
        assert_eq!(Partner::Sctt.refusal(401, "no"), r#"{"code":401,"msg":"no","data":null}"#);
    }
}
