//! `taobao.travel.ticket.order.verify`: tell Fliggy that a scenic-spot ticket was redeemed.

use serde::{Deserialize, Serialize};

use crate::json::{self, FieldError};

/// Most entries of `voucher_infos`, by the page.
pub const MAX_VOUCHERS: usize = 999;

/// The page's request parameters. All are optional there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("anyOf" = [{"required": ["order_id"], "properties": {"order_id": {"type": "integer"}}},
    {"required": ["out_order_id"], "properties": {"out_order_id": {"type": "string", "minLength": 1}}}])))]
pub struct TicketVerify {
    /// How many are redeemed.
    #[serde(default, deserialize_with = "json::optional_integer", skip_serializing_if = "Option::is_none")]
    pub check_num: Option<i64>,
    /// Fliggy's order id.
    #[serde(default, deserialize_with = "json::optional_integer", skip_serializing_if = "Option::is_none")]
    pub order_id: Option<i64>,
    /// How many are cancelled.
    #[serde(default, deserialize_with = "json::optional_integer", skip_serializing_if = "Option::is_none")]
    pub return_num: Option<i64>,
    /// How many may be redeemed in all.
    #[serde(default, deserialize_with = "json::optional_integer", skip_serializing_if = "Option::is_none")]
    pub total_num: Option<i64>,
    /// The company's order id.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub out_order_id: Option<String>,
    /// The confirmation number that the traveller got. `voucher_infos` takes its place for newcomers.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub confirm_code: Option<String>,
    /// Which vouchers were used.
    #[serde(default, deserialize_with = "json::list", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 999)))]
    pub voucher_infos: Vec<VoucherInfo>,
    /// 0 (or absent): the numbers are this write-off's; 1: they are the total so far.
    #[serde(default, deserialize_with = "json::optional_integer", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("enum" = [0, 1, null])))]
    pub write_off_type: Option<i64>,
}

/// The page's `VoucherInfoDto`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VoucherInfo {
    /// The confirmation number that the traveller got.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub confirm_code: Option<String>,
    /// How often it was used.
    #[serde(default, deserialize_with = "json::optional_integer", skip_serializing_if = "Option::is_none")]
    pub used_quantity: Option<i64>,
    /// When: `yyyy-MM-dd HH:mm:ss`, GMT+8. A string on this page, not a date.
    #[serde(default, deserialize_with = "json::optional_china_time", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::china_time"))]
    pub used_date: Option<String>,
}

impl TicketVerify {
    /// What the types alone do not say. The page asks for nothing at all, but a write-off that names no order
    /// is nobody's.
    ///
    /// # Errors
    /// If no order is named, `write_off_type` is neither 0 nor 1, or there are too many vouchers.
    pub fn check(&self) -> Result<(), FieldError> {
        if self.order_id.is_none() && self.out_order_id.as_deref().unwrap_or_default().is_empty() {
            return Err(FieldError::at("order_id", "is missing, and so is out_order_id: send one of them"));
        }
        if !matches!(self.write_off_type, None | Some(0 | 1)) {
            return Err(FieldError::at("write_off_type", "must be 0 (this write-off) or 1 (the total so far)"));
        }
        if self.voucher_infos.len() > MAX_VOUCHERS {
            return Err(FieldError::at("voucher_infos", format!("must hold at most {MAX_VOUCHERS} vouchers")));
        }
        Ok(())
    }

    /// Whether the numbers are the total so far, so that telling them twice changes nothing.
    #[must_use]
    pub const fn tells_total(&self) -> bool {
        matches!(self.write_off_type, Some(1))
    }
}
