//! `alitrip.ship.return.notify`: tells Fliggy that a ship order's refund was made, or that it failed.
//!
//! According to the call's page (48054), the platform keeps it idempotent. The page does not say what makes two requests
//! the same, so the relay uses what the refund is about ([`ConfirmRefund::key`]).

use serde::{Deserialize, Serialize};

use crate::call::check_key_part;
use crate::json::{self, FieldError};

/// The form field with the request. The unusual name is from the call's page.
pub const FIELD: &str = "confirm_refund_r_q";

/// `agent_return_ticket_type` of a refund of one ticket or one passenger.
const PER_TICKET: i64 = 0;
/// `agent_return_ticket_type` of a refund of the whole order.
const WHOLE_ORDER: i64 = 1;
/// `agent_return_ticket_status` of a refund that was made.
const REFUNDED: i64 = 1;
/// `agent_return_ticket_status` of a refund that failed.
const FAILED: i64 = 2;

/// `ShipAgentConfirmRefundRq` on the call's page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("anyOf" = [
    {"properties": {"agent_return_ticket_type": {"const": WHOLE_ORDER}}},
    {"required": ["agent_ticket_id"]}, {"required": ["passenger_id"]}])))]
pub struct ConfirmRefund {
    /// Further attributes, as a JSON string.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub agent_ext_attr: Option<String>,
    /// The company's order id.
    #[serde(deserialize_with = "json::filled_text")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub agent_order_id: String,
    /// The refunded amount in fen.
    #[serde(deserialize_with = "json::integer")]
    pub agent_refund_amount: i64,
    /// Unique id of the payment that returns the money.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub agent_refund_trans_id: Option<String>,
    /// How the money is returned: `offline` or `online`.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub agent_return_mode: Option<String>,
    /// Why the refund failed: a code from a table that is not published. The page requires it for a success, too.
    #[serde(deserialize_with = "json::integer")]
    pub agent_return_ticket_code: i64,
    /// 1 refunded, 2 failed.
    #[serde(deserialize_with = "json::integer")]
    #[cfg_attr(feature = "schema", schemars(extend("enum" = [REFUNDED, FAILED])))]
    pub agent_return_ticket_status: i64,
    /// 0 one ticket or passenger, 1 the whole order.
    #[serde(deserialize_with = "json::integer")]
    #[cfg_attr(feature = "schema", schemars(extend("enum" = [PER_TICKET, WHOLE_ORDER])))]
    pub agent_return_ticket_type: i64,
    /// When the refund was made: `yyyy-MM-dd HH:mm:ss`, GMT+8.
    #[serde(default, deserialize_with = "json::optional_china_time", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::china_time"))]
    pub agent_return_time: Option<String>,
    /// The refunded ticket's id.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::key_part"))]
    pub agent_ticket_id: Option<String>,
    /// Fliggy's order id: a number here, a string in `alitrip.ship.order.notify`.
    #[serde(deserialize_with = "json::integer")]
    pub alitrip_order_id: i64,
    /// The id of the passenger whose ticket is refunded.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::key_part"))]
    pub passenger_id: Option<String>,
}

impl ConfirmRefund {
    /// Checks the rules that the types do not express. TOP checks `agent_return_mode` itself: nothing in the relay
    /// depends on it.
    ///
    /// # Errors
    /// If a status or a type is not on the page, a refund of one ticket names neither ticket nor passenger, or an id
    /// cannot be part of a key.
    pub fn check(&self) -> Result<(), FieldError> {
        if !matches!(self.agent_return_ticket_status, REFUNDED | FAILED) {
            return Err(FieldError::at("agent_return_ticket_status", "must be 1 (refunded) or 2 (failed)"));
        }
        if !matches!(self.agent_return_ticket_type, PER_TICKET | WHOLE_ORDER) {
            return Err(FieldError::at("agent_return_ticket_type", "must be 0 (one ticket) or 1 (the whole order)"));
        }
        for (field, id) in [("agent_ticket_id", &self.agent_ticket_id), ("passenger_id", &self.passenger_id)] {
            id.as_deref().map_or(Ok(()), |id| check_key_part(field, id))?;
        }
        if self.agent_return_ticket_type == PER_TICKET && self.agent_ticket_id.is_none() && self.passenger_id.is_none()
        {
            let problem = "is missing, and so is passenger_id: a refund of one ticket needs one of them";
            return Err(FieldError::at("agent_ticket_id", problem));
        }
        Ok(())
    }

    /// What the refund is about: `{order}` for a whole order, otherwise `{order}-ticket-{id}`, or
    /// `{order}-passenger-{id}` if no ticket is named. So two tickets of an order are two refunds, and the failure and
    /// the later success of one refund are one. `agent_refund_trans_id` is not used: it is optional, and a failed refund
    /// has no payment. The key needs no percent-encoding, except for unusual characters in the id itself.
    #[must_use]
    pub fn key(&self) -> String {
        let order = self.alitrip_order_id;
        match (self.agent_return_ticket_type, &self.agent_ticket_id, &self.passenger_id) {
            (PER_TICKET, Some(ticket), _) => format!("{order}-ticket-{ticket}"),
            (PER_TICKET, None, Some(passenger)) => format!("{order}-passenger-{passenger}"),
            _ => order.to_string(),
        }
    }

    /// Whether the refund was made.
    #[must_use]
    pub const fn is_refunded(&self) -> bool {
        self.agent_return_ticket_status == REFUNDED
    }
}
