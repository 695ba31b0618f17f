//! Metrics in CloudWatch's embedded metric format: JSON lines on standard output, which CloudWatch turns into metrics.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::error::Error;

use metrics_cloudwatch_embedded::{Builder, Collector};

/// Installs the metrics recorder: the macros of `metrics` now record, and the returned collector writes the values out.
///
/// # Errors
/// If the process already has a recorder.
pub fn start(stack_name: &str) -> Result<&'static Collector, Box<dyn Error + Send + Sync>> {
    Builder::new().cloudwatch_namespace(namespace(stack_name)).init()
}

/// The CloudWatch namespace of a deployment's metrics.
#[must_use]
pub fn namespace(stack_name: &str) -> String {
    format!("ticket-relay/{stack_name}")
}
