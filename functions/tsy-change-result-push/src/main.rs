//! `POST /tsy/{token}/change-result-push`: TSY tells what became of the change of a flight.

use shared::notification::NotificationKind;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::endpoint::serve(NotificationKind::ChangeResultPush).await
}
