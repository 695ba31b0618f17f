//! An order as the partner names it, and what the booking system knows of it: its link to TOP.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::top::ship_notify::Passenger;
use crate::wire::{self, WireError};

/// Longest order id or call key, in bytes. DynamoDB's sort keys hold 1,024 bytes and partition keys 2,048.
pub const MAX_ID_BYTES: usize = 256;

/// Who issues the tickets of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Partner {
    /// TSY (hkramble): flights.
    Tsy,
    /// SCTT: scenic-spot and ship tickets.
    Sctt,
}

impl Partner {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Tsy, Self::Sctt];

    /// The name in routes and keys.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tsy => "tsy",
            Self::Sctt => "sctt",
        }
    }

    /// The partner of that name, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|partner| partner.as_str() == name)
    }
}

impl fmt::Display for Partner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether `id` can be a key: not empty, at most [`MAX_ID_BYTES`] long, and free of control characters.
#[must_use]
pub fn is_usable_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ID_BYTES && !id.chars().any(char::is_control)
}

/// What [`is_usable_id`] asks for, as the problem of a [`WireError`].
pub const UNUSABLE_ID: &str = "must be 1 to 256 bytes long without control characters";

/// An order's id: TSY's `orderId`; SCTT's `trade_number`, or `order_code` where that is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrderId(String);

impl OrderId {
    /// The id as the partner wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for OrderId {
    type Error = &'static str;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        if is_usable_id(&id) { Ok(Self(id)) } else { Err(UNUSABLE_ID) }
    }
}

impl From<OrderId> for String {
    fn from(id: OrderId) -> Self {
        id.0
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which order, of which partner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderKey {
    /// Whose order it is.
    pub partner: Partner,
    /// Its id there.
    pub order_id: OrderId,
}

impl fmt::Display for OrderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partner, self.order_id)
    }
}

/// What the booking system knows of an order: which TOP call it leads to, and what that call needs and the
/// notification lacks. Members are named as TOP names them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// A flight booked through Happytrip: leads to `alibaba.happytrip.flight.order.itinerary.postback`.
    HappytripFlight(HappytripFlight),
    /// A ship ticket sold on Fliggy: leads to `alitrip.ship.order.notify`.
    FliggyShip(FliggyShip),
    /// A scenic-spot ticket sold on Fliggy: its redemptions are submitted as calls of their own.
    FliggyTicket(FliggyTicket),
}

/// The Happytrip side of a flight order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HappytripFlight {
    /// The business trip's number.
    #[serde(deserialize_with = "wire::filled_text")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub tes_head_id: String,
    /// The CWT account.
    #[serde(deserialize_with = "wire::filled_text")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub cwt_account_no: String,
    /// The order's number at Happytrip; the partner's order id if absent.
    #[serde(default, deserialize_with = "wire::optional_text", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::id"))]
    pub out_relation_order_id: Option<String>,
    /// The traveller's staff number.
    #[serde(default, deserialize_with = "wire::optional_text", skip_serializing_if = "Option::is_none")]
    pub emp_no: Option<String>,
    /// The traveller's user id.
    #[serde(default, deserialize_with = "wire::optional_text", skip_serializing_if = "Option::is_none")]
    pub ht_user_id: Option<String>,
    /// Ticket numbers; while there are none the notification waits.
    #[serde(default, deserialize_with = "wire::texts", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(inner(length(min = 1))))]
    pub ticket_no_list: Vec<String>,
}

/// The Fliggy side of a ship order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FliggyShip {
    /// Fliggy's order id, on which its ship notification is idempotent.
    #[serde(deserialize_with = "wire::filled_text")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::id"))]
    pub alitrip_order_id: String,
    /// The company's order id.
    #[serde(deserialize_with = "wire::filled_text")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub agent_order_id: String,
    /// Taobao's order id.
    #[serde(default, deserialize_with = "wire::optional_integer", skip_serializing_if = "Option::is_none")]
    pub main_biz_order_id: Option<i64>,
    /// The order's price. TOP's page does not state its unit; it is sent as it was given.
    #[serde(default, deserialize_with = "wire::optional_integer", skip_serializing_if = "Option::is_none")]
    pub total_price: Option<i64>,
    /// What to tell TOP as the reason when issuing failed; the deployment's default if absent.
    #[serde(default, deserialize_with = "wire::optional_text", skip_serializing_if = "Option::is_none")]
    pub failed_code: Option<String>,
    /// Who travels, with which tickets. Vouchers fill the tickets in this order.
    #[serde(deserialize_with = "wire::list")]
    #[cfg_attr(feature = "schema", schemars(extend("contains" =
        {"required": ["ticket_list"], "properties": {"ticket_list": {"minItems": 1}}})))]
    pub passenger_list: Vec<Passenger>,
}

/// The Fliggy side of a scenic-spot ticket order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FliggyTicket {
    /// Fliggy's order id.
    #[serde(deserialize_with = "wire::integer")]
    pub order_id: i64,
    /// The company's order id.
    #[serde(default, deserialize_with = "wire::optional_text", skip_serializing_if = "Option::is_none")]
    pub out_order_id: Option<String>,
}

impl Link {
    /// Reads what the booking system sent for an order of `partner`.
    ///
    /// # Errors
    /// Names the member that is missing, not known, or of the wrong type; refuses a link that this partner's
    /// notifications could never use, and a ship order without a ticket.
    pub fn from_json(partner: Partner, body: &Value) -> Result<Self, WireError> {
        let members = body.as_object().filter(|members| members.len() == 1);
        let Some((name, inner)) = members.and_then(|members| members.iter().next()) else {
            return Err(WireError::body(format!("must have exactly one member: {}", Self::of_partner(partner))));
        };
        let within = |error: WireError| WireError {
            field: if error.field.is_empty() { name.clone() } else { format!("{name}.{}", error.field) },
            ..error
        };
        let link = match name.as_str() {
            "happytrip_flight" => Self::HappytripFlight(wire::read(inner).map_err(within)?),
            "fliggy_ship" => Self::FliggyShip(wire::read(inner).map_err(within)?),
            "fliggy_ticket" => Self::FliggyTicket(wire::read(inner).map_err(within)?),
            _ => return Err(WireError::at(name, format!("is not known here: send {}", Self::of_partner(partner)))),
        };
        if link.partner() != partner {
            let problem = format!("is no link of {partner}: send {}", Self::of_partner(partner));
            return Err(WireError::at(name, problem));
        }
        if let Self::FliggyShip(ship) = &link {
            if !is_usable_id(&ship.alitrip_order_id) {
                return Err(WireError::at("fliggy_ship.alitrip_order_id", UNUSABLE_ID));
            }
            if ship.ticket_count() == 0 {
                return Err(WireError::at("fliggy_ship.passenger_list", "must hold at least one ticket"));
            }
        }
        if let Self::HappytripFlight(flight) = &link {
            if flight.out_relation_order_id.as_deref().is_some_and(|id| !is_usable_id(id)) {
                return Err(WireError::at("happytrip_flight.out_relation_order_id", UNUSABLE_ID));
            }
            if flight.ticket_no_list.iter().any(String::is_empty) {
                let problem = "must hold no empty ticket number: leave the list empty until they are known";
                return Err(WireError::at("happytrip_flight.ticket_no_list", problem));
            }
        }
        Ok(link)
    }

    /// The link as JSON, as it is recorded.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Serialising our own structs of strings and numbers cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    const fn partner(&self) -> Partner {
        match self {
            Self::HappytripFlight(_) => Partner::Tsy,
            Self::FliggyShip(_) | Self::FliggyTicket(_) => Partner::Sctt,
        }
    }

    const fn of_partner(partner: Partner) -> &'static str {
        match partner {
            Partner::Tsy => "happytrip_flight",
            Partner::Sctt => "fliggy_ship or fliggy_ticket",
        }
    }
}

impl FliggyShip {
    /// How many tickets the order has over all passengers.
    #[must_use]
    pub fn ticket_count(&self) -> usize {
        self.passenger_list.iter().map(|passenger| passenger.ticket_list.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ship(passenger_list: Value) -> Value {
        json!({"fliggy_ship": {"alitrip_order_id": 3892200000033_i64, "agent_order_id": "A", "passenger_list": passenger_list}})
    }

    #[test]
    fn a_link_survives_being_stored_and_read_again() {
        let body = ship(
            json!([{"passenger_name": "罗", "ticket_list": [{"ticket_id": "1", "ticket_type": "1", "ticket_price": 100}]}]),
        );
        let link = Link::from_json(Partner::Sctt, &body).unwrap();
        let stored = serde_json::to_value(&link).unwrap();
        assert_eq!(Link::from_json(Partner::Sctt, &stored).unwrap(), link);
    }

    #[test]
    fn what_is_wrong_with_a_link_is_named() {
        let flight = |extra: Value| {
            let mut inner = json!({"tes_head_id": "1", "cwt_account_no": "2"});
            for (name, value) in extra.as_object().unwrap() {
                inner[name] = value.clone();
            }
            json!({"happytrip_flight": inner})
        };
        let cases = [
            (Partner::Tsy, json!({}), "the body must have exactly one member: happytrip_flight"),
            (Partner::Tsy, json!({"a": 1}), "field a is not known here: send happytrip_flight"),
            (Partner::Tsy, json!({"happytrip_flight": {}}), "field happytrip_flight.tes_head_id is missing"),
            (Partner::Tsy, flight(json!({"surprise": 1})), "field happytrip_flight.surprise is not known here"),
            (
                Partner::Tsy,
                flight(json!({"ticket_no_list": ["1", ""]})),
                "field happytrip_flight.ticket_no_list must hold no empty ticket number: leave the list empty until they are known",
            ),
            (
                Partner::Tsy,
                flight(json!({"ticket_no_list": "1"})),
                "field happytrip_flight.ticket_no_list must be a list",
            ),
            (
                Partner::Tsy,
                json!({"fliggy_ticket": {"order_id": 1}}),
                "field fliggy_ticket is no link of tsy: send happytrip_flight",
            ),
            (
                Partner::Sctt,
                flight(json!({})),
                "field happytrip_flight is no link of sctt: send fliggy_ship or fliggy_ticket",
            ),
            (Partner::Sctt, ship(json!([])), "field fliggy_ship.passenger_list must hold at least one ticket"),
            (
                Partner::Sctt,
                ship(json!([{"ticket_list": [{"ticket_id": "1", "ticket_type": "1"}]}])),
                "field fliggy_ship.passenger_list[0].ticket_list[0].ticket_price is missing",
            ),
            (Partner::Sctt, ship(json!([{"odd": 1}])), "field fliggy_ship.passenger_list[0].odd is not known here"),
        ];
        for (partner, body, message) in cases {
            assert_eq!(Link::from_json(partner, &body).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn an_order_id_is_not_empty_not_endless_and_has_no_control_characters() {
        for id in ["", "a\nb", "\u{0}", &"x".repeat(257)] {
            assert!(OrderId::try_from(id.to_owned()).is_err());
        }
        for id in ["P-1001", "订单/1 #2", &"x".repeat(256)] {
            assert!(OrderId::try_from(id.to_owned()).is_ok());
        }
    }
}
