//! The table: what is known of each order, and each call. It carries the facts; the queues carry only keys.
//!
//! | item | pk | sk |
//! |---|---|---|
//! | what the booking system knows | `order#{partner}#{order_id}` | `link` |
//! | a notification | `order#{partner}#{order_id}` | `notification#{kind}#{digest}` |
//! | a TOP call | `call#{call}#{key}` | `call` |
//! | a body that could not be read | `quarantine#{partner}` | time + digest |
//!
//! While a record is unfinished it is also in the sparse index [`unfinished`].
//!
//! Every write is one conditional request, so that whoever comes twice, late or out of order changes nothing.

pub mod calls;
pub mod orders;
pub mod quarantine;
pub mod unfinished;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::aws;

/// An item as DynamoDB gives it.
pub type Item = HashMap<String, AttributeValue>;

/// Why the table could not be read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// DynamoDB did not do it, or its answer was lost.
    #[error("DynamoDB {operation} failed: {cause}")]
    Request {
        /// Which operation.
        operation: &'static str,
        /// What the SDK says.
        cause: String,
    },
    /// An item is not what this version writes. The cause is not told, since it could quote the item.
    #[error("the item {pk} / {sk} is not one that this version of ticket-relay writes; mend or remove it")]
    Foreign {
        /// Its partition key.
        pk: String,
        /// Its sort key.
        sk: String,
    },
    /// Others changed the item again and again while this change was tried.
    #[error("the item {pk} kept changing while it was to be written; try again")]
    Contended {
        /// Its partition key.
        pk: String,
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

/// The table, and how long a finished record stays in it.
#[derive(Debug, Clone)]
pub struct Table {
    client: aws_sdk_dynamodb::Client,
    name: String,
    retention: Duration,
}

impl Table {
    /// The table of that name. `retention` is how long a record stays after the write that finished it; what is
    /// unfinished never expires.
    #[must_use]
    pub const fn new(client: aws_sdk_dynamodb::Client, name: String, retention: Duration) -> Self {
        Self { client, name, retention }
    }

    /// An update of one item.
    fn update(&self, pk: &str, sk: &str) -> UpdateItemFluentBuilder {
        self.client.update_item().table_name(&self.name).key("pk", s(pk)).key("sk", s(sk))
    }

    /// One item, as it is now.
    async fn get(&self, pk: &str, sk: &str, operation: &'static str) -> Result<Option<Item>, StoreError> {
        let get = self.client.get_item().table_name(&self.name).key("pk", s(pk)).key("sk", s(sk)).consistent_read(true);
        Ok(get.send().await.map_err(StoreError::of(operation))?.item)
    }
}

fn is_failed_condition<R>(error: &SdkError<UpdateItemError, R>) -> bool {
    error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception)
}

/// Whether a conditional update was written.
fn written<T, R>(result: Result<T, SdkError<UpdateItemError, R>>, operation: &'static str) -> Result<bool, StoreError>
where
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match result {
        Ok(_) => Ok(true),
        Err(error) if is_failed_condition(&error) => Ok(false),
        Err(error) => Err(StoreError::of(operation)(error)),
    }
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
