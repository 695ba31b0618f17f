//! Sends a call: claims the record's target, sends it to TOP, records the outcome. This takes two requests to DynamoDB
//! and one to TOP, and a read of the call's breaker at most every five seconds.
//!
//! If the sender stops in between, the record stays claimed. After the lease expires, the call's resend policy decides.

mod attempt;
pub mod breaker;
pub mod config;
mod outcome;

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::{LambdaEvent, service_fn};
use relay_decide::Settings;
use relay_runtime::environment::environment;
use relay_runtime::queue::batch::{BatchRunner, Handled, Invocation, Message};
use relay_runtime::queue::{Queue, backoff};
use relay_runtime::secret::{CachedSecret, SecretError};
use relay_runtime::xray;
use relay_store::order::Claim;
use relay_store::{Store, StoreError};
use relay_top::client::TopClient;
use relay_top::credentials::{Accounts, Credentials};
use relay_top::error::ErrorClasses;
use relay_top::sign::SignMethod;
use relay_types::account::DEFAULT_ACCOUNT;
use relay_types::breaker::{Breaker, Cause};
use relay_types::call::{CallKind, Resend};
use relay_types::failure::Failure;
use relay_types::record::{DueCall, OrderRecord, RecordKey, Target};
use relay_types::time::{EpochMillis, SharedClock, SharedRandom, SystemClock, system_random};

use crate::attempt::LEAST_TO_CLAIM;
use crate::breaker::{Breakers, Pass, Signal, in_time};
use crate::config::CallConfig;

/// Clock skew that a lease allows for, added to the end of its owner's invocation.
const SKEW: Duration = Duration::from_secs(60);
/// How long after an operator's request a call is tried although its breaker blocks.
const ASKED_FOR: Duration = Duration::from_secs(60);
/// At how many receives it is tried so: more than one, in case the first has too little time left.
const MOST_NOW: u32 = 2;
/// The pause of a message while the secret cannot be read.
const TRY_AGAIN: Duration = Duration::from_secs(20);

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
    /// When it was logged last that the secret cannot be used.
    pub reported: Mutex<Option<EpochMillis>>,
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
    let settings = Settings { retention: config.table.retention, ..Settings::default() };
    let store = Store::open(&aws, config.table);
    let breakers = Breakers::new(kind, store.clone(), clock.clone(), config.top_timeout);
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
        reported: Mutex::default(),
    };
    let runner = BatchRunner::new(Queue::open(&aws, config.queue_url), clock, random);
    // No connection to SQS in advance: the queue is used only after a failure.
    tokio::join!(aws.connect_to_dynamodb(), connections.prepare(&config.top_gateway_url));
    let handler = service_fn(async |event| Ok::<_, Infallible>(sender.handle(&runner, event).await));
    lambda_runtime::run(handler).await
}

/// A call that may be claimed: the accounts, the one that sends it, and its breaker's permission.
struct Ready {
    accounts: Accounts,
    account: Sending,
    pass: Pass,
}

/// The account that sends a call.
struct Sending {
    name: String,
    /// Whether it also sends the calls that name no account.
    is_default: bool,
    credentials: Credentials,
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
        let key = &message.key.key;
        let failed = |problem: String| {
            tracing::error!(record = %key, problem, "call not claimed");
            Handled::Failed(backoff::pause(message.receive_count, (self.random)()))
        };
        // Before the claim: a call that cannot be sent must not be claimed.
        let Ready { accounts, account, pass } = match self.ready(&message).await {
            Ok(Ok(ready)) => ready,
            Ok(Err(handled)) => return handled,
            Err(problem) => return failed(problem),
        };
        let name = &account.name;
        if self.clock.now().until(invocation.deadline) < LEAST_TO_CLAIM {
            self.give_back(name, &pass).await;
            return Handled::Again(Duration::from_secs(1));
        }
        // Unique to this claim: two messages of a batch may carry the same key.
        let owner = format!("{}/{}/{:016x}", invocation.request_id, message.id, (self.random)());
        let now = self.clock.now();
        let lease_until = now.plus(now.until(invocation.deadline) + SKEW);
        let claim = self.store.claim(key, self.kind, (&owner, lease_until), now).await;
        if !matches!(claim, Ok(Claim::Claimed(_))) {
            self.give_back(name, &pass).await;
        }
        match claim {
            Ok(Claim::Claimed(record)) => {
                self.send(&record, &accounts, (name, pass), invocation, message.trace_header.as_deref()).await
            }
            Ok(Claim::Refused(record)) => match self.not_claimed(record.as_deref(), message.receive_count).await {
                Ok(handled) => handled,
                Err(error) => failed(error.to_string()),
            },
            Err(error) => failed(error.to_string()),
        }
    }

    /// Finds the account that sends a message's call, and asks its breaker. Otherwise says how the message is handled.
    async fn ready(&self, message: &Message<DueCall>) -> Result<Result<Ready, Handled>, String> {
        let DueCall { key, account: named, retried_at } = &message.key;
        // A moment after the request: later the breaker counts again.
        let is_now = |at: &EpochMillis| at.until(self.clock.now()) < ASKED_FOR && message.receive_count <= MOST_NOW;
        let retry_now = retried_at.as_ref().is_some_and(is_now);
        let mut named = named.clone();
        let (mut used_since, mut has_read_record) = (None, false);
        // A second time with the secret as it is now: an account may have been added, or calls moved to another one.
        loop {
            let accounts = match used_since {
                None => self.accounts.get().await,
                Some(used_since) => self.accounts.refresh(used_since).await,
            };
            let accounts = match accounts {
                Ok(accounts) => accounts,
                Err(problem) => return Ok(Err(self.without_secret(key, &problem))),
            };
            let account = self.account_of(&accounts, named.as_deref());
            let name = match &account {
                Some(account) => account.name.clone(),
                None => named.clone().unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned()),
            };
            let is_last = used_since.is_some();
            let pass = in_time(self.breakers.ask(&name, retry_now, &self.random)).await?;
            match (pass, account) {
                (Pass::Held(breaker), _) if is_last || breaker.cause != Cause::ConfigurationFault => {
                    return Ok(Err(self.held_back(key, &breaker)));
                }
                // Many messages wait for the repair, so one of them reads the secret in this time.
                (Pass::Held(_), _) => used_since = Some(self.clock.now().minus(breaker::TRIAL_EVERY)),
                (pass, Some(account)) => return Ok(Ok(Ready { accounts, account, pass })),
                (_, None) if has_read_record => {
                    return Ok(Err(self.without_account(key, named.as_deref(), &name).await));
                }
                (pass, None) => {
                    self.give_back(&name, &pass).await;
                    used_since = Some(self.clock.now());
                    // The facts may name another account by now.
                    let record = self.store.record(key).await.map_err(|error| error.to_string())?;
                    let Some(target) = record.as_ref().and_then(|record| self.target_of(record)) else {
                        tracing::info!(record = %key, "nothing to send");
                        return Ok(Err(Handled::Done));
                    };
                    named.clone_from(&target.account);
                    has_read_record = true;
                }
            }
        }
    }

    /// Logs that the secret cannot be used, at most every 45 s: many messages wait for it.
    fn without_secret(&self, key: &RecordKey, problem: &SecretError) -> Handled {
        let now = self.clock.now();
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.is_none_or(|at| at.until(now) >= breaker::TRIAL_EVERY) {
            *reported = Some(now);
            tracing::error!(record = %key, %problem, configuration_fault = true, "calls not sent: no credentials");
        }
        Handled::Again(backoff::at_least(TRY_AGAIN, (self.random)()))
    }

    /// Holds the calls back for which the secret lacks the account. Tripping the breaker also ends its trial.
    async fn without_account(&self, key: &RecordKey, named: Option<&str>, name: &str) -> Handled {
        let problem = lacks(named, self.kind);
        tracing::error!(record = %key, account = name, problem, configuration_fault = true, "call not sent: no credentials");
        let breaker = self.breakers.tripped((name, named.is_none()), &Failure::of(problem), None);
        self.breakers.tell(name, Signal::Trip(breaker.clone())).await;
        Handled::Again(self.breakers.pause(&breaker, (self.random)()))
    }

    /// The account that sends this function's calls if the facts name `named`; `None` if the secret lacks it.
    fn account_of(&self, accounts: &Accounts, named: Option<&str>) -> Option<Sending> {
        let (name, account) = accounts.of(named, self.kind)?;
        let is_default = accounts.of(None, self.kind).is_some_and(|(default, _)| default == name);
        Some(Sending { name: name.to_owned(), is_default, credentials: account.credentials.clone() })
    }

    /// This function's target of a record, if it is unfinished.
    fn target_of<'a>(&self, record: &'a OrderRecord) -> Option<&'a Target> {
        record.target.as_ref().filter(|target| target.call == self.kind && target.end.is_none())
    }

    fn held_back(&self, key: &RecordKey, breaker: &Breaker) -> Handled {
        let Breaker { account, cause, until, .. } = breaker;
        tracing::info!(record = %key, account, cause = cause.as_ref(), %until, "call held back");
        Handled::Again(self.breakers.pause(breaker, (self.random)()))
    }

    /// Gives the trial back, if `pass` is one.
    async fn give_back(&self, account: &str, pass: &Pass) {
        if let Pass::Trial(token) = pass {
            self.breakers.tell(account, Signal::GiveBack(token.clone())).await;
        }
    }

    /// Decides how to handle a message whose record could not be claimed.
    async fn not_claimed(&self, record: Option<&OrderRecord>, received: u32) -> Result<Handled, StoreError> {
        let Some(record) = record else {
            tracing::info!("nothing to send: the record is gone");
            return Ok(Handled::Done);
        };
        let now = self.clock.now();
        // If facts are undecided, dispatch enqueues the key again after deciding them.
        let (Some(target), true) = (self.target_of(record), record.facts.is_empty()) else {
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
}

/// Says that the secret lacks the account.
fn lacks(named: Option<&str>, call: CallKind) -> String {
    format!("the secret has no account {} for {call}", named.unwrap_or(DEFAULT_ACCOUNT))
}
