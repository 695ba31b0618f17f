//! The page "Dead letters": what was given up, and whether it matters.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use futures_util::future::join_all;
use maud::{Markup, html};
use relay_types::api::{Call, Order};
use relay_types::record::RecordKey;
use serde_json::Value;

use super::page::Page;
use super::parts::{self, About, query};
use super::unfinished::age;
use super::view::{View, number, visible};
use super::{Console, Problem};
use crate::api::path;
use crate::dead_letters;
use crate::table::text;

/// For how many letters the record's state is read.
const MOST_RECORDS: usize = 50;

/// Shows the page.
pub async fn show(State(console): State<Arc<Console>>, Extension(view): Extension<View>) -> (StatusCode, Markup) {
    let page = page(&console, &view).await;
    console.framed(&view, page).await
}

async fn page(console: &Console, view: &View) -> Result<Page, Problem> {
    let listing = dead_letters::list(&console.deployment, None).await?;
    let messages = listing.messages();
    let states = join_all(messages.iter().take(MOST_RECORDS).map(|message| state(console, view, message))).await;
    let count = number(messages.len());
    let content = html! {
        div class="head" { h1 { (view.t("nav.dead_letters")) } p { (view.t("dead.question")) } }
        table role="table" {
            caption { (view.f("dead.caption", &[("n", &count)])) " " (view.f("caption.zone", &[("zone", &view.zone_name())])) }
            thead role="rowgroup" { tr role="row" {
                @for key in ["dead.queue", "dead.record"] { th role="columnheader" scope="col" { (view.t(key)) } }
                th role="columnheader" scope="col" class="c-age" { (view.t("col.age")) }
                th role="columnheader" scope="col" class="c-do" { (view.t("col.do")) }
            } }
            tbody role="rowgroup" id="letters" data-live="rows" {
                @for (index, message) in messages.iter().enumerate() { (row(view, message, states.get(index))) }
            }
        }
        @if messages.is_empty() { p class="empty" { (view.t("dead.empty")) } }
        @if listing.hidden() > 0 { p class="muted" { (view.f("dead.hidden", &[("n", &number(listing.hidden()))])) } }
    };
    let title = format!("{count} – {}", view.t("nav.dead_letters"));
    Ok(Page { at: "dead-letters", title, every: 0, command: "relay dead-letters show".to_owned(), content })
}

/// What the message is about.
fn about(message: &Value) -> Option<About> {
    match serde_json::from_str::<RecordKey>(message["message"].as_str()?).ok()? {
        RecordKey::Order(order) => Some(About::order(order.partner.as_ref(), &order.order_id.to_string())),
        RecordKey::Submission(lane) => Some(About::call(lane.call.as_ref(), lane.key())),
    }
}

/// The state of the record that a message names. A page without it is better than none.
async fn state(console: &Console, view: &View, message: &Value) -> Markup {
    let key = message["message"].as_str().and_then(|body| serde_json::from_str::<RecordKey>(body).ok());
    let Some(key) = key else { return html! { (view.t("dead.not_a_key")) } };
    let missing = |state: &str| if state == "succeeded" { view.t("dead.nothing_missing") } else { "" };
    let state = match &key {
        RecordKey::Order(order) => {
            let address = path(["orders", order.partner.as_ref(), &order.order_id.to_string()]) + "?payload=none";
            console.get::<Order>(&address).await.map(|order| super::order::state(&order).to_owned())
        }
        RecordKey::Submission(lane) => {
            let address = path(["calls", lane.call.as_ref(), lane.key()]);
            console.get::<Call>(&address).await.map(|call| call.state.as_ref().to_owned())
        }
    };
    match state {
        Ok(state) => html! { (parts::tag(view, &state)) " " (missing(&state)) },
        Err(Problem::Refused(StatusCode::NOT_FOUND, _)) => html! { (view.t("dead.no_record")) },
        Err(_) => html! { (view.t("dead.unread")) },
    }
}

fn row(view: &View, message: &Value, state: Option<&Markup>) -> Markup {
    let (queue, id) = (text(message, "queue"), text(message, "id"));
    let about = about(message);
    let of = [("queue", queue.as_str()), ("message", id.as_str())];
    html! {
        tr role="row" data-key=(id) {
            td role="cell" { (queue) }
            td role="cell" class="c-what" {
                @match &about {
                    Some(about) => (about.link()),
                    None => (visible(message["message"].as_str().unwrap_or_default())),
                }
                " " @if let Some(state) = state { (state) }
            }
            td role="cell" class="c-age" { (age(view, message["sent_at"].as_str().unwrap_or_default())) }
            td role="cell" class="c-do" { div class="buttons" {
                @if about.is_some() { (parts::button(&format!("act{}", query(&[&[("do", "redrive")], &of[..]].concat())), view.t("do.redrive"), &id)) }
                (parts::button(&format!("act{}", query(&[&[("do", "delete")], &of[..]].concat())), view.t("do.delete"), &id))
            } }
        }
    }
}
