//! `GET /attention`: lists everything that needs attention, oldest first, with the reasons.
//! `POST /attention/unreadable/{endpoint}/{digest}/dismiss`: dismisses an unreadable body.

pub mod config;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lambda_http::http::{Method, StatusCode};
use lambda_http::{Body, Request, RequestExt as _, Response};
use relay_runtime::http::{self, Refused};
use relay_store::Store;
use relay_store::index::{Cursor, SHARDS};
use relay_types::api::{AttentionPage, DismissRequest, DismissedBody};
use relay_types::notification::NotificationKind;
use relay_types::view;

/// The default page size.
const USUAL_PAGE: u8 = 50;
/// The maximum page size.
const LARGEST_PAGE: u8 = 100;

/// The function's handler and its dependencies.
#[derive(Debug)]
pub struct Attention {
    /// Holds the attention list.
    pub store: Store,
}

impl Attention {
    /// Answers an operator's request.
    pub async fn handle(&self, request: &Request) -> Response<Body> {
        let resource = http::resource(request);
        let answered = match (request.method(), resource.as_str()) {
            (&Method::GET, "/attention") => self.list(request).await,
            (&Method::POST, "/attention/unreadable/{endpoint}/{digest}/dismiss") => self.dismiss(request).await,
            (_, "/attention") => Ok(http::wrong_method("GET")),
            _ => Ok(http::wrong_method("POST")),
        };
        answered.unwrap_or_else(|refused| {
            refused
                .into_answer(|error| tracing::error!(error, request = resource, "attention list not read or written"))
        })
    }

    async fn dismiss(&self, request: &Request) -> Result<Response<Body>, Refused> {
        let DismissRequest { note } = http::read_body(request)?;
        http::check_note(&note)?;
        let (digest, by) = (http::path_parameter(request, "digest"), http::caller(request));
        if let Ok(endpoint) = http::path_parameter(request, "endpoint").parse::<NotificationKind>()
            && self.store.dismiss_unreadable(endpoint, &digest, &by, &note).await?
        {
            return Ok(http::json(StatusCode::OK, &DismissedBody { endpoint, digest }));
        }
        Ok(http::refusal(StatusCode::NOT_FOUND, None, "no such unreadable body"))
    }

    /// Returns a page of the list: `?limit=` is the page size (default 50, maximum 100), `?after=` the cursor.
    async fn list(&self, request: &Request) -> Result<Response<Body>, Refused> {
        let query = request.query_string_parameters();
        let limit = match query.first("limit").map(str::parse) {
            None => USUAL_PAGE,
            Some(Ok(limit)) if (1..=LARGEST_PAGE).contains(&limit) => limit,
            Some(_) => return Ok(bad("limit", "limit must be a whole number from 1 to 100")),
        };
        let Some(after) = query.first("after").map_or_else(|| Some(Cursor::new()), cursor) else {
            return Ok(bad("after", "after must be the `next` of an earlier page; omit it for the first page"));
        };
        let (needs, next) = self.store.attention(limit, &after).await?;
        let items = needs.iter().map(view::attention_item).collect();
        Ok(http::json(StatusCode::OK, &AttentionPage { items, next: next.as_ref().map(token) }))
    }
}

fn bad(field: &str, message: &str) -> Response<Body> {
    http::refusal(StatusCode::BAD_REQUEST, Some(field), message)
}

fn token(cursor: &Cursor) -> String {
    // Serializing this map of structs of strings and numbers cannot fail.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(cursor).unwrap_or_default())
}

fn cursor(token: &str) -> Option<Cursor> {
    let cursor: Cursor = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    // DynamoDB refuses empty keys.
    let usable = cursor.iter().all(|(shard, at)| *shard < SHARDS && !at.pk.is_empty() && !at.sk.is_empty());
    usable.then_some(cursor)
}
