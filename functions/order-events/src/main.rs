//! Connects the order events to SNS and the metrics.

use lambda_runtime::{LambdaEvent, service_fn};
use relay_order_events::config::OrderEventsConfig;
use relay_order_events::{OrderEvents, StreamEvent, counts};
use relay_runtime::environment::environment;
use relay_runtime::metrics;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let aws = relay_runtime::start()?;
    let config = OrderEventsConfig::read(&environment)?;
    let metrics = metrics::start(&config.stack_name)?;
    counts::describe();
    let events = OrderEvents {
        sns: aws_sdk_sns::Client::new(aws.sdk()),
        topic_arn: config.topic_arn,
        source: format!("ticket-relay/{}", config.stack_name),
    };
    let handler = service_fn(async |event: LambdaEvent<StreamEvent>| {
        let published = events.handle(event.payload).await?;
        counts::count(&published);
        metrics.flush(std::io::stdout()).map_err(lambda_runtime::Error::from)
    });
    lambda_runtime::run(handler).await
}
