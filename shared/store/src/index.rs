//! The two sparse indexes. In `unfinished` the sweep finds records that should continue by themselves. In `attention`
//! operators find records that need attention.
//!
//! A record is in an index while it has the index's partition attribute. The write that changes the record sets or
//! removes it, so record and index never disagree for longer than DynamoDB takes to update the index.
//!
//! The partition attribute holds a shard. All writes to one index partition share its limit of 1,000 writes a second,
//! and an index that falls behind throttles its table
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-sharding.html>).

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use futures_util::future::try_join_all;
use relay_types::attention::{NeedsPerson, Unreadable, What};
use relay_types::digest::sha256_prefix;
use relay_types::reason::Reason;
use relay_types::record::{RecordKey, next_look};
use relay_types::time::EpochMillis;
use serde::{Deserialize, Serialize};

use crate::{Item, Store, StoreError, entries, n, s, written};

/// The index of unfinished records: partition `unfinished`, sorted by `look_at`.
pub const UNFINISHED: &str = "unfinished";
/// The index of everything that needs attention: partition `attention`, sorted by `since`.
pub const ATTENTION: &str = "attention";
/// Attributes that [`UNFINISHED`] projects besides its keys. A claim changes none of them.
pub const UNFINISHED_PROJECTS: [&str; 1] = ["touched"];
/// Attributes that [`ATTENTION`] projects besides its keys. A claim changes none of them.
pub const ATTENTION_PROJECTS: [&str; 5] = ["reasons", "unreadable", "t_call", "t_id", "t_key"];

/// Number of partitions of each index. Together they take about 4,000 writes a second, and an order makes two. Every
/// sweep and every page of the attention list queries all of them.
pub const SHARDS: u8 = 4;

/// The shard of an item, the same in both indexes.
#[must_use]
pub fn shard_of(pk: &str) -> AttributeValue {
    s((sha256_prefix(pk.as_bytes()) % SHARDS).to_string())
}

/// A position in an index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The index's sort key.
    pub at: EpochMillis,
    /// The item's partition key in the table.
    pub pk: String,
    /// The item's sort key in the table.
    pub sk: String,
}

/// A record that the sweep must look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// The record's key; `None` if the item in the index is not a record.
    pub key: Option<RecordKey>,
    /// The position in the index.
    pub position: Position,
    touched: EpochMillis,
}

/// A cursor into the attention list: the last position read in each shard.
pub type Cursor = BTreeMap<u8, Position>;

/// An item of either index.
#[derive(Deserialize)]
pub(crate) struct Entry {
    pub(crate) pk: String,
    pub(crate) sk: String,
    #[serde(default)]
    look_at: EpochMillis,
    #[serde(default)]
    since: EpochMillis,
    #[serde(default)]
    touched: Option<EpochMillis>,
    #[serde(default)]
    reasons: BTreeSet<Reason>,
    #[serde(default)]
    pub(crate) unreadable: Option<Unreadable>,
    #[serde(default)]
    t_call: Option<String>,
    #[serde(default)]
    t_id: Option<String>,
    #[serde(default)]
    t_key: Option<String>,
}

impl Entry {
    fn position(&self) -> Position {
        Position { at: self.since, pk: self.pk.clone(), sk: self.sk.clone() }
    }

    pub(crate) fn needs_person(self) -> Option<NeedsPerson> {
        let what = match self.unreadable {
            Some(unreadable) => What::Unreadable(unreadable),
            None => What::Record(RecordKey::parse(&self.pk)?, self.reasons, self.t_call.zip(self.t_key.or(self.t_id))),
        };
        Some(NeedsPerson { what, since: self.since })
    }
}

/// A cursor into the overdue records of one shard.
#[derive(Debug, Clone, Default)]
pub struct NextPage(Option<Item>);

impl Store {
    pub(crate) fn query_index(&self, index: &str, shard: u8) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.name)
            .index_name(index)
            .expression_attribute_values(":shard", s(shard.to_string()))
    }

    /// Reads a page of the overdue records in one shard, longest overdue first. Returns a cursor if there is another
    /// page.
    ///
    /// # Errors
    /// If DynamoDB did not respond.
    pub async fn overdue(
        &self,
        shard: u8,
        page: NextPage,
        now: EpochMillis,
    ) -> Result<(Vec<Overdue>, Option<NextPage>), StoreError> {
        let output = self
            .query_index(UNFINISHED, shard)
            .key_condition_expression("unfinished = :shard AND look_at <= :now")
            .expression_attribute_values(":now", n(now.0))
            .limit(100)
            .set_exclusive_start_key(page.0)
            .send()
            .await
            .map_err(StoreError::of("Query of overdue records"))?;
        let overdue = |entry: Entry| Overdue {
            key: RecordKey::parse(&entry.pk),
            touched: entry.touched.unwrap_or(entry.look_at),
            position: Position { at: entry.look_at, pk: entry.pk, sk: entry.sk },
        };
        let next = output.last_evaluated_key.map(|next| NextPage(Some(next)));
        Ok((entries(output.items).map(overdue).collect(), next))
    }

    /// Postpones the next look at a record whose key was enqueued, unless its `look_at` has changed since it was read.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost. The sweep then looks at the record sooner.
    pub async fn look_again(&self, overdue: &Overdue, now: EpochMillis) -> Result<bool, StoreError> {
        let result = self
            .update(&overdue.position.pk, &overdue.position.sk)
            .update_expression("SET look_at = :next")
            .condition_expression("attribute_exists(unfinished) AND look_at = :seen")
            .expression_attribute_values(":next", n(next_look(overdue.touched.until(now), now).0))
            .expression_attribute_values(":seen", n(overdue.position.at.0))
            .send()
            .await;
        written(result, "UpdateItem of an overdue record")
    }

    /// Reads the attention list after the cursor `after`, oldest first: at most `limit` entries, and a cursor if there
    /// are more.
    ///
    /// # Errors
    /// If DynamoDB did not respond.
    pub async fn attention(&self, limit: u8, after: &Cursor) -> Result<(Vec<NeedsPerson>, Option<Cursor>), StoreError> {
        let shards = try_join_all((0..SHARDS).map(|shard| self.attention_of(shard, limit, after.get(&shard)))).await?;
        let mut more = shards.iter().any(|(_, more)| *more);
        let mut entries: Vec<(u8, Entry)> = (0..SHARDS)
            .zip(shards)
            .flat_map(|(shard, (entries, _))| entries.into_iter().map(move |entry| (shard, entry)))
            .collect();
        // A stable sort: for equal times each shard keeps DynamoDB's order, in which the next page continues.
        entries.sort_by_key(|(_, entry)| entry.since);
        more |= entries.len() > usize::from(limit);
        entries.truncate(usize::from(limit));
        let mut cursor = after.clone();
        cursor.extend(entries.iter().map(|(shard, entry)| (*shard, entry.position())));
        let shown = entries.into_iter().filter_map(|(_, entry)| entry.needs_person()).collect();
        Ok((shown, more.then_some(cursor)))
    }

    /// Counts the entries of the attention list. Exact while one page of the index holds a shard (some thousand
    /// entries).
    ///
    /// # Errors
    /// If DynamoDB did not respond.
    pub async fn count_needing_person(&self) -> Result<u64, StoreError> {
        let counts = try_join_all((0..SHARDS).map(|shard| async move {
            let output = self
                .query_index(ATTENTION, shard)
                .select(Select::Count)
                .key_condition_expression("attention = :shard")
                .send()
                .await
                .map_err(StoreError::of("Query of the attention list"))?;
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
        let start = after.map(|after| {
            Item::from([
                ("attention".into(), s(shard.to_string())),
                ("since".into(), n(after.at.0)),
                ("pk".into(), s(&after.pk)),
                ("sk".into(), s(&after.sk)),
            ])
        });
        let output = self
            .query_index(ATTENTION, shard)
            .key_condition_expression("attention = :shard")
            .limit(i32::from(limit))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(StoreError::of("Query of the attention list"))?;
        Ok((entries(output.items).collect(), output.last_evaluated_key.is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_is_used() {
        let shards: BTreeSet<_> = (0..400).map(|n| format!("{:?}", shard_of(&format!("order#tsy#{n}")))).collect();
        assert_eq!(shards.len(), usize::from(SHARDS));
    }
}
