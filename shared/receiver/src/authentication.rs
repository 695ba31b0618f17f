//! How a partner shows who it is: the token in its address, and for SCTT a signature, where configured.

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

/// SHA-256 digests of the tokens that open an endpoint. Two at most are active: the present one, and during a
/// rotation the one before or after it.
#[derive(Debug, Clone, Default)]
pub struct TokenHashes(Vec<[u8; 32]>);

/// Why a list of token hashes cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenHashError {
    /// One is no SHA-256.
    #[error("entry {0} is not 64 hexadecimal digits: give the SHA-256 of the token (printf %s TOKEN | sha256sum)")]
    NotSha256(usize),
    /// More than a rotation needs.
    #[error("{0} hashes are given: at most two may be active, the old token's and the new one's")]
    TooMany(usize),
}

impl TokenHashes {
    /// Reads hexadecimal SHA-256 digests separated by commas. None at all is a closed endpoint.
    ///
    /// # Errors
    /// If an entry is not 64 hexadecimal digits, or there are more than two.
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

    /// Whether no token opens the endpoint.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `token` is one of the active ones. Takes the same time whichever it is, and whether it is.
    #[must_use]
    pub fn admit(&self, token: &str) -> bool {
        let presented: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let admitted = self.0.iter().fold(Choice::from(0), |found, hash| found | hash.ct_eq(&presented));
        admitted.into()
    }
}

/// What SCTT signs its pushes with. In Secrets Manager: `{"secret": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ScttSecret {
    /// The shared secret.
    #[serde(deserialize_with = "json::filled_in")]
    pub secret: Redacted<String>,
}

/// The hash of a signature formula.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureHash {
    /// MD5: 32 hexadecimal digits, as SCTT's samples have.
    Md5,
    /// SHA-256: 64 hexadecimal digits.
    Sha256,
}

/// SCTT's signature formula. SCTT does not publish it, so it is configuration: a template such as
/// `{merchant_id}{request_time}{secret}`, hashed, in upper-case hex.
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

/// Why a signature formula cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FormulaError {
    /// An opening brace without its closing one, or the other way round.
    #[error("the braces do not match: write {{field}} for a field of the body and {{secret}} for the secret")]
    Braces,
    /// A signature that anybody can make.
    #[error("{{secret}} does not occur: without it anybody could sign")]
    NoSecret,
}

impl SignatureFormula {
    /// Reads a template; an empty one is none: signatures are then not checked.
    ///
    /// # Errors
    /// If the braces do not match, or the secret does not occur.
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

    /// The signature that `body` should carry. A field that the body lacks counts as empty.
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

/// What SCTT must show beside its token. Each check is off unless configured.
#[derive(Debug, Clone, Default)]
pub struct ScttChecks {
    /// The only `merchant_id` that is ours.
    pub merchant_id: Option<String>,
    /// How far `request_time` may lie from now, either way.
    pub request_time_window: Option<Duration>,
    /// How `sign` is made.
    pub formula: Option<SignatureFormula>,
}

/// Why a push is not believed to be SCTT's. The answer to the partner is the same for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotAuthentic {
    /// Not our merchant id, or none.
    #[error("merchant_id is not the one configured")]
    Merchant,
    /// No time, not a time, or too far from now.
    #[error("request_time is missing, not written yyyy-MM-dd HH:mm:ss, or too far from now")]
    RequestTime,
    /// Missing or wrong.
    #[error("sign is missing or does not match")]
    Signature,
}

impl ScttChecks {
    /// Checks a push; `secret` is needed only where a formula is configured.
    ///
    /// # Errors
    /// Says which check failed, for the log; the partner is told no more than that it was refused.
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
    fn only_a_token_whose_hash_is_listed_is_admitted() {
        let other = "0".repeat(64);
        let hashes = TokenHashes::parse(&format!(" {HASH_OF_TEST} , {other}")).unwrap();
        assert!(hashes.admit("test"));
        for token in ["", "Test", "test ", HASH_OF_TEST] {
            assert!(!hashes.admit(token));
        }
        assert!(!TokenHashes::parse("").unwrap().admit(""));
    }

    #[test]
    fn token_hashes_that_cannot_be_right_are_refused() {
        assert_eq!(TokenHashes::parse("abc").unwrap_err(), TokenHashError::NotSha256(1));
        assert_eq!(TokenHashes::parse(&"g".repeat(64)).unwrap_err(), TokenHashError::NotSha256(1));
        assert_eq!(TokenHashes::parse(&[HASH_OF_TEST; 3].join(",")).unwrap_err(), TokenHashError::TooMany(3));
    }

    fn formula(template: &str, hash: SignatureHash) -> SignatureFormula {
        SignatureFormula::parse(template, hash).unwrap().unwrap()
    }

    #[test]
    fn a_formula_fills_fields_and_secret_and_hashes_to_upper_case_hex() {
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
    fn a_formula_that_cannot_be_right_is_refused() {
        for template in ["{merchant_id", "merchant_id}{secret}", "{}{secret}", "{secret}{", "{a{b}}{secret}", "}"] {
            assert_eq!(SignatureFormula::parse(template, SignatureHash::Md5), Err(FormulaError::Braces), "{template}");
        }
        assert_eq!(SignatureFormula::parse("{merchant_id}", SignatureHash::Md5), Err(FormulaError::NoSecret));
        assert_eq!(SignatureFormula::parse("", SignatureHash::Md5), Ok(None));
    }

    #[test]
    fn each_check_refuses_what_it_should_and_only_where_configured() {
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
