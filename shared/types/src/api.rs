//! What the API takes and answers: one type for the JSON and for its description. A member that has no value is absent.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_with_macros::skip_serializing_none;

use crate::call::{CallKind, Resend};
use crate::failure::{Failure, Reply};
use crate::json;
use crate::notification::{NotificationKind, NotificationState};
use crate::order::Partner;
use crate::reason::Reason;
use crate::record::{Resolution, Stopped};

/// Largest note, in bytes.
pub const MAX_NOTE_BYTES: usize = 1024;

// What people send

/// Replays an order.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    /// Why: at most 1024 bytes.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = 1024)))]
    pub note: String,
    /// The revision of the order that the person saw. Default: the current one.
    #[serde(default, deserialize_with = "json::optional_integer")]
    pub revision: Option<i64>,
}

/// Dismisses, withdraws or closes an order.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OrderRequest {
    /// Why: at most 1024 bytes.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 1024), regex(pattern = r"\S")))]
    #[serde(default)]
    pub note: String,
    /// The revision of the order that the person saw. Default: the current one.
    #[serde(default, deserialize_with = "json::optional_integer")]
    pub revision: Option<i64>,
}

/// Resolves a call whose outcome is unknown, or retries a refused one.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ResolveRequest {
    /// `succeeded`: it took effect. `rejected`: it did not take effect; do not retry. `retry`: it did not; send it again.
    pub outcome: Resolution,
    /// How the person knows: at most 1024 bytes.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = 1024)))]
    pub note: String,
    /// The attempt that is meant. Default: the current one.
    #[serde(default, deserialize_with = "json::optional_integer")]
    pub attempt: Option<i64>,
}

/// Dismisses a call or an unreadable body.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DismissRequest {
    /// What was done: at most 1024 bytes.
    #[cfg_attr(feature = "schema", schemars(length(max = 1024)))]
    pub note: String,
}

// What people and systems are answered

/// A request was refused.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Its name.
    pub error: String,
    /// What is wrong.
    pub message: String,
    /// The field at fault, where one is.
    pub field: Option<String>,
}

/// A link was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Linked {
    /// The partner.
    pub partner: Partner,
    /// The order's id.
    pub order_id: String,
    /// How often the order was linked.
    pub version: i64,
    /// How many notifications the order has.
    pub notifications: usize,
}

/// A person's request about an order was recorded; the order is decided next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// The partner.
    pub partner: Partner,
    /// The order's id.
    pub order_id: String,
    /// True.
    pub accepted: bool,
}

/// An unreadable body was dismissed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DismissedBody {
    /// The endpoint that the body came to.
    pub endpoint: NotificationKind,
    /// The body's SHA-256.
    pub digest: String,
}

/// A call was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Submitted {
    /// Which call.
    pub call: CallKind,
    /// Its key.
    pub key: String,
    /// `pending`.
    pub state: CallState,
}

/// An order with its timeline. Personal data is masked.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Whose order it is.
    pub partner: Partner,
    /// Its id.
    pub order_id: String,
    /// What the booking system said of it, if it has: the link, `version`, `updated_at` and `updated_by`.
    pub link: Option<Value>,
    /// Its notifications, in the order in which they first came.
    pub notifications: Vec<Notification>,
    /// Its calls.
    pub calls: Vec<Call>,
    /// Changes with each write of the record. Send it with a request that must fit what you saw.
    pub revision: i64,
    /// How many facts are not decided yet.
    pub undecided: usize,
    /// Why the order needs attention, if it does.
    pub attention: Option<Attention>,
    /// What the order waits for, if it waits.
    pub waits_for: Option<ReasonText>,
    /// The reasons that a person dismissed.
    pub dismissed: Vec<ReasonText>,
    /// `withdrawn` or `closed` by a person, until a new fact comes.
    pub stopped: Option<Stopped>,
    /// Everything that happened, oldest first.
    pub timeline: Vec<Event>,
}

/// Why an order needs attention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Attention {
    /// Since when.
    pub since: String,
    /// Why.
    pub reasons: Vec<ReasonText>,
}

/// A reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReasonText {
    /// For programs.
    pub code: Reason,
    /// For people.
    pub text: String,
}

/// A notification, and what became of it.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// Its kind.
    pub kind: NotificationKind,
    /// Its name among the order's notifications.
    pub digest: String,
    /// What became of it.
    pub state: NotificationState,
    /// Why it waits, needs attention, or led to nothing.
    pub reason: Option<String>,
    /// The same for programs.
    pub reason_code: Option<Reason>,
    /// When the first delivery came.
    pub received_at: String,
    /// When the last delivery came.
    pub last_received_at: String,
    /// How often it was delivered.
    pub deliveries: u32,
    /// When it was decided last.
    pub decided_at: Option<String>,
    /// The calls that it led to, as `call/id`.
    pub calls: Vec<String>,
    /// What the partner sent, masked; absent once it was summarised.
    pub payload: Option<Value>,
}

/// A call, and what became of it.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Which call.
    pub call: CallKind,
    /// Its key.
    pub key: String,
    /// What became of it.
    pub state: CallState,
    /// How often it was tried.
    pub attempt: u32,
    /// How many of the attempts may have taken effect.
    pub unsettled: Option<u32>,
    /// Changes with each request that takes the place of another one.
    pub generation: u32,
    /// Changes with each write of the record.
    pub revision: i64,
    /// Whether it may be sent again while nobody knows whether it took effect: again or never.
    pub may_be_sent_again: Option<Resend>,
    /// The IAM identity that submitted it, if somebody did.
    pub submitted_by: Option<String>,
    /// When it was requested.
    pub created_at: Option<String>,
    /// When it last changed.
    pub updated_at: Option<String>,
    /// When it may be sent next.
    pub not_before: Option<String>,
    /// What it says, masked.
    pub request: Value,
    /// Its attempts, oldest first.
    pub history: Vec<Attempt>,
    /// Who is sending it.
    pub owner: Option<String>,
    /// Until when.
    pub lease_until: Option<String>,
    /// Why it is not done yet.
    pub last_error: Option<Failure>,
    /// What TOP answered to its success.
    pub response: Option<Reply>,
}

/// One attempt, as it ended.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// Its number, from 1.
    pub attempt: u32,
    /// When it ended.
    pub at: String,
    /// How it ended.
    pub outcome: String,
    /// Who said so, where a person did.
    pub owner: Option<String>,
    /// The person's note.
    pub note: Option<String>,
    /// What TOP said, where it failed.
    pub error: Option<Failure>,
}

/// One line of a timeline.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When.
    pub at: String,
    /// What.
    pub event: String,
    /// More of it.
    pub detail: Option<String>,
}

/// A page of the attention list.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AttentionPage {
    /// Orders, submitted calls and unreadable bodies, oldest first.
    pub items: Vec<AttentionItem>,
    /// Pass it as `after` to get the next page; absent on the last one.
    pub next: Option<String>,
}

/// An order, a submitted call or an unreadable body that needs attention.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AttentionItem {
    /// What it is.
    pub kind: AttentionKind,
    /// Of an order: the partner.
    pub partner: Option<Partner>,
    /// Of an order: its id.
    pub order_id: Option<String>,
    /// Of an unreadable body: the endpoint that it came to.
    pub endpoint: Option<NotificationKind>,
    /// Of an unreadable body: its SHA-256.
    pub digest: Option<String>,
    /// Why, for programs.
    pub reasons: Vec<Reason>,
    /// The call that it is about, if there is one.
    pub call: Option<CallKind>,
    /// That call's key.
    pub key: Option<String>,
    /// Since when it needs attention.
    pub since: String,
    /// Why it needs attention.
    pub reason: String,
}

/// What needs attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AttentionKind {
    /// An order.
    Order,
    /// A submitted call.
    Call,
    /// A body that could not be read.
    Unreadable,
}

/// The state of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// To be sent, not before its time.
    Pending,
    /// Being sent by its owner, until the lease runs out.
    InProgress,
    /// TOP has it.
    Succeeded,
    /// TOP refused it, or a person said that it must not be sent.
    Refused,
    /// Nobody knows whether it took effect, and it must not be sent again.
    Unknown,
    /// Another request took its place before it was sent.
    Withdrawn,
}

impl CallState {
    /// The name in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Succeeded => "succeeded",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Withdrawn => "withdrawn",
        }
    }
}
