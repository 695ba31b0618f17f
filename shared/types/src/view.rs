//! Records as the company's people and systems see them: times to read, personal data masked.

use serde_json::{Value, json};

use crate::attention::{NeedsPerson, What};
use crate::call::Lane;
use crate::failure::Failure;
use crate::notification::NotificationState;
use crate::reason::Reason;
use crate::record::{
    Bodies, Body, End, Entry, Fact, LinkFact, Notification, OrderRecord, Outcome, RecordKey, Submission, Target, Told,
    Wanted,
};
use crate::redact::mask_personal;
use crate::time::EpochMillis;

/// How much of a digest tells the notifications of one order apart.
const SHOWN_OF_DIGEST: usize = 8;

/// Where a call is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// The state of a record's target.
#[must_use]
pub fn state_of_target(record: &OrderRecord, target: &Target) -> CallState {
    match target.end {
        Some(End::Refused) => CallState::Refused,
        Some(End::Unknown) => CallState::Unknown,
        None if record.sending.is_some() => CallState::InProgress,
        None => CallState::Pending,
    }
}

/// The state of a submitted call.
#[must_use]
pub fn state_of_submission(record: &OrderRecord, one: &Submission) -> CallState {
    match (one.outcome, one.refused, &record.target) {
        (Some(outcome), ..) => {
            if outcome.has_effect() {
                CallState::Succeeded
            } else {
                CallState::Refused
            }
        }
        (None, _, Some(target)) if one.asks_for(target) => state_of_target(record, target),
        (None, true, _) => CallState::Refused,
        // Another record told TOP the same.
        (None, false, _) if record.wanted == Some(Wanted::Nothing(Reason::ToldBySubmission)) => CallState::Succeeded,
        (None, false, _) if is_replaced(record, one) => CallState::Withdrawn,
        (None, false, _) => CallState::Pending,
    }
}

/// Redemptions are sent one after the other; of other calls only the newest submission counts.
fn is_replaced(record: &OrderRecord, one: &Submission) -> bool {
    let is_decided = record.submissions.contains(one);
    record.stopped.is_some() || (!record.key.is_redemption() && is_decided && record.submissions.last() != Some(one))
}

/// A submitted call.
#[must_use]
pub fn submission(record: &OrderRecord, bodies: &Bodies, one: &Submission) -> Value {
    let RecordKey::Submission(lane) = &record.key else { return Value::Null };
    let state = state_of_submission(record, one);
    let target = record.target.as_ref().filter(|target| one.asks_for(target));
    let told = record.told.get(&lane.to_string()).filter(|told| told.digest == one.digest && one.outcome.is_some());
    let mut view = call(record, bodies, lane, state, (target, told), &one.request);
    view["key"] = json!(one.key);
    view["may_be_sent_again"] = json!(one.resend);
    view["submitted_by"] = json!(one.by);
    view["created_at"] = json!(one.at.to_string());
    view
}

/// The calls that a record has led to.
#[must_use]
pub fn calls(record: &OrderRecord, bodies: &Bodies) -> Vec<Value> {
    let nothing = Body::Inline(String::new());
    let told = record.told.iter().filter_map(|(name, told)| {
        let lane = Lane::parse(name)?;
        let state = if told.outcome.has_effect() { CallState::Succeeded } else { CallState::Refused };
        let request = told.request.as_ref().unwrap_or(&nothing);
        Some(call(record, bodies, &lane, state, (None, Some(told)), request))
    });
    let target = record.target.iter().map(|target| {
        let state = state_of_target(record, target);
        call(record, bodies, &target.lane(), state, (Some(target), None), &target.request)
    });
    told.chain(target).collect()
}

fn call(
    record: &OrderRecord,
    bodies: &Bodies,
    lane: &Lane,
    state: CallState,
    (target, told): (Option<&Target>, Option<&Told>),
    request: &Body,
) -> Value {
    let generation = target.map(|target| target.generation).or(told.map(|told| told.generation)).unwrap_or(0);
    let name = lane.to_string();
    let of_it = |entry: &&Entry| entry.lane.as_ref() == Some(&name) && entry.generation == generation;
    let mut history: Vec<_> = record.history.iter().filter(of_it).map(attempt).collect();
    let attempts = target.map_or_else(|| told.map_or(0, |told| told.attempts), |_| record.attempt);
    let mut view = json!({
        "call": lane.call,
        "key": lane.id,
        "state": state.as_str(),
        "attempt": attempts,
        "generation": generation,
        "revision": record.revision,
        "request": masked(request, bodies),
    });
    if let Some(told) = told {
        if told.outcome == Outcome::Succeeded {
            history.push(json!({"attempt": told.attempts, "at": told.at.to_string(), "outcome": "succeeded"}));
        }
        view["created_at"] = json!(told.since.to_string());
        view["updated_at"] = json!(told.at.to_string());
        view["response"] = json!(told.reply);
    }
    if let Some(target) = target {
        let latest = record.history.iter().filter(of_it).map(|entry| entry.at).max();
        view["created_at"] = json!(target.since.to_string());
        view["updated_at"] = json!(latest.unwrap_or(target.since).to_string());
        view["may_be_sent_again"] = json!(target.resend);
        view["not_before"] = json!(target.due.map(|due| due.to_string()));
        view["last_error"] = json!(target.failure);
        view["unsettled"] = json!(record.unsettled);
        if let Some(sending) = &record.sending {
            view["owner"] = json!(sending.owner);
            view["lease_until"] = json!(sending.until.to_string());
        }
    }
    view["history"] = json!(history);
    view
}

fn attempt(entry: &Entry) -> Value {
    let mut view = json!({"attempt": entry.attempt, "at": entry.at.to_string(), "outcome": entry.what});
    for (name, value) in [("owner", &entry.by), ("note", &entry.note)] {
        if let Some(value) = value {
            view[name] = json!(value);
        }
    }
    if let Some(failure) = &entry.failure {
        view["error"] = json!(failure);
    }
    view
}

/// An entry of the attention list.
#[must_use]
pub fn needs_person(needs: &NeedsPerson) -> Value {
    let mut view = match &needs.what {
        What::Record(RecordKey::Order(order), reasons, _) => json!({
            "kind": "order", "partner": order.partner, "order_id": order.order_id, "reasons": reasons,
        }),
        What::Record(RecordKey::Submission(lane), reasons, _) => {
            let key = lane.id.strip_prefix("key#").unwrap_or(&lane.id);
            json!({"kind": "call", "call": lane.call, "key": key, "reasons": reasons})
        }
        What::Unreadable(unreadable) => json!({
            "kind": "unreadable", "endpoint": unreadable.endpoint, "digest": unreadable.digest,
            "reasons": ["unreadable"],
        }),
    };
    if let What::Record(_, _, Some((call, key))) = &needs.what {
        (view["call"], view["key"]) = (json!(call), json!(key));
    }
    view["since"] = json!(needs.since.to_string());
    view["reason"] = json!(match &needs.what {
        What::Record(_, reasons, _) => reasons.iter().map(|reason| reason.text()).collect::<Vec<_>>().join("; "),
        What::Unreadable(unreadable) => unreadable.problem.clone(),
    });
    view
}

/// A link.
#[must_use]
pub fn link(link: &LinkFact, bodies: &Bodies) -> Value {
    let mut view = masked(&link.body, bodies);
    view["version"] = json!(link.version);
    view["updated_at"] = json!(link.at.to_string());
    view["updated_by"] = json!(link.by);
    view
}

/// A notification.
#[must_use]
pub fn notification(digest: &str, one: &Notification, undecided: u32, bodies: &Bodies) -> Value {
    let state =
        if undecided > 0 { NotificationState::Received } else { one.state.unwrap_or(NotificationState::Received) };
    let reason = one.reason.as_ref().filter(|_| undecided == 0);
    let text = reason.and_then(|code| serde_json::from_value::<Reason>(json!(code)).ok()).map(Reason::text);
    let payload = one.body.as_ref().map(|body| masked(body, bodies));
    json!({
        "kind": one.kind,
        "digest": digest,
        "state": state,
        "reason": text,
        "reason_code": reason,
        "received_at": one.first.to_string(),
        "last_received_at": one.last.unwrap_or(one.first).to_string(),
        "deliveries": one.deliveries + undecided,
        "decided_at": one.decided.map(|at| at.to_string()),
        "calls": one.lane.iter().collect::<Vec<_>>(),
        "payload": payload,
    })
}

/// How many deliveries of a notification wait to be decided.
#[must_use]
pub fn undecided_deliveries(record: &OrderRecord, digest: &str) -> u32 {
    let of_it = |fact: &&Fact| matches!(fact, Fact::Delivery { digest: delivered, .. } if delivered == digest);
    u32::try_from(record.facts.iter().filter(of_it).count()).unwrap_or(u32::MAX)
}

/// An order: its link, its notifications, its calls, why it waits or needs a person, and its timeline.
#[must_use]
pub fn order(record: &OrderRecord, bodies: &Bodies) -> Value {
    let mut notifications: Vec<_> = record.notifications.iter().collect();
    notifications.sort_by_key(|(digest, one)| (one.first, digest.as_str()));
    let shown = notifications
        .iter()
        .map(|(digest, one)| notification(digest, one, undecided_deliveries(record, digest), bodies));
    let reasons = |reasons: &std::collections::BTreeSet<Reason>| -> Vec<Value> {
        reasons.iter().map(|reason| json!({"code": reason, "text": reason.text()})).collect()
    };
    let attention = record
        .attention
        .as_ref()
        .map(|attention| json!({"since": attention.since.to_string(), "reasons": reasons(&attention.reasons)}));
    json!({
        "revision": record.revision,
        "undecided": record.facts.len(),
        "link": record.link.as_ref().map(|one| link(one, bodies)),
        "notifications": shown.collect::<Vec<_>>(),
        "calls": calls(record, bodies),
        "attention": attention,
        "waits_for": record.waits.map(|reason| json!({"code": reason, "text": reason.text()})),
        "dismissed": reasons(&record.dismissed),
        "stopped": record.stopped,
        "timeline": timeline(record),
    })
}

/// Everything that happened to an order, oldest first: `at`, `event`, and `detail` where there is one.
fn timeline(record: &OrderRecord) -> Vec<Value> {
    let mut events: Vec<(EpochMillis, String, Option<String>)> = Vec::new();
    if let Some(link) = &record.link {
        events.push((link.at, "linked".to_owned(), Some(format!("by {}", link.by))));
    }
    for (digest, one) in &record.notifications {
        let name = format!("{} {}", one.kind, digest.get(..SHOWN_OF_DIGEST).unwrap_or_default());
        let deliveries = one.deliveries + undecided_deliveries(record, digest);
        events.push((one.first, format!("{name} received"), None));
        if deliveries > 1 {
            let last = one.last.unwrap_or(one.first);
            events.push((last, format!("{name} received again"), Some(format!("{deliveries} deliveries in all"))));
        }
        if let (Some(at), Some(state)) = (one.decided, one.state) {
            let reason = one.reason.as_ref().and_then(|code| serde_json::from_value::<Reason>(json!(code)).ok());
            let lane = one.lane.iter().map(|lane| format!("to {lane}"));
            let detail: Vec<_> = reason.map(|reason| reason.text().to_owned()).into_iter().chain(lane).collect();
            events.push((at, format!("{name} {}", state.as_str()), Some(detail.join("; "))));
        }
    }
    let target = record.target.iter().map(|target| (target.since, target.lane().to_string()));
    let told = record.told.iter().map(|(lane, told)| (told.since, lane.clone()));
    events.extend(told.chain(target).map(|(since, lane)| (since, format!("{lane} requested"), None)));
    for entry in &record.history {
        let call = entry.lane.as_ref().filter(|_| entry.generation > 0);
        let event = match call {
            Some(lane) if entry.attempt > 0 => format!("{lane} attempt {} {}", entry.attempt, entry.what),
            Some(lane) => format!("{lane} {}", entry.what),
            None => entry.what.clone(),
        };
        let by = entry.by.as_ref().map(|by| format!("by {by}"));
        let detail = [by, entry.note.clone(), entry.failure.as_ref().map(worded)];
        events.push((entry.at, event, Some(detail.into_iter().flatten().collect::<Vec<_>>().join(": "))));
    }
    for (lane, told) in &record.told {
        let request = told.reply.as_ref().and_then(|reply| reply.request_id.as_ref());
        let detail = request.map(|id| format!("TOP request {id}"));
        events.push((told.at, format!("{lane} attempt {} {}", told.attempts, told.outcome.as_str()), detail));
    }
    events.sort_by_key(|(at, ..)| *at);
    let view = |(at, event, detail): (EpochMillis, String, Option<String>)| {
        let mut view = json!({"at": at.to_string(), "event": event});
        if let Some(detail) = detail.filter(|detail| !detail.is_empty()) {
            view["detail"] = json!(detail);
        }
        view
    };
    events.into_iter().map(view).collect()
}

fn worded(error: &Failure) -> String {
    let code = error.code.map(|code| format!("code {code}"));
    let request = error.request_id.as_ref().map(|id| format!("TOP request {id}"));
    let parts: Vec<_> =
        [code, error.sub_code.clone(), Some(error.message.clone()), request].into_iter().flatten().collect();
    parts.join(", ")
}

fn masked(body: &Body, bodies: &Bodies) -> Value {
    let json = match body {
        Body::Inline(json) => Some(json),
        Body::Stored(digest) => bodies.get(digest),
    };
    let mut value = json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or(Value::Null);
    mask_personal(&mut value);
    value
}
