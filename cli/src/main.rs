//! `relay`, the operator's command line: shows orders and items that need attention, and fixes problems.

mod api;
mod args;
mod aws;
mod bulk;
mod concurrency;
mod console;
mod dead_letters;
mod deployment;
mod doctor;
mod find;
mod findings;
mod http;
mod log;
mod order;
mod preflight;
mod report;
mod sign;
mod smoke;
mod status;
mod table;
mod unfinished;

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{CommandFactory as _, Parser as _};
use relay_types::time::EpochMillis;
use serde_json::{Value, json};

use crate::api::{Refused, ask, path};
use crate::args::{
    AttentionCommand, BodyArgs, CallArgs, CallCommand, Cli, Command, DeadLettersCommand, OrderCommand, OrderNote,
    Outcome, UnreadableCommand,
};
use crate::dead_letters::Tally;
use crate::deployment::Deployment;
use crate::table::list;
use crate::unfinished::Filters;

/// The result of a command: JSON for programs, and text for people.
struct Answer {
    json: Value,
    shown: String,
    /// Whether the command found no problem. If not, the exit status reports a failure.
    good: bool,
}

impl Answer {
    const fn new(json: Value, shown: String) -> Self {
        Self { json, shown, good: true }
    }

    /// A result that people read as JSON, too.
    fn plain(json: Value) -> Self {
        let shown = format!("{json:#}\n");
        Self::new(json, shown)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let cli = Cli::parse();
    let json = cli.global.json;
    let done = run(cli).await.and_then(|answer| {
        let text = if json { format!("{:#}\n", answer.json) } else { answer.shown };
        let mut stdout = io::stdout();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            // The reader closed the pipe, as `head` does: not an error.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(error).context("the output could not be written")
            }
            _ => Ok(answer.good),
        }
    });
    let status = match done {
        Ok(good) => i32::from(!good),
        Err(error) => {
            let status = exit_status(&error);
            let text = match json {
                true => json!({"error": format!("{error:#}"), "exit_status": status}).to_string(),
                false => format!("relay: {error:#}"),
            };
            // If stderr cannot be written either, the exit status still reports the failure.
            let _ = writeln!(io::stderr(), "{text}");
            status
        }
    };
    // Not by returning: the runtime would wait for a name server that does not answer.
    process::exit(status)
}

/// The exit status for an error: 3 not found, 4 a conflict with what is there now, 5 refused, 6 no answer, 1 otherwise.
/// clap exits with 2 for wrong arguments.
fn exit_status(error: &anyhow::Error) -> i32 {
    if error.downcast_ref::<http::NoAnswer>().is_some() {
        return 6;
    }
    match error.downcast_ref::<Refused>().map(|refused| refused.status) {
        Some(404) => 3,
        Some(409 | 422) => 4,
        Some(400..500) => 5,
        _ => 1,
    }
}

async fn run(Cli { global, command }: Cli) -> Result<Answer> {
    let deployment = Deployment::find(&global);
    match command {
        Command::Order(command) => order(&deployment.await?, command).await,
        Command::Attention(command) => attention(&deployment.await?, command).await,
        Command::List { filters, limit } => {
            let limit = limit.map(|limit| limit as usize);
            let page = unfinished::read(&deployment.await?, &filters, limit).await?;
            let shown = unfinished::shown(&page);
            Ok(Answer::new(page, shown))
        }
        Command::Pause { call, minutes, note } => {
            let body = json!({"note": note, "remind_in_minutes": minutes});
            status::switch(&deployment.await?, &call, "pause", &body).await
        }
        Command::Resume { call, note } => {
            status::switch(&deployment.await?, &call, "resume", &json!({"note": note})).await
        }
        Command::Find { id } => find::find(&deployment.await?, &id).await,
        Command::Log { about, since, problems, follow } => {
            let wanted = log::Wanted { about, since, problems };
            log::log(&deployment.await?, &wanted, follow, global.json).await
        }
        Command::Report { since, format } => report::report(&deployment.await?, since, format).await,
        Command::Status => status::status(&deployment.await?).await,
        Command::Bulk(args) => {
            let (json, shown, good) = bulk::run(&deployment.await?, &args).await?;
            Ok(Answer { json, shown, good })
        }
        Command::Unreadable(command) => unreadable(&deployment.await?, command).await,
        Command::Call(command) => call(&deployment.await?, command).await,
        Command::DeadLetters(command) => dead_letters(&deployment.await?, command).await,
        Command::Sign { call, file, at, account, personal } => {
            let now = EpochMillis(at.unwrap_or_else(jiff::Timestamp::now).as_millisecond());
            let body = serde_json::from_str(&read(&file)?)?;
            let signed = sign::signed(&deployment.await?, (&call, account.as_deref()), &body, now, personal).await?;
            let shown = sign::listed(&signed);
            Ok(Answer::new(signed, shown))
        }
        Command::Preflight { parameter_overrides } => {
            let parameters = parameter_overrides.into_iter().collect();
            let (json, shown, good) = preflight::examine(&global, &parameters).await;
            Ok(Answer { json, shown, good })
        }
        Command::Console { port, open } => {
            console::serve(deployment.await?, port, open).await?;
            Ok(Answer::new(Value::Null, String::new()))
        }
        Command::Doctor => {
            let (json, shown, good) = doctor::examine(deployment).await;
            Ok(Answer { json, shown, good })
        }
        Command::Smoke { tsy_token, unprivileged_profile, wait } => {
            let tsy_token =
                if tsy_token.reveal() == "-" { read(Path::new("-"))?.trim().to_owned().into() } else { tsy_token };
            let options = smoke::Options { tsy_token, unprivileged_profile, wait: Duration::from_secs(wait.into()) };
            let (json, shown, good) = smoke::run(&deployment.await?, &options).await;
            Ok(Answer { json, shown, good })
        }
        Command::Completions { shell } => {
            let mut written = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "relay", &mut written);
            let script = String::from_utf8(written)?;
            Ok(Answer::new(json!({"script": script}), script))
        }
        Command::Man { folder } => {
            std::fs::create_dir_all(&folder)?;
            clap_mangen::generate_to(Cli::command(), &folder)?;
            let shown = format!("manual pages written to {}; read them with `man -l`\n", folder.display());
            Ok(Answer::new(json!({"folder": folder}), shown))
        }
    }
}

async fn order(deployment: &Deployment, command: OrderCommand) -> Result<Answer> {
    match command {
        OrderCommand::Show { order, payload } => {
            let query = payload.map(|digest| format!("?payload={}", api::encoded(&digest))).unwrap_or_default();
            let path = path(["orders", &order.partner, &order.order_id]) + &query;
            let got = ask(deployment, "GET", &path, &[], "").await?;
            let shown = order::shown(&got);
            Ok(Answer::new(got, shown))
        }
        OrderCommand::Diff { order, from, to } => {
            let path = path(["orders", &order.partner, &order.order_id, "difference"]);
            let path = format!("{path}?from={}&to={}", api::encoded(&from), api::encoded(&to));
            let got = ask(deployment, "GET", &path, &[], "").await?;
            let shown = order::difference(&got);
            Ok(Answer::new(got, shown))
        }
        OrderCommand::Link { order, file } => {
            let path = path(["orders", &order.partner, &order.order_id]);
            Ok(Answer::plain(ask(deployment, "PUT", &path, &[], &read(&file)?).await?))
        }
        OrderCommand::Withdraw(note) => instruct(deployment, "withdraw", note).await,
        OrderCommand::Close(note) => instruct(deployment, "close", note).await,
    }
}

async fn attention(deployment: &Deployment, command: AttentionCommand) -> Result<Answer> {
    match command {
        AttentionCommand::List { limit } => {
            let items = api::attention(deployment, limit).await?;
            let shown = order::attention(&items);
            Ok(Answer::new(json!({"items": items}), shown))
        }
        AttentionCommand::Resolve { call, outcome, note, attempt, yes } => {
            if matches!(outcome, Outcome::Retry) && !yes {
                check_age_of_attempt(deployment, &call).await?;
            }
            let mut body = json!({"outcome": outcome.as_str()});
            if let Some(note) = note {
                body["note"] = note.into();
            }
            if let Some(attempt) = attempt {
                body["attempt"] = attempt.into();
            }
            let path = path(["calls", &call.call, &call.key, "resolve"]);
            let got = ask(deployment, "POST", &path, &[], &body.to_string()).await?;
            let shown = order::call(&got);
            Ok(Answer::new(got, shown))
        }
        AttentionCommand::Replay(order) => {
            let path = path(["orders", &order.partner, &order.order_id, "replay"]);
            Ok(Answer::plain(ask(deployment, "POST", &path, &[], "").await?))
        }
        AttentionCommand::Dismiss(note) => instruct(deployment, "dismiss", note).await,
        AttentionCommand::DismissCall { call, note } => {
            let path = path(["calls", &call.call, &call.key, "dismiss"]);
            let got = ask(deployment, "POST", &path, &[], &json!({"note": note}).to_string()).await?;
            let shown = order::call(&got);
            Ok(Answer::new(got, shown))
        }
    }
}

async fn unreadable(deployment: &Deployment, command: UnreadableCommand) -> Result<Answer> {
    let about = |BodyArgs { endpoint, digest }: &BodyArgs| path(["attention", "unreadable", endpoint, digest]);
    let (path, note) = match command {
        UnreadableCommand::List => {
            let filters = Filters { state: Some("unreadable".to_owned()), ..Filters::default() };
            let page = unfinished::read(deployment, &filters, None).await?;
            let shown = unfinished::shown(&page);
            return Ok(Answer::new(page, shown));
        }
        UnreadableCommand::Show { body, with_body } => {
            let got = ask(deployment, "GET", &format!("{}?body={with_body}", about(&body)), &[], "").await?;
            let shown = unfinished::body_shown(&got);
            return Ok(Answer::new(got, shown));
        }
        UnreadableCommand::Retry { body, note } => (about(&body) + "/retry", note),
        UnreadableCommand::Dismiss { body, note } => (about(&body) + "/dismiss", note),
    };
    Ok(Answer::plain(ask(deployment, "POST", &path, &[], &json!({"note": note}).to_string()).await?))
}

/// How long a request may still reach TOP after its sender gave up, in seconds.
const LATE_REQUEST_SECONDS: f64 = 120.0;

/// Checks that a retry cannot overtake the last attempt.
async fn check_age_of_attempt(deployment: &Deployment, call: &CallArgs) -> Result<()> {
    let got = ask(deployment, "GET", &path(["calls", &call.call, &call.key]), &[], "").await?;
    // TOP answered a refused call. Entries with an owner are requests of operators.
    if got["state"] != "unknown" {
        return Ok(());
    }
    let attempts = list(&got, "history").iter().filter(|attempt| attempt["owner"].is_null());
    let time = |attempt: &Value| attempt["at"].as_str()?.parse::<jiff::Timestamp>().ok();
    let Some(last) = attempts.filter_map(time).max() else { return Ok(()) };
    let age = jiff::Timestamp::now().duration_since(last).as_secs_f64();
    if age < LATE_REQUEST_SECONDS {
        bail!(
            "the last attempt ended {age:.0} s ago, and its request may still take effect at TOP; wait for two minutes, ask \
             TOP again, then retry, or pass --yes"
        );
    }
    Ok(())
}

/// Sends an operator's request about an order.
async fn instruct(deployment: &Deployment, verb: &str, OrderNote { order, note }: OrderNote) -> Result<Answer> {
    let path = path(["orders", &order.partner, &order.order_id, verb]);
    let body = json!({"note": note}).to_string();
    Ok(Answer::plain(ask(deployment, "POST", &path, &[], &body).await?))
}

async fn call(deployment: &Deployment, command: CallCommand) -> Result<Answer> {
    match command {
        CallCommand::Submit { call, file, key, account } => {
            let headers: Vec<_> = key.iter().map(|key| ("idempotency-key", key.as_str())).collect();
            let query = account.map(|account| format!("?account={}", api::encoded(&account))).unwrap_or_default();
            let path = path(["calls", &call]) + &query;
            let got = ask(deployment, "POST", &path, &headers, &read(&file)?).await?;
            Ok(Answer::plain(got))
        }
        CallCommand::Show(call) => {
            let got = ask(deployment, "GET", &path(["calls", &call.call, &call.key]), &[], "").await?;
            let shown = order::call(&got);
            Ok(Answer::new(got, shown))
        }
        CallCommand::Held => {
            let got = ask(deployment, "GET", "/breakers", &[], "").await?;
            let shown = order::held(list(&got, "items"));
            Ok(Answer::new(got, shown))
        }
        CallCommand::RetryNow { call, key, account, note, yes } => {
            if !yes {
                check_limit(deployment, &call).await?;
            }
            match key {
                Some(key) => {
                    let body = json!({"note": note}).to_string();
                    let got = ask(deployment, "POST", &path(["calls", &call, &key, "retry-now"]), &[], &body).await?;
                    let shown = order::call(&got);
                    Ok(Answer::new(got, shown))
                }
                None => {
                    let mut body = json!({"note": note});
                    if let Some(account) = account {
                        body["account"] = account.into();
                    }
                    let path = path(["breakers", &call, "retry-now"]);
                    let got = ask(deployment, "POST", &path, &[], &body.to_string()).await?;
                    let shown = order::held(list(&got, "items"));
                    Ok(Answer::new(got, shown))
                }
            }
        }
    }
}

/// Checks that no limit of TOP holds back the call: a request before its end can prolong it.
async fn check_limit(deployment: &Deployment, call: &str) -> Result<()> {
    let got = ask(deployment, "GET", "/breakers", &[], "").await?;
    let limited = list(&got, "items").iter().find(|held| held["call"] == call && held["cause"] == "limit");
    if let Some(until) = limited.map(|held| table::text(held, "until")) {
        bail!("TOP's limit on {call} lasts until {until}, and a request before may prolong it; wait, or pass --yes");
    }
    Ok(())
}

async fn dead_letters(deployment: &Deployment, command: DeadLettersCommand) -> Result<Answer> {
    let tallied = |tallies: Vec<Tally>, what: &str| {
        let good = tallies.iter().all(Tally::is_good);
        Answer { shown: dead_letters::tallied(&tallies, what), json: json!(tallies), good }
    };
    match command {
        DeadLettersCommand::Show { queue } => {
            let listing = dead_letters::list(deployment, queue.as_deref()).await?;
            Ok(Answer::new(json!(listing), listing.shown()))
        }
        DeadLettersCommand::Redrive { queue: Some(queue), id: Some(id), .. } => {
            let message = dead_letters::redrive_by_id(deployment, &queue, &id).await?;
            let shown = dead_letters::shown_messages(std::slice::from_ref(&message));
            Ok(Answer::new(message, shown))
        }
        DeadLettersCommand::Delete { queue, id } => {
            let message = dead_letters::delete(deployment, &queue, &id).await?;
            let shown = dead_letters::shown_messages(std::slice::from_ref(&message));
            Ok(Answer::new(message, shown))
        }
        DeadLettersCommand::Redrive { queue, dry_run: true, .. } => {
            Ok(tallied(dead_letters::tallies(deployment, queue.as_deref()).await?, "would be redriven"))
        }
        DeadLettersCommand::Redrive { queue, rate, .. } => {
            Ok(tallied(dead_letters::redrive(deployment, queue.as_deref(), rate).await?, "redriven"))
        }
    }
}

fn read(file: &Path) -> Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("standard input could not be read")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("{} could not be read", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_definition_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn exit_status_tells_errors_apart() {
        let refused = |status| exit_status(&Refused { status, message: String::new() }.into());
        assert_eq!([404, 409, 422, 400, 403, 429, 500].map(refused), [3, 4, 4, 5, 5, 5, 1]);
        assert_eq!(exit_status(&anyhow::anyhow!("no file")), 1);
    }

    #[test]
    fn ids_in_paths_are_percent_encoded() {
        assert_eq!(path(["orders", "tsy", "P/1 票"]), "/orders/tsy/P%2F1%20%E7%A5%A8");
    }
}
