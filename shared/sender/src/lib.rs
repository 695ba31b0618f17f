//! Sends a call: claims the record's target, sends it to TOP, records the outcome. This takes two requests to DynamoDB
//! and one to TOP, and a read of the call's breaker at most every five seconds.
//!
//! If the sender stops in between, the record stays claimed. After the lease expires, the call's resend policy decides.

pub mod breaker;
pub mod config;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::{LambdaEvent, service_fn};
use relay_decide::Settings;
use relay_runtime::environment::environment;
use relay_runtime::queue::batch::{BatchRunner, Handled, Invocation, Message};
use relay_runtime::queue::{Queue, backoff};
use relay_runtime::secret::CachedSecret;
use relay_runtime::xray;
use relay_store::order::Claim;
use relay_store::{Store, StoreError};
use relay_top::client::{SendError, TopClient};
use relay_top::credentials::{Accounts, Credentials};
use relay_top::error::{Ban, ErrorClass, ErrorClasses};
use relay_top::form;
use relay_top::response::{self, Outcome};
use relay_top::sign::SignMethod;
use relay_types::account::DEFAULT_ACCOUNT;
use relay_types::breaker::Cause;
use relay_types::call::{CallKind, CallRequest, Lane, Resend};
use relay_types::failure::Failure;
use relay_types::record::{Attempted, DueCall, OrderRecord, RecordKey};
use relay_types::time::{SharedClock, SharedRandom, SystemClock, system_random};

use crate::breaker::{Breakers, Pass};
use crate::config::CallConfig;

/// Clock skew that a lease allows for, added to the end of its owner's invocation.
const SKEW: Duration = Duration::from_secs(60);
/// Reserved after TOP's time-out to record the outcome: all attempts of that request, and the batch's reserve.
const TIME_TO_FINISH: Duration = Duration::from_secs(10);
/// A request is sent only if TOP has at least this much time to answer.
const LEAST_FOR_TOP: Duration = Duration::from_secs(1);

/// A function that calls TOP, and its dependencies.
pub struct Sender {
    /// The call that it sends.
    pub kind: CallKind,
    /// Holds the records.
    pub store: Store,
    /// The queue for the keys of records that dispatch must decide again.
    pub notifications: Queue,
    /// The deployment's settings.
    pub settings: Settings,
    /// The TOP accounts, whose credentials sign the requests.
    pub accounts: CachedSecret<Accounts>,
    /// The signature method.
    pub sign_method: SignMethod,
    /// Sends the requests.
    pub top: TopClient,
    /// The deployment's rows of the table of TOP's errors.
    pub error_classes: ErrorClasses,
    /// How long TOP may take to answer.
    pub top_timeout: Duration,
    /// Gives the time.
    pub clock: SharedClock,
    /// Generates owner tokens and jitter.
    pub random: SharedRandom,
    /// Receives reports of requests to TOP, for their traces.
    pub traces: xray::Daemon,
    /// Holds calls back while TOP refuses them all. Sending during a ban prolongs it.
    pub breakers: Breakers,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Builds the sender of calls of `kind`, and runs it until Lambda ends the process.
///
/// # Errors
/// If the environment is invalid, or the Lambda runtime stops.
pub async fn serve(kind: CallKind) -> Result<(), lambda_runtime::Error> {
    let aws = relay_runtime::start()?;
    let config = CallConfig::read(kind, &environment)?;
    let connections = aws.http.for_top();
    let (clock, random): (SharedClock, SharedRandom) = (Arc::new(SystemClock), system_random());
    let settings = Settings { failed_code: None, retention: config.table.retention };
    let store = Store::open(&aws, config.table);
    let breakers = Breakers::new(kind, store.clone(), clock.clone());
    let sender = Sender {
        kind,
        store,
        notifications: Queue::open(&aws, config.notifications_queue_url),
        settings,
        accounts: CachedSecret::new(aws.secrets(), config.top_secret_id, clock.clone()),
        sign_method: config.top_sign_method,
        top: TopClient::new(connections.connector(), config.top_gateway_url.clone()),
        error_classes: config.top_error_classes,
        top_timeout: config.top_timeout,
        clock: clock.clone(),
        random: random.clone(),
        traces: xray::Daemon::of(&environment),
        breakers,
    };
    let runner = BatchRunner::new(Queue::open(&aws, config.queue_url), clock, random);
    // No connection to SQS in advance: the queue is used only after a failure.
    tokio::join!(aws.connect_to_dynamodb(), connections.prepare(&config.top_gateway_url));
    let handler = service_fn(async |event| Ok::<_, Infallible>(sender.handle(&runner, event).await));
    lambda_runtime::run(handler).await
}

/// The account that sends a call.
struct Sending {
    name: String,
    credentials: Credentials,
}

/// One attempt of a call.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    named: Option<&'a str>,
    account: &'a str,
    pass: &'a Pass,
    lane: &'a Lane,
    request: &'a CallRequest,
    invocation: &'a Invocation,
    trace_header: Option<&'a str>,
}

impl Sender {
    /// Handles a batch of messages.
    pub async fn handle(&self, runner: &BatchRunner, event: LambdaEvent<SqsEvent>) -> SqsBatchResponse {
        let invocation = Invocation::new(&event.context, self.clock.now());
        runner.run(event.payload, &invocation, |message| self.deliver(message, &invocation)).await
    }

    /// Handles one message: sends its record's target if it is due, nothing holds it back, and no other sender has
    /// claimed it.
    pub async fn deliver(&self, message: Message<DueCall>, invocation: &Invocation) -> Handled {
        let DueCall { key, account: named } = &message.key;
        let retry = || Handled::Failed(backoff::pause(message.receive_count, (self.random)()));
        let failed = |error: StoreError, what| {
            tracing::error!(record = %key, %error, "{what}");
            retry()
        };
        // Before the claim: a call that cannot be sent must not be claimed.
        let accounts = self.accounts.get().await.map_err(|error| error.to_string());
        let account = accounts.as_ref().map_err(Clone::clone).and_then(|all| self.account_of(all, named.as_deref()));
        let name = account.as_ref().map_or_else(|_| named.as_deref().unwrap_or(DEFAULT_ACCOUNT), |one| &one.name);
        let pass = match self.breakers.ask(name, &self.random).await {
            Ok(Pass::Held(breaker, pause)) => {
                let (cause, until) = (breaker.cause.as_ref(), breaker.until);
                tracing::info!(record = %key, account = name, cause, %until, "call held back");
                return Handled::Again(pause);
            }
            Ok(pass) => pass,
            Err(error) => return failed(error, "breaker not read"),
        };
        let accounts = match (&accounts, &account) {
            (Ok(accounts), Ok(_)) => accounts,
            (Err(problem), _) | (_, Err(problem)) => return self.without_credentials(key, name, problem).await,
        };
        // Unique to this claim: two messages of a batch may carry the same key.
        let owner = format!("{}/{}/{:016x}", invocation.request_id, message.id, (self.random)());
        let now = self.clock.now();
        let lease_until = now.plus(now.until(invocation.deadline) + SKEW);
        let claim = self.store.claim(key, self.kind, (&owner, lease_until), now).await;
        if let (Pass::Trial(token), Ok(Claim::Refused(_)) | Err(_)) = (&pass, &claim) {
            self.breakers.give_back(name, token).await;
        }
        match claim {
            Ok(Claim::Claimed(record)) => {
                self.send(&record, accounts, (name, &pass), invocation, message.trace_header.as_deref()).await
            }
            Ok(Claim::Refused(record)) => match self.not_claimed(record.as_deref(), message.receive_count).await {
                Ok(handled) => handled,
                Err(error) => failed(error, "abandoned call not handed over to dispatch"),
            },
            Err(error) => failed(error, "call not claimed"),
        }
    }

    /// The account that sends this function's calls if the facts name `named`.
    fn account_of(&self, accounts: &Accounts, named: Option<&str>) -> Result<Sending, String> {
        match accounts.of(named, self.kind) {
            Some((name, account)) => Ok(Sending { name: name.to_owned(), credentials: account.credentials.clone() }),
            None => Err(format!("the secret has no account {} for {}", named.unwrap_or(DEFAULT_ACCOUNT), self.kind)),
        }
    }

    /// Holds calls back for which there are no credentials.
    async fn without_credentials(&self, key: &RecordKey, account: &str, problem: &str) -> Handled {
        tracing::error!(record = %key, account, problem, configuration_fault = true, "call not sent: no credentials");
        self.breakers.trip(account, &Failure::of(problem), None).await;
        Handled::Again(breaker::pause(Cause::ConfigurationFault, breaker::TRIAL_EVERY, (self.random)()))
    }

    /// Decides how to handle a message whose record could not be claimed.
    async fn not_claimed(&self, record: Option<&OrderRecord>, received: u32) -> Result<Handled, StoreError> {
        let Some(record) = record else {
            tracing::info!("nothing to send: the record is gone");
            return Ok(Handled::Done);
        };
        let now = self.clock.now();
        let target = record.target.as_ref().filter(|target| target.call == self.kind && target.end.is_none());
        // If facts are undecided, dispatch enqueues the key again after deciding them.
        let (Some(target), true) = (target, record.facts.is_empty()) else {
            tracing::info!(record = %record.key, "nothing to send");
            return Ok(Handled::Done);
        };
        match &record.sending {
            // The other sender usually finishes in a moment. If it dies, its lease expires.
            Some(sending) if sending.until >= now => {
                let pause = backoff::pause(received, (self.random)());
                Ok(Handled::Again(pause.min(now.until(sending.until) + Duration::from_secs(1))))
            }
            Some(_) if target.resend == Resend::Never => {
                // Dispatch ends the call. Its messages carry the record key, too.
                tracing::error!(record = %record.key, "call abandoned: its sender did not finish, and it must not be retried");
                let queue = &self.notifications;
                Ok(match queue.send(&record.key, None).await {
                    Ok(()) => Handled::Done,
                    Err(error) => {
                        tracing::error!(record = %record.key, %error, "record not enqueued");
                        Handled::Failed(backoff::pause(received, (self.random)()))
                    }
                })
            }
            _ => Ok(target.due.map_or(Handled::Done, |due| Handled::Again(now.until(due)))),
        }
    }

    /// Sends a claimed call. `asked` is the account of the message, whose breaker gave `pass`.
    async fn send(
        &self,
        record: &OrderRecord,
        accounts: &Accounts,
        (asked, pass): (&str, &Pass),
        invocation: &Invocation,
        trace_header: Option<&str>,
    ) -> Handled {
        let Some(target) = &record.target else { return Handled::Done };
        let lane = target.lane();
        let named = target.account.as_deref();
        let (request, account) = (self.request(record).await, self.account_of(accounts, named));
        // The facts may name another account than when the message was sent.
        let pass = match (&request, &account, pass) {
            (Ok(_), Ok(account), pass) if account.name == asked => pass,
            (.., Pass::Trial(token)) => {
                self.breakers.give_back(asked, token).await;
                &Pass::Free
            }
            _ => &Pass::Free,
        };
        let (outcome, account) = match (request, account) {
            (Ok(request), Ok(account)) => {
                let Sending { name, credentials } = &account;
                let attempt =
                    Attempt { named, account: name, pass, lane: &lane, request: &request, invocation, trace_header };
                (self.attempt(attempt, credentials).await, Some(account))
            }
            (Err((class, problem)), _) => (Outcome::Failed(class, Failure::of(problem)), None),
            (_, Err(problem)) => (Outcome::Failed(ErrorClass::ConfigurationFault, Failure::of(problem)), None),
        };
        let is_configuration_fault = matches!(outcome, Outcome::Failed(ErrorClass::ConfigurationFault, _));
        let account = account.as_ref().map(|account| account.name.as_str());
        let held = match account {
            Some(account) => self.tell_breaker(account, &outcome, record, pass).await,
            None => None,
        };
        let attempted = self.attempted(outcome, record, held);
        self.log(&lane, account, record, &attempted, is_configuration_fault);
        match self.finish(record, &attempted, trace_header).await {
            Err(error) => {
                tracing::error!(call = %lane, %error, "outcome not recorded: the resend policy decides after the lease expires");
                let left = record.sending.as_ref().map_or(SKEW, |sending| self.clock.now().until(sending.until));
                Handled::Failed(left + Duration::from_secs(1))
            }
            Ok(false) => {
                tracing::error!(call = %lane, "outcome not recorded: another sender has taken over the claim");
                Handled::Done
            }
            Ok(true) => match &attempted {
                Attempted::NotExecuted(due, _) | Attempted::Resend(due, _) => {
                    let pause = self.clock.now().until(*due);
                    // A call that is held back has not failed.
                    if held.is_some() { Handled::Again(pause) } else { Handled::Failed(pause) }
                }
                _ => Handled::Done,
            },
        }
    }

    /// Trips or resets the breaker according to TOP's answer. Returns why and how long the calls are held back, if
    /// they are.
    async fn tell_breaker(
        &self,
        account: &str,
        outcome: &Outcome,
        record: &OrderRecord,
        pass: &Pass,
    ) -> Option<(Cause, Duration)> {
        let now = self.clock.now();
        match outcome {
            Outcome::Failed(ErrorClass::NotExecuted { ban: Some(ban) }, failure) => {
                let ends = match ban {
                    Ban::For(duration) => now.plus(*duration),
                    Ban::UntilMidnight => now.next_china_midnight(),
                };
                self.breakers.trip(account, failure, Some(ends)).await;
                Some((Cause::Limit, now.until(ends)))
            }
            Outcome::Failed(ErrorClass::ConfigurationFault, failure) => {
                let before = record.target.as_ref().and_then(|target| target.failure.as_ref());
                let is_repeated =
                    before.is_some_and(|before| (before.code, &before.sub_code) == (failure.code, &failure.sub_code));
                // The breaker was reset since this call failed in the same way, so other calls succeed: its own order
                // is at fault, and must not hold back the others again.
                if *pass == Pass::Free && is_repeated {
                    return None;
                }
                self.breakers.trip(account, failure, None).await;
                Some((Cause::ConfigurationFault, breaker::TRIAL_EVERY))
            }
            Outcome::Succeeded(_) | Outcome::Failed(ErrorClass::Rejected, _) => {
                if let Pass::Trial(token) = pass {
                    self.breakers.reset(account, token).await;
                }
                None
            }
            Outcome::Failed(..) => None,
        }
    }

    /// The request to send. If there is none, the call is retried later: DynamoDB may answer then, and another version
    /// of this function may be able to read the request.
    async fn request(&self, record: &OrderRecord) -> Result<CallRequest, (ErrorClass, String)> {
        let fault = |problem: String| (ErrorClass::ConfigurationFault, problem);
        let target = record.target.as_ref().ok_or_else(|| fault("the record has no target".to_owned()))?;
        let json = self.store.body(&record.key, &target.request).await;
        let json = json.map_err(|error| (ErrorClass::NotExecuted { ban: None }, error.to_string()))?;
        let json = json.ok_or_else(|| fault("the stored request is missing".to_owned()))?;
        CallRequest::from_stored(target.call, &json)
            .map_err(|problem| fault(format!("this version cannot read the stored request: {problem}")))
    }

    /// Records the outcome of an attempt, together with the next decision. Hands in only the outcome, and leaves the
    /// decision to dispatch, if facts arrived meanwhile or the decision needs more than the record. `false` if another
    /// sender has taken over the claim.
    async fn finish(
        &self,
        claimed: &OrderRecord,
        attempted: &Attempted,
        trace_header: Option<&str>,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let owner = claimed.sending.as_ref().map(|sending| sending.owner.clone()).unwrap_or_default();
        if let Ok(decided) = relay_decide::finish(claimed, attempted, now, &self.settings)
            && decided.wakes.is_empty()
            && self.store.replace(claimed, &decided.record, &owner).await?
        {
            // The next total may be the new target.
            if decided.record.generation != claimed.generation {
                self.wake(&decided.record.key, trace_header).await;
            }
            return Ok(true);
        }
        let handed_in = self.store.hand_in(&claimed.key, &owner, attempted, now).await?;
        if handed_in {
            self.wake(&claimed.key, trace_header).await;
        }
        Ok(handed_in)
    }

    /// Enqueues a record's key for dispatch. If that fails, the sweep enqueues it.
    async fn wake(&self, key: &RecordKey, trace_header: Option<&str>) {
        if let Err(error) = self.notifications.send(key, trace_header).await {
            tracing::warn!(record = %key, %error, "record not enqueued: the sweep will enqueue it");
        }
    }

    /// Sends the request; sends it once more if TOP refused the credentials and the secret has new ones.
    async fn attempt(&self, attempt: Attempt<'_>, credentials: &Credentials) -> Outcome {
        let used_since = self.clock.now();
        let outcome = self.exchange(attempt, credentials).await;
        if !matches!(outcome, Outcome::Failed(ErrorClass::ConfigurationFault, _)) {
            return outcome;
        }
        let fresh = self.accounts.refresh(used_since).await.map_err(|error| error.to_string());
        match fresh.and_then(|accounts| self.account_of(&accounts, attempt.named)) {
            Ok(fresh) if fresh.name == attempt.account && fresh.credentials != *credentials => {
                tracing::warn!(call = %attempt.lane.call, account = fresh.name, "credentials changed: call retried with the new ones");
                self.exchange(attempt, &fresh.credentials).await
            }
            Ok(_) => outcome,
            Err(problem) => {
                tracing::error!(problem, "credentials not read again");
                outcome
            }
        }
    }

    async fn exchange(&self, attempt: Attempt<'_>, credentials: &Credentials) -> Outcome {
        let Attempt { account, pass, lane, request, invocation, trace_header, .. } = attempt;
        let not_executed = ErrorClass::NotExecuted { ban: None };
        // Another sender may have met a ban while this call was claimed.
        match self.breakers.recheck(account, pass).await {
            Ok(None) => {}
            Ok(Some(breaker)) => {
                let problem = format!("not sent: calls are held back until {}", breaker.until);
                return Outcome::Failed(not_executed, Failure::of(problem));
            }
            Err(error) => return Outcome::Failed(not_executed, Failure::of(error.to_string())),
        }
        let now = self.clock.now();
        let timeout = now.until(invocation.deadline).saturating_sub(TIME_TO_FINISH).min(self.top_timeout);
        if timeout < LEAST_FOR_TOP {
            return Outcome::Failed(not_executed, Failure::of("not sent: too little time left in the invocation"));
        }
        let form = form::build(request, credentials, self.sign_method, now);
        let answer = self.top.send(form, timeout).await;
        let status = answer.as_ref().ok().map(|answer| answer.status);
        let told = xray::Sent {
            call: lane.call.as_ref(),
            key: &lane.id,
            from: now,
            to: self.clock.now(),
            status,
            id: (self.random)(),
        };
        self.traces.tell(trace_header, told);
        match answer {
            Ok(answer) => response::read(self.kind, answer.status, &answer.body, &self.error_classes),
            Err(error @ SendError::NotSent(_)) => Outcome::Failed(not_executed, Failure::of(error.to_string())),
            Err(error @ SendError::NoAnswer(_)) => {
                Outcome::Failed(ErrorClass::Ambiguous, Failure::of(error.to_string()))
            }
        }
    }

    /// Converts TOP's outcome into the attempt's outcome for the record, with the time of the next attempt. `held` is why
    /// and how long the breaker holds the calls back: the breaker knows until when, so the record only waits until it asks again.
    fn attempted(&self, outcome: Outcome, record: &OrderRecord, held: Option<(Cause, Duration)>) -> Attempted {
        let now = self.clock.now();
        let next_try = || now.plus(backoff::pause(record.attempt, (self.random)()));
        let (class, failure) = match outcome {
            Outcome::Succeeded(reply) => return Attempted::Succeeded(reply),
            Outcome::Failed(class, failure) => (class, failure),
        };
        let resend = record.target.as_ref().map(|target| target.resend);
        match (class, held) {
            (ErrorClass::Rejected, _) => Attempted::Refused(failure),
            (ErrorClass::NotExecuted { .. } | ErrorClass::ConfigurationFault, Some((cause, left))) => {
                Attempted::NotExecuted(now.plus(breaker::pause(cause, left, (self.random)())), failure)
            }
            (ErrorClass::NotExecuted { .. }, None) => Attempted::NotExecuted(next_try(), failure),
            (ErrorClass::ConfigurationFault, None) => {
                Attempted::NotExecuted(now.plus(backoff::at_least(backoff::SLOW_PACE, (self.random)())), failure)
            }
            (ErrorClass::Ambiguous, _) if resend == Some(Resend::Again) => Attempted::Resend(next_try(), failure),
            (ErrorClass::Ambiguous | ErrorClass::AmbiguousForGood, _) => Attempted::Unknown(failure),
        }
    }

    /// Logs one line per attempt. TOP's message may quote the request, so it is kept in the record only.
    fn log(
        &self,
        lane: &Lane,
        account: Option<&str>,
        record: &OrderRecord,
        attempted: &Attempted,
        is_configuration_fault: bool,
    ) {
        let attempt = record.attempt;
        let outcome = attempted.as_str();
        if let Attempted::Succeeded(reply) = attempted {
            tracing::info!(call = %lane, account, attempt, outcome, request_id = reply.request_id, "call sent");
            return;
        }
        let failure = attempted.failure();
        let code = failure.and_then(|failure| failure.code);
        let sub_code = failure.and_then(|failure| failure.sub_code.as_deref());
        let request_id = failure.and_then(|failure| failure.request_id.as_deref());
        tracing::warn!(call = %lane, account, attempt, outcome, code, sub_code, request_id, "call failed");
        if is_configuration_fault {
            // At error, which every `LogLevel` includes: an alarm counts these lines.
            let means = "configuration fault: correct the credentials, permissions, IP white-list or function version";
            tracing::error!(call = %lane, account, code, sub_code, configuration_fault = true, "{means}");
        }
    }
}
