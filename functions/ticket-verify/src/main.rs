//! SQS `ticket-verify`: sends the call `taobao.travel.ticket.order.verify`.

use relay_types::call::CallKind;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    relay_sender::serve(CallKind::TicketVerify).await
}
