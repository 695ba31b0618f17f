//! SQS `ticket-verify`: makes the call `taobao.travel.ticket.order.verify`.

use shared::call::CallKind;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::delivery::serve(CallKind::TicketVerify).await
}
