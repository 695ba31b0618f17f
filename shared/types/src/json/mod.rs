//! Reads JSON from outside. Lenient for partners. Errors name the field and never repeat a value, which may be a name
//! or a ticket password.

mod member;
mod unique;

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use self::member::*;

/// Maximum size of a body, in bytes. It must fit into a DynamoDB item (400 KB) together with the rest of its record.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// Why a body was rejected. The message names the field and the expected value, never the value found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Path of the field, such as `vouchers[0].voucher_type`; empty for the whole body.
    pub field: String,
    /// The problem, such as `is missing`.
    pub problem: String,
}

impl FieldError {
    /// An error in the field at the path `field`.
    pub fn at(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// Prefixes the path with `parent`.
    #[must_use]
    pub fn within(self, parent: &str) -> Self {
        let separator = if self.field.is_empty() || self.field.starts_with('[') { "" } else { "." };
        Self { field: format!("{parent}{separator}{}", self.field), problem: self.problem }
    }

    /// An error in the whole body.
    pub fn body(problem: impl Into<String>) -> Self {
        Self::at("", problem)
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            write!(f, "the body {}", self.problem)
        } else {
            write!(f, "field {} {}", self.field, self.problem)
        }
    }
}

impl std::error::Error for FieldError {}

/// The byte order mark that some systems write before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Removes a leading byte order mark.
#[must_use]
pub fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)
}

/// Parses a body that must be one JSON object. Ignores a leading byte order mark. If a key occurs twice in an object,
/// the last one counts.
///
/// # Errors
/// If the bytes are not UTF-8, not JSON, or not an object. The error has the position, not the text.
pub fn parse_object(body: &[u8]) -> Result<Value, FieldError> {
    let body = without_mark(body);
    if body.is_empty() {
        return Err(FieldError::body("is empty: send a JSON object"));
    }
    let text = std::str::from_utf8(body)
        .map_err(|error| FieldError::body(format!("is not valid UTF-8 at byte {}", error.valid_up_to())))?;
    let value: Value = serde_json::from_str(text).map_err(|error| {
        FieldError::body(format!("is not valid JSON at line {}, column {}", error.line(), error.column()))
    })?;
    if value.is_object() { Ok(value) } else { Err(FieldError::body("must be a JSON object")) }
}

/// Like [`parse_object`], but rejects duplicate keys, because two readers could use different values.
///
/// # Errors
/// As [`parse_object`]. Also names the first duplicate key.
pub fn parse_unambiguous_object(body: &[u8]) -> Result<Value, FieldError> {
    let value = parse_object(body)?;
    match unique::duplicate_key(without_mark(body)) {
        Some(field) => Err(FieldError::at(field, "occurs twice")),
        None => Ok(value),
    }
}

/// Reads `value` as a `T`.
///
/// # Errors
/// Names the field that is missing, unknown, or of the wrong type.
pub fn read<T: DeserializeOwned>(value: &Value) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let (leaf, problem) = without_values(&error.into_inner().to_string());
        let parent = if path == "." { "" } else { &path };
        let field = match (parent.is_empty(), leaf) {
            (_, None) => parent.to_owned(),
            // The path already contains an unknown field, but not a missing one.
            (false, Some(leaf)) if parent == leaf || parent.ends_with(&format!(".{leaf}")) => parent.to_owned(),
            (true, Some(leaf)) => leaf,
            (false, Some(leaf)) => format!("{parent}.{leaf}"),
        };
        FieldError { field, problem }
    })
}

/// Rewrites serde's message, which may quote the value found, into a field name and a problem without the value.
fn without_values(message: &str) -> (Option<String>, String) {
    let quoted = |text: &str| text.split('`').nth(1).map(str::to_owned);
    if message.starts_with("missing field") {
        return (quoted(message), "is missing".to_owned());
    }
    if message.starts_with("unknown field") {
        return (quoted(message), "is not supported".to_owned());
    }
    if let Some(expectation) = message.strip_prefix(member::EXPECTED) {
        return (None, format!("must be {expectation}"));
    }
    if message.contains("expected a sequence") {
        return (None, "must be a list".to_owned());
    }
    if message.contains("expected struct") || message.contains("expected a map") {
        return (None, "must be an object".to_owned());
    }
    (None, "has the wrong type or a value that is not allowed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::Number;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[serde(deserialize_with = "filled_text")]
        id: String,
        #[serde(default, deserialize_with = "optional_integer")]
        count: Option<i64>,
        #[serde(default, deserialize_with = "optional_decimal")]
        price: Option<Number>,
        #[serde(default, deserialize_with = "list")]
        inner: Vec<Inner>,
        #[serde(default, deserialize_with = "texts")]
        names: Vec<String>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[serde(deserialize_with = "integer")]
        kind: i64,
    }

    fn body(text: &str) -> Result<Body, FieldError> {
        read(&parse_object(text.as_bytes())?)
    }

    #[test]
    fn numbers_are_read_from_strings_and_numbers_with_every_digit() {
        let read =
            body(r#"{"id":92233720368547758089,"count":"9007199254740993","price":"25.580","names":["a",1]}"#).unwrap();
        assert_eq!(read.id, "92233720368547758089");
        assert_eq!(read.count, Some(9_007_199_254_740_993));
        assert_eq!(read.price.unwrap().to_string(), "25.580");
        assert_eq!(read.names, ["a", "1"]);
        for text in ["1", "1.0", "\"1.00\""] {
            assert_eq!(body(&format!(r#"{{"id":"x","count":{text}}}"#)).unwrap().count, Some(1), "{text}");
        }
    }

    #[test]
    fn error_names_the_field_and_never_the_value() {
        let cases = [
            (r#"{"id":"secret","inner":[{"kind":1},{"kind":"secret"}]}"#, "field inner[1].kind must be a whole number"),
            (r#"{"id":"x","inner":[{}]}"#, "field inner[0].kind is missing"),
            (r#"{"id":"x","inner":[{"kind":1,"odd":"secret"}]}"#, "field inner[0].odd is not supported"),
            (r#"{"id":"x","odd":"secret"}"#, "field odd is not supported"),
            (r#"{}"#, "field id is missing"),
            (r#"{"id":""}"#, "field id must be a non-empty string"),
            (r#"{"id":["secret"]}"#, "field id must be a string"),
            (r#"{"id":"x","count":1.5}"#, "field count must be a whole number"),
            (r#"{"id":"x","count":"1."}"#, "field count must be a whole number"),
            (r#"{"id":"x","count":1e2}"#, "field count must be a whole number"),
            (r#"{"id":"x","count":{"secret":1}}"#, "field count must be a whole number"),
            (r#"{"id":"x","price":"secret"}"#, "field price must be a decimal number"),
            (r#"{"id":"x","inner":"secret"}"#, "field inner must be a list"),
            (r#"{"id":"x","inner":["secret"]}"#, "field inner[0] must be an object"),
            (r#"{"id":"x","names":"secret"}"#, "field names must be a list"),
        ];
        for (text, message) in cases {
            assert_eq!(body(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn duplicate_keys_are_reported_with_their_path_at_every_depth() {
        let numbers =
            r#"{"a":1e400,"b":[12345678901234567890123,-0.10,true,null,""],"c":{"a":1},"d":[{"a":1},{"a":2}]}"#;
        assert_eq!(parse_unambiguous_object(numbers.as_bytes()).unwrap(), parse_object(numbers.as_bytes()).unwrap());
        for (text, field) in [
            (r#"{"a":1,"a":1}"#, "a"),
            (r#"{"a":1,"b":{"\u0061":1,"a":null}}"#, "b.a"),
            (r#"{"a":[[],[{"b":{},"c":[],"b":[]}]]}"#, "a[1][0].b"),
            ("\u{feff}{\"a\":1,\"a\":1}", "a"),
        ] {
            let message = format!("field {field} occurs twice");
            assert_eq!(parse_unambiguous_object(text.as_bytes()).unwrap_err().to_string(), message, "{text}");
            assert!(parse_object(text.as_bytes()).is_ok());
        }
        assert_eq!(parse_object(br#"{"a":1,"a":2}"#).unwrap()["a"], 2, "the last one counts");
        assert!(parse_unambiguous_object(b"{").is_err());
    }

    #[test]
    fn one_leading_byte_order_mark_is_ignored() {
        assert_eq!(parse_object("\u{feff}{\"a\":\"\u{feff}\"}".as_bytes()).unwrap()["a"], "\u{feff}");
        assert_eq!(parse_object("\u{feff}".as_bytes()).unwrap_err(), FieldError::body("is empty: send a JSON object"));
        assert!(parse_object("\u{feff}\u{feff}{}".as_bytes()).is_err());
    }

    #[test]
    fn anything_but_a_json_object_is_rejected() {
        for (bytes, message) in [
            (&b""[..], "the body is empty: send a JSON object"),
            (b"null", "the body must be a JSON object"),
            (b"[]", "the body must be a JSON object"),
            (b"\"secret\"", "the body must be a JSON object"),
            (b"{\"a\":", "the body is not valid JSON at line 1, column 5"),
            (b"{\"a\":\"\xff\"}", "the body is not valid UTF-8 at byte 6"),
            (b"{\"a\":\"\x01\"}", "the body is not valid JSON at line 1, column 7"),
        ] {
            assert_eq!(parse_object(bytes).unwrap_err().to_string(), message);
        }
    }
}
