//! Lenient deserialisers for members, for serde's `deserialize_with`. They accept the variants that partners send.

use std::marker::PhantomData;

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

/// The prefix of the messages below, which never hold a value.
pub(super) const EXPECTED: &str = "expected ";

fn expected<E: serde::de::Error>(what: &str) -> E {
    E::custom(format!("{EXPECTED}{what}"))
}

/// Reads a string. Also accepts a number and keeps every digit.
///
/// # Errors
/// For any other type.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    optional_text(deserializer)?.ok_or_else(|| expected("a string"))
}

/// Like [`text`]; `null` counts as absent.
///
/// # Errors
/// For a boolean, list or object.
pub fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer).map_err(|_| D::Error::custom("expected a string"))? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        _ => Err(expected("a string")),
    }
}

/// The digits of a number, as [`text`] reads them. JSON's `-0` becomes `0`.
#[must_use]
pub fn digits(number: &Number) -> String {
    let digits = number.to_string();
    if digits == "-0" { "0".to_owned() } else { digits }
}

/// Like [`text`]; any other type counts as absent.
///
/// # Errors
/// Only those of the deserialiser.
pub fn text_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// A member that no decision needs. The schema describes it as a `T`; any value is accepted and ignored. The recorded
/// body keeps it.
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

/// Reads a non-empty string.
///
/// # Errors
/// For an empty string, and as [`text`].
pub fn filled_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = text(deserializer)?;
    if text.is_empty() { Err(expected("a non-empty string")) } else { Ok(text) }
}

/// Reads a member of a secret, which must be filled in. The template creates secrets empty, and anybody can sign with
/// an empty secret.
///
/// # Errors
/// If the value is empty or not a string.
pub fn filled_in<'de, T: From<String>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() { Err(D::Error::custom("is empty")) } else { Ok(text.into()) }
}

/// Reads a whole number from a number or a string of digits. Also accepts `2.0`.
///
/// # Errors
/// For other fractions, exponents, other strings, and numbers that do not fit into 64 bits.
pub fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    optional_integer(deserializer)?.ok_or_else(|| expected("a whole number"))
}

/// Like [`integer`]; `null` and the empty string count as absent.
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

/// Reads a decimal amount from a number or a string and keeps every digit. `null` and the empty string count as absent.
///
/// # Errors
/// For anything else.
pub fn optional_decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Number>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) => text.parse().map(Some).map_err(|_| expected("a decimal number")),
        Value::Number(number) => Ok(Some(number)),
        _ => Err(expected("a decimal number")),
    }
}

/// Reads `true` or `false`.
///
/// # Errors
/// For anything else.
pub fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Value::deserialize(deserializer)?.as_bool().ok_or_else(|| expected("true or false"))
}

/// Reads a list; `null` counts as an empty list.
///
/// # Errors
/// For anything else, and for an element of the wrong type.
pub fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a list of strings, each like [`text`]. `null` counts as an empty list.
///
/// # Errors
/// For anything else.
pub fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let Some(values) = Option::<Vec<Value>>::deserialize(deserializer)? else { return Ok(Vec::new()) };
    let text = |value| match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(expected("a list of strings")),
    };
    values.into_iter().map(text).collect()
}

/// Reads a time in TOP's format, `yyyy-MM-dd HH:mm:ss`. `null` counts as absent.
///
/// # Errors
/// For anything else.
pub fn optional_china_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match optional_text(deserializer)? {
        Some(time) if !crate::time::is_china_time(&time) => Err(expected("a time in the format yyyy-MM-dd HH:mm:ss")),
        time => Ok(time),
    }
}
