//! Configuration of `order-link`, read from the environment once, at start, and checked as a whole.

use std::time::Duration;

use relay_runtime::environment::{ConfigError, Lookup, Reader, TableConfig};
use relay_types::account::AccountNames;

/// The settings of `order-link`.
#[derive(Debug, Clone)]
pub struct OrderLinkConfig {
    /// `TABLE_NAME` and `RETENTION_DAYS`
    pub table: TableConfig,
    /// `NOTIFICATIONS_QUEUE_URL`
    pub notifications_queue_url: String,
    /// `TOP_ACCOUNTS`: the TOP accounts that a request may name, besides `default`.
    pub accounts: AccountNames,
    /// `UNNOTIFIED_HOURS`: when a link without a notification needs attention, if ever.
    pub unnotified_after: Option<Duration>,
}

impl OrderLinkConfig {
    /// Reads and checks the environment.
    ///
    /// # Errors
    /// Lists every problem.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let config = Self {
            table: reader.table(),
            notifications_queue_url: reader.required("NOTIFICATIONS_QUEUE_URL"),
            accounts: reader.parsed("TOP_ACCOUNTS", AccountNames::default(), |names| names.parse()),
            unnotified_after: reader.unnotified_after(),
        };
        reader.done(config)
    }
}
