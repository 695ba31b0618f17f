//! The facts of an order, from partners, the booking system, operators and senders.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_with_macros::skip_serializing_none;

use super::{Body, Submission, is_default};
use crate::failure::{Failure, Reply};
use crate::notification::{NotificationKind, NotificationState, Says};
use crate::reason::Reason;
use crate::time::EpochMillis;

/// The order's link as the booking system put it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkFact {
    /// Number of times the link was put.
    pub version: i64,
    /// The link's JSON.
    pub body: Body,
    /// When it was put.
    pub at: EpochMillis,
    /// The IAM identity that put it.
    pub by: String,
    /// Identifies the write if its response was lost.
    #[serde(default)]
    pub token: String,
}

impl LinkFact {
    /// The link's entry for the history.
    #[must_use]
    pub fn replaced(&self) -> ReplacedLink {
        ReplacedLink { version: self.version, at: self.at, by: self.by.clone(), body: Some(self.body.clone()) }
    }
}

/// A replaced link, for the history.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedLink {
    /// Number of times the link had been put.
    pub version: i64,
    /// When it was put.
    pub at: EpochMillis,
    /// The IAM identity that put it.
    pub by: String,
    /// Its JSON.
    pub body: Option<Body>,
}

/// One notification with all its deliveries.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// The kind of notification.
    pub kind: NotificationKind,
    /// The body of the first delivery; `None` once the notification was summarised.
    pub body: Option<Body>,
    /// When the first delivery arrived.
    pub first: EpochMillis,
    /// When the last decided delivery arrived.
    pub last: Option<EpochMillis>,
    /// Number of decided deliveries.
    #[serde(default, skip_serializing_if = "is_default")]
    pub deliveries: u32,
    /// The newest `request_time` of its deliveries.
    pub request_time: Option<String>,
    /// Tokens of the last deliveries. They tell an SDK's repeat of one write from another delivery.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<String>,
    /// What it implies for TOP; `None` until the first decision.
    pub says: Option<Says>,
    /// The status that the partner sent, in words, if the record does not hold the body.
    pub status: Option<String>,
    /// Its number among the order's notifications, from 1, by first delivery.
    #[serde(default, skip_serializing_if = "is_default")]
    pub number: u32,
    /// Its state; `None` counts as received.
    pub state: Option<NotificationState>,
    /// Why it waits, needs attention, or leads to nothing: the reason's code.
    pub reason: Option<String>,
    /// When its state last changed.
    pub decided: Option<EpochMillis>,
    /// The lane that it leads to, as `call/id`.
    pub lane: Option<String>,
}

impl Notification {
    /// A new notification, as its first delivery writes it.
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
            status: None,
            number: 0,
            state: None,
            reason: None,
            decided: None,
            lane: None,
        }
    }
}

/// The outcome of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attempted {
    /// TOP has the call.
    Succeeded(Reply),
    /// TOP refused the call for good.
    Refused(Failure),
    /// TOP certainly did not execute the call. It is due again at this time.
    NotExecuted(EpochMillis, Failure),
    /// Unknown, and the call may be sent again. It is due at this time.
    Resend(EpochMillis, Failure),
    /// Unknown, and the call must not be sent again.
    Unknown(Failure),
}

impl Attempted {
    /// The details of a failure, from TOP or the network.
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

/// How an operator resolves a call whose outcome is unknown or that TOP refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// The call took effect.
    Succeeded,
    /// The call did not take effect; do not retry.
    Rejected,
    /// The call did not take effect; retry it.
    Retry,
}

/// An operator's request about a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Instruction {
    /// Decide again. A refused call is sent again, and a repeated notification that needed attention counts.
    Replay,
    /// The operator handled the record: take it off the attention list for these reasons.
    Dismiss(BTreeSet<Reason>),
    /// Do not send a call that was certainly not sent yet.
    Withdraw,
    /// Close the order, because it will never be linked.
    Close,
    /// Send the target now, instead of when it is due.
    RetryNow,
    /// Set the outcome of the target's call.
    Resolve(Resolution),
    /// Submit a call.
    Submit(Box<Submission>),
}

impl Instruction {
    /// The name in histories and events.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Replay => "replayed",
            Self::Dismiss(_) => "dismissed",
            Self::Withdraw => "withdrawn",
            Self::Close => "closed",
            Self::RetryNow => "retried_now",
            Self::Resolve(Resolution::Succeeded) => "resolved_succeeded",
            Self::Resolve(Resolution::Rejected) => "resolved_rejected",
            Self::Resolve(Resolution::Retry) => "resolved_retry",
            Self::Submit(_) => "submitted",
        }
    }
}

/// An undecided fact.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A partner delivered a notification.
    Delivery {
        /// The notification's digest.
        digest: String,
        /// When the delivery arrived.
        at: EpochMillis,
        /// The delivery's `request_time`.
        time: Option<String>,
        /// Unique to the delivery.
        token: String,
    },
    /// The booking system put a link. The record holds the link itself.
    Linked {
        /// The link that it replaced.
        was: Option<ReplacedLink>,
    },
    /// An operator made a request.
    Instructed {
        /// The request.
        instruction: Instruction,
        /// The operator's IAM identity.
        by: String,
        /// The operator's note.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
        /// When the request was made.
        at: EpochMillis,
        /// Identifies the write if its response was lost.
        token: String,
    },
    /// An attempt ended after other facts had arrived.
    Ended {
        /// The sender's token.
        owner: String,
        /// The outcome.
        attempted: Attempted,
        /// When the attempt ended.
        at: EpochMillis,
        /// When it began.
        began: Option<EpochMillis>,
    },
}

/// How an operator stopped an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// The operator withdrew its call.
    Withdrawn,
    /// The operator closed it.
    Closed,
}
