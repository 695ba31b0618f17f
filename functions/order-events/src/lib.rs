//! DynamoDB stream of the table: publishes what was accepted and what became of it to one SNS topic, and counts it.
//!
//! The stream is written by the table itself, after the fact and in the same breath, so that nothing on the way of an
//! order waits for a subscriber, and nothing that was recorded is left out: a batch that was not published whole comes
//! again until it is, for as long as the stream keeps it (24 hours). A subscriber may therefore get an event twice; its
//! `id` is the same then.
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

/// Most messages in one request, by SNS.
const MAX_ENTRIES: usize = 10;

/// What the function is made of.
#[derive(Debug)]
pub struct OrderEvents {
    /// SNS.
    pub sns: aws_sdk_sns::Client,
    /// Where the events go.
    pub topic_arn: String,
    /// Which deployment they are from: the `source` of each.
    pub source: String,
}

/// What Lambda hands over of a stream.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>
#[derive(Debug, Deserialize)]
pub struct StreamEvent {
    /// The changes of the table, in the order in which they were made to each item.
    #[serde(rename = "Records")]
    pub records: Vec<Value>,
}

/// Not all events were published. Lambda hands the whole batch over again.
#[derive(Debug, Error)]
#[error("SNS did not take {count} of the events for {topic_arn}: {cause}")]
pub struct PublishError {
    /// How many are missing.
    pub count: usize,
    /// Which topic.
    pub topic_arn: String,
    /// What SNS or the SDK says.
    pub cause: String,
}

impl OrderEvents {
    /// Publishes what a batch of changes says, and gives what was published.
    ///
    /// # Errors
    /// If SNS did not take all of it or its answer was lost: some may have been published.
    pub async fn handle(&self, batch: StreamEvent) -> Result<Vec<OrderEvent>, PublishError> {
        let events: Vec<_> = batch.records.into_iter().flat_map(|record| self.read(record)).collect();
        try_join_all(events.chunks(MAX_ENTRIES).map(|events| self.publish(events))).await?;
        Ok(events)
    }

    /// What a change says. One that cannot be read is no record: it must not hold up the others.
    fn read(&self, record: Value) -> Vec<OrderEvent> {
        match serde_json::from_value::<StreamRecord>(record) {
            Ok(record) => record.events(&self.source),
            // The cause is not told, since it could quote the item.
            Err(_) => {
                tracing::error!("a change of the table cannot be read by this version; no event was published of it");
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
                    // These two are no characters of XML, in which SNS is spoken to.
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
        match output.failed().first() {
            None => Ok(()),
            Some(first) => Err(failed(output.failed().len(), first.code().to_owned())),
        }
    }
}
