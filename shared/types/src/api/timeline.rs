//! The timeline of an order.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_with_macros::skip_serializing_none;

use super::ReasonText;
use crate::failure::{Failure, Reply};

/// The kinds of events in a timeline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A notification arrived.
    Notification,
    /// The booking system put a link.
    Link,
    /// The relay decided what TOP should know.
    #[default]
    Decision,
    /// An attempt to tell TOP ended.
    Attempt,
    /// An operator made a request.
    Operator,
}

/// One event of a timeline.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When the event happened.
    pub at: String,
    /// The event in words.
    pub event: String,
    /// Details of the event in words.
    pub detail: Option<String>,
    /// The kind of event.
    pub kind: EventKind,
    /// Who caused it.
    pub by: Option<String>,
    /// The operator's note.
    pub note: Option<String>,
    /// The digest of the notification that the event is about.
    pub digest: Option<String>,
    /// For a link: its version.
    pub link_version: Option<i64>,
    /// For a link that another one replaced: the link, with personal data masked.
    pub link: Option<Value>,
    /// The call that the event is about, as `call/id`.
    pub call: Option<String>,
    /// Changes with each new request that replaces another one.
    pub generation: Option<u32>,
    /// For an attempt: its number, from 1.
    pub attempt: Option<u32>,
    /// For an attempt: when it began.
    pub began_at: Option<String>,
    /// The outcome of an attempt, or the name of an operator's request.
    pub outcome: Option<String>,
    /// For a decision that nothing is requested: why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<ReasonText>,
    /// The details of a failure.
    pub error: Option<Failure>,
    /// TOP's response to a call that succeeded.
    pub response: Option<Reply>,
    /// The request of a call that another one replaced, with personal data masked. The present calls have theirs.
    pub request: Option<Value>,
}
