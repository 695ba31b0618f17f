//! What TOP should know, who sends it, and what TOP was told last.

use serde::{Deserialize, Serialize};
use serde_with_macros::skip_serializing_none;

use super::{Body, is_default};
use crate::call::{CallKind, Lane, Resend};
use crate::failure::{Failure, Reply};
use crate::reason::Reason;
use crate::time::EpochMillis;

/// What the facts want TOP to know, by its name only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// TOP is to be told this on this lane (`call/id`).
    Tell {
        /// The lane.
        lane: String,
        /// The request's digest.
        digest: String,
    },
    /// Nothing can be decided before the booking system says more.
    Wait(Reason),
    /// A person must look.
    Person(Reason),
    /// Nothing, and why.
    Nothing(Reason),
}

/// How a target ended that TOP does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// TOP refused it.
    Refused,
    /// Nobody knows whether it took effect, and it must not be sent again.
    Unknown,
}

/// What TOP should know and does not, as far as anybody knows. Stands in top-level attributes `t_…`.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Which call.
    pub call: CallKind,
    /// The lane's id.
    pub id: String,
    /// What it says: JSON in TOP's field names.
    pub request: Body,
    /// The request's digest.
    pub digest: String,
    /// Changes with every target of the record.
    pub generation: u32,
    /// When it may be sent next; `None` while it must not be.
    pub due: Option<EpochMillis>,
    /// Whether it may be sent again while nobody knows whether it took effect.
    pub resend: Resend,
    /// For a ship notification: whether it says that the tickets were issued.
    #[serde(default, skip_serializing_if = "is_default")]
    pub issued: bool,
    /// When it was decided.
    pub since: EpochMillis,
    /// How it ended, if it did.
    pub end: Option<End>,
    /// What TOP or the network said last.
    pub failure: Option<Failure>,
    /// The submission's key, where people asked for it.
    pub key: Option<String>,
}

impl Target {
    /// Its lane.
    #[must_use]
    pub fn lane(&self) -> Lane {
        Lane { call: self.call, id: self.id.clone() }
    }
}

/// Who sends the target. Stands in top-level attributes `s_…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sending {
    /// Unique to one claim.
    pub owner: String,
    /// When the claim runs out.
    pub until: EpochMillis,
    /// The target's generation when it was claimed.
    pub generation: u32,
}

/// What a lane ended with.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Whether TOP has something of an earlier target there.
    #[serde(default, skip_serializing_if = "is_default")]
    pub earlier: bool,
    /// The target's generation.
    pub generation: u32,
    /// The request's digest.
    pub digest: String,
    /// Whether TOP has it, and who says so.
    pub outcome: Outcome,
    /// When it ended.
    pub at: EpochMillis,
    /// How often it was sent.
    pub attempts: u32,
    /// For a ship notification: whether it said that the tickets were issued.
    #[serde(default, skip_serializing_if = "is_default")]
    pub issued: bool,
    /// What TOP answered.
    pub reply: Option<Reply>,
    /// The request, where it is short.
    pub request: Option<Body>,
    /// When the target was decided.
    pub since: EpochMillis,
}

impl Told {
    /// Whether TOP has something on this lane: from this target or an earlier one.
    #[must_use]
    pub const fn has_effect(&self) -> bool {
        self.earlier || self.outcome.has_effect()
    }
}

/// How a lane ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// TOP said so.
    Succeeded,
    /// A person said that TOP has it.
    ResolvedSucceeded,
    /// A person said that TOP does not have it and must not.
    ResolvedRejected,
}

impl Outcome {
    /// Whether TOP has it.
    #[must_use]
    pub const fn has_effect(self) -> bool {
        matches!(self, Self::Succeeded | Self::ResolvedSucceeded)
    }

    /// The name in histories and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::ResolvedSucceeded => "resolved_succeeded",
            Self::ResolvedRejected => "resolved_rejected",
        }
    }
}

/// A call that somebody submitted.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// The caller's key, or the lane's id.
    pub key: String,
    /// The request.
    pub request: Body,
    /// Its digest.
    pub digest: String,
    /// Whether it may be sent again while nobody knows whether it took effect.
    pub resend: Resend,
    /// For a ship notification: whether it says that the tickets were issued.
    #[serde(default, skip_serializing_if = "is_default")]
    pub issued: bool,
    /// The IAM identity that submitted it.
    pub by: String,
    /// When.
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
    /// Whether it has neither ended nor been refused.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.outcome.is_none() && !self.refused
    }

    /// Whether `target` is what it asks for.
    #[must_use]
    pub fn asks_for(&self, target: &Target) -> bool {
        target.key.as_ref() == Some(&self.key) && target.digest == self.digest
    }
}
