//! What is known of an order: its link, and its notifications with what became of them.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use serde::Deserialize;

use crate::call::CallId;
use crate::clock::EpochMillis;
use crate::notification::{NotificationKey, NotificationKind, NotificationState};
use crate::order::{Link, OrderKey};
use crate::record::{Item, StoreError, Table, n, read, s};

const LINK: &str = "link";

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
}

#[derive(Deserialize)]
struct StateBefore {
    state: NotificationState,
}

impl Table {
    /// Records a delivery of a notification, and says what had become of it before: nothing (`None`) if this is
    /// the first. One request, whichever it is; deliveries at the same time count each other.
    ///
    /// # Errors
    /// If DynamoDB did not do it or its answer was lost: then nothing must be acknowledged.
    pub async fn record_delivery(
        &self,
        key: &NotificationKey,
        payload: &str,
        now: EpochMillis,
    ) -> Result<Option<NotificationState>, StoreError> {
        // Each value is taken from the first delivery only, whatever the order in which deliveries get here.
        let first_only = "SET #state = if_not_exists(#state, :received), payload = if_not_exists(payload, :payload), \
             received_at = if_not_exists(received_at, :now), kind = :kind, digest = :digest, \
             last_received_at = :now ADD deliveries :one";
        let output = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", s(pk(&key.order)))
            .key("sk", s(notification_sk(key)))
            .update_expression(first_only)
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":received", s(NotificationState::Received.as_str()))
            .expression_attribute_values(":payload", s(payload))
            .expression_attribute_values(":now", n(now.0))
            .expression_attribute_values(":kind", s(key.kind.as_str()))
            .expression_attribute_values(":digest", s(&key.digest))
            .expression_attribute_values(":one", n(1))
            .return_values(ReturnValue::UpdatedOld)
            .send()
            .await
            .map_err(StoreError::of("UpdateItem of a notification"))?;
        match output.attributes {
            Some(before) if before.contains_key("state") => Ok(Some(read::<StateBefore>(before)?.state)),
            _ => Ok(None),
        }
    }

    /// Replaces an order's link.
    ///
    /// # Errors
    /// If DynamoDB did not do it or its answer was lost.
    pub async fn put_link(
        &self,
        order: &OrderKey,
        link: &Link,
        updated_by: &str,
        now: EpochMillis,
    ) -> Result<(), StoreError> {
        // Serialising our own struct of strings and numbers cannot fail.
        let json = serde_json::to_string(link).unwrap_or_default();
        self.client
            .update_item()
            .table_name(&self.name)
            .key("pk", s(pk(order)))
            .key("sk", s(LINK))
            .update_expression("SET link = :link, updated_at = :now, updated_by = :by REMOVE expires_at")
            .expression_attribute_values(":link", s(json))
            .expression_attribute_values(":now", n(now.0))
            .expression_attribute_values(":by", s(updated_by))
            .send()
            .await
            .map_err(StoreError::of("UpdateItem of a link"))?;
        Ok(())
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

    /// Writes down what became of a notification. What is dispatched stays so: a slower decision, made from
    /// older facts, changes nothing. Says whether the verdict was written.
    ///
    /// # Errors
    /// If DynamoDB did not do it or its answer was lost.
    pub async fn mark(&self, key: &NotificationKey, verdict: &Verdict, now: EpochMillis) -> Result<bool, StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", s(pk(&key.order)))
            .key("sk", s(notification_sk(key)))
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":now", n(now.0));
        let mut expression = "SET #state = :state, decided_at = :now".to_owned();
        let (state, reason, update) = match verdict {
            Verdict::Dispatched { call, reason } => {
                expression.push_str(", expires_at = :expires");
                if call.is_some() {
                    expression = format!("ADD calls :calls {expression}");
                }
                let calls = call.as_ref().map(|call| AttributeValue::Ss(vec![call.to_string()]));
                let update = update
                    .condition_expression("attribute_exists(pk)")
                    .expression_attribute_values(":expires", n(now.plus(self.retention).epoch_seconds()))
                    .optional_value(":calls", calls);
                (NotificationState::Dispatched, *reason, update)
            }
            Verdict::Waiting(reason) => (NotificationState::Waiting, Some(*reason), not_dispatched(update)),
            Verdict::Attention(reason) => (NotificationState::Attention, Some(reason.as_str()), not_dispatched(update)),
        };
        expression.push_str(if reason.is_some() { ", reason = :reason" } else { " REMOVE reason" });
        let result = update
            .update_expression(expression)
            .expression_attribute_values(":state", s(state.as_str()))
            .optional_value(":reason", reason.map(s))
            .send()
            .await;
        match result {
            Ok(_) => Ok(true),
            Err(error) if is_failed_condition(&error) => Ok(false),
            Err(error) => Err(StoreError::of("UpdateItem of a notification")(error)),
        }
    }

    /// Lets an order's link expire when what it was for is done. Linking the order anew keeps it again.
    ///
    /// # Errors
    /// If DynamoDB did not do it or its answer was lost.
    pub async fn let_link_expire(&self, order: &OrderKey, now: EpochMillis) -> Result<(), StoreError> {
        let result = self
            .client
            .update_item()
            .table_name(&self.name)
            .key("pk", s(pk(order)))
            .key("sk", s(LINK))
            .update_expression("SET expires_at = :expires")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":expires", n(now.plus(self.retention).epoch_seconds()))
            .send()
            .await;
        match result {
            Err(error) if !is_failed_condition(&error) => Err(StoreError::of("UpdateItem of a link")(error)),
            _ => Ok(()),
        }
    }
}

fn read_link(order: &OrderKey, item: Item) -> Result<LinkRecord, StoreError> {
    let stored: StoredLink = read(item)?;
    let foreign = || StoreError::Foreign { pk: pk(order), sk: LINK.to_owned() };
    let link = serde_json::from_str(&stored.link).map_err(|_| foreign())?;
    Ok(LinkRecord { link, updated_at: stored.updated_at, updated_by: stored.updated_by })
}

fn is_failed_condition<R>(error: &aws_sdk_dynamodb::error::SdkError<UpdateItemError, R>) -> bool {
    error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception)
}

/// What is dispatched stays so.
fn not_dispatched(update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
    update
        .condition_expression("attribute_exists(pk) AND #state <> :dispatched")
        .expression_attribute_values(":dispatched", s(NotificationState::Dispatched.as_str()))
}

/// Values that an expression names only in some cases: DynamoDB refuses those it does not name.
trait OptionalValue {
    fn optional_value(self, name: &str, value: Option<AttributeValue>) -> Self;
}

impl OptionalValue for UpdateItemFluentBuilder {
    fn optional_value(self, name: &str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.expression_attribute_values(name, value),
            None => self,
        }
    }
}
