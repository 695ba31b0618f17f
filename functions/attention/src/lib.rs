//! `GET /attention`: lists everything that needs attention, oldest first, with the reasons.
//! `GET /unfinished`: lists everything unfinished, with filters and counts.
//! `GET /attention/unreadable/{endpoint}/{digest}`: shows an unreadable body; `…/retry` takes it in again, `…/dismiss`
//! dismisses it.

pub mod config;
mod unfinished;
mod unreadable;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lambda_http::http::{Method, StatusCode};
use lambda_http::{Body, Request, RequestExt as _, Response};
use relay_runtime::http::{self, Refused};
use relay_runtime::queue::Queue;
use relay_store::Store;
use relay_store::index::{Cursor, SHARDS};
use relay_types::api::AttentionPage;
use relay_types::time::{SharedClock, SharedRandom};
use relay_types::view;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The default page size.
const USUAL_PAGE: u8 = 50;
/// The maximum page size.
const LARGEST_PAGE: u8 = 100;
/// The message for a cursor that is not one.
const WRONG_AFTER: &str = "after must be the `next` of an earlier page; omit it for the first page";

/// The function's handler and its dependencies.
pub struct Attention {
    /// Holds the records and both indexes.
    pub store: Store,
    /// The queue for the keys of notifications that are taken in again.
    pub notifications: Queue,
    /// Gives the time.
    pub clock: SharedClock,
    /// Generates the tokens of deliveries.
    pub random: SharedRandom,
}

impl fmt::Debug for Attention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attention").finish_non_exhaustive()
    }
}

impl Attention {
    /// Answers an operator's request.
    pub async fn handle(&self, request: &Request) -> Response<Body> {
        let resource = http::resource(request);
        let answered = match (request.method(), resource.as_str()) {
            (&Method::GET, "/attention") => self.list(request).await,
            (&Method::GET, "/attention/unreadable/{endpoint}/{digest}") => self.show(request).await,
            (&Method::POST, "/attention/unreadable/{endpoint}/{digest}/retry") => self.retry(request).await,
            (&Method::POST, "/attention/unreadable/{endpoint}/{digest}/dismiss") => self.dismiss(request).await,
            (_, "/attention/unreadable/{endpoint}/{digest}") => Ok(http::wrong_method("GET")),
            (&Method::GET, "/unfinished") => self.unfinished(request).await,
            (_, "/attention" | "/unfinished") => Ok(http::wrong_method("GET")),
            _ => Ok(http::wrong_method("POST")),
        };
        answered.unwrap_or_else(|refused| {
            refused
                .into_answer(|error| tracing::error!(error, request = resource, "attention list not read or written"))
        })
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
            return Ok(bad("after", WRONG_AFTER));
        };
        let (needs, next) = self.store.attention(limit, &after).await?;
        let items = needs.iter().map(view::attention_item).collect();
        Ok(http::json(StatusCode::OK, &AttentionPage { items, next: next.as_ref().map(token) }))
    }
}

fn bad(field: &str, message: &str) -> Response<Body> {
    http::refusal(StatusCode::BAD_REQUEST, Some(field), message)
}

/// A cursor as a string for URLs.
fn token(cursor: &impl Serialize) -> String {
    // Serializing these maps and tuples of strings and numbers cannot fail.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(cursor).unwrap_or_default())
}

fn read_token<T: DeserializeOwned>(token: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

fn cursor(token: &str) -> Option<Cursor> {
    // DynamoDB refuses empty keys.
    let usable =
        |cursor: &Cursor| cursor.iter().all(|(shard, at)| *shard < SHARDS && !at.pk.is_empty() && !at.sk.is_empty());
    read_token(token).filter(usable)
}
