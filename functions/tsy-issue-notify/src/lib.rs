//! `POST /tsy/{token}/issue-notify`: TSY tells that a flight's tickets were issued, or were not.

use lambda_http::{Body, Request, Response};
use shared::intake::Intake;
use shared::partner::tsy::IssueNotify;

/// Records the notification, enqueues its key, and acknowledges it in TSY's shape.
pub async fn handle(intake: &Intake, request: &Request) -> Response<Body> {
    let opened = match intake.open(request).await {
        Ok(opened) => opened,
        Err(answer) => return answer,
    };
    match IssueNotify::from_json(&opened.json) {
        Ok((order_id, _)) => intake.accept(order_id, &opened).await,
        Err(problem) => intake.unreadable(opened.text.as_bytes(), &problem).await,
    }
}
