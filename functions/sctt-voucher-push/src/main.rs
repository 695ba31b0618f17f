//! `POST /sctt/{token}/voucher-push`: SCTT reports an order's status, and its vouchers once it is booked.

use relay_types::notification::NotificationKind;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    relay_receiver::serve(NotificationKind::VoucherPush).await
}
