//! Each minute: finds what is unfinished for too long and enqueues its key again, so that a message that was lost,
//! dead-lettered or outlived is never the end of an order.
//!
//! It decides nothing itself. A key that is in its queue twice is handled twice and changes nothing the second
//! time, so two sweeps at once, or one that stops halfway, do no harm either.

use std::time::Duration;

use futures_util::future::{join, join_all};
use metrics::gauge;
use serde::Serialize;
use shared::call::CallKind;
use shared::clock::SharedClock;
use shared::delivery::CallMessage;
use shared::notification::NotificationKey;
use shared::queue::batch::Invocation;
use shared::queue::{Queue, SendError};
use shared::record::unfinished::{NextPage, Overdue, RecordKey, SHARDS};
use shared::record::{StoreError, Table};
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
    pub table: Table,
    /// Where the keys of notifications go.
    pub notifications: Queue,
    /// Where the keys of calls go.
    pub calls: Vec<(CallKind, Queue)>,
    /// Tells the time.
    pub clock: SharedClock,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// How many notifications were enqueued again.
    pub notifications: usize,
    /// How many calls were.
    pub calls: usize,
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
            whole.notifications += swept.notifications;
            whole.calls += swept.calls;
            whole.foreign += swept.foreign;
            whole.more |= swept.more;
            if let Some(error) = error {
                tracing::error!(shard, %error, "not all of it was swept; the next sweep goes on");
                failed = failed.or(Some(error));
            }
        }
        let Swept { notifications, calls, foreign, more } = whole;
        if whole != Swept::default() {
            tracing::warn!(notifications, calls, foreign, more, "enqueued again what was unfinished for too long");
        }
        failed.map_or(Ok(whole), Err)
    }

    /// Measures how much needs a person, and says whether that could be measured: if not, nothing must be written down,
    /// since a gauge tells what it was set to last. The alarm takes a missing measurement for a bad one.
    pub async fn measure(&self) -> bool {
        match self.table.count_needing_person().await {
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
            let (overdue, next) = match self.table.overdue(shard, page, self.clock.now()).await {
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

    /// Enqueues the keys, each queue on its own, and puts off the next look at what is in its queue: what is not is
    /// found again.
    async fn enqueue(&self, overdue: &[Overdue], swept: &mut Swept) -> Option<SweepError> {
        let notifications = async {
            let (overdue, keys): (Vec<_>, Vec<_>) = overdue
                .iter()
                .filter_map(|overdue| match &overdue.key {
                    Some(RecordKey::Notification(key)) => Some((overdue, key)),
                    _ => None,
                })
                .unzip();
            (overdue, self.notifications.send_all::<&NotificationKey>(&keys).await)
        };
        let calls = join_all(self.calls.iter().map(|(kind, queue)| async move {
            let (overdue, keys): (Vec<_>, Vec<_>) = overdue
                .iter()
                .filter_map(|overdue| match &overdue.key {
                    Some(RecordKey::Call(id)) if id.call == *kind => Some((overdue, CallMessage::from(id.clone()))),
                    _ => None,
                })
                .unzip();
            (overdue, queue.send_all(&keys).await)
        }));
        let (notifications, calls) = join(notifications, calls).await;
        if notifications.1.is_ok() {
            swept.notifications += notifications.0.len();
        }
        swept.calls += calls.iter().filter(|(_, sent)| sent.is_ok()).map(|(calls, _)| calls.len()).sum::<usize>();
        let foreign: Vec<_> = overdue.iter().filter(|overdue| overdue.key.is_none()).collect();
        for Overdue { position, .. } in &foreign {
            tracing::error!(pk = position.pk, sk = position.sk, "an item of the index is no record; mend or remove it");
        }
        swept.foreign += foreign.len();
        let now = self.clock.now();
        let mut failed = None;
        let mut done = foreign;
        for (overdue, sent) in calls.into_iter().chain([notifications]) {
            match sent {
                Ok(()) => done.extend(overdue),
                Err(error) => failed = failed.or(Some(error.into())),
            }
        }
        for written in join_all(done.into_iter().map(|overdue| self.table.look_again(overdue, now))).await {
            if let Err(error) = written {
                // It is enqueued once more in a minute, which does no harm.
                tracing::warn!(%error, "the next look at a record could not be put off");
            }
        }
        failed
    }
}
