//! `taobao.travel.ticket.order.refund`: tells Fliggy that a scenic-spot order's refund was made, or that it failed.
//!
//! The call's page (50646) does not say what a repeat does. So the relay never repeats the call after an unknown outcome,
//! and requires `refund_batch_no`, which names the refund.

use serde::{Deserialize, Serialize};

use crate::call::check_key_part;
use crate::json::{self, FieldError};

/// The request parameters on the call's page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TicketRefund {
    /// Number of refunded tickets.
    #[serde(default, deserialize_with = "json::optional_integer", skip_serializing_if = "Option::is_none")]
    pub refund_num: Option<i64>,
    /// Fliggy's order id.
    #[serde(deserialize_with = "json::integer")]
    pub order_id: i64,
    /// 1 refunded, 2 failed.
    #[serde(deserialize_with = "json::integer")]
    #[cfg_attr(feature = "schema", schemars(extend("enum" = [1, 2])))]
    pub refund_status: i64,
    /// Why the refund failed.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub refund_failure_reason: Option<String>,
    /// The refund's batch number. Optional on the page, but required here: it tells a repeat from a second refund.
    #[serde(deserialize_with = "json::filled_text")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::key_part"))]
    pub refund_batch_no: String,
}

impl TicketRefund {
    /// Checks the rules that the types do not express.
    ///
    /// # Errors
    /// If the status is not on the page, or the batch number cannot be part of a key.
    pub fn check(&self) -> Result<(), FieldError> {
        if !matches!(self.refund_status, 1 | 2) {
            return Err(FieldError::at("refund_status", "must be 1 (refunded) or 2 (failed)"));
        }
        check_key_part("refund_batch_no", &self.refund_batch_no)
    }

    /// The refund: `{order}-{batch}`. Nothing says that batch numbers are unique across orders.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}-{}", self.order_id, self.refund_batch_no)
    }
}
