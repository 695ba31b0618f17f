//! `PUT /orders/{partner}/{order_id}`: records the link of an order. `GET`: shows the order with its timeline.
//! `GET …/difference`: compares two of its notifications or links. `POST …/replay`, `…/dismiss`, `…/withdraw`, `…/close`:
//! records an operator's request about the order.

pub mod config;
mod difference;

use std::time::Duration;

use lambda_http::http::{Method, StatusCode};
use lambda_http::{Body, Request, RequestExt as _, Response};
use relay_runtime::http::{self, Refused};
use relay_runtime::queue::Queue;
use relay_store::order::Linked;
use relay_store::{Store, StoreError};
use relay_types::account::AccountNames;
use relay_types::api::{self, CallState, OrderRequest, ReplayRequest};
use relay_types::link::Link;
use relay_types::order::{OrderId, OrderKey, Partner};
use relay_types::record::{Bodies, Fact, Instruction, OrderRecord, RecordKey};
use relay_types::time::{SharedClock, SharedRandom};
use relay_types::view;
use strum::EnumString;

/// How often a write is retried if its record has changed since it was read.
const MAX_TRIES: usize = 5;

/// The function's handler and its dependencies.
pub struct OrderLink {
    /// Holds the records.
    pub store: Store,
    /// The queue for the keys of records to decide.
    pub notifications: Queue,
    /// The TOP accounts that a link may name.
    pub accounts: AccountNames,
    /// How long after it was put a link without a notification needs attention; never, if `None`.
    pub unnotified_after: Option<Duration>,
    /// Gives the time.
    pub clock: SharedClock,
    /// Generates tokens.
    pub random: SharedRandom,
}

/// An operator's request about an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString)]
#[strum(serialize_all = "kebab-case")]
enum Action {
    Replay,
    Dismiss,
    Withdraw,
    Close,
}

impl Action {
    /// The request as a fact for the record as it is, or why it is not possible.
    fn instruction(self, record: &OrderRecord) -> Result<Instruction, &'static str> {
        match self {
            Self::Replay if record.notifications.is_empty() => Err("the order has no notification to replay"),
            Self::Replay => Ok(Instruction::Replay),
            Self::Dismiss => match &record.attention {
                Some(attention) => Ok(Instruction::Dismiss(attention.reasons.clone())),
                None => Err("the order is not in the attention list; close it if it waits for a link"),
            },
            Self::Withdraw => {
                let is_unsent = record.sending.is_none() && record.unsettled == 0;
                match &record.target {
                    Some(target) if target.end.is_none() && is_unsent => Ok(Instruction::Withdraw),
                    Some(_) => Err("the order's call was sent, or may have been sent"),
                    None => Err("the order has no call to withdraw"),
                }
            }
            // It waits for a link, or its link for a notification.
            Self::Close if record.target.is_none() && (record.waits.is_some() || record.notifications.is_empty()) => {
                Ok(Instruction::Close)
            }
            Self::Close => Err("the order is not waiting; dismiss or withdraw it instead"),
        }
    }
}

impl OrderLink {
    /// Answers a request of the booking system or an operator.
    pub async fn handle(&self, request: &Request) -> Response<Body> {
        let Ok(partner) = http::path_parameter(request, "partner").parse::<Partner>() else {
            return http::refusal(StatusCode::NOT_FOUND, None, "unknown partner; use tsy or sctt");
        };
        let order_id = match OrderId::try_from(http::path_parameter(request, "order_id")) {
            Ok(order_id) => order_id,
            Err(problem) => {
                let message = format!("order_id {problem}");
                return http::refusal(StatusCode::BAD_REQUEST, Some("order_id"), &message);
            }
        };
        let order = OrderKey { partner, order_id };
        let resource = http::resource(request);
        let action = resource.strip_prefix("/orders/{partner}/{order_id}").map(|rest| rest.trim_start_matches('/'));
        let answered = match (request.method().clone(), action) {
            (Method::PUT, Some("")) => self.put(&order, request).await,
            (Method::GET, Some("")) => self.get(&order, request).await,
            (Method::GET, Some("difference")) => self.difference(&order, request).await,
            (Method::POST, Some(action)) => match action.parse::<Action>() {
                Ok(action) => self.instruct(&order, action, request).await,
                Err(_) => Ok(http::refusal(StatusCode::NOT_FOUND, None, "no such route")),
            },
            (_, Some("")) => Ok(http::wrong_method("GET, PUT")),
            (_, Some("difference")) => Ok(http::wrong_method("GET")),
            _ => Ok(http::wrong_method("POST")),
        };
        answered.unwrap_or_else(|refused| {
            refused.into_answer(|error| tracing::error!(%order, error, "order not read or written"))
        })
    }

    fn token(&self) -> String {
        format!("{:016x}", (self.random)())
    }

    async fn record(&self, order: &OrderKey) -> Result<OrderRecord, StoreError> {
        let key = RecordKey::Order(order.clone());
        Ok(self.store.record(&key).await?.unwrap_or_else(|| OrderRecord::empty(key)))
    }

    async fn wake(&self, record: &OrderRecord) -> bool {
        match self.notifications.send(&record.key, None).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(record = %record.key, %error, "recorded, but not enqueued: the sweep will enqueue it");
                false
            }
        }
    }

    /// Records the link and enqueues the order for dispatch.
    async fn put(&self, order: &OrderKey, request: &Request) -> Result<Response<Body>, Refused> {
        let link = Link::from_json(order.partner, &http::json_body(request)?)?;
        let (field, account) = link.account();
        self.accounts.check(field, account)?;
        let link = link.to_json();
        http::check_recorded_size(&link)?;
        let (by, token) = (http::caller(request), self.token());
        let version_of = |record: &OrderRecord| record.link.as_ref().map_or(0, |link| link.version);
        let mut seen = self.record(order).await?;
        let version = version_of(&seen) + 1;
        let decide = loop {
            let now = self.clock.now();
            let rings_at = self.unnotified_after.map(|after| now.plus(after));
            match self.store.put_link(&seen, &link, (&by, &token), rings_at, now).await? {
                Linked::Recorded { decide } => break decide,
                Linked::Changed => seen = self.record(order).await?,
            }
            // A notification may arrive meanwhile. Another link is a conflict.
            if version_of(&seen) + 1 != version {
                let message = "another request changed the link; read the order, and put the link again if it is wrong";
                return Ok(http::refusal(StatusCode::CONFLICT, None, message));
            }
        };
        if decide && !self.wake(&seen).await {
            return Ok(http::unavailable());
        }
        tracing::info!(%order, version, "link recorded");
        let linked = api::Linked {
            partner: order.partner,
            order_id: order.order_id.to_string(),
            version,
            notifications: seen.notifications.len(),
        };
        Ok(http::json(StatusCode::OK, &linked))
    }

    /// Records an operator's request about the order as the operator saw it, and enqueues the order for dispatch.
    async fn instruct(&self, order: &OrderKey, action: Action, request: &Request) -> Result<Response<Body>, Refused> {
        let asked = order_request(action, request)?;
        let (by, token) = (http::caller(request), self.token());
        let conflict = |message: &str| Ok(http::refusal(StatusCode::CONFLICT, None, message));
        for _ in 0..MAX_TRIES {
            let seen = self.record(order).await?;
            if seen.revision == 0 {
                return Ok(http::refusal(StatusCode::NOT_FOUND, None, "no such order"));
            }
            // If the token is there, an earlier write succeeded and only its answer was lost.
            if !seen.has_instruction(&token) {
                if asked.revision.is_some_and(|revision| revision != seen.revision) {
                    return conflict("the order has changed; read it again");
                }
                // A pending decision may change what the operator saw. A replay takes nothing away, so it may go ahead.
                let waits = |fact: &Fact| action != Action::Replay || matches!(fact, Fact::Instructed { .. });
                if seen.facts.iter().any(waits) {
                    return conflict("the order is being decided; read it again");
                }
                let instruction = match action.instruction(&seen) {
                    Ok(instruction) => instruction,
                    Err(message) if action == Action::Replay => {
                        return Ok(http::refusal(StatusCode::NOT_FOUND, None, message));
                    }
                    Err(message) => return conflict(message),
                };
                if !self.store.instruct(&seen, instruction, &by, &asked.note, &token, self.clock.now()).await? {
                    continue;
                }
            }
            // If that fails, the sweep enqueues the key. The operator need not repeat the request.
            self.wake(&seen).await;
            tracing::info!(%order, by, ?action, "operator request recorded");
            let accepted =
                api::Accepted { partner: order.partner, order_id: order.order_id.to_string(), accepted: true };
            return Ok(http::json(StatusCode::ACCEPTED, &accepted));
        }
        conflict("the order kept changing; read it again")
    }

    /// Shows the order. With `?payload=`, only the notification of this digest has its payload, and only that one is read.
    async fn get(&self, order: &OrderKey, request: &Request) -> Result<Response<Body>, Refused> {
        let key = RecordKey::Order(order.clone());
        let query = request.query_string_parameters();
        let payload = query.first("payload");
        let Some((record, bodies)) = self.read(&key, payload).await? else {
            return Ok(http::refusal(StatusCode::NOT_FOUND, None, "no such order"));
        };
        let mut shown = view::order(order, &record, &bodies, payload);
        if shown.calls.iter().any(|call| call.state == CallState::Pending) {
            let breakers = self.store.breakers(self.clock.now()).await?;
            shown.calls.iter_mut().for_each(|call| view::hold_back(call, &breakers));
        }
        Ok(http::json(StatusCode::OK, &shown))
    }
}

impl OrderLink {
    /// Reads a record and its bodies: of the notifications' bodies all, or only the one with this digest.
    async fn read(&self, key: &RecordKey, payload: Option<&str>) -> Result<Option<(OrderRecord, Bodies)>, StoreError> {
        let Some(payload) = payload else { return self.store.whole(key).await };
        let Some(record) = self.store.record(key).await? else { return Ok(None) };
        let mut digests = record.stored_of_present();
        let notification = record.notifications.get(payload).and_then(|one| one.body.as_ref()?.stored());
        digests.extend(notification.map(str::to_owned));
        let bodies = self.store.bodies(key, digests).await?;
        Ok(Some((record, bodies)))
    }
}

/// Reads the body of an operator's request. A replay needs no body and no note.
fn order_request(action: Action, request: &Request) -> Result<OrderRequest, Refused> {
    if action == Action::Replay {
        let is_empty = http::body(request).is_empty();
        let ReplayRequest { note, revision } =
            if is_empty { ReplayRequest::default() } else { http::read_body(request)? };
        http::check_note(&note)?;
        return Ok(OrderRequest { note, revision });
    }
    let asked: OrderRequest = http::read_body(request)?;
    http::check_required_note(&asked.note)?;
    Ok(asked)
}
