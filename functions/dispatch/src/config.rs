//! Configuration of `dispatch`, read from the environment once, at start, and checked as a whole.

use std::time::Duration;

use relay_runtime::environment::{ConfigError, Lookup, Reader, TableConfig};
use relay_types::call::CallKind;

/// The settings of `dispatch`.
#[derive(Debug, Clone)]
pub struct DispatchConfig {
    /// `TABLE_NAME` and `RETENTION_DAYS`
    pub table: TableConfig,
    /// `NOTIFICATIONS_QUEUE_URL`: the function's own queue.
    pub notifications_queue_url: String,
    /// The URL of each call's queue.
    pub call_queue_urls: Vec<(CallKind, String)>,
    /// `SHIP_FAILED_CODE`: the `failed_code` of a ship order whose link has none.
    pub ship_failed_code: Option<String>,
    /// `UNNOTIFIED_HOURS`: when a link without a notification needs attention, if ever.
    pub unnotified_after: Option<Duration>,
}

impl DispatchConfig {
    /// Reads and checks the environment.
    ///
    /// # Errors
    /// Lists every problem.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let config = Self {
            table: reader.table(),
            notifications_queue_url: reader.required("NOTIFICATIONS_QUEUE_URL"),
            call_queue_urls: CallKind::ALL.map(|kind| (kind, reader.required(&kind.queue_url_variable()))).into(),
            ship_failed_code: reader.optional("SHIP_FAILED_CODE"),
            unnotified_after: reader.unnotified_after(),
        };
        reader.done(config)
    }
}
