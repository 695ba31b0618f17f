//! Strict decoding of the posted form: the real gateway may refuse mistakes that a lenient decoder would repair.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::answer::TopError;

/// The parameters of one request, from query and body together: TOP's SDKs differ in where they put them, and the
/// gateway accepts both.
#[derive(Debug, Default)]
pub(crate) struct Form {
    /// Values by parameter name; the first value if a parameter is repeated.
    pub(crate) params: BTreeMap<String, String>,
    /// The first repeated name, if any.
    pub(crate) repeated: Option<String>,
}

impl Form {
    /// Decodes query and body.
    ///
    /// # Errors
    /// TOP 43 if the media type is not form-urlencoded. TOP 47 if the form or a declared charset is not UTF-8, or if the
    /// percent-encoding is invalid. The error page has no code for a wrong media type; 43, "parameter error", is the nearest.
    pub(crate) fn decode(content_type: Option<&str>, query: Option<&str>, body: &[u8]) -> Result<Self, TopError> {
        check_content_type(content_type.unwrap_or_default())?;
        let mut form = Self::default();
        for part in [query.unwrap_or_default().as_bytes(), body] {
            for pair in part.split(|&b| b == b'&').filter(|pair| !pair.is_empty()) {
                let end = pair.iter().position(|&b| b == b'=').unwrap_or(pair.len());
                let name = decode_text(&pair[..end])?;
                let value = decode_text(pair.get(end + 1..).unwrap_or_default())?;
                match form.params.entry(name) {
                    Entry::Vacant(free) => {
                        free.insert(value);
                    }
                    Entry::Occupied(taken) => {
                        form.repeated.get_or_insert_with(|| taken.key().clone());
                    }
                }
            }
        }
        Ok(form)
    }

    /// A parameter's value; TOP treats an empty one as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

fn check_content_type(content_type: &str) -> Result<(), TopError> {
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(TopError::new(43, "Parameter error").because("the body must be application/x-www-form-urlencoded"));
    }
    let foreign_charset = parts
        .filter_map(|parameter| parameter.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .any(|(_, charset)| !charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8"));
    if foreign_charset {
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
    fn name_in_both_query_and_body_is_repeated() {
        let form = Form::decode(FORM, Some("a=1"), b"a=2").unwrap();
        assert_eq!(form.repeated.as_deref(), Some("a"));
        assert_eq!(form.get("a"), Some("1"));
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
