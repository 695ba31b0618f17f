//! The facts of an order: what partners, the booking system, people and senders said that is not decided yet.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_with_macros::skip_serializing_none;

use super::{Body, Submission, is_default};
use crate::failure::{Failure, Reply};
use crate::notification::{NotificationKind, NotificationState, Says};
use crate::reason::Reason;
use crate::time::EpochMillis;

/// What the booking system said of the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkFact {
    /// How often the link was put.
    pub version: i64,
    /// The link's JSON.
    pub body: Body,
    /// When it was put.
    pub at: EpochMillis,
    /// The IAM identity that put it.
    pub by: String,
    /// Recognises the write after its answer was lost.
    #[serde(default)]
    pub token: String,
}

impl LinkFact {
    /// The same, for the history.
    #[must_use]
    pub fn replaced(&self) -> ReplacedLink {
        ReplacedLink { version: self.version, at: self.at, by: self.by.clone() }
    }
}

/// A link that another one replaced, for the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedLink {
    /// How often the link had been put.
    pub version: i64,
    /// When it was put.
    pub at: EpochMillis,
    /// The IAM identity that put it.
    pub by: String,
}

/// One notification: what a partner said, however often.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Its kind.
    pub kind: NotificationKind,
    /// The body of the first delivery; `None` after the notification was summarised.
    pub body: Option<Body>,
    /// When the first delivery came.
    pub first: EpochMillis,
    /// When the last delivery came that was decided.
    pub last: Option<EpochMillis>,
    /// How many deliveries were decided.
    #[serde(default, skip_serializing_if = "is_default")]
    pub deliveries: u32,
    /// The newest `request_time` that a delivery had.
    pub request_time: Option<String>,
    /// Tokens of the last deliveries: an SDK's repeat of one write is no delivery.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<String>,
    /// What it says, once it was decided for the first time.
    pub says: Option<Says>,
    /// Its place among the order's notifications, from 1, in the order in which they first came.
    #[serde(default, skip_serializing_if = "is_default")]
    pub number: u32,
    /// What became of it; received while there is none.
    pub state: Option<NotificationState>,
    /// Why it waits, needs a person, or leads to nothing.
    pub reason: Option<String>,
    /// When its state last changed.
    pub decided: Option<EpochMillis>,
    /// The lane that it led to, as `call/id`.
    pub lane: Option<String>,
}

impl Notification {
    /// A notification as its first delivery writes it.
    #[must_use]
    pub const fn received(kind: NotificationKind, body: Body, first: EpochMillis) -> Self {
        Self {
            kind,
            body: Some(body),
            first,
            last: None,
            deliveries: 0,
            request_time: None,
            tokens: Vec::new(),
            says: None,
            number: 0,
            state: None,
            reason: None,
            decided: None,
            lane: None,
        }
    }
}

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attempted {
    /// TOP has it.
    Succeeded(Reply),
    /// TOP refused it for good.
    Refused(Failure),
    /// TOP certainly did not execute it: due again then.
    NotExecuted(EpochMillis, Failure),
    /// Nobody knows, and it may be sent again: due then.
    Resend(EpochMillis, Failure),
    /// Nobody knows, and it must not be sent again.
    Unknown(Failure),
}

impl Attempted {
    /// What TOP or the network said, where it failed.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Succeeded(_) => None,
            Self::Refused(failure)
            | Self::NotExecuted(_, failure)
            | Self::Resend(_, failure)
            | Self::Unknown(failure) => Some(failure),
        }
    }

    /// The name in histories, events and logs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Succeeded(_) => "succeeded",
            Self::Refused(_) => "refused",
            Self::NotExecuted(..) => "not_executed",
            Self::Resend(..) | Self::Unknown(_) => "unknown",
        }
    }
}

/// What a person says of a call of which nobody knows how it ended, or which TOP refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// It took effect.
    Succeeded,
    /// It did not take effect; do not retry.
    Rejected,
    /// It did not take effect; send it again.
    Retry,
}

/// What a person has done with an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Decide again; what TOP refused is sent again, and a repeat that needed a person counts.
    Replay,
    /// A person handled it: take it off the attention list, for the reasons that it had.
    Dismiss(BTreeSet<Reason>),
    /// Do not send what was certainly not sent yet.
    Withdraw,
    /// The order will never be linked.
    Close,
    /// How the call ended that is the target.
    Resolve(Resolution),
    /// A call is submitted.
    Submit(Box<Submission>),
}

impl Word {
    /// The name in histories and events.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Replay => "replayed",
            Self::Dismiss(_) => "dismissed",
            Self::Withdraw => "withdrawn",
            Self::Close => "closed",
            Self::Resolve(Resolution::Succeeded) => "resolved_succeeded",
            Self::Resolve(Resolution::Rejected) => "resolved_rejected",
            Self::Resolve(Resolution::Retry) => "resolved_retry",
            Self::Submit(_) => "submitted",
        }
    }
}

/// A fact that is not decided yet.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A partner delivered a notification.
    Delivery {
        /// The notification's digest.
        digest: String,
        /// When it came.
        at: EpochMillis,
        /// The delivery's `request_time`.
        time: Option<String>,
        /// Made once for the delivery.
        token: String,
    },
    /// The booking system put a link, which stands in the record.
    Linked {
        /// The link that it replaced.
        was: Option<ReplacedLink>,
    },
    /// A person said something.
    Said {
        /// What.
        word: Word,
        /// The IAM identity.
        by: String,
        /// Why.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
        /// When.
        at: EpochMillis,
        /// Recognises the write after its answer was lost.
        token: String,
    },
    /// An attempt ended while other facts came.
    Ended {
        /// The sender's token.
        owner: String,
        /// How.
        attempted: Attempted,
        /// When.
        at: EpochMillis,
    },
}

/// Who told an order to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// Its call was withdrawn.
    Withdrawn,
    /// It was closed.
    Closed,
}
