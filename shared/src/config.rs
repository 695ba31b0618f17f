//! Configuration: read from the environment once, at start, and checked as a whole. The one module that reads
//! the environment.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use tracing::Level;

use crate::call::CallKind;
use crate::order::Partner;
use crate::partner::authentication::{ScttChecks, SignatureFormula, SignatureHash, TokenHashes};
use crate::redact::Redacted;
use crate::top::sign::SignMethod;

/// What is wrong with a function's environment: all of it, so that it is mended in one go.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the function's environment cannot be used:\n{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

/// Where variables come from: the process's environment, or a test's own.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Looks a variable up in the process's environment.
#[must_use]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads variables and collects what is wrong with them.
struct Reader<'a> {
    lookup: Lookup<'a>,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    const fn new(lookup: Lookup<'a>) -> Self {
        Self { lookup, problems: Vec::new() }
    }

    fn optional(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    fn required(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.problems.push(format!("{name} is not set: deploy template.yaml, which sets it"));
            String::new()
        })
    }

    fn parsed<T, E: Display>(&mut self, name: &str, default: T, parse: impl FnOnce(&str) -> Result<T, E>) -> T {
        match self.optional(name).map(|value| parse(&value)) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(problem)) => {
                self.problems.push(format!("{name}: {problem}"));
                default
            }
        }
    }

    fn seconds(&mut self, name: &str, default: u64, range: std::ops::RangeInclusive<u64>) -> Duration {
        let parse = |value: &str| match value.parse() {
            Ok(seconds) if range.contains(&seconds) => Ok(seconds),
            _ => Err(format!("must be a whole number of seconds from {} to {}", range.start(), range.end())),
        };
        Duration::from_secs(self.parsed(name, default, parse))
    }

    fn done<T>(self, config: T) -> Result<T, ConfigError> {
        if self.problems.is_empty() { Ok(config) } else { Err(ConfigError(self.problems)) }
    }

    fn table(&mut self) -> TableConfig {
        let parse = |value: &str| match value.parse() {
            Ok(days) if (1..=3650).contains(&days) => Ok(days),
            _ => Err("must be a whole number of days from 1 to 3650"),
        };
        TableConfig {
            name: self.required("TABLE_NAME"),
            retention: Duration::from_secs(self.parsed("RETENTION_DAYS", 180, parse) * 24 * 3600),
        }
    }

    fn tokens(&mut self, name: &str) -> TokenHashes {
        self.parsed(name, TokenHashes::default(), TokenHashes::parse)
    }

    /// The checks, and where the secret is that they need, if they need one.
    fn sctt_checks(&mut self) -> (ScttChecks, Option<String>) {
        let window = self.seconds("SCTT_REQUEST_TIME_WINDOW_SECONDS", 0, 0..=86_400);
        let hash = self.parsed("SCTT_SIGN_HASH", SignatureHash::Md5, |name| match name {
            "md5" => Ok(SignatureHash::Md5),
            "sha256" => Ok(SignatureHash::Sha256),
            _ => Err("must be md5 or sha256"),
        });
        let formula = self.parsed("SCTT_SIGN_TEMPLATE", None, |text| SignatureFormula::parse(text, hash));
        let secret_id = formula.is_some().then(|| self.required("SCTT_SECRET_ID"));
        let merchant_id = self.optional("SCTT_MERCHANT_ID");
        let request_time_window = (!window.is_zero()).then_some(window);
        (ScttChecks { merchant_id, request_time_window, formula }, secret_id)
    }
}

/// How much is logged: `LOG_LEVEL`, one of error, warn and info; info if it is none of them, since
/// a function that does not start for its log level would be worse.
#[must_use]
pub fn log_level(lookup: Lookup<'_>) -> Level {
    lookup("LOG_LEVEL").and_then(|level| level.parse().ok()).unwrap_or(Level::INFO)
}

/// What Lambda tells every function of AWS. It is not read by `aws-config`, which reads files, asks services and brings
/// their clients along for credentials that a function gets from its environment. Not heeded therefore: an endpoint of
/// one service (`AWS_ENDPOINT_URL_SQS`), endpoints by account id, and a folder of roots (`SSL_CERT_DIR`).
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
    /// `AWS_ENDPOINT_URL`: where every service is, instead of at AWS.
    pub endpoint_url: Option<String>,
    /// `AWS_USE_FIPS_ENDPOINT`
    pub use_fips: bool,
    /// `AWS_USE_DUALSTACK_ENDPOINT`
    pub use_dual_stack: bool,
    /// `SSL_CERT_FILE`: a PEM file of the roots to trust, instead of Mozilla's.
    pub trusted_roots: Option<PathBuf>,
}

impl AwsConfig {
    /// Reads and checks the environment.
    ///
    /// # Errors
    /// Lists everything that is wrong with it.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let on = |value: Option<String>| value.is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let mut of_lambda = |name: &str| {
            reader.optional(name).unwrap_or_else(|| {
                reader.problems.push(format!("{name} is not set: Lambda sets it"));
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

/// The table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableConfig {
    /// Its name: `TABLE_NAME`.
    pub name: String,
    /// How long a finished record stays: `RETENTION_DAYS`.
    pub retention: Duration,
}

/// Of each function that takes notifications in.
#[derive(Debug, Clone)]
pub struct IntakeConfig {
    /// The table.
    pub table: TableConfig,
    /// `NOTIFICATIONS_QUEUE_URL`
    pub notifications_queue_url: String,
    /// `TSY_TOKEN_HASHES` or `SCTT_TOKEN_HASHES`
    pub tokens: TokenHashes,
    /// `SCTT_MERCHANT_ID`, `SCTT_REQUEST_TIME_WINDOW_SECONDS`, `SCTT_SIGN_TEMPLATE` and `SCTT_SIGN_HASH`; each
    /// is off when empty or 0.
    pub checks: ScttChecks,
    /// `SCTT_SECRET_ID`: needed where a signature is checked.
    pub secret_id: Option<String>,
}

impl IntakeConfig {
    /// Reads and checks the environment, as far as it concerns `partner`.
    ///
    /// # Errors
    /// Lists everything that is wrong with it.
    pub fn read(partner: Partner, lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let (tokens, (checks, secret_id)) = match partner {
            Partner::Tsy => (reader.tokens("TSY_TOKEN_HASHES"), Default::default()),
            Partner::Sctt => (reader.tokens("SCTT_TOKEN_HASHES"), reader.sctt_checks()),
        };
        let (table, notifications_queue_url) = (reader.table(), reader.required("NOTIFICATIONS_QUEUE_URL"));
        reader.done(Self { table, notifications_queue_url, tokens, checks, secret_id })
    }
}

/// Of `order-link`.
#[derive(Debug, Clone)]
pub struct OrderLinkConfig {
    /// The table.
    pub table: TableConfig,
    /// `NOTIFICATIONS_QUEUE_URL`
    pub notifications_queue_url: String,
}

impl OrderLinkConfig {
    /// Reads and checks the environment.
    ///
    /// # Errors
    /// Lists everything that is wrong with it.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let config =
            Self { table: reader.table(), notifications_queue_url: reader.required("NOTIFICATIONS_QUEUE_URL") };
        reader.done(config)
    }
}

/// The queue of each call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallQueueUrls {
    /// `ITINERARY_POSTBACK_QUEUE_URL`
    pub itinerary_postback: String,
    /// `TICKET_VERIFY_QUEUE_URL`
    pub ticket_verify: String,
    /// `SHIP_NOTIFY_QUEUE_URL`
    pub ship_notify: String,
}

impl CallQueueUrls {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            itinerary_postback: reader.required(Self::variable(CallKind::ItineraryPostback)),
            ticket_verify: reader.required(Self::variable(CallKind::TicketVerify)),
            ship_notify: reader.required(Self::variable(CallKind::ShipNotify)),
        }
    }

    /// The variable that says where the queue of that call is.
    const fn variable(kind: CallKind) -> &'static str {
        match kind {
            CallKind::ItineraryPostback => "ITINERARY_POSTBACK_QUEUE_URL",
            CallKind::TicketVerify => "TICKET_VERIFY_QUEUE_URL",
            CallKind::ShipNotify => "SHIP_NOTIFY_QUEUE_URL",
        }
    }

    /// The queue of that call.
    #[must_use]
    pub const fn of(&self, kind: CallKind) -> &String {
        match kind {
            CallKind::ItineraryPostback => &self.itinerary_postback,
            CallKind::TicketVerify => &self.ticket_verify,
            CallKind::ShipNotify => &self.ship_notify,
        }
    }
}

/// Of `submit-call`.
#[derive(Debug, Clone)]
pub struct SubmitCallConfig {
    /// The table.
    pub table: TableConfig,
    /// `NOTIFICATIONS_QUEUE_URL`
    pub notifications_queue_url: String,
}

impl SubmitCallConfig {
    /// Reads and checks the environment.
    ///
    /// # Errors
    /// Lists everything that is wrong with it.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let table = reader.table();
        let config = Self { table, notifications_queue_url: reader.required("NOTIFICATIONS_QUEUE_URL") };
        reader.done(config)
    }
}

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

/// Of `order-events`.
#[derive(Debug, Clone)]
pub struct OrderEventsConfig {
    /// `ORDER_EVENTS_TOPIC_ARN`
    pub topic_arn: String,
    /// `STACK_NAME`: which deployment this is.
    pub stack_name: String,
}

impl OrderEventsConfig {
    /// Reads and checks the environment.
    ///
    /// # Errors
    /// Lists everything that is wrong with it.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let config =
            Self { topic_arn: reader.required("ORDER_EVENTS_TOPIC_ARN"), stack_name: reader.required("STACK_NAME") };
        reader.done(config)
    }
}

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

/// Of `dispatch`.
#[derive(Debug, Clone)]
pub struct DispatchConfig {
    /// The table.
    pub table: TableConfig,
    /// `NOTIFICATIONS_QUEUE_URL`: where its messages come from.
    pub notifications_queue_url: String,
    /// The queues of the calls.
    pub call_queue_urls: CallQueueUrls,
    /// `SHIP_FAILED_CODE`: tells TOP why issuing failed where the link does not.
    pub ship_failed_code: Option<String>,
}

impl DispatchConfig {
    /// Reads and checks the environment.
    ///
    /// # Errors
    /// Lists everything that is wrong with it.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let config = Self {
            table: reader.table(),
            notifications_queue_url: reader.required("NOTIFICATIONS_QUEUE_URL"),
            call_queue_urls: CallQueueUrls::read(&mut reader),
            ship_failed_code: reader.optional("SHIP_FAILED_CODE"),
        };
        reader.done(config)
    }
}

/// Of each function that calls TOP.
#[derive(Debug, Clone)]
pub struct CallConfig {
    /// The table.
    pub table: TableConfig,
    /// Where its messages come from: `ITINERARY_POSTBACK_QUEUE_URL`, `TICKET_VERIFY_QUEUE_URL` or `SHIP_NOTIFY_QUEUE_URL`.
    pub queue_url: String,
    /// `NOTIFICATIONS_QUEUE_URL`: where the keys of records go that must be decided again.
    pub notifications_queue_url: String,
    /// `TOP_GATEWAY_URL`
    pub top_gateway_url: String,
    /// `TOP_SIGN_METHOD`
    pub top_sign_method: SignMethod,
    /// `TOP_TIMEOUT_SECONDS`: how long TOP may take to answer.
    pub top_timeout: Duration,
    /// `TOP_SECRET_ID`
    pub top_secret_id: String,
}

impl CallConfig {
    /// Reads and checks the environment.
    ///
    /// # Errors
    /// Lists everything that is wrong with it.
    pub fn read(kind: CallKind, lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let top_gateway_url = reader.required("TOP_GATEWAY_URL");
        let known_scheme = top_gateway_url.starts_with("https://") || top_gateway_url.starts_with("http://");
        if !top_gateway_url.is_empty() && !known_scheme {
            reader.problems.push("TOP_GATEWAY_URL: must begin with https:// (or http:// for a local one)".to_owned());
        }
        let sign_method = |name: &str| SignMethod::named(name).ok_or("must be md5, hmac or hmac-sha256");
        let config = Self {
            table: reader.table(),
            queue_url: reader.required(CallQueueUrls::variable(kind)),
            notifications_queue_url: reader.required("NOTIFICATIONS_QUEUE_URL"),
            top_gateway_url,
            top_sign_method: reader.parsed("TOP_SIGN_METHOD", SignMethod::HmacSha256, sign_method),
            top_timeout: reader.seconds("TOP_TIMEOUT_SECONDS", 10, 1..=15),
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
    fn everything_wrong_with_an_environment_is_told_at_once() {
        let variables = HashMap::from([
            ("TABLE_NAME", "t"),
            ("TICKET_VERIFY_QUEUE_URL", ""),
            ("TOP_GATEWAY_URL", "gw.api.taobao.com"),
            ("TOP_SIGN_METHOD", "sha1"),
            ("TOP_TIMEOUT_SECONDS", "0"),
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
                "TOP_SECRET_ID"
            ]
        );
    }

    #[test]
    fn a_signature_formula_needs_its_secret() {
        let mut variables =
            HashMap::from([("TABLE_NAME", "t"), ("NOTIFICATIONS_QUEUE_URL", "q"), ("SCTT_SIGN_TEMPLATE", "{secret}")]);
        assert!(
            IntakeConfig::read(Partner::Sctt, &lookup(&variables)).unwrap_err().to_string().contains("SCTT_SECRET_ID")
        );
        variables.insert("SCTT_SECRET_ID", "s");
        assert!(IntakeConfig::read(Partner::Sctt, &lookup(&variables)).is_ok());
    }

    #[test]
    fn an_unset_token_closes_an_endpoint_and_does_not_stop_it() {
        let variables = HashMap::from([("TABLE_NAME", "t"), ("NOTIFICATIONS_QUEUE_URL", "q")]);
        assert!(IntakeConfig::read(Partner::Tsy, &lookup(&variables)).unwrap().tokens.is_empty());
    }
}
