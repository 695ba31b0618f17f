//! A temporary queue that is subscribed to the order events.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::steps::Done;
use crate::deployment::Deployment;

/// How long the queue keeps messages, in seconds. Only an interrupted run leaves any.
const RETENTION_SECONDS: &str = "3600";
/// Visibility time-out in seconds: longer than a run, so each message is received once.
const HIDDEN_SECONDS: &str = "3600";
/// Wait of one receive request, in seconds.
const LONG_POLL_SECONDS: i32 = 2;
/// Messages of one receive request, SQS's maximum.
const MAX_MESSAGES: i32 = 10;

/// A queue and its subscription to the topic of the order events. There is no filter policy: SNS may take minutes to
/// apply one.
pub struct Subscription<'a> {
    deployment: &'a Deployment,
    queue_url: String,
    subscription_arn: Option<String>,
}

impl<'a> Subscription<'a> {
    /// Creates the queue and subscribes it. If subscribing fails, the queue is deleted.
    pub async fn create(deployment: &'a Deployment) -> Result<Self> {
        let sqs = aws_sdk_sqs::Client::new(&deployment.sdk);
        let name = format!("{}-smoke-{}", deployment.stack, jiff::Timestamp::now().as_millisecond());
        let created = sqs
            .create_queue()
            .queue_name(&name)
            .attributes(QueueAttributeName::MessageRetentionPeriod, RETENTION_SECONDS)
            .attributes(QueueAttributeName::VisibilityTimeout, HIDDEN_SECONDS)
            .send()
            .await
            .map_err(|error| anyhow!("SQS did not create queue {name}: {}", relay_runtime::aws::cause(&error)))?;
        let queue_url = created.queue_url.context("SQS returned no queue URL")?;
        let mut subscription = Self { deployment, queue_url, subscription_arn: None };
        match subscription.subscribe(&sqs).await {
            Ok(arn) => {
                subscription.subscription_arn = Some(arn);
                Ok(subscription)
            }
            Err(error) => {
                subscription.delete().await.with_context(|| format!("{error:#}"))?;
                Err(error)
            }
        }
    }

    async fn subscribe(&self, sqs: &aws_sdk_sqs::Client) -> Result<String> {
        let topic = self.deployment.output("OrderEventsTopicArn")?;
        let failed = |cause: String| anyhow!("SQS did not prepare queue {}: {cause}", self.queue_url);
        let got = sqs.get_queue_attributes().queue_url(&self.queue_url).attribute_names(QueueAttributeName::QueueArn);
        let got = got.send().await.map_err(|error| failed(relay_runtime::aws::cause(&error)))?;
        let arn = got.attributes().and_then(|all| all.get(&QueueAttributeName::QueueArn));
        let arn = arn.context("SQS returned no queue ARN")?;
        let policy = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }]});
        let set = sqs.set_queue_attributes().queue_url(&self.queue_url);
        let set = set.attributes(QueueAttributeName::Policy, policy.to_string()).send().await;
        set.map_err(|error| failed(relay_runtime::aws::cause(&error)))?;
        let subscribed = aws_sdk_sns::Client::new(&self.deployment.sdk)
            .subscribe()
            .topic_arn(topic)
            .protocol("sqs")
            .endpoint(arn)
            .attributes("RawMessageDelivery", "true")
            .return_subscription_arn(true)
            .send()
            .await
            .map_err(|error| anyhow!("SNS did not subscribe {arn}: {}", relay_runtime::aws::cause(&error)))?;
        subscribed.subscription_arn.context("SNS returned no subscription ARN")
    }

    /// Waits for events of an order of TSY, and returns the outcomes that they report.
    ///
    /// # Errors
    /// If no event arrives within the time limit.
    pub async fn outcomes_of(&self, order_id: &str, within: Duration) -> Result<BTreeSet<String>> {
        let sqs = aws_sdk_sqs::Client::new(&self.deployment.sdk);
        let deadline = Instant::now() + within;
        let mut outcomes = BTreeSet::new();
        loop {
            let request = sqs.receive_message().queue_url(&self.queue_url);
            let got = request.max_number_of_messages(MAX_MESSAGES).wait_time_seconds(LONG_POLL_SECONDS).send().await;
            let got = got.map_err(|error| anyhow!("{}: {}", self.queue_url, relay_runtime::aws::cause(&error)))?;
            let bodies = got.messages().iter().filter_map(|message| message.body());
            outcomes.extend(bodies.filter_map(|body| outcome_of(body, order_id)));
            let is_empty = got.messages().is_empty();
            if is_empty && !outcomes.is_empty() {
                return Ok(outcomes);
            }
            if Instant::now() >= deadline {
                let none =
                    || anyhow!("no event of {order_id} within {} s; see the log of OrderEvents", within.as_secs());
                return if outcomes.is_empty() { Err(none()) } else { Ok(outcomes) };
            }
        }
    }

    /// Deletes the subscription and the queue.
    pub async fn delete(&self) -> Result<Done> {
        let sns = aws_sdk_sns::Client::new(&self.deployment.sdk);
        let unsubscribed = match &self.subscription_arn {
            Some(arn) => sns.unsubscribe().subscription_arn(arn).send().await.map(drop),
            None => Ok(()),
        };
        let sqs = aws_sdk_sqs::Client::new(&self.deployment.sdk);
        let deleted = sqs.delete_queue().queue_url(&self.queue_url).send().await;
        deleted.map_err(|error| {
            let url = &self.queue_url;
            let cause = relay_runtime::aws::cause(&error);
            anyhow!("{url} was not deleted: {cause}; run `aws sqs delete-queue --queue-url {url}`")
        })?;
        unsubscribed.map_err(|error| {
            let arn = self.subscription_arn.as_deref().unwrap_or_default();
            let cause = relay_runtime::aws::cause(&error);
            anyhow!("{arn} was not deleted: {cause}; run `aws sns unsubscribe --subscription-arn {arn}`")
        })?;
        Ok(Done::Passed("its subscription is deleted too".to_owned()))
    }
}

/// The outcome that an event reports, if it is about this order of TSY.
fn outcome_of(event: &str, order_id: &str) -> Option<String> {
    let event: Value = serde_json::from_str(event).ok()?;
    let data = &event["data"];
    let is_it = data["partner"] == "tsy" && data["order_id"] == order_id;
    data["outcome"].as_str().filter(|_| is_it).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_of_the_order_count() {
        let event = json!({"data": {"partner": "tsy", "order_id": "SMOKE-1", "outcome": "attention"}}).to_string();
        assert_eq!(outcome_of(&event, "SMOKE-1").as_deref(), Some("attention"));
        assert_eq!(outcome_of(&event, "SMOKE-2"), None);
        assert_eq!(outcome_of("not an event", "SMOKE-1"), None);
    }
}
