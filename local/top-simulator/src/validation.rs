//! The validation of values against the pages' field tables, with the gateway's or the API's error.

use jiff::civil::DateTime;
use serde_json::{Map, Value};

use crate::answer::TopError;
use crate::pages::{Field, Kind};

/// TOP's date layout, for `timestamp` and for fields of type Date.
pub(crate) const DATE_LAYOUT: &str = "%Y-%m-%d %H:%M:%S";

/// Maximum length of an object list. The page gives 999 for `voucher_infos` and no limit for the ship lists, so TOP's
/// limit applies to both.
const MAX_LIST: usize = 999;

impl Kind {
    /// Parses a form value into JSON.
    pub(crate) fn parse(&self, name: &str, text: &str) -> Result<Value, TopError> {
        match self {
            Self::Number | Self::NumberOf(_) => Some(text)
                .filter(|text| text.bytes().all(|b| b.is_ascii_digit() || b == b'-'))
                .and_then(|text| text.parse::<i64>().ok())
                .map(Value::from)
                .ok_or_else(|| TopError::invalid_argument(name, "must be a decimal integer")),
            Self::Object(_) | Self::Objects(_) if !text.is_empty() => {
                serde_json::from_str(text).map_err(|_| TopError::invalid_argument(name, "must be JSON"))
            }
            _ => Ok(Value::from(text)),
        }
    }

    /// The type that the value should have and does not, if any.
    fn mistyped(&self, value: &Value) -> Option<&'static str> {
        let (holds, wanted) = match self {
            Self::Text | Self::TextOf(_) => (value.is_string(), "must be a string"),
            Self::Number | Self::NumberOf(_) => (value.as_i64().is_some(), "must be an integer"),
            Self::Boolean => (value.is_boolean(), "must be true or false"),
            Self::Date => {
                (value.as_str().is_some_and(|text| parse_date(text).is_some()), "must be a date yyyy-MM-dd HH:mm:ss")
            }
            Self::Texts => (
                value
                    .as_array()
                    .is_some_and(|texts| texts.iter().all(|text| text.as_str().is_some_and(|text| !text.is_empty()))),
                "must be a list of non-empty strings",
            ),
            Self::Object(_) => (value.is_object(), "must be an object"),
            Self::Objects(_) => {
                (value.as_array().is_some_and(|list| list.len() <= MAX_LIST), "must be a list of at most 999 objects")
            }
        };
        (!holds).then_some(wanted)
    }

    /// Whether the value is one that the page lists, or the page has no list.
    fn lists(&self, value: &Value) -> bool {
        match self {
            Self::TextOf(values) => value.as_str().is_some_and(|text| values.contains(&text)),
            Self::NumberOf(values) => value.as_i64().is_some_and(|number| values.contains(&number)),
            _ => true,
        }
    }
}

/// Checks an object's members; `path` leads to it through the JSON.
///
/// # Errors
/// The first violation, as of [`Api::read`](crate::pages::Api::read).
pub(crate) fn check_object(fields: &[Field], object: &Map<String, Value>, path: &str) -> Result<(), TopError> {
    for name in object.keys() {
        if !fields.iter().any(|field| field.name == name) {
            return Err(TopError::invalid_parameter(format_args!("{path}{name} is unknown")));
        }
    }
    for field in fields {
        let path = format!("{path}{}", field.name);
        let Some(value) = object.get(field.name) else {
            if field.required {
                return Err(TopError::missing_argument(&path));
            }
            continue;
        };
        let empty = value.as_str() == Some("") || value.as_array().is_some_and(Vec::is_empty);
        if field.required && empty {
            return Err(TopError::missing_argument(&path));
        }
        check_value(&field.kind, value, &path)?;
    }
    Ok(())
}

fn check_value(kind: &Kind, value: &Value, path: &str) -> Result<(), TopError> {
    if let Some(wanted) = kind.mistyped(value) {
        return Err(TopError::invalid_argument(path, wanted));
    }
    if !kind.lists(value) {
        return Err(TopError::invalid_parameter(format_args!("{path} is not one of the values that the page lists")));
    }
    match (kind, value) {
        (Kind::Object(fields), Value::Object(object)) => check_object(fields, object, &format!("{path}.")),
        (Kind::Objects(fields), Value::Array(list)) => {
            for (index, item) in list.iter().enumerate() {
                check_value(&Kind::Object(fields), item, &format!("{path}[{index}]"))?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Parses `yyyy-MM-dd HH:mm:ss`, with all digits present.
pub(crate) fn parse_date(text: &str) -> Option<DateTime> {
    // strptime alone would accept one-digit months and surrounding spaces.
    let date = DateTime::strptime(DATE_LAYOUT, text).ok()?;
    (date.strftime(DATE_LAYOUT).to_string() == text).then_some(date)
}
