//! The page "Unfinished": everything that is not finished, with filters, and as CSV.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use relay_types::api::Notification;
use relay_types::call::CallKind;
use relay_types::notification::NotificationKind;
use relay_types::order::Partner;
use relay_types::unfinished::{State as ItemState, Step, Unfinished, UnfinishedPage};

use super::guard::{Form, parameters};
use super::now::call_of;
use super::page::Page;
use super::parts::{self, About, query, tag};
use super::view::{View, number, visible};
use super::{Console, Problem};

/// Rows of a page.
const ROWS: usize = 50;
/// The filters, by the names of the API's parameters.
pub const FILTERS: [&str; 8] = ["state", "reason", "partner", "kind", "call", "account", "since", "until"];

/// Shows the page.
pub async fn show(State(console): State<Arc<Console>>, Extension(view): Extension<View>) -> (StatusCode, Markup) {
    let page = page(&console, &view).await;
    console.framed(&view, page).await
}

/// The parameters of the API for the filters of an address.
fn of_api(filters: &Form) -> String {
    FILTERS.into_iter().map(|name| (name, filters.one(name))).filter(|(_, value)| !value.is_empty()).fold(
        String::new(),
        |query, (name, value)| {
            // People write "2h"; the API takes only points in time, and refuses what this cannot read.
            let at = crate::unfinished::time(value).ok().filter(|_| ["since", "until"].contains(&name));
            let value = at.map_or_else(|| value.to_owned(), |at| at.to_string());
            format!("{query}&{name}={}", crate::api::encoded(&value))
        },
    )
}

async fn page(console: &Console, view: &View) -> Result<Page, Problem> {
    let asked = parameters(&view.address);
    let after = Some(asked.one("after")).filter(|after| !after.is_empty());
    let after = after.map(|after| format!("&after={}", crate::api::encoded(after))).unwrap_or_default();
    let list: UnfinishedPage = console.get(&format!("/unfinished?limit={ROWS}{}{after}", of_api(&asked))).await?;
    let all: usize = list.states.values().sum();
    let is_filtered = FILTERS.iter().any(|name| !asked.one(name).is_empty());
    let of = view.f("unfinished.of", &[("n", &number(list.total)), ("total", &number(all))]);
    let content = html! {
        div class="head" {
            h1 { (view.t("nav.unfinished")) }
            p { span id="counts" data-live="all" { (of) @if !list.complete { " · " (view.t("unfinished.not_complete")) } } " "
                a href=(format!("unfinished.csv{}", address(&asked, &[]))) { (view.t("unfinished.export")) } }
        }
        div id="tabs" data-live="all" { (states(view, &asked, &list)) (reasons(view, &asked, &list)) }
        (filters(view, &asked))
        div class="fresh" data-fresh="rows" {}
        form method="post" action="bulk" {
            (table(view, &list))
            @if !list.items.is_empty() { (bulk(view, console, &asked, list.total)) }
        }
        div id="nothing" data-live="all" {
            @if list.items.is_empty() {
                p class="empty" { (view.t(if is_filtered { "unfinished.empty_filtered" } else { "unfinished.empty" })) }
            }
        }
        @if let Some(next) = &list.next {
            nav class="pager" aria-label=(view.t("unfinished.nav")) {
                span {} a class="btn" rel="next" href=(format!("unfinished{}", address(&asked, &[("after", next)]))) {
                    (view.f("unfinished.next_n", &[("n", &ROWS.to_string())])) }
            }
        }
    };
    let title = format!("{of} – {}", view.t("nav.unfinished"));
    Ok(Page { at: "unfinished", title, every: 15, command: command(&asked), content })
}

/// The query of the page with other values for some parameters.
fn address(asked: &Form, other: &[(&str, &str)]) -> String {
    let kept = FILTERS.into_iter().filter(|name| other.iter().all(|(changed, _)| changed != name));
    let pairs: Vec<_> = kept.map(|name| (name, asked.one(name))).chain(other.iter().copied()).collect();
    query(&pairs)
}

fn command(asked: &Form) -> String {
    let flags: Vec<_> = FILTERS.map(|name| (format!("--{name}"), asked.one(name))).into();
    let set = flags.iter().filter(|(_, value)| !value.is_empty());
    let arguments: Vec<&str> =
        std::iter::once("list").chain(set.flat_map(|(flag, value)| [flag.as_str(), value])).collect();
    parts::command(&arguments)
}

fn states(view: &View, asked: &Form, list: &UnfinishedPage) -> Markup {
    let all: usize = list.states.values().sum();
    let now = asked.one("state");
    html! {
        ul class="tabs" {
            li class="label" aria-hidden="true" { (view.t("unfinished.state")) }
            li { a href=(format!("unfinished{}", address(asked, &[("state", ""), ("reason", "")]))) aria-current=[now.is_empty().then_some("true")] {
                (view.t("unfinished.all")) " " b { (number(all)) } } }
            @for state in ItemState::ALL {
                @let name = state.as_ref();
                @let count = list.states.get(name).copied().unwrap_or_default();
                @if count > 0 || now == name {
                    li { a href=(format!("unfinished{}", address(asked, &[("state", name), ("reason", "")]))) aria-current=[(now == name).then_some("true")] {
                        (parts::icon(name)) (view.language.of_code("state", name)) " " b { (number(count)) } } }
                }
            }
        }
    }
}

fn reasons(view: &View, asked: &Form, list: &UnfinishedPage) -> Markup {
    let now = asked.one("reason");
    html! {
        @if !list.reasons.is_empty() {
            ul class="tabs" {
                li class="label" aria-hidden="true" { (view.t("unfinished.reason")) }
                @for (code, count) in &list.reasons {
                    @let to = if now == code { "" } else { code.as_str() };
                    @let cause = format!("cause.{code}");
                    @let text = if view.language.has(&cause) { view.t(&cause).to_owned() } else { view.language.reason(code, code) };
                    li { a href=(format!("unfinished{}", address(asked, &[("reason", to)]))) aria-current=[(now == code).then_some("true")] {
                        (text) " " b { (number(*count)) } } }
                }
            }
        }
    }
}

fn filters(view: &View, asked: &Form) -> Markup {
    let partners: Vec<&str> = Partner::ALL.iter().map(|partner| partner.as_ref()).collect();
    let kinds: Vec<&str> = NotificationKind::ALL.iter().map(|kind| kind.as_ref()).collect();
    let calls: Vec<&str> = CallKind::ALL.iter().map(|call| call.as_ref()).collect();
    let choices = [
        ("partner", "unfinished.partner", partners),
        ("kind", "unfinished.kind", kinds),
        ("call", "unfinished.call", calls),
    ];
    html! {
        form class="filters" action="unfinished" aria-label=(view.t("unfinished.filters")) {
            @for name in ["state", "reason"] { @if !asked.one(name).is_empty() { input type="hidden" name=(name) value=(asked.one(name)); } }
            @for (name, key, values) in choices {
                div { label for=(name) { (view.t(key)) }
                    select id=(name) name=(name) {
                        option value="" { (view.t("unfinished.any")) }
                        @for value in values { option selected[asked.one(name) == value] { (value) } }
                    } }
            }
            @for (name, key) in [("account", "unfinished.account"), ("since", "unfinished.since"), ("until", "unfinished.until")] {
                div { label for=(name) { (view.t(key)) } input id=(name) name=(name) value=(asked.one(name)); }
            }
            button { (view.t("unfinished.apply")) }
            @for name in FILTERS {
                @let value = asked.one(name);
                @if !value.is_empty() {
                    a href=(format!("unfinished{}", address(asked, &[(name, "")]))) aria-label=(view.f("unfinished.remove", &[("filter", value)])) { (visible(value)) " ✕" }
                }
            }
            @if FILTERS.iter().any(|name| !asked.one(name).is_empty()) { a href="unfinished" { (view.t("unfinished.clear")) } }
        }
    }
}

/// What a tick means: the item as it is shown.
pub fn selected(item: &Unfinished) -> String {
    format!("{} {}", item.revision.unwrap_or_default(), About::of(item).page)
}

/// The actions for the selected items, or for all that match.
fn bulk(view: &View, console: &Console, asked: &Form, total: usize) -> Markup {
    let token = console.sessions.form_token(&view.session).unwrap_or_default();
    html! {
        input type="hidden" name="token" value=(token);
        @for name in FILTERS { @if !asked.one(name).is_empty() { input type="hidden" name=(name) value=(asked.one(name)); } }
        div class="bulk" role="group" aria-label=(view.t("unfinished.with")) {
            label class="choice" { input type="radio" name="scope" value="selected" checked;
                span data-count="sel" data-text=(view.t("unfinished.with_selected")) { (view.t("unfinished.with_selection")) } }
            label class="choice" { input type="radio" name="scope" value="all"; (view.f("unfinished.with_all", &[("n", &number(total))])) }
            div class="buttons" {
                @for (action, key) in super::bulk::ACTIONS { button name="action" value=(action) { (view.t(key)) } }
            }
        }
    }
}

fn table(view: &View, list: &UnfinishedPage) -> Markup {
    html! {
        table role="table" {
            caption { (view.f("unfinished.caption", &[("n", &number(list.total))])) " " (view.t("caption.oldest")) " "
                (view.f("caption.zone", &[("zone", &view.zone_name())])) }
            thead role="rowgroup" { tr role="row" {
                th role="columnheader" scope="col" class="c-tick" {
                    input type="checkbox" data-all="sel" hidden aria-label=(view.f("unfinished.select_page", &[("n", &number(list.items.len()))]));
                }
                th role="columnheader" scope="col" { (view.t("col.state")) }
                th role="columnheader" scope="col" { (view.t("col.what")) }
                th role="columnheader" scope="col" class="c-age" { (view.t("col.age")) }
                th role="columnheader" scope="col" class="c-num" { (view.t("col.tries")) }
                th role="columnheader" scope="col" { (view.t("col.next")) }
            } }
            tbody role="rowgroup" id="rows" data-live="rows" {
                @for item in &list.items {
                    @let about = About::of(item);
                    tr role="row" data-key=(about.page) {
                        td role="cell" class="c-tick" { label class="tick" {
                            input type="checkbox" name="sel" value=(selected(item)) aria-label=(view.f("unfinished.select", &[("what", &about.name)]));
                        } }
                        td role="cell" class="c-state" { (tag(view, item.state.as_ref())) span class="vh" { (view.t("state.colon")) } " " (why(view, item)) }
                        td role="cell" class="c-what" { (about.link()) (call_of(item)) }
                        td role="cell" class="c-age" { (age(view, &item.since)) }
                        td role="cell" class="c-num" data-label=(view.f("list.label", &[("label", view.t("col.tries"))])) { (item.attempts) }
                        td role="cell" data-label=(view.f("list.label", &[("label", view.t("col.next"))])) { (next(view, item)) }
                    }
                }
            }
        }
    }
}

/// How long ago something began, and when.
pub fn age(view: &View, since: &str) -> Markup {
    match since.parse::<Timestamp>() {
        Ok(at) => html! { (view.relative(at)) " " time class="abs" { (view.clock(at)) } },
        Err(_) => html! { (since) },
    }
}

/// Why an item is unfinished, with TOP's code and words.
pub fn why(view: &View, item: &Unfinished) -> Markup {
    let error = item.last_error.as_ref();
    let codes = error.map(|error| parts::codes(error.code, error.sub_code.as_deref()));
    html! {
        @match item.state {
            // Each body has its own problem.
            ItemState::Unreadable => @for reason in &item.reasons { span class="why" { (visible(&reason.text)) } },
            _ => (parts::reasons(view, &item.reasons)),
        }
        @for held in &item.held_back {
            span class="why" { (view.language.of_code("cause", held.cause.as_ref())) ": " (super::now::until(view, held)) }
        }
        @if let Some(codes) = codes.filter(|codes| !codes.is_empty()) { span class="why" { (codes) } }
        @if let Some(error) = error.filter(|error| !error.message.is_empty()) {
            span class="why muted" { (view.f("said.top", &[("words", &visible(&error.message))])) }
        }
    }
}

/// What happens next, and when.
pub fn next(view: &View, item: &Unfinished) -> Markup {
    let at = item.next.at.as_deref().and_then(|at| at.parse::<Timestamp>().ok());
    let step = view.language.of_code("step", item.next.step.as_ref());
    html! {
        (step)
        @if let Some(at) = at.filter(|_| !matches!(item.next.step, Step::Person | Step::Link | Step::Notification)) {
            (view.t("list.comma")) (view.h("unfinished.on_its_own", &[("time", view.time(at)), ("relative", view.relative(at))]))
        }
    }
}

/// The actions that an item allows.
pub fn buttons(view: &View, item: &Unfinished) -> Markup {
    let about = About::of(item);
    let is_order = item.order_id.is_some();
    let can: &[(&str, &str)] = match item.state {
        ItemState::Unreadable => &[("reprocess", "do.reprocess"), ("dismiss", "do.dismiss")],
        ItemState::Unknown => &[("resolve", "do.resolve")],
        ItemState::Refused if is_order => &[("replay", "do.replay"), ("dismiss", "do.dismiss")],
        ItemState::Refused => &[("resolve", "do.resolve"), ("dismiss", "do.dismiss")],
        ItemState::Attention if is_order => &[("replay", "do.replay"), ("dismiss", "do.dismiss")],
        ItemState::Attention => &[("dismiss", "do.dismiss")],
        ItemState::Waiting | ItemState::Unnotified if is_order => &[("close", "do.close")],
        ItemState::Held | ItemState::Pending if is_order && item.call.is_some() => &[("withdraw", "do.withdraw")],
        _ => &[],
    };
    html! {
        div class="buttons" {
            @for (action, key) in can {
                // An outcome belongs to the call, also if an order leads to it.
                @let of = if *action == "resolve" { call(item).unwrap_or_else(|| about.clone()) } else { about.clone() };
                (parts::button(&of.action(action, item.revision, item.attempts), view.t(key), &about.name))
            }
        }
    }
}

fn call(item: &Unfinished) -> Option<About> {
    Some(About::call(item.call?.as_ref(), item.key.as_deref()?))
}

/// A notification's kind and status in words.
pub fn pushed(view: &View, one: &Notification) -> String {
    let kind = view.language.of_code("push", one.kind.as_ref());
    match &one.status {
        Some(status) => {
            view.f("list.colon", &[("a", &kind), ("b", &view.language.of_code("status", &visible(status)))])
        }
        None => kind,
    }
}

/// The whole list as CSV.
pub async fn csv(State(console): State<Arc<Console>>, Extension(view): Extension<View>) -> Response {
    let asked = parameters(&view.address);
    let mut rows = "since,state,what,call,reasons,attempts,next\n".to_owned();
    let mut after = String::new();
    loop {
        let path = format!("/unfinished?limit=1000{}{after}", of_api(&asked));
        let list: UnfinishedPage = match console.get(&path).await {
            Ok(list) => list,
            Err(problem) => return console.framed(&view, Err(problem)).await.into_response(),
        };
        for item in &list.items {
            let reasons: Vec<_> = item.reasons.iter().map(|reason| reason.code.as_ref()).collect();
            let call = item.call.map(|call| format!("{call} {}", item.key.as_deref().unwrap_or_default()));
            let next = format!("{} {}", item.next.step.as_ref(), item.next.at.as_deref().unwrap_or_default());
            let fields = [
                item.since.clone(),
                item.state.as_ref().to_owned(),
                About::of(item).name,
                call.unwrap_or_default(),
                reasons.join(" "),
                item.attempts.to_string(),
                next.trim().to_owned(),
            ];
            rows.push_str(&fields.map(|field| crate::report::quoted(&field)).join(","));
            rows.push('\n');
        }
        match list.next {
            Some(next) => after = format!("&after={}", crate::api::encoded(&next)),
            None => break,
        }
    }
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=unfinished.csv"),
    ];
    (headers, rows).into_response()
}
