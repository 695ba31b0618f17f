//! Configuration of `attention`, read from the environment once, at start, and checked as a whole.

use relay_runtime::environment::{ConfigError, Lookup, Reader, TableConfig};

/// The settings of `attention`.
#[derive(Debug, Clone)]
pub struct AttentionConfig {
    /// `TABLE_NAME` and `RETENTION_DAYS`
    pub table: TableConfig,
    /// `NOTIFICATIONS_QUEUE_URL`
    pub notifications_queue_url: String,
}

impl AttentionConfig {
    /// Reads and checks the environment.
    ///
    /// # Errors
    /// Lists every problem.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let config =
            Self { table: reader.table(), notifications_queue_url: reader.required("NOTIFICATIONS_QUEUE_URL") };
        reader.done(config)
    }
}
