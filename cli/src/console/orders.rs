//! The page "Orders": finds an order or a call by any of its numbers.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde_json::Value;

use super::guard::parameters;
use super::page::Page;
use super::parts::{About, command, tag};
use super::view::{View, number, visible};
use super::{Console, Problem};
use crate::find;
use crate::table::text;

/// Shows the box; and what was found, or the order if there is only one.
pub async fn show(State(console): State<Arc<Console>>, Extension(view): Extension<View>) -> Response {
    let wanted = parameters(&view.address).one("q").trim().to_owned();
    let hits = if wanted.is_empty() { Ok(Vec::new()) } else { find::hits(&console.deployment, &wanted).await };
    let hits = match hits {
        Ok(hits) => hits,
        Err(error) => return console.framed(&view, Err(Problem::from(error))).await.into_response(),
    };
    if let [hit] = &hits[..] {
        return (StatusCode::SEE_OTHER, [(header::LOCATION, about(hit).page)]).into_response();
    }
    console.framed(&view, Ok(page(&view, &wanted, &hits))).await.into_response()
}

fn about(hit: &Value) -> About {
    if hit["order_id"].is_string() {
        About::order(&text(hit, "partner"), hit["order_id"].as_str().unwrap_or_default())
    } else {
        About::call(&text(hit, "call"), hit["key"].as_str().unwrap_or_default())
    }
}

fn page(view: &View, wanted: &str, hits: &[Value]) -> Page {
    let words = visible(wanted);
    let content = html! {
        div class="head" { h1 { (view.t("nav.orders")) } }
        form class="find" role="search" aria-label=(view.t("nav.orders")) action="orders" {
            label class="vh" for="q" { (view.t("orders.question")) }
            input id="q" name="q" type="search" value=(wanted) placeholder=(view.t("orders.question"));
            button { (view.t("frame.find")) }
        }
        @if !wanted.is_empty() && hits.is_empty() { p class="empty" { (view.f("orders.none", &[("words", &words)])) } }
        @if !hits.is_empty() {
            table role="table" {
                caption { (view.f("orders.found_n", &[("n", &number(hits.len())), ("words", &words)])) }
                thead role="rowgroup" { tr role="row" {
                    @for key in ["orders.order", "col.state", "orders.found_as"] { th role="columnheader" scope="col" { (view.t(key)) } }
                } }
                tbody role="rowgroup" {
                    @for hit in hits {
                        tr role="row" {
                            td role="cell" class="c-what" { (about(hit).link()) }
                            td role="cell" class="c-state" { (state(view, hit)) }
                            td role="cell" { (found_as(view, hit)) }
                        }
                    }
                }
            }
        }
    };
    let title = format!("{words} – {}", view.t("nav.orders"));
    Page { at: "orders", title, every: 0, command: command(&["find", wanted]), content }
}

fn state(view: &View, hit: &Value) -> Markup {
    let shown = find::state(hit);
    // A call's state is a code; an order's is a sentence of codes.
    if hit["calls"].is_array() {
        html! { (visible(&shown.replace('_', " "))) }
    } else {
        tag(view, &shown)
    }
}

fn found_as(view: &View, hit: &Value) -> String {
    let is_order = hit["calls"].is_array();
    let of = text(hit, if is_order { "partner" } else { "call" });
    view.f(if is_order { "orders.as_order_id" } else { "orders.as_call" }, &[("of", &of)])
}
