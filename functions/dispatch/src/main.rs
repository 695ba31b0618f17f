//! Connects dispatch to the table and the queues.

use std::convert::Infallible;
use std::sync::Arc;

use lambda_runtime::service_fn;
use relay_decide::Settings;
use relay_dispatch::Dispatch;
use relay_dispatch::config::DispatchConfig;
use relay_runtime::environment::environment;
use relay_runtime::queue::Queue;
use relay_runtime::queue::batch::BatchRunner;
use relay_store::Store;
use relay_types::time::{SharedClock, SharedRandom, SystemClock, system_random};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let aws = relay_runtime::start()?;
    let config = DispatchConfig::read(&environment)?;
    let (clock, random): (SharedClock, SharedRandom) = (Arc::new(SystemClock), system_random());
    let notifications = Queue::open(&aws, config.notifications_queue_url);
    let dispatch = Dispatch {
        settings: Settings {
            failed_code: config.ship_failed_code,
            retention: config.table.retention,
            unnotified_after: config.unnotified_after,
        },
        store: Store::open(&aws, config.table),
        notifications: notifications.clone(),
        calls: config.call_queue_urls.into_iter().map(|(kind, url)| (kind, Queue::open(&aws, url))).collect(),
        clock: clock.clone(),
        random: random.clone(),
    };
    let runner = BatchRunner::new(notifications, clock, random);
    tokio::join!(aws.connect_to_dynamodb(), aws.connect_to_sqs());
    lambda_runtime::run(service_fn(async |event| Ok::<_, Infallible>(dispatch.handle(&runner, event).await))).await
}
