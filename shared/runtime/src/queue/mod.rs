//! Queues, which carry record keys and nothing else: sending, receiving in batches, retry pauses.

pub mod backoff;
pub mod batch;

use std::time::Duration;

use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::types::{
    MessageSystemAttributeNameForSends, MessageSystemAttributeValue, SendMessageBatchRequestEntry,
};
use serde::Serialize;
use thiserror::Error;

use crate::aws::{self, Aws};

/// The longest delay of a new message, set by SQS.
const MAX_DELAY: Duration = Duration::from_secs(15 * 60);
/// Maximum messages in one request, set by SQS.
pub const MAX_ENTRIES: usize = 10;

/// Keys that could not be enqueued.
#[derive(Debug, Error)]
#[error("cannot enqueue {count} key(s) to {queue_url}: {cause}")]
pub struct SendError {
    /// How many keys are missing.
    pub count: usize,
    /// The queue's URL.
    pub queue_url: String,
    /// The error of SQS or the SDK.
    pub cause: String,
}

/// A queue to send keys to.
#[derive(Debug, Clone)]
pub struct Queue {
    pub(crate) client: aws_sdk_sqs::Client,
    pub(crate) url: String,
}

impl Queue {
    /// The queue at `url`, over the function's client.
    #[must_use]
    pub fn open(aws: &Aws, url: String) -> Self {
        Self::new(aws.sqs(), url)
    }

    /// The queue at `url`.
    #[must_use]
    pub const fn new(client: aws_sdk_sqs::Client, url: String) -> Self {
        Self { client, url }
    }

    /// Enqueues a record key, as part of the trace in `trace_header` if there is one.
    ///
    /// # Errors
    /// If SQS refused the key, or its answer was lost. The key may then be in the queue, which does no harm.
    pub async fn send<K: Serialize>(&self, key: &K, trace_header: Option<&str>) -> Result<(), SendError> {
        let mut message = self.client.send_message().queue_url(&self.url).message_body(as_message(key));
        if let Some(trace) = trace_header.and_then(trace_attribute) {
            message = message.message_system_attributes(MessageSystemAttributeNameForSends::AwsTraceHeader, trace);
        }
        message.send().await.map(drop).map_err(|error| self.error(1, aws::cause(&error)))
    }

    /// Enqueues several record keys, ten per request.
    ///
    /// # Errors
    /// If SQS did not accept all keys. Some may then be in the queue, which does no harm.
    pub async fn send_all<K: Serialize>(&self, keys: &[K]) -> Result<(), SendError> {
        self.send_all_in_trace(keys, None).await
    }

    /// Like [`Self::send_all`], as part of the trace in `trace_header` if there is one.
    ///
    /// # Errors
    /// As [`Self::send_all`].
    pub async fn send_all_in_trace<K: Serialize>(
        &self,
        keys: &[K],
        trace_header: Option<&str>,
    ) -> Result<(), SendError> {
        for keys in keys.chunks(MAX_ENTRIES) {
            let bodies = keys.iter().map(as_message).map(|body| Entry { body, trace_header, delay: Duration::ZERO });
            let failed = self.send_batch(bodies.collect()).await?;
            if let Some((_, code)) = failed.first() {
                return Err(self.error(failed.len(), code.clone()));
            }
        }
        Ok(())
    }

    /// Enqueues up to ten messages with one request. Returns the positions and error codes of those that SQS refused.
    pub(crate) async fn send_batch(&self, entries: Vec<Entry<'_>>) -> Result<Vec<(usize, String)>, SendError> {
        let count = entries.len();
        let entries: Result<Vec<_>, _> =
            entries.into_iter().enumerate().map(|(index, entry)| entry.build(index)).collect();
        let entries = entries.map_err(|error| self.error(count, error.to_string()))?;
        let sent = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries)).send().await;
        let failed = sent.map_err(|error| self.error(count, aws::cause(&error)))?.failed;
        Ok(failed.into_iter().filter_map(|failed| Some((failed.id.parse().ok()?, failed.code))).collect())
    }

    fn error(&self, count: usize, cause: String) -> SendError {
        SendError { count, queue_url: self.url.clone(), cause }
    }
}

/// A message to enqueue.
pub(crate) struct Entry<'a> {
    pub body: String,
    pub trace_header: Option<&'a str>,
    /// When it becomes visible: at most 15 minutes from now.
    pub delay: Duration,
}

impl Entry<'_> {
    fn build(self, index: usize) -> Result<SendMessageBatchRequestEntry, BuildError> {
        let mut entry = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(self.body);
        if !self.delay.is_zero() {
            entry = entry.delay_seconds(whole_seconds(self.delay.min(MAX_DELAY)));
        }
        if let Some(trace) = self.trace_header.and_then(trace_attribute) {
            entry = entry.message_system_attributes(MessageSystemAttributeNameForSends::AwsTraceHeader, trace);
        }
        entry.build()
    }
}

/// Rounded up: a message that returns a moment too early would waste a receive.
fn whole_seconds(pause: Duration) -> i32 {
    i32::try_from(pause.as_millis().div_ceil(1000)).unwrap_or(i32::MAX)
}

/// A trace header as a message attribute.
fn trace_attribute(header: &str) -> Option<MessageSystemAttributeValue> {
    MessageSystemAttributeValue::builder().data_type("String").string_value(header).build().ok()
}

/// Serializes a key, or any other value, as the JSON of a message. Escapes U+FFFE and U+FFFF: an id may hold them, and
/// SQS and SNS refuse them.
pub fn as_message<K: Serialize>(key: &K) -> String {
    // Serializing keys, which are structs of strings, cannot fail.
    serde_json::to_string(key).unwrap_or_default().replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_sqs_refuses_are_escaped_and_read_back() {
        let id = "\u{fffe}\u{ffff}\u{fffd}\\ufffe\u{10ffff}".to_owned();
        assert_eq!(as_message(&id), "\"\\ufffe\\uffff\u{fffd}\\\\ufffe\u{10ffff}\"");
        assert_eq!(serde_json::from_str::<String>(&as_message(&id)).unwrap(), id);
    }
}
