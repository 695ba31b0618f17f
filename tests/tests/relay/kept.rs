//! What a record keeps, and for how long.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use relay_tests::bodies::{flight, redemption, sctt, ship, ship_call, tsy};
use relay_tests::relay::Relay;
use relay_types::time::Clock;
use serde_json::json;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// When the items of a partition expire, in seconds since the epoch. Leaves out items that do not expire.
async fn expiries(relay: &Relay, pk: &str) -> Vec<(String, i64)> {
    let query = relay.dynamodb.query().table_name("relay").key_condition_expression("pk = :pk");
    let found = query.expression_attribute_values(":pk", AttributeValue::S(pk.to_owned())).send().await.unwrap();
    let expiry = |item: &std::collections::HashMap<String, AttributeValue>| {
        Some((item["sk"].as_s().unwrap().clone(), item.get("expires_at")?.as_n().unwrap().parse().unwrap()))
    };
    found.items().iter().filter_map(expiry).collect()
}

#[tokio::test(start_paused = true)]
async fn bodies_and_lane_stay_as_long_as_an_order_that_waited_for_months() {
    let relay = Relay::new().await;
    relay.post_sctt(&sctt("T-1", 2, 40).to_string()).await;
    relay.run_until_idle().await;
    relay.clock.advance(100 * DAY);
    relay.put_order("sctt", "T-1", &ship("38", 40)).await;
    relay.run_until_idle().await;
    assert_eq!(relay.effects(), 1);
    let items = expiries(&relay, "order#sctt#T-1").await;
    let record = items.iter().find(|(sk, _)| sk == "record").unwrap().1;
    assert!(items.len() >= 3, "record, push, request: {items:?}");
    for (sk, expires_at) in items.iter().chain(&expiries(&relay, "lane#ship-notify#38").await) {
        assert!(*expires_at >= record, "{sk} expires {} s before its record", record - expires_at);
    }
}

#[tokio::test(start_paused = true)]
async fn key_of_a_total_stays_as_long_as_its_record() {
    let relay = Relay::new().await;
    relay.submit_and_decide("ticket-verify", Some("K"), &redemption(7, 1)).await;
    relay.clock.advance(100 * DAY);
    relay.run_until_idle().await;
    assert_eq!(relay.effects(), 1);
    let record = expiries(&relay, "submission#ticket-verify#total#7").await[0].1;
    let pointer = expiries(&relay, "submission#ticket-verify#key#K").await[0].1;
    assert!(pointer >= record, "the key expires {} s before the record", record - pointer);
}

#[tokio::test(start_paused = true)]
async fn bodies_of_an_order_that_still_waits_are_renewed_a_month_before_they_expire() {
    let relay = Relay::new().await;
    relay.post_sctt(&sctt("T-1", 2, 40).to_string()).await;
    relay.run_until_idle().await;
    // Bodies are kept for the retention of 180 days and 60 more.
    relay.clock.advance((180 + 60 - 29) * DAY);
    relay.sweep().await.unwrap();
    relay.run_until_idle().await;
    let now = Clock::now(&*relay.clock).epoch_seconds();
    let items = expiries(&relay, "order#sctt#T-1").await;
    let days: Vec<_> = items.iter().map(|(_, expires_at)| (expires_at - now) / 86_400).collect();
    assert_eq!(days, [180 + 60], "the record has no expiry, its body has");
}

#[tokio::test(start_paused = true)]
async fn history_tells_who_replaced_a_link_and_what_the_lane_was_told_before() {
    let relay = Relay::new().await;
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay.run_until_idle().await;
    relay.put_order("tsy", "P-1", &flight().replace("23142134", "23142135")).await;
    relay.run_until_idle().await;
    assert_eq!(relay.effects(), 2);
    let order = relay.order("tsy", "P-1").await;
    let timeline = order["timeline"].as_array().unwrap();
    let replaced = timeline.iter().find(|event| event["event"] == "link_replaced").unwrap();
    assert!(replaced["detail"].as_str().unwrap().contains("user/booking-system"), "{replaced}");
    let history = relay.record("order#tsy#P-1").await.history;
    let told: Vec<_> = history.iter().filter(|entry| entry.what == "succeeded").collect();
    assert_eq!((told.len(), told[0].generation), (1, 1), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn history_tells_why_a_withdrawn_call_had_not_been_sent() {
    let relay = Relay::new().await;
    relay.top_faults(
        json!([{"fault": "error", "code": 7, "sub_msg": "This ban will last for 600 more seconds", "times": 1}]),
    );
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await;
    relay.poll("notifications").await;
    relay.poll("ship-notify").await;
    relay.put_order("sctt", "T-1", &ship("39", 1)).await;
    relay.poll("notifications").await;
    let history = relay.record("order#sctt#T-1").await.history;
    let withdrawn = history.iter().find(|entry| entry.what == "withdrawn_before_sent").unwrap();
    assert_eq!(withdrawn.failure.as_ref().and_then(|failure| failure.code), Some(7));
}

#[tokio::test(start_paused = true)]
async fn newest_notifications_stay_and_older_ones_are_counted() {
    let relay = Relay::new().await;
    for n in 1..=135 {
        relay.post_tsy(&tsy("P-1", &format!("kind-{n}"))).await;
    }
    relay.run_until_idle().await;
    let record = relay.record("order#tsy#P-1").await;
    assert_eq!((record.notifications.len(), record.summarised), (130, 5));
    let mut numbers: Vec<_> = record.notifications.values().map(|one| one.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (6..=135).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn refused_call_is_not_enqueued_again() {
    let relay = Relay::new().await;
    relay.top_faults(json!([{"fault": "business_failure", "times": 1}]));
    relay.submit_and_decide("ship-notify", None, &ship_call("38", true)).await;
    relay.run_until_idle().await;
    let (status, body) = relay.instruct_call("dismiss", "ship-notify", "38", r#"{"note":"told by telephone"}"#).await;
    assert_eq!(status, 202, "{body}");
    relay.poll("notifications").await;
    assert!(relay.receive("ship-notify").await.is_empty(), "the queue has no message");
}

#[tokio::test(start_paused = true)]
async fn push_without_addresses_leads_to_a_call_without_them() {
    let relay = Relay::new().await;
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await;
    relay.run_until_idle().await;
    let sent = &relay.ledger()[0].params;
    assert!(sent.values().any(|value| value.contains("alitrip_order_id")));
    assert!(!sent.values().any(|value| value.contains("order_attr")), "{sent:?}");
}
