//! Authentication of partners: the token in the URL and, for SCTT, the configured checks.

use std::time::Duration;

use md5::Md5;
use relay_types::json;
use relay_types::partner::sctt::Envelope;
use relay_types::redact::Redacted;
use relay_types::time::{EpochMillis, distance};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use thiserror::Error;

/// SHA-256 digests of an endpoint's valid tokens. At most two: the current one and, during a rotation, the previous or
/// next one.
#[derive(Debug, Clone, Default)]
pub struct TokenHashes(Vec<[u8; 32]>);

/// Why a list of token hashes is invalid.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenHashError {
    /// An entry is not a SHA-256 digest. Holds its position, from 1.
    #[error("entry {0} is not 64 hexadecimal digits; set the SHA-256 of the token (printf %s TOKEN | sha256sum)")]
    NotSha256(usize),
    /// More entries than a rotation needs. Holds their number.
    #[error("{0} hashes given, at most 2 allowed: one for the old token and one for the new")]
    TooMany(usize),
}

impl TokenHashes {
    /// Parses hexadecimal SHA-256 digests separated by commas. An empty list closes the endpoint.
    ///
    /// # Errors
    /// If an entry is not 64 hexadecimal digits, or there are more than two entries.
    pub fn parse(list: &str) -> Result<Self, TokenHashError> {
        let entries: Vec<_> = list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect();
        if entries.len() > 2 {
            return Err(TokenHashError::TooMany(entries.len()));
        }
        let parse = |(index, entry): (usize, &str)| {
            let hash = base16ct::mixed::decode_vec(entry).ok().and_then(|bytes| bytes.try_into().ok());
            hash.ok_or(TokenHashError::NotSha256(index + 1))
        };
        entries.into_iter().enumerate().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the endpoint is closed: no token is valid.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `token` is valid. Takes constant time: the duration reveals neither the result nor which token matched.
    #[must_use]
    pub fn admit(&self, token: &str) -> bool {
        let presented: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let admitted = self.0.iter().fold(Choice::from(0), |found, hash| found | hash.ct_eq(&presented));
        admitted.into()
    }
}

/// SCTT's signing secret, stored in Secrets Manager as `{"secret": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ScttSecret {
    /// The shared secret.
    #[serde(deserialize_with = "json::filled_in")]
    pub secret: Redacted<String>,
}

/// The hash function of a signature formula.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureHash {
    /// MD5: 32 hexadecimal digits, as in SCTT's samples.
    Md5,
    /// SHA-256: 64 hexadecimal digits.
    Sha256,
}

/// SCTT's signature formula: the hash of a template such as `{merchant_id}{request_time}{secret}`, in upper-case hex.
/// It is configuration because SCTT does not publish it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureFormula {
    parts: Vec<Part>,
    hash: SignatureHash,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Field(String),
    Secret,
}

/// Why a signature formula is invalid.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FormulaError {
    /// An unbalanced or nested brace, or an empty name.
    #[error("unbalanced braces or empty name; write {{field}} for a field of the body and {{secret}} for the secret")]
    Braces,
    /// The formula does not use the secret.
    #[error("{{secret}} is missing; without it anybody could sign")]
    NoSecret,
}

impl SignatureFormula {
    /// Parses a template. `None` if it is empty: then signatures are not checked.
    ///
    /// # Errors
    /// If the braces are unbalanced, or `{secret}` is missing.
    pub fn parse(template: &str, hash: SignatureHash) -> Result<Option<Self>, FormulaError> {
        let mut parts = Vec::new();
        let mut rest = template;
        while !rest.is_empty() {
            let (literal, after) = rest.split_once('{').unwrap_or((rest, ""));
            if literal.contains('}') || (after.is_empty() && rest.ends_with('{')) {
                return Err(FormulaError::Braces);
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            if literal.len() == rest.len() {
                break;
            }
            let (name, after) = after.split_once('}').ok_or(FormulaError::Braces)?;
            if name.is_empty() || name.contains('{') {
                return Err(FormulaError::Braces);
            }
            parts.push(if name == "secret" { Part::Secret } else { Part::Field(name.to_owned()) });
            rest = after;
        }
        if parts.is_empty() {
            return Ok(None);
        }
        if !parts.contains(&Part::Secret) {
            return Err(FormulaError::NoSecret);
        }
        Ok(Some(Self { parts, hash }))
    }

    /// The expected signature of `body`. A missing field counts as empty.
    #[must_use]
    pub fn sign(&self, body: &serde_json::Value, secret: &Redacted<String>) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Secret => text.push_str(secret.reveal()),
                Part::Field(name) => match &body[name.as_str()] {
                    serde_json::Value::Null => {}
                    serde_json::Value::String(value) => text.push_str(value),
                    other => text.push_str(&other.to_string()),
                },
            }
        }
        match self.hash {
            SignatureHash::Md5 => base16ct::upper::encode_string(&Md5::digest(text.as_bytes())),
            SignatureHash::Sha256 => base16ct::upper::encode_string(&Sha256::digest(text.as_bytes())),
        }
    }
}

/// SCTT's checks in addition to the token. Each is off unless configured.
#[derive(Debug, Clone, Default)]
pub struct ScttChecks {
    /// The only accepted `merchant_id`.
    pub merchant_id: Option<String>,
    /// The maximum distance of `request_time` from now, in either direction.
    pub request_time_window: Option<Duration>,
    /// The formula of `sign`.
    pub formula: Option<SignatureFormula>,
}

/// Why a push failed authentication. The partner gets the same answer in all cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotAuthentic {
    /// A different merchant id, or none.
    #[error("merchant_id is not the configured one")]
    Merchant,
    /// No time, an invalid one, or one too far from now.
    #[error("request_time is missing, not in the form yyyy-MM-dd HH:mm:ss, or too far from now")]
    RequestTime,
    /// A missing or wrong signature.
    #[error("sign is missing or does not match")]
    Signature,
}

impl ScttChecks {
    /// Checks a push. `secret` is required only if a formula is configured.
    ///
    /// # Errors
    /// Names the failed check, for the log only: the partner must not learn which it was.
    pub fn check(
        &self,
        push: &Envelope,
        body: &serde_json::Value,
        secret: Option<&Redacted<String>>,
        now: EpochMillis,
    ) -> Result<(), NotAuthentic> {
        if self.merchant_id.is_some() && self.merchant_id != push.merchant_id {
            return Err(NotAuthentic::Merchant);
        }
        if let Some(window) = self.request_time_window {
            let sent = push.request_time.as_deref().and_then(EpochMillis::from_china_time);
            if sent.is_none_or(|sent| distance(sent, now) > window) {
                return Err(NotAuthentic::RequestTime);
            }
        }
        if let Some(formula) = &self.formula {
            let presented = push.sign.as_deref().unwrap_or_default().to_ascii_uppercase();
            let expected = secret.map(|secret| formula.sign(body, secret));
            let matches = expected.is_some_and(|expected| expected.as_bytes().ct_eq(presented.as_bytes()).into());
            if !matches {
                return Err(NotAuthentic::Signature);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const HASH_OF_TEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn only_tokens_with_a_listed_hash_are_admitted() {
        let other = "0".repeat(64);
        let hashes = TokenHashes::parse(&format!(" {HASH_OF_TEST} , {other}")).unwrap();
        assert!(hashes.admit("test"));
        for token in ["", "Test", "test ", HASH_OF_TEST] {
            assert!(!hashes.admit(token));
        }
        assert!(!TokenHashes::parse("").unwrap().admit(""));
    }

    #[test]
    fn invalid_token_hashes_are_rejected() {
        assert_eq!(TokenHashes::parse("abc").unwrap_err(), TokenHashError::NotSha256(1));
        assert_eq!(TokenHashes::parse(&"g".repeat(64)).unwrap_err(), TokenHashError::NotSha256(1));
        assert_eq!(TokenHashes::parse(&[HASH_OF_TEST; 3].join(",")).unwrap_err(), TokenHashError::TooMany(3));
    }

    fn formula(template: &str, hash: SignatureHash) -> SignatureFormula {
        SignatureFormula::parse(template, hash).unwrap().unwrap()
    }

    #[test]
    fn signature_is_the_upper_case_hash_of_the_filled_template() {
        let body = json!({"merchant_id": 287729, "request_time": "2023-02-11 11:48:00"});
        let secret = Redacted::new("s3cret".to_owned());
        // printf '%s' '2877292023-02-11 11:48:00s3cret' | md5sum, and sha256sum
        let template = "{merchant_id}{request_time}{secret}";
        assert_eq!(formula(template, SignatureHash::Md5).sign(&body, &secret), "0B6D921AD93F3106C3199700AAF9A58D");
        assert_eq!(
            formula(template, SignatureHash::Sha256).sign(&body, &secret),
            "AB567A64D829AB9C3B8446EDB464CFAACE0B72DA208EFD1213857E94EE472725"
        );
    }

    #[test]
    fn invalid_formula_is_rejected() {
        for template in ["{merchant_id", "merchant_id}{secret}", "{}{secret}", "{secret}{", "{a{b}}{secret}", "}"] {
            assert_eq!(SignatureFormula::parse(template, SignatureHash::Md5), Err(FormulaError::Braces), "{template}");
        }
        assert_eq!(SignatureFormula::parse("{merchant_id}", SignatureHash::Md5), Err(FormulaError::NoSecret));
        assert_eq!(SignatureFormula::parse("", SignatureHash::Md5), Ok(None));
    }

    #[test]
    fn each_check_rejects_only_if_configured() {
        let now = EpochMillis::from_china_time("2026-01-01 12:00:00").unwrap();
        let secret = Redacted::new("s3cret".to_owned());
        let signature = formula("{merchant_id}&{secret}", SignatureHash::Md5);
        let checks = ScttChecks {
            merchant_id: Some("7".to_owned()),
            request_time_window: Some(Duration::from_secs(300)),
            formula: Some(signature.clone()),
        };
        let good = || {
            json!({"merchant_id": 7, "request_time": "2026-01-01 12:04:59", "trade_number": "T", "order_status": 2,
            "sign": signature.sign(&json!({"merchant_id": "7"}), &secret)})
        };
        let check = |checks: &ScttChecks, body: &serde_json::Value| {
            checks.check(&Envelope::from_json(body).unwrap(), body, Some(&secret), now)
        };
        assert_eq!(check(&checks, &good()), Ok(()));
        for (field, value, error) in [
            ("merchant_id", json!(8), NotAuthentic::Merchant),
            ("merchant_id", json!(null), NotAuthentic::Merchant),
            ("request_time", json!("2026-01-01 12:05:01"), NotAuthentic::RequestTime),
            ("request_time", json!("2026-01-01 11:54:59"), NotAuthentic::RequestTime),
            ("request_time", json!("yesterday"), NotAuthentic::RequestTime),
            ("request_time", json!(null), NotAuthentic::RequestTime),
            ("sign", json!("0"), NotAuthentic::Signature),
            ("sign", json!(null), NotAuthentic::Signature),
        ] {
            let mut body = good();
            body[field] = value;
            assert_eq!(check(&checks, &body), Err(error), "{field}");
            assert_eq!(check(&ScttChecks::default(), &body), Ok(()), "{field}, unchecked");
        }
    }
}
