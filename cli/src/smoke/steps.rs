//! The steps of `relay smoke` and their results.

use std::future::Future;
use std::time::Duration;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::table::{escaped, table};

/// Time between two looks at an effect.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Time between two frames of the spinner.
const FRAME: Duration = Duration::from_millis(100);

/// How a step without a failure ended.
pub enum Done {
    /// It passed, with what was seen.
    Passed(String),
    /// It was not tried, for this reason.
    Skipped(String),
}

/// The result of a step.
struct Step {
    name: &'static str,
    outcome: &'static str,
    found: String,
    took: Duration,
}

/// The steps so far, and a spinner on stderr for the running one.
pub struct Steps {
    steps: Vec<Step>,
    spinner: ProgressBar,
}

impl Steps {
    /// No steps yet.
    pub fn new() -> Self {
        let spinner = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
        spinner.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        spinner.enable_steady_tick(FRAME);
        Self { steps: Vec::new(), spinner }
    }

    /// Runs a step and returns whether it passed.
    pub async fn run(&mut self, name: &'static str, work: impl Future<Output = Result<Done>>) -> bool {
        self.spinner.set_message(name);
        self.spinner.reset_elapsed();
        let started = Instant::now();
        let (outcome, found) = match work.await {
            Ok(Done::Passed(found)) => ("ok", found),
            Ok(Done::Skipped(why)) => ("skipped", why),
            Err(error) => ("FAILED", format!("{error:#}")),
        };
        self.steps.push(Step { name, outcome, found, took: started.elapsed() });
        outcome == "ok"
    }

    /// Leaves a step out.
    pub fn skip(&mut self, name: &'static str, why: &str) {
        self.steps.push(Step { name, outcome: "skipped", found: why.to_owned(), took: Duration::ZERO });
    }

    /// The results for programs and for people, and whether no step failed.
    pub fn report(self, order_id: &str) -> (Value, String, bool) {
        self.spinner.finish_and_clear();
        let rows = self.steps.iter().map(|step| {
            let seconds = format!("{:.1}", step.took.as_secs_f64());
            [step.outcome.to_owned(), step.name.to_owned(), seconds, escaped(&step.found)]
        });
        let shown = table(["", "step", "seconds", "found"], rows);
        let steps = self.steps.iter().map(|step| {
            let seconds = step.took.as_secs_f64();
            json!({"step": step.name, "outcome": step.outcome, "found": step.found, "seconds": seconds})
        });
        let json = json!({"order_id": order_id, "steps": steps.collect::<Vec<_>>()});
        (json, shown, self.steps.iter().all(|step| step.outcome != "FAILED"))
    }
}

/// Looks at an effect once a second until it is there. An error counts as not there, because the network may fail once.
///
/// # Errors
/// If the effect is not there within the time limit.
pub async fn eventually(within: Duration, effect: &str, mut look: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + within;
    loop {
        let seen = look().await;
        if matches!(seen, Ok(true)) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let seconds = within.as_secs();
            match seen {
                Err(error) => return Err(error.context(format!("not within {seconds} s: {effect}"))),
                Ok(_) => bail!("not within {seconds} s: {effect}"),
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[tokio::test]
    async fn only_a_failed_step_fails_the_report() {
        let mut steps = Steps::new();
        assert!(steps.run("one", async { Ok(Done::Passed("seen".to_owned())) }).await);
        assert!(!steps.run("two", async { Ok(Done::Skipped("not here".to_owned())) }).await);
        steps.skip("three", "not needed");
        assert!(steps.report("SMOKE-1").2);
        let mut steps = Steps::new();
        assert!(!steps.run("four", async { Err(anyhow!("broken")) }).await);
        let (json, shown, good) = steps.report("SMOKE-1");
        assert!(!good && shown.contains("FAILED"), "{shown}");
        assert_eq!((&json["order_id"], &json["steps"][0]["found"]), (&json!("SMOKE-1"), &json!("broken")));
    }

    #[tokio::test]
    async fn effect_that_stays_away_fails_with_the_last_error() {
        let never = eventually(Duration::ZERO, "the effect", async || Err(anyhow!("the API is down"))).await;
        assert_eq!(format!("{:#}", never.unwrap_err()), "not within 0 s: the effect: the API is down");
        let mut looks = 0;
        let seen = eventually(Duration::from_secs(30), "the effect", async || {
            looks += 1;
            if looks == 1 { Err(anyhow!("once")) } else { Ok(true) }
        });
        assert!(seen.await.is_ok());
        assert_eq!(looks, 2);
    }
}
