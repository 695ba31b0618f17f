//! Wires the endpoint of SCTT's voucher push to the table, the queue, and the signing secret.

use std::sync::Arc;

use sctt_voucher_push::Endpoint;
use shared::aws::Aws;
use shared::clock::{SharedClock, SystemClock};
use shared::config::{self, AwsConfig, ScttConfig};
use shared::intake::Intake;
use shared::notification::NotificationKind;
use shared::secret::CachedSecret;
use shared::{endpoint, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::start(config::log_level(&config::environment));
    let config = ScttConfig::read(&config::environment)?;
    let aws = Aws::new(&AwsConfig::read(&config::environment)?)?;
    let clock: SharedClock = Arc::new(SystemClock);
    let sctt = Endpoint {
        intake: Intake {
            kind: NotificationKind::VoucherPush,
            tokens: config.tokens,
            table: aws.table(config.table),
            notifications: aws.queue(config.notifications_queue_url),
            clock: clock.clone(),
        },
        checks: config.checks,
        secret: config.secret_id.map(|id| CachedSecret::new(aws.secrets(), id, clock)),
    };
    let sctt = &sctt;
    tokio::join!(aws.connect_to_dynamodb(), aws.connect_to_sqs());
    endpoint::serve(async |request| sctt.handle(&request).await).await
}
