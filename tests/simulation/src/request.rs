//! A request as the network sees it, and how it is answered.

use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use serde_json::Value;

use crate::table;

/// A request, as the service receives it.
pub struct Request {
    pub service: &'static str,
    pub operation: String,
    /// The name in coverage and trace, such as `dynamodb UpdateItem`.
    pub name: &'static str,
    pub body: Vec<u8>,
    pub content_type: Option<String>,
}

/// The operations that the relay uses. The list gives each a static name.
pub const OPERATIONS: &[&str] = &[
    "dynamodb PutItem",
    "dynamodb GetItem",
    "dynamodb UpdateItem",
    "dynamodb Query",
    "sqs SendMessage",
    "sqs SendMessageBatch",
    "sqs ChangeMessageVisibilityBatch",
    "secretsmanager GetSecretValue",
    "sns PublishBatch",
];

pub fn read(request: &HttpRequest) -> Request {
    let target = request.headers().get("x-amz-target").unwrap_or_default();
    // Requests to SNS are form-encoded and have no target header.
    let (family, operation) = target.split_once('.').unwrap_or(("", "PublishBatch"));
    let service = match family {
        "DynamoDB_20120810" => "dynamodb",
        "AmazonSQS" => "sqs",
        "secretsmanager" => "secretsmanager",
        _ if request.uri().contains("sns.") => "sns",
        _ => "top",
    };
    let name = OPERATIONS.iter().find(|name| name.split_once(' ') == Some((service, operation))).copied();
    let body = request.body().bytes().unwrap_or_default().to_vec();
    let name = match service {
        "top" => top_name(&body),
        _ => name.unwrap_or_else(|| panic!("unexpected operation: {service} {operation}")),
    };
    let content_type = request.headers().get("content-type").map(str::to_owned);
    Request { service, operation: operation.to_owned(), name, body, content_type }
}

pub fn top_name(form: &[u8]) -> &'static str {
    let method = form_urlencoded::parse(form).find(|(name, _)| name == "method").map(|(_, value)| value.into_owned());
    match method.as_deref() {
        Some("alibaba.happytrip.flight.order.itinerary.postback") => "top itinerary-postback",
        Some("taobao.travel.ticket.order.verify") => "top ticket-verify",
        Some("alitrip.ship.return.notify") => "top ship-return-notify",
        Some("taobao.travel.ticket.order.refund") => "top ticket-refund-notify",
        _ => "top ship-notify",
    }
}

pub fn broken() -> ConnectorError {
    ConnectorError::io("the connection broke".into())
}

pub fn respond(status: u16, body: impl Into<SdkBody>) -> HttpResponse {
    HttpResponse::new(status.try_into().expect("a valid status"), body.into())
}

/// Returns the details that identify a request in the trace.
pub fn subject(request: &Request) -> String {
    let text = String::from_utf8_lossy(&request.body);
    match serde_json::from_str::<Value>(&text) {
        Ok(body) => {
            let key = table::key_of(&body);
            let part = |name: &str| key[name]["S"].as_str().unwrap_or_default().to_owned();
            let update = body["UpdateExpression"].as_str().unwrap_or_default();
            let state = body["ExpressionAttributeValues"][":state"]["S"].as_str().unwrap_or_default();
            let message = body["MessageBody"].as_str().unwrap_or_default();
            format!("{} {} {message} {state} {}", part("pk"), part("sk"), update.get(..60).unwrap_or(update))
        }
        Err(_) => String::new(),
    }
}

pub fn gate_queue(request: &Request) -> String {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    body["QueueUrl"].to_string()
}
