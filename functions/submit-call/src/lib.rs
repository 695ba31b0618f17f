//! `POST /calls/{call}`: submits one TOP call directly. `GET /calls/{call}/{key}`: shows the call.
//! `POST /calls/{call}/{key}/resolve`: an operator says how an unknown call ended, or retries a refused one.
//! `POST …/dismiss`: an operator dismisses the call. `POST …/retry-now`: an operator has a waiting call tried now.

mod breakers;
pub mod config;

use lambda_http::http::{HeaderValue, Method, StatusCode};
use lambda_http::{Body, Request, RequestExt as _, Response};
use relay_runtime::http::{self, Refused};
use relay_runtime::queue::Queue;
use relay_store::{Store, StoreError};
use relay_types::account::AccountNames;
use relay_types::api::{Call, CallNote, CallState, ResolveRequest, Submitted};
use relay_types::call::{CallKind, CallRequest, Lane, Resend};
use relay_types::json::FieldError;
use relay_types::order::{UNUSABLE_ID, is_usable_id};
use relay_types::record::{
    Bodies, Body as RecordBody, End, Fact, Instruction, OrderRecord, RecordKey, Resolution, Submission, Target,
    digest_of, digest_of_request,
};
use relay_types::time::{SharedClock, SharedRandom};
use relay_types::view::{self, state_of_submission};

/// The request header that identifies a repeated request.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// The response header of an answer to a repeated request.
const REPLAYED: &str = "Idempotent-Replayed";
/// How often a write is retried if its record has changed since it was read.
const MAX_TRIES: usize = 5;
/// Maximum submissions in one record. All totals of an order share a record and stay in it until it expires: a used key
/// must not pass for a new one. For other calls, a decision keeps only the newest submission.
const MAX_SUBMISSIONS: usize = 100;
/// Up to this many submissions, short requests are stored in the record itself. The limit bounds the record's size.
const MAX_INLINE: usize = 16;

/// The function's handler and its dependencies.
pub struct SubmitCall {
    /// Holds the records.
    pub store: Store,
    /// The queue for the keys of records to decide.
    pub notifications: Queue,
    /// The TOP accounts that a request may name.
    pub accounts: AccountNames,
    /// Gives the time.
    pub clock: SharedClock,
    /// Generates tokens.
    pub random: SharedRandom,
}

impl SubmitCall {
    /// Answers a request of the booking system or an operator.
    pub async fn handle(&self, request: &Request) -> Response<Body> {
        let resource = http::resource(request);
        if resource == "/breakers" {
            return self.answer_breakers(request).await;
        }
        let Ok(kind) = http::path_parameter(request, "call").parse::<CallKind>() else {
            let message = format!("unknown call; use one of {}", CallKind::ALL.map(<&str>::from).join(", "));
            return http::refusal(StatusCode::NOT_FOUND, None, &message);
        };
        let key = http::path_parameter(request, "key");
        let answered = match (request.method().clone(), resource.as_str()) {
            (Method::POST, "/calls/{call}") => self.post(kind, request).await,
            (Method::GET, "/calls/{call}/{key}") => self.get(kind, &key).await,
            (Method::POST, "/calls/{call}/{key}/resolve") => self.resolve(kind, &key, request).await,
            (Method::POST, "/calls/{call}/{key}/dismiss") => self.dismiss(kind, &key, request).await,
            (Method::POST, "/calls/{call}/{key}/retry-now") => self.retry_now(kind, &key, request).await,
            (Method::POST, "/breakers/{call}/retry-now") => self.retry_kind_now(kind, request).await,
            (Method::POST, "/breakers/{call}/pause") => self.pause(kind, request).await,
            (Method::POST, "/breakers/{call}/resume") => self.resume(kind, request).await,
            (_, "/calls/{call}/{key}") => Ok(http::wrong_method("GET")),
            _ => Ok(http::wrong_method("POST")),
        };
        answered.unwrap_or_else(refused)
    }

    async fn post(&self, kind: CallKind, request: &Request) -> Result<Response<Body>, Refused> {
        let call = CallRequest::from_json(kind, &http::json_body(request)?)?;
        let key = key_of(&call, request)?;
        let (json, lane) = (call.to_json(), call.lane(&key));
        http::check_recorded_size(&json)?;
        let account = request.query_string_parameters().first("account").map(str::to_owned);
        self.accounts.check("account", account.as_deref())?;
        let now = self.clock.now();
        let submission = Submission {
            key: key.clone(),
            request: RecordBody::of(&json),
            digest: digest_of_request(&json, account.as_deref()),
            account,
            resend: call.resend(),
            issued: call.reports_success(),
            by: http::caller(request),
            at: now,
            outcome: None,
            ended: None,
            refused: false,
        };
        let record_key = RecordKey::Submission(lane);
        if kind == CallKind::TicketVerify && call.resend() == Resend::Again {
            let own = RecordKey::Submission(Lane::redemption(&key));
            if !self.store.point(&own, &record_key, now).await? {
                return Ok(used_key(kind, &key));
            }
        }
        self.submit(&record_key, submission, &json).await
    }

    async fn submit(&self, key: &RecordKey, submission: Submission, json: &str) -> Result<Response<Body>, Refused> {
        let RecordKey::Submission(lane) = key else { return Ok(http::unavailable()) };
        let token = format!("{:016x}", (self.random)());
        for _ in 0..MAX_TRIES {
            let seen = self.store.record(key).await?.unwrap_or_else(|| OrderRecord::empty(key.clone()));
            let is_new = match self.judge(&seen, &submission, &token) {
                Judged::Accept => true,
                Judged::Replay(one) => {
                    // The first request may have failed to enqueue it.
                    if matches!(state_of_submission(&seen, &one), CallState::Pending) && !self.wake(key).await {
                        return Ok(http::unavailable());
                    }
                    let body = self.store.body(key, &one.request).await?;
                    let bodies: Bodies = body.map(|body| (digest_of(&body), body)).into_iter().collect();
                    let mut replayed = http::json(StatusCode::OK, &view::submission(&seen, &bodies, &one));
                    replayed.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
                    return Ok(replayed);
                }
                Judged::Written => false,
                Judged::UsedKey => return Ok(used_key(lane.call, &submission.key)),
                Judged::Conflict(state) => return Ok(another_body(lane.call, &submission.key, state)),
                Judged::Full => {
                    let message =
                        format!("{MAX_SUBMISSIONS} calls were submitted for this order number; no more are accepted");
                    return Ok(http::refusal(StatusCode::TOO_MANY_REQUESTS, None, &message));
                }
            };
            if is_new {
                let mut submission = submission.clone();
                if seen.submissions.len() + seen.facts.len() > MAX_INLINE {
                    submission.request = RecordBody::Stored(digest_of(json));
                }
                if matches!(submission.request, RecordBody::Stored(_)) {
                    self.store.store_body(key, json, self.clock.now()).await?;
                }
                let instruction = Instruction::Submit(Box::new(submission.clone()));
                if !self.store.instruct(&seen, instruction, &submission.by, "", &token, self.clock.now()).await? {
                    continue;
                }
            }
            if !self.wake(key).await {
                return Ok(http::unavailable());
            }
            tracing::info!(record = %key, "call submitted");
            let submitted = Submitted { call: lane.call, key: submission.key, state: CallState::Pending };
            return Ok(http::json(StatusCode::ACCEPTED, &submitted));
        }
        Ok(http::refusal(StatusCode::CONFLICT, None, "the call kept changing; send it again"))
    }

    /// Compares a submission with its record: accept it, replay an earlier answer, or refuse it.
    fn judge(&self, seen: &OrderRecord, submission: &Submission, token: &str) -> Judged {
        if seen.has_instruction(token) {
            return Judged::Written;
        }
        // The key belongs to a total.
        if seen.points_to.is_some() {
            return Judged::UsedKey;
        }
        let waiting = seen.facts.iter().filter_map(|fact| match fact {
            Fact::Instructed { instruction: Instruction::Submit(one), .. } => Some(one.as_ref()),
            _ => None,
        });
        let known: Vec<&Submission> = seen.submissions.iter().chain(waiting).collect();
        let of_key = known.iter().rev().find(|one| one.key == submission.key);
        let state = |one: &Submission| state_of_submission(seen, one);
        match of_key {
            _ if known.len() >= MAX_SUBMISSIONS && of_key.is_none_or(|one| one.digest != submission.digest) => {
                Judged::Full
            }
            None => Judged::Accept,
            Some(one) if one.digest == submission.digest => Judged::Replay((*one).clone()),
            // A refused call may be corrected, and a new itinerary follows the previous one.
            Some(one) if state(one) == CallState::Refused => Judged::Accept,
            Some(_) if is_itinerary(&seen.key) => Judged::Accept,
            // A success may follow a failure: TOP's page says so for ship-notify.
            Some(one) if !seen.key.is_redemption() && submission.issued && !one.issued => Judged::Accept,
            Some(one) => Judged::Conflict(state(one)),
        }
    }

    /// Finds the record of a call by its key: an order's record, or a submission's.
    async fn find(&self, kind: CallKind, key: &str) -> Result<Option<OrderRecord>, StoreError> {
        if !is_usable_id(key) {
            return Ok(None);
        }
        if kind != CallKind::TicketVerify {
            let lane = Lane { call: kind, id: key.to_owned() };
            let holder = self.store.holder_of(&lane).await?;
            if holder.as_ref().is_some_and(|holder| holder.holds(&lane.to_string())) {
                return Ok(holder);
            }
            // Withdrawn, resolved as rejected, or not decided yet.
            let submitted = self.store.record(&RecordKey::Submission(lane)).await?;
            return Ok(submitted.or(holder));
        }
        let own = RecordKey::Submission(Lane::redemption(key));
        let Some(record) = self.store.record(&own).await? else { return Ok(None) };
        match record.points_to.as_deref().and_then(RecordKey::parse) {
            Some(total) => self.store.record(&total).await,
            None => Ok(Some(record)),
        }
    }

    /// Finds the record of a submitted call, even if an order owns the lane: attention there is about the order.
    async fn submitted(&self, kind: CallKind, key: &str) -> Result<Option<OrderRecord>, StoreError> {
        if kind == CallKind::TicketVerify || !is_usable_id(key) {
            return self.find(kind, key).await;
        }
        self.store.record(&RecordKey::Submission(Lane { call: kind, id: key.to_owned() })).await
    }

    async fn get(&self, kind: CallKind, key: &str) -> Result<Response<Body>, Refused> {
        let Some(record) = self.find(kind, key).await? else { return Ok(no_such_call()) };
        let Some(mut shown) = self.shown(&record, kind, key).await? else { return Ok(no_such_call()) };
        if shown.state == CallState::Pending {
            view::hold_back(&mut shown, &self.store.breakers(self.clock.now()).await?);
        }
        Ok(http::json(StatusCode::OK, &shown))
    }

    async fn shown(&self, record: &OrderRecord, kind: CallKind, key: &str) -> Result<Option<Call>, StoreError> {
        let Some((record, bodies)) = self.store.whole(&record.key).await? else { return Ok(None) };
        if matches!(record.key, RecordKey::Submission(_)) {
            let one = record.submissions.iter().rfind(|one| one.key == key);
            let waiting = record.facts.iter().rev().find_map(|fact| match fact {
                Fact::Instructed { instruction: Instruction::Submit(one), .. } if one.key == key => Some(one.as_ref()),
                _ => None,
            });
            return Ok(waiting.or(one).and_then(|one| view::submission(&record, &bodies, one)));
        }
        let calls = view::calls(&record, &bodies);
        Ok(calls.into_iter().rfind(|call| call.call == kind && call.key == key))
    }

    async fn resolve(&self, kind: CallKind, key: &str, request: &Request) -> Result<Response<Body>, Refused> {
        let ResolveRequest { outcome, note, attempt } = http::read_body(request)?;
        http::check_note(&note)?;
        let by = http::caller(request);
        self.instruct(kind, key, Meant::Call, (&by, &note), |found| {
            // A repeated resolution, whose first answer was lost, is recognized by the history.
            let resolution = Instruction::Resolve(outcome);
            let last = found.history.iter().rev().find(|entry| entry.by.is_some());
            let is_said = last.is_some_and(|entry| {
                entry.what == resolution.as_str() && entry.by.as_ref() == Some(&by) && entry.note.as_deref().unwrap_or_default() == note
                    && attempt.is_none_or(|attempt| attempt == i64::from(entry.attempt))
            });
            let target = found.target.as_ref().filter(|target| target.call == kind && is_key(target, key));
            let may_be = |target: &&Target| match target.end {
                Some(End::Unknown) => true,
                Some(End::Refused) => outcome == Resolution::Retry,
                None => false,
            };
            match target.filter(may_be) {
                Some(_) if attempt.is_some_and(|attempt| attempt != i64::from(found.attempt)) => Err(format!(
                    "{kind}/{key} is at attempt {}; to resolve that attempt, send its number as `attempt`",
                    found.attempt
                )),
                Some(_) => Ok(Some(resolution)),
                None if is_said => Ok(None),
                None => Err(format!(
                    "{kind}/{key} is neither unknown nor refused; only unknown calls can be resolved and refused calls retried"
                )),
            }
        })
        .await
    }

    async fn dismiss(&self, kind: CallKind, key: &str, request: &Request) -> Result<Response<Body>, Refused> {
        let CallNote { note, revision } = http::read_body(request)?;
        http::check_note(&note)?;
        let by = http::caller(request);
        self.instruct(kind, key, Meant::Submission, (&by, &note), |found| {
            check_revision(found, revision)?;
            match &found.attention {
                Some(attention) => Ok(Some(Instruction::Dismiss(attention.reasons.clone()))),
                None => Err(format!("{kind}/{key} is not in the attention list")),
            }
        })
        .await
    }

    async fn retry_now(&self, kind: CallKind, key: &str, request: &Request) -> Result<Response<Body>, Refused> {
        let CallNote { note, revision } = http::read_body(request)?;
        http::check_note(&note)?;
        let by = http::caller(request);
        let waiting = |found: &OrderRecord| {
            check_revision(found, revision)?;
            let target = found.target.as_ref().filter(|target| target.call == kind && is_key(target, key));
            match target.filter(|target| target.end.is_none()) {
                Some(target) if found.sending.is_none() => Ok(target.account.clone()),
                Some(_) => Err(format!("{kind}/{key} is being sent")),
                None => Err(format!("{kind}/{key} does not wait to be sent")),
            }
        };
        // The trial is allowed before the call is enqueued, so the call does not arrive too early.
        if let Some(account) = self.find(kind, key).await?.and_then(|found| waiting(&found).ok()) {
            self.try_now(|breaker| breaker.holds(kind, account.as_deref())).await?;
        }
        let retry = |found: &OrderRecord| waiting(found).map(|_| Some(Instruction::RetryNow));
        self.instruct(kind, key, Meant::Call, (&by, &note), retry).await
    }

    /// Records an operator's request about a call as the operator saw it, and enqueues its record for dispatch.
    async fn instruct(
        &self,
        kind: CallKind,
        key: &str,
        meant: Meant,
        (by, note): (&str, &str),
        instruction: impl Fn(&OrderRecord) -> Result<Option<Instruction>, String>,
    ) -> Result<Response<Body>, Refused> {
        let conflict = |message: &str| Ok(http::refusal(StatusCode::CONFLICT, None, message));
        let token = format!("{:016x}", (self.random)());
        for _ in 0..MAX_TRIES {
            let found = match meant {
                Meant::Call => self.find(kind, key).await?,
                Meant::Submission => self.submitted(kind, key).await?,
            };
            let Some(found) = found else { return Ok(no_such_call()) };
            if !found.has_instruction(&token) {
                if !found.facts.is_empty() {
                    return conflict("the call is being decided; read it again");
                }
                let instruction = match instruction(&found) {
                    Err(message) => return conflict(&message),
                    Ok(instruction) => instruction,
                };
                if let Some(instruction) = instruction
                    && !self.store.instruct(&found, instruction, by, note, &token, self.clock.now()).await?
                {
                    continue;
                }
            }
            // If that fails, the sweep enqueues the key. The operator need not repeat the request.
            self.wake(&found.key).await;
            tracing::info!(call = %kind, key, by, "operator request recorded");
            return Ok(match self.shown(&found, kind, key).await? {
                Some(shown) => http::json(StatusCode::ACCEPTED, &shown),
                None => no_such_call(),
            });
        }
        conflict("the call kept changing; read it again")
    }

    async fn wake(&self, key: &RecordKey) -> bool {
        match self.notifications.send(key, None).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(record = %key, %error, "recorded, but not enqueued");
                false
            }
        }
    }
}

fn refused(refused: Refused) -> Response<Body> {
    refused.into_answer(|error| tracing::error!(error, "call not read or written"))
}

/// Refuses a request about a record that has changed since the operator saw it.
fn check_revision(found: &OrderRecord, seen: Option<i64>) -> Result<(), String> {
    if seen.is_some_and(|seen| seen != found.revision) {
        return Err("the call has changed; read it again".to_owned());
    }
    Ok(())
}

/// The record that an operator's request is about.
#[derive(Debug, Clone, Copy)]
enum Meant {
    /// The record that has the call, which may be an order's.
    Call,
    /// The record of the submitted call.
    Submission,
}

/// How a submission relates to its record.
enum Judged {
    Accept,
    Replay(Submission),
    Written,
    Conflict(CallState),
    UsedKey,
    Full,
}

fn is_itinerary(key: &RecordKey) -> bool {
    matches!(key, RecordKey::Submission(lane) if lane.call == CallKind::ItineraryPostback)
}

/// Whether a target is the call with this key.
fn is_key(target: &Target, key: &str) -> bool {
    target.key.as_deref().unwrap_or(&target.id) == key
}

fn another_body(kind: CallKind, key: &str, state: CallState) -> Response<Body> {
    let message = format!(
        "{kind}/{key} was submitted with another body and is {}; only a refused call accepts a corrected body",
        state.as_ref()
    );
    http::refusal(StatusCode::UNPROCESSABLE_ENTITY, None, &message)
}

fn used_key(kind: CallKind, key: &str) -> Response<Body> {
    let message =
        format!("{kind}/{key} was submitted for another order or as another type; use a new {IDEMPOTENCY_KEY}");
    http::refusal(StatusCode::UNPROCESSABLE_ENTITY, None, &message)
}

fn no_such_call() -> Response<Body> {
    http::refusal(StatusCode::NOT_FOUND, None, "no such call")
}

/// The call's key: an id in the body if the call has one, otherwise the `Idempotency-Key`.
fn key_of(call: &CallRequest, request: &Request) -> Result<String, FieldError> {
    let header = request.headers().get(IDEMPOTENCY_KEY);
    if let CallRequest::TicketVerify(verify) = call {
        // A total belongs to its order, so the order's id becomes part of the record's key.
        let unusable = verify.order_id.is_none() && verify.out_order_id.as_ref().is_some_and(|id| !is_usable_id(id));
        if verify.tells_total() && unusable {
            return Err(FieldError::at("out_order_id", UNUSABLE_ID));
        }
    }
    match (call.own_key(), header) {
        (Some((_, id)), None) if is_usable_id(&id) => Ok(id),
        (Some((field, _)), None) => Err(FieldError::at(field, UNUSABLE_ID)),
        (Some(_), Some(_)) => {
            Err(FieldError::at(IDEMPOTENCY_KEY, "is not accepted for this call; its key is an id in the body"))
        }
        (None, None) => Err(FieldError::at(IDEMPOTENCY_KEY, "is required")),
        (None, Some(value)) => {
            let key = value.to_str().ok().filter(|key| is_usable_id(key)).map(str::to_owned);
            key.ok_or_else(|| FieldError::at(IDEMPOTENCY_KEY, UNUSABLE_ID))
        }
    }
}
