//! Digests that identify bodies.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// SHA-256 of `bytes` in lower-case hex.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(bytes))
}

/// The first byte of the SHA-256 of `bytes`. It spreads keys evenly and is the same in every process.
#[must_use]
pub fn sha256_prefix(bytes: &[u8]) -> u8 {
    Sha256::digest(bytes).first().copied().unwrap_or_default()
}

/// SHA-256 of the canonical form of a JSON object. The canonical form sorts members by name at every level, has no
/// white space, and keeps every digit of numbers. It leaves out the top-level members in `but`.
///
/// Two deliveries of one notification have the same digest. A partner may reorder the members, and it signs and
/// time-stamps each delivery again.
#[must_use]
pub fn canonical_digest(value: &Value, but: &[&str]) -> String {
    let mut text = String::new();
    canonical(value, but, &mut text);
    sha256_hex(text.as_bytes())
}

fn canonical(value: &Value, but: &[&str], out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut names: Vec<_> = members.keys().filter(|name| !but.contains(&name.as_str())).collect();
            names.sort_unstable();
            out.push('{');
            for name in names {
                out.push_str(&Value::String(name.clone()).to_string());
                out.push(':');
                canonical(&members[name], &[], out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(elements) => {
            out.push('[');
            for element in elements {
                canonical(element, &[], out);
                out.push(',');
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> String {
        canonical_digest(&serde_json::from_str(text).unwrap(), &["sign", "request_time"])
    }

    #[test]
    fn resend_has_the_digest_of_the_first_delivery() {
        assert_eq!(
            digest(r#"{"a":1,"b":{"x":[1,2],"y":null},"sign":"A","request_time":"1"}"#),
            digest(r#"{ "sign":"B", "request_time":"2", "b":{"y":null,"x":[1,2]}, "a":1 }"#),
        );
    }

    #[test]
    fn different_content_has_different_digests() {
        let bodies = [
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":[1]}"#,
            r#"{"a":[1,2]}"#,
            r#"{"a":[2,1]}"#,
            r#"{"a":null}"#,
            r#"{}"#,
            r#"{"a":12345678901234567890}"#,
            r#"{"a":12345678901234567891}"#,
            r#"{"a":{"sign":"A"}}"#,
            r#"{"a":{"sign":"B"}}"#,
        ];
        let mut digests: Vec<_> = bodies.iter().map(|body| digest(body)).collect();
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), bodies.len());
    }
}
