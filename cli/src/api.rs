//! Requests to the API's routes for the booking system and operators, signed for API Gateway.

use std::fmt;

use anyhow::{Context as _, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::aws;
use crate::deployment::Deployment;
use crate::http::Answer;
use crate::table::list;

/// Maximum page size of the API.
const LARGEST_PAGE: u32 = 100;

/// Characters that a path segment must encode: all but the unreserved ones of RFC 3986.
const IN_A_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Joins segments into a path, each percent-encoded.
pub fn path<const N: usize>(segments: [&str; N]) -> String {
    segments.iter().map(|segment| format!("/{}", encoded(segment))).collect()
}

/// Percent-encodes a path segment or a query value.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, IN_A_PATH).to_string()
}

/// Sends a signed request and returns the answer, whatever its status.
pub async fn send(
    deployment: &Deployment,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer> {
    let url = format!("{}{path}", deployment.api_url()?);
    let headers: Vec<_> = [("content-type", "application/json")].into_iter().chain(headers.iter().copied()).collect();
    aws::send(&deployment.sdk, "execute-api", method, &url, &headers, body).await
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
    Err(Refused { status, message }.into())
}

/// An answer of the API that is not 2xx.
#[derive(Debug)]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// What the API says.
    pub message: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = match self.status {
            // API Gateway itself refuses with these.
            403 => "; check that you may execute-api:Invoke, and that this machine's clock is right",
            429 => "; too many requests, retry later",
            _ => "",
        };
        write!(f, "the API answered {}: {}{hint}", self.status, self.message)
    }
}

impl std::error::Error for Refused {}

/// The items that need attention, oldest first: all, or at most `limit`.
pub async fn attention(deployment: &Deployment, limit: Option<u32>) -> Result<Vec<Value>> {
    let mut items = Vec::new();
    let mut after = String::new();
    loop {
        let left = limit.map_or(LARGEST_PAGE, |limit| limit - u32::try_from(items.len()).unwrap_or(limit));
        let page = left.min(LARGEST_PAGE);
        let query = format!("{}?limit={page}{after}", path(["attention"]));
        let got = ask(deployment, "GET", &query, &[], "").await?;
        items.extend(list(&got, "items").iter().cloned());
        let whole = limit.is_some_and(|limit| items.len() >= limit as usize);
        match got["next"].as_str() {
            Some(next) if !whole => after = format!("&after={next}"),
            _ => return Ok(items),
        }
    }
}
