//! Response bodies for the description that no type of the relay writes: answers to partners, and API Gateway's own.

use schemars::JsonSchema;
use serde::Deserialize;

/// The answer to TSY.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TsyAnswer {
    /// `success`, or the problem.
    pub msg: String,
    /// `0`, or the HTTP status of the refusal.
    pub code: String,
}

/// The answer to SCTT.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScttAnswer {
    /// 0, or the HTTP status of the refusal.
    pub code: i64,
    /// `ok`, or the problem.
    pub msg: String,
    /// Always null.
    pub data: (),
}

/// A refusal by API Gateway itself: no signature, too many requests, no such path. It has the members of all callers.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GatewayRefusal {
    /// The HTTP status.
    pub status: Option<i64>,
    /// The name of the HTTP status.
    pub error: Option<String>,
    /// The reason.
    pub message: Option<String>,
    /// The reason, for partners.
    pub msg: Option<String>,
    /// The HTTP status, for partners.
    pub code: Option<String>,
}
