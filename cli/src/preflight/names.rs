//! Names that the stack's resources get: whether they are valid, and whether an earlier stack left something of the same
//! name behind.

use anyhow::{Result, anyhow};
use serde_json::json;

use super::Plan;
use crate::aws;
use crate::dead_letters;
use crate::findings::{Check, Found, Problem};

/// The names of the stack's queues, without the stack's name.
fn suffixes() -> impl Iterator<Item = String> {
    let pairs = dead_letters::queues().flat_map(|(name, _)| [format!("-{name}"), format!("-{name}-dead-letters")]);
    pairs.chain(std::iter::once("-order-events-dead-letters".to_owned()))
}
/// The longest of them.
const LONGEST_SUFFIX: &str = "-ticket-refund-notify-dead-letters";
/// Maximum length of a queue's name.
const LONGEST_QUEUE_NAME: usize = 80;
/// Minimum length of a table's name.
const SHORTEST_TABLE_NAME: usize = 3;

/// Checks that the names made of the stack's name are valid.
pub fn of_stack(name: &str) -> Found {
    let longest = LONGEST_QUEUE_NAME - LONGEST_SUFFIX.len();
    if !(SHORTEST_TABLE_NAME..=longest).contains(&name.len()) {
        return Err(anyhow!("{name} has {} characters; 3 to {longest} are allowed", name.len()).into());
    }
    let valid = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if !valid {
        return Err(anyhow!("{name} is not a letter followed by letters, digits and hyphens").into());
    }
    Ok(name.to_owned())
}

/// The checks that no resource has a name that the stack needs.
pub fn checks<'a>(plan: &'a Plan<'a>) -> Vec<Check<'a>> {
    vec![
        Check::new("table name", "DynamoDB", "get permission for dynamodb:DescribeTable", table(plan)),
        Check::new("secret names", "Secrets Manager", "get permission for secretsmanager:DescribeSecret", async {
            secret(plan, &format!("{}/top", plan.stack)).await?;
            // The template creates it only to check signatures.
            if plan.parameter("ScttSignTemplate").is_some_and(|template| !template.is_empty()) {
                secret(plan, &format!("{}/sctt", plan.stack)).await?;
            }
            Ok("free".to_owned())
        }),
        Check::new("log group name", "CloudWatch Logs", "get permission for logs:DescribeLogGroups", log_group(plan)),
        Check::new("queue names", "SQS", "get permission for sqs:ListQueues", queues(plan)),
    ]
}

/// The fix for something that an earlier stack left behind.
fn import_or(delete: &str) -> String {
    format!("import it into the new stack to keep its contents; or delete it: `{delete}`")
}

async fn table(plan: &Plan<'_>) -> Found {
    let name = plan.stack;
    match aws_sdk_dynamodb::Client::new(plan.sdk).describe_table().table_name(name).send().await {
        Ok(_) => Err(Problem::new(
            anyhow!("table {name} exists, so deploying would fail"),
            import_or(&format!("aws dynamodb delete-table --table-name {name}")),
        )),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => {
            Ok("free".to_owned())
        }
        Err(error) => Err(anyhow!("DynamoDB: {}", relay_runtime::aws::cause(&error)).into()),
    }
}

async fn secret(plan: &Plan<'_>, name: &str) -> Result<(), Problem> {
    let delete = format!("aws secretsmanager delete-secret --force-delete-without-recovery --secret-id {name}");
    match aws_sdk_secretsmanager::Client::new(plan.sdk).describe_secret().secret_id(name).send().await {
        Ok(secret) if secret.deleted_date().is_some() => Err(Problem::new(
            anyhow!("secret {name} is scheduled for deletion and keeps its name until then, so deploying would fail"),
            format!("restore and import it: `aws secretsmanager restore-secret --secret-id {name}`; or run `{delete}`"),
        )),
        Ok(_) => Err(Problem::new(anyhow!("secret {name} exists, so deploying would fail"), import_or(&delete))),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => Ok(()),
        Err(error) => Err(anyhow!("Secrets Manager: {}", relay_runtime::aws::cause(&error)).into()),
    }
}

async fn log_group(plan: &Plan<'_>) -> Found {
    let name = format!("/aws/lambda/{}", plan.stack);
    let body = json!({"logGroupNamePrefix": name});
    // Names are sorted, so a group of exactly this name is on the first page.
    let groups = aws::call(plan.sdk, "logs", "Logs_20140328.DescribeLogGroups", &body).await?;
    if crate::table::list(&groups, "logGroups").iter().any(|group| group["logGroupName"] == name) {
        return Err(Problem::new(
            anyhow!("log group {name} exists, so deploying would fail"),
            import_or(&format!("aws logs delete-log-group --log-group-name {name}")),
        ));
    }
    Ok("free".to_owned())
}

async fn queues(plan: &Plan<'_>) -> Found {
    let client = aws_sdk_sqs::Client::new(plan.sdk);
    let mut pages = client.list_queues().queue_name_prefix(format!("{}-", plan.stack)).into_paginator().items().send();
    let mut taken = Vec::new();
    while let Some(url) = pages.next().await {
        let url = url.map_err(|error| anyhow!("SQS: {}", relay_runtime::aws::cause(&error)))?;
        let suffix = url.rsplit('/').next().and_then(|name| name.strip_prefix(plan.stack)).unwrap_or_default();
        if suffixes().any(|known| known == suffix) {
            taken.push(url);
        }
    }
    match taken.first() {
        None => Ok("free".to_owned()),
        Some(first) => Err(Problem::new(
            anyhow!("these queues exist, so deploying would fail: {}", taken.join(", ")),
            format!("delete each, wait a minute, then deploy: `aws sqs delete-queue --queue-url {first}`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_names_are_those_of_the_template() {
        let template = include_str!("../../../template.yaml");
        let named = template.lines().filter_map(|line| line.trim().strip_prefix("QueueName: !Sub ${AWS::StackName}"));
        let (mut named, mut known) = (named.collect::<Vec<_>>(), suffixes().collect::<Vec<_>>());
        named.sort_unstable();
        known.sort_unstable();
        assert_eq!(named, known);
        assert!(known.iter().all(|suffix| suffix.len() <= LONGEST_SUFFIX.len()));
    }

    #[test]
    fn stack_name_is_bound_by_its_queues_and_its_table() {
        assert!(of_stack("ticket-relay").is_ok() && of_stack(&"a".repeat(46)).is_ok());
        for name in ["ab", &"a".repeat(47), "1relay", "ticket_relay", "票票票"] {
            assert!(of_stack(name).is_err(), "{name}");
        }
        assert!(format!("{:?}", of_stack(&"a".repeat(47))).contains("3 to 46"));
    }
}
