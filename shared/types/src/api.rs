//! Requests and responses of the API. Each type serves the JSON and the OpenAPI schema. A member without a value is
//! absent.

mod breakers;
mod timeline;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_with_macros::skip_serializing_none;
use strum::AsRefStr;

use crate::call::{CallKind, Resend};
use crate::failure::{Failure, Reply};
use crate::json;
use crate::notification::{NotificationKind, NotificationState};
use crate::order::Partner;
use crate::reason::Reason;
use crate::record::{Resolution, Stopped};

pub use self::breakers::{HeldBack, HeldBackList, PauseRequest, ResumeRequest, RetryNowRequest};
pub use self::timeline::{Event, EventKind};

/// Maximum length of a note, in bytes.
pub const MAX_NOTE_BYTES: usize = 1024;

// Requests

/// Replays an order.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    /// Reason for the replay, at most 1024 bytes.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = 1024)))]
    pub note: String,
    /// The revision of the order that the operator saw. Default: the current one.
    #[serde(default, deserialize_with = "json::optional_integer")]
    pub revision: Option<i64>,
}

/// Dismisses, withdraws or closes an order.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OrderRequest {
    /// Reason for the request, at most 1024 bytes.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 1024), regex(pattern = r"\S")))]
    pub note: String,
    /// The revision of the order that the operator saw. Default: the current one.
    #[serde(default, deserialize_with = "json::optional_integer")]
    pub revision: Option<i64>,
}

/// Resolves a call whose outcome is unknown, or retries a refused one.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ResolveRequest {
    /// `succeeded`: took effect. `rejected`: did not take effect; do not retry. `retry`: did not take effect; retry it.
    pub outcome: Resolution,
    /// How the operator knows the outcome, at most 1024 bytes.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = 1024)))]
    pub note: String,
    /// The attempt to resolve. Default: the current one.
    #[serde(default, deserialize_with = "json::optional_integer")]
    pub attempt: Option<i64>,
}

/// Dismisses a call, or has it tried now.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CallNote {
    /// Reason for the request, at most 1024 bytes.
    #[cfg_attr(feature = "schema", schemars(length(max = 1024)))]
    pub note: String,
    /// The revision of the call that the operator saw. Default: the current one.
    #[serde(default, deserialize_with = "json::optional_integer")]
    pub revision: Option<i64>,
}

/// Dismisses an unreadable body, or has it read again.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DismissRequest {
    /// How it was handled, at most 1024 bytes.
    #[cfg_attr(feature = "schema", schemars(length(max = 1024)))]
    pub note: String,
}

// Responses

/// An error response.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The name of the HTTP status.
    pub error: String,
    /// What is wrong with the request.
    pub message: String,
    /// The field that caused the error, if any.
    pub field: Option<String>,
}

/// The link was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Linked {
    /// The partner.
    pub partner: Partner,
    /// The order's id.
    pub order_id: String,
    /// Number of times the order was linked.
    pub version: i64,
    /// Number of notifications of the order.
    pub notifications: usize,
}

/// The operator's request about an order was recorded. The order is decided next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// The partner.
    pub partner: Partner,
    /// The order's id.
    pub order_id: String,
    /// Always true.
    pub accepted: bool,
}

/// The unreadable body was dismissed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DismissedBody {
    /// The endpoint that received the body.
    pub endpoint: NotificationKind,
    /// The body's SHA-256.
    pub digest: String,
}

/// A body that could not be read. It is kept for thirty days.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UnreadableBody {
    /// The endpoint that received it.
    pub endpoint: NotificationKind,
    /// Its SHA-256.
    pub digest: String,
    /// What is wrong with it.
    pub problem: String,
    /// Its size.
    pub bytes: usize,
    /// How often it arrived.
    pub deliveries: u32,
    /// When it arrived last.
    pub last_received_at: String,
    /// Whether it is in the attention list.
    pub needs_attention: bool,
    /// Who dismissed it or took it in again, if somebody did.
    pub dismissed_by: Option<String>,
    /// The note of that request.
    pub dismissed_note: Option<String>,
    /// The body itself, if it was asked for and is UTF-8. It may hold personal data.
    pub body: Option<String>,
    /// The body itself in Base64, if it was asked for and is not UTF-8.
    pub body_base64: Option<String>,
}

/// The unreadable body was taken in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RetriedBody {
    /// The endpoint that received the body.
    pub endpoint: NotificationKind,
    /// The body's SHA-256.
    pub digest: String,
    /// The ids of the orders for which a notification was recorded.
    pub orders: Vec<String>,
}

/// The submitted call was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Submitted {
    /// The kind of call.
    pub call: CallKind,
    /// The call's key.
    pub key: String,
    /// Always `pending`.
    pub state: CallState,
}

/// An order with its timeline. Personal data is masked.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The partner.
    pub partner: Partner,
    /// The order's id.
    pub order_id: String,
    /// The link, if there is one, with `version`, `updated_at` and `updated_by`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<serde_json::Map<String, Value>>"))]
    pub link: Option<Value>,
    /// The order's notifications, by first delivery.
    pub notifications: Vec<Notification>,
    /// The order's calls.
    pub calls: Vec<Call>,
    /// Changes with each write of the record. Send it with a request that is valid only for the state that you saw.
    pub revision: i64,
    /// Number of undecided facts.
    pub undecided: usize,
    /// Why the order needs attention, if it does.
    pub attention: Option<Attention>,
    /// Why the order waits, if it waits.
    pub waits_for: Option<ReasonText>,
    /// Reasons that an operator dismissed.
    pub dismissed: Vec<ReasonText>,
    /// `withdrawn` or `closed` by an operator, until a new fact arrives.
    pub stopped: Option<Stopped>,
    /// The events of the order, oldest first.
    pub timeline: Vec<Event>,
}

/// Why an order needs attention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Attention {
    /// When the order began to need attention.
    pub since: String,
    /// Why the order needs attention.
    pub reasons: Vec<ReasonText>,
}

/// A reason as code and sentence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReasonText {
    /// The code, for programs.
    pub code: Reason,
    /// The sentence, for operators.
    pub text: String,
}

/// A notification and its state.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// The kind of notification.
    pub kind: NotificationKind,
    /// Identifies the notification among those of the order.
    pub digest: String,
    /// The state of the notification.
    pub state: NotificationState,
    /// Why it waits, needs attention, or led to nothing.
    pub reason: Option<String>,
    /// The code of that reason.
    pub reason_code: Option<Reason>,
    /// When the first delivery arrived.
    pub received_at: String,
    /// When the last delivery arrived.
    pub last_received_at: String,
    /// Number of deliveries.
    pub deliveries: u32,
    /// The status that the partner sent, in words.
    pub status: Option<String>,
    /// The partner's own number of the order. Absent if the payload was not read.
    pub partner_number: Option<String>,
    /// When its state last changed.
    pub decided_at: Option<String>,
    /// The calls that it leads to, as `call/id`.
    pub calls: Vec<String>,
    /// The body, with personal data masked. Absent once the notification was summarised.
    pub payload: Option<Value>,
    /// `true` if the payload was left out because the response would be too large. `?payload=` with this notification's
    /// digest returns it.
    pub payload_left_out: Option<bool>,
}

/// A call and its state.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The kind of call.
    pub call: CallKind,
    /// The call's key.
    pub key: String,
    /// If an order leads to it: the partner.
    pub partner: Option<Partner>,
    /// If an order leads to it: the order's id.
    pub order_id: Option<String>,
    /// The TOP account that the link or the caller named, if any.
    pub account: Option<String>,
    /// The state of the call.
    pub state: CallState,
    /// Number of attempts.
    pub attempt: u32,
    /// Number of attempts that may have taken effect.
    pub unsettled: Option<u32>,
    /// Changes with each new request that replaces another one.
    pub generation: u32,
    /// Changes with each write of the record.
    pub revision: i64,
    /// Whether the call may be sent again while its outcome is unknown: again or never.
    pub may_be_sent_again: Option<Resend>,
    /// The IAM identity that submitted the call, if it was submitted.
    pub submitted_by: Option<String>,
    /// When the call was requested.
    pub created_at: Option<String>,
    /// When the call last changed.
    pub updated_at: Option<String>,
    /// Earliest time of the next attempt.
    pub not_before: Option<String>,
    /// For a pending call: what holds it back, if anything does. It is sent when `not_before` has come and nothing holds
    /// it back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_back: Vec<HeldBack>,
    /// The request, with personal data masked.
    pub request: Value,
    /// Attempts, oldest first.
    pub history: Vec<Attempt>,
    /// The current owner, if the call is being sent.
    pub owner: Option<String>,
    /// When the owner's lease runs out.
    pub lease_until: Option<String>,
    /// The last failure.
    pub last_error: Option<Failure>,
    /// TOP's response to a successful call.
    pub response: Option<Reply>,
}

/// One attempt and its outcome.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// The attempt number, from 1.
    pub attempt: u32,
    /// When the attempt began.
    pub began_at: Option<String>,
    /// When the attempt ended.
    pub at: String,
    /// The outcome of the attempt.
    pub outcome: String,
    /// The operator who set the outcome, if any.
    pub owner: Option<String>,
    /// The operator's note.
    pub note: Option<String>,
    /// The details of a failure.
    pub error: Option<Failure>,
}

/// A page of the attention list.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AttentionPage {
    /// Orders, submitted calls and unreadable bodies, oldest first.
    pub items: Vec<AttentionItem>,
    /// The cursor to pass as `after` for the next page. Absent on the last page.
    pub next: Option<String>,
}

/// An order, a submitted call or an unreadable body that needs attention.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AttentionItem {
    /// The kind of item.
    pub kind: AttentionKind,
    /// For an order: the partner.
    pub partner: Option<Partner>,
    /// For an order: its id.
    pub order_id: Option<String>,
    /// For an unreadable body: the endpoint that received it.
    pub endpoint: Option<NotificationKind>,
    /// For an unreadable body: its SHA-256.
    pub digest: Option<String>,
    /// The codes of the reasons.
    pub reasons: Vec<Reason>,
    /// The kind of the call, if the item is about one.
    pub call: Option<CallKind>,
    /// The key of that call.
    pub key: Option<String>,
    /// When it began to need attention.
    pub since: String,
    /// Why it needs attention, for operators.
    pub reason: String,
}

/// The kinds of items in the attention list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AttentionKind {
    /// An order.
    Order,
    /// A submitted call.
    Call,
    /// An unreadable body.
    Unreadable,
}

/// The state of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, AsRefStr)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CallState {
    /// Waits to be sent, not before `not_before`.
    Pending,
    /// Its owner is sending it, until the lease runs out.
    InProgress,
    /// The call took effect at TOP.
    Succeeded,
    /// TOP refused it, or an operator said that it must not be sent.
    Refused,
    /// It is unknown whether the call took effect, and it must not be sent again.
    Unknown,
    /// Another request replaced it before it was sent.
    Withdrawn,
}
