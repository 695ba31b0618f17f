//! DynamoDB stream of the table: publishes accepted notifications and all outcomes to one SNS topic, and counts them.
//!
//! DynamoDB writes the stream with each change, so no order waits for a subscriber and no recorded change is left out.
//! Lambda retries a batch until it is published completely, for as long as the stream keeps it (24 hours), and halves it
//! each time, so one change cannot block the others. A subscriber may therefore receive an event twice, with the same `id`.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html>

pub mod config;
pub mod counts;
pub mod event;

use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use futures_util::future::try_join_all;
use relay_runtime::aws;
use relay_runtime::queue::as_message;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::event::{OrderEvent, StreamRecord};

/// Maximum messages in one request, set by SNS.
const MAX_ENTRIES: usize = 10;

/// The function's handler and its dependencies.
#[derive(Debug)]
pub struct OrderEvents {
    /// Publishes the events.
    pub sns: aws_sdk_sns::Client,
    /// The topic for the events.
    pub topic_arn: String,
    /// The `source` of each event, which identifies the deployment.
    pub source: String,
}

/// A batch of a stream, from Lambda.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>
#[derive(Debug, Deserialize)]
pub struct StreamEvent {
    /// The changes of the table. Changes of the same item are in order.
    #[serde(rename = "Records")]
    pub records: Vec<Value>,
}

/// Not all events were published. Lambda retries the batch.
#[derive(Debug, Error)]
#[error("cannot publish {count} event(s) to {topic_arn}: {cause}")]
pub struct PublishError {
    /// How many events are missing.
    pub count: usize,
    /// The topic's ARN.
    pub topic_arn: String,
    /// The error of SNS or the SDK.
    pub cause: String,
}

impl OrderEvents {
    /// Publishes the events of a batch of changes, and returns them.
    ///
    /// # Errors
    /// If SNS did not accept all events, or its answer was lost. Some may have been published.
    pub async fn handle(&self, batch: StreamEvent) -> Result<Vec<OrderEvent>, PublishError> {
        let events: Vec<_> = batch.records.into_iter().flat_map(|record| self.read(record)).collect();
        try_join_all(events.chunks(MAX_ENTRIES).map(|events| self.publish(events))).await?;
        Ok(events)
    }

    /// The events of a change. An unreadable change is skipped, so it cannot block the others.
    fn read(&self, record: Value) -> Vec<OrderEvent> {
        match serde_json::from_value::<StreamRecord>(record) {
            Ok(record) => record.events(&self.source),
            // The cause is omitted because it could quote the item.
            Err(_) => {
                tracing::error!("change skipped: this version cannot read it, no event published");
                Vec::new()
            }
        }
    }

    async fn publish(&self, events: &[OrderEvent]) -> Result<(), PublishError> {
        let failed = |count, cause| PublishError { count, topic_arn: self.topic_arn.clone(), cause };
        let entries: Result<Vec<_>, _> = events
            .iter()
            .enumerate()
            .map(|(index, event)| {
                let mut entry = PublishBatchRequestEntry::builder().id(index.to_string()).message(as_message(event));
                for (name, value) in event.attributes() {
                    // XML, the format of SNS requests, does not allow these two characters.
                    let value = value.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}");
                    let value = MessageAttributeValue::builder().data_type("String").string_value(value).build()?;
                    entry = entry.message_attributes(name, value);
                }
                entry.build()
            })
            .collect();
        let entries = entries.map_err(|error| failed(events.len(), error.to_string()))?;
        let request =
            self.sns.publish_batch().topic_arn(&self.topic_arn).set_publish_batch_request_entries(Some(entries));
        let output = request.send().await.map_err(|error| failed(events.len(), aws::cause(&error)))?;
        // SNS would refuse these again, and they would block the changes behind them.
        let (refused, not_published): (Vec<_>, Vec<_>) = output.failed().iter().partition(|entry| entry.sender_fault());
        for entry in refused {
            let event = entry.id().parse::<usize>().ok().and_then(|index| events.get(index));
            let id = event.map(|event| event.id.as_str());
            tracing::error!(id, code = entry.code(), "event skipped: SNS refuses it for good");
        }
        match not_published.first() {
            None => Ok(()),
            Some(first) => Err(failed(not_published.len(), first.code().to_owned())),
        }
    }
}
