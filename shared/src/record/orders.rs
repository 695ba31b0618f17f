//! What is known of an order: its link, and its notifications with what became of them.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use serde::Deserialize;

use crate::call::CallId;
use crate::clock::EpochMillis;
use crate::notification::{NotificationKey, NotificationKind, NotificationState};
use crate::order::{Link, OrderKey};
use crate::record::unfinished::{GRACE, Indexed as _, Looker, next_look};
use crate::record::{
    Item, OptionalValue as _, StoreError, Table, is_failed_condition, n, read, s, unfinished, written,
};

const LINK: &str = "link";

/// Why a notification led to nothing that a person has seen to.
const SETTLED: &str = "settled by a person";

/// How often a link is written anew after somebody else changed it in between.
const MAX_TRIES: usize = 3;

fn pk(order: &OrderKey) -> String {
    format!("order#{}#{}", order.partner, order.order_id)
}

fn notification_sk(key: &NotificationKey) -> String {
    format!("notification#{}#{}", key.kind, key.digest)
}

/// What the booking system said of an order, and when and by whom.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkRecord {
    /// What it said.
    pub link: Link,
    /// When it said so last.
    pub updated_at: EpochMillis,
    /// The IAM identity that said so.
    pub updated_by: String,
    /// How often it said anything of the order: changes with every link.
    pub puts: i64,
    /// Whether it is to expire.
    pub expires: bool,
    /// The itinerary postbacks that the order has led to, each as `call/key`, whatever the link said then.
    pub led_to: BTreeSet<String>,
    /// When the last of them was added.
    pub led_at: Option<EpochMillis>,
}

/// A notification, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NotificationRecord {
    /// Its kind.
    pub kind: NotificationKind,
    /// SHA-256 of its canonical payload.
    pub digest: String,
    /// What became of it.
    pub state: NotificationState,
    /// Why it waits, needs a person, or led to nothing.
    #[serde(default)]
    pub reason: Option<String>,
    /// The body of the first delivery, whole.
    pub payload: String,
    /// When the first delivery came.
    pub received_at: EpochMillis,
    /// When the last delivery came.
    pub last_received_at: EpochMillis,
    /// How often it was delivered.
    pub deliveries: u64,
    /// When it was decided last.
    #[serde(default)]
    pub decided_at: Option<EpochMillis>,
    /// The calls it led to, each as `call/key`.
    #[serde(default)]
    pub calls: BTreeSet<String>,
    /// How often a person had it decided again.
    #[serde(default)]
    pub replays: i64,
    /// When a person last did.
    #[serde(default)]
    pub replayed_at: Option<EpochMillis>,
    /// The IAM identity that last did.
    #[serde(default)]
    pub replayed_by: Option<String>,
    /// The IAM identity that said that nothing more is to be done about it.
    #[serde(default)]
    pub settled_by: Option<String>,
    /// What that person noted.
    #[serde(default)]
    pub settled_note: Option<String>,
}

impl NotificationRecord {
    /// Which notification of `order` this is.
    #[must_use]
    pub fn key(&self, order: &OrderKey) -> NotificationKey {
        NotificationKey { order: order.clone(), kind: self.kind, digest: self.digest.clone() }
    }

    /// The calls it led to.
    pub fn call_ids(&self) -> impl Iterator<Item = CallId> {
        self.calls.iter().filter_map(|call| CallId::parse(call))
    }
}

/// What had become of a notification when it was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// Nothing: this is the first delivery.
    First,
    /// It was delivered before, and is not dispatched.
    Again,
    /// It was dispatched before.
    AfterDispatch,
}

/// All that is known of an order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OrderRecords {
    /// What the booking system said, if it has.
    pub link: Option<LinkRecord>,
    /// Its notifications, in the order in which they were first received.
    pub notifications: Vec<NotificationRecord>,
}

/// What became of a notification when it was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It led to these calls, or to none for this reason.
    Dispatched {
        /// The call that was written, if any.
        call: Option<CallId>,
        /// Why there is none.
        reason: Option<&'static str>,
    },
    /// It waits for this.
    Waiting(&'static str),
    /// A person must look, for this reason.
    Attention(String),
}

#[derive(Deserialize)]
struct StoredLink {
    link: String,
    updated_at: EpochMillis,
    updated_by: String,
    #[serde(default)]
    puts: i64,
    #[serde(default)]
    expires_at: Option<i64>,
    #[serde(default)]
    led_to: BTreeSet<String>,
    #[serde(default)]
    led_at: Option<EpochMillis>,
}

impl Table {
    /// Records a delivery of a notification, and says what had become of it before. One request, whichever delivery
    /// it is; deliveries at the same time count each other. What is dispatched is not written any more, so that it
    /// does not get back among what is unfinished.
    ///
    /// # Errors
    /// If DynamoDB did not do it or its answer was lost: then nothing must be acknowledged.
    pub async fn record_delivery(
        &self,
        key: &NotificationKey,
        payload: &str,
        now: EpochMillis,
    ) -> Result<Delivered, StoreError> {
        // Each value is taken from the first delivery only, whatever the order in which deliveries get here.
        let first_only = "SET #state = if_not_exists(#state, :received), payload = if_not_exists(payload, :payload), \
             received_at = if_not_exists(received_at, :now), kind = :kind, digest = :digest, \
             unfinished = if_not_exists(unfinished, :unfinished), look_at = if_not_exists(look_at, :look_at), \
             last_received_at = :now ADD deliveries :one";
        let pk = pk(&key.order);
        let result = self
            .update(&pk, &notification_sk(key))
            .update_expression(first_only)
            .condition_expression("attribute_not_exists(pk) OR #state <> :dispatched")
            .indexed(&pk, Looker::Sweep, now.plus(GRACE))
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":dispatched", s(NotificationState::Dispatched.as_str()))
            .expression_attribute_values(":received", s(NotificationState::Received.as_str()))
            .expression_attribute_values(":payload", s(payload))
            .expression_attribute_values(":now", n(now.0))
            .expression_attribute_values(":kind", s(key.kind.as_str()))
            .expression_attribute_values(":digest", s(&key.digest))
            .expression_attribute_values(":one", n(1))
            .return_values(ReturnValue::UpdatedOld)
            .send()
            .await;
        match result {
            Ok(output) if output.attributes.as_ref().is_some_and(|before| before.contains_key("state")) => {
                Ok(Delivered::Again)
            }
            Ok(_) => Ok(Delivered::First),
            Err(error) if is_failed_condition(&error) => Ok(Delivered::AfterDispatch),
            Err(error) => Err(StoreError::of("UpdateItem of a notification")(error)),
        }
    }

    /// Replaces an order's link by one write that only the present link gives way to, so that a write that lingered
    /// in the network cannot put an older link back.
    ///
    /// # Errors
    /// If DynamoDB did not do it or its answer was lost, or the link kept changing.
    pub async fn put_link(
        &self,
        order: &OrderKey,
        link: &Link,
        updated_by: &str,
        now: EpochMillis,
    ) -> Result<(), StoreError> {
        // Serialising our own struct of strings and numbers cannot fail.
        let json = link.to_json();
        for again in 0..MAX_TRIES {
            let present = self.link(order).await?;
            // A refusal may be due to one's own write, its answer lost, and sent again by the SDK.
            let tried = again > 0;
            if present.as_ref().filter(|_| tried).is_some_and(|present| {
                present.link == *link && present.updated_at == now && present.updated_by == updated_by
            }) {
                return Ok(());
            }
            let seen = present.map_or(0, |present| present.puts);
            let result = self
                .update(&pk(order), LINK)
                .update_expression(
                    "SET link = :link, updated_at = :now, updated_by = :by, puts = :next REMOVE expires_at",
                )
                .condition_expression(if seen == 0 { "attribute_not_exists(puts)" } else { "puts = :seen" })
                .expression_attribute_values(":link", s(&json))
                .expression_attribute_values(":now", n(now.0))
                .expression_attribute_values(":by", s(updated_by))
                .expression_attribute_values(":next", n(seen + 1))
                .optional_value(":seen", (seen != 0).then(|| n(seen)))
                .send()
                .await;
            if written(result, "UpdateItem of a link")? {
                return Ok(());
            }
        }
        Err(StoreError::Contended { pk: pk(order) })
    }

    /// Adds a call to those that the order has led to, before it is recorded, so that whoever decides the order anew
    /// after another link finds it. Says whether the link is still the one that was `seen`; if not, nothing is written.
    /// `expires`: nothing else needs the link.
    ///
    /// # Errors
    /// If DynamoDB did not do it or its answer was lost.
    pub async fn lead_to(
        &self,
        order: &OrderKey,
        seen: &LinkRecord,
        call: &CallId,
        expires: bool,
        now: EpochMillis,
    ) -> Result<bool, StoreError> {
        let is_new = !seen.led_to.contains(&call.to_string());
        let set = [is_new.then_some("led_at = :now"), expires.then_some("expires_at = :expires")];
        let set: Vec<_> = set.into_iter().flatten().collect();
        let set = if set.is_empty() { String::new() } else { format!(" SET {}", set.join(", ")) };
        let result = self
            .update(&pk(order), LINK)
            .update_expression(format!("ADD led_to :call{set}"))
            .condition_expression("puts = :seen")
            .expression_attribute_values(":call", AttributeValue::Ss(vec![call.to_string()]))
            .expression_attribute_values(":seen", n(seen.puts))
            .optional_value(":now", is_new.then(|| n(now.0)))
            .optional_value(":expires", expires.then(|| n(now.plus(self.retention).epoch_seconds())))
            .send()
            .await;
        written(result, "UpdateItem of a link")
    }

    /// Reads an order's link, as it is now.
    ///
    /// # Errors
    /// If DynamoDB did not answer, or the link is not one of ours.
    pub async fn link(&self, order: &OrderKey) -> Result<Option<LinkRecord>, StoreError> {
        let item = self.get(&pk(order), LINK, "GetItem of a link").await?;
        item.map(|item| read_link(order, item)).transpose()
    }

    /// Reads all that is known of an order, as it is now (a consistent Query, paged).
    ///
    /// # Errors
    /// If DynamoDB did not answer, or the link is not one of ours. A notification that is not is left out.
    pub async fn order(&self, order: &OrderKey) -> Result<OrderRecords, StoreError> {
        let mut records = OrderRecords::default();
        let mut start = None;
        loop {
            let page = self
                .client
                .query()
                .table_name(&self.name)
                .consistent_read(true)
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", s(pk(order)))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(StoreError::of("Query of an order"))?;
            for item in page.items.unwrap_or_default() {
                if item.get("sk").is_some_and(|sk| *sk == s(LINK)) {
                    records.link = Some(read_link(order, item)?);
                } else {
                    // One that this version cannot read must not hold up the others.
                    match read(item) {
                        Ok(notification) => records.notifications.push(notification),
                        Err(error) => tracing::error!(%order, %error, "left out"),
                    }
                }
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        records.notifications.sort_by(|a, b| (a.received_at, &a.digest).cmp(&(b.received_at, &b.digest)));
        Ok(records)
    }

    /// Writes down what became of a notification that was decided from `seen`. What is dispatched stays so: a slower
    /// decision, made from older facts, changes nothing; nor does one from before a person had it decided again.
    /// Says whether the verdict was written.
    ///
    /// # Errors
    /// If DynamoDB did not do it or its answer was lost.
    pub async fn mark(
        &self,
        order: &OrderKey,
        seen: &NotificationRecord,
        verdict: &Verdict,
        now: EpochMillis,
    ) -> Result<bool, StoreError> {
        let pk = pk(order);
        let update = self
            .update(&pk, &notification_sk(&seen.key(order)))
            .expression_attribute_names("#state", "state")
            .optional_value(":replays", (seen.replays != 0).then(|| n(seen.replays)))
            .expression_attribute_values(":now", n(now.0));
        let same = not_replayed_since(seen);
        // What is dispatched stays so.
        let open = format!("{same} AND #state <> :dispatched");
        let mut expression = "SET #state = :state, decided_at = :now".to_owned();
        let mut remove = Vec::new();
        let (state, reason, update) = match verdict {
            Verdict::Dispatched { call, reason } => {
                expression.push_str(", expires_at = :expires");
                remove.push(unfinished::REMOVE);
                if call.is_some() {
                    expression = format!("ADD calls :calls {expression}");
                }
                let calls = call.as_ref().map(|call| AttributeValue::Ss(vec![call.to_string()]));
                let update = update
                    .condition_expression(same)
                    .expression_attribute_values(":expires", n(now.plus(self.retention).epoch_seconds()))
                    .optional_value(":calls", calls);
                (NotificationState::Dispatched, *reason, update)
            }
            Verdict::Waiting(reason) => {
                let look_at = next_look(seen.received_at.until(now), now);
                let update = update.condition_expression(open).indexed(&pk, Looker::Sweep, look_at);
                (NotificationState::Waiting, Some(*reason), update)
            }
            Verdict::Attention(reason) => {
                let update = update.condition_expression(open).indexed(&pk, Looker::Person, seen.received_at);
                (NotificationState::Attention, Some(reason.as_str()), update)
            }
        };
        let update = if state == NotificationState::Dispatched {
            update
        } else {
            expression = format!("{expression}, {}", unfinished::SET);
            update.expression_attribute_values(":dispatched", s(NotificationState::Dispatched.as_str()))
        };
        if reason.is_some() {
            expression.push_str(", reason = :reason");
        } else {
            remove.push("reason");
        }
        if !remove.is_empty() {
            expression = format!("{expression} REMOVE {}", remove.join(", "));
        }
        let result = update
            .update_expression(expression)
            .expression_attribute_values(":state", s(state.as_str()))
            .optional_value(":reason", reason.map(s))
            .send()
            .await;
        written(result, "UpdateItem of a notification")
    }

    /// Has a notification decided again, whatever became of it: marks it as just received, and who asked. Says
    /// whether it was written; not if somebody else just did the same. Enqueue its key then.
    ///
    /// # Errors
    /// If DynamoDB did not do it or its answer was lost.
    pub async fn reopen(
        &self,
        order: &OrderKey,
        seen: &NotificationRecord,
        by: &str,
        now: EpochMillis,
    ) -> Result<bool, StoreError> {
        let pk = pk(order);
        let result = self
            .update(&pk, &notification_sk(&seen.key(order)))
            .update_expression(format!(
                "SET #state = :received, replays = :next, replayed_at = :now, replayed_by = :by, {} \
                 REMOVE expires_at, reason, settled_by, settled_note",
                unfinished::SET
            ))
            .condition_expression(not_replayed_since(seen))
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":received", s(NotificationState::Received.as_str()))
            .expression_attribute_values(":next", n(seen.replays + 1))
            .expression_attribute_values(":now", n(now.0))
            .expression_attribute_values(":by", s(by))
            .optional_value(":replays", (seen.replays != 0).then(|| n(seen.replays)))
            .indexed(&pk, Looker::Sweep, now.plus(GRACE))
            .send()
            .await;
        written(result, "UpdateItem of a notification")
    }

    /// Takes a notification that needs a person off the list: a person has seen to it, and no call is to be made. Says
    /// whether it was written; not if it is decided otherwise, or decided again, meanwhile.
    ///
    /// # Errors
    /// If DynamoDB did not do it or its answer was lost.
    pub async fn settle(
        &self,
        order: &OrderKey,
        seen: &NotificationRecord,
        by: &str,
        note: &str,
        now: EpochMillis,
    ) -> Result<bool, StoreError> {
        let result = self
            .update(&pk(order), &notification_sk(&seen.key(order)))
            .update_expression(format!(
                "SET #state = :dispatched, decided_at = :now, reason = :reason, settled_by = :by, settled_note = :note, \
                 expires_at = :expires REMOVE {}",
                unfinished::REMOVE
            ))
            .condition_expression(format!("{} AND #state = :attention", not_replayed_since(seen)))
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":dispatched", s(NotificationState::Dispatched.as_str()))
            .expression_attribute_values(":attention", s(NotificationState::Attention.as_str()))
            .expression_attribute_values(":now", n(now.0))
            // Who, and in which words, stays on the record: others are told the reason, too.
            .expression_attribute_values(":reason", s(SETTLED))
            .expression_attribute_values(":by", s(by))
            .expression_attribute_values(":note", s(note))
            .expression_attribute_values(":expires", n(now.plus(self.retention).epoch_seconds()))
            .optional_value(":replays", (seen.replays != 0).then(|| n(seen.replays)))
            .send()
            .await;
        written(result, "UpdateItem of a notification")
    }

    /// Keeps an order's link as long as something of the order is unfinished.
    ///
    /// # Errors
    /// If DynamoDB did not do it or its answer was lost.
    pub async fn keep_link(&self, order: &OrderKey) -> Result<(), StoreError> {
        let result = self
            .update(&pk(order), LINK)
            .update_expression("REMOVE expires_at")
            .condition_expression("attribute_exists(pk)")
            .send()
            .await;
        written(result, "UpdateItem of a link").map(drop)
    }

    /// Lets the link that was `seen` expire when what it was for is done. Linking the order anew keeps it again.
    ///
    /// # Errors
    /// If DynamoDB did not do it or its answer was lost.
    pub async fn let_link_expire(
        &self,
        order: &OrderKey,
        seen: &LinkRecord,
        now: EpochMillis,
    ) -> Result<(), StoreError> {
        let result = self
            .update(&pk(order), LINK)
            .update_expression("SET expires_at = :expires")
            .condition_expression("puts = :seen")
            .expression_attribute_values(":seen", n(seen.puts))
            .expression_attribute_values(":expires", n(now.plus(self.retention).epoch_seconds()))
            .send()
            .await;
        written(result, "UpdateItem of a link").map(drop)
    }
}

fn read_link(order: &OrderKey, item: Item) -> Result<LinkRecord, StoreError> {
    let stored: StoredLink = read(item)?;
    let foreign = || StoreError::Foreign { pk: pk(order), sk: LINK.to_owned() };
    let link = serde_json::from_str(&stored.link).map_err(|_| foreign())?;
    let StoredLink { updated_at, updated_by, puts, expires_at, led_to, led_at, .. } = stored;
    Ok(LinkRecord { link, updated_at, updated_by, puts, expires: expires_at.is_some(), led_to, led_at })
}

/// The condition that nobody had a notification decided again since it was read.
const fn not_replayed_since(seen: &NotificationRecord) -> &'static str {
    if seen.replays == 0 { "attribute_exists(pk) AND attribute_not_exists(replays)" } else { "replays = :replays" }
}
