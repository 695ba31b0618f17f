//! `POST /sctt/{token}/cancel-push`: SCTT reports the results of cancellations.

use relay_types::notification::NotificationKind;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    relay_receiver::serve(NotificationKind::CancelPush).await
}
