//! What a sender does with the circuit breakers: asks before it claims and before it sends, and tells what TOP answered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use relay_runtime::queue::backoff;
use relay_store::breaker::Trial;
use relay_store::{Store, StoreError};
use relay_types::breaker::{ALL_ACCOUNTS, Breaker, Cause};
use relay_types::call::CallKind;
use relay_types::failure::Failure;
use relay_types::time::{EpochMillis, SharedClock, SharedRandom};

/// How long an instance relies on what it read. Within this time a ban that one instance was told of stops all others.
const FRESH_FOR: Duration = Duration::from_secs(5);
/// How often one call is tried while the deployment is at fault.
pub const TRIAL_EVERY: Duration = Duration::from_secs(45);
/// How long a trial may take besides TOP's time-out. If its sender died, another trial follows then.
const TRIAL_BESIDE_TOP: Duration = Duration::from_secs(10);
/// How long a request about a breaker may take. The outcome of the call is more important than what the others learn.
const TIME_TO_TELL: Duration = Duration::from_secs(3);
/// How long messages look often whether a trial has ended. A trial that takes longer waits for TOP's time-out.
const TRIAL_IS_YOUNG: Duration = Duration::from_secs(5);
/// The longest pause of a message whose call waits for the deployment to be repaired. Together with [`TRIAL_EVERY`] and
/// two such pauses, with their jitter, everything continues within two minutes of the repair.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// The jitter of that pause.
const JITTER: Duration = Duration::from_secs(10);
/// The pause of a message while another call is the trial, whose outcome is known in a moment.
const WHILE_TRIED: Duration = Duration::from_secs(2);
/// The pause of a message while its call is paused. With its jitter, everything continues within two minutes.
const WHILE_PAUSED: Duration = Duration::from_secs(80);
/// The jitter of the pause while another call is the trial.
const JITTER_WHILE_TRIED: Duration = Duration::from_secs(3);

/// Whether a call may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pass {
    /// The breaker has not tripped.
    Free,
    /// As the trial with this token.
    Trial(String),
    /// Not now. Ask again after [`Breakers::pause`].
    Held(Breaker),
}

/// What an attempt means for its breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// No call may be sent: trip it.
    Trip(Breaker),
    /// The trial with this token got through to TOP's service: reset it.
    Reset(String),
    /// The trial with this token sent nothing, so another call gets it.
    GiveBack(String),
}

/// What this instance knows of the breakers of its call.
#[derive(Debug)]
pub struct Breakers {
    call: CallKind,
    store: Store,
    clock: SharedClock,
    trial_takes: Duration,
    /// Held while the table is read and a trial is taken, so concurrent callers share one request.
    asking: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    read_at: Option<EpochMillis>,
    /// What the table had, with this instance's own changes since.
    table: HashMap<String, Breaker>,
    /// What this instance could not write to the table yet.
    own: HashMap<String, Breaker>,
}

impl Known {
    /// The breaker that holds back the calls of `account`: a pause, or else the one that lasts longer.
    fn breaker(&self, account: &str) -> Option<Breaker> {
        let pause = self.table.get(ALL_ACCOUNTS);
        let others = [self.table.get(account), self.own.get(account)].into_iter().flatten();
        pause.or_else(|| others.max_by_key(|breaker| breaker.until)).cloned()
    }
}

impl Breakers {
    /// The breakers of `call`, whose request may take `top_timeout`.
    #[must_use]
    pub fn new(call: CallKind, store: Store, clock: SharedClock, top_timeout: Duration) -> Self {
        let trial_takes = top_timeout + TRIAL_BESIDE_TOP;
        Self { call, store, clock, trial_takes, asking: tokio::sync::Mutex::default(), known: Mutex::default() }
    }

    /// Asks whether a call of `account` may be sent, and takes the breaker's trial if it is due. Reads the table at most
    /// once in [`FRESH_FOR`].
    ///
    /// `now` is for a call that an operator has tried now: the table is read again, and the call becomes the trial even if
    /// another call is one or the breaker still blocks. It does not pass a pause.
    ///
    /// # Errors
    /// If the breaker could not be read.
    pub async fn ask(&self, account: &str, now: bool, random: &SharedRandom) -> Result<Pass, StoreError> {
        let _asking = self.asking.lock().await;
        if now {
            self.with_known(|known| {
                known.read_at = None;
                known.own.remove(account);
            });
        }
        let Some(breaker) = self.current(account).await? else { return Ok(Pass::Free) };
        let is_asked_for = now && !breaker.is_pause();
        let now = self.clock.now();
        if breaker.blocks(now) && !is_asked_for {
            return Ok(Pass::Held(breaker));
        }
        let token = format!("{:016x}", random());
        Ok(match self.store.take_trial(&breaker, &token, now.plus(self.trial_takes)).await? {
            Trial::Granted(breaker) => {
                self.learn(account, Some(breaker));
                Pass::Trial(token)
            }
            Trial::Refused(Some(present)) => {
                self.learn(account, Some(present.clone()));
                Pass::Held(present)
            }
            Trial::Refused(None) => {
                self.learn(account, None);
                Pass::Free
            }
        })
    }

    /// Asks right before sending, since time has passed since `pass`. Returns the breaker that holds the call back.
    ///
    /// # Errors
    /// If the breaker could not be read.
    pub async fn recheck(&self, account: &str, pass: &Pass) -> Result<Option<Breaker>, StoreError> {
        let _asking = self.asking.lock().await;
        let breaker = self.current(account).await?;
        // Only a trial may be sent while the breaker is tripped.
        Ok(breaker.filter(|breaker| match pass {
            Pass::Trial(token) => breaker.trial.as_ref() != Some(token),
            _ => true,
        }))
    }

    async fn current(&self, account: &str) -> Result<Option<Breaker>, StoreError> {
        let now = self.clock.now();
        let is_fresh = |known: &Known| known.read_at.is_some_and(|read_at| read_at.until(now) < FRESH_FOR);
        if !self.with_known(|known| is_fresh(known)) {
            let read = self.store.breakers_of(self.call).await?;
            self.with_known(|known| {
                known.table = read.into_iter().map(|breaker| (breaker.account.clone(), breaker)).collect();
                known.read_at = Some(now);
            });
        }
        self.with_known(|known| {
            known.own.retain(|_, breaker| breaker.blocks(now));
            Ok(known.breaker(account))
        })
    }

    /// Remembers what the table has for an account.
    fn learn(&self, account: &str, breaker: Option<Breaker>) {
        self.with_known(|known| match breaker {
            Some(breaker) => drop(known.table.insert(account.to_owned(), breaker)),
            None => drop(known.table.remove(account)),
        });
    }

    /// Applies what an attempt of `account` means. If that takes longer than three seconds, only this instance may know.
    pub async fn tell(&self, account: &str, signal: Signal) {
        match signal {
            Signal::Trip(breaker) => self.trip(breaker).await,
            Signal::Reset(token) => self.reset(account, &token).await,
            Signal::GiveBack(token) => self.give_back(account, &token).await,
        }
    }

    /// The breaker that trips now because of `failure`: until `ends` for a limit, until the next trial for a fault of the
    /// deployment.
    #[must_use]
    pub fn tripped(
        &self,
        (account, is_default): (&str, bool),
        failure: &Failure,
        ends: Option<EpochMillis>,
    ) -> Breaker {
        let now = self.clock.now();
        let (cause, until) = match ends {
            Some(ends) => (Cause::Limit, ends),
            None => (Cause::ConfigurationFault, now.plus(TRIAL_EVERY)),
        };
        let present = self.with_known(|known| known.table.get(account).or(known.own.get(account)).cloned());
        let present = present.filter(|present| present.is_in_use(now));
        Breaker {
            account: account.to_owned(),
            call: self.call,
            cause,
            since: present.as_ref().map_or(now, |present| present.since),
            until: present.as_ref().map_or(until, |present| until.max(present.until)),
            trial: None,
            code: failure.code,
            sub_code: failure.sub_code.clone(),
            is_default,
            by: None,
            note: None,
            remind_at: None,
        }
    }

    async fn trip(&self, breaker: Breaker) {
        let (call, account, cause, until) = (self.call, &*breaker.account, breaker.cause.as_ref(), breaker.until);
        tracing::warn!(call = %call, account, cause, %until, "calls held back");
        self.with_known(|known| known.own.insert(account.to_owned(), breaker.clone()));
        match in_time(self.store.trip_breaker(&breaker)).await {
            Ok(is_longest) => self.with_known(|known| {
                if is_longest {
                    known.table.insert(account.to_owned(), breaker.clone());
                } else {
                    // The table has a longer one, or this one, if the answer to the first try was lost.
                    known.read_at = None;
                }
                if known.own.get(account) == Some(&breaker) {
                    known.own.remove(account);
                }
            }),
            Err(problem) => {
                tracing::error!(call = %call, account, problem, "other instances do not know that calls are held back");
            }
        }
    }

    async fn reset(&self, account: &str, token: &str) {
        match in_time(self.store.reset_breaker(account, self.call, token)).await {
            Ok(true) => {
                tracing::warn!(call = %self.call, account, "calls are no longer held back");
                self.learn(account, None);
            }
            // It has tripped again, or another trial has begun.
            Ok(false) => self.with_known(|known| known.read_at = None),
            Err(problem) => {
                tracing::error!(call = %self.call, account, problem, "breaker not reset: another trial follows");
            }
        }
    }

    async fn give_back(&self, account: &str, token: &str) {
        let now = self.clock.now();
        match in_time(self.store.allow_trial(account, self.call, Some(token), now)).await {
            Ok(true) => self.with_known(|known| {
                if let Some(breaker) = known.table.get_mut(account) {
                    (breaker.until, breaker.trial) = (now, None);
                }
            }),
            Ok(false) => {}
            Err(problem) => {
                tracing::warn!(call = %self.call, account, problem, "trial not given back: the next one follows later");
            }
        }
    }

    /// Forgets everything, so this instance knows as little as a new one.
    pub fn forget(&self) {
        self.with_known(|known| *known = Known::default());
    }

    /// The pause until a call that is held back asks again. A ban ends when TOP says so. A repair can come at any time, so a
    /// call that waits for it asks often.
    #[must_use]
    pub fn pause(&self, breaker: &Breaker, random: u64) -> Duration {
        let left = self.clock.now().until(breaker.until);
        let jitter =
            |most: Duration| Duration::from_millis(random % u64::try_from(most.as_millis()).unwrap_or(1).max(1));
        let trial_is_young = breaker.trial.is_some() && left + TRIAL_IS_YOUNG > self.trial_takes;
        match breaker.cause {
            _ if trial_is_young => left.min(WHILE_TRIED) + jitter(JITTER_WHILE_TRIED),
            Cause::Paused => WHILE_PAUSED + jitter(WHILE_PAUSED / 4),
            Cause::Limit => backoff::at_least(left.min(backoff::LONGEST), random),
            Cause::ConfigurationFault => left.min(LONGEST_PAUSE) + jitter(JITTER),
        }
    }

    fn with_known<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Gives up a request after three seconds.
pub(crate) async fn in_time<T, E: std::fmt::Display>(request: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    match tokio::time::timeout(TIME_TO_TELL, request).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no response in {} s", TIME_TO_TELL.as_secs())),
    }
}
