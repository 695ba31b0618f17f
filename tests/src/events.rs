//! Events as AWS sends them.

use lambda_http::Request;
use serde_json::{Value, json};

/// Builds the request of an API Gateway (REST) event. `parameters` are its path parameters.
pub fn api_request(method: &str, resource: &str, parameters: Value, headers: Value, body: Body<'_>) -> Request {
    let (text, encoded) = match body {
        Body::None => (Value::Null, false),
        Body::Text(text) => (json!(text), false),
        Body::Base64(text) => (json!(text), true),
    };
    let event = json!({
        "resource": resource,
        "path": resource,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {},
        "queryStringParameters": null,
        "multiValueQueryStringParameters": null,
        "pathParameters": parameters,
        "stageVariables": null,
        "requestContext": {
            "accountId": "123456789012", "apiId": "api", "httpMethod": method, "path": resource, "stage": "v1",
            "requestId": "request-1", "resourceId": "r", "resourcePath": resource, "requestTimeEpoch": 1_767_240_000_000_i64,
            "identity": {"sourceIp": "192.0.2.1", "userArn": "arn:aws:iam::123456789012:user/booking-system"},
        },
        "body": text,
        "isBase64Encoded": encoded,
    });
    request_from(&event)
}

/// Parses the JSON of an API Gateway event into a request.
pub fn request_from(event: &Value) -> Request {
    lambda_http::request::from_str(&event.to_string()).expect("a valid API Gateway event")
}

/// A body as API Gateway passes it to functions.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// No body: `null`.
    None,
    /// The plain string.
    Text(&'a str),
    /// A Base64 string.
    Base64(&'a str),
}
