//! Answers to the caller: TOP's envelopes and errors.

use serde_json::{Map, Value, json};

use crate::pages::Api;

/// How the simulator answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Sends a reply.
    Reply {
        /// The HTTP status. TOP answers 200 even for its own errors.
        status: u16,
        /// The body: JSON, or XML if the caller did not ask for JSON.
        body: Vec<u8>,
        /// Milliseconds to wait before answering.
        after_ms: u64,
    },
    /// Never answers, so the caller times out.
    Hang,
}

/// The content of TOP's `error_response`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopError {
    pub(crate) code: i64,
    pub(crate) msg: String,
    pub(crate) sub_code: Option<String>,
    pub(crate) sub_msg: Option<String>,
}

impl TopError {
    pub(crate) fn new(code: i64, msg: &str) -> Self {
        Self { code, msg: msg.to_owned(), sub_code: None, sub_msg: None }
    }

    /// Adds a `sub_msg`. It names parameters, never their values.
    pub(crate) fn because(mut self, sub_msg: impl Into<String>) -> Self {
        self.sub_msg = Some(sub_msg.into());
        self
    }

    /// The gateway's error for a required argument that is missing or empty; `path` leads to it through the JSON.
    pub(crate) fn missing_argument(path: &str) -> Self {
        Self::new(40, &format!("Missing required arguments:{path}"))
    }

    /// The gateway's error for an argument that does not have the page's type; `path` leads to it through the JSON.
    pub(crate) fn invalid_argument(path: &str, wanted: &str) -> Self {
        Self::new(41, &format!("Invalid arguments:{path}")).because(format!("{path} {wanted}"))
    }

    /// The sample error of the pages: code 50 with `isv.invalid-parameter`. The method answers it for values that
    /// have the right type.
    pub(crate) fn invalid_parameter(what: impl std::fmt::Display) -> Self {
        Self {
            sub_code: Some("isv.invalid-parameter".to_owned()),
            ..Self::new(50, "Remote service error").because(format!("非法参数: {what}"))
        }
    }
}

/// The answer's format, as the caller requested it, and its id.
#[derive(Debug)]
pub(crate) struct Envelope {
    /// Whether the caller sent `format=json`; TOP's default is XML.
    pub(crate) json: bool,
    /// Whether the caller sent `simplify=true`: JSON responses then have no root key.
    pub(crate) simplify: bool,
    /// Unique to this answer.
    pub(crate) request_id: String,
}

impl Envelope {
    /// Builds an `error_response` in the caller's format. `simplify` does not unwrap it.
    pub(crate) fn error(&self, error: &TopError) -> Answer {
        let mut content = Map::new();
        content.insert("code".to_owned(), json!(error.code));
        content.insert("msg".to_owned(), json!(error.msg));
        if let Some(sub_code) = &error.sub_code {
            content.insert("sub_code".to_owned(), json!(sub_code));
        }
        if let Some(sub_msg) = &error.sub_msg {
            content.insert("sub_msg".to_owned(), json!(sub_msg));
        }
        content.insert("request_id".to_owned(), json!(self.request_id));
        self.reply("error_response", content, false)
    }

    /// Builds the method's response. A business failure has the same envelope as a success, so `simplify` unwraps both.
    pub(crate) fn response(&self, api: Api, mut content: Map<String, Value>) -> Answer {
        content.insert("request_id".to_owned(), json!(self.request_id));
        self.reply(api.root_key(), content, self.simplify)
    }

    /// Writes `content` in the caller's format. XML always has the root: `simplify` is for JSON only.
    fn reply(&self, root: &str, content: Map<String, Value>, simplify: bool) -> Answer {
        let body = match (self.json, simplify) {
            (false, _) => xml(root, &content),
            (true, false) => json!({ root: content }).to_string(),
            (true, true) => Value::Object(content).to_string(),
        };
        Answer::Reply { status: 200, body: body.into_bytes(), after_ms: 0 }
    }
}

/// An XML document with one element for each member. No answer has nested members.
fn xml(root: &str, content: &Map<String, Value>) -> String {
    let elements: String = content
        .iter()
        .map(|(name, value)| {
            let text = value.as_str().map_or(value.to_string(), escaped);
            format!("<{name}>{text}</{name}>")
        })
        .collect();
    format!(r#"<?xml version="1.0" encoding="utf-8" ?><{root}>{elements}</{root}>"#)
}

/// Escapes text for an XML element. XML cannot hold most control characters, so U+FFFD replaces them.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {
                escaped.push('\u{fffd}')
            }
            // A parser would read a carriage return as a line feed.
            '\r' => escaped.push_str("&#13;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(answer: &Answer) -> &str {
        match answer {
            Answer::Reply { body, .. } => std::str::from_utf8(body).unwrap(),
            Answer::Hang => panic!("no answer"),
        }
    }

    fn envelope(json: bool, simplify: bool) -> Envelope {
        Envelope { json, simplify, request_id: "r1".to_owned() }
    }

    #[test]
    fn simplify_unwraps_a_response_but_not_an_error() {
        let content = || json!({"is_success": true}).as_object().unwrap().clone();
        let wrapped = envelope(true, false).response(Api::TicketVerify, content());
        assert_eq!(text(&wrapped), r#"{"travel_ticket_order_verify_response":{"is_success":true,"request_id":"r1"}}"#);
        let plain = envelope(true, true).response(Api::TicketVerify, content());
        assert_eq!(text(&plain), r#"{"is_success":true,"request_id":"r1"}"#);
        let error = envelope(true, true).error(&TopError::new(25, "Invalid signature"));
        assert_eq!(text(&error), r#"{"error_response":{"code":25,"msg":"Invalid signature","request_id":"r1"}}"#);
    }

    #[test]
    fn answers_are_xml_unless_the_caller_asks_for_json() {
        let error = TopError::new(25, "Invalid signature").because("a<b>&c\u{0}\r\n票");
        let content = json!({"ret_code": "0", "ret_msg": "a<b", "ret_success": true}).as_object().unwrap().clone();
        for simplify in [false, true] {
            assert_eq!(
                text(&envelope(false, simplify).error(&error)),
                "<?xml version=\"1.0\" encoding=\"utf-8\" ?><error_response><code>25</code>\
                 <msg>Invalid signature</msg><sub_msg>a&lt;b&gt;&amp;c\u{fffd}&#13;\n票</sub_msg>\
                 <request_id>r1</request_id></error_response>"
            );
            assert_eq!(
                text(&envelope(false, simplify).response(Api::ShipNotify, content.clone())),
                "<?xml version=\"1.0\" encoding=\"utf-8\" ?><alitrip_ship_order_notify_response>\
                 <ret_code>0</ret_code><ret_msg>a&lt;b</ret_msg><ret_success>true</ret_success>\
                 <request_id>r1</request_id></alitrip_ship_order_notify_response>"
            );
        }
    }
}
