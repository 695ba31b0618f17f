//! Calls are held back together while TOP refuses them all, by every instance, and continue together.

use std::time::Duration;

use relay_tests::bodies::{flight, redemption, ship_call, tsy};
use relay_tests::cloud::WireFault;
use relay_tests::relay::{APP_SECRET, Relay, SESSION, TOP_SECRET_ID};
use relay_types::breaker::Cause;
use relay_types::call::CallKind;
use relay_types::time::{Clock, EpochMillis};
use serde_json::{Value, json};

fn ban(seconds: u64) -> Value {
    json!({"fault": "error", "code": 7, "sub_code": "accesscontrol.limited-by-api-access-count",
        "sub_msg": format!("This ban will last for {seconds} more seconds"), "times": 1})
}

async fn submit(relay: &Relay, ids: std::ops::Range<u32>) {
    for id in ids {
        relay.submit_and_decide("ship-notify", None, &ship_call(&id.to_string(), true)).await;
    }
}

/// Polls the queue of ship notifications once a second until `until`.
async fn poll_until(relay: &Relay, until: EpochMillis) {
    while relay.clock.now() < until {
        relay.poll_in_time("ship-notify").await;
        relay.clock.advance(Duration::from_secs(1));
    }
}

/// Polls once a second until all `calls` took effect, and returns how many seconds that took.
async fn seconds_to_effects(relay: &Relay, calls: usize) -> u64 {
    let begin = relay.clock.now();
    while relay.effects() < calls {
        relay.poll_in_time("ship-notify").await;
        relay.clock.advance(Duration::from_secs(1));
        assert!(begin.until(relay.clock.now()) < Duration::from_secs(3600), "{} took effect", relay.effects());
    }
    begin.until(relay.clock.now()).as_secs()
}

#[tokio::test(start_paused = true)]
async fn ban_holds_back_all_calls_of_every_instance_until_it_ends() {
    let relay = Relay::new().await;
    relay.top_faults(json!([ban(300)]));
    submit(&relay, 38..39).await;
    relay.poll_in_time("ship-notify").await;
    let ends = relay.clock.now().plus(Duration::from_secs(300));
    let breaker = relay.breaker(CallKind::ShipNotify).await.unwrap();
    assert_eq!((breaker.cause, breaker.until), (Cause::Limit, ends));
    assert_eq!(relay.call(CallKind::ShipNotify, "38").await["state"], "pending");
    // An instance that knows nothing yet.
    relay.sender(CallKind::ShipNotify).breakers.forget();
    submit(&relay, 39..42).await;
    poll_until(&relay, EpochMillis(ends.0 - 1000)).await;
    assert_eq!(relay.ledger().len(), 1, "nothing is sent during the ban");
    // Other calls are not banned.
    relay.submit_and_decide("ticket-verify", Some("r"), &redemption(7, 0)).await;
    relay.poll("ticket-verify").await;
    assert_eq!(relay.effects(), 1);
    assert!(seconds_to_effects(&relay, 5).await <= 120, "all continue soon after the ban");
    assert_eq!(relay.store.breakers(relay.clock.now()).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn ban_is_told_to_others_within_five_seconds() {
    let relay = Relay::new().await;
    submit(&relay, 1..2).await;
    relay.poll("ship-notify").await;
    // Another instance is told of a ban; this one has just read that there is none.
    let failure = relay_types::failure::Failure::of("banned");
    let ends = relay.clock.now().plus(Duration::from_secs(600));
    relay.trip(CallKind::ShipNotify, &failure, ends).await;
    relay.clock.advance(Duration::from_millis(4_999));
    submit(&relay, 2..3).await;
    relay.poll("ship-notify").await;
    assert_eq!(relay.ledger().len(), 2, "still relies on what it read");
    relay.clock.advance(Duration::from_millis(1));
    submit(&relay, 3..4).await;
    relay.poll("ship-notify").await;
    assert_eq!(relay.ledger().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn breaker_is_read_at_most_once_in_five_seconds_and_written_only_when_it_changes() {
    let relay = Relay::new().await;
    let of_breakers = || relay.cloud.take_sent().iter().filter(|sent| sent.body.contains("\"breaker\"")).count();
    submit(&relay, 1..30).await;
    of_breakers();
    for _ in 0..3 {
        relay.poll("ship-notify").await;
        relay.clock.advance(Duration::from_secs(1));
    }
    assert_eq!((relay.effects(), of_breakers()), (29, 1), "one read for three batches within five seconds");
}

#[tokio::test(start_paused = true)]
async fn daily_quota_without_a_time_lasts_until_midnight_in_china() {
    let relay = Relay::new().await;
    relay.top_faults(json!([{"fault": "error", "code": 7, "sub_code": "accesscontrol.limited-by-app-access-count",
        "sub_msg": "App Call Limited"}]));
    submit(&relay, 38..39).await;
    relay.poll("ship-notify").await;
    let breaker = relay.breaker(CallKind::ShipNotify).await.unwrap();
    assert_eq!(breaker.until.china_time(), "2026-01-02 00:00:00");
}

#[tokio::test(start_paused = true)]
async fn one_call_a_minute_is_tried_while_the_deployment_is_at_fault_and_all_continue_within_two_minutes() {
    for code in [11, 12, 13, 22, 24, 25, 26, 27, 28, 29] {
        let relay = Relay::new().await;
        relay.top_faults(json!([{"fault": "error", "code": code, "times": 1000}]));
        submit(&relay, 100..120).await;
        let begin = relay.clock.now();
        poll_until(&relay, begin.plus(Duration::from_secs(600))).await;
        // Ten calls of the first batch may start before the first answer.
        let trials = relay.ledger().len();
        assert!((9..=10 + 600 / 45 + 1).contains(&trials), "{code}: {trials} requests in ten minutes");
        relay.cloud.top.lock().unwrap().clear_faults();
        let seconds = seconds_to_effects(&relay, 20).await;
        assert!(seconds <= 120, "{code}: {seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn order_that_alone_meets_a_fault_does_not_hold_back_the_others() {
    let relay = Relay::new().await;
    relay.top_faults(json!([{"fault": "error", "code": 12, "sub_code": "isv.permission-of-this-order", "match": "666", "times": 1000}]));
    relay.submit_and_decide("ship-notify", None, &ship_call("666", true)).await;
    relay.poll("ship-notify").await;
    submit(&relay, 100..104).await;
    assert!(seconds_to_effects(&relay, 4).await <= 120);
    // From now on every call is sent at once, although the order fails again.
    for id in 200..230 {
        submit(&relay, id..id + 1).await;
        relay.poll_in_time("ship-notify").await;
        relay.clock.advance(Duration::from_secs(30));
        relay.poll_in_time("ship-notify").await;
        assert_eq!(relay.call(CallKind::ShipNotify, &id.to_string()).await["state"], "succeeded", "{id}");
    }
    let failed = relay.ledger().iter().filter(|entry| !entry.effect).count();
    assert!((2..=6).contains(&failed), "{failed} attempts of the order in 15 minutes");
    assert_eq!(relay.call(CallKind::ShipNotify, "666").await["state"], "pending");
}

#[tokio::test(start_paused = true)]
async fn calls_without_credentials_wait_for_them_and_do_not_count_as_failed() {
    let relay = Relay::new().await;
    relay.put_secret(TOP_SECRET_ID, &json!({"app_key": "", "app_secret": ""})).await;
    submit(&relay, 1..6).await;
    let begin = relay.clock.now();
    relay.cloud.take_sent();
    poll_until(&relay, begin.plus(Duration::from_secs(600))).await;
    let reads = relay.cloud.take_sent().iter().filter(|sent| sent.operation == "GetSecretValue").count();
    assert!(reads <= 600 / 5, "{reads} reads of the secret in ten minutes");
    assert_eq!(relay.ledger().len(), 0);
    let secret = json!({"app_key": "12345678", "app_secret": APP_SECRET, "session": SESSION});
    relay.put_secret(TOP_SECRET_ID, &secret).await;
    assert!(seconds_to_effects(&relay, 5).await <= 120);
}

#[tokio::test(start_paused = true)]
async fn trial_goes_to_the_next_call_if_there_is_nothing_to_send() {
    let relay = Relay::new().await;
    relay.top_faults(json!([{"fault": "error", "code": 27, "times": 1}]));
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay.poll("notifications").await;
    relay.poll("itinerary-postback").await;
    relay.instruct("withdraw", "tsy", "P-1", "wrong order").await;
    relay.poll("notifications").await;
    relay.put_order("tsy", "P-2", &flight().replace("P-1", "P-2")).await;
    relay.clock.advance(Duration::from_secs(60));
    // The message of the withdrawn call takes the trial first.
    relay.poll("itinerary-postback").await;
    assert_eq!(relay.effects(), 0);
    relay.post_tsy(&tsy("P-2", "issued")).await;
    relay.poll("notifications").await;
    relay.poll("itinerary-postback").await;
    assert_eq!(relay.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn trial_whose_answers_from_dynamodb_were_lost_is_still_the_senders_own() {
    let relay = Relay::new().await;
    relay.top_faults(json!([{"fault": "error", "code": 27, "times": 1}]));
    submit(&relay, 1..2).await;
    relay.poll("ship-notify").await;
    relay.clock.advance(Duration::from_secs(60));
    relay.cloud.order(WireFault::AnswerLost, 1, |sent| sent.body.contains("trial = :token"));
    relay.poll("ship-notify").await;
    assert_eq!(relay.effects(), 1);
    assert_eq!(relay.store.breakers(relay.clock.now()).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn call_that_is_held_back_for_a_day_never_looks_like_one_that_keeps_failing() {
    let relay = Relay::new().await;
    relay.top_faults(json!([ban(24 * 3600)]));
    submit(&relay, 1..2).await;
    let ends = relay.clock.now().plus(Duration::from_secs(24 * 3600));
    let mut most = 0;
    while relay.clock.now() < ends {
        relay.poll_in_time("ship-notify").await;
        most = most.max(relay.most_receives());
        relay.clock.advance(Duration::from_secs(10));
    }
    assert_eq!(most, 4, "fewer receives than the smallest MaxReceiveCount");
    assert_eq!(relay.ledger().len(), 1);
    assert!(seconds_to_effects(&relay, 1).await <= 120);
}

#[tokio::test(start_paused = true)]
async fn operator_sees_why_a_call_is_held_back_and_has_it_tried_at_once() {
    let relay = Relay::new().await;
    relay.top_faults(json!([ban(24 * 3600)]));
    submit(&relay, 38..41).await;
    relay.poll_in_time("ship-notify").await;
    assert_eq!(relay.ledger().len(), 1, "the others of the batch are held back, too");
    relay.clock.advance(Duration::from_secs(60));
    let held = relay.breakers().await;
    let call = relay.call(CallKind::ShipNotify, "39").await;
    assert_eq!((&call["state"], &call["held_back"]), (&json!("pending"), &held["items"]));
    let expected = json!({"call": "ship-notify", "account": "default", "cause": "limit", "code": 7,
        "sub_code": "accesscontrol.limited-by-api-access-count", "since": "2026-01-01T04:00:00.000Z",
        "until": "2026-01-02T04:00:00.000Z"});
    assert_eq!(held["items"], json!([expected]));

    // TOP lifted the ban. The call that the operator names goes first, and the others follow.
    relay.cloud.top.lock().unwrap().clear_faults();
    let (status, body) = relay.instruct_call("retry-now", "ship-notify", "39", r#"{"note":"TOP lifted it"}"#).await;
    assert_eq!(status, 202, "{body}");
    relay.poll("notifications").await;
    relay.poll_in_time("ship-notify").await;
    let call = relay.call(CallKind::ShipNotify, "39").await;
    assert_eq!((&call["state"], &call["history"][0]["outcome"]), (&json!("succeeded"), &json!("retried_now")));
    assert_eq!(relay.effects(), 1);
    assert_eq!(relay.breakers().await, json!({"items": []}));
    assert!(seconds_to_effects(&relay, 3).await <= 960, "the others ask every quarter of an hour");
    let (status, body) = relay.instruct_call("retry-now", "ship-notify", "39", r#"{"note":"again"}"#).await;
    assert_eq!((status, body.contains("does not wait to be sent")), (409, true), "{body}");
}

#[tokio::test(start_paused = true)]
async fn operator_has_all_calls_of_a_kind_tried_at_once() {
    let relay = Relay::new().await;
    assert_eq!(relay.retry_kind_now("ship-notify", r#"{"note":"n"}"#).await.0, 409, "nothing is held back");
    relay.top_faults(json!([{"fault": "error", "code": 27, "times": 1}]));
    submit(&relay, 1..4).await;
    relay.poll_in_time("ship-notify").await;
    for (body, status) in
        [(r#"{"note":"n","account":"other"}"#, 409), ("{}", 400), (r#"{"note":"n","account":"default"}"#, 202)]
    {
        assert_eq!(relay.retry_kind_now("ship-notify", body).await.0, status, "{body}");
    }
    assert_eq!(relay.retry_kind_now("ticket-verify", r#"{"note":"n"}"#).await.0, 409);
    assert!(seconds_to_effects(&relay, 3).await <= 60);
}
