//! Bodies that could not be read: show one, take it in again, or dismiss it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, RequestExt as _, Response};
use relay_receiver::recorder::{Recorder, Taken};
use relay_runtime::http::{self, Refused};
use relay_types::api::{DismissRequest, DismissedBody, RetriedBody, UnreadableBody};
use relay_types::notification::NotificationKind;

use crate::{Attention, bad};

impl Attention {
    /// Shows a body with its problem. The bytes only with `?body=true`: they may hold personal data.
    pub(crate) async fn show(&self, request: &Request) -> Result<Response<Body>, Refused> {
        let query = request.query_string_parameters();
        let with_body = match query.first("body") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Ok(bad("body", "body must be true or false")),
        };
        let Some((endpoint, digest)) = named(request) else { return Ok(no_such_body()) };
        let Some(kept) = self.store.unreadable(endpoint, &digest).await? else { return Ok(no_such_body()) };
        let bytes = Some(kept.body).filter(|_| with_body);
        let (body, body_base64) = match bytes.map(String::from_utf8) {
            None => (None, None),
            Some(Ok(text)) => (Some(text), None),
            Some(Err(error)) => (None, Some(STANDARD.encode(error.as_bytes()))),
        };
        let shown = UnreadableBody {
            endpoint,
            digest,
            problem: kept.problem,
            bytes: kept.bytes,
            deliveries: kept.deliveries,
            last_received_at: kept.last_at.to_string(),
            needs_attention: kept.needs_attention,
            dismissed_by: kept.dismissed_by,
            dismissed_note: kept.dismissed_note,
            body,
            body_base64,
        };
        if with_body {
            tracing::warn!(%endpoint, digest = shown.digest, by = http::caller(request), "unreadable body shown");
        }
        Ok(http::json(StatusCode::OK, &shown))
    }

    /// Takes a body in again, as its endpoint does once it has authenticated the partner. An operator vouches for it.
    pub(crate) async fn retry(&self, request: &Request) -> Result<Response<Body>, Refused> {
        let DismissRequest { note } = http::read_body(request)?;
        http::check_note(&note)?;
        let Some((endpoint, digest)) = named(request) else { return Ok(no_such_body()) };
        let Some(kept) = self.store.unreadable(endpoint, &digest).await? else { return Ok(no_such_body()) };
        let recorder = Recorder {
            kind: endpoint,
            store: self.store.clone(),
            notifications: self.notifications.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
        };
        let unreadable = |problem: &str| {
            let message = format!("the body is still unreadable: {problem}");
            Ok(http::refusal(StatusCode::UNPROCESSABLE_ENTITY, None, &message))
        };
        let read = match recorder.read(&kept.body) {
            Ok(read) => read,
            Err(problem) => return unreadable(&problem.to_string()),
        };
        let orders: Vec<_> = read.orders.iter().flatten().map(ToString::to_string).collect();
        // Its unusable parts would only be kept again.
        if let (true, Some(Err(problem))) = (orders.is_empty(), read.orders.first()) {
            return unreadable(&problem.to_string());
        }
        match recorder.take(&kept.body, read, None).await {
            Taken { stored: false, .. } => return Ok(http::unavailable()),
            Taken { aside: true, .. } => return unreadable("the order has too many undecided deliveries"),
            Taken { .. } => {}
        }
        let by = http::caller(request);
        self.store.dismiss_unreadable(endpoint, &digest, &by, &note).await?;
        tracing::warn!(%endpoint, digest, by, note, "unreadable body taken in again");
        Ok(http::json(StatusCode::ACCEPTED, &RetriedBody { endpoint, digest, orders }))
    }

    /// Dismisses a body.
    pub(crate) async fn dismiss(&self, request: &Request) -> Result<Response<Body>, Refused> {
        let DismissRequest { note } = http::read_body(request)?;
        http::check_note(&note)?;
        if let Some((endpoint, digest)) = named(request)
            && self.store.dismiss_unreadable(endpoint, &digest, &http::caller(request), &note).await?
        {
            return Ok(http::json(StatusCode::OK, &DismissedBody { endpoint, digest }));
        }
        Ok(no_such_body())
    }
}

/// The endpoint and digest in the path.
fn named(request: &Request) -> Option<(NotificationKind, String)> {
    let endpoint = http::path_parameter(request, "endpoint").parse().ok()?;
    Some((endpoint, http::path_parameter(request, "digest"))).filter(|(_, digest)| !digest.is_empty())
}

fn no_such_body() -> Response<Body> {
    http::refusal(StatusCode::NOT_FOUND, None, "no such unreadable body")
}
