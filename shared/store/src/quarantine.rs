//! Unreadable bodies. The table keeps them for 30 days. The attention list shows an entry without the body until an
//! operator dismisses it. Equal bodies are one entry.

use std::time::Duration;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use relay_types::attention::Unreadable;
use relay_types::digest::sha256_hex;
use relay_types::notification::NotificationKind;
use relay_types::time::EpochMillis;
use serde::Deserialize;

use crate::index::shard_of;
use crate::{Store, StoreError, n, read, s, written};

/// How long an unreadable body is kept, dismissed or not.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

fn pk(endpoint: NotificationKind) -> String {
    format!("quarantine#{}", endpoint.partner())
}

fn sk(endpoint: NotificationKind, digest: &str) -> String {
    format!("{endpoint}#{digest}")
}

/// A quarantined body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The body.
    pub body: Vec<u8>,
    /// Its size.
    pub bytes: usize,
    /// What is wrong with it.
    pub problem: String,
    /// How often it arrived.
    pub deliveries: u32,
    /// When it arrived last.
    pub last_at: EpochMillis,
    /// Whether it is in the attention list.
    pub needs_attention: bool,
    /// Who dismissed it, if somebody did.
    pub dismissed_by: Option<String>,
    /// The note of that request.
    pub dismissed_note: Option<String>,
}

#[derive(Deserialize)]
struct Kept {
    unreadable: Unreadable,
    #[serde(default)]
    deliveries: u32,
    #[serde(default)]
    last_at: EpochMillis,
    attention: Option<String>,
    dismissed_by: Option<String>,
    dismissed_note: Option<String>,
}

impl Store {
    /// Reads a quarantined body; `None` if there is no such body.
    ///
    /// # Errors
    /// If DynamoDB did not respond, or the item is not in this version's format.
    pub async fn unreadable(
        &self,
        endpoint: NotificationKind,
        digest: &str,
    ) -> Result<Option<Quarantined>, StoreError> {
        let item = self.get(&pk(endpoint), &sk(endpoint, digest), "GetItem of a quarantined body").await?;
        let Some(mut item) = item else { return Ok(None) };
        let body = match item.remove("body") {
            Some(AttributeValue::B(blob)) => blob.into_inner(),
            _ => Vec::new(),
        };
        let kept: Kept = read(item)?;
        Ok(Some(Quarantined {
            bytes: body.len(),
            body,
            problem: kept.unreadable.problem,
            deliveries: kept.deliveries,
            last_at: kept.last_at,
            needs_attention: kept.attention.is_some(),
            dismissed_by: kept.dismissed_by,
            dismissed_note: kept.dismissed_note,
        }))
    }

    /// Stores an unreadable body with the reason and adds it to the attention list.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost.
    pub async fn quarantine(
        &self,
        endpoint: NotificationKind,
        body: &[u8],
        problem: &str,
        now: EpochMillis,
    ) -> Result<(), StoreError> {
        let digest = sha256_hex(body);
        let (pk, sk) = (pk(endpoint), sk(endpoint, &digest));
        let unreadable = Unreadable { endpoint, digest, problem: problem.to_owned() };
        let unreadable = serde_dynamo::to_attribute_value(unreadable).map_err(|error| StoreError::Request {
            operation: "serialising a quarantined body",
            cause: error.to_string(),
        })?;
        self.update(&pk, &sk)
            .update_expression(
                "SET body = :body, unreadable = :unreadable, attention = :shard, since = if_not_exists(since, :now), \
                 last_at = :now, expires_at = :expires ADD deliveries :one",
            )
            .expression_attribute_values(":body", AttributeValue::B(Blob::new(body)))
            .expression_attribute_values(":unreadable", unreadable)
            .expression_attribute_values(":shard", shard_of(&format!("{pk}{sk}")))
            .expression_attribute_values(":now", n(now.0))
            .expression_attribute_values(":expires", n(now.plus(KEPT_FOR).epoch_seconds()))
            .expression_attribute_values(":one", n(1))
            .send()
            .await
            .map_err(StoreError::of("UpdateItem of a quarantined body"))?;
        Ok(())
    }

    /// Removes an unreadable body from the attention list. The body stays until it expires. Returns `false` if there is
    /// no such body.
    ///
    /// # Errors
    /// If DynamoDB did not perform the write or its response was lost.
    pub async fn dismiss_unreadable(
        &self,
        endpoint: NotificationKind,
        digest: &str,
        by: &str,
        note: &str,
    ) -> Result<bool, StoreError> {
        let result = self
            .update(&pk(endpoint), &sk(endpoint, digest))
            .update_expression("SET dismissed_by = :by, dismissed_note = :note REMOVE attention, since")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":by", s(by))
            .expression_attribute_values(":note", s(note))
            .send()
            .await;
        written(result, "UpdateItem of a quarantined body")
    }
}
