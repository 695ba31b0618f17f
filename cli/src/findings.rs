//! Findings of `relay doctor` and `relay preflight`: checks that run concurrently, each with a time limit.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Error, anyhow};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::table::{escaped, table};

/// Time limit of a check.
pub const TIME_LIMIT: Duration = Duration::from_secs(8);

/// Time limit of the checks if what they need took up the time.
pub const SHORTEST_LIMIT: Duration = Duration::from_millis(900);

/// A problem that a check found.
#[derive(Debug)]
pub struct Problem {
    found: Error,
    /// How to fix it, if that differs from the check's usual fix.
    fix: Option<String>,
}

impl Problem {
    /// A problem with a fix of its own.
    pub fn new(found: Error, fix: impl Into<String>) -> Self {
        Self { found, fix: Some(fix.into()) }
    }
}

impl From<Error> for Problem {
    fn from(found: Error) -> Self {
        Self { found, fix: None }
    }
}

/// What a check found: a sentence about what is in order, or the problem.
pub type Found = Result<String, Problem>;

/// The result of a check.
#[derive(Debug)]
pub struct Finding {
    check: &'static str,
    found: Result<String, Error>,
    fix: String,
}

impl Finding {
    /// A finding with the fix that applies unless the problem names another.
    pub fn new(check: &'static str, found: Found, fix: impl Into<String>) -> Self {
        match found {
            Ok(found) => Self { check, found: Ok(found), fix: String::new() },
            Err(Problem { found, fix: own }) => {
                Self { check, found: Err(found), fix: own.unwrap_or_else(|| fix.into()) }
            }
        }
    }

    fn is_ok(&self) -> bool {
        self.found.is_ok()
    }
}

/// A check that is not finished.
pub struct Check<'a> {
    /// The name.
    name: &'static str,
    /// Whose answer it waits for: a URL or a service.
    waits_for: String,
    /// How to fix a problem, unless the problem names another fix.
    fix: String,
    work: Pin<Box<dyn Future<Output = Found> + Send + 'a>>,
}

impl<'a> Check<'a> {
    /// A check that waits for an answer of `waits_for`.
    pub fn new(
        name: &'static str,
        waits_for: impl Into<String>,
        fix: impl Into<String>,
        work: impl Future<Output = Found> + Send + 'a,
    ) -> Self {
        Self { name, waits_for: waits_for.into(), fix: fix.into(), work: Box::pin(work) }
    }

    async fn finish(self, limit: Duration) -> Finding {
        let Self { name, waits_for, fix, work } = self;
        Finding::new(name, within(limit, &waits_for, work).await, fix)
    }
}

/// Limits work that waits for an answer of `waits_for`. Running out of time is a problem.
pub async fn within<T, E: Into<Problem>>(
    limit: Duration,
    waits_for: &str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Problem> {
    match tokio::time::timeout(limit, work).await {
        Ok(found) => found.map_err(Into::into),
        Err(_) => Err(Problem::new(
            anyhow!("no answer within {:.0} s while waiting for {waits_for}", limit.as_secs_f64()),
            "check the network between this machine and that server, such as a proxy, a firewall or a VPN; then retry",
        )),
    }
}

/// Runs checks concurrently. Each gets the time limit.
pub async fn run(checks: Vec<Check<'_>>, limit: Duration) -> Vec<Finding> {
    join_all(checks.into_iter().map(|check| check.finish(limit))).await
}

/// Findings for programs and for people, and whether there is no problem.
pub fn report(findings: &[Finding]) -> (Value, String, bool) {
    let rows = findings.iter().map(|finding| {
        let (mark, found) = match &finding.found {
            Ok(found) => ("ok", found.clone()),
            Err(error) => ("NOT OK", format!("{error:#}")),
        };
        [mark.to_owned(), finding.check.to_owned(), escaped(&found), finding.fix.clone()]
    });
    let shown = table(["", "check", "found", "how to fix it"], rows);
    let json = findings.iter().map(|finding| match &finding.found {
        Ok(found) => json!({"check": finding.check, "ok": true, "found": found}),
        Err(error) => json!({"check": finding.check, "ok": false, "found": format!("{error:#}"), "fix": finding.fix}),
    });
    (json.collect(), shown, findings.iter().all(Finding::is_ok))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;

    #[tokio::test]
    async fn server_that_never_answers_is_a_finding_and_delays_no_other_check() {
        // Connections are accepted by the system, and nobody reads them.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let limit = Duration::from_millis(500);
        let started = std::time::Instant::now();
        let hanging = |name| {
            let url = url.clone();
            Check::new(name, url.clone(), "not this fix", async move {
                http::send("GET", &url, &[], "").await?;
                Ok("it answered".to_owned())
            })
        };
        let well = Check::new("well", "nobody", "", async { Ok("fine".to_owned()) });
        let (json, shown, good) = report(&run(vec![hanging("one"), well, hanging("two")], limit).await);
        assert!(started.elapsed() < limit * 2, "the checks ran one after another: {:?}", started.elapsed());
        assert!(!good);
        for index in [0, 2] {
            let found = json[index]["found"].as_str().unwrap();
            assert!(found.starts_with("no answer within") && found.ends_with(&format!("waiting for {url}")), "{found}");
            assert!(json[index]["fix"].as_str().unwrap().contains("network"), "{json}");
        }
        assert_eq!(json[1], json!({"check": "well", "ok": true, "found": "fine"}));
        assert!(shown.contains("NOT OK"), "{shown}");
    }

    #[test]
    fn problem_with_its_own_fix_replaces_the_usual_one() {
        let usual = Finding::new("a", Err(anyhow!("broken").into()), "usual");
        let own = Finding::new("b", Err(Problem::new(anyhow!("broken"), "own")), "usual");
        let (json, _, good) = report(&[usual, own]);
        assert_eq!([&json[0]["fix"], &json[1]["fix"], &json!(good)], [&json!("usual"), &json!("own"), &json!(false)]);
    }
}
