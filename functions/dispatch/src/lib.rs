//! SQS `notifications`: decides an order record. The ordinary case takes four requests: read the record, take the lane
//! of its target, replace the record with the decision, enqueue the key for the call.
//!
//! If dispatch stops in between, the record is either unchanged or decided, and still in the index. A second run makes
//! the same decision.

pub mod config;

use std::collections::BTreeMap;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::LambdaEvent;
use relay_decide::{Decided, RENEW_WITHIN, Settings, decide};
use relay_runtime::queue::batch::{BatchRunner, Handled, Invocation, Message};
use relay_runtime::queue::{Queue, SendError, backoff};
use relay_store::lane::Taken;
use relay_store::{Store, StoreError};
use relay_types::call::{CallKind, Lane};
use relay_types::record::{Attention, Bodies, DueCall, Fact, Instruction, LaneFound, OrderRecord, RecordKey, SPARE};
use relay_types::time::{EpochMillis, SharedClock, SharedRandom};
use thiserror::Error;

/// How often a record that keeps changing is decided before its message returns to the queue.
const MAX_TRIES: usize = 8;

/// The function's handler and its dependencies.
pub struct Dispatch {
    /// Holds the records.
    pub store: Store,
    /// The queue for the keys of records to decide.
    pub notifications: Queue,
    /// The queues for the keys of records with a call to send.
    pub calls: BTreeMap<CallKind, Queue>,
    /// The deployment's settings.
    pub settings: Settings,
    /// Gives the time.
    pub clock: SharedClock,
    /// Generates tokens and jitter.
    pub random: SharedRandom,
}

/// Why a run did not decide a record.
#[derive(Debug, Error)]
enum DispatchError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] SendError),
    #[error("the record kept changing while dispatch decided it")]
    Contended,
}

impl Dispatch {
    /// Handles a batch of messages.
    pub async fn handle(&self, runner: &BatchRunner, event: LambdaEvent<SqsEvent>) -> SqsBatchResponse {
        let invocation = Invocation::new(&event.context, self.clock.now());
        runner.run(event.payload, &invocation, |message| self.dispatch_message(message)).await
    }

    async fn dispatch_message(&self, message: Message<RecordKey>) -> Handled {
        match self.dispatch(&message.key, message.trace_header.as_deref()).await {
            Ok(()) => Handled::Done,
            Err(error) => {
                tracing::error!(record = %message.key, %error, "record not decided");
                Handled::Failed(backoff::pause(message.receive_count, (self.random)()))
            }
        }
    }

    async fn dispatch(&self, key: &RecordKey, trace_header: Option<&str>) -> Result<(), DispatchError> {
        for _ in 0..MAX_TRIES {
            let Some((read, bodies)) = self.store.whole(key).await? else {
                tracing::info!(record = %key, "nothing to decide: the record is gone");
                return Ok(());
            };
            let now = self.clock.now();
            let token = format!("{:016x}", (self.random)());
            let Some(decided) = self.decide(&read, &bodies, &token, now).await? else { continue };
            let record = self.keep(&read, decided.record, now).await?;
            for json in &decided.bodies {
                self.store.store_body(key, json, now).await?;
            }
            if record != read && !self.store.replace(&read, &record, &token).await? {
                continue;
            }
            let retried_at = read.facts.iter().find_map(|fact| match fact {
                Fact::Instructed { instruction: Instruction::RetryNow, at, .. } => Some(*at),
                _ => None,
            });
            self.tell(&record, retried_at, trace_header, now).await?;
            for woken in decided.wakes.iter().filter_map(|pk| RecordKey::parse(pk)) {
                self.notifications.send(&woken, trace_header).await?;
            }
            // One decision handles a limited number of facts.
            if record.facts.is_empty() {
                return Ok(());
            }
        }
        Err(DispatchError::Contended)
    }

    /// Decides the record and takes the lane that the decision needs. If another record owns the lane, decides again
    /// with that knowledge. `None` if a newer run of this record took the lane: that run decides on newer facts.
    async fn decide(
        &self,
        read: &OrderRecord,
        bodies: &Bodies,
        token: &str,
        now: EpochMillis,
    ) -> Result<Option<Decided>, DispatchError> {
        let decided = decide(read, &LaneFound::Free, bodies, now, &self.settings);
        let Some(lane) = &decided.takes else { return Ok(Some(decided)) };
        match self.store.take_lane(lane, &read.key, read.revision, token, now).await? {
            Taken::Taken => Ok(Some(decided)),
            Taken::NewerRun => Ok(None),
            Taken::Refused { found, holder } => {
                if found == LaneFound::Undecided {
                    self.notifications.send(&holder, None).await?;
                }
                if let Err(error) = self.store.wait_for(&holder, &read.key).await {
                    tracing::warn!(record = %read.key, %error, "wake-up hint not stored: the sweep will enqueue this record");
                }
                Ok(Some(decide(read, &found, bodies, now, &self.settings)))
            }
        }
    }

    /// Extends the expiry of bodies and lane owners, so they outlive the record that needs them.
    async fn keep(
        &self,
        read: &OrderRecord,
        mut record: OrderRecord,
        now: EpochMillis,
    ) -> Result<OrderRecord, StoreError> {
        let kept_until = read.kept_until_at_first(self.settings.retention);
        record.kept_until = Some(kept_until);
        let needed_until = match record.expires_at {
            Some(expires_at) => EpochMillis(expires_at * 1000),
            None => now.plus(RENEW_WITHIN),
        };
        if kept_until >= needed_until {
            return Ok(record);
        }
        let until = now.plus(self.settings.retention + SPARE);
        for digest in record.stored_bodies() {
            self.store.keep_body(&record.key, &digest, until).await?;
        }
        for key in record.pointing_keys() {
            self.store.keep_pointer(&key, until).await?;
        }
        for lane in record.held_lanes().iter().filter_map(|lane| Lane::parse(lane)) {
            self.store.keep_lane(&lane, until).await?;
        }
        record.kept_until = Some(until);
        Ok(record)
    }

    /// Logs the decision, and enqueues the key if a call is due.
    async fn tell(
        &self,
        record: &OrderRecord,
        retried_at: Option<EpochMillis>,
        trace_header: Option<&str>,
        now: EpochMillis,
    ) -> Result<(), DispatchError> {
        let target = record.target.as_ref();
        let (call, generation) = (target.map(|target| target.lane().to_string()), record.generation);
        let codes = |attention: &Attention| attention.reasons.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" ");
        let reasons = record.attention.as_ref().map(codes);
        let waits = record.waits.as_ref().map(AsRef::<str>::as_ref);
        match reasons {
            Some(reasons) => tracing::warn!(record = %record.key, call, generation, reasons, "record needs attention"),
            None => tracing::info!(record = %record.key, call, generation, waits, "record decided"),
        }
        if let Some(queue) =
            target.filter(|_| record.is_to_be_sent(now)).and_then(|target| self.calls.get(&target.call))
        {
            let account = target.and_then(|target| target.account.clone());
            queue.send(&DueCall { key: record.key.clone(), account, retried_at }, trace_header).await?;
        }
        Ok(())
    }
}
