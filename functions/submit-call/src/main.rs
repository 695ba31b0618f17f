//! Wires the submission of calls to the table and the queue.

use std::convert::Infallible;
use std::sync::Arc;

use lambda_http::{Request, service_fn};
use shared::aws::Aws;
use shared::clock::{SystemClock, system_random};
use shared::config::{self, AwsConfig, SubmitCallConfig};
use shared::telemetry;
use submit_call::SubmitCall;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::start(config::log_level(&config::environment));
    let config = SubmitCallConfig::read(&config::environment)?;
    let aws = Aws::new(&AwsConfig::read(&config::environment)?)?;
    let submit_call = SubmitCall {
        table: aws.table(config.table),
        notifications: aws.queue(config.notifications_queue_url),
        clock: Arc::new(SystemClock),
        random: system_random(),
    };
    let submit_call = &submit_call;
    tokio::join!(aws.connect_to_dynamodb(), aws.connect_to_sqs());
    lambda_http::run(service_fn(async |request: Request| Ok::<_, Infallible>(submit_call.handle(&request).await))).await
}
