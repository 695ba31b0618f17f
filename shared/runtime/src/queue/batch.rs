//! Runs a batch of messages, each on its own: what fails, panics or runs out of time fails alone, and is
//! returned to the queue for when it is due (`ReportBatchItemFailures`).

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry;
use futures_util::future::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};
use lambda_runtime::Context;
use relay_types::time::{EpochMillis, SharedClock, SharedRandom};
use serde::de::DeserializeOwned;

use crate::queue::{Queue, backoff};
use crate::{aws, xray};

/// Longest time that a message may be kept invisible, by SQS: 12 hours from when it was received.
const MAX_VISIBILITY: Duration = Duration::from_secs(12 * 3600 - 300);
/// The functions' time-out in the template.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long after Lambda began to count an event may reach its handler.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(5);
/// Kept back at the end of the invocation to return what was not done.
const RESERVE: Duration = Duration::from_secs(3);
/// Of which this is for saying when it comes again.
const TIME_TO_POSTPONE: Duration = Duration::from_secs(2);
/// A record is not started with less than this left before the reserve.
const LEAST_TO_START: Duration = Duration::from_secs(2);
/// Most records of a batch that are worked on at once: all of the largest batch that the template asks for.
const CONCURRENCY: usize = 10;

/// Which invocation this is, and when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// Lambda's id of it.
    pub request_id: String,
    /// When Lambda ends it.
    pub deadline: EpochMillis,
}

impl Invocation {
    /// An invocation that begins now. It has the functions' whole time; what Lambda says of its end is taken where
    /// it is about that, and is otherwise told by another clock: by one that is ahead of this instance's, which must
    /// not promise more time than there is, or behind it, so that this instance would never believe it had any; or by
    /// cargo-lambda's emulator, which tells every invocation the same moment of 1970.
    #[must_use]
    pub fn new(context: &Context, now: EpochMillis) -> Self {
        let told = EpochMillis(i64::try_from(context.deadline).unwrap_or(i64::MAX));
        let latest = now.plus(FUNCTION_TIMEOUT);
        let credible = told <= latest && told.until(latest) < HANDED_OVER_WITHIN;
        Self { request_id: context.request_id.clone(), deadline: if credible { told } else { latest } }
    }
}

/// One message of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<K> {
    /// The record's key that it carries.
    pub key: K,
    /// The queue's id of it.
    pub id: String,
    /// How often it was received, this time included.
    pub receive_count: u32,
    /// The trace that it is part of, if it is.
    pub trace_header: Option<String>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// There is nothing more to do: the queue forgets it.
    Done,
    /// It must come again after this: it is not due, or somebody else is at work on it.
    Again(Duration),
    /// It failed, and must come again after this.
    Failed(Duration),
}

/// Runs batches of one queue.
#[derive(Clone)]
pub struct BatchRunner {
    queue: Queue,
    clock: SharedClock,
    random: SharedRandom,
}

impl std::fmt::Debug for BatchRunner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchRunner").field("queue", &self.queue.url).finish_non_exhaustive()
    }
}

/// How often a message was received, this time included.
fn receive_count(message: &SqsMessage) -> u32 {
    message.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1)
}

impl BatchRunner {
    /// A runner for messages received from `queue`.
    #[must_use]
    pub const fn new(queue: Queue, clock: SharedClock, random: SharedRandom) -> Self {
        Self { queue, clock, random }
    }

    /// Hands each message to `handle`, all at once, until the invocation's end comes near, and
    /// reports those that must come again. Their visibility is set to when they are due.
    pub async fn run<K, F, Fut>(&self, event: SqsEvent, invocation: &Invocation, handle: F) -> SqsBatchResponse
    where
        K: DeserializeOwned,
        F: Fn(Message<K>) -> Fut,
        Fut: Future<Output = Handled>,
    {
        let handle = &handle;
        let failures: Vec<(SqsMessage, Duration)> = stream::iter(event.records)
            .map(|message| async move {
                let receive_count = receive_count(&message);
                let handled = self.run_one(&message, receive_count, invocation, handle).await;
                if matches!(handled, Handled::Failed(_)) {
                    // Lambda counts no error where a part of a batch failed: the template counts these lines. The number
                    // tells a message that fails again and again from many that failed once.
                    let message_id = message.message_id.as_deref();
                    tracing::error!(message_id, failed_attempt = receive_count, "failed; the message comes again");
                }
                (message, handled)
            })
            .buffer_unordered(CONCURRENCY)
            .filter_map(async |(message, handled)| match handled {
                Handled::Done => None,
                Handled::Again(after) | Handled::Failed(after) => Some((message, after)),
            })
            .collect()
            .await;
        self.postpone(&failures).await;
        let mut response = SqsBatchResponse::default();
        for (message, _) in failures {
            response.add_failure(message.message_id.unwrap_or_default());
        }
        response
    }

    async fn run_one<K, F, Fut>(
        &self,
        message: &SqsMessage,
        receive_count: u32,
        invocation: &Invocation,
        handle: &F,
    ) -> Handled
    where
        K: DeserializeOwned,
        F: Fn(Message<K>) -> Fut,
        Fut: Future<Output = Handled>,
    {
        let id = message.message_id.clone().unwrap_or_default();
        let trace_header = message.attributes.get(xray::ATTRIBUTE).cloned();
        let Some(key) = message.body.as_deref().and_then(|body| serde_json::from_str(body).ok()) else {
            // Nothing will make it readable: let it get to the dead letters soon.
            tracing::error!(message_id = id, "message carries no record's key; it goes to the dead letters");
            return Handled::Failed(Duration::ZERO);
        };
        let left = self.clock.now().until(invocation.deadline).saturating_sub(RESERVE);
        if left < LEAST_TO_START {
            tracing::warn!(message_id = id, "no time left to start this message; it comes again");
            return Handled::Again(backoff::pause(receive_count, (self.random)()));
        }
        let work =
            AssertUnwindSafe(async { handle(Message { key, id: id.clone(), receive_count, trace_header }).await });
        match tokio::time::timeout(left, work.catch_unwind()).await {
            Ok(Ok(handled)) => handled,
            Ok(Err(_panic)) => {
                tracing::error!(message_id = id, "a panic stopped this message");
                Handled::Failed(backoff::pause(receive_count, (self.random)()))
            }
            Err(_elapsed) => {
                tracing::error!(message_id = id, "the time limit stopped this message");
                Handled::Failed(backoff::pause(receive_count, (self.random)()))
            }
        }
    }

    /// Sets when the failed messages become visible again. If that fails they come after the queue's own
    /// visibility time-out, so the error is only logged.
    async fn postpone(&self, failures: &[(SqsMessage, Duration)]) {
        for failures in failures.chunks(super::MAX_ENTRIES) {
            let entries = failures.iter().enumerate().filter_map(|(index, (message, after))| {
                // Rounded up: a message that comes a moment too early would cost a receive for nothing.
                let seconds = after.min(&MAX_VISIBILITY).as_millis().div_ceil(1000);
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(message.receipt_handle.clone().unwrap_or_default())
                    .visibility_timeout(i32::try_from(seconds).unwrap_or(i32::MAX))
                    .build()
                    .ok()
            });
            let request = self
                .queue
                .client
                .change_message_visibility_batch()
                .queue_url(&self.queue.url)
                .set_entries(Some(entries.collect()));
            match tokio::time::timeout(TIME_TO_POSTPONE, request.send()).await {
                Ok(Ok(output)) => {
                    for failed in output.failed {
                        tracing::warn!(code = failed.code, "SQS did not postpone a message");
                    }
                }
                Ok(Err(error)) => tracing::warn!(error = aws::cause(&error), "SQS did not postpone messages"),
                Err(_elapsed) => tracing::warn!("SQS did not postpone messages in time"),
            }
        }
    }
}
