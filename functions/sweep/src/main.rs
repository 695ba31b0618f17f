//! Connects the sweep to the table and the queue.

use std::sync::Arc;

use lambda_runtime::{LambdaEvent, service_fn};
use relay_runtime::environment::environment;
use relay_runtime::metrics;
use relay_runtime::queue::Queue;
use relay_runtime::queue::batch::Invocation;
use relay_runtime::secret::CachedSecret;
use relay_store::Store;
use relay_sweep::Sweep;
use relay_sweep::config::SweepConfig;
use relay_types::time::{Clock as _, SystemClock};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let aws = relay_runtime::start()?;
    let config = SweepConfig::read(&environment)?;
    let metrics = metrics::start(&config.stack_name)?;
    let sweep = Sweep {
        store: Store::open(&aws, config.table),
        notifications: Queue::open(&aws, config.notifications_queue_url),
        accounts: CachedSecret::new(aws.secrets(), config.top_secret_id, Arc::new(SystemClock)),
        clock: Arc::new(SystemClock),
    };
    // The contents of the schedule's event do not matter.
    let handler = service_fn(async |event: LambdaEvent<Value>| {
        let swept = sweep.handle(&Invocation::new(&event.context, SystemClock.now())).await;
        if sweep.measure().await {
            metrics.flush(std::io::stdout())?;
        }
        swept.map_err(lambda_runtime::Error::from)
    });
    aws.connect_to_dynamodb().await;
    lambda_runtime::run(handler).await
}
