//! Reads and writes order records, with one request for each step.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use futures_util::future::try_join_all;
use relay_types::call::CallKind;
use relay_types::notification::NotificationKind;
use relay_types::record::{
    Attempted, Bodies, Body, Fact, GRACE, Instruction, LinkFact, Notification, OrderRecord, RecordKey, ReplacedLink,
    SPARE, digest_of,
};
use relay_types::time::EpochMillis;

use crate::item::{NOTIFICATION, RECORD, read_record, write_record};
use crate::{Store, StoreError, Updated, attribute, index, n, s, updated, written};

/// Maximum number of undecided facts of one order. Further deliveries are quarantined.
pub const MAX_UNDECIDED: i64 = 200;
/// Maximum number of undecided facts up to which short bodies are stored in the record. It limits the record's size.
const MAX_INLINE_UNDECIDED: i64 = 16;
/// Number of undecided facts from which a replaced link is a separate item, for the same reason.
const MOST_INLINE_LINKS: usize = 16;
/// The prefix of a body's sort key. The body's digest follows.
const BODY: &str = "body#";

/// One delivery of a notification.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// The order's record.
    pub key: &'a RecordKey,
    /// The kind of notification.
    pub kind: NotificationKind,
    /// The notification's digest.
    pub digest: &'a str,
    /// The body as JSON.
    pub body: &'a str,
    /// The delivery's `request_time`, if it has one.
    pub request_time: Option<&'a str>,
    /// Unique to this delivery. It distinguishes another delivery from the SDK's repeat of one write.
    pub token: &'a str,
}

/// The result of recording a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// The delivery is recorded.
    Recorded,
    /// The order has too many undecided facts.
    Full,
}

/// The result of putting a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linked {
    /// The link is recorded.
    Recorded {
        /// Whether there is anything to decide. A link without notifications only expires.
        decide: bool,
    },
    /// The record has changed since it was read.
    Changed,
}

/// The result of a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// This sender owns the call. Holds the record after the claim.
    Claimed(Box<OrderRecord>),
    /// This sender does not own the call. Holds the present record, if there is one.
    Refused(Option<Box<OrderRecord>>),
}

/// The part of an update expression that appends a fact and sets the next look. The caller removes the expiry.
const FACT: &str = "facts = list_append(if_not_exists(facts, :none), :fact), \
    revision = if_not_exists(revision, :now) + :one, unfinished = :shard, look_at = :soon, touched = :now";

impl Store {
    fn with_fact(&self, key: &RecordKey, fact: &Fact, now: EpochMillis) -> Result<UpdateItemFluentBuilder, StoreError> {
        let pk = key.pk();
        Ok(self
            .update(&pk, RECORD)
            .expression_attribute_values(":none", AttributeValue::L(Vec::new()))
            .expression_attribute_values(":fact", AttributeValue::L(vec![attribute(fact)?]))
            .expression_attribute_values(":now", n(now.0))
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":shard", index::shard_of(&pk))
            .expression_attribute_values(":soon", n(now.plus(GRACE).0))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld))
    }

    /// Records a delivery with one request, or with two if the body is a separate item.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost. The delivery must not be acknowledged then.
    pub async fn deliver(&self, delivery: Delivery<'_>, now: EpochMillis) -> Result<Delivered, StoreError> {
        let body = Body::of(delivery.body);
        if matches!(body, Body::Inline(_)) && self.record_delivery(delivery, body, MAX_INLINE_UNDECIDED, now).await? {
            return Ok(Delivered::Recorded);
        }
        // The digest leaves out members that change on a resend, so a repeat overwrites the same item.
        self.store(delivery.key, delivery.digest, delivery.body, now).await?;
        let body = Body::Stored(delivery.digest.to_owned());
        let recorded = self.record_delivery(delivery, body, MAX_UNDECIDED, now).await?;
        Ok(if recorded { Delivered::Recorded } else { Delivered::Full })
    }

    async fn record_delivery(
        &self,
        delivery: Delivery<'_>,
        body: Body,
        most: i64,
        now: EpochMillis,
    ) -> Result<bool, StoreError> {
        let fact = Fact::Delivery {
            digest: delivery.digest.to_owned(),
            at: now,
            time: delivery.request_time.map(str::to_owned),
            token: delivery.token.to_owned(),
        };
        let result = self
            .with_fact(delivery.key, &fact, now)?
            .update_expression(format!("SET #n = if_not_exists(#n, :notification), {FACT} REMOVE expires_at"))
            .condition_expression("attribute_not_exists(facts) OR size(facts) < :most")
            .expression_attribute_names("#n", format!("{NOTIFICATION}{}", delivery.digest))
            .expression_attribute_values(":notification", attribute(&Notification::received(delivery.kind, body, now))?)
            .expression_attribute_values(":most", n(most))
            .send()
            .await;
        written(result, "UpdateItem of a delivery")
    }

    /// Replaces the link that `seen` has. While the order has no notification there is nothing to decide: the record
    /// expires, or the sweep looks at it at `rings_at`.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost.
    pub async fn put_link(
        &self,
        seen: &OrderRecord,
        json: &str,
        (by, token): (&str, &str),
        rings_at: Option<EpochMillis>,
        now: EpochMillis,
    ) -> Result<Linked, StoreError> {
        let body = Body::of(json);
        if matches!(body, Body::Stored(_)) {
            self.store_body(&seen.key, json, now).await?;
        }
        let version = seen.link.as_ref().map_or(0, |link| link.version);
        let link = LinkFact { version: version + 1, body, at: now, by: by.to_owned(), token: token.to_owned() };
        // What an operator or an earlier decision said about the former link no longer counts.
        let was_decided = seen.stopped.is_some() || seen.attention.is_some() || !seen.dismissed.is_empty();
        let was = seen.link.as_ref().filter(|was| was.body != link.body).map(LinkFact::replaced);
        // The decision moves a replaced link to the history.
        let decide = was_decided || was.is_some() || !(seen.notifications.is_empty() && seen.facts.is_empty());
        let update = if decide {
            let was = match was {
                Some(was) if seen.facts.len() >= MOST_INLINE_LINKS => Some(self.shorter(&seen.key, was, now).await?),
                was => was,
            };
            let update = self
                .with_fact(&seen.key, &Fact::Linked { was }, now)?
                .update_expression(format!("SET link = :link, {FACT} REMOVE expires_at"));
            match version {
                0 => update.condition_expression("attribute_not_exists(link)"),
                _ => {
                    update.condition_expression("link.version = :seen").expression_attribute_values(":seen", n(version))
                }
            }
        } else {
            let set = "SET link = :link, revision = if_not_exists(revision, :now) + :one";
            let pk = seen.key.pk();
            let update = self.update(&pk, RECORD);
            let update = match rings_at {
                Some(at) => update
                    .update_expression(format!("{set}, unfinished = :shard, look_at = :rings_at REMOVE expires_at"))
                    .expression_attribute_values(":shard", index::shard_of(&pk))
                    .expression_attribute_values(":rings_at", n(at.0)),
                None => update
                    .update_expression(format!("{set}, expires_at = :expires"))
                    .expression_attribute_values(":expires", n(now.plus(self.retention).epoch_seconds())),
            };
            let update = update
                .expression_attribute_values(":now", n(now.0))
                .expression_attribute_values(":one", n(1))
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            match seen.revision {
                0 => update.condition_expression("attribute_not_exists(revision)"),
                seen => update.condition_expression("revision = :seen").expression_attribute_values(":seen", n(seen)),
            }
        };
        let update = update.expression_attribute_values(":link", attribute(&link)?);
        match updated(update.send().await.map(|_| None), "UpdateItem of a link")? {
            Updated::Written(_) => Ok(Linked::Recorded { decide }),
            // The write took effect, its response was lost, and the SDK repeated it.
            Updated::Refused(item) => {
                let present = if item.is_empty() { None } else { read_record(item)?.link };
                let is_ours = present.is_some_and(|link| link.token == token);
                Ok(if is_ours { Linked::Recorded { decide } } else { Linked::Changed })
            }
        }
    }

    /// Moves the body of a replaced link out of the record.
    async fn shorter(&self, key: &RecordKey, was: ReplacedLink, now: EpochMillis) -> Result<ReplacedLink, StoreError> {
        let Some(Body::Inline(json)) = &was.body else { return Ok(was) };
        self.store_body(key, json, now).await?;
        Ok(ReplacedLink { body: Some(Body::Stored(digest_of(json))), ..was })
    }

    /// Records an operator's request about the record as `seen`. Returns `false` if the record has changed since.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost.
    pub async fn instruct(
        &self,
        seen: &OrderRecord,
        instruction: Instruction,
        by: &str,
        note: &str,
        token: &str,
        now: EpochMillis,
    ) -> Result<bool, StoreError> {
        let fact = Fact::Instructed {
            instruction,
            by: by.to_owned(),
            note: note.to_owned(),
            at: now,
            token: token.to_owned(),
        };
        let update = self.with_fact(&seen.key, &fact, now)?.update_expression(format!("SET {FACT} REMOVE expires_at"));
        // The item of a redemption's key may be a pointer to the record of a total.
        let update = if seen.revision == 0 {
            update.condition_expression("attribute_not_exists(revision) AND attribute_not_exists(points_to)")
        } else {
            update
                .condition_expression("revision = :revision")
                .expression_attribute_values(":revision", n(seen.revision))
        };
        match updated(update.send().await.map(|_| None), "UpdateItem of an operator's request")? {
            Updated::Written(_) => Ok(true),
            Updated::Refused(item) => Ok(!item.is_empty() && read_record(item)?.has_instruction(token)),
        }
    }

    /// Makes the item of a redemption's key point to the record of its total. Returns `false` if the key was used for
    /// another order, or for a redemption that counts each time it is sent.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost.
    pub async fn point(&self, key: &RecordKey, to: &RecordKey, now: EpochMillis) -> Result<bool, StoreError> {
        let result = self
            .update(&key.pk(), RECORD)
            .update_expression("SET points_to = :pointer, expires_at = :expires")
            .condition_expression("attribute_not_exists(pk) OR points_to = :pointer")
            .expression_attribute_values(":pointer", s(to.pk()))
            .expression_attribute_values(":expires", n(now.plus(self.retention + SPARE).epoch_seconds()))
            .send()
            .await;
        written(result, "UpdateItem of a redemption's key")
    }

    /// Reads a record with a consistent read.
    ///
    /// # Errors
    /// If DynamoDB did not respond, or the item is not in this version's format.
    pub async fn record(&self, key: &RecordKey) -> Result<Option<OrderRecord>, StoreError> {
        self.get(&key.pk(), RECORD, "GetItem of a record").await?.map(read_record).transpose()
    }

    /// Reads a record and all its bodies with a consistent, paged Query.
    ///
    /// # Errors
    /// If DynamoDB did not respond, or the record is not in this version's format.
    pub async fn whole(&self, key: &RecordKey) -> Result<Option<(OrderRecord, Bodies)>, StoreError> {
        let (mut record, mut bodies) = (None, Bodies::new());
        let mut items = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", s(key.pk()))
            .into_paginator()
            .items()
            .send();
        while let Some(item) = items.next().await {
            let mut item = item.map_err(StoreError::of("Query of an order"))?;
            let sk = item.get("sk").and_then(|sk| sk.as_s().ok()).cloned().unwrap_or_default();
            if sk == RECORD {
                record = Some(read_record(item)?);
            } else if let (Some(digest), Some(AttributeValue::S(json))) = (sk.strip_prefix(BODY), item.remove("json")) {
                bodies.insert(digest.to_owned(), json);
            }
        }
        let Some(record) = record else { return Ok(None) };
        // The pages are not a snapshot. A body may have been written after its page was read.
        for digest in
            record.stored_bodies().into_iter().filter(|digest| !bodies.contains_key(digest)).collect::<Vec<_>>()
        {
            if let Some(json) = self.body(key, &Body::Stored(digest.clone())).await? {
                bodies.insert(digest, json);
            }
        }
        Ok(Some((record, bodies)))
    }

    /// Reads some bodies of a record that are separate items. Lost ones are absent from the result.
    ///
    /// # Errors
    /// If DynamoDB did not respond.
    pub async fn bodies(&self, key: &RecordKey, digests: BTreeSet<String>) -> Result<Bodies, StoreError> {
        let read = digests.into_iter().map(async |digest| {
            let json = self.body(key, &Body::Stored(digest.clone())).await?;
            Ok(json.map(|json| (digest, json)))
        });
        Ok(try_join_all(read).await?.into_iter().flatten().collect())
    }

    /// Reads the JSON of a body; `None` if the body is lost.
    ///
    /// # Errors
    /// If DynamoDB did not respond.
    pub async fn body(&self, key: &RecordKey, body: &Body) -> Result<Option<String>, StoreError> {
        match body {
            Body::Inline(json) => Ok(Some(json.clone())),
            Body::Stored(digest) => {
                let item = self.get(&key.pk(), &format!("{BODY}{digest}"), "GetItem of a body").await?;
                Ok(item.and_then(|mut item| match item.remove("json") {
                    Some(AttributeValue::S(json)) => Some(json),
                    _ => None,
                }))
            }
        }
    }

    /// Stores a long body. Call it before writing a record that names the body. Equal bodies are one item.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost.
    pub async fn store_body(&self, key: &RecordKey, json: &str, now: EpochMillis) -> Result<(), StoreError> {
        self.store(key, &digest_of(json), json, now).await
    }

    async fn store(&self, key: &RecordKey, digest: &str, json: &str, now: EpochMillis) -> Result<(), StoreError> {
        self.client
            .put_item()
            .table_name(&self.name)
            .item("pk", s(key.pk()))
            .item("sk", s(format!("{BODY}{digest}")))
            .item("json", s(json))
            .item("expires_at", n(now.plus(self.retention + SPARE).epoch_seconds()))
            .send()
            .await
            .map_err(StoreError::of("PutItem of a body"))?;
        Ok(())
    }

    pub(super) async fn keep(&self, pk: &str, sk: &str, until: EpochMillis) -> Result<(), StoreError> {
        let result = self
            .update(pk, sk)
            .update_expression("SET expires_at = :until")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":until", n(until.epoch_seconds()))
            .send()
            .await;
        written(result, "UpdateItem of an expiry").map(drop)
    }

    /// Extends the expiry of a redemption key's pointer to `until`.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost.
    pub async fn keep_pointer(&self, key: &RecordKey, until: EpochMillis) -> Result<(), StoreError> {
        self.keep(&key.pk(), RECORD, until).await
    }

    /// Extends the expiry of a body to `until`.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost.
    pub async fn keep_body(&self, key: &RecordKey, digest: &str, until: EpochMillis) -> Result<(), StoreError> {
        self.keep(&key.pk(), &format!("{BODY}{digest}"), until).await
    }

    /// Replaces the record `read` with a decision. Returns `false` if the record has changed since it was read.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost.
    pub async fn replace(&self, read: &OrderRecord, decided: &OrderRecord, writer: &str) -> Result<bool, StoreError> {
        let next = OrderRecord { revision: read.revision + 1, writer: Some(writer.to_owned()), ..decided.clone() };
        let result = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(write_record(&next)?))
            .condition_expression("revision = :read")
            .expression_attribute_values(":read", n(read.revision))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match result {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                    // The write took effect, its response was lost, and the SDK repeated it.
                    let present = failed.item.as_ref().and_then(|item| item.get("writer")?.as_s().ok());
                    Ok(present.is_some_and(|present| present == writer))
                }
                _ => Err(StoreError::of("PutItem of a record")(error)),
            },
        }
    }

    /// Claims a record's target for a sender. The claim needs a target of this call that is due, no undecided fact, and
    /// no other owner. The result carries the whole record.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost. The lease then keeps others away until it runs
    /// out.
    pub async fn claim(
        &self,
        key: &RecordKey,
        call: CallKind,
        sending: (&str, EpochMillis),
        now: EpochMillis,
    ) -> Result<Claim, StoreError> {
        let (owner, until) = sending;
        let result = self
            .update(&key.pk(), RECORD)
            .update_expression(
                "SET s_owner = :me, s_until = :until, began = :now, s_generation = t_generation, \
                 attempt = if_not_exists(attempt, :zero) + :one, unsettled = if_not_exists(unsettled, :zero) + :one \
                 ADD revision :one",
            )
            .condition_expression(
                "t_call = :call AND t_due <= :now AND attribute_not_exists(facts) \
                 AND (attribute_not_exists(s_owner) OR (s_until < :now AND t_resend = :again))",
            )
            .expression_attribute_values(":me", s(owner))
            .expression_attribute_values(":until", n(until.0))
            .expression_attribute_values(":zero", n(0))
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":call", s(call.as_ref()))
            .expression_attribute_values(":now", n(now.0))
            .expression_attribute_values(":again", s("again"))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        Ok(match updated(result.map(|output| output.attributes), "UpdateItem of a claim")? {
            Updated::Written(item) => Claim::Claimed(Box::new(read_record(item)?)),
            Updated::Refused(item) if item.is_empty() => Claim::Refused(None),
            Updated::Refused(item) => {
                let present = Box::new(read_record(item)?);
                let is_ours = present.sending.as_ref().is_some_and(|sending| sending.owner == owner);
                // The claim took effect, its response was lost, and the SDK repeated it.
                if is_ours { Claim::Claimed(present) } else { Claim::Refused(Some(present)) }
            }
        })
    }

    /// Appends the outcome of an attempt to the facts, for a record that has changed since the claim. Nothing can be
    /// claimed until dispatch has folded the outcome in. Returns `false` if this sender is no longer the owner.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost. The lease then runs out.
    pub async fn hand_in(
        &self,
        key: &RecordKey,
        (owner, began): (&str, Option<EpochMillis>),
        attempted: &Attempted,
        now: EpochMillis,
    ) -> Result<bool, StoreError> {
        let fact = Fact::Ended { owner: owner.to_owned(), attempted: attempted.clone(), at: now, began };
        let result = self
            .with_fact(key, &fact, now)?
            .update_expression(format!("SET {FACT} REMOVE s_owner, s_until, began, s_generation, t_due"))
            .condition_expression("s_owner = :me")
            .expression_attribute_values(":me", s(owner))
            .send()
            .await;
        match updated(result.map(|_| None), "UpdateItem of an outcome")? {
            Updated::Written(_) => Ok(true),
            // The write took effect, its response was lost, and the SDK repeated it; or the lease had run out.
            Updated::Refused(item) => Ok(!item.is_empty() && read_record(item)?.facts.contains(&fact)),
        }
    }
}
