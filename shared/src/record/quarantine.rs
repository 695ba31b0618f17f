//! Bodies that could not be read: kept for 30 days, so that a person can see what the partner sent.

use std::time::Duration;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;

use crate::clock::EpochMillis;
use crate::digest::sha256_hex;
use crate::order::Partner;
use crate::record::{StoreError, Table, n, s};

/// How long such a body is kept.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

impl Table {
    /// Keeps a body that could not be read, with the reason.
    ///
    /// # Errors
    /// If DynamoDB did not do it or its answer was lost.
    pub async fn quarantine(
        &self,
        partner: Partner,
        body: &[u8],
        reason: &str,
        now: EpochMillis,
    ) -> Result<(), StoreError> {
        self.client
            .put_item()
            .table_name(&self.name)
            .item("pk", s(format!("quarantine#{partner}")))
            .item("sk", s(format!("{now}#{}", sha256_hex(body))))
            .item("body", AttributeValue::B(Blob::new(body)))
            .item("reason", s(reason))
            .item("expires_at", n(now.plus(KEPT_FOR).epoch_seconds()))
            .send()
            .await
            .map_err(StoreError::of("PutItem of a quarantined body"))?;
        Ok(())
    }
}
