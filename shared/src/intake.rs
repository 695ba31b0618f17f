//! Taking a notification in: record, then enqueue, then acknowledge, in this order. What is acknowledged is in
//! the table; what is not acknowledged comes again.

use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use serde_json::Value;

use crate::answer;
use crate::clock::SharedClock;
use crate::digest::canonical_digest;
use crate::notification::{CHANGES_ON_RESEND, NotificationKey, NotificationKind};
use crate::order::{OrderId, OrderKey, Partner};
use crate::partner::MAX_BODY_BYTES;
use crate::partner::authentication::TokenHashes;
use crate::queue::Queue;
use crate::record::Table;
use crate::record::orders::Delivered;
use crate::wire::{self, WireError};

/// What a notification endpoint is made of.
#[derive(Debug, Clone)]
pub struct Intake {
    /// Which notification it takes.
    pub kind: NotificationKind,
    /// The tokens that open it.
    pub tokens: TokenHashes,
    /// Where notifications are recorded.
    pub table: Table,
    /// Where their keys go.
    pub notifications: Queue,
    /// Tells when they came.
    pub clock: SharedClock,
}

/// A body that came with a valid token and is a JSON object.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// The body as it came.
    pub text: String,
    /// The body as JSON.
    pub json: Value,
}

impl Intake {
    const fn partner(&self) -> Partner {
        self.kind.partner()
    }

    /// Checks the token and the size, and parses the body.
    ///
    /// # Errors
    /// The answer to give: 401, 413, or 400 for what is no JSON object (which is then in quarantine).
    pub async fn open(&self, request: &Request) -> Result<Opened, Response<Body>> {
        if !self.tokens.admit(&answer::path_parameter(request, "token")) {
            let none = "no token hash is configured, so that nobody is admitted";
            return Err(self.unauthorized(if self.tokens.is_empty() { none } else { "wrong token" }));
        }
        let bytes = answer::body(request);
        if bytes.len() > MAX_BODY_BYTES {
            tracing::warn!(kind = %self.kind, bytes = bytes.len(), "refused: the body is too large");
            return Err(self.refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 256 KiB"));
        }
        match wire::parse_object(bytes) {
            Ok(json) => Ok(Opened { text: String::from_utf8_lossy(bytes).into_owned(), json }),
            Err(problem) => Err(self.unreadable(bytes, &problem).await),
        }
    }

    /// Records a notification, enqueues its key unless it was dispatched before, and acknowledges it.
    pub async fn accept(&self, order_id: OrderId, opened: &Opened) -> Response<Body> {
        let key = NotificationKey {
            order: OrderKey { partner: self.partner(), order_id },
            kind: self.kind,
            digest: canonical_digest(&opened.json, &CHANGES_ON_RESEND),
        };
        let delivered = match self.table.record_delivery(&key, &opened.text, self.clock.now()).await {
            Ok(delivered) => delivered,
            Err(error) => {
                tracing::error!(notification = %key, %error, "not recorded: the partner must send again");
                return self.failed();
            }
        };
        if delivered == Delivered::AfterDispatch {
            tracing::info!(notification = %key, "acknowledged again: it was dispatched before");
            return self.acknowledged();
        }
        if let Err(error) = self.notifications.send(&key).await {
            tracing::error!(notification = %key, %error, "recorded, but not enqueued: the partner must send again");
            return self.failed();
        }
        let again = delivered == Delivered::Again;
        tracing::info!(notification = %key, again, "recorded, enqueued and acknowledged");
        self.acknowledged()
    }

    /// Keeps a body that could not be read and tells the partner what is wrong with it.
    pub async fn unreadable(&self, body: &[u8], problem: &WireError) -> Response<Body> {
        let problem = problem.to_string();
        if let Err(error) = self.table.quarantine(self.partner(), body, &problem, self.clock.now()).await {
            tracing::error!(kind = %self.kind, %error, "an unreadable body could not be kept: the partner must send again");
            return self.failed();
        }
        tracing::warn!(kind = %self.kind, problem, "refused and kept in quarantine");
        self.refusal(StatusCode::BAD_REQUEST, &problem)
    }

    /// Refuses a caller that is not who it should be; `why` is for the log only.
    #[must_use]
    pub fn unauthorized(&self, why: &str) -> Response<Body> {
        tracing::warn!(kind = %self.kind, why, "refused: not authentic");
        self.refusal(StatusCode::UNAUTHORIZED, "not authorized")
    }

    /// The answer when the table or the queue failed: the partner sends again.
    #[must_use]
    pub fn failed(&self) -> Response<Body> {
        self.refusal(StatusCode::INTERNAL_SERVER_ERROR, "could not be stored; send it again")
    }

    fn acknowledged(&self) -> Response<Body> {
        answer::raw(StatusCode::OK, self.partner().acknowledgement())
    }

    fn refusal(&self, status: StatusCode, message: &str) -> Response<Body> {
        answer::raw(status, self.partner().refusal(status, message))
    }
}
