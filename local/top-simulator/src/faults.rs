//! Faults that a test injects, used up in the order in which they were added.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::answer::TopError;
use crate::form::Form;
use crate::pages::Api;

/// A fault for matching requests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WrittenFault")]
pub struct Fault {
    /// The API method; `None` matches any.
    pub method: Option<String>,
    /// A substring that the value of some parameter must contain (`match` in JSON), so a test can target one order.
    pub matching: Option<String>,
    /// The number of requests that fail, at least 1.
    pub times: u32,
    /// The kind of fault.
    pub kind: FaultKind,
}

/// The kinds of faults, named in snake case by the JSON member `fault`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultKind {
    /// No answer and no effect.
    TimeoutBeforeEffect {},
    /// The request is carried out but not answered.
    TimeoutAfterEffect {},
    /// HTTP 500 from a system in front of the gateway.
    #[serde(rename = "http_500")]
    Http500 {
        /// Whether the request is carried out first; default false.
        #[serde(default)]
        after_effect: bool,
    },
    /// HTTP 200 with a body that is not JSON.
    NotJson {
        /// Whether the request is carried out first; default false.
        #[serde(default)]
        after_effect: bool,
    },
    /// TOP's `error_response`, without effect. Code 7 with a `sub_msg` "This ban will last for N more seconds" starts a
    /// ban.
    Error {
        /// TOP's error code.
        code: i64,
        /// TOP's error message.
        #[serde(default = "simulated")]
        msg: String,
        /// The sub-code.
        sub_code: Option<String>,
        /// The message of the sub-code.
        sub_msg: Option<String>,
    },
    /// The success envelope with the method's flag false, without effect.
    BusinessFailure {
        /// The method's error code, if its page has one.
        #[serde(default = "simulated")]
        code: String,
        /// The method's error message, if its page has one.
        #[serde(default = "simulated")]
        msg: String,
    },
    /// The normal answer after a delay.
    Delay {
        /// The delay in milliseconds.
        ms: u64,
    },
}

fn simulated() -> String {
    "simulated".to_owned()
}

/// Why a fault was refused. The caller gets the message as the answer.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The simulator does not have this API.
    #[error("unknown method \"{0}\": the fault would never be used")]
    UnknownMethod(String),
    /// The fault would match no request.
    #[error("times must be at least 1")]
    NoTimes,
    /// The kind is unknown, or one of its fields is missing or unknown.
    #[error("fault \"{fault}\": {source}")]
    Kind {
        /// The kind as the caller wrote it.
        fault: String,
        /// The error.
        source: serde_json::Error,
    },
}

/// A fault in JSON: the members that all kinds have, and the rest.
#[derive(Deserialize)]
struct WrittenFault {
    method: Option<String>,
    #[serde(rename = "match")]
    matching: Option<String>,
    #[serde(default = "once")]
    times: u32,
    fault: String,
    #[serde(flatten)]
    details: Map<String, Value>,
}

fn once() -> u32 {
    1
}

impl TryFrom<WrittenFault> for Fault {
    type Error = FaultError;

    fn try_from(written: WrittenFault) -> Result<Self, FaultError> {
        let WrittenFault { method, matching, times, fault, details } = written;
        if let Some(method) = method.as_ref().filter(|method| Api::from_method(method).is_none()) {
            return Err(FaultError::UnknownMethod(method.clone()));
        }
        if times == 0 {
            return Err(FaultError::NoTimes);
        }
        // The kind becomes the tag and the rest its fields, so serde refuses unknown kinds and fields.
        let kind = serde_json::from_value(json!({ fault.as_str(): details }))
            .map_err(|source| FaultError::Kind { fault, source })?;
        Ok(Self { method, matching, times, kind })
    }
}

impl Fault {
    fn aims_at(&self, api: Api, form: &Form) -> bool {
        self.method.as_deref().is_none_or(|method| method == api.method())
            && self.matching.as_deref().is_none_or(|text| form.params.values().any(|value| value.contains(text)))
    }
}

/// The pending faults.
#[derive(Debug, Default)]
pub(crate) struct FaultQueue(VecDeque<Fault>);

impl FaultQueue {
    pub(crate) fn add(&mut self, faults: Vec<Fault>) {
        self.0.extend(faults.into_iter().filter(|fault| fault.times > 0));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes the first fault that matches this request, and uses up one of its times.
    pub(crate) fn take(&mut self, api: Api, form: &Form) -> Option<FaultKind> {
        let index = self.0.iter().position(|fault| fault.aims_at(api, form))?;
        let fault = self.0.get_mut(index)?;
        fault.times -= 1;
        let kind = fault.kind.clone();
        if fault.times == 0 {
            self.0.remove(index);
        }
        Some(kind)
    }
}

/// Active rate-limit bans by API.
#[derive(Debug, Default)]
pub(crate) struct Bans(BTreeMap<(String, Api), (i64, TopError)>);

impl Bans {
    /// Records the ban that an error announces, if any.
    pub(crate) fn note(&mut self, now_ms: i64, app_key: &str, api: Api, error: &TopError) {
        let seconds = error.sub_msg.as_deref().and_then(announced_seconds);
        if let (7, Some(seconds)) = (error.code, seconds) {
            let until_ms = now_ms.saturating_add(seconds.saturating_mul(1000));
            self.0.insert((app_key.to_owned(), api), (until_ms, error.clone()));
        }
    }

    /// The error for a request to an API that is banned now for this application.
    pub(crate) fn standing(&self, now_ms: i64, app_key: &str, api: Api) -> Option<TopError> {
        let (until_ms, error) = self.0.get(&(app_key.to_owned(), api))?;
        let left_ms = until_ms.saturating_sub(now_ms);
        // Rounded up, so a caller that waits as told retries after the end.
        let seconds = left_ms / 1000 + i64::from(left_ms % 1000 > 0);
        (left_ms > 0).then(|| error.clone().because(format!("This ban will last for {seconds} more seconds")))
    }
}

fn announced_seconds(sub_msg: &str) -> Option<i64> {
    let (_, rest) = sub_msg.split_once("This ban will last for ")?;
    let (seconds, _) = rest.split_once(" more seconds")?;
    seconds.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fault: &Value) -> Result<Fault, String> {
        serde_json::from_str(&fault.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn every_fault_kind_is_parsed() {
        let error = FaultKind::Error {
            code: 15,
            msg: "m".to_owned(),
            sub_code: Some("isp.x".to_owned()),
            sub_msg: Some("s".to_owned()),
        };
        let failure = |code: &str, msg: &str| FaultKind::BusinessFailure { code: code.to_owned(), msg: msg.to_owned() };
        let rows = [
            (json!({"fault": "timeout_before_effect"}), FaultKind::TimeoutBeforeEffect {}),
            (json!({"fault": "timeout_after_effect"}), FaultKind::TimeoutAfterEffect {}),
            (json!({"fault": "http_500"}), FaultKind::Http500 { after_effect: false }),
            (json!({"fault": "http_500", "after_effect": true}), FaultKind::Http500 { after_effect: true }),
            (json!({"fault": "not_json", "after_effect": true}), FaultKind::NotJson { after_effect: true }),
            (json!({"fault": "error", "code": 15, "msg": "m", "sub_code": "isp.x", "sub_msg": "s"}), error),
            (json!({"fault": "business_failure"}), failure("simulated", "simulated")),
            (json!({"fault": "business_failure", "code": "12", "msg": "sold out"}), failure("12", "sold out")),
            (json!({"fault": "delay", "ms": 250}), FaultKind::Delay { ms: 250 }),
        ];
        for (written, kind) in rows {
            let expected = Fault { method: None, matching: None, times: 1, kind };
            assert_eq!(read(&written), Ok(expected), "{written}");
        }
        let aimed =
            read(&json!({"fault": "not_json", "times": 3, "match": "389", "method": "alitrip.ship.order.notify"}));
        let aimed = aimed.unwrap();
        assert_eq!((aimed.times, aimed.matching.as_deref()), (3, Some("389")));
        assert_eq!(aimed.method.as_deref(), Some("alitrip.ship.order.notify"));
    }

    #[test]
    fn invalid_fault_is_refused_with_the_reason() {
        let rows = [
            (json!({"fault": "explode"}), "unknown variant `explode`, expected one of `timeout_before_effect`"),
            (json!({"fault": "http_500", "tmies": 2}), "unknown field `tmies`"),
            (json!({"fault": "http_500", "ms": 2}), "fault \"http_500\": unknown field `ms`"),
            (json!({"fault": "timeout_before_effect", "ms": 2}), "unknown field `ms`"),
            (json!({"fault": "delay", "ms": 2, "code": 7}), "fault \"delay\": unknown field `code`"),
            (json!({"fault": "delay"}), "missing field `ms`"),
            (json!({"fault": "error", "code": "7"}), "expected i64"),
            (json!({"fault": "http_500", "times": 0}), "times must be at least 1"),
            (json!({"fault": "http_500", "method": "alitrip.ship"}), "unknown method \"alitrip.ship\""),
            (json!({"method": "alitrip.ship.order.notify"}), "missing field `fault`"),
        ];
        for (written, reason) in rows {
            let error = read(&written).unwrap_err();
            assert!(error.contains(reason), "{written}: {error}");
        }
    }
}
