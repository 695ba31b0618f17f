//! JSON log lines on standard output, which Lambda sends to CloudWatch Logs.

use std::{io, panic};

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

/// Starts logging at `level`. Libraries log warnings and errors only: at finer levels they would log whole requests.
///
/// For a panic only its place is logged: its message may quote data.
pub fn start(level: Level) {
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_ansi(false)
        .with_writer(io::stdout);
    // A second start, in a test, keeps the first subscriber.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter(level))).try_init();
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        tracing::error!(place, "panic");
    }));
}

/// The filter for `level`: this project's crates log at `level`, libraries at warnings at most.
#[must_use]
pub fn filter(level: Level) -> Targets {
    let foreign = LevelFilter::from_level(level.min(Level::WARN));
    let ours = LevelFilter::from_level(level);
    Targets::new().with_default(foreign).with_target(OURS, ours)
}

/// The prefix of this project's crate names, including the functions' libraries.
const OURS: &str = "relay_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_never_log_below_warnings() {
        for level in [Level::TRACE, Level::DEBUG, Level::INFO] {
            let filter = filter(level);
            assert!(filter.would_enable("relay_sender", &level));
            for library in ["aws_smithy_runtime", "hyper_util", "lambda_http", "a_library_of_tomorrow"] {
                assert!(filter.would_enable(library, &Level::WARN));
                assert!(!filter.would_enable(library, &Level::INFO));
            }
        }
        assert!(!filter(Level::ERROR).would_enable("hyper", &Level::WARN));
    }
}
