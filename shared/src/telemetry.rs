//! JSON log lines on standard output, which Lambda takes to CloudWatch Logs.

use std::io;
use std::panic;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

/// Starts logging at `level`. Libraries below us log warnings only: at finer levels they would log requests
/// with all that is in them.
///
/// A panic is logged by its place; its message, which may quote data, is not.
pub fn start(level: Level) {
    let ours = Targets::new()
        .with_default(level)
        .with_targets(FOREIGN.map(|target| (target, LevelFilter::from_level(level.min(Level::WARN)))));
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_ansi(false)
        .with_writer(io::stdout);
    // A second start, in a test, keeps the first.
    let _ = tracing_subscriber::registry().with(lines.with_filter(ours)).try_init();
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        tracing::error!(place, "panic");
    }));
}

/// Targets of the crates that we build upon, by the beginnings of their names.
const FOREIGN: [&str; 9] = ["aws", "h2", "hyper", "lambda_http", "lambda_runtime", "rustls", "tokio", "tower", "want"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_never_log_below_warnings() {
        for level in [Level::TRACE, Level::DEBUG, Level::INFO] {
            assert_eq!(level.min(Level::WARN), Level::WARN);
        }
        assert_eq!(Level::ERROR.min(Level::WARN), Level::ERROR);
    }
}
