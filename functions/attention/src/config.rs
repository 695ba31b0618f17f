//! Configuration of `attention`: read from the environment once, at start, and checked as a whole.

use relay_runtime::environment::{ConfigError, Lookup, Reader, TableConfig};

/// Of `attention`.
#[derive(Debug, Clone)]
pub struct AttentionConfig {
    /// The table.
    pub table: TableConfig,
}

impl AttentionConfig {
    /// Reads and checks the environment.
    ///
    /// # Errors
    /// Lists everything that is wrong with it.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let config = Self { table: reader.table() };
        reader.done(config)
    }
}
