//! SQS `itinerary-postback`: makes the call `alibaba.happytrip.flight.order.itinerary.postback`.

use shared::call::CallKind;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    shared::sender::serve(CallKind::ItineraryPostback).await
}
