//! `POST /sctt/{token}/cancel-push`: SCTT tells what became of cancellations.

use shared::notification::NotificationKind;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::endpoint::serve(NotificationKind::CancelPush).await
}
