//! `relay preflight`: checks what a first deployment needs of an account and region, before there is a stack.

mod names;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow};
use aws_config::SdkConfig;
use aws_sdk_cloudformation::types::Stack;
use serde_json::Value;
use tokio::time::Instant;

use crate::args::Global;
use crate::concurrency;
use crate::findings::{Check, Finding, Found, Problem, SHORTEST_LIMIT, TIME_LIMIT, report, run, within};
use crate::{aws, deployment, doctor};

/// The states of a stack that can only be deleted. What it left behind blocks the next deployment.
const ONLY_DELETABLE: [&str; 4] = ["CREATE_FAILED", "DELETE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"];

/// The planned deployment: the stack's name, and the parameters that differ from their defaults.
struct Plan<'a> {
    sdk: &'a SdkConfig,
    stack: &'a str,
    parameters: &'a BTreeMap<String, String>,
}

impl Plan<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }
}

/// Runs all checks, in less than ten seconds. Returns the findings for programs and for people, and whether there is no
/// problem.
pub async fn examine(global: &Global, parameters: &BTreeMap<String, String>) -> (Value, String, bool) {
    let started = Instant::now();
    let log_in = "log in as you do for the AWS CLI; pass --region or --profile";
    let (sdk, caller) = match within(TIME_LIMIT, "credentials or STS", caller(global)).await {
        Ok(found) => found,
        Err(problem) => return report(&[Finding::new("credentials", Err(problem), log_in)]),
    };
    let plan = Plan { sdk: &sdk, stack: &global.stack, parameters };
    let mut findings = vec![
        Finding::new("credentials", Ok(caller), log_in),
        Finding::new("stack name", names::of_stack(plan.stack), "pass a shorter or simpler name with --stack"),
    ];
    let limit = || TIME_LIMIT.saturating_sub(started.elapsed()).max(SHORTEST_LIMIT);
    let (found, stack) = match within(limit(), "CloudFormation", deployment::stack(plan.sdk, plan.stack)).await {
        Ok(stack) => (usable(&plan, stack.as_ref()), stack),
        Err(problem) => (Err(problem), None),
    };
    let is_deployed = stack.as_ref().is_some_and(is_deployed);
    findings.push(Finding::new("stack", found, "get permission for cloudformation:DescribeStacks"));
    let mut checks = of_account(&plan);
    // A deployed stack has these names itself.
    if !is_deployed {
        checks.extend(names::checks(&plan));
    }
    checks.push(mail(&plan, stack));
    findings.extend(run(checks, limit()).await);
    report(&findings)
}

/// The configuration, and whose it is.
async fn caller(global: &Global) -> Result<(SdkConfig, String)> {
    let sdk = aws::configured(global.region.as_deref(), global.profile.as_deref()).await?;
    let identity = aws_sdk_sts::Client::new(&sdk).get_caller_identity().send().await;
    let identity = identity.map_err(|error| anyhow!("STS: {}", relay_runtime::aws::cause(&error)))?;
    let account = identity.account().context("STS returned no account")?;
    let arn = identity.arn().unwrap_or_default();
    let found = format!("account {account}, region {}, as {arn}", aws::region(&sdk)?);
    Ok((sdk, found))
}

fn status(stack: &Stack) -> &str {
    stack.stack_status().map_or("", |status| status.as_str())
}

/// Whether the stack has resources, so that it uses its names itself.
fn is_deployed(stack: &Stack) -> bool {
    status(stack) != "REVIEW_IN_PROGRESS" && !ONLY_DELETABLE.contains(&status(stack))
}

fn usable(plan: &Plan<'_>, stack: Option<&Stack>) -> Found {
    let name = plan.stack;
    let Some(status) = stack.map(status) else {
        return Ok(format!("no stack {name} yet"));
    };
    match status {
        status if ONLY_DELETABLE.contains(&status) => Err(Problem::new(
            anyhow!("{name} is {status}, so it can only be deleted"),
            format!("read the reason in its events, then run `aws cloudformation delete-stack --stack-name {name}`"),
        )),
        "REVIEW_IN_PROGRESS" => Ok(format!("{name} is {status}: nothing is deployed yet")),
        status if status.ends_with("_IN_PROGRESS") => Err(Problem::new(
            anyhow!("{name} is {status}"),
            format!("wait for its end: `aws cloudformation describe-stacks --stack-name {name}`"),
        )),
        _ => Ok(format!("{name} is {status}; preflight is for first deployments, run `relay doctor` to check it")),
    }
}

/// The checks of what stacks of an account share.
fn of_account<'a>(plan: &'a Plan<'a>) -> Vec<Check<'a>> {
    vec![
        Check::new(
            "log role of API Gateway",
            "API Gateway",
            "get permission for apigateway:GET on /account",
            log_role(plan),
        ),
        Check::new("concurrency", "Lambda", "get permission for lambda:GetAccountSettings", async {
            let account = concurrency::of_account(plan.sdk).await?;
            concurrency::enough(account, concurrency::sum_of_limits(|name| plan.parameter(name)))
        }),
    ]
}

async fn log_role(plan: &Plan<'_>) -> Found {
    let account = aws::get(plan.sdk, "apigateway", "/account").await?;
    let role = account["cloudwatchRoleArn"].as_str().filter(|arn| !arn.is_empty());
    let sets = plan.parameter("SetApiGatewayLogRole") == Some("true");
    match (role, sets) {
        (Some(role), false) => Ok(role.to_owned()),
        (Some(role), true) => Ok(format!("{role}; SetApiGatewayLogRole=true will replace it")),
        (None, true) => Ok("none yet; SetApiGatewayLogRole=true will create it".to_owned()),
        (None, false) => Err(Problem::new(
            anyhow!("API Gateway has no role for writing logs in this account and region, so deploying would fail"),
            "deploy with SetApiGatewayLogRole=true",
        )),
    }
}

/// A reminder, or the topic's subscriptions if the stack exists.
fn mail<'a>(plan: &'a Plan<'a>, stack: Option<Stack>) -> Check<'a> {
    let outputs = stack.and_then(|stack| stack.outputs).unwrap_or_default();
    let topic = outputs.into_iter().find(|output| output.output_key() == Some("AlarmTopicArn"));
    let topic = topic.and_then(|output| output.output_value);
    Check::new("alarm mail", "SNS", "deploy with AlarmEmail, or subscribe to the topic AlarmTopicArn", async move {
        match topic {
            Some(topic) => doctor::alarms::subscribers(plan.sdk, &topic).await,
            None => {
                Ok("after deploying with AlarmEmail, confirm the subscription from the mail that AWS sends".to_owned())
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stack_that_cannot_be_updated_is_a_problem() {
        let (sdk, parameters) = (SdkConfig::builder().build(), BTreeMap::new());
        let plan = Plan { sdk: &sdk, stack: "relay", parameters: &parameters };
        let stack = |status: &str| Stack::builder().stack_status(status.into()).build();
        let in_state = |status: &str| usable(&plan, Some(&stack(status)));
        assert!(usable(&plan, None).is_ok());
        for good in ["CREATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"] {
            assert!(in_state(good).is_ok(), "{good}");
        }
        assert!(in_state("UPDATE_COMPLETE").unwrap().contains("relay doctor"));
        for bad in ["ROLLBACK_COMPLETE", "CREATE_FAILED", "DELETE_FAILED"] {
            let problem = format!("{:?}", in_state(bad).unwrap_err());
            assert!(problem.contains("delete-stack --stack-name relay"), "{problem}");
        }
        assert!(in_state("CREATE_IN_PROGRESS").is_err());
        assert!(is_deployed(&stack("CREATE_COMPLETE")) && is_deployed(&stack("UPDATE_IN_PROGRESS")));
        assert!(!is_deployed(&stack("REVIEW_IN_PROGRESS")) && !is_deployed(&stack("ROLLBACK_COMPLETE")));
    }
}
