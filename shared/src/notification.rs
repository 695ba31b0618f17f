//! A notification as the relay thinks of it: which order it is about, what it says, and what became of it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::order::{OrderKey, Partner};
use crate::partner::sctt::{VOUCHER_PUSH, VoucherPush};
use crate::partner::tsy::{ISSUE_NOTIFY, IssueNotify};
use crate::wire::WireError;

/// Top-level members that differ from one delivery of a notification to the next.
pub const CHANGES_ON_RESEND: [&str; 2] = ["sign", "request_time"];

/// The kinds of notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotificationKind {
    /// TSY's IssueNotify.
    IssueNotify,
    /// SCTT's voucher push.
    VoucherPush,
}

impl NotificationKind {
    /// The name in keys and routes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IssueNotify => ISSUE_NOTIFY,
            Self::VoucherPush => VOUCHER_PUSH,
        }
    }

    /// The kind of that name, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::IssueNotify, Self::VoucherPush].into_iter().find(|kind| kind.as_str() == name)
    }

    /// Who sends it.
    #[must_use]
    pub const fn partner(self) -> Partner {
        match self {
            Self::IssueNotify => Partner::Tsy,
            Self::VoucherPush => Partner::Sctt,
        }
    }
}

impl fmt::Display for NotificationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which notification: what the queue carries, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NotificationKey {
    /// The order it is about.
    #[serde(flatten)]
    pub order: OrderKey,
    /// Its kind.
    pub kind: NotificationKind,
    /// SHA-256 of its canonical payload, in lower-case hex.
    pub digest: String,
}

impl fmt::Display for NotificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.order, self.kind, self.digest)
    }
}

/// What a notification says.
#[derive(Debug, Clone, PartialEq)]
pub enum Notification {
    /// A flight's tickets were issued, or were not.
    Tsy(IssueNotify),
    /// A scenic-spot or ship order's status and vouchers.
    Sctt(Box<VoucherPush>),
}

impl Notification {
    /// Reads a payload that was recorded.
    ///
    /// # Errors
    /// If the record was changed by hand into something that is no notification.
    pub fn from_payload(kind: NotificationKind, payload: &Value) -> Result<Self, WireError> {
        match kind {
            NotificationKind::IssueNotify => IssueNotify::from_json(payload).map(|(_, notify)| Self::Tsy(notify)),
            NotificationKind::VoucherPush => {
                VoucherPush::from_json(payload).map(|(_, push)| Self::Sctt(Box::new(push)))
            }
        }
    }
}

/// What became of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotificationState {
    /// Recorded, not yet decided.
    Received,
    /// Decided: the calls it leads to, if any, are recorded.
    Dispatched,
    /// Nothing can be decided before the booking system says more.
    Waiting,
    /// A person must look.
    Attention,
}

impl NotificationState {
    /// The name on records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Dispatched => "dispatched",
            Self::Waiting => "waiting",
            Self::Attention => "attention",
        }
    }
}
