//! The sparse index of what is unfinished, and who must look at it when: the sweep, or a person.
//!
//! An item is in the index while it has both of its attributes: `unfinished`, which says who must look, and
//! `look_at`, when. Each write that leaves a record unfinished sets them, the write that finishes it removes
//! them, so that the index needs no upkeep of its own and holds what a scan of the whole table would find.
//!
//! `unfinished` carries a shard, since all writes of one index partition share its thousand writes a second, and an
//! index that falls behind throttles its table
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-sharding.html>).

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use crate::call::{CallId, CallKey, CallKind};
use crate::clock::EpochMillis;
use crate::digest::sha256_prefix;
use crate::notification::{NotificationKey, NotificationKind, NotificationState};
use crate::order::{OrderId, OrderKey, Partner};
use crate::record::calls::CallState;
use crate::record::{Item, StoreError, Table, n, read, s, written};
use crate::top::error::Failure;

/// The index's name, as the template has it.
pub const INDEX: &str = "unfinished";

/// Into how many partitions each half of the index is spread.
pub const SHARDS: u8 = 4;

/// How long after something should have happened the sweep looks. Longer than a queue's visibility time-out, so
/// that what a crashed function left behind has come back by itself before.
pub const GRACE: Duration = Duration::from_secs(5 * 60);

/// The shortest and the longest time between two looks of the sweep at one record.
const PACE: (Duration, Duration) = (Duration::from_secs(15 * 60), Duration::from_secs(6 * 3600));

/// When the sweep looks again at a record that nothing has happened to for `idle`: the longer nothing did, the
/// later, so that what waits for days is not decided every few minutes.
#[must_use]
pub fn next_look(idle: Duration, now: EpochMillis) -> EpochMillis {
    now.plus(idle.clamp(PACE.0, PACE.1))
}

/// Who must look at an unfinished record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looker {
    /// The sweep: what should have gone on by itself.
    Sweep,
    /// A person: what cannot.
    Person,
}

impl Looker {
    fn partition(self, shard: u8) -> String {
        let looker = match self {
            Self::Sweep => "sweep",
            Self::Person => "person",
        };
        format!("{looker}#{shard}")
    }

    /// The index partition of the item with that partition key of the table.
    pub(super) fn partition_of(self, pk: &str) -> AttributeValue {
        s(self.partition(sha256_prefix(pk.as_bytes()) % SHARDS))
    }
}

/// Which record: what its queue carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordKey {
    /// A notification.
    Notification(NotificationKey),
    /// A call.
    Call(CallId),
}

impl RecordKey {
    /// The key of the record with those keys of the table; nothing if the item is not one of these.
    #[must_use]
    pub fn parse(pk: &str, sk: &str) -> Option<Self> {
        if let Some(call) = pk.strip_prefix("call#") {
            let (call, key) = call.split_once('#')?;
            let key = CallKey::try_from(key.to_owned()).ok()?;
            return Some(Self::Call(CallId { call: CallKind::named(call)?, key }));
        }
        // An order's id may hold a "#"; neither the partner's name before it nor a kind does.
        let (partner, order_id) = pk.strip_prefix("order#")?.split_once('#')?;
        let (kind, digest) = sk.strip_prefix("notification#")?.split_once('#')?;
        let order_id = OrderId::try_from(order_id.to_owned()).ok()?;
        Some(Self::Notification(NotificationKey {
            order: OrderKey { partner: Partner::named(partner)?, order_id },
            kind: NotificationKind::named(kind)?,
            digest: digest.to_owned(),
        }))
    }
}

/// Where an item stands in the index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// When somebody must look at it.
    pub look_at: EpochMillis,
    /// Its partition key in the table.
    pub pk: String,
    /// Its sort key in the table.
    pub sk: String,
}

/// A record that the sweep must look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// Which record; `None` if an item that is no record of ours got into the index.
    pub key: Option<RecordKey>,
    /// Where it stands.
    pub position: Position,
    /// When anything last happened to it.
    touched_at: EpochMillis,
    partition: String,
}

/// What a person must look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeedsPerson {
    /// Which record.
    pub key: RecordKey,
    /// When it came: a notification's first delivery, or when the call was asked for.
    pub since: EpochMillis,
    /// Why a person must look.
    pub reason: String,
}

/// How far a reading of what needs a person has come, in each shard.
pub type Cursor = BTreeMap<u8, Position>;

/// What the index holds of an item: what [`PROJECTED`] names.
#[derive(Deserialize)]
struct Entry {
    pk: String,
    sk: String,
    unfinished: String,
    look_at: EpochMillis,
    #[serde(default)]
    received_at: Option<EpochMillis>,
    #[serde(default)]
    decided_at: Option<EpochMillis>,
    #[serde(default)]
    updated_at: Option<EpochMillis>,
    #[serde(default)]
    replayed_at: Option<EpochMillis>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    last_error: Option<Failure>,
}

/// The attributes that the index carries besides the keys, as the template has them.
pub const PROJECTED: [&str; 6] = ["received_at", "decided_at", "updated_at", "replayed_at", "reason", "last_error"];

impl Entry {
    fn overdue(self) -> Overdue {
        let times = [self.received_at, self.decided_at, self.updated_at, self.replayed_at];
        Overdue {
            key: RecordKey::parse(&self.pk, &self.sk),
            touched_at: times.into_iter().flatten().max().unwrap_or(self.look_at),
            position: Position { look_at: self.look_at, pk: self.pk, sk: self.sk },
            partition: self.unfinished,
        }
    }

    fn needs_person(self) -> Option<NeedsPerson> {
        let key = RecordKey::parse(&self.pk, &self.sk)?;
        let reason = self.reason.or_else(|| self.last_error.map(|failure| failure.message)).unwrap_or_default();
        Some(NeedsPerson { key, since: self.look_at, reason })
    }

    fn position(&self) -> Position {
        Position { look_at: self.look_at, pk: self.pk.clone(), sk: self.sk.clone() }
    }
}

/// Where to go on reading a shard of what is overdue.
#[derive(Debug, Clone, Default)]
pub struct NextPage(Option<Item>);

impl Table {
    /// Reads a page of what the sweep must look at by now in one shard, longest overdue first, and says where the
    /// next page begins, if there is one.
    ///
    /// # Errors
    /// If DynamoDB did not answer.
    pub async fn overdue(
        &self,
        shard: u8,
        page: NextPage,
        now: EpochMillis,
    ) -> Result<(Vec<Overdue>, Option<NextPage>), StoreError> {
        let output = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(INDEX)
            .key_condition_expression("unfinished = :partition AND look_at <= :now")
            .expression_attribute_values(":partition", s(Looker::Sweep.partition(shard)))
            .expression_attribute_values(":now", n(now.0))
            .limit(100)
            .set_exclusive_start_key(page.0)
            .send()
            .await
            .map_err(StoreError::of("Query of what is overdue"))?;
        let (entries, next) = entries(output);
        Ok((entries.into_iter().map(Entry::overdue).collect(), next.map(|next| NextPage(Some(next)))))
    }

    /// Says when the sweep looks next at a record whose key it has enqueued. Changes nothing if anything happened to
    /// the record meanwhile. Says whether it was written.
    ///
    /// # Errors
    /// If DynamoDB did not do it or its answer was lost: then the record is looked at again sooner.
    pub async fn look_again(&self, overdue: &Overdue, now: EpochMillis) -> Result<bool, StoreError> {
        let idle = overdue.touched_at.until(now);
        let result = self
            .update(&overdue.position.pk, &overdue.position.sk)
            .update_expression("SET look_at = :next")
            .condition_expression("unfinished = :partition AND look_at = :seen")
            .expression_attribute_values(":next", n(next_look(idle, now).0))
            .expression_attribute_values(":partition", s(&overdue.partition))
            .expression_attribute_values(":seen", n(overdue.position.look_at.0))
            .send()
            .await;
        written(result, "UpdateItem of an overdue record")
    }

    /// Reads what needs a person, oldest first, from `after` on: at most `limit` of it, and where to go on if there
    /// is more.
    ///
    /// # Errors
    /// If DynamoDB did not answer.
    pub async fn attention(&self, limit: u8, after: &Cursor) -> Result<(Vec<NeedsPerson>, Option<Cursor>), StoreError> {
        let shards = try_join_all((0..SHARDS).map(|shard| self.attention_of(shard, limit, after.get(&shard)))).await?;
        let mut more = shards.iter().any(|(_, more)| *more);
        let mut entries: Vec<(u8, Entry)> = (0..SHARDS)
            .zip(shards)
            .flat_map(|(shard, (entries, _))| entries.into_iter().map(move |entry| (shard, entry)))
            .collect();
        // Stable: among equal times each shard's own order stays, which is the one in which DynamoDB goes on.
        entries.sort_by_key(|(_, entry)| entry.look_at);
        more |= entries.len() > usize::from(limit);
        entries.truncate(usize::from(limit));
        let mut cursor = after.clone();
        cursor.extend(entries.iter().map(|(shard, entry)| (*shard, entry.position())));
        let shown = entries.into_iter().filter_map(|(_, entry)| entry.needs_person()).collect();
        Ok((shown, more.then_some(cursor)))
    }

    /// Counts what needs a person: all of it, as long as a page of the index holds it (some thousands in each shard).
    ///
    /// # Errors
    /// If DynamoDB did not answer.
    pub async fn count_needing_person(&self) -> Result<u64, StoreError> {
        let counts = try_join_all((0..SHARDS).map(|shard| async move {
            let output = self
                .client
                .query()
                .table_name(&self.name)
                .index_name(INDEX)
                .select(Select::Count)
                .key_condition_expression("unfinished = :partition")
                .expression_attribute_values(":partition", s(Looker::Person.partition(shard)))
                .send()
                .await
                .map_err(StoreError::of("Query of how much needs a person"))?;
            Ok(u64::try_from(output.count).unwrap_or_default())
        }));
        Ok(counts.await?.into_iter().sum())
    }

    async fn attention_of(
        &self,
        shard: u8,
        limit: u8,
        after: Option<&Position>,
    ) -> Result<(Vec<Entry>, bool), StoreError> {
        let partition = s(Looker::Person.partition(shard));
        let start = after.map(|after| {
            Item::from([
                ("unfinished".into(), partition.clone()),
                ("look_at".into(), n(after.look_at.0)),
                ("pk".into(), s(&after.pk)),
                ("sk".into(), s(&after.sk)),
            ])
        });
        let output = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(INDEX)
            .key_condition_expression("unfinished = :partition")
            .expression_attribute_values(":partition", partition)
            .limit(i32::from(limit))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(StoreError::of("Query of what needs a person"))?;
        let (entries, next) = entries(output);
        Ok((entries, next.is_some()))
    }
}

/// The entries of a page, and where the next one begins.
fn entries(output: QueryOutput) -> (Vec<Entry>, Option<Item>) {
    let read = |item| match read(item) {
        Ok(entry) => Some(entry),
        // An item written by hand must not hold up the others.
        Err(error) => {
            tracing::error!(%error, "left out of what is unfinished");
            None
        }
    };
    (output.items.unwrap_or_default().into_iter().filter_map(read).collect(), output.last_evaluated_key)
}

/// Who must look at a notification in that state, if anybody.
#[must_use]
pub const fn looker_at_notification(state: NotificationState) -> Option<Looker> {
    match state {
        NotificationState::Received | NotificationState::Waiting => Some(Looker::Sweep),
        NotificationState::Attention => Some(Looker::Person),
        NotificationState::Dispatched => None,
    }
}

/// Who must look at a call in that state, if anybody.
#[must_use]
pub const fn looker_at_call(state: CallState) -> Option<Looker> {
    match state {
        CallState::Pending | CallState::InProgress => Some(Looker::Sweep),
        CallState::Unknown => Some(Looker::Person),
        CallState::Succeeded | CallState::Rejected => None,
    }
}

/// What an expression sets that leaves a record unfinished.
pub(super) const SET: &str = "unfinished = :unfinished, look_at = :look_at";
/// What an expression removes that finishes a record.
pub(super) const REMOVE: &str = "unfinished, look_at";

/// An update whose expression holds [`SET`].
pub(super) trait Indexed: Sized {
    /// Gives it the values.
    fn indexed(self, pk: &str, looker: Looker, look_at: EpochMillis) -> Self;
}

impl Indexed for UpdateItemFluentBuilder {
    fn indexed(self, pk: &str, looker: Looker, look_at: EpochMillis) -> Self {
        self.expression_attribute_values(":unfinished", looker.partition_of(pk))
            .expression_attribute_values(":look_at", n(look_at.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_found_by_its_keys_in_the_table() {
        let call = RecordKey::parse("call#ship-notify#38#x-issued", "call");
        assert_eq!(call, CallId::parse("ship-notify/38#x-issued").map(RecordKey::Call));
        let Some(RecordKey::Notification(key)) = RecordKey::parse("order#sctt#T#1", "notification#voucher-push#abc")
        else {
            panic!("no notification")
        };
        assert_eq!(key.to_string(), "sctt/T#1/voucher-push/abc");
        for (pk, sk) in [("order#tsy#1", "link"), ("quarantine#tsy", "x"), ("call#other#1", "call"), ("", "")] {
            assert_eq!(RecordKey::parse(pk, sk), None, "{pk} {sk}");
        }
    }

    #[test]
    fn every_shard_is_used() {
        let shards: std::collections::BTreeSet<_> =
            (0..100).map(|n| format!("{:?}", Looker::Sweep.partition_of(&format!("order#tsy#{n}")))).collect();
        assert_eq!(shards.len(), usize::from(SHARDS));
    }

    #[test]
    fn the_longer_nothing_happens_the_later_the_next_look() {
        let after = |minutes: u64| next_look(Duration::from_secs(minutes * 60), EpochMillis(0)).0 / 60_000;
        assert_eq!([0, 14, 40, 360, 10_000].map(after), [15, 15, 40, 360, 360]);
    }
}
