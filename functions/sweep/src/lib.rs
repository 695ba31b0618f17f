//! Each minute: finds what is unfinished for too long and enqueues its key again, so that a message that was lost,
//! dead-lettered or outlived is never the end of an order.
//!
//! It decides nothing itself. A key that is in its queue twice is handled twice and changes nothing the second
//! time, so two sweeps at once, or one that stops halfway, do no harm either.

pub mod config;

use std::time::Duration;

use futures_util::future::join_all;
use metrics::gauge;
use relay_runtime::queue::batch::Invocation;
use relay_runtime::queue::{Queue, SendError};
use relay_store::index::{NextPage, Overdue, SHARDS};
use relay_store::{Store, StoreError};
use relay_types::time::SharedClock;
use serde::Serialize;
use thiserror::Error;

/// No further page is begun with less than this left of the invocation: the time-outs of reading a page, of sending
/// its first keys, and of putting them off. If a page takes longer, what is left of it is found by the next sweep.
const RESERVE: Duration = Duration::from_secs(18);

/// How many notifications and calls need a person.
const NEEDS_PERSON: &str = "NeedsPerson";

/// What the function is made of.
#[derive(Debug)]
pub struct Sweep {
    /// Where what is unfinished is found.
    pub store: Store,
    /// Where the keys of records go: dispatch decides whether anything is to be sent.
    pub notifications: Queue,
    /// Tells the time.
    pub clock: SharedClock,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// How many records were enqueued again.
    pub records: usize,
    /// How many items of the index name no record; they were put off.
    pub foreign: usize,
    /// Whether the time was up before everything overdue was enqueued; the next sweep goes on.
    pub more: bool,
}

/// Why a sweep did not get through a shard. The next one finds the same again.
#[derive(Debug, Error)]
pub enum SweepError {
    /// The table could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A queue did not take the keys.
    #[error(transparent)]
    Queue(#[from] SendError),
}

impl Sweep {
    /// Sweeps every shard, all at once.
    ///
    /// # Errors
    /// The first of those that a shard met; the others were swept nevertheless.
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
                tracing::error!(shard, %error, "not all of it was swept; the next sweep goes on");
                failed = failed.or(Some(error));
            }
        }
        let Swept { records, foreign, more } = whole;
        if whole != Swept::default() {
            tracing::warn!(records, foreign, more, "overdue records enqueued again");
        }
        failed.map_or(Ok(whole), Err)
    }

    /// Measures how much needs a person, and says whether that could be measured: if not, nothing must be written down,
    /// since a gauge tells what it was set to last. The alarm takes a missing measurement for a bad one.
    pub async fn measure(&self) -> bool {
        match self.store.count_needing_person().await {
            Ok(count) => gauge!(NEEDS_PERSON).set(count as f64),
            Err(error) => {
                tracing::error!(%error, "how much needs a person could not be measured");
                return false;
            }
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

    /// Enqueues the keys, and puts off the next look at each. What could not be enqueued is found again.
    async fn enqueue(&self, overdue: &[Overdue], swept: &mut Swept) -> Option<SweepError> {
        let (known, foreign): (Vec<_>, Vec<_>) = overdue.iter().partition(|overdue| overdue.key.is_some());
        let keys: Vec<_> = known.iter().filter_map(|overdue| overdue.key.as_ref()).collect();
        let sent = self.notifications.send_all(&keys).await;
        for Overdue { position, .. } in &foreign {
            tracing::error!(
                pk = position.pk,
                sk = position.sk,
                "an item of the index is no record; correct or remove it"
            );
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
                // It is enqueued once more in a minute, which does no harm.
                tracing::warn!(%error, "next look not put off");
            }
        }
        failed
    }
}
