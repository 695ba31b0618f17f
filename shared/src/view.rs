//! Records as the company's people and systems are shown them: times to read, personal data masked.

use serde_json::{Value, json};

use crate::notification::NotificationState;
use crate::record::calls::{Attempt, CallRecord, CallState};
use crate::record::orders::{LinkRecord, NotificationRecord, OrderRecords};
use crate::record::unfinished::{NeedsPerson, RecordKey};
use crate::redact::mask_personal;
use crate::top::error::Failure;

/// How much of a digest tells notifications of one order apart.
const SHOWN_OF_DIGEST: usize = 8;

/// A call.
#[must_use]
pub fn call(record: &CallRecord) -> Value {
    let mut view = json!({
        "call": record.call,
        "key": record.key,
        "state": record.state,
        "attempt": record.attempt,
        "may_be_sent_again": record.resend,
        "asked_by": record.asked_by,
        "created_at": record.created_at.to_string(),
        "updated_at": record.updated_at.to_string(),
        "not_before": record.not_before.to_string(),
        "request": masked(&record.request),
        "history": record.history.iter().map(attempt).collect::<Vec<_>>(),
    });
    if let Some(owner) = &record.owner {
        view["owner"] = json!(owner);
    }
    if let Some(until) = record.lease_until {
        view["lease_until"] = json!(until.to_string());
    }
    if let Some(error) = &record.last_error {
        view["last_error"] = json!(error);
    }
    if let Some(response) = &record.reply {
        view["response"] = json!(response);
    }
    view
}

fn attempt(attempt: &Attempt) -> Value {
    let mut view = json!({
        "attempt": attempt.attempt,
        "at": attempt.at.to_string(),
        "owner": attempt.owner,
        "outcome": attempt.outcome,
    });
    if let Some(error) = &attempt.error {
        view["error"] = json!(error);
    }
    if let Some(note) = &attempt.note {
        view["note"] = json!(note);
    }
    view
}

/// What needs a person.
#[must_use]
pub fn needs_person(needs: &NeedsPerson) -> Value {
    let mut view = match &needs.key {
        RecordKey::Notification(key) => json!({
            "state": NotificationState::Attention,
            "partner": key.order.partner,
            "order_id": key.order.order_id,
            "notification": key.kind,
            "digest": key.digest,
        }),
        RecordKey::Call(id) => json!({"state": CallState::Unknown, "call": id.call, "key": id.key}),
    };
    view["since"] = json!(needs.since.to_string());
    view["reason"] = json!(needs.reason);
    view
}

/// A link.
#[must_use]
pub fn link(record: &LinkRecord) -> Value {
    let mut view = json!(record.link);
    mask_personal(&mut view);
    view["updated_at"] = json!(record.updated_at.to_string());
    view["updated_by"] = json!(record.updated_by);
    view
}

/// A notification.
#[must_use]
pub fn notification(record: &NotificationRecord) -> Value {
    json!({
        "kind": record.kind,
        "digest": record.digest,
        "state": record.state,
        "reason": record.reason,
        "received_at": record.received_at.to_string(),
        "last_received_at": record.last_received_at.to_string(),
        "deliveries": record.deliveries,
        "decided_at": record.decided_at.map(|at| at.to_string()),
        "replays": record.replays,
        "replayed_at": record.replayed_at.map(|at| at.to_string()),
        "replayed_by": record.replayed_by,
        "settled_by": record.settled_by,
        "settled_note": record.settled_note,
        "calls": record.calls,
        "payload": masked(&record.payload),
    })
}

/// Everything that happened to an order, oldest first: `at`, `event`, and `detail` where there is one.
#[must_use]
pub fn timeline(order: &OrderRecords, calls: &[CallRecord]) -> Vec<Value> {
    let mut events = Vec::new();
    let mut event = |at, event: String, detail: Option<String>| events.push((at, event, detail));
    if let Some(link) = &order.link {
        event(link.updated_at, "linked".to_owned(), Some(format!("by {}", link.updated_by)));
    }
    for notification in &order.notifications {
        let name = format!("{} {}", notification.kind, notification.digest.get(..SHOWN_OF_DIGEST).unwrap_or_default());
        event(notification.received_at, format!("{name} received"), None);
        if notification.deliveries > 1 {
            let times = format!("{} deliveries in all", notification.deliveries);
            event(notification.last_received_at, format!("{name} received again"), Some(times));
        }
        if let (Some(at), Some(by)) = (notification.replayed_at, &notification.replayed_by) {
            event(at, format!("{name} to be decided again"), Some(format!("by {by}")));
        }
        // A notification that is to be decided again has no decision yet.
        if let Some(at) = notification.decided_at.filter(|_| notification.state != NotificationState::Received) {
            let calls = notification.calls.iter().map(|call| format!("to {call}"));
            let settled = notification
                .settled_by
                .iter()
                .map(|by| format!("by {by}: {}", notification.settled_note.as_deref().unwrap_or_default()));
            let detail: Vec<_> = notification.reason.iter().cloned().chain(calls).chain(settled).collect();
            event(at, format!("{name} {}", notification.state.as_str()), Some(detail.join("; ")));
        }
    }
    for call in calls {
        event(call.created_at, format!("{} asked for", call.id()), Some(format!("by {}", shortened(&call.asked_by))));
        for attempt in &call.history {
            let detail = match (&attempt.error, &attempt.note, &call.reply) {
                (Some(error), ..) => Some(worded(error)),
                (None, Some(note), _) => Some(format!("by {}: {note}", attempt.owner)),
                (None, None, Some(reply)) => reply.request_id.as_ref().map(|id| format!("TOP request {id}")),
                (None, None, None) => None,
            };
            event(attempt.at, format!("{} attempt {} {}", call.id(), attempt.attempt, attempt.outcome), detail);
        }
    }
    events.sort_by_key(|(at, ..)| *at);
    let view = |(at, event, detail): (crate::clock::EpochMillis, String, Option<String>)| {
        let mut view = json!({"at": at.to_string(), "event": event});
        if let Some(detail) = detail.filter(|detail| !detail.is_empty()) {
            view["detail"] = json!(detail);
        }
        view
    };
    events.into_iter().map(view).collect()
}

/// Who asked, with a notification's digest cut to what its own lines show of it.
fn shortened(asked_by: &str) -> &str {
    match asked_by.rsplit_once('/') {
        Some((order, digest)) if digest.len() == 64 => {
            asked_by.get(..order.len() + 1 + SHOWN_OF_DIGEST).unwrap_or(asked_by)
        }
        _ => asked_by,
    }
}

fn worded(error: &Failure) -> String {
    let code = error.code.map(|code| format!("code {code}"));
    let request = error.request_id.as_ref().map(|id| format!("TOP request {id}"));
    let parts: Vec<_> =
        [code, error.sub_code.clone(), Some(error.message.clone()), request].into_iter().flatten().collect();
    parts.join(", ")
}

fn masked(json: &str) -> Value {
    let mut value = serde_json::from_str(json).unwrap_or(Value::Null);
    mask_personal(&mut value);
    value
}
