//! Links: what the booking system says of an order.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::account;
use crate::call::ship_notify::Passenger;
use crate::json::{self, FieldError};
use crate::order::{Partner, UNUSABLE_ID, is_usable_id};

/// What the booking system says of an order: the TOP call that the order leads to, and the data that the call needs but
/// the notification lacks. Members have TOP's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// A flight booked through Happytrip: leads to `alibaba.happytrip.flight.order.itinerary.postback`.
    HappytripFlight(HappytripFlight),
    /// A ship ticket sold on Fliggy: leads to `alitrip.ship.order.notify`.
    FliggyShip(FliggyShip),
    /// A scenic-spot ticket sold on Fliggy: its redemptions are submitted as calls.
    FliggyTicket(FliggyTicket),
}

/// The Happytrip side of a flight order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HappytripFlight {
    /// The business trip number.
    #[serde(deserialize_with = "json::filled_text")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub tes_head_id: String,
    /// The CWT account.
    #[serde(deserialize_with = "json::filled_text")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub cwt_account_no: String,
    /// The order number at Happytrip. Default: the partner's order id.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::id"))]
    pub out_relation_order_id: Option<String>,
    /// The traveller's employee number.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub emp_no: Option<String>,
    /// The traveller's user id.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub ht_user_id: Option<String>,
    /// The TOP account that tells Happytrip. Default: the account of the call.
    #[serde(default, deserialize_with = "account::optional_name", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = account::NAME_PATTERN)))]
    pub account: Option<String>,
    /// Ticket numbers. The notification waits while there are none.
    #[serde(default, deserialize_with = "json::texts", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(inner(length(min = 1))))]
    pub ticket_no_list: Vec<String>,
}

/// The Fliggy side of a ship order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FliggyShip {
    /// Fliggy's order id, on which the ship notification is idempotent.
    #[serde(deserialize_with = "json::filled_text")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::id"))]
    pub alitrip_order_id: String,
    /// The company's order id.
    #[serde(deserialize_with = "json::filled_text")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub agent_order_id: String,
    /// Taobao's order id.
    #[serde(default, deserialize_with = "json::optional_integer", skip_serializing_if = "Option::is_none")]
    pub main_biz_order_id: Option<i64>,
    /// The order's price, sent unchanged. TOP's page does not state its unit.
    #[serde(default, deserialize_with = "json::optional_integer", skip_serializing_if = "Option::is_none")]
    pub total_price: Option<i64>,
    /// The code that tells TOP why issuing failed. Default: the deployment's setting.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub failed_code: Option<String>,
    /// The TOP account that tells Fliggy. Default: the account of the call.
    #[serde(default, deserialize_with = "account::optional_name", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = account::NAME_PATTERN)))]
    pub account: Option<String>,
    /// The passengers and their tickets. Vouchers fill the tickets in this order.
    #[serde(deserialize_with = "json::list")]
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
    #[serde(deserialize_with = "json::integer")]
    pub order_id: i64,
    /// The company's order id.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub out_order_id: Option<String>,
}

impl Link {
    /// Reads the link that the booking system sent for an order of `partner`.
    ///
    /// # Errors
    /// Names the member that is missing, unknown, or of the wrong type. Rejects a link that this partner's
    /// notifications could never use, and a ship order without a ticket.
    pub fn from_json(partner: Partner, body: &Value) -> Result<Self, FieldError> {
        let members = body.as_object().filter(|members| members.len() == 1);
        let Some((name, inner)) = members.and_then(|members| members.iter().next()) else {
            return Err(FieldError::body(format!("must have exactly one member: {}", Self::of_partner(partner))));
        };
        let within = |error: FieldError| FieldError {
            field: if error.field.is_empty() { name.clone() } else { format!("{name}.{}", error.field) },
            ..error
        };
        let link = match name.as_str() {
            "happytrip_flight" => Self::HappytripFlight(json::read(inner).map_err(within)?),
            "fliggy_ship" => Self::FliggyShip(json::read(inner).map_err(within)?),
            "fliggy_ticket" => Self::FliggyTicket(json::read(inner).map_err(within)?),
            _ => return Err(FieldError::at(name, format!("is not supported: send {}", Self::of_partner(partner)))),
        };
        if link.partner() != partner {
            let problem = format!("does not apply to {partner} orders: send {}", Self::of_partner(partner));
            return Err(FieldError::at(name, problem));
        }
        if let Self::FliggyShip(ship) = &link {
            if !is_usable_id(&ship.alitrip_order_id) {
                return Err(FieldError::at("fliggy_ship.alitrip_order_id", UNUSABLE_ID));
            }
            if ship.ticket_count() == 0 {
                return Err(FieldError::at("fliggy_ship.passenger_list", "must contain at least one ticket"));
            }
        }
        if let Self::HappytripFlight(flight) = &link {
            if flight.out_relation_order_id.as_deref().is_some_and(|id| !is_usable_id(id)) {
                return Err(FieldError::at("happytrip_flight.out_relation_order_id", UNUSABLE_ID));
            }
            if flight.ticket_no_list.iter().any(String::is_empty) {
                let problem =
                    "must not contain an empty ticket number: leave the list empty until the numbers are known";
                return Err(FieldError::at("happytrip_flight.ticket_no_list", problem));
            }
        }
        Ok(link)
    }

    /// The TOP account that the link names, if any, and the member that names it.
    #[must_use]
    pub fn account(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::HappytripFlight(flight) => ("happytrip_flight.account", flight.account.as_deref()),
            Self::FliggyShip(ship) => ("fliggy_ship.account", ship.account.as_deref()),
            Self::FliggyTicket(_) => ("fliggy_ticket", None),
        }
    }

    /// The link as JSON, in the format of the record.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Serialising these structs of strings and numbers cannot fail.
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
    /// The number of tickets of all passengers.
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
    fn stored_link_round_trips() {
        let body = ship(
            json!([{"passenger_name": "罗", "ticket_list": [{"ticket_id": "1", "ticket_type": "1", "ticket_price": 100}]}]),
        );
        let link = Link::from_json(Partner::Sctt, &body).unwrap();
        let stored = serde_json::to_value(&link).unwrap();
        assert_eq!(Link::from_json(Partner::Sctt, &stored).unwrap(), link);
    }

    #[test]
    fn error_names_the_member_and_the_problem() {
        let flight = |extra: Value| {
            let mut inner = json!({"tes_head_id": "1", "cwt_account_no": "2"});
            for (name, value) in extra.as_object().unwrap() {
                inner[name] = value.clone();
            }
            json!({"happytrip_flight": inner})
        };
        let cases = [
            (Partner::Tsy, json!({}), "the body must have exactly one member: happytrip_flight"),
            (Partner::Tsy, json!({"a": 1}), "field a is not supported: send happytrip_flight"),
            (Partner::Tsy, json!({"happytrip_flight": {}}), "field happytrip_flight.tes_head_id is missing"),
            (Partner::Tsy, flight(json!({"surprise": 1})), "field happytrip_flight.surprise is not supported"),
            (
                Partner::Tsy,
                flight(json!({"ticket_no_list": ["1", ""]})),
                "field happytrip_flight.ticket_no_list must not contain an empty ticket number: leave the list empty until the numbers are known",
            ),
            (
                Partner::Tsy,
                flight(json!({"ticket_no_list": "1"})),
                "field happytrip_flight.ticket_no_list must be a list",
            ),
            (
                Partner::Tsy,
                json!({"fliggy_ticket": {"order_id": 1}}),
                "field fliggy_ticket does not apply to tsy orders: send happytrip_flight",
            ),
            (
                Partner::Sctt,
                flight(json!({})),
                "field happytrip_flight does not apply to sctt orders: send fliggy_ship or fliggy_ticket",
            ),
            (Partner::Sctt, ship(json!([])), "field fliggy_ship.passenger_list must contain at least one ticket"),
            (
                Partner::Sctt,
                ship(json!([{"ticket_list": [{"ticket_id": "1", "ticket_type": "1"}]}])),
                "field fliggy_ship.passenger_list[0].ticket_list[0].ticket_price is missing",
            ),
            (Partner::Sctt, ship(json!([{"odd": 1}])), "field fliggy_ship.passenger_list[0].odd is not supported"),
        ];
        for (partner, body, message) in cases {
            assert_eq!(Link::from_json(partner, &body).unwrap_err().to_string(), message);
        }
    }
}
