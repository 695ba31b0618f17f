//! The page "Now": what needs a person, and whether the rest moves.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use maud::{Markup, html};
use relay_types::api::{HeldBack, HeldBackList};
use relay_types::breaker::Cause;
use relay_types::call::CallKind;
use relay_types::unfinished::{Unfinished, UnfinishedPage};

use super::page::Page;
use super::parts::{self, About, query, tag};
use super::unfinished::{age, buttons, why};
use super::view::{View, number, visible};
use super::{Console, Problem};

/// From this number on, items of one state and reason are one row.
const ONE_ROW_FROM: usize = 5;
/// The states that need a person.
pub const NEEDS_PERSON: &str = "attention,refused,unknown,unreadable";
/// How many items the page reads of each kind.
const MOST: usize = 1000;

/// Shows the page.
pub async fn show(State(console): State<Arc<Console>>, Extension(view): Extension<View>) -> (StatusCode, Markup) {
    let page = page(&console, &view).await;
    console.framed(&view, page).await
}

async fn page(console: &Console, view: &View) -> Result<Page, Problem> {
    let needs = format!("/unfinished?limit={MOST}&state={NEEDS_PERSON}");
    let held = format!("/unfinished?limit={MOST}&state=held");
    let (needs, held, breakers, firing) = tokio::join!(
        console.get::<UnfinishedPage>(&needs),
        console.get::<UnfinishedPage>(&held),
        console.get::<HeldBackList>("/breakers"),
        console.firing(),
    );
    let (needs, held, breakers) = (needs?, held?, breakers?.items);
    let count = |state: &str| number(needs.states.get(state).copied().unwrap_or_default());
    let total = view.f("now.need_you", &[("n", &number(needs.total))]);
    let content = html! {
        div class="head" {
            h1 { (view.t("nav.now")) }
            p id="counts" data-live="all" {
                b { (total) } " · " (view.f("now.held", &[("n", &count("held"))]))
                " · " (view.f("now.waiting", &[("n", &count("waiting"))]))
                @if !needs.complete { " · " (view.t("unfinished.not_complete")) }
            }
        }
        h2 { (view.t("now.needs_you")) }
        div class="fresh" data-fresh="needs" {}
        table role="table" {
            caption { (view.t("caption.oldest")) " " (view.f("caption.zone", &[("zone", &view.zone_name())])) }
            thead role="rowgroup" { tr role="row" {
                th role="columnheader" scope="col" class="c-age" { (view.t("col.age")) }
                th role="columnheader" scope="col" { (view.t("col.state")) }
                th role="columnheader" scope="col" { (view.t("col.what")) }
                th role="columnheader" scope="col" class="c-do" { (view.t("col.do")) }
            } }
            tbody role="rowgroup" id="needs" data-live="rows" {
                @for group in groups(&needs.items) { (row(view, &group)) }
            }
        }
        div id="nothing" data-live="all" { @if needs.total == 0 { p class="empty" { (nothing(view, &held)) } } }
        (held_back(view, &breakers, &held))
        (calls(view, &breakers))
        (alarms(view, firing.as_deref(), &console.stack))
    };
    let title = format!("{total} – {}", view.t("nav.now"));
    Ok(Page { at: "now", title, every: 5, command: "relay status".to_owned(), content })
}

/// Items that are one row, oldest first.
fn groups(items: &[Unfinished]) -> Vec<Vec<&Unfinished>> {
    let reason = |item: &Unfinished| {
        let reasons: Vec<_> = item.reasons.iter().map(|reason| reason.code.as_ref()).collect();
        let code = item.last_error.as_ref().and_then(|error| error.sub_code.clone()).unwrap_or_default();
        let partner = item.partner.map(|partner| partner.to_string()).unwrap_or_default();
        (item.state, reasons.join(","), code, partner)
    };
    let mut alike: BTreeMap<_, Vec<&Unfinished>> = BTreeMap::new();
    for item in items {
        alike.entry(reason(item)).or_default().push(item);
    }
    let mut groups: Vec<Vec<&Unfinished>> = Vec::new();
    for group in alike.into_values() {
        if group.len() >= ONE_ROW_FROM {
            groups.push(group);
        } else {
            groups.extend(group.into_iter().map(|item| vec![item]));
        }
    }
    groups.sort_by(|a, b| a[0].since.cmp(&b[0].since));
    groups
}

fn row(view: &View, group: &[&Unfinished]) -> Markup {
    let item = group[0];
    let about = About::of(item);
    if group.len() == 1 {
        return html! {
            tr role="row" data-key=(about.page) {
                td role="cell" class="c-age" { (age(view, &item.since)) }
                td role="cell" class="c-state" { (tag(view, item.state.as_ref())) span class="vh" { (view.t("state.colon")) } " " (why(view, item)) }
                td role="cell" class="c-what" { (about.link()) (call_of(item)) }
                td role="cell" class="c-do" { (buttons(view, item)) }
            }
        };
    }
    let count = number(group.len());
    let reason = item.reasons.first().map(|reason| reason.code.as_ref().to_owned()).unwrap_or_default();
    let partner = item.partner.map(|partner| partner.to_string()).unwrap_or_default();
    let filters = [("state", item.state.as_ref()), ("reason", reason.as_str()), ("partner", partner.as_str())];
    let list = format!("unfinished{}", query(&filters));
    html! {
        tr role="row" data-key=(format!("{list} {}", why(view, item).into_string())) {
            td role="cell" class="c-age" { (age(view, &item.since)) }
            td role="cell" class="c-state" {
                (tag(view, item.state.as_ref())) span class="vh" { (view.t("state.colon")) } " " (why(view, item))
                span class="why muted" { (view.f("now.oldest_of", &[("n", &count)])) }
            }
            td role="cell" class="c-what" { a class="row" href=(list) { (view.f("now.items_n", &[("n", &count), ("partner", &partner)])) } }
            td role="cell" class="c-do" { div class="buttons" { (parts::button(&list, view.t("do.show"), &about.name)) } }
        }
    }
}

/// The call of an order, below its name.
pub fn call_of(item: &Unfinished) -> Markup {
    let call = item.call.zip(item.key.as_ref()).filter(|_| item.order_id.is_some());
    html! { @if let Some((call, key)) = call { br; span class="muted" { (call) " " (parts::id(key)) } } }
}

fn nothing(view: &View, held: &UnfinishedPage) -> Markup {
    let next = held.items.iter().filter_map(|item| item.next.at.as_deref()).min();
    let count = number(held.total);
    html! {
        (view.t("now.empty"))
        @if let Some(next) = next { " " (view.h("now.empty_next", &[("n", html! { (count) }), ("time", view.time_of(next))])) }
    }
}

/// What holds calls back, with the number of calls that wait for it.
fn held_back(view: &View, breakers: &[HeldBack], held: &UnfinishedPage) -> Markup {
    let waiting = |breaker: &HeldBack| {
        let of_it = |item: &&Unfinished| {
            item.held_back
                .iter()
                .any(|one| (one.call, &one.account, one.cause) == (breaker.call, &breaker.account, breaker.cause))
        };
        held.items.iter().filter(of_it).count()
    };
    html! {
        h2 { (view.t("now.held_title")) }
        table role="table" class="slim" {
            caption { (view.f("caption.zone", &[("zone", &view.zone_name())])) }
            thead role="rowgroup" { tr role="row" {
                @for key in ["now.cause", "now.call", "now.calls", "col.next"] { th role="columnheader" scope="col" { (view.t(key)) } }
                th role="columnheader" scope="col" class="c-do" { (view.t("col.do")) }
            } }
            tbody role="rowgroup" id="held" data-live="all" {
                @for one in breakers {
                    @let call = one.call.as_ref();
                    @let is_pause = one.cause == Cause::Paused;
                    tr role="row" data-key=(format!("{call}/{}", one.account)) {
                        td role="cell" class="c-state" { (held_tag(view, one)) " " span class="muted" { (parts::codes(one.code, one.sub_code.as_deref())) } }
                        td role="cell" class="c-what" { (call) @if !is_pause { (view.t("list.comma")) (view.f("now.account", &[("account", &one.account)])) } }
                        td role="cell" { (view.count("now.calls_n", waiting(one))) }
                        td role="cell" { (until(view, one)) }
                        td role="cell" class="c-do" { div class="buttons" {
                            @if is_pause { (parts::button(&format!("act?do=resume&call={call}"), view.t("do.resume"), call)) }
                            @else {
                                (parts::button(&format!("act{}", query(&[("do", "retry-kind"), ("call", call), ("account", &one.account)])), view.t("do.retry"), call))
                            }
                        } }
                    }
                }
            }
        }
    }
}

fn held_tag(view: &View, one: &HeldBack) -> Markup {
    let key = format!("cause.{}", one.cause.as_ref());
    html! { span class="tag amber" { (parts::icon("held")) span { (view.t(&key)) } } }
}

/// Until when calls are held back, or when the next one is tried.
pub fn until(view: &View, one: &HeldBack) -> Markup {
    let until = one.until.as_deref().and_then(|until| until.parse::<jiff::Timestamp>().ok());
    match (one.cause, until) {
        (Cause::Limit, Some(until)) => {
            view.h("now.until", &[("time", view.time(until)), ("relative", view.relative(until))])
        }
        (_, Some(until)) => view.h("now.next_try", &[("time", view.time(until))]),
        (_, None) => html! { (view.t("now.until_resumed")) },
    }
}

/// The alarms that are firing, without the stack's name before each.
fn alarms(view: &View, firing: Option<&[String]>, stack: &str) -> Markup {
    let short = |name: &String| name.strip_prefix(&format!("{stack}-")).unwrap_or(name).to_owned();
    html! {
        dl class="facts" id="alarms" data-live="all" {
            dt { (view.t("now.alarms")) }
            dd { @match firing {
                None => (view.t("now.alarms_unread")),
                Some([]) => (view.t("now.none_firing")),
                Some(names) => {
                    @let listed = names.iter().map(short).collect::<Vec<_>>().join(", ");
                    span class="state red" { (parts::icon("attention")) " " (view.f("now.firing", &[("n", &number(names.len())), ("alarms", &visible(&listed))])) }
                },
            } }
        }
    }
}

/// Each kind of call, and whether it is sent.
fn calls(view: &View, breakers: &[HeldBack]) -> Markup {
    html! {
        div class="head" { h2 { (view.t("now.calls_to_top")) } (parts::button("act?do=pause&call=all", view.t("do.pause_all"), "")) }
        table role="table" class="slim narrow" {
            caption { (view.f("caption.zone", &[("zone", &view.zone_name())])) }
            thead role="rowgroup" { tr role="row" {
                th role="columnheader" scope="col" { (view.t("now.call")) }
                th role="columnheader" scope="col" { (view.t("now.state")) }
                th role="columnheader" scope="col" class="c-do" { (view.t("col.do")) }
            } }
            tbody role="rowgroup" id="calls" data-live="all" {
                @for kind in CallKind::ALL {
                    @let call = kind.as_ref();
                    @let held: Vec<_> = breakers.iter().filter(|one| one.call == kind).collect();
                    @let paused = held.iter().any(|one| one.cause == Cause::Paused);
                    tr role="row" data-key=(call) {
                        td role="cell" class="c-what" { (call) }
                        td role="cell" class="c-state" {
                            @if held.is_empty() { span class="state blue" { (parts::icon("in_progress")) " " (view.t("now.running")) } }
                            @for one in held {
                                span class="state amber" { (parts::icon("held")) " " (view.language.of_code("cause", one.cause.as_ref())) (view.t("list.comma")) (until(view, one)) " " }
                            }
                        }
                        td role="cell" class="c-do" { div class="buttons" {
                            @if paused { (parts::button(&format!("act?do=resume&call={call}"), view.t("do.resume"), call)) }
                            @else { (parts::button(&format!("act?do=pause&call={call}"), view.t("do.pause"), call)) }
                        } }
                    }
                }
            }
        }
    }
}
