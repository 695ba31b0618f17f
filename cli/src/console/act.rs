//! The page of an action: the first request changes nothing, and the form says exactly what will happen.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use relay_types::api::MAX_NOTE_BYTES;

use super::actions::{self, Action, Note, PARAMETERS};
use super::guard::{Form, parameters};
use super::page::Page;
use super::parts::{self, About};
use super::view::{View, visible};
use super::{Console, Problem};
use crate::args::CallArgs;

/// The outcomes that an operator may set.
const OUTCOMES: [(&str, &str); 3] = [
    ("succeeded", "action.resolve.has_it"),
    ("rejected", "action.resolve.not_send"),
    ("retry", "action.resolve.send_again"),
];
fn named(form: &Form) -> Result<Action, Problem> {
    let name = form.one("do");
    name.parse().map_err(|_| Problem::Refused(StatusCode::NOT_FOUND, format!("there is no action {}", visible(name))))
}

/// Shows what an action will do.
pub async fn ask_first(State(console): State<Arc<Console>>, Extension(view): Extension<View>) -> (StatusCode, Markup) {
    let form = parameters(&view.address);
    let page = named(&form).map(|action| form_page(&console, &view, action, &form, None));
    console.framed(&view, page).await
}

/// Performs an action, and goes to the changed record; or shows the form again with what went wrong.
pub async fn act(
    State(console): State<Arc<Console>>,
    Extension(view): Extension<View>,
    Extension(form): Extension<Form>,
) -> Response {
    let action = match named(&form) {
        Ok(action) => action,
        Err(problem) => return console.framed(&view, Err(problem)).await.into_response(),
    };
    let about = actions::about(&view, &form);
    let refusal = match missing(&console, action, &form).await {
        Some(problem) => Some((StatusCode::BAD_REQUEST, html! { (view.t(problem)) })),
        None => {
            // If the browser leaves, the action must not stop half way.
            let (console, asked) = (console.clone(), form.clone());
            let done = tokio::spawn(async move { actions::perform(&console, action, &asked).await }).await;
            let done = done.unwrap_or_else(|error| Err(error.into()));
            done.err().map(|error| failed(&view, &about, action, &form, Problem::from(error)))
        }
    };
    let Some((status, message)) = refusal else {
        let separator = if about.page.contains('?') { '&' } else { '?' };
        let to = format!("{}{separator}done={}", about.page, action.name());
        return (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response();
    };
    // Links of this page must not repeat the form.
    let address = format!("/{}/{}", crate::api::encoded(&console.stack), about.page);
    let view = View { address, ..view };
    let page = form_page(&console, &view, action, &form, Some(&message));
    let (_, markup) = console.framed(&view, Ok(page)).await;
    (status, markup).into_response()
}

/// What a form lacks.
async fn missing(console: &Console, action: Action, form: &Form) -> Option<&'static str> {
    let has_outcome = OUTCOMES.iter().any(|(outcome, _)| *outcome == form.one("outcome"));
    let note = form.one("note");
    if action == Action::Resolve && !has_outcome {
        return Some("error.choose");
    }
    if matches!(action.note(), Note::Required(_)) && note.trim().is_empty() {
        return Some("error.note_missing");
    }
    if note.len() > MAX_NOTE_BYTES {
        return Some("error.note_long");
    }
    let may_be_late = action == Action::Resolve && form.one("outcome") == "retry" && form.one("known") != "1";
    if may_be_late {
        let call = CallArgs { call: form.one("call").to_owned(), key: form.one("key").to_owned() };
        // If the call cannot be read, its age is not known either.
        return crate::check_age_of_attempt(&console.deployment, &call).await.is_err().then_some("error.late");
    }
    None
}

/// What became of an action that failed.
fn failed(view: &View, about: &About, action: Action, form: &Form, problem: Problem) -> (StatusCode, Markup) {
    // Of several requests, the first ones may have been performed.
    let is_partly = matches!(action, Action::Pause | Action::Resume) && form.one("call") == "all";
    match problem {
        Problem::Refused(StatusCode::CONFLICT, message) if !is_partly => {
            let message = view.f("error.changed", &[("message", &visible(&message))]);
            (StatusCode::CONFLICT, html! { (message) " " a href=(about.page) { (view.t("error.show_it")) } })
        }
        Problem::Refused(status, message) if status.is_client_error() && !is_partly => {
            (status, html! { (view.f("error.refused", &[("message", &visible(&message))])) })
        }
        Problem::NoAnswer => (StatusCode::GATEWAY_TIMEOUT, html! { (view.t("error.answer_lost")) }),
        Problem::Refused(_, message) | Problem::Other(message) => {
            (StatusCode::BAD_GATEWAY, html! { (view.t("error.answer_lost")) " " (visible(&message)) })
        }
    }
}

fn form_page(console: &Console, view: &View, action: Action, form: &Form, problem: Option<&Markup>) -> Page {
    let about = actions::about(view, form);
    let title = action.text(view, "title", &about, form);
    let is_bad = problem.is_some();
    let token = console.sessions.form_token(&view.session).unwrap_or_default();
    let stack = [("stack", console.stack.as_str()), ("account", &console.account), ("region", &console.region)];
    let content = html! {
        @if let Some(message) = problem { (parts::note("red", "attention", message)) }
        h1 tabindex="-1" { (title) }
        p { (action.text(view, "text", &about, form)) }
        p class="muted" { (view.f("action.stack", &stack)) }
        form class="form" method="post" action="act" {
            input type="hidden" name="token" value=(token);
            input type="hidden" name="do" value=(form.one("do"));
            @for name in PARAMETERS { @if !form.one(name).is_empty() { input type="hidden" name=(name) value=(form.one(name)); } }
            @if action == Action::Resolve { (outcomes(view, form, is_bad)) }
            @if action == Action::Pause { (minutes(view, form)) }
            (note(view, action, form, is_bad))
            div class="buttons" {
                button class=(if action == Action::Delete { "btn danger" } else { "btn main" }) {
                    (action.text(view, "button", &about, form)) }
                a href=(about.page) { (view.t("do.cancel")) }
            }
        }
    };
    let title = if is_bad { view.f("error.error", &[("title", &title)]) } else { title };
    Page { at: "", title, every: 0, command: String::new(), content }
}

/// The outcomes to choose from.
pub fn outcomes_of_many(view: &View, chosen: &str) -> Markup {
    html! {
        fieldset {
            legend { (view.t("action.resolve.outcome")) }
            @for (value, key) in OUTCOMES {
                label class="choice" { input type="radio" name="outcome" value=(value) checked[chosen == value]; (view.t(key)) }
            }
        }
    }
}

fn outcomes(view: &View, form: &Form, is_bad: bool) -> Markup {
    html! {
        (outcomes_of_many(view, form.one("outcome")))
        @if is_bad && form.one("outcome") == "retry" {
            label class="choice" { input type="checkbox" name="known" value="1"; (view.t("action.resolve.late")) }
        }
    }
}

fn minutes(view: &View, form: &Form) -> Markup {
    let chosen = if form.one("minutes").is_empty() { "60" } else { form.one("minutes") };
    html! {
        div class="field" {
            label for="minutes" { (view.t("action.how_long")) }
            select id="minutes" name="minutes" {
                @for minutes in ["15", "60", "240", "720"] {
                    @let seconds = minutes.parse::<i64>().unwrap_or_default() * 60;
                    option value=(minutes) selected[chosen == minutes] { (view.duration(jiff::SignedDuration::from_secs(seconds))) }
                }
            }
        }
    }
}

fn note(view: &View, action: Action, form: &Form, is_bad: bool) -> Markup {
    let (label, required) = match action.note() {
        Note::None => return html! {},
        Note::Optional => (view.t("action.why"), false),
        Note::Required(key) => (view.t(key), true),
    };
    let is_missing = is_bad && required && form.one("note").trim().is_empty();
    html! {
        div class="field" {
            label for="note" { (label) }
            textarea id="note" name="note" maxlength="1024" required[required] aria-invalid=[is_missing.then_some("true")] { (form.one("note")) }
        }
    }
}
