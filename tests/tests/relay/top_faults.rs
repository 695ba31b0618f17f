//! The outcome of a call for every way in which TOP can fail.

use std::time::Duration;

use relay_tests::bodies::{redemption, ship_call};
use relay_tests::cloud::WireFault;
use relay_tests::relay::{APP_SECRET, Relay, SESSION, TOP_SECRET_ID};
use relay_types::call::CallKind;
use serde_json::{Value, json};

/// Submits a ship notification that meets this fault, and polls its queue once.
async fn ship_once(fault: Value) -> (Relay, Value) {
    let relay = Relay::new().await;
    relay.top_faults(json!([fault]));
    relay.submit_and_decide("ship-notify", None, &ship_call("38", true)).await;
    relay.poll("ship-notify").await;
    let record = relay.call(CallKind::ShipNotify, "38").await;
    (relay, record)
}

async fn verify_once(fault: Value, write_off_type: i64) -> (Relay, Value) {
    let relay = Relay::new().await;
    relay.top_faults(json!([fault]));
    relay.submit_and_decide("ticket-verify", Some("r"), &redemption(7, write_off_type)).await;
    relay.poll("ticket-verify").await;
    let record = relay.call(CallKind::TicketVerify, "r").await;
    (relay, record)
}

fn unknown_outcomes() -> Vec<Value> {
    vec![
        json!({"fault": "timeout_before_effect"}),
        json!({"fault": "timeout_after_effect"}),
        json!({"fault": "http_500"}),
        json!({"fault": "http_500", "after_effect": true}),
        json!({"fault": "not_json"}),
        json!({"fault": "not_json", "after_effect": true}),
        json!({"fault": "error", "code": 15, "sub_code": "isp.remote-service-error"}),
        json!({"fault": "error", "code": 15, "sub_code": "isp.top-remote-connection-timeout"}),
        json!({"fault": "error", "code": 50, "sub_code": "isp.http-read-timeout"}),
        json!({"fault": "error", "code": 15, "sub_code": "isp.unknown-error"}),
        json!({"fault": "error", "code": 10}),
    ]
}

#[tokio::test(start_paused = true)]
async fn ship_notification_of_unknown_outcome_is_resent_and_takes_effect_once() {
    for fault in unknown_outcomes() {
        let (relay, record) = ship_once(fault.clone()).await;
        assert_eq!(
            (record["state"].as_str().unwrap(), record["unsettled"].as_i64().unwrap()),
            ("pending", 1),
            "{fault}"
        );
        relay.run_until_idle().await;
        let record = relay.call(CallKind::ShipNotify, "38").await;
        assert_eq!(
            (record["state"].as_str().unwrap(), relay.ledger().len(), relay.effects()),
            ("succeeded", 2, 1),
            "{fault}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn redemption_of_unknown_outcome_is_never_resent_and_needs_attention() {
    for fault in unknown_outcomes() {
        let (relay, record) = verify_once(fault.clone(), 0).await;
        assert_eq!(record["state"], "unknown", "{fault}");
        relay.run_until_idle().await;
        assert_eq!(relay.ledger().len(), 1, "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn total_of_unknown_outcome_is_resent() {
    for fault in unknown_outcomes() {
        let (relay, record) = verify_once(fault.clone(), 1).await;
        assert_eq!(record["state"], "pending", "{fault}");
        relay.run_until_idle().await;
        assert_eq!((relay.ledger().len(), relay.effects()), (2, 1), "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn redemption_that_top_did_not_execute_is_resent() {
    for (code, sub_code) in [(7, "accesscontrol.limited-by-api-access-count"), (30, ""), (31, "")] {
        let fault = json!({"fault": "error", "code": code, "sub_code": sub_code});
        let (relay, record) = verify_once(fault, 0).await;
        assert_eq!(
            (record["state"].as_str().unwrap(), record["unsettled"].as_i64().unwrap()),
            ("pending", 0),
            "{code}"
        );
        relay.run_until_idle().await;
        assert_eq!((relay.ledger().len(), relay.effects()), (2, 1), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn broken_connection_leaves_the_outcome_unknown() {
    let relay = Relay::new().await;
    relay.cloud.order(WireFault::AnswerLost, 1, |sent| sent.service == "top");
    relay.submit_and_decide("ticket-verify", Some("r"), &redemption(7, 0)).await;
    relay.poll("ticket-verify").await;
    assert_eq!(relay.call(CallKind::TicketVerify, "r").await["state"], "unknown");
}

#[tokio::test(start_paused = true)]
async fn refusal_is_recorded_and_its_queue_message_is_deleted() {
    for (fault, message) in [
        (json!({"fault": "business_failure", "code": "F1", "msg": "no such order"}), "no such order"),
        (json!({"fault": "error", "code": 50, "sub_code": "isv.invalid-parameter", "sub_msg": "非法参数"}), "非法参数"),
        (json!({"fault": "error", "code": 41, "msg": "Invalid arguments"}), "Invalid arguments"),
    ] {
        let (relay, record) = ship_once(fault).await;
        assert_eq!(record["state"], "refused");
        assert_eq!(record["last_error"]["message"], message);
        assert_eq!(relay.poll("ship-notify").await, (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn call_that_top_says_not_to_retry_is_not_resent() {
    for sub_code in ["isp.null-pointer-exception", "isp.top-parse-error", "isp.top-mapping-parse-error:x"] {
        let (relay, record) = ship_once(json!({"fault": "error", "code": 15, "sub_code": sub_code})).await;
        assert_eq!(record["state"], "unknown");
        relay.run_until_idle().await;
        assert_eq!(relay.ledger().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn renewed_session_is_read_at_once() {
    let relay = Relay::new().await;
    let secret = |session: &str| json!({"app_key": "12345678", "app_secret": APP_SECRET, "session": session});
    relay.put_secret(TOP_SECRET_ID, &secret("expired")).await;
    relay.submit_and_decide("ship-notify", None, &ship_call("38", true)).await;
    relay.poll("ship-notify").await;
    assert_eq!(relay.effects(), 0);
    assert_eq!(relay.call(CallKind::ShipNotify, "38").await["last_error"]["code"], 27);
    // Within the five minutes for which the expired session is cached.
    relay.put_secret(TOP_SECRET_ID, &secret(SESSION)).await;
    relay.clock.advance(Duration::from_secs(60));
    relay.poll("ship-notify").await;
    assert_eq!(relay.call(CallKind::ShipNotify, "38").await["state"], "succeeded");
    assert_eq!(relay.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn call_is_not_claimed_without_credentials() {
    let relay = Relay::new().await;
    relay.cloud.order(WireFault::ServerError, 3, |sent| sent.service == "secretsmanager");
    relay.submit_and_decide("ticket-verify", Some("r"), &redemption(7, 0)).await;
    assert_eq!(relay.poll("ticket-verify").await, (1, 1));
    let record = relay.call(CallKind::TicketVerify, "r").await;
    assert_eq!((record["state"].as_str().unwrap(), record["attempt"].as_i64().unwrap()), ("pending", 0));
    relay.run_until_idle().await;
    assert_eq!(relay.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_recorded_and_has_a_new_timestamp() {
    let (relay, _) = ship_once(json!({"fault": "timeout_after_effect"})).await;
    relay.run_until_idle().await;
    let record = relay.call(CallKind::ShipNotify, "38").await;
    let history = record["history"].as_array().unwrap();
    let outcomes: Vec<_> =
        history.iter().map(|one| (one["attempt"].as_i64(), one["outcome"].as_str().unwrap())).collect();
    assert_eq!(outcomes, [(Some(1), "no_answer"), (Some(2), "succeeded")]);
    let ledger = relay.ledger();
    assert_ne!(ledger[0].params["timestamp"], ledger[1].params["timestamp"]);
    assert_ne!(ledger[0].params["sign"], ledger[1].params["sign"]);
    assert!(record["response"]["request_id"].is_string());
}

#[tokio::test(start_paused = true)]
async fn refusal_after_an_attempt_that_may_have_taken_effect_leaves_the_call_unknown() {
    let relay = Relay::new().await;
    relay.top_faults(json!([{"fault": "timeout_after_effect"}, {"fault": "business_failure"}]));
    relay.submit_and_decide("ticket-verify", Some("r"), &redemption(7, 1)).await;
    relay.run_until_idle().await;
    let record = relay.call(CallKind::TicketVerify, "r").await;
    assert_eq!((record["state"].as_str().unwrap(), relay.effects()), ("unknown", 1));
    // No other request can replace it, because that would redeem again.
    assert_eq!(relay.submit_and_decide("ticket-verify", Some("r"), &redemption(7, 0)).await.status(), 422);
    // TOP repeats a ship order's first success. But TOP may refuse before it looks, and the first request may still
    // arrive.
    let (ship, _) = ship_once(json!({"fault": "timeout_after_effect"})).await;
    ship.top_faults(json!([{"fault": "business_failure"}]));
    ship.run_until_idle().await;
    assert_eq!(ship.call(CallKind::ShipNotify, "38").await["state"], "unknown");
}
