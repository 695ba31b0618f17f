//! The page "Difference": two notifications or two links of one order, field by field.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use maud::{Markup, html};
use relay_types::difference::{Difference, Field};
use serde_json::Value;

use super::guard::parameters;
use super::page::Page;
use super::parts::{About, command, query};
use super::view::{View, number, visible};
use super::{Console, Problem};
use crate::api::{encoded, path};

/// Shows the page.
pub async fn show(State(console): State<Arc<Console>>, Extension(view): Extension<View>) -> (StatusCode, Markup) {
    let page = page(&console, &view).await;
    console.framed(&view, page).await
}

async fn page(console: &Console, view: &View) -> Result<Page, Problem> {
    let asked = parameters(&view.address);
    let [partner, id, from, to] = ["partner", "id", "from", "to"].map(|name| asked.one(name));
    let address = format!("{}?from={}&to={}", path(["orders", partner, id, "difference"]), encoded(from), encoded(to));
    let difference: Difference = console.get(&address).await?;
    let about = About::order(partner, id);
    let swapped = query(&[("partner", partner), ("id", id), ("from", to), ("to", from)]);
    let short = |name: &str| visible(if name.starts_with("link-") { name } else { name.get(..8).unwrap_or(name) });
    let content = html! {
        div class="head" {
            h1 { (view.t("difference.title")) }
            p { (about.link()) ": " (short(from)) " → " (short(to)) " " a class="btn" href=(format!("difference{swapped}")) { (view.t("difference.swap")) } }
        }
        table role="table" {
            caption { (view.f("difference.same_n", &[("n", &number(difference.same))])) }
            thead role="rowgroup" { tr role="row" {
                @for key in ["difference.field", "difference.earlier", "difference.later"] { th role="columnheader" scope="col" { (view.t(key)) } }
            } }
            tbody role="rowgroup" { @for field in &difference.fields { (row(view, field)) } }
        }
        @if difference.fields.is_empty() { p class="empty" { (view.t("difference.nothing")) } }
        @if !difference.left_out.is_empty() {
            p class="muted" { (view.f("difference.always", &[("fields", &difference.left_out.join(", "))])) }
        }
    };
    let title = format!("{} – {}", view.t("difference.title"), about.name);
    Ok(Page { at: "orders", title, every: 0, command: command(&["order", "diff", partner, id, from, to]), content })
}

fn row(view: &View, field: &Field) -> Markup {
    let (sign, key) = match (&field.from, &field.to) {
        (None, _) => ("+", "difference.added"),
        (_, None) => ("−", "difference.removed"),
        _ => ("≠", "difference.changed"),
    };
    let value = |value: &Option<Value>, is_later: bool| match value {
        None => "–".to_owned(),
        Some(_) if field.hidden && is_later && field.from.is_some() => view.t("difference.hidden_changed").to_owned(),
        Some(_) if field.hidden => view.t("difference.hidden").to_owned(),
        // As JSON, so a number differs from a text.
        Some(value) => visible(&value.to_string()),
    };
    html! {
        tr role="row" {
            td role="cell" class="c-what" { span aria-hidden="true" { (sign) } span class="vh" { (view.t(key)) } " " code { (visible(&field.path)) } }
            td role="cell" data-label=(view.f("list.label", &[("label", view.t("difference.earlier"))])) { (value(&field.from, false)) }
            td role="cell" data-label=(view.f("list.label", &[("label", view.t("difference.later"))])) { (value(&field.to, true)) }
        }
    }
}
