//! Wires the reading of what needs a person to the table.

use std::convert::Infallible;

use attention::Attention;
use lambda_http::{Request, service_fn};
use shared::aws::Aws;
use shared::config::{self, AttentionConfig, AwsConfig};
use shared::telemetry;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(config::log_level(&config::environment));
    let config = AttentionConfig::read(&config::environment)?;
    let aws = Aws::new(&AwsConfig::read(&config::environment)?)?;
    let attention = &Attention { table: aws.table(config.table) };
    aws.connect_to_dynamodb().await;
    lambda_http::run(service_fn(async |request: Request| Ok::<_, Infallible>(attention.handle(&request).await))).await
}
