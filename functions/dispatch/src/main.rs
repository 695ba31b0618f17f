//! Wires the deciding of notifications to the table and the queues.

use std::convert::Infallible;
use std::sync::Arc;

use dispatch::Dispatch;
use lambda_runtime::service_fn;
use shared::clock::{SharedClock, SharedRandom, SystemClock, system_random};
use shared::config::{self, DispatchConfig};
use shared::queue::Queue;
use shared::queue::batch::BatchRunner;
use shared::record::Table;
use shared::{aws, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::start(config::log_level(&config::environment));
    let config = DispatchConfig::read(&config::environment)?;
    let sdk = aws::sdk_config().await;
    let sqs = aws_sdk_sqs::Client::new(&sdk);
    let (clock, random): (SharedClock, SharedRandom) = (Arc::new(SystemClock), system_random());
    let dispatch = Dispatch {
        table: Table::new(aws_sdk_dynamodb::Client::new(&sdk), config.table.name, config.table.retention),
        itinerary_postback: Queue::new(sqs.clone(), config.itinerary_postback_queue_url),
        ship_notify: Queue::new(sqs.clone(), config.ship_notify_queue_url),
        ship_failed_code: config.ship_failed_code,
        clock: clock.clone(),
        random: random.clone(),
    };
    let runner = BatchRunner::new(Queue::new(sqs, config.notifications_queue_url), clock, random);
    lambda_runtime::run(service_fn(async |event| Ok::<_, Infallible>(dispatch.handle(&runner, event).await))).await
}
