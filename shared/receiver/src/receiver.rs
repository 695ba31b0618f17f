//! Receives a notification: record, enqueue, acknowledge, in this order. An acknowledged notification is in the table;
//! the partner repeats any other.

use lambda_http::http::{Method, StatusCode};
use lambda_http::{Body, Request, Response};
use relay_runtime::secret::{CachedSecret, SecretError};
use relay_runtime::{http, xray};
use relay_types::json::{FieldError, MAX_BODY_BYTES};
use relay_types::notification::NotificationKind;
use relay_types::order::Partner;
use relay_types::partner::sctt::Envelope;
use relay_types::time::EpochMillis;
use serde_json::Value;

use crate::authentication::{NotAuthentic, ScttChecks, ScttSecret, TokenHashes};
use crate::recorder::Recorder;

/// A notification endpoint and its dependencies.
pub struct Receiver {
    /// The valid tokens.
    pub tokens: TokenHashes,
    /// SCTT's checks in addition to the token.
    pub checks: ScttChecks,
    /// SCTT's signing secret, if signatures are checked.
    pub secret: Option<CachedSecret<ScttSecret>>,
    /// Records the notifications of one kind.
    pub recorder: Recorder,
}

/// After a wrong signature, a secret older than this is read again, in milliseconds. Younger ones are not: a flood of
/// wrong signatures must not become a flood of requests to Secrets Manager.
const SECRET_IS_FRESH_MILLIS: i64 = 10_000;

impl Receiver {
    const fn kind(&self) -> NotificationKind {
        self.recorder.kind
    }

    const fn partner(&self) -> Partner {
        self.kind().partner()
    }

    /// Handles a delivery: authenticates the partner, records every notification in the body, enqueues their keys, and
    /// acknowledges in the partner's format.
    pub async fn handle(&self, request: &Request) -> Response<Body> {
        if *request.method() != Method::POST {
            tracing::warn!(kind = %self.kind(), method = %request.method(), "request refused: wrong method");
            return http::allowing("POST", self.refusal(StatusCode::METHOD_NOT_ALLOWED, "use POST"));
        }
        if !self.tokens.admit(&http::path_parameter(request, "token")) {
            let none = "no token hash is configured; the endpoint is closed";
            return self.unauthorized(if self.tokens.is_empty() { none } else { "wrong token" });
        }
        let bytes = http::body(request);
        if bytes.len() > MAX_BODY_BYTES {
            tracing::warn!(kind = %self.kind(), bytes = bytes.len(), "request refused: body too large");
            return self.refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 256 KiB");
        }
        let read = match self.recorder.read(bytes) {
            Ok(read) => read,
            Err(problem) => return self.unreadable(bytes, &problem).await,
        };
        if self.partner() == Partner::Sctt
            && let Err(refused) = self.authenticate(bytes, &read.json).await
        {
            return *refused;
        }
        let trace_header = request.headers().get(xray::HEADER).and_then(|header| header.to_str().ok());
        let taken = self.recorder.take(bytes, read, trace_header).await;
        if taken.stored { http::raw(StatusCode::OK, self.partner().acknowledgement()) } else { self.failed() }
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
        let now = self.recorder.clock.now();
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

    /// Quarantines an unreadable body and tells the partner what is wrong with it.
    async fn unreadable(&self, body: &[u8], problem: &FieldError) -> Response<Body> {
        let problem = problem.to_string();
        if !self.recorder.keep(body, &problem).await {
            return self.failed();
        }
        self.refusal(StatusCode::BAD_REQUEST, &problem)
    }

    /// Refuses a caller that failed authentication. `why` goes into the log only.
    fn unauthorized(&self, why: &str) -> Response<Body> {
        tracing::warn!(kind = %self.kind(), why, "request refused: not authentic");
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
