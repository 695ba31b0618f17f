//! Strict decoding of query and body: the real gateway may refuse mistakes that a lenient decoder would repair.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::answer::TopError;
use crate::multipart;

/// The parameters of one request, from query and body together: TOP's SDKs differ in where they put them, and the
/// gateway accepts both.
#[derive(Debug, Default)]
pub(crate) struct Form {
    /// Values by parameter name; the first value if a parameter is repeated.
    pub(crate) params: BTreeMap<String, String>,
    /// The names of the files in a multipart body. Files are not signed.
    pub(crate) files: BTreeSet<String>,
    /// The first name that is repeated within the query or the body, or has another value in the body than in the query.
    pub(crate) repeated: Option<String>,
}

impl Form {
    /// Decodes query and body. An empty body needs no media type.
    ///
    /// # Errors
    /// TOP 43 if the media type is neither form-urlencoded nor multipart, or if the multipart body is malformed. TOP 47
    /// if the form or a declared charset is not UTF-8, or if the percent-encoding is invalid. The error page has no code
    /// for a wrong media type; 43, "parameter error", is the nearest.
    pub(crate) fn decode(content_type: Option<&str>, query: Option<&str>, body: &[u8]) -> Result<Self, TopError> {
        let mut form = Self::decode_query(query)?;
        if !body.is_empty() {
            form.merge(Self::decode_body(content_type.unwrap_or_default(), body)?);
        }
        Ok(form)
    }

    /// Decodes the query alone.
    ///
    /// # Errors
    /// TOP 47 if the percent-encoding is invalid, or if the query is not UTF-8.
    pub(crate) fn decode_query(query: Option<&str>) -> Result<Self, TopError> {
        Self::decode_urlencoded(query.unwrap_or_default().as_bytes())
    }

    fn decode_body(content_type: &str, body: &[u8]) -> Result<Self, TopError> {
        let (media_type, _) = content_type.split_once(';').unwrap_or((content_type, ""));
        let multipart = match media_type.trim().to_ascii_lowercase().as_str() {
            "application/x-www-form-urlencoded" => false,
            "multipart/form-data" => true,
            _ => {
                return Err(TopError::new(43, "Parameter error")
                    .because("the body must be application/x-www-form-urlencoded or multipart/form-data"));
            }
        };
        check_charset(content_type)?;
        if multipart { multipart::decode(content_type, body) } else { Self::decode_urlencoded(body) }
    }

    fn decode_urlencoded(pairs: &[u8]) -> Result<Self, TopError> {
        let mut form = Self::default();
        for pair in pairs.split(|&b| b == b'&').filter(|pair| !pair.is_empty()) {
            let end = pair.iter().position(|&b| b == b'=').unwrap_or(pair.len());
            form.insert(decode_text(&pair[..end])?, decode_text(pair.get(end + 1..).unwrap_or_default())?);
        }
        Ok(form)
    }

    /// Adds a parameter; keeps the first value of a repeated one.
    pub(crate) fn insert(&mut self, name: String, value: String) {
        match self.params.entry(name) {
            Entry::Vacant(free) => {
                free.insert(value);
            }
            Entry::Occupied(taken) => {
                self.repeated.get_or_insert_with(|| taken.key().clone());
            }
        }
    }

    /// Adds the body's parameters to those of the query. A parameter may be in both with the same value, because the
    /// signed string is then still unambiguous (inferred).
    fn merge(&mut self, body: Self) {
        let differs = |name: &str, value: &str| self.params.get(name).is_some_and(|other| other != value);
        let conflict = body.params.iter().find(|(name, value)| differs(name, value)).map(|(name, _)| name.clone());
        self.repeated = self.repeated.take().or(body.repeated).or(conflict);
        for (name, value) in body.params {
            self.params.entry(name).or_insert(value);
        }
        self.files = body.files;
    }

    /// A parameter's value; TOP treats an empty one as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// Checks the charset that a `Content-Type` declares, if any.
///
/// # Errors
/// TOP 47 if it is not UTF-8.
pub(crate) fn check_charset(content_type: &str) -> Result<(), TopError> {
    let foreign = content_type
        .split(';')
        .skip(1)
        .filter_map(|parameter| parameter.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .any(|(_, charset)| !charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8"));
    if foreign {
        return Err(invalid_encoding("the charset must be UTF-8"));
    }
    Ok(())
}

fn decode_text(encoded: &[u8]) -> Result<String, TopError> {
    let hex = |at: usize| {
        encoded.get(at).and_then(|&byte| char::from(byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok())
    };
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut at = 0;
    while let Some(&byte) = encoded.get(at) {
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(high * 16 + low);
                at += 2;
            }
            (b'%', ..) => return Err(invalid_encoding("a percent sign without two digits")),
            (b'+', ..) => bytes.push(b' '),
            (other, ..) => bytes.push(other),
        }
        at += 1;
    }
    utf8(bytes)
}

/// # Errors
/// TOP 47 if the bytes are not UTF-8.
pub(crate) fn utf8(bytes: Vec<u8>) -> Result<String, TopError> {
    String::from_utf8(bytes).map_err(|_| invalid_encoding("the form must be UTF-8"))
}

fn invalid_encoding(why: &str) -> TopError {
    TopError::new(47, "Invalid encoding").because(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Option<&str> = Some("application/x-www-form-urlencoded;charset=utf-8");

    #[test]
    fn query_and_body_are_merged() {
        let form = Form::decode(FORM, Some("a=1+2"), "b=%E7%A5%A8%2B&c&&".as_bytes()).unwrap();
        let pairs: Vec<_> = form.params.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("a", "1 2"), ("b", "票+"), ("c", "")]);
        assert_eq!(form.repeated, None);
        assert_eq!(form.get("c"), None);
    }

    #[test]
    fn name_may_be_in_both_query_and_body_with_one_value() {
        let rows: [(&str, &[u8], Option<&str>); 5] = [
            ("a=1&b=2", b"a=1", None),
            ("a=1", b"a=2", Some("a")),
            ("a=1", b"a=", Some("a")),
            ("a=1&a=1", b"", Some("a")),
            ("b=2", b"a=1&a=1", Some("a")),
        ];
        for (query, body, repeated) in rows {
            let form = Form::decode(FORM, Some(query), body).unwrap();
            assert_eq!(form.repeated.as_deref(), repeated, "{query} {body:?}");
            assert_eq!(form.get("a"), Some("1"), "{query} {body:?}");
        }
    }

    #[test]
    fn empty_body_needs_no_media_type() {
        for content_type in [None, Some("application/json"), Some("multipart/form-data")] {
            let form = Form::decode(content_type, Some("a=1"), b"").unwrap();
            assert_eq!(form.get("a"), Some("1"), "{content_type:?}");
        }
    }

    #[test]
    fn body_that_is_not_a_utf8_form_is_refused() {
        let latin1 = Some("application/x-www-form-urlencoded; charset=ISO-8859-1");
        let quoted = Some("Application/X-WWW-Form-Urlencoded; Charset=\"UTF-8\"");
        let cases: [(Option<&str>, &[u8], Option<i64>); 8] = [
            (FORM, b"a=1", None),
            (quoted, b"a=1", None),
            (None, b"a=1", Some(43)),
            (Some("application/json"), b"{}", Some(43)),
            (latin1, b"a=1", Some(47)),
            (FORM, b"a=%C0%AF", Some(47)),
            (FORM, b"a=\xff", Some(47)),
            (FORM, b"a=%4", Some(47)),
        ];
        for (content_type, body, code) in cases {
            let error = Form::decode(content_type, None, body).err().map(|e| e.code);
            assert_eq!(error, code, "{content_type:?} {body:?}");
        }
    }
}
