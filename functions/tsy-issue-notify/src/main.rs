//! Wires the endpoint of TSY's IssueNotify to the table and the queue.

use std::convert::Infallible;
use std::sync::Arc;

use lambda_http::{Request, service_fn};
use shared::clock::SystemClock;
use shared::config::{self, TsyConfig};
use shared::intake::Intake;
use shared::notification::NotificationKind;
use shared::queue::Queue;
use shared::record::Table;
use shared::{aws, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(config::log_level(&config::environment));
    let config = TsyConfig::read(&config::environment)?;
    let sdk = aws::sdk_config().await;
    let intake = Intake {
        kind: NotificationKind::IssueNotify,
        tokens: config.tokens,
        table: Table::new(aws_sdk_dynamodb::Client::new(&sdk), config.table.name, config.table.retention),
        notifications: Queue::new(aws_sdk_sqs::Client::new(&sdk), config.notifications_queue_url),
        clock: Arc::new(SystemClock),
    };
    let intake = &intake;
    lambda_http::run(service_fn(async |request: Request| {
        Ok::<_, Infallible>(tsy_issue_notify::handle(intake, &request).await)
    }))
    .await
}
