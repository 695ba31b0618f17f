//! Taking a notification in: record, then enqueue, then acknowledge, in this order. What is acknowledged is in
//! the table; what is not acknowledged comes again.

use futures_util::stream::{self, StreamExt as _};
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use serde_json::Value;

use crate::answer;
use crate::clock::{EpochMillis, SharedClock};
use crate::digest::canonical_digest;
use crate::notification::{CHANGES_ON_RESEND, NotificationKey, NotificationKind};
use crate::order::{OrderId, OrderKey, Partner};
use crate::partner::MAX_BODY_BYTES;
use crate::partner::authentication::{NotAuthentic, ScttChecks, ScttSecret, TokenHashes};
use crate::partner::sctt::Envelope;
use crate::queue::Queue;
use crate::record::Table;
use crate::record::orders::Delivered;
use crate::secret::{CachedSecret, SecretError};
use crate::trace;
use crate::wire::{self, WireError};

/// What a notification endpoint is made of.
#[derive(Debug)]
pub struct Intake {
    /// Which notification it takes.
    pub kind: NotificationKind,
    /// The tokens that open it.
    pub tokens: TokenHashes,
    /// What SCTT must show beside its token.
    pub checks: ScttChecks,
    /// SCTT's signing secret, where signatures are checked.
    pub secret: Option<CachedSecret<ScttSecret>>,
    /// Where notifications are recorded.
    pub table: Table,
    /// Where their keys go.
    pub notifications: Queue,
    /// Tells when they came.
    pub clock: SharedClock,
}

/// How old a secret may be that a signature does not match, in milliseconds, before it is read again: wrong signatures must
/// not make as many requests to Secrets Manager.
const SECRET_IS_FRESH_MILLIS: i64 = 10_000;

/// How many notifications of one body are recorded at a time.
const AT_ONCE: usize = 16;

impl Intake {
    const fn partner(&self) -> Partner {
        self.kind.partner()
    }

    /// Takes a body in: checks who sent it, records every notification that is in it, enqueues their keys, and
    /// acknowledges it in the partner's shape.
    pub async fn handle(&self, request: &Request) -> Response<Body> {
        if !self.tokens.admit(&answer::path_parameter(request, "token")) {
            let none = "no token hash is configured, so that nobody is admitted";
            return self.unauthorized(if self.tokens.is_empty() { none } else { "wrong token" });
        }
        let bytes = answer::body(request);
        if bytes.len() > MAX_BODY_BYTES {
            tracing::warn!(kind = %self.kind, bytes = bytes.len(), "refused: the body is too large");
            return self.refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 256 KiB");
        }
        let read = wire::parse_object(bytes).and_then(|json| Ok((self.kind.orders_of(&json)?, json)));
        let (orders, json) = match read {
            Ok(read) => read,
            Err(problem) => return self.unreadable(bytes, &problem).await,
        };
        if self.partner() == Partner::Sctt {
            let envelope = match Envelope::from_json(&json) {
                Ok(envelope) => envelope,
                Err(problem) => return self.unreadable(bytes, &problem).await,
            };
            match self.check(&envelope, &json).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => return self.unauthorized(&why.to_string()),
                Err(error) => {
                    tracing::error!(%error, configuration_fault = true, "a signature could not be checked: the partner must send again");
                    return self.failed();
                }
            }
        }
        let json = &json;
        let trace_header = request.headers().get(trace::HEADER).and_then(|header| header.to_str().ok());
        let taken = stream::iter(orders.into_iter().enumerate())
            .map(|(index, order_id)| {
                let part = self.kind.part_of(json, index);
                async move {
                    match part {
                        Some(part) => self.take(order_id, &part.to_string(), &part, trace_header).await,
                        None => self.take(order_id, &String::from_utf8_lossy(bytes), json, trace_header).await,
                    }
                }
            })
            .buffer_unordered(AT_ONCE)
            .all(async |taken| taken)
            .await;
        if taken { answer::raw(StatusCode::OK, self.partner().acknowledgement()) } else { self.failed() }
    }

    /// Checks what SCTT must show beside its token.
    async fn check(&self, envelope: &Envelope, json: &Value) -> Result<Result<(), NotAuthentic>, SecretError> {
        let now = self.clock.now();
        let Some(cached) = &self.secret else { return Ok(self.checks.check(envelope, json, None, now)) };
        let secret = cached.get().await?.secret;
        let checked = self.checks.check(envelope, json, Some(&secret), now);
        if checked != Err(NotAuthentic::Signature) {
            return Ok(checked);
        }
        // The secret may have been changed since it was read.
        let fresh = cached.refresh(EpochMillis(now.0 - SECRET_IS_FRESH_MILLIS)).await?.secret;
        Ok(self.checks.check(envelope, json, Some(&fresh), now))
    }

    /// Records a notification and enqueues its key unless it was dispatched before. Whether that is done.
    async fn take(&self, order_id: OrderId, text: &str, json: &Value, trace_header: Option<&str>) -> bool {
        let key = NotificationKey {
            order: OrderKey { partner: self.partner(), order_id },
            kind: self.kind,
            digest: canonical_digest(json, &CHANGES_ON_RESEND),
        };
        let delivered = match self.table.record_delivery(&key, text, self.clock.now()).await {
            Ok(delivered) => delivered,
            Err(error) => {
                tracing::error!(notification = %key, %error, "not recorded: the partner must send again");
                return false;
            }
        };
        if delivered == Delivered::AfterDispatch {
            tracing::info!(notification = %key, "acknowledged again: it was dispatched before");
            return true;
        }
        if let Err(error) = self.notifications.send(&key, trace_header).await {
            tracing::error!(notification = %key, %error, "recorded, but not enqueued: the partner must send again");
            return false;
        }
        let again = delivered == Delivered::Again;
        tracing::info!(notification = %key, again, "recorded and enqueued");
        true
    }

    /// Keeps a body that could not be read and tells the partner what is wrong with it.
    async fn unreadable(&self, body: &[u8], problem: &WireError) -> Response<Body> {
        let problem = problem.to_string();
        if let Err(error) = self.table.quarantine(self.partner(), body, &problem, self.clock.now()).await {
            tracing::error!(kind = %self.kind, %error, "an unreadable body could not be kept: the partner must send again");
            return self.failed();
        }
        tracing::warn!(kind = %self.kind, problem, "refused and kept in quarantine");
        self.refusal(StatusCode::BAD_REQUEST, &problem)
    }

    /// Refuses a caller that is not who it should be; `why` is for the log only.
    fn unauthorized(&self, why: &str) -> Response<Body> {
        tracing::warn!(kind = %self.kind, why, "refused: not authentic");
        self.refusal(StatusCode::UNAUTHORIZED, "not authorized")
    }

    /// The answer when the table or the queue failed: the partner sends again.
    fn failed(&self) -> Response<Body> {
        self.refusal(StatusCode::INTERNAL_SERVER_ERROR, "could not be stored; send it again")
    }

    fn refusal(&self, status: StatusCode, message: &str) -> Response<Body> {
        answer::raw(status, self.partner().refusal(status, message))
    }
}
