//! Signs requests to TOP.
//!
//! The signature covers every parameter except `sign` and those with an empty name or value. Parameters are sorted by
//! name in byte order. Names and values are concatenated as raw UTF-8 (not URL-encoded) and hashed with the secret. The
//! result is upper-case hex.

use std::fmt;

use hmac::digest::common::Key;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest as _, Md5};
use relay_types::redact::Redacted;
use serde::Deserialize;
use sha2::Sha256;
use strum::{AsRefStr, EnumString};

/// The signing method: the value of `sign_method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, AsRefStr)]
#[strum(serialize_all = "kebab-case")]
pub enum SignMethod {
    /// MD5 over secret + string + secret.
    Md5,
    /// HMAC-MD5 with the secret as key.
    Hmac,
    /// HMAC-SHA256 with the secret as key, as in the current official Java SDK.
    HmacSha256,
}

/// The application's secret, prepared once for many signatures: HMAC starts by hashing the key.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub struct SigningKey {
    secret: Redacted<String>,
    hmac: Hmac<Md5>,
    hmac_sha256: Hmac<Sha256>,
}

impl From<String> for SigningKey {
    fn from(secret: String) -> Self {
        let (hmac, hmac_sha256) = (keyed(secret.as_bytes()), keyed(secret.as_bytes()));
        Self { secret: Redacted::new(secret), hmac, hmac_sha256 }
    }
}

fn keyed<M: Mac + KeyInit>(secret: &[u8]) -> M {
    // HMAC accepts a key of any length (RFC 2104), so the fallback key is never used.
    M::new_from_slice(secret).unwrap_or_else(|_| M::new(&Key::<M>::default()))
}

impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.secret == other.secret
    }
}

impl Eq for SigningKey {}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.secret.fmt(f)
    }
}

/// Signs `parameters`, which may be in any order.
#[must_use]
pub fn sign<'a>(
    method: SignMethod,
    key: &SigningKey,
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    // No call has this many parameters.
    let mut signed = Vec::with_capacity(16);
    signed.extend(
        parameters.into_iter().filter(|(name, value)| !name.is_empty() && !value.is_empty() && *name != "sign"),
    );
    signed.sort_unstable();
    let pieces = signed.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    match method {
        SignMethod::Md5 => {
            let secret = key.secret.reveal();
            let mut hash = Md5::new_with_prefix(secret);
            pieces.for_each(|piece| hash.update(piece));
            base16ct::upper::encode_string(&hash.chain_update(secret).finalize())
        }
        SignMethod::Hmac => hmac_hex(key.hmac.clone(), pieces),
        SignMethod::HmacSha256 => hmac_hex(key.hmac_sha256.clone(), pieces),
    }
}

fn hmac_hex<'a>(mut mac: impl Mac, pieces: impl Iterator<Item = &'a [u8]>) -> String {
    pieces.for_each(|piece| mac.update(piece));
    base16ct::upper::encode_string(&mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn vectors() -> Vec<Value> {
        serde_json::from_str(include_str!("../../types/testdata/top-signing.json")).unwrap()
    }

    #[test]
    fn all_vectors_including_the_published_one_are_reproduced() {
        let vectors = vectors();
        assert_eq!(vectors.len(), 7);
        for vector in vectors {
            let method = vector["sign_method"].as_str().unwrap().parse().unwrap();
            let key = SigningKey::from(vector["app_secret"].as_str().unwrap().to_owned());
            let parameters = vector["params"].as_object().unwrap();
            let signature =
                sign(method, &key, parameters.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())));
            assert_eq!(signature, vector["sign"].as_str().unwrap(), "{} {method:?}", vector["name"]);
        }
    }

    #[test]
    fn only_signed_parameters_change_the_signature() {
        let key = SigningKey::from("helloworld".to_owned());
        let plain = sign(SignMethod::Md5, &key, [("b", "2"), ("a", "1")]);
        assert_eq!(plain, sign(SignMethod::Md5, &key, [("a", "1"), ("b", "2"), ("sign", "X"), ("c", ""), ("", "d")]));
        assert_ne!(plain, sign(SignMethod::Md5, &key, [("a", "1"), ("b", "3")]));
        assert_ne!(plain, sign(SignMethod::Md5, &key, [("a", "1"), ("b", "2"), ("session", "s")]));
    }
}
