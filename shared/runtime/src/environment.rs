//! Configuration, read from the environment once, at start, and checked as a whole. No other module reads the
//! environment.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use relay_types::redact::Redacted;
use thiserror::Error;
use tracing::Level;

/// Every problem of a function's environment, so all of them can be fixed at once.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the function's environment is invalid:\n{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

/// Looks a variable up: in the process's environment, or in a test's variables.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Looks a variable up in the process's environment.
#[must_use]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads variables and collects their problems.
pub struct Reader<'a> {
    lookup: Lookup<'a>,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    /// A reader without problems so far.
    pub const fn new(lookup: Lookup<'a>) -> Self {
        Self { lookup, problems: Vec::new() }
    }

    /// A variable; `None` if it is unset or empty.
    pub fn optional(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    /// A variable that must be set.
    pub fn required(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.problems.push(format!("{name} is not set; deploy template.yaml, which sets it"));
            String::new()
        })
    }

    /// A parsed variable; `default` if it is unset, empty or invalid.
    pub fn parsed<T, E: Display>(&mut self, name: &str, default: T, parse: impl FnOnce(&str) -> Result<T, E>) -> T {
        match self.optional(name).map(|value| parse(&value)) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(problem)) => {
                self.problems.push(format!("{name}: {problem}"));
                default
            }
        }
    }

    /// A number of seconds in `range`.
    pub fn seconds(&mut self, name: &str, default: u64, range: std::ops::RangeInclusive<u64>) -> Duration {
        let parse = |value: &str| match value.parse() {
            Ok(seconds) if range.contains(&seconds) => Ok(seconds),
            _ => Err(format!("must be a whole number of seconds from {} to {}", range.start(), range.end())),
        };
        Duration::from_secs(self.parsed(name, default, parse))
    }

    /// Reads `UNNOTIFIED_HOURS`: how long after it was put a link without a notification needs attention; `None` for 0.
    pub fn unnotified_after(&mut self) -> Option<Duration> {
        let parse = |value: &str| match value.parse() {
            Ok(hours) if hours <= 2160 => Ok(hours),
            _ => Err("must be a whole number of hours from 0 to 2160"),
        };
        let hours = self.parsed("UNNOTIFIED_HOURS", 0, parse);
        (hours > 0).then(|| Duration::from_secs(hours * 3600))
    }

    /// Adds a problem that the caller found.
    pub fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// Returns `config` if no variable had a problem.
    ///
    /// # Errors
    /// Lists every problem.
    pub fn done<T>(self, config: T) -> Result<T, ConfigError> {
        if self.problems.is_empty() { Ok(config) } else { Err(ConfigError(self.problems)) }
    }

    /// Reads `TABLE_NAME` and `RETENTION_DAYS` (default 180).
    pub fn table(&mut self) -> TableConfig {
        let parse = |value: &str| match value.parse() {
            Ok(days) if (1..=3650).contains(&days) => Ok(days),
            _ => Err("must be a whole number of days from 1 to 3650"),
        };
        TableConfig {
            name: self.required("TABLE_NAME"),
            retention: Duration::from_secs(self.parsed("RETENTION_DAYS", 180, parse) * 24 * 3600),
        }
    }
}

/// The log level: `LOG_LEVEL`, one of error, warn and info. Any other value counts as info: a function that refuses to
/// start because of its log level would be worse.
#[must_use]
pub fn log_level(lookup: Lookup<'_>) -> Level {
    lookup("LOG_LEVEL").and_then(|level| level.parse().ok()).unwrap_or(Level::INFO)
}

/// The AWS settings that Lambda gives every function.
///
/// `aws-config` is not used: it reads files, calls services and pulls in their clients, while a function's credentials
/// are in its environment. Therefore these settings are ignored: the endpoint of one service (`AWS_ENDPOINT_URL_SQS`),
/// account-based endpoints, and a directory of roots (`SSL_CERT_DIR`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsConfig {
    /// `AWS_REGION`, or `AWS_DEFAULT_REGION`
    pub region: String,
    /// `AWS_ACCESS_KEY_ID`
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`
    pub secret_access_key: Redacted<String>,
    /// `AWS_SESSION_TOKEN`
    pub session_token: Option<Redacted<String>>,
    /// `AWS_ENDPOINT_URL`: replaces the URL of every service.
    pub endpoint_url: Option<String>,
    /// `AWS_USE_FIPS_ENDPOINT`
    pub use_fips: bool,
    /// `AWS_USE_DUALSTACK_ENDPOINT`
    pub use_dual_stack: bool,
    /// `SSL_CERT_FILE`: a PEM file of roots to trust instead of Mozilla's.
    pub trusted_roots: Option<PathBuf>,
}

impl AwsConfig {
    /// Reads and checks the environment.
    ///
    /// # Errors
    /// Lists every problem.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let on = |value: Option<String>| value.is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let mut of_lambda = |name: &str| {
            reader.optional(name).unwrap_or_else(|| {
                reader.problems.push(format!("{name} is not set; Lambda should set it"));
                String::new()
            })
        };
        let (access_key_id, secret_access_key) =
            (of_lambda("AWS_ACCESS_KEY_ID"), Redacted::new(of_lambda("AWS_SECRET_ACCESS_KEY")));
        let region = lookup("AWS_REGION").filter(|region| !region.is_empty());
        let config = Self {
            region: region.unwrap_or_else(|| of_lambda("AWS_DEFAULT_REGION")),
            access_key_id,
            secret_access_key,
            session_token: reader.optional("AWS_SESSION_TOKEN").map(Redacted::new),
            endpoint_url: reader.optional("AWS_ENDPOINT_URL"),
            use_fips: on(reader.optional("AWS_USE_FIPS_ENDPOINT")),
            use_dual_stack: on(reader.optional("AWS_USE_DUALSTACK_ENDPOINT")),
            trusted_roots: reader.optional("SSL_CERT_FILE").map(PathBuf::from),
        };
        reader.done(config)
    }
}

/// Settings of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableConfig {
    /// `TABLE_NAME`
    pub name: String,
    /// `RETENTION_DAYS`: how long a finished record stays.
    pub retention: Duration,
}
