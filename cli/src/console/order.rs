//! The page of one order: what TOP should know, what it was told, what happens next, and the timeline; and that of one call.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use maud::{Markup, html};
use relay_types::api::{Call, CallState, Order};
use relay_types::breaker::Cause;
use relay_types::reason::Reason;

use super::guard::{Form, parameters};
use super::page::{Page, person};
use super::parts::{self, About, command, tag};
use super::timeline;
use super::unfinished::pushed;
use super::view::{View, visible};
use super::{Console, Problem};
use crate::api::{encoded, path};

/// How often an unfinished order is read again, in seconds.
const OFTEN: u32 = 5;
/// How many payloads besides the first are open at the same time.
const MOST_OPEN: usize = 7;

/// Shows an order.
pub async fn show(State(console): State<Arc<Console>>, Extension(view): Extension<View>) -> (StatusCode, Markup) {
    let page = page(&console, &view).await;
    console.framed(&view, page).await
}

/// Shows a call.
pub async fn show_call(State(console): State<Arc<Console>>, Extension(view): Extension<View>) -> (StatusCode, Markup) {
    let page = call_page(&console, &view).await;
    console.framed(&view, page).await
}

async fn page(console: &Console, view: &View) -> Result<Page, Problem> {
    let asked = parameters(&view.address);
    let (partner, id) = (asked.one("partner"), asked.one("id"));
    let opened = asked.all("open");
    let payload = opened.first().copied().unwrap_or("none");
    let address = |payload: &str| format!("{}?payload={}", path(["orders", partner, id]), encoded(payload));
    let mut order: Order = match console.get(&address(payload)).await {
        Err(Problem::Refused(StatusCode::NOT_FOUND, _)) => {
            let name = visible(&format!("{partner} {id}"));
            return Err(Problem::Refused(StatusCode::NOT_FOUND, view.f("order.not_found", &[("order", &name)])));
        }
        other => other?,
    };
    // The API returns one payload at a time.
    for digest in opened.iter().skip(1).take(MOST_OPEN) {
        let other: Order = console.get(&address(digest)).await?;
        let payload = other.notifications.into_iter().find(|one| one.digest == *digest).and_then(|one| one.payload);
        order
            .notifications
            .iter_mut()
            .filter(|one| one.digest == *digest)
            .for_each(|one| one.payload.clone_from(&payload));
    }
    let about = About::order(partner, id);
    let state = state(&order);
    let content = html! {
        div id="head" data-live="all" {
            div class="head" {
                h1 { (about.of) " " (parts::id(&about.id)) }
                p { (tag(view, state)) " " (parts::reasons(view, &reasons(&order))) }
                div class="buttons" { (buttons(view, &order, &about)) }
            }
            (facts(view, &order))
        }
        (timeline::timeline(view, &order))
        h2 { (view.t("order.notifications")) }
        div id="notifications" data-live="all" { (notifications(view, &order, &asked)) }
        @if let Some(link) = &order.link { details id="link" { summary { (view.t("order.link")) } (parts::json(link)) } }
        @for call in &order.calls { (request(view, call)) }
        p class="muted" { (view.t("order.hidden")) }
    };
    let is_finished = ["succeeded", "closed", "withdrawn", "no_call"].contains(&state) && order.undecided == 0;
    let title = format!("{} – {}", view.language.of_code("state", state), about.name);
    let command = command(&["order", "show", partner, id]);
    Ok(Page { at: "orders", title, every: if is_finished { 0 } else { OFTEN }, command, content })
}

/// The state of an order as one of the list's states.
pub fn state(order: &Order) -> &'static str {
    let has = |state: CallState| order.calls.iter().any(|call| call.state == state);
    let needs = |reason| order.attention.iter().any(|one| one.reasons.iter().any(|text| text.code == reason));
    match () {
        () if needs(Reason::Unknown) => "unknown",
        () if needs(Reason::Refused) => "refused",
        () if order.attention.is_some() => "attention",
        () if has(CallState::InProgress) => "in_progress",
        () if order.calls.iter().any(|call| !call.held_back.is_empty()) => "held",
        () if has(CallState::Pending) || order.undecided > 0 => "pending",
        () if order.waits_for.is_some() => "waiting",
        () if order.stopped == Some(relay_types::record::Stopped::Closed) => "closed",
        () if order.stopped.is_some() => "withdrawn",
        () if has(CallState::Succeeded) => "succeeded",
        () if order.notifications.is_empty() => "unnotified",
        () => "no_call",
    }
}

fn reasons(order: &Order) -> Vec<relay_types::api::ReasonText> {
    let attention = order.attention.iter().flat_map(|attention| attention.reasons.clone());
    attention.chain(order.waits_for.clone()).collect()
}

fn buttons(view: &View, order: &Order, about: &About) -> Markup {
    let (state, revision) = (state(order), Some(order.revision));
    let attempt = order.calls.iter().map(|call| call.attempt).max().unwrap_or_default();
    let can: &[(&str, &str)] = match state {
        "attention" | "refused" => &[("replay", "do.replay"), ("dismiss", "do.dismiss")],
        "held" | "pending" if !order.calls.is_empty() => &[("withdraw", "do.withdraw")],
        "waiting" | "unnotified" => &[("close", "do.close")],
        "closed" | "withdrawn" => &[("replay", "do.replay")],
        _ => &[],
    };
    let unknown = order.calls.iter().filter(|call| call.state == CallState::Unknown);
    html! {
        @for call in unknown {
            @let of = About::call(call.call.as_ref(), &call.key);
            (parts::button(&of.action("resolve", None, call.attempt), view.t("do.resolve"), &of.name))
        }
        @for (action, key) in can { (parts::button(&about.action(action, revision, attempt), view.t(key), &about.name)) }
    }
}

/// What TOP should know, what it was told, and what happens next.
fn facts(view: &View, order: &Order) -> Markup {
    html! {
        dl class="facts" {
            @for call in &order.calls {
                dt { (view.t("order.call")) }
                dd { a href=(About::call(call.call.as_ref(), &call.key).page) { (call.call.as_ref()) " " (parts::id(&call.key)) } " "
                    (call_state(view, call)) }
            }
            @if order.calls.is_empty() { dt { (view.t("order.was_told")) } dd { (view.t("order.told_nothing")) } }
            dt { (view.t("order.next")) }
            dd { (next(view, order)) }
            @if !order.dismissed.is_empty() {
                dt { (view.t("state.dismissed")) }
                dd { (parts::reasons(view, &order.dismissed)) }
            }
        }
    }
}

fn call_state(view: &View, call: &Call) -> Markup {
    let error = call.last_error.as_ref();
    let codes = error.map(|error| parts::codes(error.code, error.sub_code.as_deref()));
    let state = if call.held_back.is_empty() { call.state.as_ref() } else { "held" };
    html! {
        span class=(format!("state {}", parts::color(state))) { (parts::icon(state)) " " (view.language.of_code("state", state)) }
        @if let Some(at) = &call.updated_at { ", " (view.time_of(at)) }
        @if let Some(codes) = codes { @if !codes.is_empty() { ", " (codes) } }
        @if let Some(error) = error { " " span class="why muted" { (view.f("said.top", &[("words", &visible(&error.message))])) } }
    }
}

fn next(view: &View, order: &Order) -> Markup {
    let call = order.calls.iter().find(|call| call.state == CallState::Pending);
    let held = call.and_then(|call| call.held_back.first());
    let due = call.and_then(|call| call.not_before.as_deref()?.parse::<jiff::Timestamp>().ok());
    html! {
        @match (order.attention.is_some(), held, due) {
            (true, ..) => (view.t("order.needs")),
            (_, Some(held), _) => { (view.language.of_code("cause", held.cause.as_ref())) ": " (super::now::until(view, held)) ". "
                @if held.cause != Cause::Paused { (view.t("order.no_need")) } },
            (_, None, Some(due)) => { (view.h("unfinished.on_its_own", &[("time", view.time(due)), ("relative", view.relative(due))])) ". " (view.t("order.no_need")) },
            _ if order.waits_for.is_some() => (view.t("step.link")),
            _ => (view.t("order.no_need")),
        }
    }
}

/// The notifications, each with its payload if it was asked for, and the difference to the one before.
fn notifications(view: &View, order: &Order, asked: &Form) -> Markup {
    html! {
        @for (index, one) in order.notifications.iter().enumerate() {
            @let short = one.digest.get(..8).unwrap_or(&one.digest);
            details class="pay" id=(format!("pay-{}", one.digest)) data-load=(one.digest) open[asked.all("open").contains(&one.digest.as_str())] {
                summary { (pushed(view, one)) " " (short) ", " (view.time_of(&one.received_at)) }
                @match &one.payload {
                    Some(payload) => (parts::json(payload)),
                    None => a data-more href=(format!("{}&open={}", About::order(order.partner.as_ref(), &order.order_id).page, one.digest)) { (view.t("order.load")) },
                }
            }
            @if let Some(earlier) = index.checked_sub(1).and_then(|before| order.notifications.get(before)) {
                p { a href=(format!("difference{}", parts::query(&[("partner", order.partner.as_ref()), ("id", &order.order_id),
                    ("from", &earlier.digest), ("to", &one.digest)]))) {
                    (view.f("order.difference", &[("digest", earlier.digest.get(..8).unwrap_or_default())])) } }
            }
        }
    }
}

fn request(view: &View, call: &Call) -> Markup {
    let name = format!("{} {}", call.call.as_ref(), call.key);
    html! { details id=(format!("request-{name}")) { summary { (view.t("order.request")) " " (visible(&name)) } (parts::json(&call.request)) } }
}

async fn call_page(console: &Console, view: &View) -> Result<Page, Problem> {
    let asked = parameters(&view.address);
    let (kind, key) = (asked.one("call"), asked.one("key"));
    let call: Call = console.get(&path(["calls", kind, key])).await?;
    let about = About::call(kind, key);
    let state = if call.held_back.is_empty() { call.state.as_ref() } else { "held" };
    let can: &[(&str, &str)] = match state {
        "unknown" | "refused" => &[("resolve", "do.resolve")],
        "pending" | "held" => &[("retry", "do.retry")],
        _ => &[],
    };
    let content = html! {
        div id="head" data-live="all" {
            div class="head" {
                h1 { (about.of) " " (parts::id(&about.id)) }
                p { (tag(view, state)) }
                div class="buttons" {
                    @for (action, key) in can { (parts::button(&about.action(action, None, call.attempt), view.t(key), &about.name)) }
                }
            }
            dl class="facts" {
                dt { (view.t("order.was_told")) } dd { (call_state(view, &call)) }
                @if let (Some(partner), Some(order_id)) = (call.partner, &call.order_id) {
                    dt { (view.t("orders.order")) } dd { (About::order(partner.as_ref(), order_id).link()) }
                }
                @if let Some(by) = &call.submitted_by { dt { (view.t("order.submitted")) } dd { (person(by)) } }
                @if let Some(account) = &call.account { dt { (view.t("unfinished.account")) } dd { (account) } }
                @for held in &call.held_back { dt { (view.language.of_code("cause", held.cause.as_ref())) } dd { (super::now::until(view, held)) } }
                @if let Some(lease) = &call.lease_until { dt { (view.t("step.outcome")) } dd { (view.time_of(lease)) } }
            }
        }
        (timeline::attempts(view, &call))
        (request(view, &call))
        p class="muted" { (view.t("order.hidden")) }
    };
    let title = format!("{} – {}", view.language.of_code("state", state), about.name);
    let every = if matches!(call.state, CallState::Pending | CallState::InProgress) { OFTEN } else { 15 };
    Ok(Page { at: "orders", title, every, command: command(&["call", "show", kind, key]), content })
}
