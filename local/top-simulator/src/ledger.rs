//! The ledger: every request, its outcome, and whether it took effect.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// One request to the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LedgerEntry {
    /// The time of the request: RFC 3339, UTC, with milliseconds.
    pub at: String,
    /// The called method, as the caller wrote it; empty if missing.
    pub method: String,
    /// Every parameter from query and body, personal data included. For tests only, never logged. Empty if the form
    /// could not be read.
    pub params: BTreeMap<String, String>,
    /// The outcome of the request.
    pub outcome: Outcome,
    /// Whether the request changed TOP's state, even if the caller cannot know.
    pub effect: bool,
}

/// The outcome of a request. `Display` and JSON write its name in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `success`: the method's success envelope with its flag true.
    Success,
    /// `business_failure`: the success envelope with its flag false.
    BusinessFailure,
    /// `error <code>[ <sub_code>]`: an `error_response`.
    Error {
        /// TOP's error code.
        code: i64,
        /// The sub-code of TOP or of the API.
        sub_code: Option<String>,
    },
    /// `timeout_before_effect`: no answer and no effect.
    TimeoutBeforeEffect,
    /// `timeout_after_effect`: carried out if it was acceptable, but not answered.
    TimeoutAfterEffect,
    /// `http_500`: HTTP status 500, not from TOP.
    Http500,
    /// `not_json`: HTTP status 200 with a page instead of JSON.
    NotJson,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => f.write_str("success"),
            Self::BusinessFailure => f.write_str("business_failure"),
            Self::Error { code, sub_code: Some(sub_code) } => write!(f, "error {code} {sub_code}"),
            Self::Error { code, sub_code: None } => write!(f, "error {code}"),
            Self::TimeoutBeforeEffect => f.write_str("timeout_before_effect"),
            Self::TimeoutAfterEffect => f.write_str("timeout_after_effect"),
            Self::Http500 => f.write_str("http_500"),
            Self::NotJson => f.write_str("not_json"),
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Formats Unix epoch milliseconds as RFC 3339. A time out of range, which no clock returns, becomes the epoch.
pub(crate) fn rfc3339(epoch_ms: i64) -> String {
    format!("{:.3}", Timestamp::from_millisecond(epoch_ms).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_serializes_with_the_documented_members() {
        let entry = LedgerEntry {
            at: rfc3339(1_767_240_000_000),
            method: "m".to_owned(),
            params: BTreeMap::from([("a".to_owned(), "票".to_owned())]),
            outcome: Outcome::Error { code: 50, sub_code: Some("isv.x".to_owned()) },
            effect: false,
        };
        assert_eq!(
            serde_json::to_string(&entry).unwrap(),
            r#"{"at":"2026-01-01T04:00:00.000Z","method":"m","params":{"a":"票"},"outcome":"error 50 isv.x","effect":false}"#
        );
    }
}
