//! Reads everything unfinished: the keys from both indexes, then the records.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_dynamodb::types::KeysAndAttributes;
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use relay_types::attention::NeedsPerson;
use relay_types::record::{OrderRecord, RecordKey};

use crate::index::{ATTENTION, Entry, SHARDS, UNFINISHED};
use crate::item::{RECORD, read_record};
use crate::{Item, Store, StoreError, entries, s};

/// DynamoDB reads at most this many items in one request.
const BATCH: usize = 100;
/// Number of such requests at the same time.
const CONCURRENCY: usize = 8;
/// How often the items that DynamoDB left out of a response are asked for again.
const MAX_TRIES: u32 = 6;
/// The first pause before that. Each is twice as long as the one before, so all take three seconds.
const PAUSE: Duration = Duration::from_millis(50);

/// What the indexes say is unfinished.
#[derive(Debug, Default)]
pub struct Unfinished {
    /// The keys of records.
    pub records: Vec<RecordKey>,
    /// Unreadable bodies.
    pub bodies: Vec<NeedsPerson>,
    /// `false` if there are more than were read.
    pub complete: bool,
}

impl Store {
    /// Reads the keys of at most about `most` unfinished records and bodies.
    ///
    /// # Errors
    /// If DynamoDB did not respond.
    pub async fn unfinished(&self, most: usize) -> Result<Unfinished, StoreError> {
        let indexes = [(UNFINISHED, "unfinished = :shard"), (ATTENTION, "attention = :shard")];
        let shards = indexes.into_iter().flat_map(|index| (0..SHARDS).map(move |shard| (index, shard)));
        let parts = shards.map(|((index, condition), shard)| self.part(index, condition, shard, most));
        let mut keys = BTreeSet::new();
        let mut found = Unfinished { complete: true, ..Unfinished::default() };
        for (items, complete) in try_join_all(parts).await? {
            found.complete &= complete;
            for entry in entries::<Entry>(Some(items)) {
                if entry.unreadable.is_some() {
                    found.bodies.extend(entry.needs_person());
                } else if entry.sk == RECORD {
                    keys.insert(entry.pk);
                }
            }
        }
        found.complete &= keys.len() <= most;
        found.records = keys.into_iter().filter_map(|pk| RecordKey::parse(&pk)).take(most).collect();
        Ok(found)
    }

    /// Reads all items of one shard of an index, or somewhat more than `most`. Returns whether these are all.
    async fn part(
        &self,
        index: &str,
        condition: &str,
        shard: u8,
        most: usize,
    ) -> Result<(Vec<Item>, bool), StoreError> {
        let (mut items, mut start) = (Vec::new(), None);
        loop {
            let output = self
                .query_index(index, shard)
                .key_condition_expression(condition)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(StoreError::of("Query of unfinished records"))?;
            items.extend(output.items.unwrap_or_default());
            start = output.last_evaluated_key;
            if start.is_none() || items.len() > most / usize::from(SHARDS) {
                return Ok((items, start.is_none()));
            }
        }
    }

    /// Reads records and hands each to `take`, a hundred at a time. The reads are not consistent, so a record may be as it
    /// was a moment ago. Returns whether all could be read: a record in another version's format is skipped.
    ///
    /// # Errors
    /// If DynamoDB did not respond, or keeps leaving records out.
    pub async fn read_records(
        &self,
        keys: &[RecordKey],
        mut take: impl FnMut(OrderRecord),
    ) -> Result<bool, StoreError> {
        let batches: Vec<Vec<Item>> = keys
            .chunks(BATCH)
            .map(|keys| {
                let item = |key: &RecordKey| Item::from([("pk".into(), s(key.pk())), ("sk".into(), s(RECORD))]);
                keys.iter().map(item).collect()
            })
            .collect();
        let mut all = true;
        let mut read = stream::iter(batches).map(|keys| self.batch(keys)).buffer_unordered(CONCURRENCY);
        while let Some(items) = read.try_next().await? {
            for item in items {
                match read_record(item) {
                    Ok(record) => take(record),
                    Err(error) => {
                        tracing::error!(%error, "record skipped");
                        all = false;
                    }
                }
            }
        }
        Ok(all)
    }

    async fn batch(&self, mut keys: Vec<Item>) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        for pause in (0..MAX_TRIES).map(|attempt| PAUSE * (1 << attempt)) {
            let request = KeysAndAttributes::builder().set_keys(Some(keys)).build();
            let request = request.map_err(|error| StoreError::Request {
                operation: "BatchGetItem of records",
                cause: error.to_string(),
            })?;
            let output = self
                .client
                .batch_get_item()
                .request_items(&self.name, request)
                .send()
                .await
                .map_err(StoreError::of("BatchGetItem of records"))?;
            items.extend(output.responses.unwrap_or_default().remove(&self.name).unwrap_or_default());
            // Responses hold at most 16 MB.
            match output.unprocessed_keys.unwrap_or_default().remove(&self.name) {
                Some(left) => {
                    keys = left.keys;
                    tokio::time::sleep(pause).await;
                }
                None => return Ok(items),
            }
        }
        Err(StoreError::Request {
            operation: "BatchGetItem of records",
            cause: "records are left out of each response; the table is throttled".to_owned(),
        })
    }
}
