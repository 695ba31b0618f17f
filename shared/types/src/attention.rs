//! The entries of the attention list.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::notification::NotificationKind;
use crate::reason::Reason;
use crate::record::RecordKey;
use crate::time::EpochMillis;

/// An entry of the attention list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeedsPerson {
    /// The record or body that needs attention.
    pub what: What,
    /// When it began to need attention.
    pub since: EpochMillis,
}

/// A record or body that needs attention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A record with its reasons, and its call (kind and key) if there is one.
    Record(RecordKey, BTreeSet<Reason>, Option<(String, String)>),
    /// An unreadable body.
    Unreadable(Unreadable),
}

/// The details of an unreadable body in the attention list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// The endpoint that received it.
    pub endpoint: NotificationKind,
    /// SHA-256 of the body.
    pub digest: String,
    /// The problem with it.
    pub problem: String,
}
