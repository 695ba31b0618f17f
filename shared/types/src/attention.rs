//! What needs a person: the entries of the attention list.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::notification::NotificationKind;
use crate::reason::Reason;
use crate::record::RecordKey;
use crate::time::EpochMillis;

/// Something that a person must look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeedsPerson {
    /// What.
    pub what: What,
    /// Since when.
    pub since: EpochMillis,
}

/// What a person must look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A record, for these reasons; and the call that it is about, if there is one: which call, and its key.
    Record(RecordKey, BTreeSet<Reason>, Option<(String, String)>),
    /// A body that could not be read.
    Unreadable(Unreadable),
}

/// What the attention list shows of an unreadable body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// The endpoint that it came to.
    pub endpoint: NotificationKind,
    /// SHA-256 of the body.
    pub digest: String,
    /// What is wrong with it.
    pub problem: String,
}
