//! Derives order events for the company's other systems from changes of a record. The envelope is
//! [CloudEvents 1.0](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md).
//!
//! The stream has images of a record before and after a write. One write may change several things, and each becomes
//! one event. An event's id is derived from its content, so an image that arrives twice gives the same events.
//!
//! Events hold only keys, states and codes. They hold no bodies, no requests and no messages of TOP, which may quote
//! them.

use relay_store::item::{RECORD, read_record};
use relay_types::call::Lane;
use relay_types::digest::sha256_hex;
use relay_types::notification::NotificationState;
use relay_types::order::OrderKey;
use relay_types::record::{Entry, Notification, OrderRecord, Outcome as Ended, RecordKey, Told};
use relay_types::time::EpochMillis;
use serde::{Deserialize, Serialize};
use serde_dynamo::Item;
use strum::AsRefStr;

/// One change of the table, from its stream.
#[derive(Debug, Clone, Deserialize)]
pub struct StreamRecord {
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

/// The outcome that an event reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, AsRefStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// A notification was accepted.
    Received,
    /// A notification was decided, and its call, if any, requested.
    Dispatched,
    /// A notification waits for the booking system.
    Waiting,
    /// A notification needs attention.
    Attention,
    /// An operator replayed an order.
    Replayed,
    /// An operator dismissed an order.
    Dismissed,
    /// An operator closed an order that will never be linked.
    Closed,
    /// A call took effect at TOP.
    Succeeded,
    /// TOP refused a call.
    Refused,
    /// Whether a call took effect is unknown: it needs attention.
    Unknown,
    /// A call was withdrawn before it was sent.
    Withdrawn,
}

/// An event in the form that subscribers receive.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OrderEvent {
    specversion: &'static str,
    /// Identical when the event is published again.
    pub id: String,
    source: String,
    /// `ticket-relay.notification.`, `ticket-relay.call.` or `ticket-relay.order.`, followed by the outcome.
    #[serde(rename = "type")]
    event_type: String,
    /// A notification of an order, a call, or an order.
    subject: String,
    /// When it happened, in UTC.
    time: String,
    datacontenttype: &'static str,
    /// The details.
    pub data: Data,
}

/// The details of an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Data {
    /// What happened.
    pub outcome: Outcome,
    /// For a notification, its kind; for a call, its name; for an operator's request, `order`.
    pub kind: &'static str,
    /// The order; none for a call that was submitted directly.
    #[serde(flatten)]
    pub order: Option<OrderKey>,
    /// For a call: its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// For a notification: a code for why it waits, needs attention, or led to no call.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The call that a notification led to.
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<String>,
    /// TOP's error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i64>,
    /// TOP's `sub_code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_code: Option<String>,
    /// Whether this follows from an operator's request.
    #[serde(skip_serializing_if = "is_false")]
    pub said_by_person: bool,
    /// For a call that TOP reported as a success: the time since the notification that led to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_from_notification: Option<f64>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde requires a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Reads a record from an image. The error holds no cause, because that could quote the item.
fn read(image: Option<Item>) -> Option<OrderRecord> {
    let record = read_record(image?.into());
    if let Err(error) = &record {
        tracing::error!(%error, "change skipped: no event published");
    }
    record.ok()
}

impl StreamRecord {
    /// The events that the change leads to.
    #[must_use]
    pub fn events(self, source: &str) -> Vec<OrderEvent> {
        let Change { new_image, old_image } = self.dynamodb;
        let is_record = new_image
            .as_ref()
            .and_then(|item| item.get("sk"))
            .is_some_and(|sk| matches!(sk, serde_dynamo::AttributeValue::S(sk) if sk == RECORD));
        let Some(new) = new_image.filter(|_| is_record).and_then(|image| read(Some(image))) else { return Vec::new() };
        let old = read(old_image).unwrap_or_else(|| OrderRecord::empty(new.key.clone()));
        let picture = Picture { source, new: &new, old: &old };
        let notifications = new.notifications.iter().flat_map(|(digest, one)| picture.of_notification(digest, one));
        let told = new.told.iter().filter_map(|(lane, told)| picture.of_told(lane, told));
        let entries = new.history.iter().filter(|entry| entry.n > old.entries);
        notifications.chain(entries.filter_map(|entry| picture.of_entry(entry))).chain(told).collect()
    }
}

struct Picture<'a> {
    source: &'a str,
    new: &'a OrderRecord,
    old: &'a OrderRecord,
}

impl Picture<'_> {
    fn order(&self) -> Option<OrderKey> {
        match &self.new.key {
            RecordKey::Order(order) => Some(order.clone()),
            RecordKey::Submission(_) => None,
        }
    }

    fn data(&self, outcome: Outcome, kind: &'static str) -> Data {
        Data {
            outcome,
            kind,
            order: self.order(),
            key: None,
            reason: None,
            call: None,
            code: None,
            sub_code: None,
            said_by_person: false,
            seconds_from_notification: None,
        }
    }

    /// Builds an event whose id is derived from its content. `what` distinguishes it from all others of its record.
    fn event(&self, family: &str, subject: String, what: &str, at: EpochMillis, data: Data) -> OrderEvent {
        let mut id = sha256_hex(format!("{} {what}", self.new.key.pk()).as_bytes());
        id.truncate(32);
        OrderEvent {
            specversion: "1.0",
            id,
            source: self.source.to_owned(),
            event_type: format!("ticket-relay.{family}.{}", data.outcome.as_ref()),
            subject,
            time: at.to_string(),
            datacontenttype: "application/json",
            data,
        }
    }

    fn of_notification(&self, digest: &str, one: &Notification) -> Vec<OrderEvent> {
        let old = self.old.notifications.get(digest);
        let subject = format!("{}/{}/{digest}", self.new.key, one.kind);
        let received = old.is_none().then(|| {
            let data = self.data(Outcome::Received, one.kind.into());
            self.event("notification", subject.clone(), &format!("received {digest}"), one.first, data)
        });
        let is_news = old.is_none_or(|old| (old.state, &old.reason, &old.lane) != (one.state, &one.reason, &one.lane));
        let outcome = match one.state.filter(|_| is_news) {
            Some(NotificationState::Dispatched) => Some(Outcome::Dispatched),
            Some(NotificationState::Waiting) => Some(Outcome::Waiting),
            Some(NotificationState::Attention) => Some(Outcome::Attention),
            Some(NotificationState::Received) | None => None,
        };
        let decided = outcome.map(|outcome| {
            let at = one.decided.unwrap_or(one.first);
            let what = format!("{} {digest} {}", outcome.as_ref(), at.0);
            let data = self.data(outcome, one.kind.into());
            let data = Data { reason: one.reason.clone(), call: one.lane.clone(), ..data };
            self.event("notification", subject, &what, at, data)
        });
        received.into_iter().chain(decided).collect()
    }

    fn of_call(&self, lane: &str, outcome: Outcome) -> Option<Data> {
        let lane = Lane::parse(lane)?;
        let key = lane.key().to_owned();
        Some(Data { key: Some(key), ..self.data(outcome, lane.call.into()) })
    }

    fn of_told(&self, lane: &str, told: &Told) -> Option<OrderEvent> {
        if self.old.told.get(lane).is_some_and(|old| old.generation == told.generation) {
            return None;
        }
        let outcome = if told.outcome.has_effect() { Outcome::Succeeded } else { Outcome::Refused };
        let by_top = told.outcome == Ended::Succeeded;
        let current = self.new.current.as_ref().and_then(|digest| self.new.notifications.get(digest));
        let seconds = current.filter(|_| by_top).map(|current| current.first.until(told.at).as_secs_f64());
        let data = self.of_call(lane, outcome)?;
        let data = Data { said_by_person: !by_top, seconds_from_notification: seconds, ..data };
        let what = format!("{lane} {} {}", told.generation, told.outcome.as_ref());
        Some(self.event("call", lane.to_owned(), &what, told.at, data))
    }

    fn of_entry(&self, entry: &Entry) -> Option<OrderEvent> {
        let of_order = |outcome| {
            let data = Data { said_by_person: true, ..self.data(outcome, "order") };
            Some(self.event("order", self.new.key.to_string(), &format!("entry {}", entry.n), entry.at, data))
        };
        let outcome = match entry.what.as_str() {
            "replayed" => return of_order(Outcome::Replayed),
            "dismissed" => return of_order(Outcome::Dismissed),
            "closed" => return of_order(Outcome::Closed),
            "refused" => Outcome::Refused,
            "unknown" => Outcome::Unknown,
            "withdrawn_before_sent" => Outcome::Withdrawn,
            _ => return None,
        };
        let lane = entry.lane.as_ref()?;
        let failure = entry.failure.as_ref();
        let data = self.of_call(lane, outcome)?;
        let code = failure.and_then(|failure| failure.code);
        let data = Data { code, sub_code: failure.and_then(|failure| failure.sub_code.clone()), ..data };
        let what = format!("{lane} {} {} {}", entry.generation, entry.attempt, entry.what);
        Some(self.event("call", lane.clone(), &what, entry.at, data))
    }
}

impl OrderEvent {
    /// The attributes that subscriptions can filter by.
    pub fn attributes(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let order = self.data.order.as_ref();
        [
            Some(("outcome", self.data.outcome.as_ref())),
            Some(("kind", self.data.kind)),
            order.map(|order| ("partner", order.partner.as_ref())),
            order.map(|order| ("order", order.order_id.as_str())),
        ]
        .into_iter()
        .flatten()
    }
}
