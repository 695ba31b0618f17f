//! The events of an order, from its facts and its history.

use serde_json::Value;

use crate::api::{Event, EventKind};
use crate::failure::Failure;
use crate::reason::Reason;
use crate::record::{Bodies, Entry, LinkFact, Notification, OrderRecord, Told};
use crate::time::EpochMillis;
use crate::view::{masked, reason_text, text_of, undecided_deliveries};

/// How many digits of a digest identify a notification in the timeline of an order.
const SHOWN_OF_DIGEST: usize = 8;

/// How many bytes of replaced links and requests a response may hold: the newest ones.
const MAX_REPLACED: usize = 500_000;

/// The events of an order, oldest first.
pub(super) fn timeline(record: &OrderRecord, bodies: &Bodies) -> Vec<Event> {
    let mut events: Vec<(EpochMillis, Event)> = record.link.iter().map(linked).collect();
    for (digest, one) in &record.notifications {
        events.extend(notified(record, digest, one));
    }
    let target = record.target.iter().map(|target| (target.since, target.lane().to_string(), target.generation));
    let told = record.told.iter().map(|(lane, told)| (told.since, lane.clone(), told.generation));
    events.extend(told.chain(target).map(|(since, lane, generation)| requested(since, &lane, generation)));
    let mut left = MAX_REPLACED;
    let mut happenings = Vec::new();
    for entry in record.history.iter().rev() {
        let size = entry.body.as_ref().and_then(|body| text_of(body, bodies)).map_or(usize::MAX, str::len);
        let fits = size <= left;
        left = left.saturating_sub(if fits { size } else { 0 });
        let body = entry.body.as_ref().filter(|_| fits).map(|body| masked(body, bodies));
        happenings.push((entry.at, happened(record, entry, body)));
    }
    events.extend(happenings.into_iter().rev());
    events.extend(record.told.iter().map(|(lane, told)| (told.at, ended(lane, told))));
    events.sort_by_key(|(at, _)| *at);
    let shown = |(at, event): (EpochMillis, Event)| Event {
        at: at.to_string(),
        detail: event.detail.filter(|detail| !detail.is_empty()),
        ..event
    };
    events.into_iter().map(shown).collect()
}

fn linked(link: &LinkFact) -> (EpochMillis, Event) {
    let event = Event {
        event: "linked".to_owned(),
        detail: Some(format!("by {}", link.by)),
        kind: EventKind::Link,
        by: Some(link.by.clone()),
        link_version: Some(link.version),
        ..Event::default()
    };
    (link.at, event)
}

/// A notification's deliveries, and the decision about it that its history does not have.
fn notified(record: &OrderRecord, digest: &str, one: &Notification) -> Vec<(EpochMillis, Event)> {
    let name = name_of(digest, one);
    let deliveries = one.deliveries + undecided_deliveries(record, digest);
    let of = |event: String, kind| Event { event, kind, digest: Some(digest.to_owned()), ..Event::default() };
    let mut events = vec![(one.first, of(format!("{name} received"), EventKind::Notification))];
    if deliveries > 1 {
        let detail = Some(format!("{deliveries} deliveries in total"));
        let again = of(format!("{name} received again"), EventKind::Notification);
        events.push((one.last.unwrap_or(one.first), Event { detail, ..again }));
    }
    let noted = |at| record.history.iter().any(|entry| entry.at == at && entry.digest.as_deref() == Some(digest));
    if let (Some(at), Some(state)) = (one.decided, one.state)
        && !noted(at)
    {
        let reason: Option<Reason> = one.reason.as_deref().and_then(|code| code.parse().ok());
        let lane = one.lane.iter().map(|lane| format!("to {lane}"));
        let detail: Vec<_> = reason.map(|reason| reason.text().to_owned()).into_iter().chain(lane).collect();
        let decided = Event {
            detail: Some(detail.join("; ")),
            reasons: reason.into_iter().map(reason_text).collect(),
            call: one.lane.clone(),
            ..of(format!("{name} {}", state.as_ref()), EventKind::Decision)
        };
        events.push((at, decided));
    }
    events
}

fn name_of(digest: &str, one: &Notification) -> String {
    format!("{} {}", one.kind, digest.get(..SHOWN_OF_DIGEST).unwrap_or_default())
}

fn requested(since: EpochMillis, lane: &str, generation: u32) -> (EpochMillis, Event) {
    let event = Event {
        event: format!("{lane} requested"),
        kind: EventKind::Decision,
        call: Some(lane.to_owned()),
        generation: Some(generation),
        ..Event::default()
    };
    (since, event)
}

/// An entry of the history.
fn happened(record: &OrderRecord, entry: &Entry, body: Option<Value>) -> Event {
    let what = entry.what.as_str();
    let is_link = what == "link_replaced";
    let kind = match what {
        "link_replaced" => EventKind::Link,
        "repeated" => EventKind::Notification,
        _ if entry.by.is_some() => EventKind::Operator,
        "decided" | "requested" | "withdrawn_before_sent" => EventKind::Decision,
        _ => EventKind::Attempt,
    };
    let call = entry.lane.as_ref().filter(|_| entry.generation > 0);
    // Before version 0.2, the version was only in the note.
    let version =
        entry.note.as_deref().filter(|_| is_link).and_then(|note| note.strip_prefix("version ")?.parse().ok());
    let version = version.unwrap_or(entry.version);
    let event = match call {
        Some(lane) if entry.attempt > 0 && kind != EventKind::Decision => {
            format!("{lane} attempt {} {what}", entry.attempt)
        }
        Some(lane) => format!("{lane} {what}"),
        None => match entry.digest.as_ref().and_then(|digest| Some((digest, record.notifications.get(digest)?))) {
            Some((digest, one)) => format!("{} {what}", name_of(digest, one)),
            None => what.to_owned(),
        },
    };
    let reasons: Vec<_> = entry.reasons.iter().copied().map(reason_text).collect();
    let texts = Some(entry.reasons.iter().map(|reason| reason.text()).collect::<Vec<_>>().join("; "));
    let detail = [
        entry.by.as_ref().map(|by| format!("by {by}")),
        (entry.version > 0).then(|| format!("version {version}")),
        texts.filter(|texts| !texts.is_empty()),
        entry.note.clone(),
        entry.failure.as_ref().map(worded),
        entry.reply.as_ref().and_then(|reply| reply.request_id.as_ref()).map(|id| format!("TOP request {id}")),
    ];
    let is_attempt = kind == EventKind::Attempt;
    Event {
        at: String::new(),
        event,
        detail: Some(detail.into_iter().flatten().collect::<Vec<_>>().join(": ")),
        kind,
        by: entry.by.clone(),
        note: entry.note.clone(),
        digest: entry.digest.clone(),
        link_version: (version > 0).then_some(version),
        call: call.cloned(),
        generation: call.map(|_| entry.generation),
        attempt: (entry.attempt > 0 && call.is_some()).then_some(entry.attempt),
        began_at: entry.began.map(|began| began.to_string()),
        outcome: (is_attempt || kind == EventKind::Operator).then(|| what.to_owned()),
        reasons,
        error: entry.failure.clone(),
        response: entry.reply.clone(),
        link: body.clone().filter(|_| is_link),
        request: body.filter(|_| !is_link),
    }
}

/// The last attempt of the call that a lane was told.
fn ended(lane: &str, told: &Told) -> Event {
    let request = told.reply.as_ref().and_then(|reply| reply.request_id.as_ref());
    Event {
        event: format!("{lane} attempt {} {}", told.attempts, told.outcome.as_ref()),
        detail: request.map(|id| format!("TOP request {id}")),
        kind: EventKind::Attempt,
        call: Some(lane.to_owned()),
        generation: Some(told.generation),
        attempt: Some(told.attempts),
        began_at: told.began.map(|began| began.to_string()),
        outcome: Some(told.outcome.as_ref().to_owned()),
        response: told.reply.clone(),
        ..Event::default()
    }
}

fn worded(error: &Failure) -> String {
    let code = error.code.map(|code| format!("code {code}"));
    let request = error.request_id.as_ref().map(|id| format!("TOP request {id}"));
    let parts: Vec<_> =
        [code, error.sub_code.clone(), Some(error.message.clone()), request].into_iter().flatten().collect();
    parts.join(", ")
}
