//! Requests to the API's routes for the booking system and operators, signed for API Gateway.

use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::deployment::Deployment;
use crate::http::{self, Answer};

/// Characters that a path segment must encode: all but the unreserved ones of RFC 3986.
const IN_A_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Joins segments into a path, each percent-encoded.
pub fn path<const N: usize>(segments: [&str; N]) -> String {
    segments.iter().map(|segment| format!("/{}", utf8_percent_encode(segment, IN_A_PATH))).collect()
}

/// Sends a signed request and returns the answer, whatever its status.
pub async fn send(
    deployment: &Deployment,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer> {
    let sdk = &deployment.sdk;
    let url = format!("{}{path}", deployment.api_url()?);
    let provider = sdk.credentials_provider().context("no credentials found; log in as you do for the AWS CLI")?;
    let credentials = provider.provide_credentials().await;
    let identity = credentials.context("no credentials found; log in as you do for the AWS CLI")?.into();
    let region = sdk.region().context("no region configured; pass --region or set AWS_REGION")?.to_string();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(&region)
        .name("execute-api")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()?
        .into();
    let host = url
        .split("://")
        .nth(1)
        .and_then(|rest| rest.split('/').next())
        .context("the API's URL has no host; check --api-url")?;
    let headers = [("host", host), ("content-type", "application/json")].into_iter().chain(headers.iter().copied());
    let headers: Vec<_> = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let signed = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let request = SignableRequest::new(method, &url, signed, SignableBody::Bytes(body.as_bytes()))?;
    let (instructions, _) = sign(request, &parameters)?.into_parts();
    let added = instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let headers: Vec<_> = headers.iter().cloned().chain(added).collect();
    http::send(method, &url, &headers, body).await
}

/// Sends a signed request and returns the JSON of a 2xx answer; any other status is an error.
pub async fn ask(
    deployment: &Deployment,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Value> {
    let Answer { status, body, .. } = send(deployment, method, path, headers, body).await?;
    let json: Result<Value, _> = serde_json::from_str(&body);
    if (200..300).contains(&status) {
        return json.with_context(|| format!("the API answered {status} with a body that is not JSON"));
    }
    let message = json.ok().and_then(|json| json["message"].as_str().map(str::to_owned)).unwrap_or(body);
    let hint = match status {
        // API Gateway itself refuses with these.
        403 => "; check that you may execute-api:Invoke, and that this machine's clock is right",
        429 => "; too many requests, retry later",
        _ => "",
    };
    bail!("the API answered {status}: {message}{hint}")
}
