//! TOP's signature.
//!
//! Every parameter but `sign` and those with an empty name or value, sorted by name in byte order, name and
//! value strung together as raw UTF-8 (not URL-encoded), hashed with the secret, in upper-case hex.

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest as _, Md5};
use sha2::Sha256;

use crate::redact::Redacted;

/// How a request is signed: the value of `sign_method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignMethod {
    /// MD5 over secret + string + secret.
    Md5,
    /// HMAC-MD5 under the secret.
    Hmac,
    /// HMAC-SHA256 under the secret, as the present official Java SDK does.
    HmacSha256,
}

impl SignMethod {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Hmac => "hmac",
            Self::HmacSha256 => "hmac-sha256",
        }
    }

    /// The method of that name, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Md5, Self::Hmac, Self::HmacSha256].into_iter().find(|method| method.as_str() == name)
    }
}

/// Signs `parameters`, in whatever order they are given.
#[must_use]
pub fn sign<'a>(
    method: SignMethod,
    secret: &Redacted<String>,
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let mut signed: Vec<_> = parameters
        .into_iter()
        .filter(|(name, value)| !name.is_empty() && !value.is_empty() && *name != "sign")
        .collect();
    signed.sort_unstable();
    let pieces = signed.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    let secret = secret.reveal().as_bytes();
    match method {
        SignMethod::Md5 => {
            let mut hash = Md5::new();
            hash.update(secret);
            pieces.for_each(|piece| hash.update(piece));
            hash.update(secret);
            hex::encode_upper(hash.finalize())
        }
        SignMethod::Hmac => hmac_hex::<Hmac<Md5>>(secret, pieces),
        SignMethod::HmacSha256 => hmac_hex::<Hmac<Sha256>>(secret, pieces),
    }
}

fn hmac_hex<'a, M: Mac + KeyInit>(secret: &[u8], pieces: impl Iterator<Item = &'a [u8]>) -> String {
    // HMAC takes a key of any length (RFC 2104), so that there is no error to report.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(secret) else { return String::new() };
    pieces.for_each(|piece| mac.update(piece));
    hex::encode_upper(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn vectors() -> Vec<Value> {
        serde_json::from_str(include_str!("../../testdata/top-signing.json")).unwrap()
    }

    #[test]
    fn the_published_vector_and_all_others_pass() {
        let vectors = vectors();
        assert_eq!(vectors.len(), 7);
        for vector in vectors {
            let method = SignMethod::named(vector["sign_method"].as_str().unwrap()).unwrap();
            let secret = Redacted::new(vector["app_secret"].as_str().unwrap().to_owned());
            let parameters = vector["params"].as_object().unwrap();
            let signature =
                sign(method, &secret, parameters.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())));
            assert_eq!(signature, vector["sign"].as_str().unwrap(), "{} {method:?}", vector["name"]);
        }
    }

    #[test]
    fn what_is_not_signed_does_not_change_the_signature_and_what_is_does() {
        let secret = Redacted::new("helloworld".to_owned());
        let plain = sign(SignMethod::Md5, &secret, [("b", "2"), ("a", "1")]);
        assert_eq!(
            plain,
            sign(SignMethod::Md5, &secret, [("a", "1"), ("b", "2"), ("sign", "X"), ("c", ""), ("", "d")])
        );
        assert_ne!(plain, sign(SignMethod::Md5, &secret, [("a", "1"), ("b", "3")]));
        assert_ne!(plain, sign(SignMethod::Md5, &secret, [("a", "1"), ("b", "2"), ("session", "s")]));
    }
}
