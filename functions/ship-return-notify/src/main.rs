//! SQS `ship-return-notify`: sends the call `alitrip.ship.return.notify`.

use relay_types::call::CallKind;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    relay_sender::serve(CallKind::ShipReturnNotify).await
}
