//! Configuration of `sweep`: read from the environment once, at start, and checked as a whole.

use relay_runtime::environment::{ConfigError, Lookup, Reader, TableConfig};

/// Of `sweep`.
#[derive(Debug, Clone)]
pub struct SweepConfig {
    /// The table.
    pub table: TableConfig,
    /// `NOTIFICATIONS_QUEUE_URL`
    pub notifications_queue_url: String,
    /// `STACK_NAME`: which deployment this is.
    pub stack_name: String,
}

impl SweepConfig {
    /// Reads and checks the environment.
    ///
    /// # Errors
    /// Lists everything that is wrong with it.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let config = Self {
            table: reader.table(),
            notifications_queue_url: reader.required("NOTIFICATIONS_QUEUE_URL"),
            stack_name: reader.required("STACK_NAME"),
        };
        reader.done(config)
    }
}
