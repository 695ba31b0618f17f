//! What partners and API Gateway's callers are answered, for the description: bodies that no type of the relay writes.

use schemars::JsonSchema;
use serde::Deserialize;

/// What TSY is answered.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TsyAnswer {
    /// `success`, or what is wrong.
    pub msg: String,
    /// `0`, or the status of the refusal.
    pub code: String,
}

/// What SCTT is answered.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScttAnswer {
    /// 0, or the status of the refusal.
    pub code: i64,
    /// `ok`, or what is wrong.
    pub msg: String,
    /// Nothing.
    pub data: (),
}

/// What API Gateway itself refuses with: no signature, too many requests, no such route.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GatewayRefusal {
    /// Why.
    pub message: Option<String>,
}
