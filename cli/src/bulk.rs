//! One request about each of many items: plans which, shows them, sends at a limited rate, and says what came of it.
//!
//! A request about an order names the revision that the plan saw, and a resolution the attempt. So an item that has
//! changed since is skipped, not overwritten.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use futures_util::future::Either;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::LATE_REQUEST_SECONDS;
use crate::api::{path, send};
use crate::args::Outcome;
use crate::deployment::Deployment;
use crate::table::{list, table, text};
use crate::unfinished::{self, Filters};

/// More items than this need `--yes`.
const MANY: usize = 100;
/// Rows that a plan shows.
const SHOWN: usize = 20;
/// Requests at the same time.
const AT_ONCE: usize = 8;

/// What to do with each item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Action {
    /// Decide orders again
    Replay,
    /// Dismiss orders, calls and bodies that were handled manually
    Dismiss,
    /// Resolve calls that are unknown or refused; needs --outcome
    Resolve,
    /// Have waiting calls tried now, except those that are held back
    RetryNow,
    /// Withdraw calls that were certainly not sent
    Withdraw,
    /// Close orders that will never be linked
    Close,
    /// Take unreadable bodies in again
    RetryUnreadable,
}

/// The arguments of `relay bulk`.
#[derive(Debug, Args)]
pub struct BulkArgs {
    /// What to do with each item
    pub action: Action,
    /// Reason, kept with each item
    #[arg(long)]
    pub note: String,
    /// With resolve: outcome of every call
    #[arg(long)]
    pub outcome: Option<Outcome>,
    /// The items
    #[command(flatten)]
    pub filters: Filters,
    /// Items of an earlier run's file, instead of filters
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Show how many items there are, and the first of them, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Items per second
    #[arg(long, default_value_t = 10, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rate: u32,
    /// Change more than 100 items; with `resolve --outcome retry`, also calls whose last attempt ended less than two minutes ago
    #[arg(long)]
    pub yes: bool,
    /// File for the items that failed or were not reached [default: relay-bulk-TIME.jsonl]
    #[arg(long, value_name = "FILE")]
    pub failures: Option<PathBuf>,
}

/// A request about one item.
pub struct Planned {
    /// The item.
    pub item: Value,
    path: String,
    body: Value,
}

/// What came of one request.
pub enum Done {
    /// It was recorded.
    Accepted,
    /// The item has changed since the plan, or is being decided or sent.
    Skipped(String),
    /// The API refused it, or did not answer.
    Failed(String),
}

/// The request of an action about an item, or why there is none.
pub fn planned(args: &BulkArgs, item: &Value) -> Result<Planned, &'static str> {
    let name = |name: &str| item[name].as_str().unwrap_or_default();
    let order = |verb: &str| path(["orders", name("partner"), name("order_id"), verb]);
    let of_call = |verb: &str| path(["calls", name("call"), name("key"), verb]);
    let body = |verb: &str| path(["attention", "unreadable", name("notification"), name("digest"), verb]);
    let (is_order, is_body) = (item["order_id"].is_string(), item["digest"].is_string());
    let has_call = item["call"].is_string();
    let state = name("state");
    let is_one_of = |states: &[&str]| states.contains(&state);
    let needs_person = is_one_of(&["attention", "refused", "unknown", "unreadable"]);
    let mut request = json!({"note": args.note});
    let path = match args.action {
        Action::Replay if is_order => order("replay"),
        Action::Replay => return Err("not an order"),
        Action::Dismiss if !needs_person => return Err("not in the attention list"),
        Action::Dismiss if is_order => order("dismiss"),
        Action::Dismiss if is_body => body("dismiss"),
        Action::Dismiss => of_call("dismiss"),
        Action::Resolve if has_call && is_one_of(&["unknown", "refused"]) => {
            let outcome = args.outcome.ok_or("no --outcome")?;
            request["outcome"] = outcome.as_str().into();
            let since = item["since"].as_str().and_then(|since| since.parse::<jiff::Timestamp>().ok());
            let age = since.map_or(f64::MAX, |since| jiff::Timestamp::now().duration_since(since).as_secs_f64());
            if matches!(outcome, Outcome::Retry) && state == "unknown" && age < LATE_REQUEST_SECONDS && !args.yes {
                return Err("its last attempt may still take effect: wait for two minutes");
            }
            // The attempt that the plan saw: another one needs another answer.
            request["attempt"] = item["attempts"].clone();
            of_call("resolve")
        }
        Action::Resolve => return Err("neither unknown nor refused"),
        // Each would become a trial, and requests during a ban prolong it.
        Action::RetryNow if state == "held" => return Err("held back together: use `relay call retry-now`"),
        Action::RetryNow if has_call && state == "pending" => of_call("retry-now"),
        Action::RetryNow => return Err("not a waiting call"),
        Action::Withdraw if is_order && has_call && is_one_of(&["held", "pending"]) => order("withdraw"),
        Action::Withdraw => return Err("not an order's waiting call"),
        Action::Close if is_order && is_one_of(&["waiting", "unnotified", "attention"]) => order("close"),
        Action::Close => return Err("not a waiting order"),
        Action::RetryUnreadable if is_body => body("retry"),
        Action::RetryUnreadable => return Err("not an unreadable body"),
    };
    let takes_revision = is_order || matches!(args.action, Action::Dismiss | Action::RetryNow);
    if takes_revision && !is_body && item["revision"].is_i64() {
        request["revision"] = item["revision"].clone();
    }
    Ok(Planned { item: item.clone(), path, body: request })
}

/// The requests for these items, and the number of items without one, by the reason.
pub fn plan_of(args: &BulkArgs, items: &[Value]) -> (Vec<Planned>, Vec<(&'static str, usize)>) {
    let mut left_out: Vec<(&'static str, usize)> = Vec::new();
    let mut plan = Vec::new();
    for item in items {
        match planned(args, item) {
            Ok(one) => plan.push(one),
            Err(why) => match left_out.iter_mut().find(|(known, _)| *known == why) {
                Some((_, count)) => *count += 1,
                None => left_out.push((why, 1)),
            },
        }
    }
    (plan, left_out)
}

/// Runs the action on all items.
pub async fn run(deployment: &Deployment, args: &BulkArgs) -> Result<(Value, String, bool)> {
    if args.action == Action::Resolve && args.outcome.is_none() {
        bail!("resolve needs --outcome");
    }
    let (items, missing) = match &args.from {
        Some(file) => (from_file(file)?, ""),
        None => {
            unfinished::check_filtered(&args.filters)?;
            let page = unfinished::read(deployment, &args.filters, None).await?;
            (list(&page, "items").to_vec(), unfinished::missing(&page))
        }
    };
    let (plan, left_out) = plan_of(args, &items);
    let mut shown = format!("{missing}{} of {} items\n", plan.len(), items.len());
    shown.extend(left_out.iter().map(|(why, count)| format!("left out: {count} ({why})\n")));
    let mut json = json!({"planned": plan.len(), "left_out": left_out.iter().map(|(why, count)| json!({"why": why, "count": count})).collect::<Vec<_>>()});
    if args.dry_run {
        json["items"] = plan.iter().map(|one| one.item.clone()).collect();
        let rows = plan.iter().take(SHOWN).map(|one| unfinished::row(&one.item));
        shown.push_str(&table(["since (UTC)", "state", "what", "why"], rows));
        if plan.len() > SHOWN {
            shown.push_str(&format!("and {} more\n", plan.len() - SHOWN));
        }
        return Ok((json, shown, true));
    }
    if plan.len() > MANY && !args.yes {
        bail!("these are {} items; look at them with --dry-run, then pass --yes", plan.len());
    }
    // Before the first request: afterwards the file is the only list of what was not done.
    let file = Failures::create(args)?;
    let outcome = send_all(deployment, plan, args.rate).await;
    let file = file.write(&outcome)?;
    let (done, skipped, failed, left) = (outcome.done, outcome.skipped.len(), outcome.failed.len(), outcome.left.len());
    json["done"] = done.into();
    json["skipped"] = skipped.into();
    json["failed"] = outcome.failed.iter().map(|(item, problem)| unfinished::kept(item, Some(problem))).collect();
    json["not_touched"] = left.into();
    json["file"] = json!(file);
    let stopped = if outcome.stopped { "stopped: " } else { "" };
    shown.push_str(&format!(
        "{stopped}{done} done, {skipped} skipped because they have changed, {failed} failed, {left} not touched\n"
    ));
    for (item, problem) in outcome.failed.iter().take(SHOWN) {
        shown.push_str(&format!("failed: {}: {problem}\n", unfinished::what(item)));
    }
    if let Some(file) = &file {
        shown.push_str(&format!("go on with --from {}\n", file.display()));
    }
    Ok((json, shown, failed == 0 && left == 0))
}

/// The results of a run.
#[derive(Default)]
struct Results {
    done: usize,
    skipped: Vec<(Value, String)>,
    failed: Vec<(Value, String)>,
    left: Vec<Value>,
    stopped: bool,
}

/// Sends the requests, at most `rate` a second, until Ctrl-C. Waits for those that were sent.
async fn send_all(deployment: &Deployment, plan: Vec<Planned>, rate: u32) -> Results {
    let bar = ProgressBar::new(plan.len() as u64);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut results = Results::default();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    let mut waiting = plan.into_iter();
    let mut sent = FuturesUnordered::new();
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let take = |results: &mut Results, (item, done): (Value, Done)| {
        bar.inc(1);
        match done {
            Done::Accepted => results.done += 1,
            Done::Skipped(problem) => results.skipped.push((item, problem)),
            Done::Failed(problem) => results.failed.push((item, problem)),
        }
    };
    loop {
        let can_send = sent.len() < AT_ONCE && waiting.len() > 0;
        if !can_send && sent.is_empty() {
            break;
        }
        let tick = if can_send { Either::Left(ticks.tick()) } else { Either::Right(std::future::pending()) };
        tokio::select! {
            _ = &mut interrupted => {
                results.stopped = true;
                break;
            }
            Some(done) = sent.next(), if !sent.is_empty() => take(&mut results, done),
            _ = tick => sent.extend(waiting.next().map(|one| send_one(deployment, one))),
        }
    }
    while let Some(done) = sent.next().await {
        take(&mut results, done);
    }
    bar.finish_and_clear();
    results.left = waiting.map(|one| one.item).collect();
    results
}

/// Sends one request.
pub async fn send_one(deployment: &Deployment, Planned { item, path, body }: Planned) -> (Value, Done) {
    let done = match send(deployment, "POST", &path, &[], &body.to_string()).await {
        Ok(answer) if (200..300).contains(&answer.status) => Done::Accepted,
        Ok(answer) => {
            let message = serde_json::from_str::<Value>(&answer.body).ok().map(|json| text(&json, "message"));
            let problem = format!("{}: {}", answer.status, message.unwrap_or_default());
            if answer.status == 409 { Done::Skipped(problem) } else { Done::Failed(problem) }
        }
        Err(error) => Done::Failed(format!("{error:#}")),
    };
    (item, done)
}

/// The file for the items that failed or were not reached.
struct Failures {
    path: PathBuf,
    file: std::fs::File,
}

impl Failures {
    fn create(args: &BulkArgs) -> Result<Self> {
        let usual = || PathBuf::from(format!("relay-bulk-{}.jsonl", jiff::Timestamp::now().as_second()));
        let path = args.failures.clone().unwrap_or_else(usual);
        let file = std::fs::File::create(&path);
        let file = file.with_context(|| format!("{} cannot be written; nothing was sent", path.display()))?;
        Ok(Self { path, file })
    }

    /// Writes one JSON object to a line. Without items, the file is removed: `None`.
    fn write(mut self, results: &Results) -> Result<Option<PathBuf>> {
        let not_done = results.failed.iter().chain(&results.skipped);
        let not_done = not_done.map(|(item, problem)| unfinished::kept(item, Some(problem)));
        let lines: Vec<_> = not_done.chain(results.left.iter().map(|item| unfinished::kept(item, None))).collect();
        if lines.is_empty() {
            std::fs::remove_file(&self.path)?;
            return Ok(None);
        }
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let written = self.file.write_all(text.as_bytes());
        written.with_context(|| format!("{} could not be written", self.path.display()))?;
        Ok(Some(self.path))
    }
}

fn from_file(file: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} could not be read", file.display()))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            serde_json::from_str(line).with_context(|| format!("{} has a line that is not JSON", file.display()))
        })
        .collect()
}
