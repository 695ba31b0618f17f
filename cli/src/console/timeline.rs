//! The timeline of an order: at the left what was heard, at the right what TOP was told.

use jiff::Timestamp;
use maud::{Markup, html};
use relay_types::api::{Attempt, Call, CallState, Event, EventKind, Order};

use super::page::person;
use super::parts::{self, icon};
use super::unfinished::pushed;
use super::view::{View, visible};

/// Number of attempts of one request from which the middle ones are folded.
const FOLD_FROM: usize = 6;
/// A gap of this length is shown, in seconds.
const SHOWN_GAP: i64 = 10;

/// The timeline, oldest first.
pub fn timeline(view: &View, order: &Order) -> Markup {
    let events: Vec<_> = order.timeline.iter().filter(|event| is_shown(event)).collect();
    let groups = folded(&events);
    let end = |index: usize| groups.get(index)?.last()?.at.parse::<Timestamp>().ok();
    html! {
        h2 { (view.t("order.timeline")) }
        div class="tl-head" aria-hidden="true" { span { (view.zone_name()) } span { (view.t("order.heard")) } span { (view.t("order.told")) } }
        ol class="tl" id="timeline" data-live="keep" {
            @for (index, group) in groups.iter().enumerate() {
                @let at = group[0].at.parse::<Timestamp>().ok();
                @if let Some((last, at)) = index.checked_sub(1).and_then(end).zip(at) { (between(view, last, at, index)) }
                @if group.len() == 1 { (entry(view, order, group[0], index)) } @else { (fold(view, group, index)) }
            }
            li class=(if is_held(order) { "now ban" } else { "now" }) data-key="now" { span class="at" { (view.time(view.now)) } div class="l" { (view.t("order.now")) } }
            (planned(view, order))
        }
    }
}

/// Leaves out what another entry tells: a decision for a call has the entry of its request.
fn is_shown(event: &Event) -> bool {
    let is_told_by_request = event.kind == EventKind::Decision && event.digest.is_some() && event.call.is_some();
    !is_told_by_request
}

/// The events, with the middle of many attempts of one request in one group.
fn folded<'a>(events: &[&'a Event]) -> Vec<Vec<&'a Event>> {
    let mut groups: Vec<Vec<&Event>> = Vec::new();
    let same = |one: &Event, other: &Event| {
        one.kind == EventKind::Attempt
            && (one.kind, &one.call, one.generation) == (other.kind, &other.call, other.generation)
    };
    let mut runs: Vec<Vec<&Event>> = Vec::new();
    for event in events {
        match runs.last_mut().filter(|run| same(run[0], event)) {
            Some(run) => run.push(event),
            None => runs.push(vec![event]),
        }
    }
    for run in runs {
        if run.len() < FOLD_FROM {
            groups.extend(run.into_iter().map(|event| vec![event]));
        } else {
            let (first, rest) = run.split_at(1);
            let (middle, last) = rest.split_at(rest.len() - 2);
            groups.push(first.to_vec());
            groups.push(middle.to_vec());
            groups.extend(last.iter().map(|event| vec![*event]));
        }
    }
    groups
}

/// A gap between two events, and the date if the day changes.
fn between(view: &View, last: Timestamp, at: Timestamp, index: usize) -> Markup {
    let gap = at.duration_since(last);
    let size = match gap.as_secs() {
        ..60 => "s",
        60..3600 => "m",
        3600..86_400 => "h",
        _ => "d",
    };
    html! {
        @if gap.as_secs() >= SHOWN_GAP {
            li class=(format!("gap {size}")) data-key=(format!("gap-{index}")) { div class="l" { (view.duration(gap)) } }
        }
        @if view.day(last) != view.day(at) {
            li class="day" data-key=(format!("day-{index}")) { div class="l" { b { (view.day(at)) } } }
        }
    }
}

/// The call that waits to be sent.
fn waiting(order: &Order) -> Option<&Call> {
    order.calls.iter().find(|call| call.state == CallState::Pending)
}

fn is_held(order: &Order) -> bool {
    waiting(order).is_some_and(|call| !call.held_back.is_empty())
}

/// The next attempt, if its time is known.
fn planned(view: &View, order: &Order) -> Markup {
    let call = waiting(order);
    let held = call.and_then(|call| call.held_back.iter().filter_map(|held| held.until.as_deref()).max());
    let at = held.or_else(|| call?.not_before.as_deref());
    let number = call.map_or(1, |call| call.attempt + 1).to_string();
    html! {
        @if let Some(at) = at {
            li class="future" data-key="next" {
                span class="at" { (view.time_of(at)) }
                div class="r" { (dot("pending", "blue")) div class="line" { (view.f("order.attempt", &[("n", &number)])) } }
            }
        }
    }
}

/// Whether another link has replaced this one.
fn is_replaced(order: &Order, event: &Event) -> bool {
    let present = order.link.as_ref().and_then(|link| link["version"].as_i64());
    event.kind == EventKind::Link && event.link_version != present
}

fn entry(view: &View, order: &Order, event: &Event, index: usize) -> Markup {
    let key = format!("e-{index}-{}", event.at);
    let is_old = is_replaced(order, event) || (event.request.is_some() && event.kind == EventKind::Attempt);
    html! {
        li data-key=(key) class=[is_old.then_some("old")] {
            span class="at" { (view.time_of(&event.at)) }
            @if event.kind == EventKind::Attempt {
                div class="r" { (attempt(view, event)) }
            } @else {
                div class="l" { (heard(view, order, event)) }
            }
        }
    }
}

/// What was heard or decided: the left rail.
fn heard(view: &View, order: &Order, event: &Event) -> Markup {
    let name = match event.kind {
        EventKind::Notification => "envelope",
        EventKind::Link => "chain",
        EventKind::Operator => "speech",
        EventKind::Decision | EventKind::Attempt => "fork",
    };
    let by = event.by.as_deref().map(person).unwrap_or_default();
    let push = event.digest.as_ref().and_then(|digest| order.notifications.iter().find(|one| one.digest == *digest));
    html! {
        svg class="i dot" aria-hidden="true" { use href=(format!("#i-{name}")); }
        div class="line" {
            @match event.kind {
                EventKind::Link => span { (view.f("order.linked", &[("who", &by)])) " " (view.f("order.version", &[("n", &event.link_version.unwrap_or_default().to_string())]))
                    @if is_replaced(order, event) { (view.t("list.comma")) (view.t("order.replaced")) } },
                EventKind::Notification => span { @match push { Some(one) => (pushed(view, one)), None => (visible(&event.event)) } },
                EventKind::Operator => span { (by) ": " (view.language.of_code("outcome", event.outcome.as_deref().unwrap_or_default()))
                    @if let Some(note) = &event.note { " " (view.h("order.quote", &[("words", html! { blockquote { (visible(note)) } })])) } },
                EventKind::Decision | EventKind::Attempt => (decided(view, event)),
            }
        }
        (below(view, event))
    }
}

fn decided(view: &View, event: &Event) -> Markup {
    let what = match &event.call {
        Some(call) if event.reasons.is_empty() => {
            let withdrawn = event.event.ends_with("withdrawn_before_sent");
            let key = if withdrawn { "order.decision_withdrawn" } else { "order.decision_tell" };
            let (name, key_of_call) = call.split_once('/').unwrap_or((call, ""));
            html! { (view.h(key, &[("call", html! { (name) " " (parts::id(key_of_call)) })])) }
        }
        _ => html! {
            (view.t("order.decision")) " "
            @if let Some(digest) = &event.digest { span class="muted" { (digest.get(..8).unwrap_or(digest)) } " " }
            (parts::reasons(view, &event.reasons))
        },
    };
    html! { span { (what) } @if event.call.is_some() { span class="to" aria-hidden="true" {} } }
}

/// Details of an entry: a digest, an earlier link or request.
fn below(view: &View, event: &Event) -> Markup {
    html! {
        @if let Some(digest) = &event.digest { @if event.kind == EventKind::Notification {
            div class="sub" { (digest.get(..8).unwrap_or(digest)) @if let Some(detail) = &event.detail { ", " (visible(detail)) } }
        } }
        @if let Some(link) = &event.link { details { summary { (view.t("order.link")) } (parts::json(link)) } }
        @if let Some(request) = &event.request { details { summary { (view.t("order.request")) } (parts::json(request)) } }
    }
}

/// An attempt, at the right rail: its outcome, how long it took, TOP's code, request id and words.
fn attempt(view: &View, event: &Event) -> Markup {
    let outcome = event.outcome.as_deref().unwrap_or_default();
    let color = parts::color(outcome);
    html! {
        (dot(outcome, color))
        div class="line" {
            span class=(format!("state {color}")) {
                (event.attempt.unwrap_or_default()) " " (view.language.of_code("outcome", outcome))
            }
            (took(view, event.began_at.as_deref(), &event.at))
        }
        (answer(view, event.error.as_ref(), event.response.as_ref().and_then(|reply| reply.request_id.as_deref())))
        (below(view, event))
    }
}

fn dot(outcome: &str, color: &str) -> Markup {
    let name = icon(outcome);
    // The sprite's icon, on the rail.
    html! { (maud::PreEscaped(name.0.replacen("class=\"i\"", &format!("class=\"i dot {color}\""), 1))) }
}

fn took(view: &View, began: Option<&str>, ended: &str) -> Markup {
    let began = began.and_then(|began| began.parse::<Timestamp>().ok());
    let seconds =
        began.zip(ended.parse::<Timestamp>().ok()).map(|(began, ended)| ended.duration_since(began).as_secs_f64());
    let shown = |seconds: f64| if seconds < 1.0 { format!("{seconds:.2}") } else { format!("{seconds:.1}") };
    html! { @if let Some(seconds) = seconds { span class="muted" { (view.f("order.seconds", &[("n", &shown(seconds))])) } } }
}

fn answer(view: &View, error: Option<&relay_types::failure::Failure>, request_id: Option<&str>) -> Markup {
    let code = error.and_then(|error| error.code).map(|code| view.f("order.code", &[("code", &code.to_string())]));
    let sub_code = error.and_then(|error| error.sub_code.as_deref()).map(visible);
    let request_id = request_id.or(error.and_then(|error| error.request_id.as_deref()));
    let request = request_id.map(|id| view.f("order.top_request", &[("id", &visible(id))]));
    let parts: Vec<_> = [code, sub_code, request].into_iter().flatten().collect();
    html! {
        @if !parts.is_empty() { div class="sub" { (parts.join(", ")) } }
        @if let Some(error) = error { @if !error.message.is_empty() { div class="sub" { (view.f("said.top", &[("words", &visible(&error.message))])) } } }
    }
}

/// The middle of many attempts, in one entry that opens.
fn fold(view: &View, group: &[&Event], index: usize) -> Markup {
    let number = |event: Option<&&Event>| event.and_then(|event| event.attempt).unwrap_or_default().to_string();
    let text = view.f("order.fold", &[("from", &number(group.first())), ("to", &number(group.last()))]);
    html! {
        li data-key=(format!("fold-{index}")) {
            div class="r" { details class="fold" id=(format!("fold-{index}")) { summary { (text) }
                ol { @for event in group { li value=(event.attempt.unwrap_or_default()) {
                    (view.time_of(&event.at)) " " (view.language.of_code("outcome", event.outcome.as_deref().unwrap_or_default()))
                    (answer(view, event.error.as_ref(), None))
                } } }
            } }
        }
    }
}

/// The attempts of a call: the right rail alone.
pub fn attempts(view: &View, call: &Call) -> Markup {
    html! {
        h2 { (view.t("order.timeline")) }
        div class="tl-head one" aria-hidden="true" { span { (view.zone_name()) } span { (view.t("order.told")) } }
        ol class="tl one" id="timeline" data-live="keep" {
            @if let Some(at) = &call.created_at {
                li data-key="created" { span class="at" { (view.time_of(at)) }
                    div class="r" { (dot("fork", "grey")) div class="line" { (view.t("order.requested")) } } }
            }
            @for one in &call.history { (attempt_of_call(view, one)) }
        }
    }
}

fn attempt_of_call(view: &View, one: &Attempt) -> Markup {
    let color = parts::color(&one.outcome);
    html! {
        li data-key=(format!("{}-{}", one.attempt, one.at)) {
            span class="at" { (view.time_of(&one.at)) }
            div class="r" {
                (dot(&one.outcome, color))
                div class="line" {
                    span class=(format!("state {color}")) { (one.attempt) " " (view.language.of_code("outcome", &one.outcome)) }
                    (took(view, one.began_at.as_deref(), &one.at))
                    @if let Some(by) = &one.owner { span { (person(by)) } }
                    @if let Some(note) = &one.note { blockquote { (visible(note)) } }
                }
                (answer(view, one.error.as_ref(), None))
            }
        }
    }
}
