//! The page "Unreadable": bodies that were refused. A body itself is shown only on request, since it may hold personal data.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use maud::{Markup, html};
use relay_types::api::UnreadableBody;
use relay_types::unfinished::UnfinishedPage;

use super::guard::{Form, parameters};
use super::page::{Page, person};
use super::parts::{self, About, tag};
use super::unfinished::{age, buttons};
use super::view::{View, number, visible};
use super::{Console, Problem};
use crate::api::path;

/// Shows the list.
pub async fn show(State(console): State<Arc<Console>>, Extension(view): Extension<View>) -> (StatusCode, Markup) {
    let page = page(&console, &view).await;
    console.framed(&view, page).await
}

/// Shows the details of one body.
pub async fn one(State(console): State<Arc<Console>>, Extension(view): Extension<View>) -> (StatusCode, Markup) {
    let page = body_page(&console, &view, &parameters(&view.address), false).await;
    console.framed(&view, page).await
}

/// Shows the body itself, which was asked for with a form. Reloading the page's address hides it.
pub async fn body(
    State(console): State<Arc<Console>>,
    Extension(view): Extension<View>,
    Extension(form): Extension<Form>,
) -> (StatusCode, Markup) {
    let page = body_page(&console, &view, &form, true).await;
    console.framed(&view, page).await
}

async fn page(console: &Console, view: &View) -> Result<Page, Problem> {
    let list: UnfinishedPage = console.get("/unfinished?limit=1000&state=unreadable").await?;
    let count = number(list.total);
    let content = html! {
        div class="head" { h1 { (view.t("nav.unreadable")) } p { (view.t("unreadable.question")) } }
        div class="fresh" data-fresh="bodies" {}
        table role="table" {
            caption { (view.f("unreadable.caption", &[("n", &count)])) " " (view.f("caption.zone", &[("zone", &view.zone_name())])) }
            thead role="rowgroup" { tr role="row" {
                th role="columnheader" scope="col" class="c-age" { (view.t("col.age")) }
                @for key in ["unreadable.route", "unreadable.reason"] { th role="columnheader" scope="col" { (view.t(key)) } }
                th role="columnheader" scope="col" class="c-do" { (view.t("col.do")) }
            } }
            tbody role="rowgroup" id="bodies" data-live="rows" {
                @for item in &list.items {
                    @let about = About::of(item);
                    tr role="row" data-key=(about.page) {
                        td role="cell" class="c-age" { (age(view, &item.since)) }
                        td role="cell" class="c-what" { (about.link()) }
                        td role="cell" { @for reason in &item.reasons { (visible(&reason.text)) } }
                        td role="cell" class="c-do" { (buttons(view, item)) }
                    }
                }
            }
        }
        div id="nothing" data-live="all" { @if list.total == 0 { p class="empty" { (view.t("unreadable.empty")) } } }
    };
    let title = format!("{count} – {}", view.t("nav.unreadable"));
    Ok(Page { at: "unreadable", title, every: 15, command: "relay list --state unreadable".to_owned(), content })
}

async fn body_page(console: &Console, view: &View, asked: &Form, shows_body: bool) -> Result<Page, Problem> {
    let (endpoint, digest) = (asked.one("endpoint"), asked.one("digest"));
    let address = path(["attention", "unreadable", endpoint, digest]);
    let address = if shows_body { format!("{address}?body=true") } else { address };
    let body: UnreadableBody = console.get(&address).await?;
    let about = About::body(endpoint, digest);
    let token = console.sessions.form_token(&view.session).unwrap_or_default();
    let content = html! {
        div class="head" {
            h1 { (endpoint) " " (parts::id(digest)) }
            @if body.needs_attention { p { (tag(view, "unreadable")) } }
            @if body.needs_attention { div class="buttons" {
                (parts::button(&about.action("reprocess", None, 0), view.t("do.reprocess"), &about.name))
                (parts::button(&about.action("dismiss", None, 0), view.t("do.dismiss"), &about.name))
            } }
        }
        dl class="facts" {
            dt { (view.t("unreadable.reason")) } dd { (visible(&body.problem)) }
            dt { (view.t("unreadable.size")) } dd { (number(body.bytes)) " B" }
            dt { (view.t("unreadable.deliveries")) } dd { (body.deliveries) ", " (view.time_of(&body.last_received_at)) }
            @if let Some(by) = &body.dismissed_by { dt { (view.t("state.dismissed")) }
                dd { (person(by)) " " blockquote { (visible(body.dismissed_note.as_deref().unwrap_or_default())) } } }
        }
        @match (body.body.as_deref(), body.body_base64.as_deref()) {
            (Some(text), _) => pre { (text.lines().map(visible).collect::<Vec<_>>().join("\n")) },
            (None, Some(base64)) => { p { (view.t("unreadable.not_utf8")) } pre { (base64) } },
            (None, None) => form class="form" method="post" action="body" {
                input type="hidden" name="token" value=(token);
                input type="hidden" name="endpoint" value=(endpoint);
                input type="hidden" name="digest" value=(digest);
                p { (view.t("unreadable.may_hold")) }
                button class="btn" { (view.t("do.show_body")) }
            },
        }
    };
    let title = format!("{} – {}", about.name, view.t("nav.unreadable"));
    let command = parts::command(&["unreadable", "show", endpoint, digest]);
    Ok(Page { at: "unreadable", title, every: 0, command, content })
}
