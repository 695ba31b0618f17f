//! Wires the sweep to the table and all queues.

use std::sync::Arc;

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use shared::call::CallKind;
use shared::clock::{Clock as _, SystemClock};
use shared::config::{self, SweepConfig};
use shared::queue::Queue;
use shared::queue::batch::Invocation;
use shared::record::Table;
use shared::{aws, telemetry};
use sweep::Sweep;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::start(config::log_level(&config::environment));
    let config = SweepConfig::read(&config::environment)?;
    let sdk = aws::sdk_config().await;
    let sqs = aws_sdk_sqs::Client::new(&sdk);
    let queue_of = |kind| (kind, Queue::new(sqs.clone(), config.call_queue_urls.of(kind).clone()));
    let sweep = Sweep {
        table: Table::new(aws_sdk_dynamodb::Client::new(&sdk), config.table.name, config.table.retention),
        notifications: Queue::new(sqs.clone(), config.notifications_queue_url),
        calls: CallKind::ALL.into_iter().map(queue_of).collect(),
        clock: Arc::new(SystemClock),
    };
    // What the schedule's event says does not matter.
    let handler = service_fn(async |event: LambdaEvent<Value>| {
        let swept = sweep.handle(&Invocation::new(&event.context, SystemClock.now())).await;
        swept.map_err(lambda_runtime::Error::from)
    });
    lambda_runtime::run(handler).await
}
