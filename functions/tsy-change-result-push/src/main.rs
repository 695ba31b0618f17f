//! `POST /tsy/{token}/change-result-push`: TSY tells what became of the change of a flight.

use relay_types::notification::NotificationKind;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    relay_receiver::serve(NotificationKind::ChangeResultPush).await
}
