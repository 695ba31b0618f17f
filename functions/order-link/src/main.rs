//! Connects order links and operators' requests to the table and the queue.

use std::convert::Infallible;
use std::sync::Arc;

use lambda_http::{Request, service_fn};
use relay_order_link::OrderLink;
use relay_order_link::config::OrderLinkConfig;
use relay_runtime::environment::environment;
use relay_runtime::queue::Queue;
use relay_store::Store;
use relay_types::time::{SystemClock, system_random};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let aws = relay_runtime::start()?;
    let config = OrderLinkConfig::read(&environment)?;
    let order_link = &OrderLink {
        store: Store::open(&aws, config.table),
        notifications: Queue::open(&aws, config.notifications_queue_url),
        accounts: config.accounts,
        unnotified_after: config.unnotified_after,
        clock: Arc::new(SystemClock),
        random: system_random(),
    };
    tokio::join!(aws.connect_to_dynamodb(), aws.connect_to_sqs());
    lambda_http::run(service_fn(async |request: Request| Ok::<_, Infallible>(order_link.handle(&request).await))).await
}
