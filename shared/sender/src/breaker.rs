//! What a sender does with the circuit breakers: asks before it claims and before it sends, and tells what TOP answered.

use std::collections::HashMap;
use std::time::Duration;

use relay_runtime::queue::backoff;
use relay_store::breaker::Trial;
use relay_store::{Store, StoreError};
use relay_types::breaker::{Breaker, Cause};
use relay_types::call::CallKind;
use relay_types::failure::Failure;
use relay_types::time::{EpochMillis, SharedClock, SharedRandom};
use tokio::sync::Mutex;

/// How long an instance relies on what it read. Within this time a ban that one instance was told of stops all others.
const FRESH_FOR: Duration = Duration::from_secs(5);
/// How often one call is tried while the deployment is at fault.
pub const TRIAL_EVERY: Duration = Duration::from_secs(45);
/// The longest pause of a message whose call waits for the deployment to be repaired. Together with [`TRIAL_EVERY`] and
/// two such pauses, with their jitter, everything continues within two minutes of the repair.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// The jitter of that pause.
const JITTER: Duration = Duration::from_secs(10);

/// Whether a call may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pass {
    /// The breaker has not tripped.
    Free,
    /// As the trial with this token.
    Trial(String),
    /// Not before this pause is over. Then ask again.
    Held(Breaker, Duration),
}

/// What this instance knows of the breakers of its call, by account.
#[derive(Debug)]
pub struct Breakers {
    call: CallKind,
    store: Store,
    clock: SharedClock,
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Debug)]
struct Known {
    read_at: EpochMillis,
    breaker: Option<Breaker>,
}

impl Breakers {
    /// The breakers of `call`.
    #[must_use]
    pub fn new(call: CallKind, store: Store, clock: SharedClock) -> Self {
        Self { call, store, clock, known: Mutex::default() }
    }

    /// Asks whether a call of `account` may be sent, and takes the breaker's trial if it is due. Reads the table at most
    /// once in [`FRESH_FOR`]; concurrent callers share the read.
    ///
    /// # Errors
    /// If the breaker could not be read.
    pub async fn ask(&self, account: &str, random: &SharedRandom) -> Result<Pass, StoreError> {
        let mut known = self.known.lock().await;
        let now = self.clock.now();
        let breaker = self.current(&mut known, account, now).await?;
        let Some(breaker) = breaker else { return Ok(Pass::Free) };
        if breaker.blocks(now) {
            return Ok(held(breaker, now, random()));
        }
        let token = format!("{:016x}", random());
        let granted = self.store.take_trial(&breaker, &token, now.plus(TRIAL_EVERY)).await?;
        let (pass, breaker) = match granted {
            Trial::Granted(breaker) => (Pass::Trial(token), Some(breaker)),
            Trial::Refused(Some(present)) => (held(present.clone(), now, random()), Some(present)),
            Trial::Refused(None) => (Pass::Free, None),
        };
        known.insert(account.to_owned(), Known { read_at: now, breaker });
        Ok(pass)
    }

    /// Asks right before sending, since time has passed since `pass`. Returns the breaker that holds the call back.
    ///
    /// # Errors
    /// If the breaker could not be read.
    pub async fn recheck(&self, account: &str, pass: &Pass) -> Result<Option<Breaker>, StoreError> {
        let mut known = self.known.lock().await;
        let now = self.clock.now();
        let breaker = self.current(&mut known, account, now).await?;
        // Only a trial may be sent while the breaker is tripped.
        Ok(breaker.filter(|breaker| match pass {
            Pass::Trial(token) => breaker.trial.as_ref() != Some(token),
            _ => true,
        }))
    }

    async fn current(
        &self,
        known: &mut HashMap<String, Known>,
        account: &str,
        now: EpochMillis,
    ) -> Result<Option<Breaker>, StoreError> {
        if let Some(known) = known.get(account)
            && known.read_at.until(now) < FRESH_FOR
        {
            return Ok(known.breaker.clone());
        }
        let breaker = self.store.breaker(account, self.call).await?;
        known.insert(account.to_owned(), Known { read_at: now, breaker: breaker.clone() });
        Ok(breaker)
    }

    /// Trips the breaker of `account`: until `ends` for a limit, until the next trial for a fault of the deployment. If
    /// the write fails, only this instance knows.
    pub async fn trip(&self, account: &str, failure: &Failure, ends: Option<EpochMillis>) {
        let now = self.clock.now();
        let (cause, until) = match ends {
            Some(ends) => (Cause::Limit, ends),
            None => (Cause::ConfigurationFault, now.plus(TRIAL_EVERY)),
        };
        let mut known = self.known.lock().await;
        let present = known.remove(account).and_then(|known| known.breaker);
        let since = present.as_ref().map_or(now, |breaker| breaker.since);
        let until = present.as_ref().map_or(until, |breaker| until.max(breaker.until));
        let (call, code, sub_code) = (self.call, failure.code, failure.sub_code.clone());
        let breaker = Breaker { account: account.to_owned(), call, cause, since, until, trial: None, code, sub_code };
        known.insert(account.to_owned(), Known { read_at: now, breaker: Some(breaker) });
        drop(known);
        tracing::warn!(call = %call, account, cause = cause.as_ref(), %until, "calls held back");
        if let Err(error) = self.store.trip_breaker(account, call, (cause, failure), until, now).await {
            tracing::error!(call = %call, account, %error, "other instances do not know that calls are held back");
        }
    }

    /// Forgets everything, so this instance knows as little as a new one.
    pub async fn forget(&self) {
        self.known.lock().await.clear();
    }

    /// Resets the breaker after a trial that TOP answered as it answers any call.
    pub async fn reset(&self, account: &str, token: &str) {
        tracing::warn!(call = %self.call, account, "calls are no longer held back");
        if let Err(error) = self.store.reset_breaker(account, self.call, token).await {
            tracing::error!(call = %self.call, account, %error, "breaker not reset: another trial follows");
        }
        self.known.lock().await.insert(account.to_owned(), Known { read_at: self.clock.now(), breaker: None });
    }

    /// Gives a trial back that sent nothing, so another call gets it.
    pub async fn give_back(&self, account: &str, token: &str) {
        let now = self.clock.now();
        match self.store.allow_trial(account, self.call, Some(token), now).await {
            Ok(true) => {
                let mut known = self.known.lock().await;
                if let Some(breaker) = known.get_mut(account).and_then(|known| known.breaker.as_mut()) {
                    (breaker.until, breaker.trial) = (now, None);
                }
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(call = %self.call, account, %error, "trial not given back: the next one follows later");
            }
        }
    }
}

fn held(breaker: Breaker, now: EpochMillis, random: u64) -> Pass {
    let pause = pause(breaker.cause, now.until(breaker.until), random);
    Pass::Held(breaker, pause)
}

/// The pause until a call that is held back for `left` asks again. A ban ends when TOP says so. A repair can come at any
/// time, so a call that waits for it asks often.
#[must_use]
pub fn pause(cause: Cause, left: Duration, random: u64) -> Duration {
    match cause {
        Cause::Limit => backoff::at_least(left.min(backoff::LONGEST), random),
        Cause::ConfigurationFault => {
            let jitter = u64::try_from(JITTER.as_millis()).unwrap_or_default();
            left.min(LONGEST_PAUSE) + Duration::from_millis(random % jitter)
        }
    }
}
