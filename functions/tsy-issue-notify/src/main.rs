//! Wires the endpoint of TSY's IssueNotify to the table and the queue.

use std::sync::Arc;

use shared::aws::Aws;
use shared::clock::SystemClock;
use shared::config::{self, AwsConfig, TsyConfig};
use shared::intake::Intake;
use shared::notification::NotificationKind;
use shared::{endpoint, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::start(config::log_level(&config::environment));
    let config = TsyConfig::read(&config::environment)?;
    let aws = Aws::new(&AwsConfig::read(&config::environment)?)?;
    let intake = Intake {
        kind: NotificationKind::IssueNotify,
        tokens: config.tokens,
        table: aws.table(config.table),
        notifications: aws.queue(config.notifications_queue_url),
        clock: Arc::new(SystemClock),
    };
    let intake = &intake;
    tokio::join!(aws.connect_to_dynamodb(), aws.connect_to_sqs());
    endpoint::serve(async |request| tsy_issue_notify::handle(intake, &request).await).await
}
