//! `POST /sctt/{token}/voucher-push`: SCTT tells an order's status, and its vouchers once it is booked.

use lambda_http::{Body, Request, Response};
use shared::intake::Intake;
use shared::partner::authentication::{ScttChecks, ScttSecret};
use shared::partner::sctt::VoucherPush;
use shared::secret::CachedSecret;

/// What the endpoint checks and uses.
#[derive(Debug)]
pub struct Endpoint {
    /// Where notifications go.
    pub intake: Intake,
    /// What SCTT must show beside its token.
    pub checks: ScttChecks,
    /// SCTT's signing secret, where signatures are checked.
    pub secret: Option<CachedSecret<ScttSecret>>,
}

impl Endpoint {
    /// Records the notification, enqueues its key, and acknowledges it in SCTT's shape.
    pub async fn handle(&self, request: &Request) -> Response<Body> {
        let opened = match self.intake.open(request).await {
            Ok(opened) => opened,
            Err(answer) => return answer,
        };
        let (order_id, push) = match VoucherPush::from_json(&opened.json) {
            Ok(read) => read,
            Err(problem) => return self.intake.unreadable(opened.text.as_bytes(), &problem).await,
        };
        let secret = match &self.secret {
            None => None,
            Some(secret) => match secret.get().await {
                Ok(secret) => Some(secret.secret),
                Err(error) => {
                    tracing::error!(%error, configuration_fault = true, "a signature could not be checked: the partner must send again");
                    return self.intake.failed();
                }
            },
        };
        let now = self.intake.clock.now();
        match self.checks.check(&push, &opened.json, secret.as_ref(), now) {
            Ok(()) => self.intake.accept(order_id, &opened).await,
            Err(why) => self.intake.unauthorized(&why.to_string()),
        }
    }
}
