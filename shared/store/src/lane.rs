//! Owners of lanes. A lane has one owner: a pointer to the record that may tell TOP about one thing.
//!
//! The holder's record is the truth. It holds a lane while its target is there, or while it told or may have told TOP
//! something there. `taken_for` is the revision of the holder's record for which the lane was taken. A record that is
//! refused the lane reads the holder's record. If the holder has a newer revision and does not hold the lane, the lane
//! is free. Nobody else frees a lane: the holder gives it up by writing its record.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use relay_types::call::Lane;
use relay_types::record::{LaneFound, OrderRecord, RecordKey, SPARE};
use relay_types::time::EpochMillis;
use serde::Deserialize;

use crate::item::RECORD;
use crate::{Store, StoreError, Updated, n, read, s, updated, written};

const SK: &str = "owner";
/// Maximum number of records that a holder wakes. The sweep finds the others.
const MAX_WAITING: i64 = 50;
/// Maximum number of tries to take a lane whose owner keeps changing.
const MAX_TRIES: usize = 4;

fn pk(lane: &Lane) -> String {
    format!("lane#{}#{}", lane.call, lane.id)
}

#[derive(Debug, Clone, Deserialize)]
struct Owner {
    holder: String,
    taken_for: i64,
    token: String,
}

/// The result of taking a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The record may write a target on the lane.
    Taken,
    /// A newer run for the same record took the lane; this run ends.
    NewerRun,
    /// Another record has the lane.
    Refused {
        /// The state of the lane.
        found: LaneFound,
        /// The record that has the lane.
        holder: RecordKey,
    },
}

impl Store {
    /// Takes a lane for the record `key` at `revision`. Each run needs a new `token`.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost. The lane may then be taken, which does no harm.
    pub async fn take_lane(
        &self,
        lane: &Lane,
        key: &RecordKey,
        revision: i64,
        token: &str,
        now: EpochMillis,
    ) -> Result<Taken, StoreError> {
        let me = key.pk();
        let mut found: Option<Owner> = None;
        for _ in 0..MAX_TRIES {
            let update = self
                .update(&pk(lane), SK)
                .update_expression("SET holder = :me, taken_for = :base, #token = :token, expires_at = :expires")
                .expression_attribute_names("#token", "token")
                .expression_attribute_values(":me", s(&me))
                .expression_attribute_values(":base", n(revision))
                .expression_attribute_values(":token", s(token))
                .expression_attribute_values(":expires", n(now.plus(self.retention + SPARE).epoch_seconds()))
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            let update = match &found {
                None => {
                    update.condition_expression("attribute_not_exists(holder) OR (holder = :me AND taken_for <= :base)")
                }
                Some(found) => update
                    .condition_expression("holder = :holder AND taken_for = :was AND #token = :found")
                    .expression_attribute_values(":holder", s(&found.holder))
                    .expression_attribute_values(":was", n(found.taken_for))
                    .expression_attribute_values(":found", s(&found.token)),
            };
            let owner: Owner = match updated(update.send().await.map(|_| None), "UpdateItem of a lane's owner")? {
                Updated::Written(_) => return Ok(Taken::Taken),
                Updated::Refused(item) => read(item)?,
            };
            if owner.token == token {
                return Ok(Taken::Taken);
            }
            if owner.holder == me {
                return Ok(Taken::NewerRun);
            }
            if let Some(holder) = RecordKey::parse(&owner.holder)
                && let Some(record) = self.record(&holder).await?
            {
                let lane = lane.to_string();
                if record.holds(&lane) {
                    let told = record.told.get(&lane).filter(|told| told.outcome.has_effect());
                    let found = LaneFound::Held(told.map(|told| told.digest.clone()));
                    return Ok(Taken::Refused { found, holder });
                }
                if record.revision == owner.taken_for {
                    return Ok(Taken::Refused { found: LaneFound::Undecided, holder });
                }
            }
            found = Some(owner);
        }
        let holder = found.and_then(|owner| RecordKey::parse(&owner.holder)).unwrap_or_default();
        Ok(Taken::Refused { found: LaneFound::Undecided, holder })
    }

    /// Reads the record that has a lane, if there is one.
    ///
    /// # Errors
    /// If DynamoDB did not respond, or an item is not in this version's format.
    pub async fn holder_of(&self, lane: &Lane) -> Result<Option<OrderRecord>, StoreError> {
        let Some(item) = self.get(&pk(lane), SK, "GetItem of a lane's owner").await? else { return Ok(None) };
        let owner: Owner = read(item)?;
        match RecordKey::parse(&owner.holder) {
            Some(holder) => self.record(&holder).await,
            None => Ok(None),
        }
    }

    /// Asks the holder of a lane to wake `key` when it gives up the lane. This is a hint and may be lost.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost.
    pub async fn wait_for(&self, holder: &RecordKey, key: &RecordKey) -> Result<(), StoreError> {
        let result = self
            .update(&holder.pk(), RECORD)
            .update_expression("ADD waiting :key")
            .condition_expression("attribute_exists(pk) AND (attribute_not_exists(waiting) OR size(waiting) < :most)")
            .expression_attribute_values(":key", AttributeValue::Ss(vec![key.pk()]))
            .expression_attribute_values(":most", n(MAX_WAITING))
            .send()
            .await;
        written(result, "UpdateItem of a lane's holder").map(drop)
    }

    /// Extends the expiry of a lane's owner to `until`.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost.
    pub async fn keep_lane(&self, lane: &Lane, until: EpochMillis) -> Result<(), StoreError> {
        self.keep(&pk(lane), SK, until).await
    }
}
