//! HTTP answers, and what a request says of who sent it.

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

/// An answer of this status with this JSON.
#[must_use]
pub fn raw(status: StatusCode, body: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(Body::Text(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

/// An answer of this status with this JSON.
#[must_use]
pub fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    // Serialising our own structs cannot fail.
    raw(status, serde_json::to_string(body).unwrap_or_default())
}

/// A refusal of the company's own systems: what is wrong and, where it is a field, which. `message` must hold
/// nothing personal.
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

/// A refusal of a body, naming the field at fault.
#[must_use]
pub fn bad_body(error: &FieldError) -> Response<Body> {
    let field = (!error.field.is_empty()).then_some(error.field.as_str());
    refusal(StatusCode::BAD_REQUEST, field, &error.to_string())
}

/// A request that is not answered as it should be: with which answer instead, and why, where the cause is ours.
#[derive(Debug)]
pub struct Refused {
    answer: Box<Response<Body>>,
    cause: Option<String>,
}

impl Refused {
    /// The caller should send the request again; `cause` goes into the log only.
    pub fn unavailable(cause: impl ToString) -> Self {
        Self { answer: Box::new(unavailable()), cause: Some(cause.to_string()) }
    }

    /// The answer. `log` is told the cause, if it is ours.
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

/// The JSON object that a request of the company's own systems carries.
///
/// # Errors
/// 413, or 400 for what is no JSON object, has a key twice, or holds masks instead of values.
pub fn json_body(request: &Request) -> Result<Value, Refused> {
    let bytes = body(request);
    if bytes.len() > MAX_BODY_BYTES {
        return Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, None, "the body is larger than 256 KiB").into());
    }
    let json = json::parse_unambiguous_object(bytes)?;
    // Whoever sends back what was shown would have TOP told the mask, for good.
    if std::str::from_utf8(bytes).is_ok_and(|text| text.contains(redact::QUOTED_MASK)) {
        let problem = "contains the placeholder [redacted]; send the real value";
        return Err(FieldError::body(problem).into());
    }
    Ok(json)
}

/// The same, read as a `T`.
///
/// # Errors
/// As [`json_body`], and 400 for a field that is missing, unknown or of the wrong type.
pub fn read_body<T: DeserializeOwned>(request: &Request) -> Result<T, Refused> {
    Ok(json::read(&json_body(request)?)?)
}

/// Checks that what a body is recorded as fits its record too: a number that is recorded as a string grows by its quotes,
/// and a list of 130,000 numbers would never fit DynamoDB's 400 KB.
///
/// # Errors
/// 413.
pub fn check_recorded_size(json: &str) -> Result<(), Refused> {
    if json.len() > MAX_BODY_BYTES {
        let message = "the body is larger than 256 KiB once its numbers are written as strings";
        return Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, None, message).into());
    }
    Ok(())
}

/// Checks that a person's note fits its record.
///
/// # Errors
/// 400, naming the field.
pub fn check_note(note: &str) -> Result<(), Refused> {
    if note.len() > MAX_NOTE_BYTES { Err(FieldError::at("note", "is longer than 1024 bytes").into()) } else { Ok(()) }
}

/// The answer when the table or a queue failed. The cause is in the log, not in the answer.
#[must_use]
pub fn unavailable() -> Response<Body> {
    refusal(StatusCode::INTERNAL_SERVER_ERROR, None, "the request could not be stored; send it again")
}

/// A parameter of the request's path; empty if there is none. A REST API hands it over percent-encoded as it came
/// (an HTTP API would not), so it is decoded here. What is no UTF-8 then is a text that no id and no key can be: put
/// right somehow, it could name another's.
#[must_use]
pub fn path_parameter(request: &Request, name: &str) -> String {
    let parameters = request.path_parameters();
    percent_decode_str(parameters.first(name).unwrap_or_default())
        .decode_utf8()
        .map_or_else(|_| "\0".to_owned(), Into::into)
}

/// The route of the template that API Gateway matched, such as `/orders/{partner}/{order_id}/replay`.
#[must_use]
pub fn resource(request: &Request) -> String {
    match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.resource_path.clone().unwrap_or_default(),
        _ => String::new(),
    }
}

/// The IAM identity that signed the request, as API Gateway verified it.
#[must_use]
pub fn caller(request: &Request) -> String {
    let identity = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.identity.user_arn.clone(),
        _ => None,
    };
    identity.unwrap_or_else(|| "unknown identity".to_owned())
}

/// The bytes of a request's body, decoded from base64 where API Gateway encoded them.
#[must_use]
pub fn body(request: &Request) -> &[u8] {
    request.body()
}
