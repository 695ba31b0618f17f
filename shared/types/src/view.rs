//! Converts records to API responses: readable times, personal data masked.

mod timeline;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::api::{
    Attempt, Attention, AttentionItem, AttentionKind, Call, CallState, HeldBack, Notification, Order, ReasonText,
};
use crate::attention::{NeedsPerson, What};
use crate::breaker::Breaker;
use crate::call::Lane;
use crate::notification::NotificationState;
use crate::order::OrderKey;
use crate::reason::Reason;
use crate::record::{
    Bodies, Body, End, Entry, Fact, LinkFact, Notification as Recorded, OrderRecord, Outcome, RecordKey, Submission,
    Target, Told, Wanted,
};
use crate::redact::mask_personal;

/// How many bytes of payloads a response may hold. Lambda returns at most 6 MB, and the link and calls need some of them.
const MAX_PAYLOADS: usize = 3_500_000;

/// The call state of a record's target.
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
        // Another record already told TOP the same.
        (None, false, _) if record.wanted == Some(Wanted::Nothing(Reason::ToldBySubmission)) => CallState::Succeeded,
        (None, false, _) if is_replaced(record, one) => CallState::Withdrawn,
        (None, false, _) => CallState::Pending,
    }
}

/// Whether a newer submission replaced this one. Redemptions are sent one after another; for other calls only the
/// newest submission counts.
fn is_replaced(record: &OrderRecord, one: &Submission) -> bool {
    let is_decided = record.submissions.contains(one);
    record.stopped.is_some() || (!record.key.is_redemption() && is_decided && record.submissions.last() != Some(one))
}

/// A submitted call; `None` if the record belongs to an order.
#[must_use]
pub fn submission(record: &OrderRecord, bodies: &Bodies, one: &Submission) -> Option<Call> {
    let RecordKey::Submission(lane) = &record.key else { return None };
    let state = state_of_submission(record, one);
    let target = record.target.as_ref().filter(|target| one.asks_for(target));
    let told = record.told.get(&lane.to_string()).filter(|told| told.digest == one.digest && one.outcome.is_some());
    Some(Call {
        key: one.key.clone(),
        account: one.account.clone(),
        may_be_sent_again: Some(one.resend),
        submitted_by: Some(one.by.clone()),
        created_at: Some(one.at.to_string()),
        ..call(record, bodies, lane, state, (target, told), &one.request)
    })
}

/// All calls of a record.
#[must_use]
pub fn calls(record: &OrderRecord, bodies: &Bodies) -> Vec<Call> {
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
) -> Call {
    let generation = target.map(|target| target.generation).or(told.map(|told| told.generation)).unwrap_or(0);
    let name = lane.to_string();
    let of_it = |entry: &&Entry| {
        entry.lane.as_ref() == Some(&name) && entry.generation == generation && entry.what != "requested"
    };
    let mut history: Vec<_> = record.history.iter().filter(of_it).map(attempt).collect();
    if let Some(told) = told.filter(|told| told.outcome == Outcome::Succeeded) {
        let at = told.at.to_string();
        let outcome = "succeeded".to_owned();
        let began_at = told.began.map(|began| began.to_string());
        history.push(Attempt { attempt: told.attempts, began_at, at, outcome, owner: None, note: None, error: None });
    }
    let latest = |target: &Target| {
        let entries = record.history.iter().filter(of_it).map(|entry| entry.at);
        entries.max().unwrap_or(target.since)
    };
    let since = target.map(|target| target.since).or(told.map(|told| told.since));
    let updated = target.map(latest).or(told.map(|told| told.at));
    let sending = record.sending.as_ref().filter(|_| target.is_some());
    let order = match &record.key {
        RecordKey::Order(order) => Some(order),
        RecordKey::Submission(_) => None,
    };
    Call {
        call: lane.call,
        key: lane.id.clone(),
        partner: order.map(|order| order.partner),
        order_id: order.map(|order| order.order_id.to_string()),
        account: target
            .and_then(|target| target.account.clone())
            .or_else(|| told.and_then(|told| told.account.clone())),
        state,
        attempt: target.map_or_else(|| told.map_or(0, |told| told.attempts), |_| record.attempt),
        unsettled: target.map(|_| record.unsettled),
        generation,
        revision: record.revision,
        may_be_sent_again: target.map(|target| target.resend),
        submitted_by: None,
        created_at: since.map(|at| at.to_string()),
        updated_at: updated.map(|at| at.to_string()),
        not_before: target.and_then(|target| target.due).map(|due| due.to_string()),
        held_back: Vec::new(),
        request: masked(request, bodies),
        history,
        owner: sending.map(|sending| sending.owner.clone()),
        lease_until: sending.map(|sending| sending.until.to_string()),
        last_error: target.and_then(|target| target.failure.clone()),
        response: told.and_then(|told| told.reply.clone()),
    }
}

/// Adds what holds a pending call back.
pub fn hold_back(call: &mut Call, breakers: &[Breaker]) {
    if call.state == CallState::Pending {
        let of_it = |breaker: &&Breaker| breaker.holds(call.call, call.account.as_deref());
        call.held_back = breakers.iter().filter(of_it).map(held_back).collect();
    }
}

/// Converts a breaker.
#[must_use]
pub fn held_back(breaker: &Breaker) -> HeldBack {
    HeldBack {
        call: breaker.call,
        account: breaker.account.clone(),
        cause: breaker.cause,
        since: breaker.since.to_string(),
        until: (!breaker.is_pause()).then(|| breaker.until.to_string()),
        code: breaker.code,
        sub_code: breaker.sub_code.clone(),
        by: breaker.by.clone(),
        note: breaker.note.clone(),
        remind_at: breaker.remind_at.map(|at| at.to_string()),
    }
}

fn attempt(entry: &Entry) -> Attempt {
    Attempt {
        attempt: entry.attempt,
        began_at: entry.began.map(|began| began.to_string()),
        at: entry.at.to_string(),
        outcome: entry.what.clone(),
        owner: entry.by.clone(),
        note: entry.note.clone(),
        error: entry.failure.clone(),
    }
}

/// Converts an entry of the attention list.
#[must_use]
pub fn attention_item(needs: &NeedsPerson) -> AttentionItem {
    let mut item = AttentionItem {
        kind: AttentionKind::Order,
        partner: None,
        order_id: None,
        endpoint: None,
        digest: None,
        reasons: Vec::new(),
        call: None,
        key: None,
        since: needs.since.to_string(),
        reason: String::new(),
    };
    match &needs.what {
        What::Record(key, reasons, call) => {
            item.reasons = reasons.iter().copied().collect();
            item.reason = reasons.iter().map(|reason| reason.text()).collect::<Vec<_>>().join("; ");
            match key {
                RecordKey::Order(order) => {
                    (item.partner, item.order_id) = (Some(order.partner), Some(order.order_id.to_string()));
                }
                RecordKey::Submission(lane) => {
                    (item.kind, item.call, item.key) =
                        (AttentionKind::Call, Some(lane.call), Some(lane.key().to_owned()));
                }
            }
            if let Some((call, key)) = call
                && let Ok(call) = call.parse()
            {
                (item.call, item.key) = (Some(call), Some(key.clone()));
            }
        }
        What::Unreadable(unreadable) => {
            item.kind = AttentionKind::Unreadable;
            (item.endpoint, item.digest) = (Some(unreadable.endpoint), Some(unreadable.digest.clone()));
            item.reasons = vec![Reason::Unreadable];
            item.reason.clone_from(&unreadable.problem);
        }
    }
    item
}

/// Converts a link.
fn link(link: &LinkFact, bodies: &Bodies) -> Value {
    let mut view = masked(&link.body, bodies);
    view["version"] = json!(link.version);
    view["updated_at"] = json!(link.at.to_string());
    view["updated_by"] = json!(link.by);
    view
}

fn notification(digest: &str, one: &Recorded, undecided: u32, bodies: &Bodies) -> Notification {
    let state =
        if undecided > 0 { NotificationState::Received } else { one.state.unwrap_or(NotificationState::Received) };
    let reason: Option<Reason> = one.reason.as_deref().filter(|_| undecided == 0).and_then(|code| code.parse().ok());
    let payload = one.body.as_ref().map(|body| masked(body, bodies));
    Notification {
        kind: one.kind,
        digest: digest.to_owned(),
        state,
        reason: reason.map(|reason| reason.text().to_owned()),
        reason_code: reason,
        received_at: one.first.to_string(),
        last_received_at: one.last.unwrap_or(one.first).to_string(),
        deliveries: one.deliveries + undecided,
        status: one.status.clone().or_else(|| one.kind.status(payload.as_ref()?)),
        partner_number: payload.as_ref().and_then(|payload| one.kind.partner_number(payload)),
        decided_at: one.decided.map(|at| at.to_string()),
        calls: one.lane.iter().cloned().collect(),
        payload,
        payload_left_out: None,
    }
}

/// Leaves out payloads that would make the response too large: the oldest first, or all but the one of `only`.
fn leave_out_payloads(notifications: &mut [Notification], only: Option<&str>) {
    let mut left = MAX_PAYLOADS;
    for one in notifications.iter_mut().rev() {
        let Some(payload) = &one.payload else { continue };
        let json = payload.to_string();
        // The response becomes a JSON string in the function's result, where each of these takes two bytes.
        let size = json.len() + json.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
        let fits = only.map_or(size <= left, |only| only == one.digest);
        if fits {
            left = left.saturating_sub(size);
        } else {
            (one.payload, one.payload_left_out) = (None, Some(true));
        }
    }
}

/// The number of undecided deliveries of a notification.
fn undecided_deliveries(record: &OrderRecord, digest: &str) -> u32 {
    let of_it = |fact: &&Fact| matches!(fact, Fact::Delivery { digest: delivered, .. } if delivered == digest);
    u32::try_from(record.facts.iter().filter(of_it).count()).unwrap_or(u32::MAX)
}

/// Converts a reason.
#[must_use]
pub fn reason_text(reason: Reason) -> ReasonText {
    ReasonText { code: reason, text: reason.text().to_owned() }
}

/// Converts an order: link, notifications, calls, why it waits or needs attention, and timeline. `payload` is the digest of
/// the only notification to show with its payload; otherwise all are shown that fit.
#[must_use]
pub fn order(order: &OrderKey, record: &OrderRecord, bodies: &Bodies, payload: Option<&str>) -> Order {
    let mut notifications: Vec<_> = record.notifications.iter().collect();
    notifications.sort_by_key(|(digest, one)| (one.first, digest.as_str()));
    let mut shown: Vec<_> = notifications
        .iter()
        .map(|(digest, one)| notification(digest, one, undecided_deliveries(record, digest), bodies))
        .collect();
    leave_out_payloads(&mut shown, payload);
    let texts = |reasons: &BTreeSet<Reason>| reasons.iter().copied().map(reason_text).collect();
    let attention =
        record.attention.as_ref().map(|one| Attention { since: one.since.to_string(), reasons: texts(&one.reasons) });
    Order {
        partner: order.partner,
        order_id: order.order_id.to_string(),
        link: record.link.as_ref().map(|one| link(one, bodies)),
        notifications: shown,
        calls: calls(record, bodies),
        revision: record.revision,
        undecided: record.facts.len(),
        attention,
        waits_for: record.waits.map(reason_text),
        dismissed: texts(&record.dismissed),
        stopped: record.stopped,
        timeline: timeline::timeline(record, bodies),
    }
}

/// The JSON of a body, with personal data masked; `null` if it is lost.
fn masked(body: &Body, bodies: &Bodies) -> Value {
    let json = text_of(body, bodies);
    let mut value = json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or(Value::Null);
    mask_personal(&mut value);
    value
}

/// The JSON of a body; `None` if it is lost or was not read.
fn text_of<'a>(body: &'a Body, bodies: &'a Bodies) -> Option<&'a str> {
    match body {
        Body::Inline(json) => Some(json),
        Body::Stored(digest) => bodies.get(digest).map(String::as_str),
    }
}
