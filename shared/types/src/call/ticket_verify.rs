//! `taobao.travel.ticket.order.verify`: tells Fliggy that a scenic-spot ticket was redeemed.

use serde::{Deserialize, Serialize};

use crate::json::{self, FieldError};

/// Maximum number of entries of `voucher_infos`, according to the call's page.
pub const MAX_VOUCHERS: usize = 999;

/// The request parameters on the call's page, where all of them are optional.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("allOf" = [
    {"anyOf": [{"required": ["order_id"], "properties": {"order_id": {"type": "integer"}}},
        {"required": ["out_order_id"], "properties": {"out_order_id": {"type": "string", "minLength": 1, "maxLength": 256,
            "pattern": crate::schema::USABLE}}}]},
    {"anyOf": [{"required": ["voucher_infos"], "properties": {"voucher_infos": {"type": "array", "minItems": 1}}},
        {"required": ["confirm_code"], "properties": {"confirm_code": {"type": "string", "minLength": 1}}}]}])))]
pub struct TicketVerify {
    /// Number of redeemed tickets.
    #[serde(default, deserialize_with = "json::optional_integer", skip_serializing_if = "Option::is_none")]
    pub check_num: Option<i64>,
    /// Fliggy's order id.
    #[serde(default, deserialize_with = "json::optional_integer", skip_serializing_if = "Option::is_none")]
    pub order_id: Option<i64>,
    /// Number of cancelled tickets.
    #[serde(default, deserialize_with = "json::optional_integer", skip_serializing_if = "Option::is_none")]
    pub return_num: Option<i64>,
    /// Total number of redeemable tickets.
    #[serde(default, deserialize_with = "json::optional_integer", skip_serializing_if = "Option::is_none")]
    pub total_num: Option<i64>,
    /// The company's order id.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub out_order_id: Option<String>,
    /// The traveller's confirmation number. New callers use `voucher_infos` instead.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub confirm_code: Option<String>,
    /// The used vouchers.
    #[serde(default, deserialize_with = "json::list", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 999)))]
    pub voucher_infos: Vec<VoucherInfo>,
    /// 0 or absent: the numbers are for this redemption; 1: they are the total so far.
    #[serde(default, deserialize_with = "json::optional_integer", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("enum" = [0, 1, null])))]
    pub write_off_type: Option<i64>,
}

/// `VoucherInfoDto` on the call's page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VoucherInfo {
    /// The traveller's confirmation number.
    #[serde(default, deserialize_with = "json::optional_text", skip_serializing_if = "Option::is_none")]
    pub confirm_code: Option<String>,
    /// Number of times the voucher was used.
    #[serde(default, deserialize_with = "json::optional_integer", skip_serializing_if = "Option::is_none")]
    pub used_quantity: Option<i64>,
    /// When the voucher was used: `yyyy-MM-dd HH:mm:ss`, GMT+8. A string on this page, not a date.
    #[serde(default, deserialize_with = "json::optional_china_time", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::china_time"))]
    pub used_date: Option<String>,
}

impl TicketVerify {
    /// Checks the rules that the types do not express. The page requires no parameter, but a redemption without an
    /// order or without a voucher is useless.
    ///
    /// # Errors
    /// If no order or no voucher is named, `write_off_type` is neither 0 nor 1, or there are too many vouchers.
    pub fn check(&self) -> Result<(), FieldError> {
        if self.order_id.is_none() && self.out_order_id.as_deref().unwrap_or_default().is_empty() {
            return Err(FieldError::at("order_id", "is missing, and so is out_order_id: send one of them"));
        }
        if !matches!(self.write_off_type, None | Some(0 | 1)) {
            return Err(FieldError::at("write_off_type", "must be 0 (this redemption) or 1 (the total so far)"));
        }
        if self.voucher_infos.len() > MAX_VOUCHERS {
            return Err(FieldError::at("voucher_infos", format!("must contain at most {MAX_VOUCHERS} vouchers")));
        }
        if self.voucher_infos.is_empty() && self.confirm_code.as_deref().unwrap_or_default().is_empty() {
            return Err(FieldError::at("voucher_infos", "is empty, and so is confirm_code: send one of them"));
        }
        Ok(())
    }

    /// Whether the numbers are the total so far. Telling TOP the same total twice changes nothing.
    #[must_use]
    pub const fn tells_total(&self) -> bool {
        matches!(self.write_off_type, Some(1))
    }
}
