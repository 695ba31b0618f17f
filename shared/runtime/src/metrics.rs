//! Metrics in CloudWatch's embedded format: JSON lines on standard output, which CloudWatch counts as it takes them in.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::error::Error;

use metrics_cloudwatch_embedded::{Builder, Collector};

/// Starts counting: from now on the macros of `metrics` count, and the collector writes down what they counted.
///
/// # Errors
/// If the process counts already.
pub fn start(stack_name: &str) -> Result<&'static Collector, Box<dyn Error + Send + Sync>> {
    Builder::new().cloudwatch_namespace(namespace(stack_name)).init()
}

/// Where CloudWatch keeps the metrics of a deployment.
#[must_use]
pub fn namespace(stack_name: &str) -> String {
    format!("ticket-relay/{stack_name}")
}
