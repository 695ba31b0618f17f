//! Clients of AWS, built once per function, with time-outs that leave an invocation time to answer.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};

use crate::telemetry::chain;

/// How long one request may take before it is tried anew.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long all tries of one operation may take.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(6);

/// What every client starts from: credentials and region of the function, three tries, short time-outs.
pub async fn sdk_config() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(1))
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .operation_timeout(OPERATION_TIMEOUT)
                .build(),
        )
        .load()
        .await
}

/// What an SDK's error says, without the response it came in: the SDK's own long form would quote the body, and
/// with it whatever a record or a secret holds.
#[must_use]
pub fn cause<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    match error.as_service_error().and_then(|service| Some((service.code()?, service.message().unwrap_or_default()))) {
        Some((code, message)) => format!("{code}: {message}"),
        None => chain(error),
    }
}
