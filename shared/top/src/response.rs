//! Reads TOP's response and derives the outcome of the call.
//!
//! The HTTP status says little: TOP also returns 200 for errors. A business failure has the format of a success.

use relay_types::call::CallKind;
use relay_types::failure::{Failure, Reply};
use serde_json::{Map, Value};

use crate::error::{ErrorClass, ErrorClasses, classify, classify_status};
use crate::method_spec;

/// The outcome of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The call took effect.
    Succeeded(Reply),
    /// The call did not take effect, or the outcome is unknown. The class says which; the failure holds TOP's message.
    Failed(ErrorClass, Failure),
}

/// Maximum length of a string that is copied from TOP's response to a record, in characters.
const MAX_TEXT: usize = 300;

/// Added to the message of an error that no table lists.
const UNKNOWN: &str = " (unknown error: the parameter TopErrorClasses can say what it means)";

/// Reads TOP's response to a call of `kind`: wrapped or simplified, success or error. `own` are the deployment's rows of the
/// error table.
#[must_use]
pub fn read(kind: CallKind, http_status: u16, body: &[u8], own: &ErrorClasses) -> Outcome {
    let Some(answer) = parse_lenient(body) else {
        let message = format!("TOP returned HTTP {http_status} and {} bytes that are not a JSON object", body.len());
        return Outcome::Failed(classify_status(http_status), by_status(http_status, message, None));
    };
    if let Some(Value::Object(error)) = answer.get("error_response") {
        let mut failure = Failure {
            code: error.get("code").and_then(integer),
            sub_code: text(error, "sub_code"),
            message: text(error, "sub_msg").or_else(|| text(error, "msg")).unwrap_or_default(),
            request_id: text(error, "request_id"),
        };
        let (class, is_known) = classify(&failure, own);
        if !is_known {
            let kept = failure.message.chars().take(MAX_TEXT - UNKNOWN.len());
            failure.message = kept.chain(UNKNOWN.chars()).collect();
        }
        return Outcome::Failed(class, failure);
    }
    let spec = method_spec(kind);
    let (response, request_id) = match answer.get(spec.response) {
        Some(Value::Object(response)) => {
            (response, text(response, "request_id").or_else(|| text(&answer, "request_id")))
        }
        _ => (&answer, text(&answer, "request_id")),
    };
    let named = |name: Option<&str>| name.and_then(|name| text(response, name));
    let (code, message) = (named(spec.error_code), named(spec.error_message));
    match response.get(spec.success).and_then(boolean) {
        Some(true) => Outcome::Succeeded(Reply { code, message, request_id }),
        Some(false) => {
            let message = message.unwrap_or_else(|| format!("TOP returned {}: false", spec.success));
            Outcome::Failed(ErrorClass::Rejected, Failure { code: None, sub_code: code, message, request_id })
        }
        None => {
            let message = format!("TOP's response has neither error_response nor {}", spec.success);
            Outcome::Failed(classify_status(http_status), by_status(http_status, message, request_id))
        }
    }
}

/// A failure that only the HTTP status tells apart. It stands for the sub-code, so the same failure is known again.
fn by_status(http_status: u16, message: String, request_id: Option<String>) -> Failure {
    let sub_code = (http_status != 200).then(|| format!("http-{http_status}"));
    Failure { sub_code, message, request_id, ..Failure::default() }
}

/// Parses JSON. Replaces raw control characters, which some of TOP's responses contain inside strings.
fn parse_lenient(body: &[u8]) -> Option<Map<String, Value>> {
    let value = serde_json::from_slice(body).or_else(|_| {
        let spaced: Vec<u8> = body.iter().map(|byte| if byte.is_ascii_control() { b' ' } else { *byte }).collect();
        serde_json::from_slice(&spaced)
    });
    match value {
        Ok(Value::Object(members)) => Some(members),
        _ => None,
    }
}

fn text(members: &Map<String, Value>, name: &str) -> Option<String> {
    let text = match members.get(name)? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    Some(text.chars().take(MAX_TEXT).collect())
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Ban;
    use std::time::Duration;

    fn sample(kind: CallKind, name: &str) -> Outcome {
        let samples: Value = serde_json::from_str(include_str!("../../types/testdata/top-responses.json")).unwrap();
        assert!(samples[name].is_object(), "no sample {name}");
        read(kind, 200, samples[name].to_string().as_bytes(), &ErrorClasses::default())
    }

    fn class(outcome: &Outcome) -> Option<ErrorClass> {
        match outcome {
            Outcome::Succeeded(_) => None,
            Outcome::Failed(class, _) => Some(*class),
        }
    }

    #[test]
    fn every_sample_is_classified() {
        use CallKind::{ItineraryPostback, ShipNotify, ShipReturnNotify, TicketRefundNotify, TicketVerify};
        let banned = |seconds| Some(ErrorClass::NotExecuted { ban: Some(Ban::For(Duration::from_secs(seconds))) });
        for (name, kind, expected) in [
            ("ship_ok", ShipNotify, None),
            ("ship_ok_simplified", ShipNotify, None),
            ("ship_business_failure_http200", ShipNotify, Some(ErrorClass::Rejected)),
            ("verify_ok", TicketVerify, None),
            ("verify_not_success", TicketVerify, Some(ErrorClass::Rejected)),
            ("happytrip_ok", ItineraryPostback, None),
            ("happytrip_business_failure", ItineraryPostback, Some(ErrorClass::Rejected)),
            ("ship_return_ok", ShipReturnNotify, None),
            ("ship_return_not_success", ShipReturnNotify, Some(ErrorClass::Rejected)),
            ("ticket_refund_ok", TicketRefundNotify, None),
            ("ticket_refund_not_success", TicketRefundNotify, Some(ErrorClass::Rejected)),
            ("err_7_short_ban", ShipNotify, banned(1)),
            ("err_7_day_quota", ShipNotify, banned(31062)),
            ("err_11_ip", ShipNotify, Some(ErrorClass::ConfigurationFault)),
            ("err_15_timeout", ShipNotify, Some(ErrorClass::Ambiguous)),
            ("err_15_isp_npe_no_retry", ShipNotify, Some(ErrorClass::AmbiguousForGood)),
            ("err_25", ShipNotify, Some(ErrorClass::ConfigurationFault)),
            ("err_27_min", ShipNotify, Some(ErrorClass::ConfigurationFault)),
            ("err_27_full", ShipNotify, Some(ErrorClass::ConfigurationFault)),
            ("err_31", ShipNotify, Some(ErrorClass::NotExecuted { ban: None })),
            ("err_50_invalid_param_from_seed", ShipNotify, Some(ErrorClass::Rejected)),
        ] {
            assert_eq!(class(&sample(kind, name)), expected, "{name}");
        }
    }

    #[test]
    fn success_keeps_code_message_and_request_id() {
        let reply =
            Reply { code: Some("0".into()), message: Some("success".into()), request_id: Some("16f3k8q2h7a1x".into()) };
        assert_eq!(sample(CallKind::ShipNotify, "ship_ok"), Outcome::Succeeded(reply.clone()));
        assert_eq!(sample(CallKind::ShipNotify, "ship_ok_simplified"), Outcome::Succeeded(reply));
    }

    #[test]
    fn every_failure_keeps_the_request_id_for_tops_support() {
        for body in [
            r#"{"error_response":{"code":27,"msg":"no session","request_id":"r-1"}}"#,
            r#"{"alitrip_ship_order_notify_response":{"ret_success":false,"ret_code":"E1","request_id":"r-1"}}"#,
            r#"{"ret_success":false,"request_id":"r-1"}"#,
            r#"{"alitrip_ship_order_notify_response":{"request_id":"r-1"}}"#,
        ] {
            let Outcome::Failed(_, failure) =
                read(CallKind::ShipNotify, 200, body.as_bytes(), &ErrorClasses::default())
            else {
                panic!("{body} was not read as a failure")
            };
            assert_eq!(failure.request_id.as_deref(), Some("r-1"), "{body}");
        }
    }

    #[test]
    fn message_says_that_an_error_is_unknown() {
        let body = br#"{"error_response":{"code":900,"msg":"odd","sub_code":"9100"}}"#;
        for (own, is_said) in [("", true), ("900:9100=limit", false)] {
            let Outcome::Failed(_, failure) = read(CallKind::ShipNotify, 200, body, &own.parse().unwrap()) else {
                panic!("the error was not read as a failure")
            };
            assert_eq!(failure.message.contains("TopErrorClasses"), is_said, "{}", failure.message);
        }
    }

    #[test]
    fn stack_trace_is_dropped() {
        let body = br#"{"alibaba_happytrip_flight_order_itinerary_postback_response":{"ht_success":false,"error_msg":"no","stack_trace":"PLANTED"}}"#;
        assert!(
            !format!("{:?}", read(CallKind::ItineraryPostback, 200, body, &ErrorClasses::default()))
                .contains("PLANTED")
        );
    }

    #[test]
    fn unrecognised_response_leaves_the_outcome_unknown() {
        for body in [
            &b""[..],
            b"<html>502</html>",
            b"null",
            b"[]",
            b"{}",
            b"{\"ret_success\":null}",
            b"\xff",
            br#"{"travel_ticket_order_verify_response":{"is_success":true}}"#,
        ] {
            assert_eq!(
                class(&read(CallKind::ShipNotify, 502, body, &ErrorClasses::default())),
                Some(ErrorClass::Ambiguous),
                "{}",
                String::from_utf8_lossy(body)
            );
        }
    }

    #[test]
    fn raw_control_characters_inside_strings_are_accepted() {
        let body = b"{\"alitrip_ship_order_notify_response\":{\"ret_success\":true,\"ret_msg\":\"a\nb\tc\",\"request_id\":1234567890123456789}}";
        let Outcome::Succeeded(reply) = read(CallKind::ShipNotify, 200, body, &ErrorClasses::default()) else {
            panic!("the response was not read as a success")
        };
        assert_eq!(
            (reply.message.as_deref(), reply.request_id.as_deref()),
            (Some("a b c"), Some("1234567890123456789"))
        );
    }
}
