//! Wires the deciding of notifications to the table and the queues.

use std::convert::Infallible;
use std::sync::Arc;

use dispatch::Dispatch;
use lambda_runtime::service_fn;
use shared::aws::Aws;
use shared::clock::{SharedClock, SharedRandom, SystemClock, system_random};
use shared::config::{self, AwsConfig, DispatchConfig};
use shared::queue::Queue;
use shared::queue::batch::BatchRunner;
use shared::telemetry;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::start(config::log_level(&config::environment));
    let config = DispatchConfig::read(&config::environment)?;
    let aws = Aws::new(&AwsConfig::read(&config::environment)?)?;
    let sqs = aws.sqs();
    let (clock, random): (SharedClock, SharedRandom) = (Arc::new(SystemClock), system_random());
    let dispatch = Dispatch {
        table: aws.table(config.table),
        itinerary_postback: Queue::new(sqs.clone(), config.itinerary_postback_queue_url),
        ship_notify: Queue::new(sqs.clone(), config.ship_notify_queue_url),
        ship_failed_code: config.ship_failed_code,
        clock: clock.clone(),
        random: random.clone(),
    };
    let runner = BatchRunner::new(Queue::new(sqs, config.notifications_queue_url), clock, random);
    tokio::join!(aws.connect_to_dynamodb(), aws.connect_to_sqs());
    lambda_runtime::run(service_fn(async |event| Ok::<_, Infallible>(dispatch.handle(&runner, event).await))).await
}
