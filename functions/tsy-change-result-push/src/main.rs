//! `POST /tsy/{token}/change-result-push`: TSY reports the result of a flight change.

use relay_types::notification::NotificationKind;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    relay_receiver::serve(NotificationKind::ChangeResultPush).await
}
