//! `GET /attention`: what needs a person, oldest first, with the reason.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, RequestExt as _, Response};
use serde_json::json;
use shared::record::Table;
use shared::record::unfinished::{Cursor, SHARDS};
use shared::{answer, view};

/// How much a page holds if the request does not say.
const USUAL_PAGE: u8 = 50;
/// How much it holds at most.
const LARGEST_PAGE: u8 = 100;

/// What the function is made of.
#[derive(Debug)]
pub struct Attention {
    /// Where what needs a person is found.
    pub table: Table,
}

impl Attention {
    /// Answers a person's request: `?limit=` items (50 unless told, at most 100), `?after=` the `next` of the page
    /// before.
    pub async fn handle(&self, request: &Request) -> Response<Body> {
        let query = request.query_string_parameters();
        let limit = match query.first("limit").map(str::parse) {
            None => USUAL_PAGE,
            Some(Ok(limit)) if (1..=LARGEST_PAGE).contains(&limit) => limit,
            Some(_) => return bad("limit", "limit must be a whole number from 1 to 100"),
        };
        let Some(after) = query.first("after").map_or_else(|| Some(Cursor::new()), cursor) else {
            return bad("after", "after must be the `next` of an earlier page, or left out");
        };
        match self.table.attention(limit, &after).await {
            Ok((needs, next)) => {
                let items: Vec<_> = needs.iter().map(view::needs_person).collect();
                answer::json(StatusCode::OK, &json!({"items": items, "next": next.as_ref().map(token)}))
            }
            Err(error) => {
                tracing::error!(%error, "what needs a person could not be read");
                answer::unavailable()
            }
        }
    }
}

fn bad(field: &str, message: &str) -> Response<Body> {
    answer::refusal(StatusCode::BAD_REQUEST, Some(field), message)
}

fn token(cursor: &Cursor) -> String {
    // Serialising our own map of structs of strings and numbers cannot fail.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(cursor).unwrap_or_default())
}

fn cursor(token: &str) -> Option<Cursor> {
    let cursor: Cursor = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    // DynamoDB takes no empty keys.
    let usable = cursor.iter().all(|(shard, at)| *shard < SHARDS && !at.pk.is_empty() && !at.sk.is_empty());
    usable.then_some(cursor)
}
