//! The credentials for TOP: one application and session, or several, by the name of the account.

use std::collections::{BTreeMap, BTreeSet};

use relay_types::account::{DEFAULT_ACCOUNT, is_account_name};
use relay_types::call::CallKind;
use relay_types::json;
use relay_types::redact::Redacted;
use relay_types::time::EpochMillis;
use serde::{Deserialize, Deserializer};

use crate::sign::SigningKey;

/// Credentials that sign and authorise calls to TOP.
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

/// An account in the secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Account {
    /// Its credentials.
    #[serde(flatten)]
    pub credentials: Credentials,
    /// When the session expires, if the secret says so.
    #[serde(default, deserialize_with = "time")]
    pub session_expires_at: Option<EpochMillis>,
    /// The calls that it sends if nothing else names an account.
    #[serde(default)]
    pub calls: BTreeSet<CallKind>,
}

/// All accounts. In Secrets Manager: `{"accounts": {"flights": {"app_key": …, "app_secret": …, "session": …,
/// "session_expires_at": "2027-01-31", "calls": ["itinerary-postback"]}, …}}`. A single account may stand alone:
/// `{"app_key": …, "app_secret": …, "session": …}`; its name is `default`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Accounts(BTreeMap<String, Account>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Several { accounts: BTreeMap<String, Account> },
    Single(Box<Account>),
}

impl TryFrom<Written> for Accounts {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let accounts = match written {
            Written::Several { accounts } => accounts,
            Written::Single(account) => BTreeMap::from([(DEFAULT_ACCOUNT.to_owned(), *account)]),
        };
        if accounts.is_empty() {
            return Err("there is no account".to_owned());
        }
        if let Some(name) = accounts.keys().find(|name| !is_account_name(name)) {
            return Err(format!("{name} is not a name: use 1 to 32 letters, digits, - or _"));
        }
        for call in CallKind::ALL {
            let named: Vec<_> = accounts.iter().filter(|(_, account)| account.calls.contains(&call)).collect();
            if named.len() > 1 {
                return Err(format!("{call} is listed in the calls of {} and {}", named[0].0, named[1].0));
            }
        }
        Ok(Self(accounts))
    }
}

impl Accounts {
    /// The account that sends a call: the one that is `named`, else the one that lists the call, else `default`, else
    /// the only one.
    #[must_use]
    pub fn of(&self, named: Option<&str>, call: CallKind) -> Option<(&str, &Account)> {
        let by_name = |name: &str| self.0.get_key_value(name);
        let found = match named {
            Some(name) => by_name(name),
            None => self
                .0
                .iter()
                .find(|(_, account)| account.calls.contains(&call))
                .or_else(|| by_name(DEFAULT_ACCOUNT))
                .or_else(|| self.0.iter().next().filter(|_| self.0.len() == 1)),
        };
        found.map(|(name, account)| (name.as_str(), account))
    }

    /// All accounts by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Account)> {
        self.0.iter().map(|(name, account)| (name.as_str(), account))
    }
}

/// Reads RFC 3339, TOP's `yyyy-MM-dd HH:mm:ss` or a date, the latter two in GMT+8.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<EpochMillis>, D::Error> {
    use serde::de::Error as _;
    let Some(text) = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let china = |text: &str| EpochMillis::from_china_time(text);
    let time = EpochMillis::from_rfc3339(&text).or_else(|| china(&text)).or_else(|| china(&format!("{text} 00:00:00")));
    time.map(Some).ok_or_else(|| D::Error::custom("session_expires_at: write it as 2027-01-31 or 2027-01-31 08:00:00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"{"app_key":"1","app_secret":"planted","session":"planted"}"#;

    #[test]
    fn debug_output_hides_the_secrets() {
        let credentials: Credentials = serde_json::from_str(ONE).unwrap();
        assert!(!format!("{credentials:?}").contains("planted"));
        assert_eq!(credentials.app_secret, SigningKey::from("planted".to_owned()));
        assert_ne!(credentials.app_secret, SigningKey::from("other".to_owned()));
    }

    #[test]
    fn single_account_is_the_default_of_all_calls() {
        let accounts: Accounts = serde_json::from_str(ONE).unwrap();
        for call in CallKind::ALL {
            assert_eq!(accounts.of(None, call).map(|(name, _)| name), Some("default"));
        }
        assert_eq!(accounts.of(Some("flights"), CallKind::ShipNotify), None);
    }

    #[test]
    fn calls_go_to_the_account_that_is_named_or_lists_them() {
        let accounts: Accounts = serde_json::from_str(
            r#"{"accounts":{"ships":{"app_key":"2","app_secret":"x","calls":["ship-notify"],"session_expires_at":"2027-01-31"},
                "default":{"app_key":"1","app_secret":"x"},"other":{"app_key":"3","app_secret":"x","calls":[]}}}"#,
        )
        .unwrap();
        let of =
            |named, call| accounts.of(named, call).map(|(name, account)| (name, account.credentials.app_key.as_str()));
        assert_eq!(of(None, CallKind::ShipNotify), Some(("ships", "2")));
        assert_eq!(of(None, CallKind::TicketVerify), Some(("default", "1")));
        assert_eq!(of(Some("other"), CallKind::ShipNotify), Some(("other", "3")));
        let expires = accounts.of(Some("ships"), CallKind::ShipNotify).unwrap().1.session_expires_at.unwrap();
        assert_eq!(expires.to_string(), "2027-01-30T16:00:00.000Z");
    }

    #[test]
    fn ambiguous_or_empty_secrets_are_refused() {
        let account = r#"{"app_key":"1","app_secret":"x","calls":["ship-notify"]}"#;
        for secret in [
            "{}".to_owned(),
            r#"{"accounts":{}}"#.to_owned(),
            format!(r#"{{"accounts":{{"a b":{account}}}}}"#),
            format!(r#"{{"accounts":{{"a":{account},"b":{account}}}}}"#),
            r#"{"accounts":{"a":{"app_key":"1","app_secret":""}}}"#.to_owned(),
            r#"{"app_key":"1","app_secret":"x","session_expires_at":"soon"}"#.to_owned(),
            r#"{"app_key":"1","app_secret":"x","calls":["no-call"]}"#.to_owned(),
        ] {
            assert!(serde_json::from_str::<Accounts>(&secret).is_err(), "{secret}");
        }
    }
}
