//! Compares two notifications of an order, or two of its links.

use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, RequestExt as _, Response};
use relay_runtime::http::{self, Refused};
use relay_types::difference::difference;
use relay_types::order::OrderKey;
use relay_types::record::{Body as Stored, OrderRecord, RecordKey};
use serde_json::Value;

use crate::OrderLink;

/// The least number of digits of a digest that a request may give.
const LEAST_DIGITS: usize = 8;

impl OrderLink {
    /// Compares the two bodies that `from` and `to` name: each a notification's digest, or `link-` and a version.
    pub(crate) async fn difference(&self, order: &OrderKey, request: &Request) -> Result<Response<Body>, Refused> {
        let query = request.query_string_parameters();
        let name = |name: &str| query.first(name).unwrap_or_default().to_owned();
        let (from, to) = (name("from"), name("to"));
        let key = RecordKey::Order(order.clone());
        let Some(record) = self.store.record(&key).await? else {
            return Ok(http::refusal(StatusCode::NOT_FOUND, None, "no such order"));
        };
        let mut read = Vec::new();
        for (field, name) in [("from", &from), ("to", &to)] {
            let body = match named(&record, name) {
                Ok(body) => body,
                Err((status, message)) => return Ok(http::refusal(status, Some(field), message)),
            };
            let json = match body {
                Some(body) => self.store.body(&key, body).await?,
                None => None,
            };
            let Some(value) = json.and_then(|json| serde_json::from_str::<Value>(&json).ok()) else {
                return Ok(http::refusal(StatusCode::NOT_FOUND, Some(field), "the body is no longer kept"));
            };
            read.push(value);
        }
        Ok(http::json(StatusCode::OK, &difference(&read[0], &read[1])))
    }
}

/// The body that `name` means; `None` if it is no longer kept.
fn named<'a>(record: &'a OrderRecord, name: &str) -> Result<Option<&'a Stored>, (StatusCode, &'static str)> {
    let Some(version) = name.strip_prefix("link-") else {
        let is_digest = name.len() >= LEAST_DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_digest {
            return Err((
                StatusCode::BAD_REQUEST,
                "must be the digest of a notification, at least 8 digits, or link-N",
            ));
        }
        let mut found = record.notifications.iter().filter(|(digest, _)| digest.starts_with(name));
        return match (found.next(), found.next()) {
            (Some((_, one)), None) => Ok(one.body.as_ref()),
            (None, _) => Err((StatusCode::NOT_FOUND, "the order has no such notification")),
            (Some(_), Some(_)) => Err((
                StatusCode::BAD_REQUEST,
                "several notifications have digests that begin with these digits; give more digits",
            )),
        };
    };
    let present = record.link.iter().map(|link| (link.version, Some(&link.body)));
    let replaced = record.history.iter().filter(|entry| entry.version > 0);
    let mut links = present.chain(replaced.map(|entry| (entry.version, entry.body.as_ref())));
    let is_it = |(known, _): &(i64, _)| known.to_string() == version;
    links.find(is_it).map(|(_, body)| body).ok_or((StatusCode::NOT_FOUND, "the order's history has no such link"))
}
