//! The log fields that the template's metric filters count. Its alarms fire on these counts.

use std::time::Duration;

use relay_tests::bodies::{flight, redemption, sctt, ship, tsy};
use relay_tests::cloud::WireFault;
use relay_tests::log::Captured;
use relay_tests::relay::Relay;
use serde_json::{Value, json};
use tracing_subscriber::prelude::*;

/// Returns what CloudWatch would count in the lines since the last call: the values of `failed_attempt`, and the number
/// of configuration faults.
fn counted(log: &Captured, seen: &mut usize) -> (Vec<u64>, usize) {
    let text = log.text();
    let lines: Vec<Value> = text[*seen..].lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    *seen = text.len();
    let failed = lines.iter().filter_map(|line| line["failed_attempt"].as_u64()).collect();
    (failed, lines.iter().filter(|line| line["configuration_fault"] == json!(true)).count())
}

#[test]
fn metric_filters_match_the_logged_fields() {
    let template = include_str!("../../../template.yaml");
    let filters = |pattern: &str| template.matches(&format!("FilterPattern: '{pattern}'")).count();
    assert_eq!(filters("{ $.failed_attempt > 0 }"), 1);
    assert_eq!(template.matches("MetricValue: $.failed_attempt").count(), 1);
    assert_eq!(filters("{ $.configuration_fault IS TRUE }"), 1);
    // Both filters read the one log group, and `Globals` sends every function's log there.
    assert_eq!(template.matches("LogGroupName: !Ref FunctionLogGroup\n").count(), 2);
    assert_eq!(template.matches("\n    LoggingConfig: { LogGroup: !Ref FunctionLogGroup }\n").count(), 1);
    assert_eq!(template.matches("LoggingConfig:").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_failed_attempts_and_configuration_faults_are_counted_even_at_error_level() {
    let log = Captured::default();
    let writer = log.clone();
    // The functions' log format, at the least verbose level.
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(move || writer.clone());
    let lines = lines.with_filter(relay_runtime::logs::filter(tracing::Level::ERROR));
    let _guard = tracing_subscriber::registry().with(lines).set_default();
    let relay = Relay::new().await;
    let seen = &mut 0;

    // Succeeded, waiting, refused and needing attention are outcomes, not failures.
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay.run_until_idle().await;
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.post_tsy(&tsy("P-2", "rejected")).await;
    relay.top_faults(json!([{"fault": "business_failure", "match": "38", "times": 1}]));
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await;
    relay.run_until_idle().await;
    assert_eq!(counted(&log, seen), (vec![], 0), "{}", log.text());

    // Obeying a ban is not a failure.
    let redeem = async |key: &str, order_id| {
        let _accepted = relay.submit_and_decide("ticket-verify", Some(key), &redemption(order_id, 1)).await;
        relay.run_until_idle().await;
    };
    relay.top_faults(json!([{"fault": "error", "code": 7, "sub_code": "accesscontrol.limited-by-api-access-count",
        "sub_msg": "This ban will last for 3 more seconds", "times": 1}]));
    redeem("banned", 1).await;
    assert_eq!(counted(&log, seen), (vec![], 0), "{}", log.text());

    // Three unreadable responses: each failed attempt is counted with its number.
    relay.top_faults(json!([{"fault": "not_json", "times": 3}]));
    redeem("no-answer", 2).await;
    assert_eq!(counted(&log, seen), (vec![1, 2, 3], 0), "{}", log.text());

    // Lambda does not count this panic, because it affects only one message of a batch.
    relay.cloud.order(WireFault::Panic, 1, |sent| sent.service == "top");
    redeem("panic", 3).await;
    assert_eq!(counted(&log, seen).0, [1], "{}", log.text());

    // TOP refuses the credentials. The call is held back until the next trial, which is not a failure of its message.
    relay.top_faults(json!([{"fault": "error", "code": 27, "times": 1}]));
    redeem("expired", 4).await;
    assert_eq!(counted(&log, seen), (vec![], 1), "{}", log.text());

    // DynamoDB fails while a call is claimed, and while a notification is decided.
    relay.cloud.order(WireFault::ServerError, 3, |sent| sent.body.contains("s_owner"));
    redeem("unclaimed", 5).await;
    assert!(!counted(&log, seen).0.is_empty(), "{}", log.text());
    relay.post_tsy(&tsy("P-3", "issued")).await;
    relay.cloud.order(WireFault::ServerError, 3, |sent| sent.operation == "Query");
    relay.clock.advance(Duration::from_secs(1));
    relay.run_until_idle().await;
    assert_eq!(counted(&log, seen).0, [1], "{}", log.text());
}
