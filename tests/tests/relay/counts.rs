//! The metrics that CloudWatch gets. The recorder is global to the process.

use std::time::Duration;

use relay_order_events::{StreamEvent, counts};
use relay_runtime::metrics;
use relay_tests::bodies::{flight, redemption, tsy};
use relay_tests::cloud::WireFault;
use relay_tests::relay::{Relay, TOP_SECRET_ID};
use serde_json::{Value, json};

fn lines(collector: &metrics_cloudwatch_embedded::Collector) -> Vec<Value> {
    let mut written = Vec::new();
    collector.flush(&mut written).unwrap();
    String::from_utf8(written).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn outcomes_are_counted_in_the_embedded_format_and_attention_is_measured() {
    let collector = metrics::start("relay-test").unwrap();
    counts::describe();
    let relay = Relay::new().await;
    let events = relay.followed().await;
    for (order, after) in [("P-1", 2_000), ("P-2", 500)] {
        relay.post_tsy(&tsy(order, "issued")).await;
        relay.clock.advance(Duration::from_millis(after));
        relay.put_order("tsy", order, &flight().replace("3021342134", order)).await;
        relay.run_until_idle().await;
    }
    let published = events.handle(StreamEvent { records: relay.cloud.changes() }).await.unwrap();
    counts::count(&published);
    let written = lines(collector);
    let of = |dimension: &str| written.iter().find(|line| !line[dimension].is_null()).unwrap();
    let call = of("Call");
    assert_eq!(call["Call"], "itinerary-postback");
    assert_eq!((&call["Succeeded"], &call["SecondsToSuccess"]), (&json!(2), &json!([2.0, 0.5])));
    let told = &call["_aws"]["CloudWatchMetrics"][0];
    assert_eq!((&told["Namespace"], &told["Dimensions"]), (&json!("ticket-relay/relay-test"), &json!([["Call"]])));
    assert!(
        told["Metrics"].as_array().unwrap().contains(&json!({"Name": "SecondsToSuccess", "Unit": "Seconds"})),
        "{told}"
    );
    let notification = of("Notification");
    assert_eq!((&notification["Received"], &notification["Dispatched"]), (&json!(2), &json!(2)));
    // Nothing is counted twice.
    assert_eq!(lines(collector), Vec::<Value>::new());

    relay.top_faults(json!([{"fault": "timeout_after_effect", "times": 1}]));
    let _accepted = relay.submit_and_decide("ticket-verify", Some("k"), &redemption(1, 0)).await;
    relay.run_until_idle().await;
    assert!(relay.sweep.measure().await);
    let written = lines(collector);
    assert_eq!(written.len(), 1, "{written:?}");
    assert_eq!(written[0]["NeedsPerson"], json!(1.0));
    assert_eq!(written[0]["SessionDaysLeft"], json!(366.0), "the secret says nothing about the session");
    assert_eq!(written[0]["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([[]]));
    // An operator's resolution is published, but is not counted as a success or refusal by TOP.
    let before = relay.cloud.changes().len();
    relay.resolve("ticket-verify", "k", r#"{"outcome": "succeeded"}"#).await;
    relay.run_until_idle().await;
    let published = events.handle(StreamEvent { records: relay.cloud.changes().split_off(before) }).await.unwrap();
    assert_eq!(published.len(), 1);
    counts::count(&published);
    assert!(lines(collector).iter().all(|line| line["Call"].is_null()));

    let account = |ends: &str| json!({"app_key": "1", "app_secret": "x", "session": "s", "session_expires_at": ends});
    let accounts = json!({"accounts": {"a": account("2026-03-01"), "b": account("2026-01-11 12:00:00")}});
    relay.put_secret(TOP_SECRET_ID, &accounts).await;
    relay.clock.advance(Duration::from_secs(24 * 3600));
    assert!(relay.sweep.measure().await);
    let days = lines(collector)[0]["SessionDaysLeft"].as_f64().unwrap();
    assert!((8.9..9.1).contains(&days), "{days} days until the first session expires");

    relay.cloud.order(WireFault::ServerError, 100, |sent| sent.operation == "Query");
    assert!(!relay.sweep.measure().await, "a failed measurement must not be written");
}
