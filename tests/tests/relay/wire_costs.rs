//! What each step costs, counted in requests at the HTTP layer.

use relay_tests::bodies::{flight, ship_call, tsy};
use relay_tests::cloud::Sent;
use relay_tests::relay::Relay;

fn costs(sent: &[Sent]) -> Vec<(&'static str, &str)> {
    sent.iter().map(|sent| (sent.service, sent.operation.as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_first_delivery_costs_one_dynamodb_and_one_sqs_request() {
    let relay = Relay::new().await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    assert_eq!(costs(&relay.cloud.take_sent()), [("dynamodb", "UpdateItem"), ("sqs", "SendMessage")]);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_costs_what_a_first_delivery_costs() {
    let relay = Relay::new().await;
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay.settle().await;
    relay.cloud.take_sent();
    relay.post_tsy(&tsy("P-1", "issued")).await;
    assert_eq!(costs(&relay.cloud.take_sent()), [("dynamodb", "UpdateItem"), ("sqs", "SendMessage")]);
}

#[tokio::test(start_paused = true)]
async fn an_outbound_call_costs_two_dynamodb_requests_and_one_to_top() {
    let relay = Relay::new().await;
    relay.submit_and_decide("ship-notify", None, &ship_call("1", true)).await;
    relay.settle().await; // the secret is read and kept
    relay.submit_and_decide("ship-notify", None, &ship_call("2", true)).await;
    let messages = relay.receive("ship-notify").await;
    relay.cloud.take_sent();
    let response = relay.invoke("ship-notify", relay.event(&messages)).await;
    assert!(response.batch_item_failures.is_empty());
    let sent = relay.cloud.take_sent();
    assert_eq!(
        costs(&sent),
        [("dynamodb", "UpdateItem"), ("top", "http://top.test/router/rest"), ("dynamodb", "PutItem")]
    );
}

#[tokio::test(start_paused = true)]
async fn dispatch_costs_a_query_the_lane_the_record_and_one_message() {
    let relay = Relay::new().await;
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    let messages = relay.receive("notifications").await;
    relay.cloud.take_sent();
    relay.invoke("notifications", relay.event(&messages)).await;
    let sent = relay.cloud.take_sent();
    let expected = [("dynamodb", "Query"), ("dynamodb", "UpdateItem"), ("dynamodb", "PutItem"), ("sqs", "SendMessage")];
    assert_eq!(costs(&sent), expected);
}

#[tokio::test(start_paused = true)]
async fn messages_carry_keys_and_nothing_else() {
    let relay = Relay::new().await;
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay.settle().await;
    for message in relay.messages.lock().unwrap().iter() {
        let key: serde_json::Value = serde_json::from_str(message).unwrap();
        let members: Vec<_> = key.as_object().unwrap().keys().cloned().collect();
        assert!(members == ["partner", "order_id"] || members == ["call", "id"], "{message}");
    }
}
