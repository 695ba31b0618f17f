//! SQS `itinerary-postback`: sends the call `alibaba.happytrip.flight.order.itinerary.postback`.

use relay_types::call::CallKind;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    relay_sender::serve(CallKind::ItineraryPostback).await
}
