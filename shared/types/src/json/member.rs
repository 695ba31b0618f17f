//! How members are read: lenient where partners are. Used as serde's `deserialize_with`.

use std::marker::PhantomData;

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

/// Marks the messages below, which never hold a value.
pub(super) const EXPECTED: &str = "expected ";

fn expected<E: serde::de::Error>(what: &str) -> E {
    E::custom(format!("{EXPECTED}{what}"))
}

/// A string; a number is taken too, with every digit that was sent.
///
/// # Errors
/// Anything else is refused.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    optional_text(deserializer)?.ok_or_else(|| expected("a string"))
}

/// As [`text`]; `null` is as good as absent.
///
/// # Errors
/// A boolean, list or object is refused.
pub fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer).map_err(|_| D::Error::custom("expected a string"))? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        _ => Err(expected("a string")),
    }
}

/// The digits of a number, as [`text`] takes them: JSON's `-0` is `0`.
#[must_use]
pub fn digits(number: &Number) -> String {
    let digits = number.to_string();
    if digits == "-0" { "0".to_owned() } else { digits }
}

/// As [`text`]; anything else is as good as absent.
///
/// # Errors
/// None of its own.
pub fn text_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// A member that decides nothing: described as a `T`, taken whatever it holds, and never read. It stays in the body
/// that is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread<T>(PhantomData<T>);

impl<T> Default for Unread<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T> Deserialize<'de> for Unread<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self::default())
    }
}

#[cfg(feature = "schema")]
impl<T: schemars::JsonSchema> schemars::JsonSchema for Unread<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

/// A string that is not empty.
///
/// # Errors
/// An empty string is refused, as is anything that [`text`] refuses.
pub fn filled_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = text(deserializer)?;
    if text.is_empty() { Err(expected("a string that is not empty")) } else { Ok(text) }
}

/// A member of a secret that is filled in: the template creates it empty, and what an empty one signs anybody can sign.
///
/// # Errors
/// If it is no text, or empty.
pub fn filled_in<'de, T: From<String>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() { Err(D::Error::custom("is empty")) } else { Ok(text.into()) }
}

/// A whole number, written as a number or as a string of digits; `2.0` is one, too.
///
/// # Errors
/// Other fractions, exponents, other text, and what does not fit 64 bits are refused.
pub fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    optional_integer(deserializer)?.ok_or_else(|| expected("a whole number"))
}

/// As [`integer`]; `null` and the empty string are as good as absent.
///
/// # Errors
/// As [`integer`].
pub fn optional_integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let digits = match Value::deserialize(deserializer)? {
        Value::Null => return Ok(None),
        Value::String(text) if text.is_empty() => return Ok(None),
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => return Err(expected("a whole number")),
    };
    let whole = match digits.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() && fraction.bytes().all(|digit| digit == b'0') => whole,
        _ => &digits,
    };
    whole.parse().map(Some).map_err(|_| expected("a whole number"))
}

/// A decimal amount, written as a number or as a string, kept digit for digit; `null` and the empty string
/// are as good as absent.
///
/// # Errors
/// Anything else is refused.
pub fn optional_decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Number>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) => text.parse().map(Some).map_err(|_| expected("a decimal number")),
        Value::Number(number) => Ok(Some(number)),
        _ => Err(expected("a decimal number")),
    }
}

/// `true` or `false`.
///
/// # Errors
/// Anything else is refused.
pub fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Value::deserialize(deserializer)?.as_bool().ok_or_else(|| expected("true or false"))
}

/// A list; `null` is as good as an empty one.
///
/// # Errors
/// Anything else is refused, and so is an element of the wrong type.
pub fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

/// A list of strings, each as [`text`] takes it.
///
/// # Errors
/// Anything else is refused.
pub fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let Some(values) = Option::<Vec<Value>>::deserialize(deserializer)? else { return Ok(Vec::new()) };
    let text = |value| match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(expected("a list of strings")),
    };
    values.into_iter().map(text).collect()
}

/// A time as TOP writes it, `yyyy-MM-dd HH:mm:ss`; `null` is as good as absent.
///
/// # Errors
/// Anything else is refused.
pub fn optional_china_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match optional_text(deserializer)? {
        Some(time) if !crate::time::is_china_time(&time) => Err(expected("a time written yyyy-MM-dd HH:mm:ss")),
        time => Ok(time),
    }
}
