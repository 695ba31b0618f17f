//! An event: what a change of the table says to those who are not the relay. Its envelope is that of
//! [CloudEvents 1.0](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md).
//!
//! Of a record only its keys, states and codes get here: no payload, no request, no words of TOP's, which may quote one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_dynamo::Item;
use shared::call::CallId;
use shared::clock::EpochMillis;
use shared::notification::{NotificationKey, NotificationState};
use shared::order::OrderKey;
use shared::record::calls::CallState;
use shared::record::unfinished::RecordKey;
use shared::top::error::Failure;

/// One change of the table, as its stream has it.
#[derive(Debug, Clone, Deserialize)]
pub struct StreamRecord {
    #[serde(rename = "eventID")]
    id: String,
    dynamodb: Change,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    #[serde(default)]
    new_image: Option<Item>,
    #[serde(default)]
    old_image: Option<Item>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A notification was accepted.
    Received,
    /// A person had a notification decided again.
    Replayed,
    /// A notification is decided: the calls it leads to, if any, are recorded.
    Dispatched,
    /// A notification waits for the booking system.
    Waiting,
    /// A notification needs a person.
    Attention,
    /// TOP has a call.
    Succeeded,
    /// TOP refused a call.
    Rejected,
    /// Nobody knows whether a call took effect: it needs a person.
    Unknown,
    /// A call was taken back before it was sent.
    Withdrawn,
}

impl Outcome {
    /// The name in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Replayed => "replayed",
            Self::Dispatched => "dispatched",
            Self::Waiting => "waiting",
            Self::Attention => "attention",
            Self::Succeeded => "succeeded",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// An event, as subscribers get it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OrderEvent {
    specversion: &'static str,
    /// The same when the event comes again.
    pub id: String,
    source: String,
    /// `ticket-relay.notification.` or `ticket-relay.call.`, and the outcome.
    #[serde(rename = "type")]
    event_type: String,
    /// The record's key.
    subject: String,
    /// When it happened, in UTC.
    time: String,
    datacontenttype: &'static str,
    /// What happened.
    pub data: Data,
}

/// What happened to which order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Data {
    /// What.
    pub outcome: Outcome,
    /// Of a notification: its kind; of a call: which one.
    pub kind: &'static str,
    /// The order, unless it is a call that was submitted directly.
    #[serde(flatten)]
    pub order: Option<OrderKey>,
    /// Of a call: its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Why a notification waits, needs a person, or led to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The calls that a notification led to.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    calls: BTreeSet<String>,
    /// TOP's code of a refusal or failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i64>,
    /// TOP's `sub_code` of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_code: Option<String>,
    /// Whether it was a person who said so of a call that nobody knew the outcome of.
    #[serde(skip_serializing_if = "is_false")]
    pub said_by_person: bool,
    /// Of a call whose success TOP told: how long it took from the notification that led to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_from_notification: Option<f64>,
}

/// What of a notification's record matters here.
#[derive(Deserialize)]
struct Notification {
    state: NotificationState,
    received_at: EpochMillis,
    #[serde(default)]
    decided_at: Option<EpochMillis>,
    #[serde(default)]
    replayed_at: Option<EpochMillis>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    calls: BTreeSet<String>,
}

/// What of a call's record matters here.
#[derive(Deserialize)]
struct Call {
    state: CallState,
    asked_by: String,
    updated_at: EpochMillis,
    #[serde(default)]
    notified_at: Option<EpochMillis>,
    #[serde(default)]
    last_error: Option<Failure>,
}

/// Reads an image of a record of ours. The cause of a failure is not told, since it could quote the item.
fn read<'a, T: Deserialize<'a>>(image: Option<Item>, subject: &str) -> Option<T> {
    let read = serde_dynamo::from_item(image?);
    if read.is_err() {
        tracing::error!(subject, "a record cannot be read by this version; no event was published of its change");
    }
    read.ok()
}

impl StreamRecord {
    /// What the change says to others; nothing if it is none of their business.
    #[must_use]
    pub fn event(self, source: &str) -> Option<OrderEvent> {
        let Change { new_image, old_image } = self.dynamodb;
        let text = |name: &str| match new_image.as_ref()?.get(name)? {
            serde_dynamo::AttributeValue::S(text) => Some(text.as_str()),
            _ => None,
        };
        let record = RecordKey::parse(text("pk")?, text("sk")?)?;
        let (family, subject, time, data) = match record {
            RecordKey::Notification(key) => {
                let subject = key.to_string();
                let new: Notification = read(new_image, &subject)?;
                let (time, data) = of_notification(&key, read(old_image, &subject).as_ref(), new)?;
                ("notification", subject, time, data)
            }
            RecordKey::Call(id) => {
                let subject = id.to_string();
                let new: Call = read(new_image, &subject)?;
                let data = of_call(&id, read(old_image, &subject).as_ref(), &new)?;
                ("call", subject, new.updated_at, data)
            }
        };
        Some(OrderEvent {
            specversion: "1.0",
            id: self.id,
            source: source.to_owned(),
            event_type: format!("ticket-relay.{family}.{}", data.outcome.as_str()),
            subject,
            time: time.to_string(),
            datacontenttype: "application/json",
            data,
        })
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

fn of_notification(
    key: &NotificationKey,
    old: Option<&Notification>,
    new: Notification,
) -> Option<(EpochMillis, Data)> {
    let (outcome, time) = match new.state {
        NotificationState::Received if new.replayed_at.is_some() => (Outcome::Replayed, new.replayed_at),
        NotificationState::Received => (Outcome::Received, Some(new.received_at)),
        NotificationState::Dispatched => (Outcome::Dispatched, new.decided_at),
        NotificationState::Waiting => (Outcome::Waiting, new.decided_at),
        NotificationState::Attention => (Outcome::Attention, new.decided_at),
    };
    // A further delivery, or the same decision made again, is no news.
    let is_news =
        old.is_none_or(|old| (old.state, old.replayed_at, &old.calls) != (new.state, new.replayed_at, &new.calls));
    let data = Data {
        outcome,
        kind: key.kind.as_str(),
        order: Some(key.order.clone()),
        key: None,
        reason: new.reason,
        calls: new.calls,
        code: None,
        sub_code: None,
        said_by_person: false,
        seconds_from_notification: None,
    };
    is_news.then(|| (time.unwrap_or(new.received_at), data))
}

fn of_call(id: &CallId, old: Option<&Call>, new: &Call) -> Option<Data> {
    let old = old.map(|old| old.state);
    if old == Some(new.state) {
        return None;
    }
    let outcome = match new.state {
        CallState::Pending | CallState::InProgress => return None,
        CallState::Succeeded => Outcome::Succeeded,
        CallState::Rejected if old == Some(CallState::Pending) => Outcome::Withdrawn,
        CallState::Rejected => Outcome::Rejected,
        CallState::Unknown => Outcome::Unknown,
    };
    // The relay itself leaves such a call alone.
    let said_by_person = old == Some(CallState::Unknown);
    let since = new.notified_at.filter(|_| outcome == Outcome::Succeeded && !said_by_person);
    let failure = new.last_error.as_ref();
    Some(Data {
        outcome,
        kind: id.call.as_str(),
        order: NotificationKey::parse(&new.asked_by).map(|notification| notification.order),
        key: Some(id.key.to_string()),
        reason: None,
        calls: BTreeSet::new(),
        code: failure.and_then(|failure| failure.code),
        sub_code: failure.and_then(|failure| failure.sub_code.clone()),
        said_by_person,
        seconds_from_notification: since.map(|since| since.until(new.updated_at).as_secs_f64()),
    })
}

impl OrderEvent {
    /// What subscriptions can filter by.
    pub fn attributes(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let order = self.data.order.as_ref();
        [
            Some(("outcome", self.data.outcome.as_str())),
            Some(("kind", self.data.kind)),
            order.map(|order| ("partner", order.partner.as_str())),
            order.map(|order| ("order", order.order_id.as_str())),
        ]
        .into_iter()
        .flatten()
    }
}
