//! An operator pauses calls to TOP, and resumes them.

use std::time::Duration;

use relay_tests::bodies::{flight, ship_call, tsy};
use relay_tests::relay::{APP_SECRET, Relay, SESSION, TOP_SECRET_ID};
use relay_types::call::CallKind;
use relay_types::unfinished::{Step, UnfinishedPage};
use serde_json::{Value, json};

const HOUR: &str = r#"{"note":"TOP asked us to","remind_in_minutes":60}"#;

async fn poll_for(relay: &Relay, queue: &'static str, seconds: u64) {
    for _ in 0..seconds {
        relay.poll_in_time(queue).await;
        relay.clock.advance(Duration::from_secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn paused_call_waits_until_it_is_resumed_and_then_continues_within_two_minutes() {
    let relay = Relay::new().await;
    assert_eq!(relay.switch("ship-notify", "pause", HOUR).await.0, 200);
    let accounts = json!({"accounts": {"default": {"app_key": "12345678", "app_secret": APP_SECRET, "session": SESSION},
        "flights": {"app_key": "12345678", "app_secret": APP_SECRET, "session": SESSION}}});
    relay.put_secret(TOP_SECRET_ID, &accounts).await;
    relay.submit_and_decide("ship-notify", None, &ship_call("38", true)).await;
    relay.submit_as("ship-notify", "flights", None, &ship_call("39", true)).await;
    relay.poll("notifications").await;
    // Other calls go on, and notifications are decided.
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay.poll("notifications").await;
    relay.poll("itinerary-postback").await;
    assert_eq!(relay.effects(), 1);
    // A day later it is still paused: the reminder ends nothing.
    for _ in 0..24 * 60 {
        relay.poll_in_time("ship-notify").await;
        relay.clock.advance(Duration::from_secs(60));
    }
    assert_eq!((relay.effects(), relay.ledger().len()), (1, 1), "all accounts wait");
    assert!(relay.most_receives() <= 5, "waiting is not failing");
    let (status, body) = relay.switch("ship-notify", "resume", r#"{"note":"done"}"#).await;
    assert_eq!((status, body.as_str()), (200, r#"{"items":[]}"#));
    poll_for(&relay, "ship-notify", 120).await;
    assert_eq!(relay.effects(), 3);
    assert_eq!(relay.switch("ship-notify", "resume", r#"{"note":"n"}"#).await.0, 409, "it is not paused");
}

#[tokio::test(start_paused = true)]
async fn operator_sees_who_paused_a_call_and_why() {
    let relay = Relay::new().await;
    relay.switch("ship-notify", "pause", HOUR).await;
    relay.submit_and_decide("ship-notify", None, &ship_call("38", true)).await;
    let expected = json!([{"call": "ship-notify", "account": "*", "cause": "paused", "since": "2026-01-01T04:00:00.000Z",
        "by": "arn:aws:iam::123456789012:user/booking-system", "note": "TOP asked us to",
        "remind_at": "2026-01-01T05:00:00.000Z"}]);
    assert_eq!(relay.breakers().await["items"], expected);
    assert_eq!(relay.call(CallKind::ShipNotify, "38").await["held_back"], expected);
    let (_, body) = relay.unfinished(&[("state", "held"), ("reason", "paused")]).await;
    let page: UnfinishedPage = serde_json::from_str(&body).unwrap();
    assert_eq!((page.total, page.items[0].next.step, &page.items[0].next.at), (1, Step::Resume, &None));
    // Retrying it does not end the pause.
    assert_eq!(relay.retry_kind_now("ship-notify", r#"{"note":"n"}"#).await.0, 409);
    relay.instruct_call("retry-now", "ship-notify", "38", r#"{"note":"n"}"#).await;
    relay.poll("notifications").await;
    poll_for(&relay, "ship-notify", 60).await;
    assert_eq!(relay.ledger().len(), 0);
    // Pausing it once more changes the note and the reminder.
    relay.switch("ship-notify", "pause", r#"{"note":"longer","remind_in_minutes":600}"#).await;
    let held = relay.breakers().await;
    assert_eq!((&held["items"][0]["note"], held["items"].as_array().unwrap().len()), (&json!("longer"), 1));
    assert_eq!(held["items"][0]["since"], "2026-01-01T04:00:00.000Z");
}

#[tokio::test(start_paused = true)]
async fn pause_reaches_every_instance_within_five_seconds() {
    let relay = Relay::new().await;
    relay.submit_and_decide("ship-notify", None, &ship_call("38", true)).await;
    relay.poll_in_time("ship-notify").await;
    relay.switch("ship-notify", "pause", HOUR).await;
    relay.clock.advance(Duration::from_secs(5));
    relay.submit_and_decide("ship-notify", None, &ship_call("39", true)).await;
    relay.poll_in_time("ship-notify").await;
    assert_eq!(relay.ledger().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn pause_and_a_ban_do_not_replace_each_other() {
    let relay = Relay::new().await;
    relay.top_faults(
        json!([{"fault": "error", "code": 7, "sub_msg": "This ban will last for 600 more seconds", "times": 1}]),
    );
    relay.submit_and_decide("ship-notify", None, &ship_call("38", true)).await;
    relay.poll_in_time("ship-notify").await;
    relay.switch("ship-notify", "pause", HOUR).await;
    relay.switch("ship-notify", "resume", r#"{"note":"n"}"#).await;
    poll_for(&relay, "ship-notify", 300).await;
    assert_eq!(relay.ledger().len(), 1, "the ban is still there");
    let causes = relay.breakers().await;
    assert_eq!(causes["items"][0]["cause"], "limit");
}

#[tokio::test(start_paused = true)]
async fn wrong_pauses_are_refused() {
    let relay = Relay::new().await;
    for (body, field) in [
        ("{}", "note"),
        (r#"{"note":"n"}"#, "remind_in_minutes"),
        (r#"{"note":"n","remind_in_minutes":0}"#, "remind_in_minutes"),
        (r#"{"note":"n","remind_in_minutes":10081}"#, "remind_in_minutes"),
        (r#"{"note":" ","remind_in_minutes":60}"#, "note"),
    ] {
        let (status, answer) = relay.switch("ship-notify", "pause", body).await;
        let refusal: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((status, &refusal["field"]), (400, &json!(field)), "{body}: {answer}");
    }
    assert_eq!(relay.breakers().await, json!({"items": []}));
}
