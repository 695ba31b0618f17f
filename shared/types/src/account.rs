//! TOP accounts: an application with a seller's session. The secret holds their credentials; everything else names them.

use serde_json::Value;

use crate::json::FieldError;

/// The account of a call for which neither the link, the caller nor the secret names one.
pub const DEFAULT_ACCOUNT: &str = "default";
/// Maximum length of an account's name.
const MAX_NAME: usize = 32;
/// The requirements of [`is_account_name`] as a regular expression, for the API's description.
pub const NAME_PATTERN: &str = "^[A-Za-z0-9_-]{1,32}$";

/// Whether `name` can name an account: 1 to 32 ASCII letters, digits, `-` or `_`.
#[must_use]
pub fn is_account_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// The accounts that a link or a submitted call may name: `default`, and those of the parameter `TopAccounts`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountNames(Vec<String>);

impl AccountNames {
    /// Checks the account that a request names, if it names one.
    ///
    /// # Errors
    /// If the deployment does not know the account. `field` is where the request names it.
    pub fn check(&self, field: &str, account: Option<&str>) -> Result<(), FieldError> {
        match account {
            Some(name) if name != DEFAULT_ACCOUNT && !self.0.iter().any(|known| known == name) => {
                let known: Vec<_> = [DEFAULT_ACCOUNT].into_iter().chain(self.0.iter().map(String::as_str)).collect();
                Err(FieldError::at(
                    field,
                    format!("names no TOP account of this deployment; use {}", known.join(" or ")),
                ))
            }
            _ => Ok(()),
        }
    }
}

impl std::str::FromStr for AccountNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names: Vec<_> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        match names.iter().find(|name| !is_account_name(name)) {
            Some(name) => Err(format!("{name} is not a name: use 1 to 32 letters, digits, - or _")),
            None => Ok(Self(names)),
        }
    }
}

/// Reads an optional account name of a link.
///
/// # Errors
/// If it is not a string or not a possible name.
pub fn optional_name<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    use serde::Deserialize as _;
    use serde::de::Error as _;
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(name) if is_account_name(&name) => Ok(Some(name)),
        _ => Err(D::Error::custom("must be 1 to 32 letters, digits, - or _")),
    }
}
