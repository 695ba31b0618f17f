//! The answers that the README documents, checked by their text: no reading of the relay's own is used.

use relay_types::order::Partner;
use serde_json::{Value, json};

use crate::script::{PLANTED, PLANTED_DIGITS};

/// The body that acknowledges a notification.
pub const fn acknowledgement(partner: Partner) -> &'static str {
    match partner {
        Partner::Tsy => r#"{"msg":"success","code":"0"}"#,
        Partner::Sctt => r#"{"code":0,"msg":"ok","data":null}"#,
    }
}

/// Checks a refusal in the partner's own shape, and gives its message.
///
/// # Panics
/// If it has another shape, or repeats a value of `sent`.
pub fn partner_refusal(partner: Partner, status: u16, body: &str, sent: &[u8]) -> String {
    let answer: Value = serde_json::from_str(body).expect("a refusal is JSON");
    let message = answer["msg"].as_str().expect("a refusal has a message").to_owned();
    let expected = match partner {
        Partner::Tsy => json!({"msg": message, "code": status.to_string()}),
        Partner::Sctt => json!({"code": status, "msg": message, "data": null}),
    };
    assert_eq!(answer, expected, "not {partner}'s shape");
    says_what_is_wrong(status, &message);
    repeats_no_value(body, sent);
    message
}

/// Checks a refusal of the company's own systems, and gives the field at fault.
///
/// # Panics
/// If it has another shape, or is a 400 that repeats a value of `sent`.
pub fn refusal(status: u16, body: &str, sent: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_str(body).expect("a refusal is JSON");
    let message = answer["message"].as_str().expect("a refusal has a message").to_owned();
    let reason = match status {
        400 => "Bad Request",
        404 => "Not Found",
        409 => "Conflict",
        413 => "Payload Too Large",
        422 => "Unprocessable Entity",
        _ => panic!("{status} is not documented: {body}"),
    };
    let mut expected = json!({"status": status, "error": reason, "message": message});
    let field = answer.get("field").map(|field| field.as_str().expect("a field's name is a text").to_owned());
    if let Some(field) = &field {
        assert!(
            !field.is_empty() && message.contains(field.as_str()),
            "the message does not name {field:?}: {message}"
        );
        expected["field"] = json!(field);
    }
    assert_eq!(answer, expected, "not the refusals' shape");
    if status == 400 {
        assert!(field.is_some() || message.starts_with("the body "), "says not what is wrong: {message}");
        repeats_no_value(body, sent);
    }
    field
}

fn says_what_is_wrong(status: u16, message: &str) {
    let says = match status {
        400 => message.starts_with("field ") || message.starts_with("the body "),
        401 => message == "not authorized",
        413 => message == "the body is larger than 256 KiB",
        _ => panic!("{status} is not documented: {message}"),
    };
    assert!(says, "says not what is wrong: {message}");
}

/// Every value that edits put into a body is marked; names are not, unless bytes were edited into one.
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
            assert!(named(&sent, mark), "a value is repeated: {answer}");
        }
    }
}

/// Checks that SQS would take a message of this body, which its stand-in does not.
///
/// # Panics
/// If it holds a character that SQS refuses.
pub fn sqs_takes(message: &str) {
    // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    let taken = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(message.chars().all(taken), "SQS refuses {message:?}");
}
