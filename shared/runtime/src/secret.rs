//! Secrets from Secrets Manager: read when first needed, cached for five minutes, and longer while they cannot be read.

use std::fmt;
use std::time::Duration;

use relay_types::time::{EpochMillis, SharedClock};
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::Mutex;

use crate::aws;

/// How long a secret is cached.
const KEPT_FOR: Duration = Duration::from_secs(300);
/// How long a failed read is not repeated, so that many messages that wait for the secret share one.
const FAILURE_KEPT_FOR: Duration = Duration::from_secs(5);

/// Why a secret is not available.
#[derive(Debug, Clone, Error)]
pub enum SecretError {
    /// Secrets Manager did not return the secret.
    #[error(
        "cannot read the secret {id}: {cause}; check that it exists, that it is filled in, and that the function may read it"
    )]
    NotRead {
        /// The secret's ARN or name.
        id: String,
        /// The SDK's error.
        cause: String,
    },
    /// The secret does not have the expected members. The cause is omitted because it could quote the secret.
    #[error("the secret {id} is not the expected JSON object, or not filled in; fill it in as the README describes")]
    NotUsable {
        /// The secret's ARN or name.
        id: String,
    },
}

/// A secret that is read when first needed and again after five minutes.
pub struct CachedSecret<T> {
    client: aws_sdk_secretsmanager::Client,
    id: String,
    clock: SharedClock,
    cached: Mutex<Option<Cached<T>>>,
}

/// The last read.
struct Cached<T> {
    read_at: EpochMillis,
    secret: Result<T, SecretError>,
    /// Whether the read failed; then `secret` may be an earlier one.
    failed: bool,
}

impl<T> fmt::Debug for CachedSecret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedSecret").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<T: DeserializeOwned + Clone> CachedSecret<T> {
    /// The secret with the ARN or name `id`.
    #[must_use]
    pub fn new(client: aws_sdk_secretsmanager::Client, id: String, clock: SharedClock) -> Self {
        Self { client, id, clock, cached: Mutex::new(None) }
    }

    /// The secret, read at most five minutes ago, or the last one if Secrets Manager does not return it now. Concurrent
    /// callers share one read.
    ///
    /// # Errors
    /// If the secret could never be read, or is not usable.
    pub async fn get(&self) -> Result<T, SecretError> {
        let now = self.clock.now();
        self.read_unless(|read_at, failed| read_at.until(now) < if failed { FAILURE_KEPT_FOR } else { KEPT_FOR }).await
    }

    /// The current secret, for a caller whose cached one was refused. A read later than `used_since` is fresh enough.
    ///
    /// # Errors
    /// If the secret cannot be read or is not usable.
    pub async fn refresh(&self, used_since: EpochMillis) -> Result<T, SecretError> {
        self.read_unless(|read_at, _| read_at > used_since).await
    }

    async fn read_unless(&self, is_fresh: impl FnOnce(EpochMillis, bool) -> bool) -> Result<T, SecretError> {
        let mut cached = self.cached.lock().await;
        if let Some(cached) = &*cached
            && is_fresh(cached.read_at, cached.failed)
        {
            return cached.secret.clone();
        }
        let read_at = self.clock.now();
        let read = self.read().await;
        let failed = read.is_err();
        let secret = match (read, cached.take().map(|cached| cached.secret)) {
            (Err(problem @ SecretError::NotRead { .. }), Some(Ok(earlier))) => {
                tracing::warn!(%problem, "the secret that was read before is used");
                Ok(earlier)
            }
            (read, _) => read,
        };
        *cached = Some(Cached { read_at, secret: secret.clone(), failed });
        secret
    }

    async fn read(&self) -> Result<T, SecretError> {
        let output = self.client.get_secret_value().secret_id(&self.id).send().await;
        let output = output.map_err(|error| SecretError::NotRead { id: self.id.clone(), cause: aws::cause(&error) })?;
        serde_json::from_str(output.secret_string().unwrap_or_default())
            .map_err(|_| SecretError::NotUsable { id: self.id.clone() })
    }
}
