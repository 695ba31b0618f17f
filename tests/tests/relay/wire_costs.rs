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
async fn a_resend_after_dispatch_costs_one_dynamodb_request() {
    let relay = Relay::new().await;
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay.settle().await;
    relay.cloud.take_sent();
    relay.post_tsy(&tsy("P-1", "issued")).await;
    assert_eq!(costs(&relay.cloud.take_sent()), [("dynamodb", "UpdateItem")]);
}

#[tokio::test(start_paused = true)]
async fn an_outbound_call_costs_two_dynamodb_requests_and_one_to_top() {
    let relay = Relay::new().await;
    relay.submit("ship-notify", None, &ship_call("1", true)).await;
    relay.settle().await; // the secret is read and kept
    relay.submit("ship-notify", None, &ship_call("2", true)).await;
    let messages = relay.receive("ship-notify").await;
    relay.cloud.take_sent();
    let response = relay.invoke("ship-notify", relay.event(&messages)).await;
    assert!(response.batch_item_failures.is_empty());
    let sent = relay.cloud.take_sent();
    assert_eq!(
        costs(&sent),
        [("dynamodb", "UpdateItem"), ("top", "http://top.test/router/rest"), ("dynamodb", "UpdateItem")]
    );
}

#[tokio::test(start_paused = true)]
async fn dispatching_costs_a_query_two_writes_of_the_facts_one_of_the_links_expiry_and_one_message() {
    let relay = Relay::new().await;
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    let messages = relay.receive("notifications").await;
    relay.cloud.take_sent();
    relay.invoke("notifications", relay.event(&messages)).await;
    let sent = relay.cloud.take_sent();
    let expected = [
        ("dynamodb", "Query"),
        ("dynamodb", "UpdateItem"),
        ("dynamodb", "PutItem"),
        ("sqs", "SendMessage"),
        ("dynamodb", "UpdateItem"),
    ];
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
        assert!(members == ["partner", "order_id", "kind", "digest"] || members == ["call", "key"], "{message}");
    }
}
