//! HTTP responses and refusals, request bodies and parameters, and the caller's identity.

use lambda_http::http::{StatusCode, header};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt as _, Response};
use percent_encoding::percent_decode_str;
use relay_types::api::{MAX_NOTE_BYTES, Refusal};
use relay_types::json::{self, FieldError, MAX_BODY_BYTES};
use relay_types::redact;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A response with this status and this JSON string.
#[must_use]
pub fn raw(status: StatusCode, body: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(Body::Text(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

/// A response with this status and `body` as JSON.
#[must_use]
pub fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    // Serializing these structs cannot fail.
    raw(status, serde_json::to_string(body).unwrap_or_default())
}

/// A refusal for the company's own systems: the problem and, if a field is at fault, its name. `message` must hold no
/// personal data.
#[must_use]
pub fn refusal(status: StatusCode, field: Option<&str>, message: &str) -> Response<Body> {
    let refusal = Refusal {
        status: status.as_u16(),
        error: status.canonical_reason().unwrap_or_default().to_owned(),
        message: message.to_owned(),
        field: field.map(str::to_owned),
    };
    json(status, &refusal)
}

/// A 405 that names the methods that the path takes, such as `GET, PUT`.
#[must_use]
pub fn wrong_method(allowed: &'static str) -> Response<Body> {
    allowing(allowed, refusal(StatusCode::METHOD_NOT_ALLOWED, None, &format!("this path takes {allowed}")))
}

/// Adds the header that a 405 must have.
#[must_use]
pub fn allowing(allowed: &'static str, mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allowed));
    response
}

/// A 400 for a body, naming the field at fault.
#[must_use]
pub fn bad_body(error: &FieldError) -> Response<Body> {
    let field = (!error.field.is_empty()).then_some(error.field.as_str());
    refusal(StatusCode::BAD_REQUEST, field, &error.to_string())
}

/// Why a handler gave up on a request: the response to send instead and, if the fault is on our side, its cause.
#[derive(Debug)]
pub struct Refused {
    answer: Box<Response<Body>>,
    cause: Option<String>,
}

impl Refused {
    /// A 500 that asks the caller to send the request again. `cause` goes into the log only.
    pub fn unavailable(cause: impl ToString) -> Self {
        Self { answer: Box::new(unavailable()), cause: Some(cause.to_string()) }
    }

    /// The response. Passes the cause to `log` if the fault is on our side.
    pub fn into_answer(self, log: impl FnOnce(&str)) -> Response<Body> {
        if let Some(cause) = &self.cause {
            log(cause);
        }
        *self.answer
    }
}

impl From<Response<Body>> for Refused {
    fn from(answer: Response<Body>) -> Self {
        Self { answer: Box::new(answer), cause: None }
    }
}

impl From<FieldError> for Refused {
    fn from(error: FieldError) -> Self {
        bad_body(&error).into()
    }
}

/// Reads the JSON object in a request of the company's own systems.
///
/// # Errors
/// 413 if it is too large; 400 if it is not a JSON object, has a duplicate key, or holds a placeholder instead of a
/// value.
pub fn json_body(request: &Request) -> Result<Value, Refused> {
    let bytes = body(request);
    if bytes.len() > MAX_BODY_BYTES {
        return Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, None, "the body is larger than 256 KiB").into());
    }
    let json = json::parse_unambiguous_object(bytes)?;
    // A caller that sends back a masked response would make TOP keep the placeholder.
    if std::str::from_utf8(bytes).is_ok_and(|text| text.contains(redact::QUOTED_MASK)) {
        let problem = "contains the placeholder [redacted]; send the real value";
        return Err(FieldError::body(problem).into());
    }
    Ok(json)
}

/// Reads the JSON object in a request as a `T`.
///
/// # Errors
/// As [`json_body`]; also 400 for a missing or unknown field, or one of the wrong type.
pub fn read_body<T: DeserializeOwned>(request: &Request) -> Result<T, Refused> {
    Ok(json::read(&json_body(request)?)?)
}

/// Checks the size of a body in its recorded form. A number recorded as a string grows by its quotes, and a list of
/// 130,000 numbers would never fit DynamoDB's 400 KB.
///
/// # Errors
/// 413 if it is too large.
pub fn check_recorded_size(json: &str) -> Result<(), Refused> {
    if json.len() > MAX_BODY_BYTES {
        let message = "the body is larger than 256 KiB once its numbers are written as strings";
        return Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, None, message).into());
    }
    Ok(())
}

/// Checks that an operator's note fits its record.
///
/// # Errors
/// 400 if it is too long, naming the field.
pub fn check_note(note: &str) -> Result<(), Refused> {
    if note.len() > MAX_NOTE_BYTES { Err(FieldError::at("note", "is longer than 1024 bytes").into()) } else { Ok(()) }
}

/// Checks a note that must say something.
///
/// # Errors
/// 400 if it is blank or too long, naming the field.
pub fn check_required_note(note: &str) -> Result<(), Refused> {
    if note.trim().is_empty() {
        Err(FieldError::at("note", "must not be blank; give the reason").into())
    } else {
        check_note(note)
    }
}

/// The 500 for a failure of the table or a queue. The cause is in the log, not in the response.
#[must_use]
pub fn unavailable() -> Response<Body> {
    refusal(StatusCode::INTERNAL_SERVER_ERROR, None, "the request could not be stored; send it again")
}

/// A path parameter, or an empty string if there is none.
///
/// A REST API passes it on percent-encoded (an HTTP API would not), so it is decoded here. If the result is not UTF-8,
/// it becomes a string that no id or key can equal: a repaired one could name another order.
#[must_use]
pub fn path_parameter(request: &Request, name: &str) -> String {
    let parameters = request.path_parameters();
    percent_decode_str(parameters.first(name).unwrap_or_default())
        .decode_utf8()
        .map_or_else(|_| "\0".to_owned(), Into::into)
}

/// The template's route that API Gateway matched, such as `/orders/{partner}/{order_id}/replay`.
#[must_use]
pub fn resource(request: &Request) -> String {
    match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.resource_path.clone().unwrap_or_default(),
        _ => String::new(),
    }
}

/// The IAM identity that signed the request, verified by API Gateway.
#[must_use]
pub fn caller(request: &Request) -> String {
    let identity = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.identity.user_arn.clone(),
        _ => None,
    };
    identity.unwrap_or_else(|| "unknown identity".to_owned())
}

/// The request's body. If API Gateway encoded it as base64, it is already decoded.
#[must_use]
pub fn body(request: &Request) -> &[u8] {
    request.body()
}
