//! Configuration of `order-events`, read from the environment once, at start, and checked as a whole.

use relay_runtime::environment::{ConfigError, Lookup, Reader};

/// The settings of `order-events`.
#[derive(Debug, Clone)]
pub struct OrderEventsConfig {
    /// `ORDER_EVENTS_TOPIC_ARN`
    pub topic_arn: String,
    /// `STACK_NAME`: identifies the deployment.
    pub stack_name: String,
}

impl OrderEventsConfig {
    /// Reads and checks the environment.
    ///
    /// # Errors
    /// Lists every problem.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let config =
            Self { topic_arn: reader.required("ORDER_EVENTS_TOPIC_ARN"), stack_name: reader.required("STACK_NAME") };
        reader.done(config)
    }
}
