//! TOP's request signature, written from the protocol page (articleId 101617), independent of the code under test.

use std::collections::BTreeMap;

use hmac::digest::InvalidLength;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The values of `sign_method` that TOP knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignMethod {
    Md5,
    HmacMd5,
    HmacSha256,
}

impl SignMethod {
    /// Parses the protocol parameter; TOP's names are lower case.
    pub(crate) fn from_parameter(name: &str) -> Option<Self> {
        match name {
            "md5" => Some(Self::Md5),
            "hmac" => Some(Self::HmacMd5),
            "hmac-sha256" => Some(Self::HmacSha256),
            _ => None,
        }
    }
}

/// The string to sign: `name` + `value` of every signed parameter, in byte order of the names. A `BTreeMap` of strings
/// iterates in that order.
fn signed_text(params: &BTreeMap<String, String>) -> String {
    params
        .iter()
        .filter(|(name, value)| name.as_str() != "sign" && !name.is_empty() && !value.is_empty())
        .flat_map(|(name, value)| [name.as_str(), value.as_str()])
        .collect()
}

/// The signature as TOP expects it: upper-case hexadecimal.
///
/// # Errors
/// Never: HMAC accepts keys of any length. The constructor's error is returned rather than unwrapped.
pub(crate) fn signature(
    method: SignMethod,
    secret: &str,
    params: &BTreeMap<String, String>,
) -> Result<String, InvalidLength> {
    let text = signed_text(params);
    let digest = match method {
        SignMethod::Md5 => Md5::digest(format!("{secret}{text}{secret}")).to_vec(),
        SignMethod::HmacMd5 => authenticate::<Hmac<Md5>>(secret, &text)?,
        SignMethod::HmacSha256 => authenticate::<Hmac<Sha256>>(secret, &text)?,
    };
    Ok(digest.iter().map(|byte| format!("{byte:02X}")).collect())
}

fn authenticate<M: Mac + KeyInit>(secret: &str, text: &str) -> Result<Vec<u8>, InvalidLength> {
    let mut mac = <M as KeyInit>::new_from_slice(secret.as_bytes())?;
    mac.update(text.as_bytes());
    Ok(mac.finalize().into_bytes().to_vec())
}

/// Whether the `sign` parameter is correct, compared in constant time.
pub(crate) fn is_valid(method: SignMethod, secret: &str, params: &BTreeMap<String, String>, sign: &str) -> bool {
    signature(method, secret, params).is_ok_and(|right| bool::from(right.as_bytes().ct_eq(sign.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        sign_method: String,
        app_secret: String,
        params: BTreeMap<String, String>,
        string_to_sign: String,
        sign: String,
    }

    #[test]
    fn published_and_computed_vectors_are_reproduced() {
        let vectors: Vec<Vector> = serde_json::from_str(include_str!("../testdata/top-signing.json")).unwrap();
        assert_eq!(vectors.len(), 7);
        for v in vectors {
            let method = SignMethod::from_parameter(&v.sign_method).unwrap();
            assert_eq!(signed_text(&v.params), v.string_to_sign, "{}", v.name);
            let sign = signature(method, &v.app_secret, &v.params).unwrap();
            assert_eq!(sign, v.sign, "{} by {}", v.name, v.sign_method);
            assert!(is_valid(method, &v.app_secret, &v.params, &v.sign));
            assert!(!is_valid(method, &v.app_secret, &v.params, &v.sign.to_lowercase()));
            assert!(!is_valid(method, &v.app_secret, &v.params, &v.sign[..v.sign.len() - 1]));
        }
    }

    #[test]
    fn empty_names_empty_values_and_sign_are_not_signed() {
        let params = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let padded = params(&[("b", "2"), ("", "x"), ("a_b", "1"), ("aB", "0"), ("c", ""), ("sign", "S")]);
        assert_eq!(signed_text(&padded), "aB0a_b1b2");
    }
}
