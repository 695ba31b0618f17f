//! Wires the asking for calls to the table and the calls' queues.

use std::convert::Infallible;
use std::sync::Arc;

use lambda_http::{Request, service_fn};
use shared::clock::{SystemClock, system_random};
use shared::config::{self, SubmitCallConfig};
use shared::record::Table;
use shared::{aws, telemetry};
use submit_call::SubmitCall;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(config::log_level(&config::environment));
    let config = SubmitCallConfig::read(&config::environment)?;
    let sdk = aws::sdk_config().await;
    let submit_call = SubmitCall {
        table: Table::new(aws_sdk_dynamodb::Client::new(&sdk), config.table.name, config.table.retention),
        sqs: aws_sdk_sqs::Client::new(&sdk),
        call_queue_urls: config.call_queue_urls,
        clock: Arc::new(SystemClock),
        random: system_random(),
    };
    let submit_call = &submit_call;
    lambda_http::run(service_fn(async |request: Request| Ok::<_, Infallible>(submit_call.handle(&request).await))).await
}
