//! `relay doctor`: checks a deployment. Each check reports a finding and how to fix it.

use anyhow::{Context as _, Result, anyhow, bail};
use aws_sdk_cloudwatch::types::MetricAlarm;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::table::table;
use crate::{api, dead_letters, http};

/// Maximum clock difference, in seconds. AWS refuses a signature that is five minutes old.
const TOLERATED_SKEW_SECONDS: f64 = 60.0;

/// Maximum names in one request to CloudWatch.
const ALARMS_AT_ONCE: usize = 100;

/// The result of a check.
struct Finding {
    check: &'static str,
    /// What is in order, or the problem.
    found: Result<String>,
    /// How to fix the problem.
    fix: String,
}

impl Finding {
    fn new(check: &'static str, found: Result<String>, fix: impl Into<String>) -> Self {
        Self { check, found, fix: fix.into() }
    }
}

/// Runs all checks. Returns the findings for programs and for people, and whether there is no problem.
pub async fn examine(deployment: Result<Deployment>) -> (Value, String, bool) {
    let findings = match deployment {
        Ok(deployment) => checked(&deployment).await,
        Err(error) => vec![Finding::new(
            "stack",
            Err(error),
            "log in as you do for the AWS CLI, with a role that may cloudformation:DescribeStacks; pass --stack",
        )],
    };
    let good = findings.iter().all(|finding| finding.found.is_ok());
    let rows = findings.iter().map(|finding| {
        let (mark, found, fix) = match &finding.found {
            Ok(found) => ("ok", found.clone(), String::new()),
            Err(error) => ("NOT OK", format!("{error:#}"), finding.fix.clone()),
        };
        [mark.to_owned(), finding.check.to_owned(), found, fix]
    });
    let shown = table(["", "check", "found", "how to fix it"], rows);
    let json = findings.iter().map(|finding| match &finding.found {
        Ok(found) => json!({"check": finding.check, "ok": true, "found": found}),
        Err(error) => json!({"check": finding.check, "ok": false, "found": format!("{error:#}"), "fix": finding.fix}),
    });
    (json.collect(), shown, good)
}

async fn checked(deployment: &Deployment) -> Vec<Finding> {
    let described = described_alarms(deployment).await;
    let (api, api_fix) = the_api(deployment).await;
    let fill_in = |name: &str, json: &str| {
        format!("aws secretsmanager put-secret-value --secret-id {}/{name} --secret-string '{json}'", deployment.stack)
    };
    vec![
        Finding::new("stack", stack(deployment), "finish or roll back the deployment in CloudFormation"),
        Finding::new(
            "TOP's credentials",
            top_secret(deployment).await,
            fill_in("top", r#"{"app_key": "…", "app_secret": "…", "session": "…"}"#),
        ),
        Finding::new("SCTT's signing secret", sctt_secret(deployment).await, fill_in("sctt", r#"{"secret": "…"}"#)),
        Finding::new(
            "TSY's token",
            token(deployment, "TsyTokenHashes"),
            "deploy with TsyTokenHashes, the SHA-256 of the token in TSY's URL; until then its endpoints are closed",
        ),
        Finding::new(
            "SCTT's token",
            token(deployment, "ScttTokenHashes"),
            "deploy with ScttTokenHashes, the SHA-256 of the token in SCTT's URL; until then its endpoints are closed",
        ),
        Finding::new("API and local clock", api, api_fix),
        Finding::new(
            "TOP's gateway",
            gateway(deployment).await,
            "check TopGatewayUrl and the network between here and TOP; the functions may reach TOP nevertheless",
        ),
        Finding::new(
            "alarms",
            alarms(deployment, &described).await,
            "deploy template.yaml again, and subscribe somebody to the topic AlarmTopicArn (parameter AlarmEmail)",
        ),
        Finding::new("firing alarms", ringing(&described), "follow the alarm's section in docs/operations.md"),
        Finding::new(
            "dead letters",
            no_dead_letters(deployment).await,
            "run `relay dead-letters show`, fix the cause, run `relay dead-letters redrive`",
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

async fn top_secret(deployment: &Deployment) -> Result<String> {
    filled_in(deployment, "TopSecretArn", &["app_key", "app_secret", "session"]).await
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

/// Checks that the API answers and that the clocks agree. Also returns how to fix a problem.
async fn the_api(deployment: &Deployment) -> (Result<String>, &'static str) {
    let answer = match api::send(deployment, "GET", "/attention?limit=1", &[], "").await {
        Ok(answer) => answer,
        Err(error) => return (Err(error), "check ApiUrl and the network between this machine and the API"),
    };
    let skew = answer.date.as_deref().and_then(skew_seconds);
    if let Some(skew) = skew.filter(|skew| skew.abs() > TOLERATED_SKEW_SECONDS) {
        let found =
            anyhow!("this machine's clock differs from the API's by {skew:.0} s; the API answered {}", answer.status);
        return (Err(found), "set this machine's clock with NTP");
    }
    if answer.status != 200 {
        let fix = match answer.status {
            403 => "get permission for execute-api:Invoke",
            429 => "too many requests: retry later, or raise ThrottlingRate",
            _ => "read the log of the function Attention",
        };
        return (Err(anyhow!("the API answered {}: {}", answer.status, answer.body)), fix);
    }
    let clock =
        skew.map_or_else(|| "it sends no time".to_owned(), |skew| format!("clocks differ by {:.0} s", skew.abs()));
    (Ok(format!("the API answers; {clock}")), "")
}

/// Seconds that this machine's clock is ahead of a `Date` header.
fn skew_seconds(date: &str) -> Option<f64> {
    let there = rfc2822::parse(date).ok()?.timestamp();
    Some(Timestamp::now().duration_since(there).as_secs_f64())
}

async fn gateway(deployment: &Deployment) -> Result<String> {
    let url = deployment.parameter("TopGatewayUrl");
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

/// The names of the stack's alarms.
async fn alarm_names(deployment: &Deployment) -> Result<Vec<String>> {
    let client = aws_sdk_cloudformation::Client::new(&deployment.sdk);
    let mut pages = client.list_stack_resources().stack_name(&deployment.stack).into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| anyhow!("CloudFormation: {}", relay_runtime::aws::cause(&error)))?;
        let alarms = page
            .stack_resource_summaries()
            .iter()
            .filter(|resource| resource.resource_type() == Some("AWS::CloudWatch::Alarm"));
        names.extend(alarms.filter_map(|alarm| alarm.physical_resource_id()).map(str::to_owned));
    }
    Ok(names)
}

/// The stack's alarms: their names, and those that exist.
async fn described_alarms(deployment: &Deployment) -> Result<(Vec<String>, Vec<MetricAlarm>)> {
    let client = aws_sdk_cloudwatch::Client::new(&deployment.sdk);
    let names = alarm_names(deployment).await?;
    // By full names: a prefix would also match alarms of stacks whose names start with this one's.
    let mut alarms = Vec::new();
    for some in names.chunks(ALARMS_AT_ONCE) {
        let described = client.describe_alarms().set_alarm_names(Some(some.to_vec())).max_records(100).send().await;
        let described = described.map_err(|error| anyhow!("CloudWatch: {}", relay_runtime::aws::cause(&error)))?;
        alarms.extend(described.metric_alarms.unwrap_or_default());
    }
    Ok((names, alarms))
}

async fn alarms(deployment: &Deployment, described: &Result<(Vec<String>, Vec<MetricAlarm>)>) -> Result<String> {
    let topic = deployment.output("AlarmTopicArn")?;
    let (names, alarms) = described.as_ref().map_err(|error| anyhow!("{error:#}"))?;
    let there: Vec<_> = alarms.iter().filter_map(|alarm| alarm.alarm_name()).collect();
    let missing: Vec<_> = names.iter().map(String::as_str).filter(|name| !there.contains(name)).collect();
    if !missing.is_empty() {
        bail!("missing from the stack: {}", missing.join(", "));
    }
    let mute: Vec<_> = alarms
        .iter()
        .filter(|alarm| {
            alarm.actions_enabled() == Some(false) || !alarm.alarm_actions().iter().any(|action| action == topic)
        })
        .filter_map(|alarm| alarm.alarm_name())
        .collect();
    if !mute.is_empty() {
        bail!("these alarms notify nobody: {}", mute.join(", "));
    }
    let sns = aws_sdk_sns::Client::new(&deployment.sdk);
    let listed = sns.list_subscriptions_by_topic().topic_arn(topic).send().await;
    let listed = listed.map_err(|error| anyhow!("SNS: {}", relay_runtime::aws::cause(&error)))?;
    let confirmed =
        listed.subscriptions().iter().filter(|one| one.subscription_arn().is_some_and(|arn| arn.starts_with("arn:")));
    match confirmed.count() {
        0 => bail!("{topic} has no confirmed subscription"),
        count => Ok(format!("{} alarms; {count} subscribers are notified", alarms.len())),
    }
}

fn ringing(described: &Result<(Vec<String>, Vec<MetricAlarm>)>) -> Result<String> {
    let (_, alarms) = described.as_ref().map_err(|error| anyhow!("{error:#}"))?;
    let ringing: Vec<_> = alarms
        .iter()
        .filter(|alarm| alarm.state_value().is_some_and(|state| state.as_str() == "ALARM"))
        .filter_map(|alarm| alarm.alarm_name())
        .collect();
    if ringing.is_empty() { Ok("no alarm is firing".to_owned()) } else { bail!("{} firing", ringing.join(", ")) }
}

async fn no_dead_letters(deployment: &Deployment) -> Result<String> {
    let tallies = dead_letters::tallies(deployment, None).await.context("the queues could not be read")?;
    let all = tallies.iter().map(|tally| (tally.count + tally.hidden, tally.queue));
    let some: Vec<_> =
        all.filter(|(count, _)| *count > 0).map(|(count, queue)| format!("{count} of {queue}")).collect();
    if some.is_empty() { Ok("none".to_owned()) } else { bail!("{}", some.join(", ")) }
}
