//! Wires the sweep to the table and all queues.

use std::sync::Arc;

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use shared::aws::Aws;
use shared::clock::{Clock as _, SystemClock};
use shared::config::{self, AwsConfig, SweepConfig};
use shared::queue::batch::Invocation;
use shared::{metrics, telemetry};
use sweep::Sweep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::start(config::log_level(&config::environment));
    let config = SweepConfig::read(&config::environment)?;
    let aws = Aws::new(&AwsConfig::read(&config::environment)?)?;
    let metrics = metrics::start(&config.stack_name)?;
    let sweep = Sweep {
        table: aws.table(config.table),
        notifications: aws.queue(config.notifications_queue_url),
        clock: Arc::new(SystemClock),
    };
    // What the schedule's event says does not matter.
    let handler = service_fn(async |event: LambdaEvent<Value>| {
        let swept = sweep.handle(&Invocation::new(&event.context, SystemClock.now())).await;
        if sweep.measure().await {
            metrics.flush(std::io::stdout())?;
        }
        swept.map_err(lambda_runtime::Error::from)
    });
    aws.connect_to_dynamodb().await;
    lambda_runtime::run(handler).await
}
