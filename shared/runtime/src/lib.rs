//! Lambda infrastructure that knows nothing of orders: start-up, AWS clients, queues, secrets, logs, HTTP.

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

/// Starts a function: first logging, so later failures are logged, then the AWS clients.
///
/// # Errors
/// If Lambda's environment is invalid, or the trusted roots cannot be read.
pub fn start() -> Result<Aws, lambda_runtime::Error> {
    logs::start(environment::log_level(&environment));
    Ok(Aws::new(&AwsConfig::read(&environment)?)?)
}
