//! Checks of the alarms and of who is notified.

use anyhow::{Result, anyhow};
use aws_config::SdkConfig;
use aws_sdk_cloudwatch::types::MetricAlarm;
use aws_sdk_sns::types::Subscription;
use tokio::sync::OnceCell;

use crate::deployment::Deployment;
use crate::findings::{Found, Problem};

/// Maximum names in one request to CloudWatch.
const ALARMS_AT_ONCE: usize = 100;

/// The names of the stack's alarms.
async fn names(deployment: &Deployment) -> Result<Vec<String>> {
    let client = aws_sdk_cloudformation::Client::new(&deployment.sdk);
    let mut pages = client.list_stack_resources().stack_name(&deployment.stack).into_paginator().items().send();
    let mut names = Vec::new();
    while let Some(resource) = pages.next().await {
        let resource = resource.map_err(|error| anyhow!("CloudFormation: {}", relay_runtime::aws::cause(&error)))?;
        if resource.resource_type() == Some("AWS::CloudWatch::Alarm") {
            names.extend(resource.physical_resource_id().map(str::to_owned));
        }
    }
    Ok(names)
}

/// The alarms of a deployment, read from AWS once for all checks.
pub struct Alarms<'a> {
    deployment: &'a Deployment,
    described: OnceCell<(Vec<String>, Vec<MetricAlarm>)>,
}

impl<'a> Alarms<'a> {
    /// The alarms of this deployment, not read yet.
    pub fn of(deployment: &'a Deployment) -> Self {
        Self { deployment, described: OnceCell::new() }
    }

    /// The names that the stack has, and the alarms that exist.
    async fn described(&self) -> Result<&(Vec<String>, Vec<MetricAlarm>)> {
        self.described.get_or_try_init(|| read(self.deployment)).await
    }

    /// Checks that all alarms exist and notify the topic.
    pub async fn all_exist(&self) -> Found {
        let topic = self.deployment.output("AlarmTopicArn")?;
        let (names, alarms) = self.described().await?;
        let there: Vec<_> = alarms.iter().filter_map(|alarm| alarm.alarm_name()).collect();
        let missing: Vec<_> = names.iter().map(String::as_str).filter(|name| !there.contains(name)).collect();
        if !missing.is_empty() {
            return Err(anyhow!("missing from the stack: {}", missing.join(", ")).into());
        }
        let mute: Vec<_> = alarms
            .iter()
            .filter(|alarm| {
                alarm.actions_enabled() == Some(false) || !alarm.alarm_actions().iter().any(|action| action == topic)
            })
            .filter_map(|alarm| alarm.alarm_name())
            .collect();
        if !mute.is_empty() {
            return Err(anyhow!("these alarms notify nobody: {}", mute.join(", ")).into());
        }
        Ok(format!("all {} alarms exist and notify the topic", alarms.len()))
    }

    /// The names of the alarms that are firing.
    pub async fn firing(&self) -> Result<Vec<String>> {
        let (_, alarms) = self.described().await?;
        let firing = alarms.iter().filter(|alarm| alarm.state_value().is_some_and(|state| state.as_str() == "ALARM"));
        Ok(firing.filter_map(|alarm| alarm.alarm_name()).map(str::to_owned).collect())
    }

    /// Checks that no alarm is firing.
    pub async fn none_firing(&self) -> Found {
        let firing = self.firing().await?;
        if firing.is_empty() { Ok("no alarm is firing".to_owned()) } else { Err(anyhow!(firing.join(", ")).into()) }
    }
}

async fn read(deployment: &Deployment) -> Result<(Vec<String>, Vec<MetricAlarm>)> {
    let client = aws_sdk_cloudwatch::Client::new(&deployment.sdk);
    let names = names(deployment).await?;
    let mut alarms = Vec::new();
    // By full names: a prefix would also match alarms of stacks whose names start with this one's.
    for some in names.chunks(ALARMS_AT_ONCE) {
        let described = client.describe_alarms().set_alarm_names(Some(some.to_vec())).max_records(100).send().await;
        let described = described.map_err(|error| anyhow!("CloudWatch: {}", relay_runtime::aws::cause(&error)))?;
        alarms.extend(described.metric_alarms.unwrap_or_default());
    }
    Ok((names, alarms))
}

/// Checks that somebody is notified of alarms.
pub async fn subscribers(sdk: &SdkConfig, topic: &str) -> Found {
    let sns = aws_sdk_sns::Client::new(sdk);
    let mut pages = sns.list_subscriptions_by_topic().topic_arn(topic).into_paginator().items().send();
    let mut subscriptions = Vec::new();
    while let Some(subscription) = pages.next().await {
        let subscription = subscription.map_err(|error| anyhow!("SNS: {}", relay_runtime::aws::cause(&error)))?;
        subscriptions.push(subscription);
    }
    all_confirmed(topic, &subscriptions)
}

fn all_confirmed(topic: &str, subscriptions: &[Subscription]) -> Found {
    // Instead of an ARN, SNS returns `PendingConfirmation`, or `Deleted`.
    let count = |starts_with| {
        let arns = subscriptions.iter().filter_map(|one| one.subscription_arn());
        arns.filter(|arn| arn.starts_with(starts_with)).count()
    };
    let (confirmed, pending) = (count("arn:"), count("PendingConfirmation"));
    let found = format!("{confirmed} confirmed and {pending} unconfirmed subscriptions");
    match (confirmed, pending) {
        (_, 1..) => Err(Problem::new(
            anyhow!("{found} of {topic}"),
            "confirm the subscription from the mail that AWS sent, or delete it; if the mail is lost, subscribe again",
        )),
        (0, 0) => Err(anyhow!("{topic} has no subscription, so alarms notify nobody").into()),
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unconfirmed_subscription_and_missing_subscriber_are_problems() {
        let one = |arn: &str| Subscription::builder().subscription_arn(arn).build();
        let (confirmed, pending) = (one("arn:aws:sns:eu-west-1:1:t:u"), one("PendingConfirmation"));
        assert!(all_confirmed("t", std::slice::from_ref(&confirmed)).unwrap().starts_with("1 confirmed"));
        assert!(all_confirmed("t", &[]).is_err() && all_confirmed("t", &[one("Deleted")]).is_err());
        for subscriptions in [vec![pending.clone()], vec![confirmed, pending]] {
            let problem = format!("{:?}", all_confirmed("t", &subscriptions).unwrap_err());
            assert!(problem.contains("confirm the subscription from the mail"), "{problem}");
        }
    }
}
