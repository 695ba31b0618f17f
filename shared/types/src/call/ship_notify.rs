//! `alitrip.ship.order.notify`: tells Fliggy that a ship order's tickets were issued, or that issuing failed.
//!
//! According to the call's page, it is idempotent on `alitrip_order_id`. A failed call may be repeated. After the first
//! success, later calls return the first result and change nothing. It covers all tickets of an order or none.

use serde::{Deserialize, Serialize};

use crate::json;

/// The form field with the request. The unusual name is from the call's page.
pub const FIELD: &str = "confirm_book_r_q";

/// `ShipAgentConfirmBookRq` on the call's page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConfirmBook {
    /// The company's order id.
    #[serde(deserialize_with = "json::filled_text")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub agent_order_id: String,
    /// Fliggy's order id.
    #[serde(deserialize_with = "json::filled_text")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::id"))]
    pub alitrip_order_id: String,
    /// Where to collect the tickets.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub fetch_tickets_address: Option<String>,
    /// Number for collecting all tickets.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub fetch_tickets_number: Option<String>,
    /// Password for collecting all tickets.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub fetch_tickets_pwd: Option<String>,
    /// Taobao's order id.
    #[serde(default, deserialize_with = "json::optional_integer", skip_serializing_if = "Option::is_none")]
    pub main_biz_order_id: Option<i64>,
    /// Message to the traveller.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Further attributes, as a JSON string.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub order_attr: Option<String>,
    /// The passengers and their tickets.
    #[serde(default, deserialize_with = "json::list", skip_serializing_if = "Vec::is_empty")]
    pub passenger_list: Vec<Passenger>,
    /// Whether the tickets were issued. Sent in both cases.
    #[serde(deserialize_with = "json::boolean")]
    pub success: bool,
    /// Number of tickets.
    #[serde(default, deserialize_with = "json::optional_integer", skip_serializing_if = "Option::is_none")]
    pub ticket_count: Option<i64>,
    /// The gate where tickets are checked.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub ticket_wicket: Option<String>,
    /// The order's price; the page does not state its unit.
    #[serde(default, deserialize_with = "json::optional_integer", skip_serializing_if = "Option::is_none")]
    pub total_price: Option<i64>,
    /// Why issuing failed: a code from a table that is not published.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub failed_code: Option<String>,
}

/// `ShipAgentConfirmBookPassengerInfo` on the call's page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Passenger {
    /// Number of the passenger's identity document.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub passenger_cert_no: Option<String>,
    /// Type of that document.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub passenger_cert_type: Option<String>,
    /// The passenger's id.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub passenger_id: Option<String>,
    /// The passenger's name.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub passenger_name: Option<String>,
    /// The passenger's tickets.
    #[serde(default, deserialize_with = "json::list", skip_serializing_if = "Vec::is_empty")]
    pub ticket_list: Vec<Ticket>,
}

/// `ShipAgentConfirmBookTicketInfo` on the call's page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ticket {
    /// E-ticket number.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub e_ticket_no: Option<String>,
    /// Description.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub ticket_desc: Option<String>,
    /// The ticket's id.
    #[serde(deserialize_with = "json::filled_text")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub ticket_id: String,
    /// The ticket's number.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub ticket_no: Option<String>,
    /// Price in fen.
    #[serde(deserialize_with = "json::integer")]
    pub ticket_price: i64,
    /// Password for collecting the ticket.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub ticket_pwd: Option<String>,
    /// Seat.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub ticket_seat_no: Option<String>,
    /// 1 being issued, 2 issued, 3 none, 4 being returned, 5 returned, 6 return failed.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub ticket_status: Option<String>,
    /// 11 outward, 12 return, 21 ordinary admission, 31 hotel.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub ticket_sub_type: Option<String>,
    /// Title.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub ticket_title: Option<String>,
    /// 1 ship, 2 admission, 3 hotel, 4 other.
    #[serde(deserialize_with = "json::filled_text")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub ticket_type: String,
    /// Further attributes, as a JSON string.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub ext_attr: Option<String>,
    /// When the ticket expires: `yyyy-MM-dd HH:mm:ss`, GMT+8.
    #[serde(default, deserialize_with = "json::optional_china_time", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::china_time"))]
    pub expire_time: Option<String>,
}
