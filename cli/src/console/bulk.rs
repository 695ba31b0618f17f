//! One action about many items: the plan freezes them, the run touches one after another, and the end says what came of it.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use clap::ValueEnum as _;
use maud::{Markup, html};
use relay_types::api::MAX_NOTE_BYTES;
use serde_json::Value;
use tokio::time::MissedTickBehavior;

use super::guard::{Form, parameters};
use super::page::Page;
use super::parts::{self, About, tag};
use super::unfinished::{age, selected, why};
use super::view::{View, number, visible};
use super::{Console, Problem};
use crate::args::Outcome;
use crate::bulk::{Action, BulkArgs, Done, plan_of, planned, send_one};
use crate::unfinished::{self, Filters};

/// Rows that a plan or an end shows.
const SHOWN: usize = 20;
/// From more items than this, their number must be typed.
const MANY: usize = 100;
/// The rates to choose from, in items per second.
const RATES: [&str; 4] = ["1", "5", "10", "20"];
/// How many plans are kept; older ones are forgotten.
const KEPT: usize = 50;

/// The actions, with the keys of their texts.
pub const ACTIONS: [(&str, &str); 7] = [
    ("replay", "do.replay"),
    ("dismiss", "do.dismiss"),
    ("retry-now", "do.retry"),
    ("withdraw", "do.withdraw"),
    ("resolve", "do.resolve"),
    ("close", "do.close"),
    ("retry-unreadable", "do.reprocess"),
];

/// All plans and runs of a console.
#[derive(Default)]
pub struct Runs {
    all: Mutex<Vec<Arc<Run>>>,
    last: AtomicU64,
}

/// A plan, and its run.
struct Run {
    id: String,
    action: &'static str,
    frozen_at: jiff::Timestamp,
    /// Why items were left out, with their number.
    left_out: Vec<(&'static str, usize)>,
    items: Vec<Value>,
    stop: AtomicBool,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    started_at: Option<jiff::Timestamp>,
    ended: bool,
    rate: u32,
    done: usize,
    /// Items that have changed since the plan, with what the API said.
    skipped: Vec<(usize, String)>,
    failed: Vec<(usize, String)>,
    /// How many items were touched.
    touched: usize,
}

impl Run {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The items that were not touched; or those that failed or were skipped.
    fn rest(&self, failed: bool) -> Vec<Value> {
        let progress = self.progress();
        if failed {
            let not_done = progress.failed.iter().chain(&progress.skipped);
            return not_done.map(|(index, _)| self.items[*index].clone()).collect();
        }
        self.items[progress.touched..].to_vec()
    }

    fn is_running(&self) -> bool {
        let progress = self.progress();
        progress.started_at.is_some() && !progress.ended
    }
}

impl Runs {
    fn find(&self, id: &str) -> Option<Arc<Run>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|run| run.id == id).cloned()
    }

    /// Stops all runs, and writes what they did not do into files.
    pub async fn stop_all(&self) -> Result<()> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.iter().for_each(|run| run.stop.store(true, Ordering::Relaxed));
        while all.iter().any(|run| run.is_running()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for run in all.iter().filter(|run| run.progress().started_at.is_some()) {
            let items: Vec<Value> = [run.rest(true), run.rest(false)].concat();
            if !items.is_empty() {
                let file = format!("relay-bulk-{}-{}.jsonl", run.frozen_at.as_second(), run.id);
                let lines: String = items.iter().map(|item| format!("{}\n", unfinished::kept(item, None))).collect();
                std::fs::write(&file, lines)?;
                // If stderr is closed, the file is still there.
                let _ =
                    writeln!(std::io::stderr(), "{} not done: relay bulk {} --from {file}", items.len(), run.action);
            }
        }
        Ok(())
    }

    fn add(&self, action: &'static str, items: &[Value], mut left_out: Vec<(&'static str, usize)>) -> Arc<Run> {
        let (plan, others) = plan_of(&arguments(action, "", None), items);
        left_out.extend(others);
        let run = Arc::new(Run {
            id: format!("b{}", self.last.fetch_add(1, Ordering::Relaxed) + 1),
            action,
            frozen_at: jiff::Timestamp::now(),
            left_out,
            items: plan.into_iter().map(|one| one.item).collect(),
            stop: AtomicBool::default(),
            progress: Mutex::default(),
        });
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(run.clone());
        let mut excess = all.len().saturating_sub(KEPT);
        all.retain(|run| {
            let goes = excess > 0 && !run.is_running();
            excess -= usize::from(goes);
            !goes
        });
        run
    }
}

/// The arguments of `relay bulk` for an action. Without an outcome, a resolution is planned as one that sends nothing.
fn arguments(action: &str, note: &str, outcome: Option<Outcome>) -> BulkArgs {
    BulkArgs {
        action: Action::from_str(action, false).unwrap_or(Action::Replay),
        note: note.to_owned(),
        outcome: outcome.or(Some(Outcome::Rejected)),
        filters: Filters::default(),
        from: None,
        dry_run: false,
        rate: 10,
        yes: false,
        failures: None,
    }
}

fn filters(form: &Form) -> Filters {
    let text = |name: &str| Some(form.one(name).to_owned()).filter(|value| !value.is_empty());
    let time = |name: &str| unfinished::time(form.one(name)).ok();
    Filters {
        state: text("state"),
        partner: text("partner"),
        kind: text("kind"),
        call: text("call"),
        account: text("account"),
        reason: text("reason"),
        since: time("since"),
        until: time("until"),
    }
}

fn see(id: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, format!("bulk?id={id}"))]).into_response()
}

/// Makes a plan from the list's form, starts it, stops it, or plans what is left.
pub async fn post(
    State(console): State<Arc<Console>>,
    Extension(view): Extension<View>,
    Extension(form): Extension<Form>,
) -> Response {
    let run = console.runs.find(form.one("id"));
    match (form.one("step"), run) {
        ("start", Some(run)) => {
            if let Some(key) = start(&console, &run, &form) {
                let page = page(&view, &run, &console, Some((key, &form)));
                return console.framed(&view, Ok(page)).await.into_response();
            }
            see(&run.id)
        }
        ("stop", Some(run)) => {
            run.stop.store(true, Ordering::Relaxed);
            see(&run.id)
        }
        (step @ ("rest" | "failed"), Some(run)) if run.progress().ended => {
            see(&console.runs.add(run.action, &run.rest(step == "failed"), Vec::new()).id)
        }
        ("rest" | "failed", Some(run)) => see(&run.id),
        _ => plan(&console, &view, &form).await,
    }
}

async fn plan(console: &Arc<Console>, view: &View, form: &Form) -> Response {
    let Some((action, _)) = ACTIONS.into_iter().find(|(name, _)| *name == form.one("action")) else {
        return console
            .framed(view, Err(Problem::Refused(StatusCode::BAD_REQUEST, String::new())))
            .await
            .into_response();
    };
    let items = match unfinished::read(&console.deployment, &filters(form), None).await {
        Ok(page) => crate::table::list(&page, "items").to_vec(),
        Err(error) => return console.framed(view, Err(error.into())).await.into_response(),
    };
    if form.one("scope") == "all" {
        return see(&console.runs.add(action, &items, Vec::new()).id);
    }
    // A tick names the item as it was shown. One that has changed since may need another decision.
    let ticked = form.all("sel");
    let name = |item: &Value| serde_json::from_value(item.clone()).ok().map(|item| selected(&item)).unwrap_or_default();
    let meant: Vec<_> = items.iter().filter(|item| ticked.contains(&name(item).as_str())).cloned().collect();
    let gone = ticked.len() - meant.len();
    let left_out = if gone > 0 { vec![("changed or finished since the list was shown", gone)] } else { Vec::new() };
    see(&console.runs.add(action, &meant, left_out).id)
}

/// Starts a run. Returns the key of what is wrong with the form.
fn start(console: &Arc<Console>, run: &Arc<Run>, form: &Form) -> Option<&'static str> {
    let outcome = Outcome::from_str(form.one("outcome"), false).ok();
    if run.action == "resolve" && outcome.is_none() {
        return Some("error.choose");
    }
    if form.one("note").trim().is_empty() {
        return Some("error.note_missing");
    }
    if form.one("note").len() > MAX_NOTE_BYTES {
        return Some("error.note_long");
    }
    if run.items.len() > MANY && form.one("count").trim().replace(',', "") != run.items.len().to_string() {
        return Some("error.count");
    }
    let rate = form.one("rate").parse().ok().filter(|_| RATES.contains(&form.one("rate"))).unwrap_or(10);
    {
        let mut progress = run.progress();
        if progress.started_at.is_some() {
            return None;
        }
        (progress.started_at, progress.rate) = (Some(jiff::Timestamp::now()), rate);
    }
    let args = arguments(run.action, form.one("note"), outcome);
    tokio::spawn(execute(console.clone(), run.clone(), args, rate));
    None
}

/// Sends one request after another, and stops after the current one if it is told to.
async fn execute(console: Arc<Console>, run: Arc<Run>, args: BulkArgs, rate: u32) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    // After a slow answer, the rate stays what the operator chose.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for (index, item) in run.items.iter().enumerate() {
        ticks.tick().await;
        if run.stop.load(Ordering::Relaxed) {
            break;
        }
        let done = match planned(&args, item) {
            Ok(one) => send_one(&console.deployment, one).await.1,
            Err(why) => Done::Skipped(why.to_owned()),
        };
        let mut progress = run.progress();
        match done {
            Done::Accepted => progress.done += 1,
            Done::Skipped(why) => progress.skipped.push((index, why)),
            Done::Failed(why) => progress.failed.push((index, why)),
        }
        progress.touched = index + 1;
    }
    console.forget().await;
    run.progress().ended = true;
}

/// Shows a plan, a run, or its end.
pub async fn show(State(console): State<Arc<Console>>, Extension(view): Extension<View>) -> (StatusCode, Markup) {
    let page = match console.runs.find(parameters(&view.address).one("id")) {
        Some(run) => Ok(page(&view, &run, &console, None)),
        None => Err(Problem::Refused(StatusCode::NOT_FOUND, view.t("bulk.gone").to_owned())),
    };
    console.framed(&view, page).await
}

fn page(view: &View, run: &Run, console: &Console, wrong: Option<(&'static str, &Form)>) -> Page {
    let token = console.sessions.form_token(&view.session).unwrap_or_default();
    let (is_started, is_ended) = {
        let progress = run.progress();
        (progress.started_at.is_some(), progress.ended)
    };
    let verb = view.t(ACTIONS.iter().find(|(name, _)| *name == run.action).map_or("do.replay", |(_, key)| *key));
    let title = format!("{} {}", verb.trim_end_matches('…'), view.count("bulk.items", run.items.len()));
    let content = html! {
        h1 { (title) }
        @match (is_started, is_ended) {
            (false, _) => (planned_part(view, run, &token, wrong)),
            (true, false) => (running(view, run, &token)),
            (true, true) => (ended(view, run, &token)),
        }
    };
    let every = u32::from(is_started && !is_ended);
    Page { at: "unfinished", title, every, command: String::new(), content }
}

fn hidden(run: &Run, token: &str, step: &str) -> Markup {
    html! {
        input type="hidden" name="token" value=(token);
        input type="hidden" name="id" value=(run.id);
        input type="hidden" name="step" value=(step);
    }
}

fn planned_part(view: &View, run: &Run, token: &str, wrong: Option<(&'static str, &Form)>) -> Markup {
    let value = |name: &str| wrong.map(|(_, form)| form.one(name)).unwrap_or_default();
    let rate = Some(value("rate")).filter(|rate| !rate.is_empty()).unwrap_or("10");
    html! {
        @if let Some((key, _)) = wrong { (parts::note("red", "attention", &html! { (view.t(key)) })) }
        p { (view.h("bulk.frozen", &[("time", view.time(run.frozen_at))])) }
        @for (why, count) in &run.left_out { p { (view.f("bulk.left_out", &[("n", &number(*count)), ("why", why)])) } }
        @if run.items.is_empty() { p class="empty" { (view.t("bulk.empty")) } }
        @else {
            form class="form" method="post" action="bulk" {
                (hidden(run, token, "start"))
                @if run.action == "resolve" { (super::act::outcomes_of_many(view, value("outcome"))) }
                div class="field" { label for="note" { (view.t("bulk.note")) }
                    textarea id="note" name="note" maxlength="1024" required { (value("note")) } }
                div class="field" { label for="rate" { (view.t("bulk.rate")) }
                    select id="rate" name="rate" { @for one in RATES { option selected[one == rate] { (one) } } } }
                @if run.items.len() > MANY {
                    div class="field" { label for="count" { (view.f("bulk.type_number", &[("limit", &number(MANY)), ("n", &number(run.items.len()))])) }
                        input id="count" class="short" name="count" inputmode="numeric" autocomplete="off" value=(value("count")); }
                }
                div class="buttons" {
                    button class="btn main" { (view.count("bulk.button", run.items.len())) }
                    a href="unfinished" { (view.t("do.cancel")) }
                }
            }
            (rows(view, run, &run.items.iter().take(SHOWN).map(|item| (item, String::new())).collect::<Vec<_>>()))
        }
    }
}

fn rows(view: &View, run: &Run, items: &[(&Value, String)]) -> Markup {
    html! {
        table role="table" {
            caption { (view.f("bulk.first_rows", &[("n", &number(items.len())), ("total", &number(run.items.len()))])) }
            thead role="rowgroup" { tr role="row" { @for key in ["col.state", "col.what", "col.age"] { th role="columnheader" scope="col" { (view.t(key)) } } } }
            tbody role="rowgroup" {
                @for (item, problem) in items {
                    @if let Ok(item) = serde_json::from_value::<relay_types::unfinished::Unfinished>((*item).clone()) {
                        tr role="row" {
                            td role="cell" class="c-state" { (tag(view, item.state.as_ref())) " " (why(view, &item))
                                @if !problem.is_empty() { span class="why" { (visible(problem)) } } }
                            td role="cell" class="c-what" { (About::of(&item).link()) }
                            td role="cell" class="c-age" { (age(view, &item.since)) }
                        }
                    }
                }
            }
        }
    }
}

fn running(view: &View, run: &Run, token: &str) -> Markup {
    let progress = run.progress();
    let left = run.items.len() - progress.touched;
    let seconds = left.div_ceil(usize::try_from(progress.rate).unwrap_or(1).max(1));
    html! {
        div id="progress" data-live="all" {
            progress max=(run.items.len()) value=(progress.touched) aria-label=(view.t("bulk.progress_label")) {}
            p { (counts(view, &progress, left)) " · " (view.f("bulk.seconds_left", &[("n", &number(seconds))])) }
        }
        form method="post" action="bulk" { (hidden(run, token, "stop")) button { (view.t("bulk.stop")) } }
        p class="muted" { (view.t("bulk.stop_hint")) }
    }
}

fn counts(view: &View, progress: &Progress, left: usize) -> String {
    let values = [progress.done, progress.failed.len(), progress.skipped.len(), left].map(number);
    let names = ["done", "failed", "skipped", "left"];
    let values: Vec<(&str, &str)> = names.iter().zip(&values).map(|(name, value)| (*name, value.as_str())).collect();
    view.f("bulk.counts", &values)
}

fn ended(view: &View, run: &Run, token: &str) -> Markup {
    let progress = run.progress();
    let left = run.items.len() - progress.touched;
    let not_done: Vec<_> = progress
        .failed
        .iter()
        .chain(&progress.skipped)
        .take(SHOWN)
        .map(|(index, why)| (&run.items[*index], why.clone()))
        .collect();
    html! {
        div id="progress" data-live="all" {
            (parts::note(if progress.failed.is_empty() { "green" } else { "red" }, if progress.failed.is_empty() { "succeeded" } else { "attention" },
                &html! { (view.t(if left > 0 { "bulk.stopped" } else { "bulk.finished" })) " " (counts(view, &progress, left)) }))
        }
        div class="buttons" {
            @if left > 0 { form method="post" action="bulk" { (hidden(run, token, "rest")) button { (view.f("bulk.continue", &[("n", &number(left))])) } } }
            @if !not_done.is_empty() { form method="post" action="bulk" { (hidden(run, token, "failed")) button { (view.t("bulk.again")) } } }
            a href="unfinished" { (view.t("nav.unfinished")) }
        }
        @if !not_done.is_empty() { (rows(view, run, &not_done)) }
    }
}
