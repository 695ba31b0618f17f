//! SQS `ship-notify`: makes the call `alitrip.ship.order.notify`.

use shared::call::CallKind;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::sender::serve(CallKind::ShipNotify).await
}
