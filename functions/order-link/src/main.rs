//! Wires the booking system's side of an order to the table and the queue.

use std::convert::Infallible;
use std::sync::Arc;

use lambda_http::{Request, service_fn};
use order_link::OrderLink;
use shared::clock::SystemClock;
use shared::config::{self, OrderLinkConfig};
use shared::queue::Queue;
use shared::record::Table;
use shared::{aws, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(config::log_level(&config::environment));
    let config = OrderLinkConfig::read(&config::environment)?;
    let sdk = aws::sdk_config().await;
    let order_link = OrderLink {
        table: Table::new(aws_sdk_dynamodb::Client::new(&sdk), config.table.name, config.table.retention),
        notifications: Queue::new(aws_sdk_sqs::Client::new(&sdk), config.notifications_queue_url),
        clock: Arc::new(SystemClock),
    };
    let order_link = &order_link;
    lambda_http::run(service_fn(async |request: Request| Ok::<_, Infallible>(order_link.handle(&request).await))).await
}
