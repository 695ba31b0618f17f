//! SQS `notifications`: decides an order record. Four requests in the ordinary case: read the record, take the lane that
//! its target needs, write the decision in the place of what was read, enqueue the key for the call.
//!
//! Stopping anywhere leaves the record as it was, or as it should be, and in the index. Running twice decides the same.

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
use relay_types::record::{Bodies, LaneFound, OrderRecord, RecordKey, SPARE};
use relay_types::time::{EpochMillis, SharedClock, SharedRandom};
use thiserror::Error;

/// How often a record is decided that changed in between, before its message comes again.
const MAX_TRIES: usize = 8;

/// What the function is made of.
pub struct Dispatch {
    /// Where the records are.
    pub store: Store,
    /// Where the keys of records go that are to be decided.
    pub notifications: Queue,
    /// Where the keys go of records whose call is to be sent.
    pub calls: BTreeMap<CallKind, Queue>,
    /// What a deployment sets.
    pub settings: Settings,
    /// Tells the time.
    pub clock: SharedClock,
    /// Makes tokens and jitter.
    pub random: SharedRandom,
}

/// Why a record could not be decided this time.
#[derive(Debug, Error)]
enum DispatchError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Queue(#[from] SendError),
    #[error("the record kept changing while it was decided")]
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
            self.tell(&record, trace_header, now).await?;
            for woken in decided.wakes.iter().filter_map(|pk| RecordKey::parse(pk)) {
                self.notifications.send(&woken, trace_header).await?;
            }
            // One decision folds a bounded number of facts.
            if record.facts.is_empty() {
                return Ok(());
            }
        }
        Err(DispatchError::Contended)
    }

    /// Decides, and takes the lane that the decision needs. If another record has it, decides again knowing that. `None`
    /// if a newer run of this record took the lane: it decides on newer facts than these.
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
                    tracing::warn!(record = %read.key, %error, "the lane's holder will not wake this record; the sweep does");
                }
                Ok(Some(decide(read, &found, bodies, now, &self.settings)))
            }
        }
    }

    /// Sees to it that bodies and owners outlive the record that needs them.
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

    /// Logs what was decided, and enqueues the key where a call is to be sent.
    async fn tell(
        &self,
        record: &OrderRecord,
        trace_header: Option<&str>,
        now: EpochMillis,
    ) -> Result<(), DispatchError> {
        let target = record.target.as_ref();
        let (call, generation) = (target.map(|target| target.lane().to_string()), record.generation);
        let reasons = record.attention.as_ref().map(|attention| format!("{:?}", attention.reasons));
        match reasons {
            Some(reasons) => tracing::warn!(record = %record.key, call, generation, reasons, "needs a person"),
            None => tracing::info!(record = %record.key, call, generation, waits = ?record.waits, "decided"),
        }
        if let Some(queue) =
            target.filter(|_| record.is_to_be_sent(now)).and_then(|target| self.calls.get(&target.call))
        {
            queue.send(&record.key, trace_header).await?;
        }
        Ok(())
    }
}
