//! Receives a notification: record, enqueue, acknowledge, in this order. An acknowledged notification is in the table;
//! the partner repeats any other.

use std::collections::HashSet;

use futures_util::stream::{self, StreamExt as _};
use lambda_http::http::{Method, StatusCode};
use lambda_http::{Body, Request, Response};
use relay_runtime::queue::{MAX_ENTRIES, Queue};
use relay_runtime::secret::{CachedSecret, SecretError};
use relay_runtime::{http, xray};
use relay_store::Store;
use relay_store::order::{Delivered, Delivery};
use relay_types::digest::canonical_digest;
use relay_types::json::{self, FieldError, MAX_BODY_BYTES};
use relay_types::notification::NotificationKind;
use relay_types::order::{OrderId, OrderKey, Partner};
use relay_types::partner::CHANGES_ON_RESEND;
use relay_types::partner::sctt::Envelope;
use relay_types::record::RecordKey;
use relay_types::time::{EpochMillis, SharedClock, SharedRandom, is_china_time};
use serde_json::Value;

use crate::authentication::{NotAuthentic, ScttChecks, ScttSecret, TokenHashes};

/// A notification endpoint and its dependencies.
pub struct Receiver {
    /// The notification that it receives.
    pub kind: NotificationKind,
    /// The valid tokens.
    pub tokens: TokenHashes,
    /// SCTT's checks in addition to the token.
    pub checks: ScttChecks,
    /// SCTT's signing secret, if signatures are checked.
    pub secret: Option<CachedSecret<ScttSecret>>,
    /// Records the notifications.
    pub store: Store,
    /// The queue for their record keys.
    pub notifications: Queue,
    /// Gives the time of each delivery.
    pub clock: SharedClock,
    /// Generates the tokens of deliveries.
    pub random: SharedRandom,
}

/// After a wrong signature, a secret older than this is read again, in milliseconds. Younger ones are not: a flood of
/// wrong signatures must not become a flood of requests to Secrets Manager.
const SECRET_IS_FRESH_MILLIS: i64 = 10_000;

/// How many hex digits of its SHA-256 identify a notification within its order.
const SHOWN_DIGITS: usize = 32;

/// How many notifications of one body are recorded concurrently. A push of 256 KiB may name about 7,000 orders.
const AT_ONCE: usize = 16;

/// How many batches of their keys are enqueued concurrently.
const BATCHES_AT_ONCE: usize = 2;

/// The result of recording a notification.
enum Recorded {
    /// Recorded under this key, which the caller must enqueue.
    As(RecordKey),
    /// Quarantined.
    Aside,
    /// Not recorded.
    Not,
}

impl Receiver {
    const fn partner(&self) -> Partner {
        self.kind.partner()
    }

    /// Handles a delivery: authenticates the partner, records every notification in the body, enqueues their keys, and
    /// acknowledges in the partner's format.
    pub async fn handle(&self, request: &Request) -> Response<Body> {
        if *request.method() != Method::POST {
            tracing::warn!(kind = %self.kind, method = %request.method(), "request refused: wrong method");
            return http::allowing("POST", self.refusal(StatusCode::METHOD_NOT_ALLOWED, "use POST"));
        }
        if !self.tokens.admit(&http::path_parameter(request, "token")) {
            let none = "no token hash is configured; the endpoint is closed";
            return self.unauthorized(if self.tokens.is_empty() { none } else { "wrong token" });
        }
        let bytes = http::body(request);
        if bytes.len() > MAX_BODY_BYTES {
            tracing::warn!(kind = %self.kind, bytes = bytes.len(), "request refused: body too large");
            return self.refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 256 KiB");
        }
        // Recorded bodies lose the byte order mark, quarantined ones keep it.
        let whole = json::without_mark(bytes);
        let read = json::parse_object(bytes).and_then(|json| Ok((self.kind.orders_of(&json)?, json)));
        let (orders, json) = match read {
            Ok(read) => read,
            Err(problem) => return self.unreadable(bytes, &problem).await,
        };
        if self.partner() == Partner::Sctt
            && let Err(refused) = self.authenticate(bytes, &json).await
        {
            return *refused;
        }
        let json = &json;
        let trace_header = request.headers().get(xray::HEADER).and_then(|header| header.to_str().ok());
        // Equal entries of one push count as one delivery.
        let mut told = HashSet::new();
        let (mut parts, mut unusable) = (Vec::new(), Vec::new());
        for (index, order_id) in orders.into_iter().enumerate() {
            match order_id {
                Ok(order_id) => {
                    let part = self.kind.part_of(json, &[index]);
                    let digest = digest_of(part.as_ref().unwrap_or(json));
                    if told.insert((order_id.clone(), digest.clone())) {
                        parts.push((order_id, part, digest));
                    }
                }
                Err(problem) => unusable.push((index, problem)),
            }
        }
        let kept = self.keep_unusable(json, &unusable).await;
        let taken = stream::iter(parts)
            .map(|(order_id, part, digest)| async move {
                let text = part.map_or_else(|| String::from_utf8_lossy(whole).into_owned(), |part| part.to_string());
                self.record(order_id, &text, json, &digest).await
            })
            .buffer_unordered(AT_ONCE)
            .chunks(MAX_ENTRIES)
            .map(|recorded| self.enqueue(recorded, trace_header))
            .buffer_unordered(BATCHES_AT_ONCE)
            .fold(true, async |all, taken| all & taken)
            .await;
        let acknowledgement = || http::raw(StatusCode::OK, self.partner().acknowledgement());
        if kept && taken { acknowledgement() } else { self.failed() }
    }

    /// Checks what SCTT sends besides its token.
    async fn authenticate(&self, bytes: &[u8], json: &Value) -> Result<(), Box<Response<Body>>> {
        let envelope = match Envelope::from_json(json) {
            Ok(envelope) => envelope,
            Err(problem) => return Err(self.unreadable(bytes, &problem).await.into()),
        };
        match self.check(&envelope, json).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => Err(self.unauthorized(&why.to_string()).into()),
            Err(error) => {
                tracing::error!(%error, configuration_fault = true, "signature not checked: the partner must send again");
                Err(self.failed().into())
            }
        }
    }

    /// Runs SCTT's checks. Reads the secret again if the signature does not match.
    async fn check(&self, envelope: &Envelope, json: &Value) -> Result<Result<(), NotAuthentic>, SecretError> {
        let now = self.clock.now();
        let Some(cached) = &self.secret else { return Ok(self.checks.check(envelope, json, None, now)) };
        let secret = cached.get().await?.secret;
        let checked = self.checks.check(envelope, json, Some(&secret), now);
        if checked != Err(NotAuthentic::Signature) {
            return Ok(checked);
        }
        // The secret may have changed since it was read.
        let fresh = cached.refresh(EpochMillis(now.0 - SECRET_IS_FRESH_MILLIS)).await?.secret;
        Ok(self.checks.check(envelope, json, Some(&fresh), now))
    }

    /// Records a delivery, or quarantines it if the order's record is full.
    async fn record(&self, order_id: OrderId, text: &str, json: &Value, digest: &str) -> Recorded {
        let key = RecordKey::Order(OrderKey { partner: self.partner(), order_id });
        let delivery = Delivery {
            key: &key,
            kind: self.kind,
            digest,
            body: text,
            // Any other value cannot tell a repeat from a late copy, and could exceed the record's size.
            request_time: json["request_time"].as_str().filter(|time| is_china_time(time)),
            token: &format!("{:08x}", (self.random)() >> 32),
        };
        match self.store.deliver(delivery, self.clock.now()).await {
            Ok(Delivered::Recorded) => {
                tracing::info!(record = %key, kind = %self.kind, digest, "notification recorded");
                Recorded::As(key)
            }
            // Quarantined, and on the attention list: the partner's retries would change nothing.
            Ok(Delivered::Full) => {
                let problem = "too many undecided deliveries of this order";
                if self.keep(text.as_bytes(), problem).await { Recorded::Aside } else { Recorded::Not }
            }
            Err(error) => {
                tracing::error!(record = %key, kind = %self.kind, %error, "notification not recorded: the partner must send again");
                Recorded::Not
            }
        }
    }

    /// Enqueues the keys of recorded notifications, in one request. `true` if all are recorded and enqueued.
    async fn enqueue(&self, recorded: Vec<Recorded>, trace_header: Option<&str>) -> bool {
        let is_whole = !recorded.iter().any(|one| matches!(one, Recorded::Not));
        let key = |one| match one {
            Recorded::As(key) => Some(key),
            Recorded::Aside | Recorded::Not => None,
        };
        let keys: Vec<RecordKey> = recorded.into_iter().filter_map(key).collect();
        let sent = match keys.as_slice() {
            [] => Ok(()),
            [key] => self.notifications.send(key, trace_header).await,
            keys => self.notifications.send_all_in_trace(keys, trace_header).await,
        };
        if let Err(error) = &sent {
            let record = keys.first().map(ToString::to_string).unwrap_or_default();
            tracing::error!(record, keys = keys.len(), kind = %self.kind, %error, "notifications recorded, but not enqueued: the partner must send again");
        }
        is_whole && sent.is_ok()
    }

    /// Quarantines the unusable entries of a push, so the others can be recorded. All of them form one item, so a push
    /// cannot flood the attention list. `true` if that succeeded.
    async fn keep_unusable(&self, json: &Value, unusable: &[(usize, FieldError)]) -> bool {
        let Some((_, first)) = unusable.first() else { return true };
        let indices: Vec<_> = unusable.iter().map(|(index, _)| *index).collect();
        let part = self.kind.part_of(json, &indices).unwrap_or_default();
        let others = match unusable.len() - 1 {
            0 => String::new(),
            1 => "; another entry cannot be used either".to_owned(),
            others => format!("; {others} other entries cannot be used either"),
        };
        self.keep(part.to_string().as_bytes(), &format!("{first}{others}")).await
    }

    /// Quarantines a body for an operator. `true` if that succeeded.
    async fn keep(&self, body: &[u8], problem: &str) -> bool {
        if let Err(error) = self.store.quarantine(self.kind, body, problem, self.clock.now()).await {
            tracing::error!(kind = %self.kind, %error, "body not quarantined: the partner must send again");
            return false;
        }
        tracing::error!(kind = %self.kind, problem, "body quarantined");
        true
    }

    /// Quarantines an unreadable body and tells the partner what is wrong with it.
    async fn unreadable(&self, body: &[u8], problem: &FieldError) -> Response<Body> {
        let problem = problem.to_string();
        if !self.keep(body, &problem).await {
            return self.failed();
        }
        self.refusal(StatusCode::BAD_REQUEST, &problem)
    }

    /// Refuses a caller that failed authentication. `why` goes into the log only.
    fn unauthorized(&self, why: &str) -> Response<Body> {
        tracing::warn!(kind = %self.kind, why, "request refused: not authentic");
        self.refusal(StatusCode::UNAUTHORIZED, "not authorized")
    }

    /// The answer to a failure of the table or the queue, which asks the partner to send again.
    fn failed(&self) -> Response<Body> {
        self.refusal(StatusCode::INTERNAL_SERVER_ERROR, "could not be stored; send it again")
    }

    fn refusal(&self, status: StatusCode, message: &str) -> Response<Body> {
        http::raw(status, self.partner().refusal(status.as_u16(), message))
    }
}

/// The digest that identifies a notification within its order.
fn digest_of(json: &Value) -> String {
    let mut digest = canonical_digest(json, &CHANGES_ON_RESEND);
    digest.truncate(SHOWN_DIGITS);
    digest
}
