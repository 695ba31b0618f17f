//! `POST /calls/{call}`: asks for one TOP call directly. `GET /calls/{call}/{key}`: how it went.
//! `POST /calls/{call}/{key}/resolve`: a person says what became of a call that nobody knew the outcome of, or has one
//! sent again that TOP refused.

use lambda_http::http::{HeaderValue, Method, StatusCode};
use lambda_http::{Body, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::call::{CallId, CallKey, CallKind, CallRequest};
use shared::clock::{SharedClock, SharedRandom};
use shared::config::CallQueueUrls;
use shared::delivery::CallMessage;
use shared::order::{UNUSABLE_ID, is_usable_id};
use shared::queue::Queue;
use shared::record::calls::{Asked, Attempt, CallRecord, CallState, NewCall, Replace, Resolution, new_revision};
use shared::record::{StoreError, Table};
use shared::wire::{self, WireError};
use shared::{answer, view};

/// The header by which a caller says that two requests are one.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// The header that says that an answer is not the first to its request.
const REPLAYED: &str = "Idempotent-Replayed";

/// What the function is made of.
pub struct SubmitCall {
    /// Where calls are recorded.
    pub table: Table,
    /// Sends their keys.
    pub sqs: aws_sdk_sqs::Client,
    /// Where to.
    pub call_queue_urls: CallQueueUrls,
    /// Tells the time.
    pub clock: SharedClock,
    /// Makes revision tokens.
    pub random: SharedRandom,
}

impl SubmitCall {
    /// Answers a request of the booking system or of a person.
    pub async fn handle(&self, request: &Request) -> Response<Body> {
        let Some(kind) = CallKind::named(&answer::path_parameter(request, "call")) else {
            let message = "there is no such call: use itinerary-postback, ticket-verify or ship-notify";
            return answer::refusal(StatusCode::NOT_FOUND, None, message);
        };
        let key = answer::path_parameter(request, "key");
        let answered = match *request.method() {
            Method::POST if key.is_empty() => self.post(kind, request).await,
            // The only POST with a key that is routed here is that of `/resolve`.
            Method::POST => self.resolve(kind, key, request).await,
            Method::GET => self.get(kind, key).await,
            _ => Ok(answer::refusal(StatusCode::METHOD_NOT_ALLOWED, None, "use POST or GET")),
        };
        answered.unwrap_or_else(|error| {
            tracing::error!(call = %kind, %error, "the call could not be read or written");
            answer::unavailable()
        })
    }

    async fn post(&self, kind: CallKind, request: &Request) -> Result<Response<Body>, StoreError> {
        let keyed = |body| {
            let call = CallRequest::from_json(kind, &body)?;
            Ok((key_of(&call, request)?, call))
        };
        let read = answer::json_body(request).and_then(|body| {
            let (key, call) = keyed(body).map_err(|problem: WireError| answer::bad_body(&problem))?;
            answer::check_recorded_size(&call.to_json())?;
            Ok((key, call))
        });
        let (key, call_request) = match read {
            Ok(read) => read,
            Err(refusal) => return Ok(*refusal),
        };
        let id = CallId { call: kind, key };
        let new = NewCall {
            id: &id,
            request: &call_request,
            asked_by: &answer::caller(request),
            notified_at: None,
            revision: &new_revision(&self.random),
        };
        let asked = self.table.ask(new, Replace::Rejected, self.clock.now()).await?;
        // A pending call is enqueued again, since its first asker may have failed to do so.
        let enqueue = match &asked {
            Asked::Recorded => true,
            Asked::Same(record) => record.state == CallState::Pending,
            Asked::Different(_) => false,
        };
        if enqueue && !self.enqueue(&id).await {
            return Ok(answer::unavailable());
        }
        Ok(match asked {
            Asked::Recorded => {
                tracing::info!(call = %id, "recorded and enqueued");
                answer::json(StatusCode::ACCEPTED, &json!({"call": kind, "key": id.key, "state": CallState::Pending}))
            }
            Asked::Same(record) => {
                let mut replayed = answer::json(StatusCode::OK, &view::call(&record));
                replayed.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
                replayed
            }
            Asked::Different(record) => {
                let message = format!(
                    "{id} was asked for with another request and is {}: only a rejected call takes a corrected one",
                    record.state.as_str()
                );
                answer::refusal(StatusCode::UNPROCESSABLE_ENTITY, None, &message)
            }
        })
    }

    async fn get(&self, kind: CallKind, key: String) -> Result<Response<Body>, StoreError> {
        let record = self.find(kind, key).await?;
        Ok(record.map_or_else(no_such_call, |record| answer::json(StatusCode::OK, &view::call(&record))))
    }

    async fn resolve(&self, kind: CallKind, key: String, request: &Request) -> Result<Response<Body>, StoreError> {
        let read = answer::json_body(request)
            .and_then(|body| Answer::from_json(&body).map_err(|problem| answer::bad_body(&problem).into()));
        let Answer { outcome, note, attempt } = match read {
            Ok(answer) => answer,
            Err(refusal) => return Ok(*refusal),
        };
        let Some(found) = self.find(kind, key).await? else { return Ok(no_such_call()) };
        let (id, by) = (found.id(), answer::caller(request));
        let is_this = |said: &Attempt| {
            said.outcome == outcome.as_outcome() && said.owner == by && said.note.as_deref() == Some(note.as_str())
        };
        // An answer that was repeated, because its own answer was lost, must not speak of a later attempt.
        let said_of_earlier = found.history.iter().any(|said| is_this(said) && said.attempt != found.attempt);
        let other = attempt.map_or(said_of_earlier, |attempt| attempt != i64::from(found.attempt));
        if other && !found.history.last().is_some_and(is_this) {
            let message = format!("{id} is at attempt {}: to speak of that one, say so in `attempt`", found.attempt);
            return Ok(answer::refusal(StatusCode::CONFLICT, Some("attempt"), &message));
        }
        let may_be = match found.state {
            CallState::Unknown => true,
            // Not one that was taken back, or that is being decided again.
            CallState::Rejected => outcome == Resolution::Retry && !found.may_be_asked_again,
            CallState::Pending | CallState::InProgress | CallState::Succeeded => false,
        };
        let changed = may_be && self.table.resolve(&found, outcome, &by, &note, self.clock.now()).await?;
        let Some(present) = self.table.call(&id).await? else { return Ok(no_such_call()) };
        // Also what this person said before, its answer lost.
        if !changed && !present.history.last().is_some_and(is_this) {
            let state = present.state.as_str();
            let message =
                format!("{id} is {state}: only an unknown call can be resolved, and one that TOP refused be retried");
            return Ok(answer::refusal(StatusCode::CONFLICT, None, &message));
        }
        if changed {
            tracing::warn!(call = %id, by, resolution = outcome.as_outcome(), "a person settled the call");
        }
        // If it cannot be enqueued, the sweep does: it is not to be said again for that.
        if present.state == CallState::Pending {
            self.enqueue(&id).await;
        }
        Ok(answer::json(StatusCode::OK, &view::call(&present)))
    }

    async fn find(&self, kind: CallKind, key: String) -> Result<Option<CallRecord>, StoreError> {
        match CallKey::try_from(key) {
            Ok(key) => self.table.call(&CallId { call: kind, key }).await,
            Err(_) => Ok(None),
        }
    }

    async fn enqueue(&self, id: &CallId) -> bool {
        let queue = Queue::new(self.sqs.clone(), self.call_queue_urls.of(id.call).clone());
        match queue.send(&CallMessage::from(id.clone()), None).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(call = %id, %error, "recorded, but not enqueued");
                false
            }
        }
    }
}

fn no_such_call() -> Response<Body> {
    answer::refusal(StatusCode::NOT_FOUND, None, "there is no such call")
}

/// What a person says of an unknown call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    outcome: Resolution,
    #[serde(default)]
    note: String,
    /// Which attempt it speaks of; the present one if it does not say.
    #[serde(default, deserialize_with = "wire::optional_integer")]
    attempt: Option<i64>,
}

impl Answer {
    fn from_json(body: &Value) -> Result<Self, WireError> {
        let said: Self = wire::read(body)?;
        answer::check_note(&said.note)?;
        Ok(said)
    }
}

/// The call's key: the business's own where it has one, the caller's otherwise.
fn key_of(call: &CallRequest, request: &Request) -> Result<CallKey, WireError> {
    let header = request.headers().get(IDEMPOTENCY_KEY);
    match (call.business_key()?, header) {
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) => {
            Err(WireError::at(IDEMPOTENCY_KEY, "is not taken here: the ids in the body make the key of this call"))
        }
        (None, None) => Err(WireError::at(
            IDEMPOTENCY_KEY,
            "is missing: this call needs one of yours, to tell a repeat from another",
        )),
        (None, Some(value)) => {
            let key = value.to_str().ok().filter(|key| is_usable_id(key)).map(str::to_owned);
            let unusable = || WireError::at(IDEMPOTENCY_KEY, UNUSABLE_ID);
            key.and_then(|key| CallKey::try_from(key).ok()).ok_or_else(unusable)
        }
    }
}
