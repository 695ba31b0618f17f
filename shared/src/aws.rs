//! Clients of AWS, built once per function, with time-outs that leave an invocation time to answer.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};

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
