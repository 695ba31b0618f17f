//! Runs a batch of messages independently. A message that fails, panics or times out fails alone and returns to the
//! queue until it is due (`ReportBatchItemFailures`).

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

/// Longest visibility time-out: SQS allows 12 hours from when a message was received.
const MAX_VISIBILITY: Duration = Duration::from_secs(12 * 3600 - 300);
/// The functions' time-out in the template.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an event may take to reach its handler after Lambda started the invocation's clock.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(5);
/// Reserved at the end of the invocation to return unfinished messages.
const RESERVE: Duration = Duration::from_secs(3);
/// The part of the reserve for renewing waiting messages.
const TIME_TO_RENEW: Duration = Duration::from_secs(1);
/// The part of the reserve for setting visibility time-outs.
const TIME_TO_POSTPONE: Duration = Duration::from_millis(1500);
/// A message is started only if this much time is left before the reserve.
const LEAST_TO_START: Duration = Duration::from_secs(2);
/// A waiting message is replaced by a new one when it has been received this often: half the smallest `MaxReceiveCount`.
/// SQS moves a message that was received more often than that to the dead-letter queue, but waiting is not failing.
const RENEWED_AFTER: u32 = 5;
/// Messages handled at the same time: all of the largest batch that the template configures.
const CONCURRENCY: usize = 10;

/// The current invocation and its deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// Lambda's request id.
    pub request_id: String,
    /// When Lambda ends the invocation.
    pub deadline: EpochMillis,
}

impl Invocation {
    /// An invocation that starts now and has the functions' full time-out.
    ///
    /// Lambda's deadline is used only if it is close to that. Otherwise it comes from a different clock:
    /// - one ahead of this instance's would promise more time than there is;
    /// - one behind it would leave no time at all;
    /// - cargo-lambda's emulator gives every invocation the same moment of 1970.
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
    /// The record key that the message carries.
    pub key: K,
    /// The message id in SQS.
    pub id: String,
    /// How often the message was received, including this time.
    pub receive_count: u32,
    /// The trace that the message belongs to, if any.
    pub trace_header: Option<String>,
}

/// The result of handling a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// Finished: the queue deletes the message.
    Done,
    /// Not due, or in progress elsewhere: the message returns after this pause.
    Again(Duration),
    /// Failed: the message returns after this pause.
    Failed(Duration),
}

/// A message that must return to its queue after a pause.
#[derive(Debug, Clone)]
struct Unfinished {
    message: SqsMessage,
    pause: Duration,
    /// Whether it only waits. If not, it failed.
    waits: bool,
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

/// How often a message was received, including this time.
fn receive_count(message: &SqsMessage) -> u32 {
    message.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1)
}

impl BatchRunner {
    /// A runner for messages received from `queue`.
    #[must_use]
    pub const fn new(queue: Queue, clock: SharedClock, random: SharedRandom) -> Self {
        Self { queue, clock, random }
    }

    /// Passes all messages to `handle` concurrently until the deadline is near. Reports the messages that must return,
    /// and sets their visibility time-outs to when they are due.
    pub async fn run<K, F, Fut>(&self, event: SqsEvent, invocation: &Invocation, handle: F) -> SqsBatchResponse
    where
        K: DeserializeOwned,
        F: Fn(Message<K>) -> Fut,
        Fut: Future<Output = Handled>,
    {
        let handle = &handle;
        let unfinished: Vec<Unfinished> = stream::iter(event.records)
            .map(|message| async move {
                let receive_count = receive_count(&message);
                let handled = self.run_one(&message, receive_count, invocation, handle).await;
                if matches!(handled, Handled::Failed(_)) {
                    // Lambda counts no error for a partly failed batch, so the template counts these lines. The number
                    // distinguishes a message that keeps failing from many that failed once.
                    let message_id = message.message_id.as_deref();
                    tracing::error!(message_id, failed_attempt = receive_count, "message failed; it will be retried");
                }
                (message, handled)
            })
            .buffer_unordered(CONCURRENCY)
            .filter_map(async |(message, handled)| match handled {
                Handled::Done => None,
                Handled::Again(pause) => Some(Unfinished { message, pause, waits: true }),
                Handled::Failed(pause) => Some(Unfinished { message, pause, waits: false }),
            })
            .collect()
            .await;
        let failures = self.renew(unfinished).await;
        self.postpone(&failures).await;
        let mut response = SqsBatchResponse::default();
        for one in failures {
            response.add_failure(one.message.message_id.unwrap_or_default());
        }
        response
    }

    /// Sends waiting messages again as new ones if they were received too often. Returns the other messages.
    async fn renew(&self, unfinished: Vec<Unfinished>) -> Vec<Unfinished> {
        let is_old = |one: &Unfinished| one.waits && receive_count(&one.message) >= RENEWED_AFTER;
        let (old, mut others): (Vec<_>, Vec<_>) = unfinished.into_iter().partition(is_old);
        for old in old.chunks(super::MAX_ENTRIES) {
            let entries = old.iter().map(|one| super::Entry {
                body: one.message.body.clone().unwrap_or_default(),
                trace_header: one.message.attributes.get(xray::ATTRIBUTE).map(String::as_str),
                delay: one.pause,
            });
            let sent = tokio::time::timeout(TIME_TO_RENEW, self.queue.send_batch(entries.collect())).await;
            let sent = sent.map_or_else(
                |_elapsed| Err("SQS did not answer in time".to_owned()),
                |sent| sent.map_err(|error| error.to_string()),
            );
            match sent {
                Ok(refused) => others.extend(refused.iter().filter_map(|(index, _)| old.get(*index).cloned())),
                Err(problem) => {
                    tracing::warn!(problem, "waiting messages not renewed");
                    others.extend_from_slice(old);
                }
            }
        }
        others
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
            // It will never be readable, so let it reach the dead-letter queue soon.
            tracing::error!(
                message_id = id,
                "message rejected: it holds no record key and goes to the dead-letter queue"
            );
            return Handled::Failed(Duration::ZERO);
        };
        let left = self.clock.now().until(invocation.deadline).saturating_sub(RESERVE);
        if left < LEAST_TO_START {
            tracing::warn!(message_id = id, "message postponed: too little time left in this invocation");
            return Handled::Again(backoff::pause(receive_count, (self.random)()));
        }
        let work =
            AssertUnwindSafe(async { handle(Message { key, id: id.clone(), receive_count, trace_header }).await });
        match tokio::time::timeout(left, work.catch_unwind()).await {
            Ok(Ok(handled)) => handled,
            Ok(Err(_panic)) => {
                tracing::error!(message_id = id, "message handler panicked");
                Handled::Failed(backoff::pause(receive_count, (self.random)()))
            }
            Err(_elapsed) => {
                tracing::error!(message_id = id, "message handler timed out");
                Handled::Failed(backoff::pause(receive_count, (self.random)()))
            }
        }
    }

    /// Sets the visibility time-outs of the messages that must return. If that fails, the queue's own visibility
    /// time-out applies, so the error is only logged.
    async fn postpone(&self, failures: &[Unfinished]) {
        for failures in failures.chunks(super::MAX_ENTRIES) {
            let entries = failures.iter().enumerate().filter_map(|(index, Unfinished { message, pause, .. })| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(message.receipt_handle.clone().unwrap_or_default())
                    .visibility_timeout(super::whole_seconds(*pause.min(&MAX_VISIBILITY)))
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
                        tracing::warn!(code = failed.code, "visibility time-out not changed");
                    }
                }
                Ok(Err(error)) => tracing::warn!(error = aws::cause(&error), "visibility time-outs not changed"),
                Err(_elapsed) => tracing::warn!("visibility time-outs not changed: SQS did not answer in time"),
            }
        }
    }
}
