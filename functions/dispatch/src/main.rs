//! Wires deciding to the table and the queues.

use std::convert::Infallible;
use std::sync::Arc;

use dispatch::Dispatch;
use lambda_runtime::service_fn;
use shared::aws::Aws;
use shared::call::CallKind;
use shared::clock::{SharedClock, SharedRandom, SystemClock, system_random};
use shared::config::{self, AwsConfig, DispatchConfig};
use shared::decide::Settings;
use shared::queue::batch::BatchRunner;
use shared::telemetry;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::start(config::log_level(&config::environment));
    let config = DispatchConfig::read(&config::environment)?;
    let aws = Aws::new(&AwsConfig::read(&config::environment)?)?;
    let (clock, random): (SharedClock, SharedRandom) = (Arc::new(SystemClock), system_random());
    let notifications = aws.queue(config.notifications_queue_url);
    let call_queue = |kind: CallKind| (kind, aws.queue(config.call_queue_urls.of(kind).clone()));
    let dispatch = Dispatch {
        settings: Settings { failed_code: config.ship_failed_code, retention: config.table.retention },
        table: aws.table(config.table),
        notifications: notifications.clone(),
        calls: CallKind::ALL.into_iter().map(call_queue).collect(),
        clock: clock.clone(),
        random: random.clone(),
    };
    let runner = BatchRunner::new(notifications, clock, random);
    tokio::join!(aws.connect_to_dynamodb(), aws.connect_to_sqs());
    lambda_runtime::run(service_fn(async |event| Ok::<_, Infallible>(dispatch.handle(&runner, event).await))).await
}
