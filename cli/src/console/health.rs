//! The page "Health": whether the deployment is right.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use maud::{Markup, html};
use serde_json::Value;

use super::Console;
use super::page::Page;
use super::parts;
use super::view::{View, number, visible};
use crate::doctor;
use crate::table::text;

/// Runs the checks of `relay doctor`, and shows what they found.
pub async fn show(State(console): State<Arc<Console>>, Extension(view): Extension<View>) -> (StatusCode, Markup) {
    let (findings, _, _) = doctor::of(&console.deployment).await;
    let page = page(&view, findings.as_array().map(Vec::as_slice).unwrap_or_default());
    console.framed(&view, Ok(page)).await
}

fn page(view: &View, findings: &[Value]) -> Page {
    let failed = findings.iter().filter(|finding| finding["ok"] == false).count();
    let counts = view.f("health.counts", &[("ok", &number(findings.len() - failed)), ("failed", &number(failed))]);
    let content = html! {
        div class="head" {
            h1 { (view.t("nav.health")) }
            p { (view.t("health.question")) " " (counts) }
            a class="btn" href="health" { (view.t("health.again")) }
        }
        table role="table" {
            caption { (view.t("health.question")) }
            thead role="rowgroup" { tr role="row" {
                @for key in ["health.result", "health.check", "health.found", "health.fix"] { th role="columnheader" scope="col" { (view.t(key)) } }
            } }
            tbody role="rowgroup" { @for finding in findings { (row(view, finding)) } }
        }
    };
    let title = format!("{counts} – {}", view.t("nav.health"));
    Page { at: "health", title, every: 0, command: "relay doctor".to_owned(), content }
}

fn row(view: &View, finding: &Value) -> Markup {
    let (color, name, key) =
        if finding["ok"] == true { ("green", "succeeded", "health.ok") } else { ("red", "rejected", "health.failed") };
    html! {
        tr role="row" {
            td role="cell" class="c-state" { span class=(format!("tag {color}")) { (parts::icon(name)) span { (view.t(key)) } } }
            td role="cell" class="c-what" { (visible(&text(finding, "check"))) }
            td role="cell" { (visible(&text(finding, "found"))) }
            td role="cell" { (visible(&text(finding, "fix"))) }
        }
    }
}
