//! SQS `ticket-refund-notify`: sends the call `taobao.travel.ticket.order.refund`.

use relay_types::call::CallKind;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    relay_sender::serve(CallKind::TicketRefundNotify).await
}
