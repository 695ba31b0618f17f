//! Configuration of `sweep`, read from the environment once, at start, and checked as a whole.

use relay_runtime::environment::{ConfigError, Lookup, Reader, TableConfig};

/// The settings of `sweep`.
#[derive(Debug, Clone)]
pub struct SweepConfig {
    /// `TABLE_NAME` and `RETENTION_DAYS`
    pub table: TableConfig,
    /// `NOTIFICATIONS_QUEUE_URL`
    pub notifications_queue_url: String,
    /// `TOP_SECRET_ID`
    pub top_secret_id: String,
    /// `STACK_NAME`: identifies the deployment.
    pub stack_name: String,
}

impl SweepConfig {
    /// Reads and checks the environment.
    ///
    /// # Errors
    /// Lists every problem.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let config = Self {
            table: reader.table(),
            notifications_queue_url: reader.required("NOTIFICATIONS_QUEUE_URL"),
            top_secret_id: reader.required("TOP_SECRET_ID"),
            stack_name: reader.required("STACK_NAME"),
        };
        reader.done(config)
    }
}
