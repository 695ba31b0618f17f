//! The cost of each step: requests, counted at the HTTP layer, and write units, from the items before and after.

use std::collections::BTreeMap;

use relay_tests::bodies::{flight, ship_call, tsy};
use relay_tests::cloud::Sent;
use relay_tests::relay::Relay;
use relay_tests::units::{self, Units};
use serde_json::Value;

fn costs(sent: &[Sent]) -> Vec<(&'static str, &str)> {
    sent.iter().map(|sent| (sent.service, sent.operation.as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn first_delivery_costs_one_dynamodb_and_one_sqs_request() {
    let relay = Relay::new().await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    assert_eq!(costs(&relay.cloud.take_sent()), [("dynamodb", "UpdateItem"), ("sqs", "SendMessage")]);
}

#[tokio::test(start_paused = true)]
async fn repeated_delivery_costs_the_same_as_the_first() {
    let relay = Relay::new().await;
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay.run_until_idle().await;
    relay.cloud.take_sent();
    relay.post_tsy(&tsy("P-1", "issued")).await;
    assert_eq!(costs(&relay.cloud.take_sent()), [("dynamodb", "UpdateItem"), ("sqs", "SendMessage")]);
}

#[tokio::test(start_paused = true)]
async fn call_costs_two_dynamodb_requests_and_one_to_top() {
    let relay = Relay::new().await;
    relay.submit_and_decide("ship-notify", None, &ship_call("1", true)).await;
    relay.run_until_idle().await; // the secret is read and cached
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
async fn dispatch_costs_a_query_two_writes_and_one_message() {
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
async fn messages_carry_only_keys() {
    let relay = Relay::new().await;
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay
        .put_order("tsy", "P-2", &flight().replace("\"tes_head_id\"", "\"account\":\"flights\",\"tes_head_id\""))
        .await;
    relay.post_tsy(&tsy("P-2", "issued")).await;
    relay.submit("ship-notify", None, &ship_call("38", true)).await;
    for _ in 0..3 {
        relay.poll("notifications").await;
    }
    for call in ["itinerary-postback", "ship-notify"] {
        relay.receive(call).await;
    }
    assert_eq!(relay.messages.lock().unwrap().len(), 6);
    for message in relay.messages.lock().unwrap().iter() {
        let key: serde_json::Value = serde_json::from_str(message).unwrap();
        let members: Vec<_> = key.as_object().unwrap().keys().cloned().collect();
        let expected: [&[&str]; 3] = [&["partner", "order_id"], &["call", "id"], &["partner", "order_id", "account"]];
        assert!(expected.iter().any(|expected| members == *expected), "{message}");
    }
}

/// Number of requests by operation.
type Requests = BTreeMap<String, usize>;

/// The cost of each step of an order: link, notification, dispatch and call.
async fn steps(relay: &Relay, partner: &str, order_id: &str, link: &str, push: &str) -> Vec<(Requests, Units)> {
    let queue = if partner == "tsy" { "itinerary-postback" } else { "ship-notify" };
    let mut steps = Vec::new();
    for step in ["link", "notification", "dispatch", "call"] {
        let messages = match step {
            "dispatch" => relay.receive("notifications").await,
            "call" => relay.receive(queue).await,
            _ => Vec::new(),
        };
        let before = relay.cloud.changes().len();
        relay.cloud.take_sent();
        match step {
            "link" => assert_eq!(relay.put_order(partner, order_id, link).await.0, 200),
            "notification" if partner == "tsy" => assert_eq!(relay.post_tsy(push).await.0, 200),
            "notification" => assert_eq!(relay.post_sctt(push).await.0, 200),
            "dispatch" => drop(relay.invoke("notifications", relay.event(&messages)).await),
            _ => drop(relay.invoke(queue, relay.event(&messages)).await),
        }
        let mut requests = Requests::new();
        for sent in relay.cloud.take_sent().iter().filter(|sent| sent.service != "secretsmanager") {
            let name = if sent.service == "top" { "TOP".to_owned() } else { sent.operation.clone() };
            *requests.entry(name).or_default() += 1;
        }
        steps.push((requests, units::written(&relay.cloud.changes()[before..])));
    }
    assert_eq!(relay.effects(), 1, "the call took effect");
    steps
}

/// The body of a sample event.
fn sample(event: &str) -> String {
    let event: Value = serde_json::from_str(event).unwrap();
    event["body"].as_str().unwrap().to_owned()
}

fn requests(of: &[(&str, usize)]) -> Requests {
    of.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// The requests of the four steps. They do not depend on the size of the bodies, as long as each fits into the record.
fn ordinary_requests() -> Vec<Requests> {
    vec![
        requests(&[("GetItem", 1), ("UpdateItem", 1)]),
        requests(&[("UpdateItem", 1), ("SendMessage", 1)]),
        requests(&[("Query", 1), ("UpdateItem", 1), ("PutItem", 1), ("SendMessage", 1)]),
        // GetItem reads the breaker, at most every five seconds.
        requests(&[("Query", 1), ("UpdateItem", 1), ("TOP", 1), ("PutItem", 1)]),
    ]
}

async fn assert_costs(partner: &str, order_id: &str, link: &str, push: &str, expected: [(usize, usize); 4]) {
    let relay = Relay::new().await;
    relay.followed().await;
    let (requests, units): (Vec<_>, Vec<_>) = steps(&relay, partner, order_id, link, push).await.into_iter().unzip();
    assert_eq!(requests, ordinary_requests());
    assert_eq!(units, expected.map(|(table, indexes)| Units { table, indexes }));
}

#[tokio::test(start_paused = true)]
async fn order_of_small_bodies_costs_nine_write_units_and_one_for_its_link() {
    assert_costs("tsy", "P-1", &flight(), &tsy("P-1", "issued"), [(1, 0), (1, 1), (2, 0), (4, 1)]).await;
}

#[tokio::test(start_paused = true)]
async fn demo_orders_cost_ten_and_fourteen_write_units_and_one_for_each_link() {
    let link = sample(include_str!("../../../events/order-link.json"));
    let push = sample(include_str!("../../../events/tsy-issue-notify.json"));
    assert_costs("tsy", "P-1001", &link, &push, [(1, 0), (1, 1), (3, 0), (4, 1)]).await;
    let link = sample(include_str!("../../../events/order-link-ship.json"));
    let push = sample(include_str!("../../../events/sctt-voucher-push.json"));
    assert_costs("sctt", "T-1", &link, &push, [(1, 0), (2, 1), (4, 0), (6, 1)]).await;
}

#[tokio::test(start_paused = true)]
async fn repeat_after_the_end_costs_a_delivery_and_a_dispatch() {
    let relay = Relay::new().await;
    relay.followed().await;
    steps(&relay, "tsy", "P-1", &flight(), &tsy("P-1", "issued")).await;
    let before = relay.cloud.changes().len();
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay.run_until_idle().await;
    assert_eq!(units::written(&relay.cloud.changes()[before..]), Units { table: 4, indexes: 2 });
    assert_eq!(relay.effects(), 1, "the call took effect once");
}
