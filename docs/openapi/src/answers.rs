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

/// A link was recorded.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Linked {
    /// The partner.
    pub partner: String,
    /// The order's id.
    pub order_id: String,
    /// How often the order was linked.
    pub version: i64,
    /// How many notifications the order has.
    pub notifications: u64,
}

/// A person's word about an order was recorded; the order is decided next.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// The partner.
    pub partner: String,
    /// The order's id.
    pub order_id: String,
    /// True.
    pub accepted: bool,
}

/// An unreadable body was dismissed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DismissedBody {
    /// The endpoint that the body came to.
    pub endpoint: String,
    /// The body's SHA-256.
    pub digest: String,
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
    /// Changes with each write of the record: send it with a word that must fit what you saw.
    pub revision: i64,
    /// How many facts are not decided yet.
    pub undecided: u64,
    /// Why a person must look, if one must.
    pub attention: Option<Attention>,
    /// What the order waits for, if it waits.
    pub waits_for: Option<Reason>,
    /// The reasons that a person dismissed.
    pub dismissed: Vec<Reason>,
    /// `withdrawn` or `closed` by a person, until a new fact comes.
    pub stopped: Option<String>,
    /// Everything, oldest first.
    pub timeline: Vec<Event>,
}

/// Why a person must look.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attention {
    /// Since when.
    pub since: String,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// A reason.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// For programs.
    pub code: String,
    /// For people.
    pub text: String,
}

/// A notification, and what became of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// Its kind.
    pub kind: String,
    /// Its name among the order's notifications.
    pub digest: String,
    /// What became of it: received, dispatched, waiting or attention.
    pub state: String,
    /// Why it waits, needs a person, or led to nothing.
    pub reason: Option<String>,
    /// The same for programs.
    pub reason_code: Option<String>,
    /// When the first delivery came.
    pub received_at: String,
    /// When the last delivery came.
    pub last_received_at: String,
    /// How often it was delivered.
    pub deliveries: u64,
    /// When it was decided last.
    pub decided_at: Option<String>,
    /// The call that it led to, as `call/id`.
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
    /// What became of it: pending, in_progress, succeeded, refused, unknown or withdrawn.
    pub state: String,
    /// How often it was tried.
    pub attempt: u32,
    /// How many of the attempts may have taken effect.
    pub unsettled: Option<u32>,
    /// Changes with each request that takes the place of another one.
    pub generation: u32,
    /// Changes with each write of the record.
    pub revision: i64,
    /// Whether it may be sent again while nobody knows whether it took effect: again or never.
    pub may_be_sent_again: Option<String>,
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
    /// Who said so, where a person did.
    pub owner: Option<String>,
    /// How it ended.
    pub outcome: String,
    /// What TOP said, where it failed.
    pub error: Option<Failure>,
    /// The person's note.
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
    /// Orders, submitted calls and unreadable bodies, oldest first.
    pub items: Vec<NeedsPerson>,
    /// What to say as `after` for the next page; null on the last one.
    pub next: Option<String>,
}

/// An order, a submitted call or an unreadable body that needs a person.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NeedsPerson {
    /// order, call or unreadable.
    pub kind: String,
    /// Of an order: the partner.
    pub partner: Option<String>,
    /// Of an order: its id.
    pub order_id: Option<String>,
    /// Of an unreadable body: the endpoint that it came to.
    pub endpoint: Option<String>,
    /// Of an unreadable body: its SHA-256.
    pub digest: Option<String>,
    /// Why, for programs.
    pub reasons: Vec<String>,
    /// The call that it is about, if there is one.
    pub call: Option<String>,
    /// That call's key.
    pub key: Option<String>,
    /// Since when a person must look.
    pub since: String,
    /// Why a person must look.
    pub reason: String,
}
