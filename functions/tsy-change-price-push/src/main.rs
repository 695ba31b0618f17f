//! `POST /tsy/{token}/change-price-push`: TSY tells what the change of a flight costs.

use relay_types::notification::NotificationKind;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    relay_receiver::serve(NotificationKind::ChangePricePush).await
}
