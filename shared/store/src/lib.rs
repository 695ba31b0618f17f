//! The DynamoDB table, with one record per order. The table holds the facts; the queues carry only keys.
//!
//! | item | pk | sk |
//! |---|---|---|
//! | an order record | `order#{partner}#{order_id}` | `record` |
//! | a long body of a notification, a link or a request | as its record | `body#{digest}` |
//! | the owner of a lane: the record that may tell TOP about one thing | `lane#{call}#{business id}` | `owner` |
//! | a submitted call: a record of the same kind | `submission#{call}#{id}` | `record` |
//! | an unreadable body | `quarantine#{partner}` | endpoint + digest |
//! | the circuit breaker of a TOP account and call | `breaker` | `{call}#{account}` |
//!
//! Every change of an order is one conditional write of its record, so two runs cannot race between two items.

pub mod breaker;
pub mod index;
pub mod item;
pub mod lane;
pub mod order;
pub mod quarantine;
pub mod unfinished;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use relay_runtime::aws::{self, Aws};
use relay_runtime::environment::TableConfig;
use relay_runtime::http::Refused;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// An item as DynamoDB returns it.
pub type Item = HashMap<String, AttributeValue>;

/// A failed read or write of the table.
#[derive(Debug, Error)]
pub enum StoreError {
    /// DynamoDB did not perform the operation, or its response was lost.
    #[error("DynamoDB {operation} failed: {cause}")]
    Request {
        /// The operation that failed.
        operation: &'static str,
        /// The SDK's error.
        cause: String,
    },
    /// An item that this version did not write. The cause is left out because it could quote the item.
    #[error("item {pk} / {sk} is not in the format of this version of ticket-relay; correct it or remove it")]
    Foreign {
        /// Its partition key.
        pk: String,
        /// Its sort key.
        sk: String,
    },
}

impl StoreError {
    fn of<E, R>(operation: &'static str) -> impl FnOnce(SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        move |error| Self::Request { operation, cause: aws::cause(&error) }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::unavailable(error)
    }
}

/// Access to the table.
#[derive(Debug, Clone)]
pub struct Store {
    client: aws_sdk_dynamodb::Client,
    name: String,
    retention: Duration,
}

impl Store {
    /// Opens the table `name`. `retention` is how long a record stays after everything in it is finished. Unfinished
    /// records never expire.
    #[must_use]
    pub const fn new(client: aws_sdk_dynamodb::Client, name: String, retention: Duration) -> Self {
        Self { client, name, retention }
    }

    /// Opens the table that a function is configured with.
    #[must_use]
    pub fn open(aws: &Aws, config: TableConfig) -> Self {
        Self::new(aws_sdk_dynamodb::Client::new(aws.sdk()), config.name, config.retention)
    }

    /// How long a finished record stays in the table.
    #[must_use]
    pub const fn retention(&self) -> Duration {
        self.retention
    }

    fn update(&self, pk: &str, sk: &str) -> UpdateItemFluentBuilder {
        self.client.update_item().table_name(&self.name).key("pk", s(pk)).key("sk", s(sk))
    }

    /// Reads one item with a consistent read.
    async fn get(&self, pk: &str, sk: &str, operation: &'static str) -> Result<Option<Item>, StoreError> {
        let get = self.client.get_item().table_name(&self.name).key("pk", s(pk)).key("sk", s(sk)).consistent_read(true);
        Ok(get.send().await.map_err(StoreError::of(operation))?.item)
    }
}

/// The result of a conditional update: the new item, or the present item if the condition failed.
enum Updated {
    Written(Item),
    Refused(Item),
}

fn updated<R>(
    result: Result<Option<Item>, SdkError<UpdateItemError, R>>,
    operation: &'static str,
) -> Result<Updated, StoreError>
where
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match result {
        Ok(item) => Ok(Updated::Written(item.unwrap_or_default())),
        Err(error) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                Ok(Updated::Refused(failed.item.clone().unwrap_or_default()))
            }
            _ => Err(StoreError::of(operation)(error)),
        },
    }
}

/// Whether a conditional update took effect.
fn written<T, R>(result: Result<T, SdkError<UpdateItemError, R>>, operation: &'static str) -> Result<bool, StoreError>
where
    R: std::fmt::Debug + Send + Sync + 'static,
{
    Ok(matches!(updated(result.map(|_| None), operation)?, Updated::Written(_)))
}

fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn n(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn read<T: DeserializeOwned>(item: Item) -> Result<T, StoreError> {
    let key = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
    let (pk, sk) = (key("pk"), key("sk"));
    serde_dynamo::from_item(item).map_err(|_| StoreError::Foreign { pk, sk })
}

/// Reads the items of a page.
fn entries<T: DeserializeOwned>(items: Option<Vec<Item>>) -> impl Iterator<Item = T> {
    items.unwrap_or_default().into_iter().filter_map(|item| match read(item) {
        Ok(entry) => Some(entry),
        // An item that was edited manually must not block the others.
        Err(error) => {
            tracing::error!(%error, "item skipped");
            None
        }
    })
}

fn attribute<T: Serialize>(value: &T) -> Result<AttributeValue, StoreError> {
    serde_dynamo::to_attribute_value(value)
        .map_err(|error| StoreError::Request { operation: "serialising a record", cause: error.to_string() })
}
