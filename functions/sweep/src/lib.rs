//! Every minute: re-enqueues the keys of overdue records, so a lost, expired or dead-lettered message is never the end
//! of an order.
//!
//! The sweep decides nothing. A key that is in the queue twice is handled twice, and the second time changes nothing.
//! Concurrent sweeps, or one that stops halfway, therefore do no harm.

pub mod config;

use std::time::Duration;

use futures_util::future::join_all;
use metrics::gauge;
use relay_runtime::queue::batch::Invocation;
use relay_runtime::queue::{Queue, SendError};
use relay_runtime::secret::CachedSecret;
use relay_store::index::{NextPage, Overdue, SHARDS};
use relay_store::{Store, StoreError};
use relay_top::credentials::Accounts;
use relay_types::time::{EpochMillis, SharedClock};
use serde::Serialize;
use thiserror::Error;

/// Another page is read only if this much time is left: the time-outs of reading it, sending its first keys, and
/// postponing their next look. If a page takes longer, the next sweep finds the rest of it.
const RESERVE: Duration = Duration::from_secs(18);

/// How many notifications and calls need attention.
const NEEDS_PERSON: &str = "NeedsPerson";
/// In how many days the first session of a TOP account expires.
const SESSION_DAYS_LEFT: &str = "SessionDaysLeft";
/// How many calls are paused for longer than was meant.
const PAUSES_OVERDUE: &str = "PausesOverdue";
/// What [`SESSION_DAYS_LEFT`] says if no account has a time, or a later one. TOP's sessions last three to six months.
const MOST_DAYS: f64 = 366.0;

/// The function's handler and its dependencies.
#[derive(Debug)]
pub struct Sweep {
    /// Holds the records and the index of unfinished ones.
    pub store: Store,
    /// The queue for the keys: dispatch decides whether a record has anything to send.
    pub notifications: Queue,
    /// The TOP accounts, whose sessions expire.
    pub accounts: CachedSecret<Accounts>,
    /// Gives the time.
    pub clock: SharedClock,
}

/// The result of a sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// How many records were re-enqueued.
    pub records: usize,
    /// How many index items are not records; their next look was postponed.
    pub foreign: usize,
    /// Whether time ran out before all overdue records were enqueued; the next sweep continues.
    pub more: bool,
}

/// Why a sweep did not finish a shard. The next sweep finds the same records.
#[derive(Debug, Error)]
pub enum SweepError {
    /// The table could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys could not be enqueued.
    #[error(transparent)]
    Queue(#[from] SendError),
}

impl Sweep {
    /// Sweeps all shards concurrently.
    ///
    /// # Errors
    /// The first error of a shard. The other shards are swept nevertheless.
    pub async fn handle(&self, invocation: &Invocation) -> Result<Swept, SweepError> {
        let shards = join_all((0..SHARDS).map(|shard| self.sweep_shard(shard, invocation))).await;
        let mut whole = Swept::default();
        let mut failed = None;
        for (shard, swept) in shards.into_iter().enumerate() {
            let (swept, error) = swept;
            whole.records += swept.records;
            whole.foreign += swept.foreign;
            whole.more |= swept.more;
            if let Some(error) = error {
                tracing::error!(shard, %error, "shard not fully swept: the next sweep continues");
                failed = failed.or(Some(error));
            }
        }
        let Swept { records, foreign, more } = whole;
        if whole != Swept::default() {
            tracing::warn!(records, foreign, more, "overdue records re-enqueued");
        }
        failed.map_or(Ok(whole), Err)
    }

    /// Measures how many notifications and calls need attention, how many pauses are overdue, and when a session expires.
    /// `false` if one of the former failed: then the metrics must not be flushed, because a gauge repeats its last value.
    /// The alarm treats a missing measurement as a bad one.
    pub async fn measure(&self) -> bool {
        let now = self.clock.now();
        match tokio::try_join!(self.store.count_needing_person(), self.store.breakers(now)) {
            Ok((count, breakers)) => {
                gauge!(NEEDS_PERSON).set(count as f64);
                let overdue = breakers.iter().filter(|breaker| breaker.remind_at.is_some_and(|at| at <= now)).count();
                gauge!(PAUSES_OVERDUE).set(overdue as f64);
            }
            Err(error) => {
                tracing::error!(%error, "attention list and pauses not counted");
                return false;
            }
        }
        match self.accounts.get().await {
            Ok(accounts) => gauge!(SESSION_DAYS_LEFT).set(days_left(&accounts, now)),
            // The secret was never read, so there is no earlier value, or it is not usable: then the functions that send
            // calls raise an alarm, and the gauge repeats its last value.
            Err(error) => tracing::warn!(%error, "sessions not measured"),
        }
        true
    }

    async fn sweep_shard(&self, shard: u8, invocation: &Invocation) -> (Swept, Option<SweepError>) {
        let mut swept = Swept::default();
        let mut failed = None;
        let mut page = NextPage::default();
        loop {
            let (overdue, next) = match self.store.overdue(shard, page, self.clock.now()).await {
                Ok(found) => found,
                Err(error) => return (swept, failed.or(Some(error.into()))),
            };
            failed = failed.or(self.enqueue(&overdue, &mut swept).await);
            match next {
                None => return (swept, failed),
                Some(_) if self.clock.now().until(invocation.deadline) < RESERVE => {
                    return (Swept { more: true, ..swept }, failed);
                }
                Some(next) => page = next,
            }
        }
    }

    /// Enqueues the keys and postpones the next look at each record. The next sweep finds keys that could not be
    /// enqueued.
    async fn enqueue(&self, overdue: &[Overdue], swept: &mut Swept) -> Option<SweepError> {
        let (known, foreign): (Vec<_>, Vec<_>) = overdue.iter().partition(|overdue| overdue.key.is_some());
        let keys: Vec<_> = known.iter().filter_map(|overdue| overdue.key.as_ref()).collect();
        let sent = self.notifications.send_all(&keys).await;
        for Overdue { position, .. } in &foreign {
            tracing::error!(pk = position.pk, sk = position.sk, "index item is not a record; correct or remove it");
        }
        swept.foreign += foreign.len();
        let mut done = foreign;
        let failed = match sent {
            Ok(()) => {
                swept.records += known.len();
                done.extend(known);
                None
            }
            Err(error) => Some(error.into()),
        };
        let now = self.clock.now();
        for written in join_all(done.into_iter().map(|overdue| self.store.look_again(overdue, now))).await {
            if let Err(error) = written {
                // The next sweep enqueues the key again, which does no harm.
                tracing::warn!(%error, "next look not postponed");
            }
        }
        failed
    }
}

/// Days until the first session expires.
fn days_left(accounts: &Accounts, now: EpochMillis) -> f64 {
    let ends = accounts.iter().filter_map(|(_, account)| account.session_expires_at).min();
    ends.map_or(MOST_DAYS, |ends| now.until(ends).as_secs_f64() / 86_400.0).min(MOST_DAYS)
}
