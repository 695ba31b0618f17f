//! Configuration of a notification endpoint, read from the environment once, at start, and checked as a whole.

use relay_runtime::environment::{ConfigError, Lookup, Reader, TableConfig};
use relay_types::order::Partner;

use crate::authentication::{ScttChecks, SignatureFormula, SignatureHash, TokenHashes};

/// The settings of a function that receives notifications.
#[derive(Debug, Clone)]
pub struct ReceiverConfig {
    /// `TABLE_NAME` and `RETENTION_DAYS`
    pub table: TableConfig,
    /// `NOTIFICATIONS_QUEUE_URL`
    pub notifications_queue_url: String,
    /// `TSY_TOKEN_HASHES` or `SCTT_TOKEN_HASHES`; empty closes the endpoint.
    pub tokens: TokenHashes,
    /// `SCTT_MERCHANT_ID`, `SCTT_REQUEST_TIME_WINDOW_SECONDS`, `SCTT_SIGN_TEMPLATE` and `SCTT_SIGN_HASH`. A check is
    /// off if its variable is empty or 0.
    pub checks: ScttChecks,
    /// `SCTT_SECRET_ID`: required if signatures are checked.
    pub secret_id: Option<String>,
}

impl ReceiverConfig {
    /// Reads and checks the variables for `partner`.
    ///
    /// # Errors
    /// Lists every problem.
    pub fn read(partner: Partner, lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let (tokens, (checks, secret_id)) = match partner {
            Partner::Tsy => (tokens(&mut reader, "TSY_TOKEN_HASHES"), Default::default()),
            Partner::Sctt => (tokens(&mut reader, "SCTT_TOKEN_HASHES"), sctt_checks(&mut reader)),
        };
        let (table, notifications_queue_url) = (reader.table(), reader.required("NOTIFICATIONS_QUEUE_URL"));
        reader.done(Self { table, notifications_queue_url, tokens, checks, secret_id })
    }
}

fn tokens(reader: &mut Reader<'_>, name: &str) -> TokenHashes {
    reader.parsed(name, TokenHashes::default(), TokenHashes::parse)
}

/// The checks, and the id of their secret if they need one.
fn sctt_checks(reader: &mut Reader<'_>) -> (ScttChecks, Option<String>) {
    let window = reader.seconds("SCTT_REQUEST_TIME_WINDOW_SECONDS", 0, 0..=86_400);
    let hash = reader.parsed("SCTT_SIGN_HASH", SignatureHash::Md5, |name| match name {
        "md5" => Ok(SignatureHash::Md5),
        "sha256" => Ok(SignatureHash::Sha256),
        _ => Err("must be md5 or sha256"),
    });
    let formula = reader.parsed("SCTT_SIGN_TEMPLATE", None, |text| SignatureFormula::parse(text, hash));
    let secret_id = formula.is_some().then(|| reader.required("SCTT_SECRET_ID"));
    let merchant_id = reader.optional("SCTT_MERCHANT_ID");
    let request_time_window = (!window.is_zero()).then_some(window);
    (ScttChecks { merchant_id, request_time_window, formula }, secret_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn lookup<'a>(variables: &'a HashMap<&str, &str>) -> impl Fn(&str) -> Option<String> + 'a {
        |name| variables.get(name).map(|value| (*value).to_owned())
    }

    #[test]
    fn signature_formula_requires_a_secret_id() {
        let mut variables =
            HashMap::from([("TABLE_NAME", "t"), ("NOTIFICATIONS_QUEUE_URL", "q"), ("SCTT_SIGN_TEMPLATE", "{secret}")]);
        assert!(
            ReceiverConfig::read(Partner::Sctt, &lookup(&variables))
                .unwrap_err()
                .to_string()
                .contains("SCTT_SECRET_ID")
        );
        variables.insert("SCTT_SECRET_ID", "s");
        assert!(ReceiverConfig::read(Partner::Sctt, &lookup(&variables)).is_ok());
    }

    #[test]
    fn missing_tokens_close_the_endpoint_without_an_error() {
        let variables = HashMap::from([("TABLE_NAME", "t"), ("NOTIFICATIONS_QUEUE_URL", "q")]);
        assert!(ReceiverConfig::read(Partner::Tsy, &lookup(&variables)).unwrap().tokens.is_empty());
    }
}
