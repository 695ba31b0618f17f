//! The page "Live": the newest lines of the functions' log.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use maud::{Markup, html};
use serde_json::Value;

use super::guard::parameters;
use super::page::Page;
use super::parts;
use super::view::{View, visible};
use super::{Console, Problem};
use crate::log;
use crate::table::text;
use crate::unfinished::time;

/// How many lines the page shows: the newest.
const MOST: usize = 120;

/// Shows the page.
pub async fn show(State(console): State<Arc<Console>>, Extension(view): Extension<View>) -> (StatusCode, Markup) {
    let page = page(&console, &view).await;
    console.framed(&view, page).await
}

async fn page(console: &Console, view: &View) -> Result<Page, Problem> {
    let asked = parameters(&view.address);
    let since = Some(asked.one("since")).filter(|since| !since.is_empty()).unwrap_or("5m");
    let since_at = time(since).map_err(|message| Problem::Refused(StatusCode::BAD_REQUEST, message))?;
    let about = Some(asked.one("about").to_owned()).filter(|about| !about.is_empty());
    let problems = asked.one("problems") == "1";
    let wanted = log::Wanted { about: about.clone(), since: since_at, problems };
    let lines = log::read(&console.deployment, &wanted, since_at).await?;
    let shown = &lines[lines.len().saturating_sub(MOST)..];
    let content = html! {
        div class="head" { h1 { (view.t("nav.live")) } p { (view.t("livelog.question")) } }
        form class="filters" action="live" {
            div { label for="since" { (view.t("unfinished.since")) } input id="since" name="since" value=(since); }
            div { label for="about" { (view.t("livelog.about")) } input id="about" name="about" value=(about.as_deref().unwrap_or_default()); }
            label class="choice" { input type="checkbox" name="problems" value="1" checked[problems]; (view.t("livelog.problems")) }
            button { (view.t("unfinished.apply")) }
        }
        table role="table" {
            caption { (view.t("livelog.caption")) " " (view.f("caption.zone", &[("zone", &view.zone_name())])) }
            thead role="rowgroup" { tr role="row" {
                @for key in ["livelog.time", "livelog.what", "livelog.details"] { th role="columnheader" scope="col" { (view.t(key)) } }
            } }
            tbody role="rowgroup" id="lines" data-live="append" { @for (id, line) in shown { (row(view, id, line)) } }
        }
        div id="nothing" data-live="all" { @if shown.is_empty() { p class="empty" { (view.t("livelog.empty")) } } }
    };
    let mut arguments = vec!["log", "--since", since, "--follow"];
    if problems {
        arguments.push("--problems");
    }
    if let Some(about) = &about {
        arguments.extend(["--about", about]);
    }
    let command = parts::command(&arguments);
    Ok(Page { at: "live", title: view.t("nav.live").to_owned(), every: 10, command, content })
}

fn row(view: &View, id: &str, line: &Value) -> Markup {
    let color = match line["level"].as_str() {
        Some("ERROR") => "red",
        Some("WARN") => "amber",
        _ => "grey",
    };
    let name = if color == "grey" { "received" } else { "attention" };
    html! {
        tr role="row" data-key=(id) {
            td role="cell" class="c-time" { (view.time_of(&text(line, "timestamp"))) }
            td role="cell" class="c-state" { span class=(format!("state {color}")) { (parts::icon(name)) " " (visible(&text(line, "message"))) } }
            td role="cell" class="muted" { (visible(&log::members(line))) }
        }
    }
}
