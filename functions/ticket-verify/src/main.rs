//! SQS `ticket-verify`: makes the call `taobao.travel.ticket.order.verify`.

use shared::call::CallKind;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::sender::serve(CallKind::TicketVerify).await
}
