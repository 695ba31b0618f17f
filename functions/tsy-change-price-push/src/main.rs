//! `POST /tsy/{token}/change-price-push`: TSY reports the price of a flight change.

use relay_types::notification::NotificationKind;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    relay_receiver::serve(NotificationKind::ChangePricePush).await
}
