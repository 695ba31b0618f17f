//! The page of an action: the first request changes nothing, and the form says exactly what will happen.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use super::actions::{self, Action, Note, PARAMETERS};
use super::guard::{Form, parameters};
use super::page::Page;
use super::parts::{self, About};
use super::view::{View, visible};
use super::{Console, Problem};

/// The outcomes that an operator may set.
const OUTCOMES: [(&str, &str); 3] = [
    ("succeeded", "action.resolve.has_it"),
    ("rejected", "action.resolve.not_send"),
    ("retry", "action.resolve.send_again"),
];
/// How long after an attempt a late request may take effect, in seconds.
const LATE: f64 = crate::LATE_REQUEST_SECONDS;

fn named(path: &str) -> Result<Action, Problem> {
    path.parse().map_err(|_| Problem::Refused(StatusCode::NOT_FOUND, format!("there is no action {}", visible(path))))
}

/// Shows what an action will do.
pub async fn ask_first(
    State(console): State<Arc<Console>>,
    Extension(view): Extension<View>,
    Path((_, action)): Path<(String, String)>,
) -> (StatusCode, Markup) {
    let page = match named(&action) {
        Ok(action) => Ok(form_page(&console, &view, action, &parameters(&view.address), None)),
        Err(problem) => Err(problem),
    };
    console.framed(&view, page).await
}

/// Performs an action, and goes to the changed record; or shows the form again with what went wrong.
pub async fn act(
    State(console): State<Arc<Console>>,
    Extension(view): Extension<View>,
    Path((_, action)): Path<(String, String)>,
    Extension(form): Extension<Form>,
) -> Response {
    let action = match named(&action) {
        Ok(action) => action,
        Err(problem) => return console.framed(&view, Err(problem)).await.into_response(),
    };
    let refusal = match missing(action, &form) {
        Some(key) => Some((StatusCode::BAD_REQUEST, html! { (view.t(key)) })),
        None => match actions::perform(&console, action, &form).await {
            Ok(()) => None,
            Err(error) => Some(failed(&view, &actions::about(&view, &form), Problem::from(error))),
        },
    };
    let Some((status, message)) = refusal else {
        let page = actions::about(&view, &form).page;
        let separator = if page.contains('?') { '&' } else { '?' };
        let to = format!("../{page}{separator}done={}", action.name());
        return (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response();
    };
    let page = form_page(&console, &view, action, &form, Some(&message));
    let (_, markup) = console.framed(&view, Ok(page)).await;
    (status, markup).into_response()
}

/// What a form lacks.
fn missing(action: Action, form: &Form) -> Option<&'static str> {
    let has_outcome = OUTCOMES.iter().any(|(outcome, _)| *outcome == form.one("outcome"));
    match action {
        Action::Resolve if !has_outcome => Some("error.choose"),
        Action::Resolve if form.one("outcome") == "retry" && form.one("late") == "1" && form.one("known") != "1" => {
            Some("error.late")
        }
        _ if matches!(action.note(), Note::Required(_)) && form.one("note").trim().is_empty() => {
            Some("error.note_missing")
        }
        _ => None,
    }
}

/// What became of an action that failed.
fn failed(view: &View, about: &About, problem: Problem) -> (StatusCode, Markup) {
    match problem {
        Problem::NoAnswer => (StatusCode::GATEWAY_TIMEOUT, html! { (view.t("error.answer_lost")) }),
        Problem::Refused(StatusCode::CONFLICT, message) => {
            let message = view.f("error.changed", &[("message", &visible(&message))]);
            (
                StatusCode::CONFLICT,
                html! { (message) " " a href=(format!("../{}", about.page)) { (view.t("error.show_it")) } },
            )
        }
        Problem::Refused(status, message) => {
            (status, html! { (view.f("error.refused", &[("message", &visible(&message))])) })
        }
        Problem::Other(message) => {
            (StatusCode::BAD_GATEWAY, html! { (view.f("error.refused", &[("message", &visible(&message))])) })
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
        form class="form" method="post" action=(action_name(action)) {
            input type="hidden" name="token" value=(token);
            @for name in PARAMETERS { @if !form.one(name).is_empty() { input type="hidden" name=(name) value=(form.one(name)); } }
            @if action == Action::Resolve { (outcomes(view, form)) }
            @if action == Action::Pause { (minutes(view, form)) }
            (note(view, action, form, is_bad))
            div class="buttons" {
                button class=(if action == Action::Delete { "btn danger" } else { "btn main" }) {
                    (action.text(view, "button", &about, form)) }
                a href=(format!("../{}", about.page)) { (view.t("do.cancel")) }
            }
        }
    };
    let title = if is_bad { view.f("error.error", &[("title", &title)]) } else { title };
    Page { at: "", title, every: 0, command: String::new(), content }
}

fn action_name(action: Action) -> &'static str {
    action.into()
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

fn outcomes(view: &View, form: &Form) -> Markup {
    // The attempt's end is when the item became unknown.
    let ended = form.one("ended").parse::<jiff::Timestamp>().ok();
    let late = ended.is_some_and(|ended| view.now.duration_since(ended).as_secs_f64() < LATE);
    html! {
        (outcomes_of_many(view, form.one("outcome")))
        @if late {
            input type="hidden" name="late" value="1";
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
