//! `alibaba.happytrip.flight.order.itinerary.postback`: tells Happytrip the ticket numbers of a flight order.

use serde::{Deserialize, Serialize};

use crate::json::{self, FieldError};

/// The form field with the request.
pub const FIELD: &str = "flight_itinerary_request";

/// `FlightItineraryRequest` on the call's page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FlightItineraryRequest {
    /// The order number.
    #[serde(deserialize_with = "json::filled_text")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::id"))]
    pub out_relation_order_id: String,
    /// The business trip number.
    #[serde(deserialize_with = "json::filled_text")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub tes_head_id: String,
    /// Ticket numbers.
    #[serde(deserialize_with = "json::texts")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(length(min = 1))))]
    pub ticket_no_list: Vec<String>,
    /// The traveller's employee number.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub emp_no: Option<String>,
    /// The CWT account.
    #[serde(deserialize_with = "json::filled_text")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub cwt_account_no: String,
    /// The traveller's user id.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub ht_user_id: Option<String>,
}

impl FlightItineraryRequest {
    /// Checks the rules that the types do not express.
    ///
    /// # Errors
    /// If there is no ticket number, or an empty one.
    pub fn check(&self) -> Result<(), FieldError> {
        if self.ticket_no_list.is_empty() || self.ticket_no_list.iter().any(String::is_empty) {
            return Err(FieldError::at("ticket_no_list", "must contain at least one ticket number and no empty ones"));
        }
        Ok(())
    }
}
