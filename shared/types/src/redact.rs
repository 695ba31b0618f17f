//! Keeps secrets and personal data out of logs, queues, errors and metrics.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The placeholder for a value that must not be shown.
pub const MASK: &str = "[redacted]";
/// The placeholder as a JSON string.
pub const QUOTED_MASK: &str = "\"[redacted]\"";

/// A value that `Debug` and `Display` print as the placeholder. [`Redacted::reveal`] is the only access, so every use
/// can be found with a search.
#[derive(Clone, PartialEq, Eq)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Returns the value. Call it only where the value is needed.
    pub const fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Redacted<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Redacted<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl<T> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Members that hold personal data or codes that are as good as a ticket, by the names of the partners and TOP. TSY
/// does not publish the body of its ChangeResultPush, so the list also has common names of such members.
const PERSONAL: [&str; 33] = [
    "airPnr",
    "certNo",
    "contact",
    "email",
    "idCard",
    "mobile",
    "name",
    "passengerList",
    "passengerName",
    "passengers",
    "phone",
    "pnr",
    "pnrList",
    "ticketNo",
    "ticketNoList",
    "message",
    "passenger_name",
    "passenger_cert_no",
    "ticket_pwd",
    "fetch_tickets_pwd",
    "fetch_tickets_number",
    "e_ticket_no",
    "ticket_no",
    "ticket_no_list",
    "confirm_code",
    "voucher_confirmation",
    "voucher_verification",
    "voucher_url",
    "confirmation_url",
    "travel_itinerary_url",
    "order_attr",
    "agent_ext_attr",
    "sign",
];

/// Replaces personal members of `value` with [`MASK`] at every level. Empty members stay, so an operator sees which
/// values the sender left empty.
pub fn mask_personal(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                if PERSONAL.contains(&name.as_str()) {
                    if !matches!(member, Value::Null) && member.as_str() != Some("") {
                        *member = Value::String(MASK.to_owned());
                    }
                } else {
                    mask_personal(member);
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(mask_personal),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn redacted_value_is_printed_as_placeholder() {
        let secret = Redacted::new("planted".to_owned());
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "[redacted] [redacted] Some([redacted])");
        assert_eq!(secret.reveal(), "planted");
    }

    #[test]
    fn personal_members_are_masked_at_every_level_and_empty_members_stay() {
        let mut value = json!({"a":[{"passengers":[{"name":"planted"}],"pnr":"planted","passenger_name":"planted","ticket_list":[{"ticket_pwd":"planted","ticket_id":"7"}]}],"ticket_no":""});
        mask_personal(&mut value);
        assert!(!value.to_string().contains("planted"));
        assert_eq!(value["a"][0]["ticket_list"][0]["ticket_id"], "7");
        assert_eq!(value["ticket_no"], "");
    }
}
