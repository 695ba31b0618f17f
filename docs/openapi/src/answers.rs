//! What the API answers, for its description. The handlers build their answers by hand; a test reads real ones as these.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What TSY is answered.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TsyAnswer {
    /// `success`, or what is wrong.
    pub msg: String,
    /// `0`, or the status of the refusal.
    pub code: String,
}

/// What SCTT is answered.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScttAnswer {
    /// 0, or the status of the refusal.
    pub code: i64,
    /// `ok`, or what is wrong.
    pub msg: String,
    /// Nothing.
    pub data: (),
}

/// What the company's own systems are answered when they are refused.
#[derive(Debug, Deserialize, JsonSchema)]
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

/// What API Gateway itself refuses with: no signature, too many requests, no such route.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GatewayRefusal {
    /// Why.
    pub message: Option<String>,
}

/// An order was linked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Linked {
    /// Whose order it is.
    pub partner: String,
    /// Its id.
    pub order_id: String,
    /// How many notifications are decided again.
    pub notifications_enqueued: u64,
    /// How many are not, since TOP was told already or is being told.
    pub notifications_dispatched_before: u64,
}

/// An order is decided again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replayed {
    /// Whose order it is.
    pub partner: String,
    /// Its id.
    pub order_id: String,
    /// How many notifications are decided again.
    pub notifications_enqueued: u64,
    /// How many are not, since TOP has what they led to.
    pub notifications_succeeded_before: u64,
}

/// An order was taken off the list of what needs a person.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// Whose order it is.
    pub partner: String,
    /// Its id.
    pub order_id: String,
    /// How many notifications were settled.
    pub notifications_settled: u64,
}

/// An order, with all that happened to it. Personal data is masked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Whose order it is.
    pub partner: String,
    /// Its id.
    pub order_id: String,
    /// What the booking system said of it, if it has: the link, `updated_at` and `updated_by`.
    pub link: Option<Map<String, Value>>,
    /// Its notifications, in the order in which they first came.
    pub notifications: Vec<Notification>,
    /// Its calls.
    pub calls: Vec<Call>,
    /// Everything, oldest first.
    pub timeline: Vec<Event>,
}

/// A notification, and what became of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// Its kind.
    pub kind: String,
    /// SHA-256 of its canonical payload.
    pub digest: String,
    /// What became of it: received, dispatched, waiting or attention.
    pub state: String,
    /// Why it waits, needs a person, or led to nothing.
    pub reason: Option<String>,
    /// When the first delivery came.
    pub received_at: String,
    /// When the last delivery came.
    pub last_received_at: String,
    /// How often it was delivered.
    pub deliveries: u64,
    /// When it was decided last.
    pub decided_at: Option<String>,
    /// How often a person had it decided again.
    pub replays: i64,
    /// When a person last did.
    pub replayed_at: Option<String>,
    /// Who last did.
    pub replayed_by: Option<String>,
    /// Who said that nothing more is to be done about it.
    pub settled_by: Option<String>,
    /// What that person noted.
    pub settled_note: Option<String>,
    /// The calls it led to, each as `call/key`.
    pub calls: Vec<String>,
    /// What the partner sent, masked.
    pub payload: Value,
}

/// A call, and what became of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Which call.
    pub call: String,
    /// Its key.
    pub key: String,
    /// What became of it: pending, in_progress, succeeded, rejected or unknown.
    pub state: String,
    /// How often it was tried.
    pub attempt: u32,
    /// Whether it may be sent again when nobody knows whether it took effect: again or never.
    pub may_be_sent_again: String,
    /// Who asked for it: a notification, or an IAM identity.
    pub asked_by: String,
    /// When it was asked for.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
    /// When it may be sent next.
    pub not_before: String,
    /// What it says, masked.
    pub request: Value,
    /// Its attempts, oldest first.
    pub history: Vec<Attempt>,
    /// Who is sending it, or did last.
    pub owner: Option<String>,
    /// Until when.
    pub lease_until: Option<String>,
    /// Why it is not done, or not done well.
    pub last_error: Option<Failure>,
    /// What TOP answered to its success.
    pub response: Option<Map<String, Value>>,
}

/// One attempt, as it ended.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// Its number, from 1.
    pub attempt: u32,
    /// When it ended.
    pub at: String,
    /// Who made it.
    pub owner: String,
    /// How it ended.
    pub outcome: String,
    /// What TOP said, where it failed.
    pub error: Option<Failure>,
    /// What the person said who settled the call.
    pub note: Option<String>,
}

/// What is known of a failure.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// TOP's code.
    pub code: Option<i64>,
    /// TOP's `sub_code`, or a business failure's own code.
    pub sub_code: Option<String>,
    /// What happened, in TOP's words or ours.
    pub message: String,
    /// TOP's id of the request.
    pub request_id: Option<String>,
}

/// One line of a timeline.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When.
    pub at: String,
    /// What.
    pub event: String,
    /// More of it.
    pub detail: Option<String>,
}

/// A call was recorded.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Submitted {
    /// Which call.
    pub call: String,
    /// Its key.
    pub key: String,
    /// `pending`.
    pub state: String,
}

/// What needs a person, a page of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttentionPage {
    /// Notifications and calls, oldest first.
    pub items: Vec<NeedsPerson>,
    /// What to say as `after` for the next page; null on the last one.
    pub next: Option<String>,
}

/// A notification in attention, or a call whose outcome is unknown.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NeedsPerson {
    /// attention or unknown.
    pub state: String,
    /// Of a notification: whose order it is about.
    pub partner: Option<String>,
    /// Of a notification: the order's id.
    pub order_id: Option<String>,
    /// Of a notification: its kind.
    pub notification: Option<String>,
    /// Of a notification: its digest.
    pub digest: Option<String>,
    /// Of a call: which.
    pub call: Option<String>,
    /// Of a call: its key.
    pub key: Option<String>,
    /// When it came.
    pub since: String,
    /// Why a person must look.
    pub reason: String,
}
