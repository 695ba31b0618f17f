//! The credentials for TOP.

use relay_types::json;
use relay_types::redact::Redacted;
use serde::Deserialize;

use crate::sign::SigningKey;

/// Credentials that sign and authorise calls to TOP. In Secrets Manager:
/// `{"app_key": …, "app_secret": …, "session": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Credentials {
    /// The application's key. It is not secret.
    #[serde(deserialize_with = "json::filled_in")]
    pub app_key: String,
    /// The application's secret, which signs requests.
    #[serde(deserialize_with = "json::filled_in")]
    pub app_secret: SigningKey,
    /// The seller's authorisation, for the calls that need one.
    #[serde(default = "no_session")]
    pub session: Redacted<String>,
}

const fn no_session() -> Redacted<String> {
    Redacted::new(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_the_secrets() {
        let credentials: Credentials =
            serde_json::from_str(r#"{"app_key":"1","app_secret":"planted","session":"planted"}"#).unwrap();
        assert!(!format!("{credentials:?}").contains("planted"));
        assert_eq!(credentials.app_secret, SigningKey::from("planted".to_owned()));
        assert_ne!(credentials.app_secret, SigningKey::from("other".to_owned()));
    }
}
