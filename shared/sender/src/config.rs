//! Configuration of a function that calls TOP, read from the environment once, at start, and checked as a whole.

use std::time::Duration;

use relay_runtime::environment::{ConfigError, Lookup, Reader, TableConfig};
use relay_top::error::ErrorClasses;
use relay_top::sign::SignMethod;
use relay_types::call::CallKind;

/// The settings of a function that calls TOP.
#[derive(Debug, Clone)]
pub struct CallConfig {
    /// `TABLE_NAME` and `RETENTION_DAYS`
    pub table: TableConfig,
    /// The function's own queue: [`CallKind::queue_url_variable`].
    pub queue_url: String,
    /// `NOTIFICATIONS_QUEUE_URL`: the queue for the keys of records that dispatch must decide again.
    pub notifications_queue_url: String,
    /// `TOP_GATEWAY_URL`
    pub top_gateway_url: String,
    /// `TOP_SIGN_METHOD`
    pub top_sign_method: SignMethod,
    /// `TOP_TIMEOUT_SECONDS`: how long TOP may take to answer.
    pub top_timeout: Duration,
    /// `TOP_ERROR_CLASSES`: rows to add to the table of TOP's errors.
    pub top_error_classes: ErrorClasses,
    /// `TOP_SECRET_ID`
    pub top_secret_id: String,
}

impl CallConfig {
    /// Reads and checks the environment.
    ///
    /// # Errors
    /// Lists every problem.
    pub fn read(kind: CallKind, lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let top_gateway_url = reader.required("TOP_GATEWAY_URL");
        let known_scheme = top_gateway_url.starts_with("https://") || top_gateway_url.starts_with("http://");
        if !top_gateway_url.is_empty() && !known_scheme {
            reader.problem("TOP_GATEWAY_URL: must begin with https:// (or http:// for a local gateway)");
        }
        let sign_method = |name: &str| name.parse::<SignMethod>().map_err(|_| "must be md5, hmac or hmac-sha256");
        let config = Self {
            table: reader.table(),
            queue_url: reader.required(&kind.queue_url_variable()),
            notifications_queue_url: reader.required("NOTIFICATIONS_QUEUE_URL"),
            top_gateway_url,
            top_sign_method: reader.parsed("TOP_SIGN_METHOD", SignMethod::HmacSha256, sign_method),
            top_timeout: reader.seconds("TOP_TIMEOUT_SECONDS", 10, 1..=15),
            top_error_classes: reader.parsed("TOP_ERROR_CLASSES", ErrorClasses::default(), |text| text.parse()),
            top_secret_id: reader.required("TOP_SECRET_ID"),
        };
        reader.done(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn lookup<'a>(variables: &'a HashMap<&str, &str>) -> impl Fn(&str) -> Option<String> + 'a {
        |name| variables.get(name).map(|value| (*value).to_owned())
    }

    #[test]
    fn retention_is_given_in_days() {
        let variables = HashMap::from([
            ("TABLE_NAME", "t"),
            ("TICKET_VERIFY_QUEUE_URL", "q"),
            ("NOTIFICATIONS_QUEUE_URL", "n"),
            ("TOP_GATEWAY_URL", "https://top.test"),
            ("TOP_SECRET_ID", "s"),
            ("RETENTION_DAYS", "2"),
        ]);
        let config = CallConfig::read(CallKind::TicketVerify, &lookup(&variables)).unwrap();
        assert_eq!(config.table.retention, Duration::from_secs(2 * 86_400));
    }

    #[test]
    fn all_configuration_problems_are_reported_together() {
        let variables = HashMap::from([
            ("TABLE_NAME", "t"),
            ("TICKET_VERIFY_QUEUE_URL", ""),
            ("TOP_GATEWAY_URL", "gw.api.taobao.com"),
            ("TOP_SIGN_METHOD", "sha1"),
            ("TOP_TIMEOUT_SECONDS", "0"),
            ("TOP_ERROR_CLASSES", "15"),
            ("RETENTION_DAYS", "x"),
        ]);
        let ConfigError(problems) = CallConfig::read(CallKind::TicketVerify, &lookup(&variables)).unwrap_err();
        let named: Vec<_> = problems.iter().map(|problem| problem.split([':', ' ']).next().unwrap()).collect();
        assert_eq!(
            named,
            [
                "TOP_GATEWAY_URL",
                "RETENTION_DAYS",
                "TICKET_VERIFY_QUEUE_URL",
                "NOTIFICATIONS_QUEUE_URL",
                "TOP_SIGN_METHOD",
                "TOP_TIMEOUT_SECONDS",
                "TOP_ERROR_CLASSES",
                "TOP_SECRET_ID"
            ]
        );
    }
}
