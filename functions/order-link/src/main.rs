//! Wires the booking system's side of an order to the table and the queue.

use std::convert::Infallible;
use std::sync::Arc;

use lambda_http::{Request, service_fn};
use order_link::OrderLink;
use shared::aws::Aws;
use shared::clock::{SystemClock, system_random};
use shared::config::{self, AwsConfig, OrderLinkConfig};
use shared::telemetry;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(config::log_level(&config::environment));
    let config = OrderLinkConfig::read(&config::environment)?;
    let aws = Aws::new(&AwsConfig::read(&config::environment)?)?;
    let order_link = OrderLink {
        table: aws.table(config.table),
        notifications: aws.queue(config.notifications_queue_url),
        clock: Arc::new(SystemClock),
        random: system_random(),
    };
    let order_link = &order_link;
    tokio::join!(aws.connect_to_dynamodb(), aws.connect_to_sqs());
    lambda_http::run(service_fn(async |request: Request| Ok::<_, Infallible>(order_link.handle(&request).await))).await
}
