//! What a Lambda function needs and knows nothing of orders: start-up, AWS clients, queues, secrets, logs, HTTP.

pub mod aws;
pub mod connections;
pub mod environment;
pub mod http;
pub mod logs;
pub mod metrics;
pub mod queue;
pub mod secret;
pub mod xray;

use crate::aws::Aws;
use crate::environment::{AwsConfig, environment};

/// Starts a function: its logs first, so that what goes wrong afterwards is logged, and then its clients of AWS.
///
/// # Errors
/// If Lambda's environment cannot be used.
pub fn start() -> Result<Aws, lambda_runtime::Error> {
    logs::start(environment::log_level(&environment));
    Ok(Aws::new(&AwsConfig::read(&environment)?)?)
}
