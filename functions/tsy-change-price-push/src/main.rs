//! `POST /tsy/{token}/change-price-push`: TSY tells what the change of a flight costs.

use shared::notification::NotificationKind;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::endpoint::serve(NotificationKind::ChangePricePush).await
}
