//! Requests and responses about calls that are held back.

use serde::{Deserialize, Serialize};
use serde_with_macros::skip_serializing_none;

use crate::account;
use crate::breaker::Cause;
use crate::call::CallKind;
use crate::json;

/// Has a call that is held back tried now.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RetryNowRequest {
    /// What was repaired, at most 1024 bytes.
    #[cfg_attr(feature = "schema", schemars(length(max = 1024)))]
    pub note: String,
    /// The TOP account whose calls are meant. Default: all accounts.
    #[serde(default, deserialize_with = "account::optional_name")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = account::NAME_PATTERN)))]
    pub account: Option<String>,
}

/// Pauses a call.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    /// Why, at most 1024 bytes.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 1024), regex(pattern = r"\S")))]
    pub note: String,
    /// In how many minutes an alarm reminds of the pause, from 1 to 10080. The pause does not end by itself.
    #[serde(deserialize_with = "json::integer")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 10080)))]
    pub remind_in_minutes: i64,
}

/// Resumes a paused call.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ResumeRequest {
    /// Why, at most 1024 bytes.
    #[cfg_attr(feature = "schema", schemars(length(max = 1024)))]
    pub note: String,
}

/// Calls of one kind and account that are held back: TOP would refuse them all, or an operator paused them.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HeldBack {
    /// The kind of call.
    pub call: CallKind,
    /// The TOP account; `*` for all.
    pub account: String,
    /// Why the calls are held back.
    pub cause: Cause,
    /// When they were held back first.
    pub since: String,
    /// When one of them is tried. If it succeeds, the others follow. Absent for a pause, which an operator ends.
    pub until: Option<String>,
    /// TOP's `code`, if TOP answered.
    pub code: Option<i64>,
    /// TOP's `sub_code`, if it has one.
    pub sub_code: Option<String>,
    /// For a pause: who paused the calls.
    pub by: Option<String>,
    /// For a pause: why.
    pub note: Option<String>,
    /// For a pause: when an alarm reminds of it.
    pub remind_at: Option<String>,
}

/// All calls that are held back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HeldBackList {
    /// One item for each account and kind of call.
    pub items: Vec<HeldBack>,
}
