//! Wires the endpoint of SCTT's voucher push to the table, the queue, and the signing secret.

use std::convert::Infallible;
use std::sync::Arc;

use lambda_http::{Request, service_fn};
use sctt_voucher_push::Endpoint;
use shared::clock::{SharedClock, SystemClock};
use shared::config::{self, ScttConfig};
use shared::intake::Intake;
use shared::notification::NotificationKind;
use shared::queue::Queue;
use shared::record::Table;
use shared::secret::CachedSecret;
use shared::{aws, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(config::log_level(&config::environment));
    let config = ScttConfig::read(&config::environment)?;
    let sdk = aws::sdk_config().await;
    let clock: SharedClock = Arc::new(SystemClock);
    let secrets = || aws_sdk_secretsmanager::Client::new(&sdk);
    let endpoint = Endpoint {
        intake: Intake {
            kind: NotificationKind::VoucherPush,
            tokens: config.tokens,
            table: Table::new(aws_sdk_dynamodb::Client::new(&sdk), config.table.name, config.table.retention),
            notifications: Queue::new(aws_sdk_sqs::Client::new(&sdk), config.notifications_queue_url),
            clock: clock.clone(),
        },
        checks: config.checks,
        secret: config.secret_id.map(|id| CachedSecret::new(secrets(), id, clock)),
    };
    let endpoint = &endpoint;
    lambda_http::run(service_fn(async |request: Request| Ok::<_, Infallible>(endpoint.handle(&request).await))).await
}
