//! `relay console`: the operator's web console, served on this machine with the operator's own AWS credentials. Nothing of
//! it runs in AWS.

mod act;
mod actions;
mod assets;
mod bulk;
mod dead;
mod difference;
mod guard;
mod health;
mod live;
mod now;
mod order;
mod orders;
mod page;
mod parts;
mod report;
mod session;
mod timeline;
mod unfinished;
mod unreadable;
mod view;
mod words;

use std::collections::HashMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use maud::{Markup, html};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;

use self::page::{Counts, Page};
use self::session::Sessions;
use self::view::View;
use crate::api::{Refused, ask, encoded};
use crate::dead_letters;
use crate::deployment::Deployment;
use crate::doctor;
use crate::http::NoAnswer;

/// How long an answer of the API serves all tabs.
const CACHED_FOR: Duration = Duration::from_secs(2);

/// A running console.
pub struct Console {
    deployment: Deployment,
    stack: String,
    account: String,
    region: String,
    /// The name of the operator's IAM identity.
    who: String,
    port: u16,
    sessions: Sessions,
    runs: bulk::Runs,
    cache: Mutex<HashMap<String, (Instant, Value)>>,
    dead: Mutex<Option<(Instant, u64)>>,
    firing: Mutex<Option<(Instant, Option<Vec<String>>)>>,
}

/// Why a page cannot be shown.
#[derive(Debug)]
pub enum Problem {
    /// The API answered with this status and message.
    Refused(StatusCode, String),
    /// The API did not answer.
    NoAnswer,
    /// Anything else.
    Other(String),
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        if error.downcast_ref::<NoAnswer>().is_some() {
            return Self::NoAnswer;
        }
        match error.downcast_ref::<Refused>() {
            Some(refused) => {
                let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::BAD_GATEWAY);
                Self::Refused(status, refused.message.clone())
            }
            None => Self::Other(format!("{error:#}")),
        }
    }
}

impl Console {
    /// Reads from the API, or from the cache if another tab has just read the same.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        let mut cache = self.cache.lock().await;
        cache.retain(|_, (at, _)| at.elapsed() < CACHED_FOR);
        let value = match cache.get(path) {
            Some((_, value)) => value.clone(),
            None => {
                drop(cache);
                let value = ask(&self.deployment, "GET", path, &[], "").await?;
                cache = self.cache.lock().await;
                cache.insert(path.to_owned(), (Instant::now(), value.clone()));
                value
            }
        };
        serde_json::from_value(value).map_err(|error| Problem::Other(format!("the API is of another version: {error}")))
    }

    /// The address of the first page.
    fn home(&self) -> String {
        format!("/{}/now", encoded(&self.stack))
    }

    /// A new address that lets one browser in.
    fn start_address(&self) -> Result<String> {
        Ok(format!("http://127.0.0.1:{}/start?token={}", self.port, self.sessions.token()?))
    }

    /// Forgets what was read, because something was changed.
    async fn forget(&self) {
        self.cache.lock().await.clear();
        *self.dead.lock().await = None;
    }

    /// The number of dead letters, read at most twice a minute.
    async fn dead_letters(&self) -> u64 {
        let mut known = self.dead.lock().await;
        if let Some((_, count)) = known.filter(|(at, _)| at.elapsed() < Duration::from_secs(30)) {
            return count;
        }
        // A page without this number is better than none.
        let tallies = dead_letters::tallies(&self.deployment, None).await.unwrap_or_default();
        let count = tallies.iter().map(|tally| tally.count + tally.hidden).sum();
        *known = Some((Instant::now(), count));
        count
    }

    /// The alarms that are firing, read at most once a minute. `None` if they could not be read.
    async fn firing(&self) -> Option<Vec<String>> {
        let mut known = self.firing.lock().await;
        if let Some((_, names)) = known.as_ref().filter(|(at, _)| at.elapsed() < Duration::from_secs(60)) {
            return names.clone();
        }
        // A page without the alarms is better than none.
        let names = doctor::firing(&self.deployment).await.ok();
        *known = Some((Instant::now(), names.clone()));
        names
    }

    async fn counts(&self) -> Result<Counts, Problem> {
        let first = self.get::<relay_types::unfinished::UnfinishedPage>("/unfinished?limit=1");
        let held = self.get::<relay_types::api::HeldBackList>("/breakers");
        let (first, held, dead) = tokio::join!(first, held, self.dead_letters());
        let (first, held) = (first?, held?);
        let of = |state: &str| first.states.get(state).copied().unwrap_or_default();
        let is_pause = |one: &relay_types::api::HeldBack| one.cause == relay_types::breaker::Cause::Paused;
        Ok(Counts {
            needs: now::NEEDS_PERSON.split(',').map(of).sum(),
            unreadable: of("unreadable"),
            dead,
            pauses: held.items.into_iter().filter(is_pause).collect(),
        })
    }

    /// Puts a page into its frame.
    async fn framed(&self, view: &View, page: Result<Page, Problem>) -> (StatusCode, Markup) {
        let counts = self.counts().await;
        let token = self.sessions.form_token(&view.session).unwrap_or_default();
        // Without the counts, the page is still right.
        let counts = counts.unwrap_or_default();
        let (status, page) = match page {
            Ok(page) => (StatusCode::OK, page),
            Err(problem) => self.problem(view, &problem),
        };
        (status, page::whole(self, view, &counts, &token, page))
    }

    /// A page that says what failed.
    fn problem(&self, view: &View, problem: &Problem) -> (StatusCode, Page) {
        let (status, message) = match problem {
            Problem::NoAnswer => (StatusCode::GATEWAY_TIMEOUT, view.f("banner.api_silent", &[("seconds", "35")])),
            Problem::Refused(StatusCode::FORBIDDEN, message) if message.contains("xpired") => {
                (StatusCode::BAD_GATEWAY, format!("{} {message}", view.t("error.login")))
            }
            Problem::Refused(StatusCode::FORBIDDEN, message) => {
                let values = [("who", self.who.as_str()), ("permission", "execute-api:Invoke"), ("route", message)];
                (StatusCode::FORBIDDEN, view.f("error.forbidden", &values))
            }
            Problem::Refused(status, message) => (*status, message.clone()),
            Problem::Other(message) if message.contains("redentials") || message.contains("ExpiredToken") => {
                (StatusCode::BAD_GATEWAY, format!("{} {message}", view.t("error.login")))
            }
            Problem::Other(message) => (StatusCode::BAD_GATEWAY, message.clone()),
        };
        let message = view::visible(&message);
        let content = html! {
            h1 { (view.t("error.title")) }
            (parts::note("red", "attention", &html! { (message) " " a href="" { (view.t("error.try_again")) } }))
        };
        let title = view.f("error.error", &[("title", &message)]);
        (status, Page { at: "", title, every: 0, command: String::new(), content })
    }
}

/// Serves the console until Ctrl-C.
pub async fn serve(deployment: Deployment, port: u16, open: bool) -> Result<()> {
    let identity = aws_sdk_sts::Client::new(&deployment.sdk).get_caller_identity().send().await;
    let identity = identity.context("AWS does not say who you are; log in first")?;
    let (listener, port) = listen(port).await?;
    let console = Arc::new(Console {
        stack: deployment.stack.clone(),
        account: identity.account().unwrap_or_default().to_owned(),
        region: crate::aws::region(&deployment.sdk)?.to_owned(),
        who: page::person(identity.arn().unwrap_or_default()),
        port,
        sessions: Sessions::default(),
        runs: bulk::Runs::default(),
        cache: Mutex::default(),
        dead: Mutex::default(),
        firing: Mutex::default(),
        deployment,
    });
    let first = console.start_address()?;
    let mut stderr = std::io::stderr();
    writeln!(
        stderr,
        "console of stack {}: {first}\nThe address works once, within five minutes. Press Enter for a new one, Ctrl-C to stop.",
        console.stack
    )?;
    if open {
        open_browser(&first);
    }
    let again = console.clone();
    std::thread::spawn(move || {
        for _ in std::io::stdin().lines() {
            if let Ok(address) = again.start_address() {
                // If stderr is closed, nobody can read the address.
                let _ = writeln!(std::io::stderr(), "{address}");
            }
        }
    });
    let running = console.clone();
    axum::serve(listener, router(console)).with_graceful_shutdown(interrupted()).await?;
    running.runs.stop_all().await
}

async fn interrupted() {
    // Without a handler for Ctrl-C, the process ends at once.
    let _ = tokio::signal::ctrl_c().await;
}

/// Listens on the port, or on another one if it is taken.
async fn listen(port: u16) -> Result<(tokio::net::TcpListener, u16)> {
    let bind = |port| tokio::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let listener = match bind(port).await {
        Ok(listener) => listener,
        Err(_) => bind(0).await.context("no port of this machine is free")?,
    };
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// Opens the browser with a file that only this user can read, so the token is in no process list. Without a browser,
/// the address in the terminal is enough.
fn open_browser(address: &str) {
    let folder: PathBuf = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let Ok(name) = session::random(16) else { return };
    let file = folder.join(format!("relay-console-{name}.html"));
    let written =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file).and_then(|mut file| {
            write!(file, "<!doctype html><meta http-equiv=\"refresh\" content=\"0;url={address}\">")
        });
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    if written.is_ok() && std::process::Command::new(opener).arg(&file).spawn().is_ok() {
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(30)).await;
            // The token in it is used or too old by now.
            let _ = std::fs::remove_file(file);
        });
    } else {
        let _ = std::fs::remove_file(file);
    }
}

fn router(console: Arc<Console>) -> Router {
    let pages = Router::new()
        .route("/now", get(now::show))
        .route("/unfinished", get(unfinished::show))
        .route("/unfinished.csv", get(unfinished::csv))
        .route("/bulk", get(bulk::show).post(bulk::post))
        .route("/orders", get(orders::show))
        .route("/order", get(order::show))
        .route("/call", get(order::show_call))
        .route("/difference", get(difference::show))
        .route("/dead-letters", get(dead::show))
        .route("/unreadable", get(unreadable::show))
        .route("/body", get(unreadable::one).post(unreadable::body))
        .route("/live", get(live::show))
        .route("/report", get(report::show))
        .route("/health", get(health::show))
        .route("/settings", post(guard::settings))
        .route("/act", get(act::ask_first).post(act::act));
    Router::new()
        .nest("/{stack}", pages)
        .route("/", get(guard::home))
        .fallback(guard::not_found)
        .layer(from_fn_with_state(console.clone(), guard::guard))
        .with_state(console)
}
