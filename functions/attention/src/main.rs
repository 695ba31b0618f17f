//! Wires the reading of what needs a person to the table.

use std::convert::Infallible;

use attention::Attention;
use lambda_http::{Request, service_fn};
use shared::config::{self, AttentionConfig};
use shared::record::Table;
use shared::{aws, telemetry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(config::log_level(&config::environment));
    let config = AttentionConfig::read(&config::environment)?;
    let sdk = aws::sdk_config().await;
    let table = Table::new(aws_sdk_dynamodb::Client::new(&sdk), config.table.name, config.table.retention);
    let attention = Attention { table };
    let attention = &attention;
    lambda_http::run(service_fn(async |request: Request| Ok::<_, Infallible>(attention.handle(&request).await))).await
}
