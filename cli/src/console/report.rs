//! The page "Report": how it went since a time, also as CSV.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde_json::Value;

use super::guard::parameters;
use super::page::Page;
use super::parts::{command, query};
use super::view::View;
use super::{Console, Problem};
use crate::report::{self, Form as ReportForm};
use crate::table::{list, text};
use crate::unfinished::time;

/// The tables: the member of the report, and its columns with the keys of their texts.
const TABLES: [(&str, &[(&str, &str)]); 2] = [
    (
        "notifications",
        &[
            ("partner", "unfinished.partner"),
            ("notification", "unfinished.kind"),
            ("received", "report.received"),
            ("decided", "report.decided"),
            ("waited", "report.waiting"),
            ("attention", "report.attention"),
        ],
    ),
    (
        "calls",
        &[
            ("call", "now.call"),
            ("told", "report.told"),
            ("refused", "report.refused"),
            ("unknown", "report.unknown"),
            ("p50_s", "report.p50"),
            ("p95_s", "report.p95"),
            ("max_s", "report.max"),
        ],
    ),
];

/// Shows the page, or returns it as CSV with `?as=csv`.
pub async fn show(State(console): State<Arc<Console>>, Extension(view): Extension<View>) -> Response {
    let asked = parameters(&view.address);
    let since = Some(asked.one("since")).filter(|since| !since.is_empty()).unwrap_or("yesterday").to_owned();
    let since_at = match time(&since) {
        Ok(at) => at,
        Err(message) => {
            let problem = Problem::Refused(StatusCode::BAD_REQUEST, message);
            return console.framed(&view, Err(problem)).await.into_response();
        }
    };
    let report = match report::report(&console.deployment, since_at, ReportForm::Csv).await {
        Ok(report) => report,
        Err(error) => return console.framed(&view, Err(error.into())).await.into_response(),
    };
    if asked.one("as") == "csv" {
        let headers = [
            (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
            (header::CONTENT_DISPOSITION, "attachment; filename=report.csv"),
        ];
        return (headers, report.shown).into_response();
    }
    let page = page(&view, &since, &report.json);
    console.framed(&view, Ok(page)).await.into_response()
}

fn page(view: &View, since: &str, report: &Value) -> Page {
    let content = html! {
        div class="head" {
            h1 { (view.t("nav.report")) } p { (view.t("report.question")) }
            a class="btn" href=(format!("report{}", query(&[("since", since), ("as", "csv")]))) { "CSV" }
        }
        form class="filters" action="report" {
            div { label for="since" { (view.t("unfinished.since")) } input id="since" name="since" value=(since); }
            button { (view.t("unfinished.apply")) }
        }
        @for (name, columns) in TABLES { (table(view, list(report, name), columns)) }
    };
    let command = command(&["report", "--since", since]);
    Page { at: "report", title: view.t("nav.report").to_owned(), every: 0, command, content }
}

fn table(view: &View, rows: &[Value], columns: &[(&str, &str)]) -> Markup {
    let is_number = |name: &str| !matches!(name, "partner" | "notification" | "call");
    html! {
        table role="table" {
            caption { (view.t("report.caption")) }
            thead role="rowgroup" { tr role="row" {
                @for (name, key) in columns { th role="columnheader" scope="col" class=[is_number(name).then_some("c-num")] { (view.t(key)) } }
            } }
            tbody role="rowgroup" {
                @for row in rows {
                    tr role="row" {
                        @for (name, key) in columns {
                            @let label = view.f("list.label", &[("label", view.t(key))]);
                            td role="cell" class=[is_number(name).then_some("c-num")] data-label=[is_number(name).then_some(label)] { (text(row, name)) }
                        }
                    }
                }
            }
        }
    }
}
