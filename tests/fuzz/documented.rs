//! Checks answers against the strings that the README documents. It uses no parsing code of the relay.

use relay_types::order::Partner;
use serde_json::{Value, json};

use crate::script::{PLANTED, PLANTED_DIGITS};

/// Returns the body that acknowledges a notification.
pub const fn acknowledgement(partner: Partner) -> &'static str {
    match partner {
        Partner::Tsy => r#"{"msg":"success","code":"0"}"#,
        Partner::Sctt => r#"{"code":0,"msg":"ok","data":null}"#,
    }
}

/// Checks a refusal in the partner's format, and returns its message.
///
/// # Panics
/// If it has another format, or repeats a value of `sent`.
pub fn partner_refusal(partner: Partner, status: u16, body: &str, sent: &[u8]) -> String {
    let answer: Value = serde_json::from_str(body).expect("a refusal is JSON");
    let message = answer["msg"].as_str().expect("a refusal has a message").to_owned();
    let expected = match partner {
        Partner::Tsy => json!({"msg": message, "code": status.to_string()}),
        Partner::Sctt => json!({"code": status, "msg": message, "data": null}),
    };
    assert_eq!(answer, expected, "the refusal does not have {partner}'s format");
    says_what_is_wrong(status, &message);
    repeats_no_value(body, sent);
    message
}

/// Checks a refusal for the company's own systems, and returns the field at fault.
///
/// # Panics
/// If it has another format, or is a 400 that repeats a value of `sent`.
pub fn refusal(status: u16, body: &str, sent: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_str(body).expect("a refusal is JSON");
    let message = answer["message"].as_str().expect("a refusal has a message").to_owned();
    let reason = match status {
        400 => "Bad Request",
        404 => "Not Found",
        409 => "Conflict",
        413 => "Payload Too Large",
        422 => "Unprocessable Entity",
        _ => panic!("status {status} is not documented: {body}"),
    };
    let mut expected = json!({"status": status, "error": reason, "message": message});
    let field = answer.get("field").map(|field| field.as_str().expect("a field's name is a string").to_owned());
    if let Some(field) = &field {
        assert!(
            !field.is_empty() && message.contains(field.as_str()),
            "the message does not name {field:?}: {message}"
        );
        expected["field"] = json!(field);
    }
    assert_eq!(answer, expected, "the refusal does not have the documented format");
    if status == 400 {
        assert!(
            field.is_some() || message.starts_with("the body "),
            "the message does not name the problem: {message}"
        );
        repeats_no_value(body, sent);
    }
    field
}

fn says_what_is_wrong(status: u16, message: &str) {
    let says = match status {
        400 => message.starts_with("field ") || message.starts_with("the body "),
        401 => message == "not authorized",
        413 => message == "the body is larger than 256 KiB",
        _ => panic!("status {status} is not documented: {message}"),
    };
    assert!(says, "the message does not name the problem: {message}");
}

/// Checks that an answer repeats no value that an edit put into the body. Those values contain a mark. Names contain
/// one only if bytes were edited into them.
fn repeats_no_value(answer: &str, sent: &[u8]) {
    fn named(value: &Value, text: &str) -> bool {
        match value {
            Value::Object(members) => members.iter().any(|(name, member)| name.contains(text) || named(member, text)),
            Value::Array(elements) => elements.iter().any(|element| named(element, text)),
            _ => false,
        }
    }
    for mark in [PLANTED, PLANTED_DIGITS] {
        if answer.contains(mark) {
            let sent = sent.strip_prefix("\u{feff}".as_bytes()).unwrap_or(sent);
            let sent: Value = serde_json::from_slice(sent).unwrap_or_default();
            assert!(named(&sent, mark), "the answer repeats a value: {answer}");
        }
    }
}

/// Checks that SQS accepts a message with this body. The SQS model does not check that.
///
/// # Panics
/// If it contains a character that SQS refuses.
pub fn sqs_takes(message: &str) {
    // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    let taken = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(message.chars().all(taken), "SQS refuses {message:?}");
}

/// Percent-encodes an id for a path.
pub fn encoded(id: &str) -> String {
    id.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
