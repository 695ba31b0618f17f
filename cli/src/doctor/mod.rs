//! `relay doctor`: checks a deployment. Each check reports a finding and how to fix it.

pub mod alarms;
mod capacity;

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use relay_top::credentials::Accounts;
use relay_types::time::{Clock as _, SystemClock};
use serde_json::Value;
use tokio::time::Instant;

use self::alarms::Alarms;
use crate::deployment::Deployment;
use crate::findings::{Check, Finding, Found, Problem, SHORTEST_LIMIT, TIME_LIMIT, report, run, within};
use crate::{api, dead_letters, http};

/// Maximum clock difference, in seconds. AWS refuses a signature that is five minutes old.
const TOLERATED_SKEW_SECONDS: f64 = 60.0;

/// Runs all checks, in less than ten seconds. Returns the findings for programs and for people, and whether there is no
/// problem.
pub async fn examine(deployment: impl Future<Output = Result<Deployment>>) -> (Value, String, bool) {
    let started = Instant::now();
    let findings = match within(TIME_LIMIT, "credentials or CloudFormation", deployment).await {
        Ok(deployment) => {
            let limit = TIME_LIMIT.saturating_sub(started.elapsed()).max(SHORTEST_LIMIT);
            let alarms = Alarms::of(&deployment);
            run(checks(&deployment, &alarms), limit).await
        }
        Err(problem) => vec![Finding::new(
            "stack",
            Err(problem),
            "log in as you do for the AWS CLI, with a role that may cloudformation:DescribeStacks; pass --stack",
        )],
    };
    report(&findings)
}

/// The names of the alarms that are firing.
pub async fn firing(deployment: &Deployment) -> Result<Vec<String>> {
    Alarms::of(deployment).firing().await
}

/// Examines a deployment that was found.
pub async fn of(deployment: &Deployment) -> (Value, String, bool) {
    let alarms = Alarms::of(deployment);
    report(&run(checks(deployment, &alarms), TIME_LIMIT).await)
}

fn checks<'a>(deployment: &'a Deployment, alarms: &'a Alarms<'a>) -> Vec<Check<'a>> {
    let mut checks = settings(deployment);
    checks.extend(health(deployment, alarms));
    checks
}

/// How long before its end a session is reported, as by the alarm `session-expires`.
const SESSION_WARNING: Duration = Duration::from_secs(14 * 24 * 3600);

/// The checks of what the deployment was given.
fn settings(deployment: &Deployment) -> Vec<Check<'_>> {
    let fill_in = |name: &str, json: &str| {
        format!("aws secretsmanager put-secret-value --secret-id {}/{name} --secret-string '{json}'", deployment.stack)
    };
    let tokens = |name, partner: &str, parameter: &'static str| {
        let fix = format!(
            "deploy with {parameter}, the SHA-256 of the token in {partner}'s URL; until then its endpoints are closed"
        );
        Check::new(name, "nobody", fix, async move { Ok(token(deployment, parameter)?) })
    };
    vec![
        Check::new("stack", "nobody", "finish or roll back the deployment in CloudFormation", async {
            Ok(stack(deployment)?)
        }),
        Check::new(
            "TOP's credentials",
            "Secrets Manager",
            fill_in("top", r#"{"app_key": "…", "app_secret": "…", "session": "…"}"#),
            async { Ok(top_secret(deployment).await?) },
        ),
        Check::new("SCTT's signing secret", "Secrets Manager", fill_in("sctt", r#"{"secret": "…"}"#), async {
            Ok(sctt_secret(deployment).await?)
        }),
        tokens("TSY's token", "TSY", "TsyTokenHashes"),
        tokens("SCTT's token", "SCTT", "ScttTokenHashes"),
        Check::new("address that TOP sees", "nobody", "", async { Ok(capacity::address(deployment)) }),
    ]
}

/// The checks of how the deployment is doing.
fn health<'a>(deployment: &'a Deployment, alarms: &'a Alarms<'a>) -> Vec<Check<'a>> {
    let gateway_url = deployment.parameter("TopGatewayUrl");
    vec![
        Check::new(
            "API and local clock",
            deployment.api_url().unwrap_or("the API"),
            "check ApiUrl and the network between this machine and the API",
            the_api(deployment),
        ),
        Check::new(
            "TOP's gateway",
            gateway_url,
            "check TopGatewayUrl and the network between here and TOP; the functions may reach TOP nevertheless",
            async move { Ok(gateway(gateway_url).await?) },
        ),
        Check::new("alarms", "CloudWatch", "deploy template.yaml again", alarms.all_exist()),
        Check::new(
            "alarm subscribers",
            "SNS",
            "deploy with AlarmEmail, or subscribe to the topic AlarmTopicArn",
            async { alarms::subscribers(&deployment.sdk, deployment.output("AlarmTopicArn")?).await },
        ),
        Check::new(
            "firing alarms",
            "CloudWatch",
            "follow the alarm's section in docs/operations.md",
            alarms.none_firing(),
        ),
        Check::new(
            "dead letters",
            "SQS",
            "run `relay dead-letters show`, fix the cause, run `relay dead-letters redrive`",
            async { Ok(no_dead_letters(deployment).await?) },
        ),
        Check::new(
            "messages in flight",
            "SQS",
            "find what the messages wait for, such as a ban of TOP: see oldest-message in docs/operations.md",
            capacity::in_flight(deployment),
        ),
        Check::new(
            "concurrency",
            "Lambda",
            "get permission for lambda:GetAccountSettings",
            capacity::concurrency(deployment),
        ),
    ]
}

fn stack(deployment: &Deployment) -> Result<String> {
    for output in ["ApiUrl", "TableName", "TopSecretArn", "OrderEventsTopicArn", "AlarmTopicArn"] {
        deployment.output(output)?;
    }
    if !deployment.status.ends_with("_COMPLETE") || deployment.status.contains("ROLLBACK") {
        bail!("{} is {}", deployment.stack, deployment.status);
    }
    Ok(format!("{} is {} and has its outputs", deployment.stack, deployment.status))
}

/// Checks that members of a secret are filled in. It never shows their values.
async fn filled_in(deployment: &Deployment, output: &str, members: &[&str]) -> Result<String> {
    let arn = deployment.output(output)?;
    let secret = deployment.secret(arn).await?;
    let json: Value = serde_json::from_str(&secret).map_err(|_| anyhow!("secret {arn} is not JSON"))?;
    let empty: Vec<_> =
        members.iter().filter(|member| json[**member].as_str().is_none_or(str::is_empty)).copied().collect();
    if !empty.is_empty() {
        bail!("{} not filled in", empty.join(", "));
    }
    Ok(format!("{} filled in", members.join(", ")))
}

/// Checks the accounts of TOP's secret, and that every name of `TopAccounts` is one of them.
async fn top_secret(deployment: &Deployment) -> Result<String> {
    let secret = deployment.secret(deployment.output("TopSecretArn")?).await?;
    let accounts: Accounts = serde_json::from_str(&secret).map_err(|_| {
        anyhow!("the secret has neither app_key, app_secret and session filled in, nor usable accounts with them")
    })?;
    let without: Vec<_> = accounts
        .iter()
        .filter(|(_, account)| account.credentials.session.reveal().is_empty())
        .map(|(name, _)| name)
        .collect();
    if !without.is_empty() {
        bail!("session not filled in: {}", without.join(", "));
    }
    let names: Vec<_> = accounts.iter().map(|(name, _)| name).collect();
    let listed = deployment.parameter("TopAccounts").split(',').filter(|name| !name.is_empty());
    let unknown: Vec<_> = listed.filter(|name| !names.contains(name)).collect();
    if !unknown.is_empty() {
        bail!("TopAccounts names {}, which the secret does not have", unknown.join(", "));
    }
    let now = SystemClock.now();
    let described = accounts.iter().map(|(name, account)| match account.session_expires_at {
        Some(ends) if ends <= now => (true, format!("{name}: session expired at {ends}")),
        Some(ends) => (
            now.until(ends) < SESSION_WARNING,
            format!("{name}: session expires in {} days", now.until(ends).as_secs() / 86_400),
        ),
        None => (false, format!("{name}: filled in, session_expires_at unknown")),
    });
    let (urgent, described): (Vec<_>, Vec<_>) = described.unzip();
    if urgent.contains(&true) {
        bail!("{}; have the seller authorise again, and put the new session into the secret", described.join("; "));
    }
    Ok(described.join("; "))
}

async fn sctt_secret(deployment: &Deployment) -> Result<String> {
    if deployment.parameter("ScttSignTemplate").is_empty() {
        return Ok("not needed: ScttSignTemplate is empty, so signatures are not checked".to_owned());
    }
    filled_in(deployment, "ScttSecretArn", &["secret"]).await
}

fn token(deployment: &Deployment, parameter: &str) -> Result<String> {
    match deployment.parameter(parameter).split(',').filter(|hash| !hash.is_empty()).count() {
        0 => bail!("{parameter} is empty"),
        1 => Ok("1 token accepted".to_owned()),
        count => Ok(format!("{count} tokens accepted: a rotation is in progress")),
    }
}

/// Checks that the API answers and that the clocks agree.
async fn the_api(deployment: &Deployment) -> Found {
    let answer = api::send(deployment, "GET", "/attention?limit=1", &[], "").await?;
    let skew = answer.date.as_deref().and_then(skew_seconds);
    if let Some(skew) = skew.filter(|skew| skew.abs() > TOLERATED_SKEW_SECONDS) {
        let found =
            anyhow!("this machine's clock differs from the API's by {skew:.0} s; the API answered {}", answer.status);
        return Err(Problem::new(found, "set this machine's clock with NTP"));
    }
    if answer.status != 200 {
        let fix = match answer.status {
            403 => "get permission for execute-api:Invoke",
            429 => "too many requests: retry later, or raise ThrottlingRate",
            _ => "read the log of the function Attention",
        };
        return Err(Problem::new(anyhow!("the API answered {}: {}", answer.status, answer.body), fix));
    }
    let clock =
        skew.map_or_else(|| "it sends no time".to_owned(), |skew| format!("clocks differ by {:.0} s", skew.abs()));
    Ok(format!("the API answers; {clock}"))
}

/// Seconds that this machine's clock is ahead of a `Date` header.
fn skew_seconds(date: &str) -> Option<f64> {
    let there = rfc2822::parse(date).ok()?.timestamp();
    Some(Timestamp::now().duration_since(there).as_secs_f64())
}

async fn gateway(url: &str) -> Result<String> {
    // TOP answers a request without parameters with an error, and counts it against no application.
    let answer = http::send("GET", url, &[], "").await?;
    let skew = answer.date.as_deref().and_then(skew_seconds);
    if let Some(skew) = skew.filter(|skew| skew.abs() > TOLERATED_SKEW_SECONDS) {
        bail!("{url} answers, but its clock differs by {skew:.0} s; TOP refuses requests that are ten minutes off");
    }
    // These come from a proxy, or from a gateway that is down.
    if answer.status == 407 || answer.status >= 500 {
        bail!("{url} answers {}", answer.status);
    }
    Ok(format!("{url} answers {}", answer.status))
}

async fn no_dead_letters(deployment: &Deployment) -> Result<String> {
    let tallies = dead_letters::tallies(deployment, None).await.context("the queues could not be read")?;
    let all = tallies.iter().map(|tally| (tally.count + tally.hidden, tally.queue));
    let some: Vec<_> =
        all.filter(|(count, _)| *count > 0).map(|(count, queue)| format!("{count} of {queue}")).collect();
    if some.is_empty() { Ok("none".to_owned()) } else { bail!("{}", some.join(", ")) }
}
