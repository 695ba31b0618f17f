//! The target, its owner, and what TOP was told last.

use serde::{Deserialize, Serialize};
use serde_with_macros::skip_serializing_none;
use strum::AsRefStr;

use super::{Body, is_default};
use crate::call::{CallKind, Lane, Resend};
use crate::failure::{Failure, Reply};
use crate::reason::Reason;
use crate::time::EpochMillis;

/// What should happen according to the facts. Names a request by its digest only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// Send a request to TOP.
    Tell {
        /// The lane, as `call/id`.
        lane: String,
        /// The request's digest.
        digest: String,
    },
    /// Wait for more information from the booking system.
    Wait(Reason),
    /// The order needs attention.
    Person(Reason),
    /// Do nothing, for this reason.
    Nothing(Reason),
}

/// How a target ended without success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// TOP refused the call.
    Refused,
    /// It is unknown whether the call took effect, and it must not be sent again.
    Unknown,
}

/// What TOP should know and, as far as is known, does not. Stored in the top-level attributes `t_…`.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The kind of call.
    pub call: CallKind,
    /// The lane's id.
    pub id: String,
    /// The request as JSON with TOP's field names.
    pub request: Body,
    /// The TOP account that the facts name, if they name one.
    pub account: Option<String>,
    /// The digest of request and account.
    pub digest: String,
    /// Changes with every target of the record.
    pub generation: u32,
    /// When it may be sent next; `None` while it must not be sent.
    pub due: Option<EpochMillis>,
    /// Whether it may be sent again while its outcome is unknown.
    pub resend: Resend,
    /// Whether it reports a success ([`CallRequest::reports_success`](crate::call::CallRequest::reports_success)).
    #[serde(default, skip_serializing_if = "is_default")]
    pub issued: bool,
    /// When it became the target.
    pub since: EpochMillis,
    /// How it ended, if it did.
    pub end: Option<End>,
    /// The last failure, from TOP or the network.
    pub failure: Option<Failure>,
    /// The submission's key, if the call was submitted.
    pub key: Option<String>,
}

impl Target {
    /// The target's lane.
    #[must_use]
    pub fn lane(&self) -> Lane {
        Lane { call: self.call, id: self.id.clone() }
    }
}

/// The owner and lease of the target. Stored in the top-level attributes `s_…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sending {
    /// The owner's token, unique to one claim.
    pub owner: String,
    /// When the lease runs out.
    pub until: EpochMillis,
    /// The target's generation when it was claimed.
    pub generation: u32,
}

/// What TOP was told last on a lane.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Whether a call of an earlier target took effect on this lane.
    #[serde(default, skip_serializing_if = "is_default")]
    pub earlier: bool,
    /// The target's generation.
    pub generation: u32,
    /// The TOP account that the facts named, if they named one.
    pub account: Option<String>,
    /// The digest of request and account.
    pub digest: String,
    /// Whether TOP has it, and how that is known.
    pub outcome: Outcome,
    /// When the last attempt began.
    pub began: Option<EpochMillis>,
    /// When it ended.
    pub at: EpochMillis,
    /// Number of attempts.
    pub attempts: u32,
    /// Whether it reported a success.
    #[serde(default, skip_serializing_if = "is_default")]
    pub issued: bool,
    /// TOP's response.
    pub reply: Option<Reply>,
    /// The request.
    pub request: Option<Body>,
    /// When it became the target.
    pub since: EpochMillis,
}

impl Told {
    /// Whether a call of this target or an earlier one took effect on this lane.
    #[must_use]
    pub const fn has_effect(&self) -> bool {
        self.earlier || self.outcome.has_effect()
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, AsRefStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// TOP returned a success.
    Succeeded,
    /// An operator said that the call took effect.
    ResolvedSucceeded,
    /// An operator said that the call did not take effect and must not be sent again.
    ResolvedRejected,
}

impl Outcome {
    /// Whether the call took effect.
    #[must_use]
    pub const fn has_effect(self) -> bool {
        matches!(self, Self::Succeeded | Self::ResolvedSucceeded)
    }
}

/// A submitted call.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// The caller's key, or the lane's id.
    pub key: String,
    /// The request.
    pub request: Body,
    /// The TOP account that the caller named, if any.
    pub account: Option<String>,
    /// The digest of request and account.
    pub digest: String,
    /// Whether it may be sent again while its outcome is unknown.
    pub resend: Resend,
    /// Whether it reports a success ([`CallRequest::reports_success`](crate::call::CallRequest::reports_success)).
    #[serde(default, skip_serializing_if = "is_default")]
    pub issued: bool,
    /// The IAM identity that submitted it.
    pub by: String,
    /// When it was submitted.
    pub at: EpochMillis,
    /// How it ended, if it did.
    pub outcome: Option<Outcome>,
    /// When it ended.
    pub ended: Option<EpochMillis>,
    /// Whether TOP refused it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub refused: bool,
}

impl Submission {
    /// Whether the call has neither ended nor been refused.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.outcome.is_none() && !self.refused
    }

    /// Whether `target` is the target of this submission.
    #[must_use]
    pub fn asks_for(&self, target: &Target) -> bool {
        target.key.as_ref() == Some(&self.key) && target.digest == self.digest
    }
}
