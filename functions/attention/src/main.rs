//! Connects the attention list to the table.

use std::convert::Infallible;
use std::sync::Arc;

use lambda_http::{Request, service_fn};
use relay_attention::Attention;
use relay_attention::config::AttentionConfig;
use relay_runtime::environment::environment;
use relay_runtime::queue::Queue;
use relay_store::Store;
use relay_types::time::{SystemClock, system_random};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let aws = relay_runtime::start()?;
    let config = AttentionConfig::read(&environment)?;
    let attention = &Attention {
        store: Store::open(&aws, config.table),
        notifications: Queue::open(&aws, config.notifications_queue_url),
        clock: Arc::new(SystemClock),
        random: system_random(),
    };
    aws.connect_to_dynamodb().await;
    lambda_http::run(service_fn(async |request: Request| Ok::<_, Infallible>(attention.handle(&request).await))).await
}
