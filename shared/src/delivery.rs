//! Making a call: claim its record, send it to TOP, write down how it ended. Two requests to DynamoDB and one
//! to TOP.
//!
//! Whatever stops in between leaves the record claimed. Its message comes again after the queue's visibility
//! time-out, when the lease has run out, and the call's resend policy decides.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::{LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};

use crate::aws::Aws;
use crate::call::{CallId, CallKey, CallKind, CallRequest, Resend};
use crate::clock::{EpochMillis, SharedClock, SharedRandom, SystemClock, system_random};
use crate::config::{self, AwsConfig, CallConfig};
use crate::queue::backoff;
use crate::queue::batch::{BatchRunner, Handled, Invocation, Message};
use crate::record::Table;
use crate::record::calls::{CallRecord, Claim, Finish, Finished};
use crate::secret::CachedSecret;
use crate::top::client::{SendError, TopClient};
use crate::top::credentials::Credentials;
use crate::top::error::{Ban, ErrorClass, Failure};
use crate::top::form;
use crate::top::response::{self, Outcome};
use crate::top::sign::SignMethod;
use crate::{telemetry, trace};

/// Clock skew that a lease allows for, beyond the end of its owner's invocation.
const SKEW: Duration = Duration::from_secs(60);
/// Kept back from TOP's time to write down how the call ended: all tries of that request, and the batch's reserve.
const TIME_TO_FINISH: Duration = Duration::from_secs(10);
/// A request is not sent with less than this for TOP to answer.
const LEAST_FOR_TOP: Duration = Duration::from_secs(1);

/// What the queue of a call carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallMessage {
    /// Which of the calls, so that a message in the wrong queue is noticed.
    pub call: CallKind,
    /// Its key.
    pub key: CallKey,
}

impl From<CallId> for CallMessage {
    fn from(id: CallId) -> Self {
        Self { call: id.call, key: id.key }
    }
}

/// What a function that calls TOP is made of.
pub struct Delivery {
    /// Which call it makes.
    pub kind: CallKind,
    /// Where the calls are recorded.
    pub table: Table,
    /// What requests are signed with.
    pub credentials: CachedSecret<Credentials>,
    /// How requests are signed.
    pub sign_method: SignMethod,
    /// Sends them.
    pub top: TopClient,
    /// How long TOP may take to answer.
    pub top_timeout: Duration,
    /// Tells the time.
    pub clock: SharedClock,
    /// Makes owner tokens and jitter.
    pub random: SharedRandom,
    /// Is told of requests to TOP.
    pub traces: trace::Daemon,
    /// Until when TOP has banned this call, as far as this process was told. Sending during a ban prolongs it.
    pub banned_until: AtomicI64,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Runs the function that makes calls of `kind`: everything it is made of is built once, here.
///
/// # Errors
/// If its environment cannot be used, or the Lambda runtime stops.
pub async fn serve(kind: CallKind) -> Result<(), lambda_runtime::Error> {
    telemetry::start(config::log_level(&config::environment));
    let config = CallConfig::read(kind, &config::environment)?;
    let aws = Aws::new(&AwsConfig::read(&config::environment)?)?;
    let connections = aws.http.for_top();
    let (clock, random): (SharedClock, SharedRandom) = (Arc::new(SystemClock), system_random());
    let delivery = Delivery {
        kind,
        table: aws.table(config.table),
        credentials: CachedSecret::new(aws.secrets(), config.top_secret_id, clock.clone()),
        sign_method: config.top_sign_method,
        top: TopClient::new(connections.connector(), config.top_gateway_url.clone()),
        top_timeout: config.top_timeout,
        clock: clock.clone(),
        random: random.clone(),
        traces: trace::Daemon::of(&config::environment),
        banned_until: AtomicI64::new(0),
    };
    let runner = BatchRunner::new(aws.queue(config.queue_url), clock, random);
    // The queue is written to only when something goes wrong, so that it is not connected to.
    tokio::join!(aws.connect_to_dynamodb(), connections.prepare(&config.top_gateway_url));
    let handler = service_fn(async |event| Ok::<_, Infallible>(delivery.handle(&runner, event).await));
    lambda_runtime::run(handler).await
}

/// One attempt to make a call.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    id: &'a CallId,
    request: &'a CallRequest,
    invocation: &'a Invocation,
    trace_header: Option<&'a str>,
}

/// How one attempt ended, and for the log what it is called.
struct Ended {
    finish: Finish,
    outcome: &'static str,
    configuration_fault: bool,
}

impl Delivery {
    /// Handles a batch of messages.
    pub async fn handle(&self, runner: &BatchRunner, event: LambdaEvent<SqsEvent>) -> SqsBatchResponse {
        let invocation = Invocation::new(&event.context, self.clock.now());
        runner.run(event.payload, &invocation, |message| self.deliver(message, &invocation)).await
    }

    /// Handles one message: makes the call it names, if that is due and nobody else is making it.
    pub async fn deliver(&self, message: Message<CallMessage>, invocation: &Invocation) -> Handled {
        let CallMessage { call, key } = message.key;
        let id = CallId { call, key };
        if call != self.kind {
            tracing::error!(call = %id, queue_of = %self.kind, "message in the wrong queue; it goes to the dead letters");
            return Handled::Failed(Duration::ZERO);
        }
        let retry = || Handled::Failed(backoff::pause(message.receive_count, (self.random)()));
        if let Some(left) = self.ban_left() {
            tracing::info!(call = %id, seconds = left.as_secs(), "postponed: TOP has banned this call");
            return Handled::Again(backoff::at_least(left, (self.random)()));
        }
        // Before the claim, so that a call is not claimed that cannot be sent.
        let credentials = match self.credentials.get().await {
            Ok(credentials) => credentials,
            Err(error) => {
                tracing::error!(call = %id, %error, configuration_fault = true, "not sent: no credentials");
                return retry();
            }
        };
        // Unique to this claim: two messages of one batch may carry the same key.
        let owner = format!("{}/{}/{:016x}", invocation.request_id, message.id, (self.random)());
        let now = self.clock.now();
        let lease = now.until(invocation.deadline) + SKEW;
        match self.table.claim(&id, &owner, lease, now).await {
            Ok(Claim::Claimed(record)) => {
                self.send(&record, credentials, invocation, message.trace_header.as_deref()).await
            }
            Ok(Claim::NotDue(not_before)) => Handled::Again(now.until(not_before)),
            // Most likely it is done in a moment; if whoever is sending it does not live to finish, it is free
            // when the lease has run out.
            Ok(Claim::Busy(lease_until)) => {
                let pause = backoff::pause(message.receive_count, (self.random)());
                Handled::Again(pause.min(now.until(lease_until) + Duration::from_secs(1)))
            }
            Ok(Claim::Abandoned(record)) => self.give_up(&record).await.unwrap_or_else(retry),
            Ok(Claim::Done(state)) => {
                tracing::info!(call = %id, found = state.as_str(), "nothing to do: the call is done");
                Handled::Done
            }
            Ok(Claim::Missing) => {
                tracing::error!(call = %id, "there is no such call; the message goes to the dead letters in time");
                retry()
            }
            Err(error) => {
                tracing::error!(call = %id, %error, "not claimed");
                retry()
            }
        }
    }

    async fn send(
        &self,
        record: &CallRecord,
        credentials: Credentials,
        invocation: &Invocation,
        trace_header: Option<&str>,
    ) -> Handled {
        let id = record.id();
        let ended = match CallRequest::from_stored(record.call, &record.request) {
            Ok(request) => {
                let attempt = Attempt { id: &id, request: &request, invocation, trace_header };
                let outcome = self.attempt(attempt, credentials).await;
                self.ended(outcome, record)
            }
            // Another version of this function wrote it, or reads it better: keep it for that one.
            Err(problem) => {
                let failure = Failure::of(format!("the stored request cannot be read by this version: {problem}"));
                let next = self.clock.now().plus(self.slow_pace());
                Ended { finish: Finish::NotExecuted(next, failure), outcome: "not_executed", configuration_fault: true }
            }
        };
        let now = self.clock.now();
        let finished = self.table.finish(record, &ended.finish, ended.outcome, now).await;
        self.log(&id, record, &ended);
        match (finished, &ended.finish) {
            (Err(error), _) => {
                // The lease runs out and the resend policy decides.
                tracing::error!(call = %id, %error, "how the call ended could not be written down");
                let lease_left = record.lease_until.map_or(SKEW, |until| now.until(until));
                Handled::Failed(lease_left + Duration::from_secs(1))
            }
            (Ok(Finished::Stale), _) => {
                tracing::error!(call = %id, "how the call ended was not written down: the claim had passed to another owner");
                // The other owner's message finishes the call; this one asks once more, to be sure.
                Handled::Failed(backoff::pause(1, (self.random)()))
            }
            (Ok(Finished::Written), Finish::NotExecuted(not_before, _) | Finish::Resend(not_before, _)) => {
                let pause = now.until(*not_before);
                // A ban is obeyed, which is no failure.
                if self.ban_left().is_some() { Handled::Again(pause) } else { Handled::Failed(pause) }
            }
            (Ok(Finished::Written), _) => Handled::Done,
        }
    }

    /// One attempt; a second one with fresh credentials if TOP says that those used are wrong and others have
    /// been put in place.
    async fn attempt(&self, attempt: Attempt<'_>, credentials: Credentials) -> Outcome {
        let used_since = self.clock.now();
        let outcome = self.exchange(attempt, &credentials).await;
        if !matches!(outcome, Outcome::Failed(ErrorClass::ConfigurationFault, _)) {
            return outcome;
        }
        match self.credentials.refresh(used_since).await {
            Ok(fresh) if fresh != credentials => {
                tracing::warn!(call = %attempt.id.call, "credentials were renewed meanwhile: sending once more with those");
                self.exchange(attempt, &fresh).await
            }
            Ok(_) => outcome,
            Err(error) => {
                tracing::error!(%error, "credentials could not be read again");
                outcome
            }
        }
    }

    async fn exchange(&self, attempt: Attempt<'_>, credentials: &Credentials) -> Outcome {
        let Attempt { id, request, invocation, trace_header } = attempt;
        let not_executed = ErrorClass::NotExecuted { ban: None };
        // Another message of the batch may have been told of one while this one was claimed.
        if let Some(left) = self.ban_left() {
            let ban = Some(Ban::For(left));
            return Outcome::Failed(ErrorClass::NotExecuted { ban }, Failure::of("not sent: TOP has banned this call"));
        }
        let now = self.clock.now();
        let timeout = now.until(invocation.deadline).saturating_sub(TIME_TO_FINISH).min(self.top_timeout);
        if timeout < LEAST_FOR_TOP {
            return Outcome::Failed(not_executed, Failure::of("not sent: too little time was left in the invocation"));
        }
        let form = form::build(request, credentials, self.sign_method, now);
        let answer = self.top.send(form, timeout).await;
        let status = answer.as_ref().ok().map(|answer| answer.status);
        let told = trace::Sent { call: id, from: now, to: self.clock.now(), status, id: (self.random)() };
        self.traces.tell(trace_header, told);
        match answer {
            Ok(answer) => response::read(self.kind, answer.status, &answer.body),
            Err(error @ SendError::NotSent(_)) => Outcome::Failed(not_executed, Failure::of(error.to_string())),
            Err(error @ SendError::NoAnswer(_)) => Outcome::Failed(ErrorClass::Unknown, Failure::of(error.to_string())),
        }
    }

    /// What the outcome of an attempt means for its record.
    fn ended(&self, outcome: Outcome, record: &CallRecord) -> Ended {
        let now = self.clock.now();
        let later = |pause: Duration| now.plus(pause);
        let next_try = || later(backoff::pause(record.attempt, (self.random)()));
        let (class, failure) = match outcome {
            Outcome::Succeeded(reply) => {
                return Ended { finish: Finish::Succeeded(reply), outcome: "succeeded", configuration_fault: false };
            }
            Outcome::Failed(class, failure) => (class, failure),
        };
        let finish = match class {
            // The claim itself counts one. A refusal says nothing of an earlier attempt: it may say "that was done
            // before", come from the gateway before the call's own rules are asked, or overtake a request that was cut
            // off and is still on its way.
            ErrorClass::Rejected if record.unsettled > 1 => {
                let message = format!("refused, but an earlier attempt may have taken effect: {}", failure.message);
                Finish::Unknown(Failure { message, ..failure })
            }
            ErrorClass::Rejected => Finish::Rejected(failure),
            ErrorClass::NotExecuted { ban: Some(ban) } => {
                let ends = match ban {
                    Ban::For(duration) => later(duration),
                    Ban::UntilMidnight => now.next_china_midnight(),
                };
                self.banned_until.fetch_max(ends.0, Ordering::Relaxed);
                Finish::NotExecuted(later(backoff::at_least(now.until(ends), (self.random)())), failure)
            }
            ErrorClass::NotExecuted { ban: None } => Finish::NotExecuted(next_try(), failure),
            ErrorClass::ConfigurationFault => Finish::NotExecuted(later(self.slow_pace()), failure),
            ErrorClass::Unknown if record.resend == Resend::Again => Finish::Resend(next_try(), failure),
            ErrorClass::Unknown | ErrorClass::UnknownForGood => Finish::Unknown(failure),
        };
        let configuration_fault = class == ErrorClass::ConfigurationFault;
        Ended { finish, outcome: class.as_str(), configuration_fault }
    }

    /// How long TOP's ban of this call still lasts, as far as this process was told.
    fn ban_left(&self) -> Option<Duration> {
        let banned_until = EpochMillis(self.banned_until.load(Ordering::Relaxed));
        let now = self.clock.now();
        (banned_until > now).then(|| now.until(banned_until))
    }

    fn slow_pace(&self) -> Duration {
        backoff::at_least(backoff::SLOW_PACE, (self.random)())
    }

    /// A sender died with a call that must not be sent again.
    async fn give_up(&self, record: &CallRecord) -> Option<Handled> {
        let failure = Failure::of(
            "the function that was sending this call did not finish; sending it again could write off twice: \
             ask TOP whether it took effect",
        );
        let id = record.id();
        match self.table.give_up(record, &failure, self.clock.now()).await {
            // Somebody else has just done so, or finished it: the message is looked at once more.
            Ok(Finished::Stale) => None,
            Ok(Finished::Written) => {
                tracing::error!(call = %id, state = "unknown", "nobody knows whether the call took effect; a person must look");
                Some(Handled::Done)
            }
            Err(error) => {
                tracing::error!(call = %id, %error, "the call could not be marked as unknown");
                None
            }
        }
    }

    /// One line an attempt. TOP's message is on the record, not here: it may quote the request.
    fn log(&self, id: &CallId, record: &CallRecord, ended: &Ended) {
        let (failure, request_id) = match &ended.finish {
            Finish::Succeeded(reply) => (None, reply.request_id.as_deref()),
            Finish::Rejected(failure)
            | Finish::Unknown(failure)
            | Finish::NotExecuted(_, failure)
            | Finish::Resend(_, failure) => (Some(failure), failure.request_id.as_deref()),
        };
        let code = failure.and_then(|failure| failure.code);
        let sub_code = failure.and_then(|failure| failure.sub_code.as_deref());
        let (attempt, state, outcome) = (record.attempt, ended.finish.state().as_str(), ended.outcome);
        if failure.is_none() {
            tracing::info!(call = %id, attempt, state, outcome, request_id, "call made");
        } else {
            tracing::warn!(call = %id, attempt, state, outcome, code, sub_code, request_id, "call failed");
            if ended.configuration_fault {
                // At the level that no `LogLevel` leaves out: an alarm counts these lines.
                let means = "credentials, permissions, address or version of this function are to be mended";
                tracing::error!(call = %id, code, sub_code, configuration_fault = true, "{means}");
            }
        }
    }
}
