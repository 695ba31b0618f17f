//! Calls that are held back: corrected accounts, slow and failed writes, and trials that send nothing.

use std::time::Duration;

use relay_tests::bodies::{flight, redemption, ship_call, tsy};
use relay_tests::cloud::{Sent, WireFault};
use relay_tests::relay::{APP_SECRET, Relay, SESSION, TOP_SECRET_ID, counted_random};
use relay_types::call::CallKind;
use relay_types::failure::Failure;
use relay_types::time::Clock;
use serde_json::{Value, json};
use top_simulator::Credentials;

const DEFAULT: &str = "default";

fn error(code: i64, times: u32) -> Value {
    json!({"fault": "error", "code": code, "times": times})
}

fn ban(seconds: u64, times: u32) -> Value {
    json!({"fault": "error", "code": 7, "sub_msg": format!("This ban will last for {seconds} more seconds"), "times": times})
}

fn of_breaker(sent: &Sent) -> bool {
    sent.operation == "UpdateItem" && sent.body.contains("\"breaker\"")
}

async fn submit(relay: &Relay, id: &str) {
    relay.submit_and_decide("ship-notify", None, &ship_call(id, true)).await;
}

/// Polls once a second for this long.
async fn poll_for(relay: &Relay, queue: &'static str, seconds: u64) {
    for _ in 0..seconds {
        relay.poll_in_time(queue).await;
        relay.clock.advance(Duration::from_secs(1));
    }
}

async fn seconds_to_effects(relay: &Relay, queue: &'static str, effects: usize) -> u64 {
    for seconds in 0..3600 {
        if relay.effects() >= effects {
            return seconds;
        }
        poll_for(relay, queue, 1).await;
    }
    panic!("{} took effect in an hour", relay.effects());
}

/// The secret has `default`, which sends everything, and `flights`, but not `ships`.
async fn without_ships(relay: &Relay) {
    let account = |key: &str| json!({"app_key": key, "app_secret": APP_SECRET, "session": SESSION});
    let accounts = json!({"accounts": {"default": account("12345678"), "flights": account("33333333")}});
    relay.put_secret(TOP_SECRET_ID, &accounts).await;
    let (app_key, app_secret, session) = ("33333333".to_owned(), APP_SECRET.to_owned(), SESSION.to_owned());
    relay.cloud.top.lock().unwrap().add_account(Credentials { app_key, app_secret, session });
}

fn flight_of(account: &str) -> String {
    flight().replace(r#""tes_head_id""#, &format!(r#""account":"{account}","tes_head_id""#))
}

#[tokio::test(start_paused = true)]
async fn message_that_names_a_missing_account_ends_when_the_link_is_corrected() {
    let relay = Relay::new().await;
    without_ships(&relay).await;
    relay.put_order("tsy", "P-1", &flight_of("ships")).await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay.poll("notifications").await;
    poll_for(&relay, "itinerary-postback", 60).await;
    assert_eq!(relay.ledger().len(), 0);
    assert_eq!(relay.breakers().await["items"][0]["account"], "ships");
    // The message with the old account now finds a call of another account.
    relay.put_order("tsy", "P-1", &flight_of("flights")).await;
    relay.poll("notifications").await;
    poll_for(&relay, "itinerary-postback", 120).await;
    assert_eq!(relay.effects(), 1);
    assert_eq!(relay.most_receives(), 0, "both messages ended");
}

#[tokio::test(start_paused = true)]
async fn call_whose_facts_name_a_missing_account_after_its_message_was_sent_is_held_back_by_that_account() {
    let relay = Relay::new().await;
    without_ships(&relay).await;
    relay.put_order("tsy", "P-1", &flight_of("flights")).await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay.poll("notifications").await;
    let messages = relay.receive("itinerary-postback").await;
    relay.put_order("tsy", "P-1", &flight_of("ships")).await;
    relay.poll("notifications").await;
    // Only the message that names "flights" is handled.
    relay.invoke("itinerary-postback", relay.event(&messages)).await;
    let held = relay.breakers().await;
    assert_eq!((&held["items"][0]["account"], held["items"].as_array().unwrap().len()), (&json!("ships"), 1));
    let account = json!({"app_key": "12345678", "app_secret": APP_SECRET, "session": SESSION});
    relay.put_secret(TOP_SECRET_ID, &json!({"accounts": {"ships": account}})).await;
    assert!(seconds_to_effects(&relay, "itinerary-postback", 1).await <= 120);
}

#[tokio::test(start_paused = true)]
async fn outcome_is_recorded_although_the_breaker_is_never_written() {
    for fault in [WireFault::NoAnswer, WireFault::NotPerformed, WireFault::ServerError] {
        let relay = Relay::new().await;
        relay.top_faults(json!([ban(300, 1)]));
        relay.submit_and_decide("ticket-verify", Some("r"), &redemption(7, 0)).await;
        relay.cloud.order(fault, 3, of_breaker);
        let began = tokio::time::Instant::now();
        relay.poll_in_time("ticket-verify").await;
        let call = relay.call(CallKind::TicketVerify, "r").await;
        assert_eq!((&call["state"], &call["last_error"]["code"]), (&json!("pending"), &json!(7)), "{fault:?}");
        assert!(began.elapsed() < Duration::from_secs(10), "{fault:?}: {:?}", began.elapsed());
        // This instance remembers the ban that it could not share.
        poll_for(&relay, "ticket-verify", 295).await;
        assert_eq!(relay.ledger().len(), 1, "{fault:?}");
        assert!(seconds_to_effects(&relay, "ticket-verify", 1).await <= 60, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn breaker_that_another_instance_may_have_tripped_again_is_read_again() {
    let relay = Relay::new().await;
    relay.top_faults(json!([error(27, 1)]));
    submit(&relay, "38").await;
    relay.poll_in_time("ship-notify").await;
    relay.clock.advance(Duration::from_secs(50));
    // The trial succeeds. Meanwhile another instance was told of a ban, so the reset is refused.
    let ends = relay.clock.now().plus(Duration::from_secs(300));
    relay.cloud.hold(|sent| sent.body.contains("REMOVE #until"));
    let ban = async {
        while relay.cloud.held() == 0 {
            tokio::task::yield_now().await;
        }
        relay.trip(CallKind::ShipNotify, &Failure::of("banned"), ends).await;
        relay.cloud.release();
    };
    tokio::join!(relay.poll_in_time("ship-notify"), ban);
    assert_eq!(relay.effects(), 1);
    submit(&relay, "39").await;
    relay.poll_in_time("ship-notify").await;
    assert_eq!(relay.ledger().len(), 2, "the banned call is not sent");
}

#[tokio::test(start_paused = true)]
async fn instance_remembers_a_ban_although_the_answer_to_its_write_was_lost() {
    let relay = Relay::new().await;
    relay.top_faults(json!([ban(600, 1)]));
    submit(&relay, "1").await;
    // A read a moment ago, in which nothing was held back.
    relay.breakers().await;
    relay.cloud.order(WireFault::AnswerLost, 1, of_breaker);
    relay.poll("ship-notify").await;
    submit(&relay, "2").await;
    relay.poll("ship-notify").await;
    assert_eq!(relay.ledger().len(), 1, "nothing is sent during the ban: {:?}", relay.ledger());
}

#[tokio::test(start_paused = true)]
async fn fault_without_an_answer_does_not_hide_the_next_fault_of_the_deployment() {
    let relay = Relay::new().await;
    relay.top_faults(json!([{"fault": "timeout_before_effect", "times": 1}]));
    submit(&relay, "38").await;
    relay.poll_in_time("ship-notify").await;
    relay.cloud.order(WireFault::Forbidden, 1, |sent| sent.service == "top");
    relay.clock.advance(Duration::from_secs(10));
    relay.poll_in_time("ship-notify").await;
    assert_eq!(relay.breakers().await["items"][0]["cause"], "configuration_fault");
    assert!(seconds_to_effects(&relay, "ship-notify", 1).await <= 120);
}

#[tokio::test(start_paused = true)]
async fn named_call_is_tried_at_once_even_by_an_instance_that_has_just_read_of_the_ban() {
    let relay = Relay::new().await;
    relay.top_faults(json!([ban(3600, 1)]));
    submit(&relay, "38").await;
    relay.poll_in_time("ship-notify").await;
    relay.clock.advance(Duration::from_secs(10));
    submit(&relay, "39").await;
    relay.poll_in_time("ship-notify").await;
    relay.cloud.top.lock().unwrap().clear_faults();
    let (status, body) = relay.instruct_call("retry-now", "ship-notify", "39", r#"{"note":"TOP lifted it"}"#).await;
    assert_eq!(status, 202, "{body}");
    relay.poll("notifications").await;
    relay.poll_in_time("ship-notify").await;
    assert_eq!(relay.call(CallKind::ShipNotify, "39").await["state"], "succeeded");
}

#[tokio::test(start_paused = true)]
async fn call_that_names_no_account_is_tried_as_the_account_that_sends_it() {
    let relay = Relay::new().await;
    without_ships(&relay).await;
    relay.top_faults(json!([ban(3600, 2)]));
    relay.submit_as("ship-notify", "flights", None, &ship_call("37", true)).await;
    relay.poll("notifications").await;
    submit(&relay, "38").await;
    relay.poll_in_time("ship-notify").await;
    assert_eq!(relay.breakers().await["items"].as_array().unwrap().len(), 2);
    let held = &relay.call(CallKind::ShipNotify, "38").await["held_back"];
    assert_eq!((&held[0]["account"], held.as_array().unwrap().len()), (&json!(DEFAULT), 1));
    relay.clock.advance(Duration::from_secs(10));
    relay.cloud.top.lock().unwrap().clear_faults();
    relay.instruct_call("retry-now", "ship-notify", "38", r#"{"note":"lifted"}"#).await;
    relay.poll("notifications").await;
    poll_for(&relay, "ship-notify", 20).await;
    assert_eq!(relay.ledger().len(), 3, "nothing is sent as the account that is still banned");
    assert_eq!(relay.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn trial_that_sends_nothing_is_left_to_the_next_call() {
    let relay = Relay::new().await;
    relay.top_faults(json!([error(27, 1)]));
    submit(&relay, "38").await;
    relay.poll_in_time("ship-notify").await;
    relay.clock.advance(Duration::from_secs(50));
    // The claim takes so long that no time is left for TOP.
    relay.cloud.hold(|sent| sent.operation == "UpdateItem" && sent.body.contains("s_owner = :me"));
    let slow = async {
        while relay.cloud.held() == 0 {
            tokio::task::yield_now().await;
        }
        relay.clock.advance(Duration::from_secs(25));
        relay.cloud.release();
    };
    tokio::join!(relay.poll_in_time("ship-notify"), slow);
    assert_eq!(relay.ledger().len(), 1);
    submit(&relay, "39").await;
    relay.poll_in_time("ship-notify").await;
    assert_eq!(relay.call(CallKind::ShipNotify, "39").await["state"], "succeeded");
}

#[tokio::test(start_paused = true)]
async fn call_that_is_held_back_after_its_claim_has_not_failed() {
    let relay = Relay::new().await;
    submit(&relay, "37").await;
    relay.poll_in_time("ship-notify").await;
    submit(&relay, "38").await;
    // While the call is claimed, five seconds pass and another instance is told of a ban.
    let ends = relay.clock.now().plus(Duration::from_secs(600));
    relay.cloud.hold(|sent| sent.operation == "UpdateItem" && sent.body.contains("s_owner = :me"));
    let ban = async {
        while relay.cloud.held() == 0 {
            tokio::task::yield_now().await;
        }
        relay.trip(CallKind::ShipNotify, &Failure::of("banned"), ends).await;
        relay.clock.advance(Duration::from_secs(6));
        relay.cloud.release();
    };
    tokio::join!(relay.poll_in_time("ship-notify"), ban);
    assert_eq!(relay.ledger().len(), 1, "the call is held back");
    let call = relay.call(CallKind::ShipNotify, "38").await;
    assert_eq!(call["state"], "pending");
    let not_before = call["not_before"].as_str().unwrap();
    assert!(not_before >= ends.to_string().as_str(), "it waits for the end of the ban: {not_before}");
}

#[tokio::test(start_paused = true)]
async fn calls_continue_seconds_after_a_short_ban_although_one_of_them_is_the_trial() {
    let relay = Relay::new().await;
    relay.top_faults(json!([ban(2, 1)]));
    submit(&relay, "38").await;
    relay.poll_in_time("ship-notify").await;
    relay.clock.advance(Duration::from_secs(3));
    // An instance takes the trial and dies.
    let breaker = relay.breaker(CallKind::ShipNotify).await.unwrap();
    let died = relay.sender(CallKind::ShipNotify).breakers.ask(DEFAULT, false, &counted_random()).await;
    assert!(died.is_ok() && breaker.until < relay.clock.now());
    for id in 40..50 {
        submit(&relay, &id.to_string()).await;
    }
    let seconds = seconds_to_effects(&relay, "ship-notify", 11).await;
    assert!(seconds <= 30, "{seconds} s");
}

#[tokio::test(start_paused = true)]
async fn calls_wait_for_an_unreadable_secret_without_a_breaker_that_nobody_resets() {
    let relay = Relay::new().await;
    relay.put_secret(TOP_SECRET_ID, &json!({"app_key": "", "app_secret": ""})).await;
    submit(&relay, "38").await;
    poll_for(&relay, "ship-notify", 60).await;
    assert_eq!(relay.ledger().len(), 0);
    let account = json!({"app_key": "12345678", "app_secret": APP_SECRET, "session": SESSION});
    relay.put_secret(TOP_SECRET_ID, &json!({"accounts": {"ships": account}})).await;
    assert!(seconds_to_effects(&relay, "ship-notify", 1).await <= 120);
    assert_eq!(relay.breakers().await, json!({"items": []}));
}

#[tokio::test(start_paused = true)]
async fn secret_that_cannot_be_read_for_a_while_is_replaced_by_what_was_read_before() {
    let relay = Relay::new().await;
    submit(&relay, "38").await;
    relay.poll_in_time("ship-notify").await;
    relay.clock.advance(Duration::from_secs(301));
    relay.cloud.order(WireFault::ServerError, 100, |sent| sent.operation == "GetSecretValue");
    submit(&relay, "39").await;
    relay.poll_in_time("ship-notify").await;
    assert_eq!(relay.effects(), 2);
}

#[tokio::test(start_paused = true)]
async fn breaker_of_an_account_that_sends_nothing_any_more_is_not_listed_for_ever() {
    let relay = Relay::new().await;
    relay.submit_as("ship-notify", "ships", None, &ship_call("38", true)).await;
    relay.poll("notifications").await;
    relay.poll_in_time("ship-notify").await;
    assert_eq!(relay.breakers().await["items"][0]["account"], "ships");
    relay.clock.advance(Duration::from_secs(3600));
    assert_eq!(relay.breakers().await, json!({"items": []}));
}

#[tokio::test(start_paused = true)]
async fn order_that_something_in_front_of_top_refuses_does_not_hold_back_the_others() {
    let relay = Relay::new().await;
    relay.cloud.order(WireFault::Forbidden, 1000, |sent| sent.service == "top" && sent.body.contains("666"));
    submit(&relay, "666").await;
    relay.poll_in_time("ship-notify").await;
    submit(&relay, "100").await;
    assert!(seconds_to_effects(&relay, "ship-notify", 1).await <= 120);
    poll_for(&relay, "ship-notify", 60).await;
    for id in 200..230 {
        submit(&relay, &id.to_string()).await;
        poll_for(&relay, "ship-notify", 2).await;
        assert_eq!(relay.call(CallKind::ShipNotify, &id.to_string()).await["state"], "succeeded", "{id}");
        poll_for(&relay, "ship-notify", 28).await;
    }
}

#[tokio::test(start_paused = true)]
async fn trial_that_meets_a_limit_without_a_time_releases_nobody() {
    let relay = Relay::new().await;
    relay.top_faults(json!([ban(60, 1)]));
    for id in 38..41 {
        submit(&relay, &id.to_string()).await;
    }
    relay.poll_in_time("ship-notify").await;
    relay.cloud.top.lock().unwrap().clear_faults();
    relay.top_faults(json!([{"fault": "error", "code": 8, "sub_msg": "too many", "times": 1000}]));
    relay.clock.advance(Duration::from_secs(61));
    let before = relay.ledger().len();
    poll_for(&relay, "ship-notify", 60).await;
    let trials = relay.ledger().len() - before;
    assert!((1..=4).contains(&trials), "{trials} requests in a minute");
}

#[tokio::test(start_paused = true)]
async fn account_that_was_just_added_sends_the_call_that_is_retried_now() {
    let relay = Relay::new().await;
    without_ships(&relay).await;
    relay.submit_as("ship-notify", "ships", None, &ship_call("38", true)).await;
    relay.poll("notifications").await;
    poll_for(&relay, "ship-notify", 50).await;
    assert_eq!(relay.breakers().await["items"][0]["account"], "ships");
    let account = json!({"app_key": "12345678", "app_secret": APP_SECRET, "session": SESSION});
    relay.put_secret(TOP_SECRET_ID, &json!({"accounts": {"ships": account}})).await;
    relay.instruct_call("retry-now", "ship-notify", "38", r#"{"note":"added"}"#).await;
    relay.poll("notifications").await;
    relay.poll_in_time("ship-notify").await;
    assert_eq!(relay.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn calls_that_move_to_another_account_continue_within_two_minutes() {
    let relay = Relay::new().await;
    relay.top_faults(json!([{"fault": "error", "code": 27, "match": "12345678", "times": 1000}]));
    for id in 38..42 {
        submit(&relay, &id.to_string()).await;
    }
    poll_for(&relay, "ship-notify", 100).await;
    assert_eq!(relay.effects(), 0);
    let account = |key: &str, calls: &[&str]| json!({"app_key": key, "app_secret": APP_SECRET, "session": SESSION, "calls": calls});
    let moved =
        json!({"accounts": {"default": account("12345678", &[]), "flights": account("33333333", &["ship-notify"])}});
    relay.put_secret(TOP_SECRET_ID, &moved).await;
    let (app_key, app_secret, session) = ("33333333".to_owned(), APP_SECRET.to_owned(), SESSION.to_owned());
    relay.cloud.top.lock().unwrap().add_account(Credentials { app_key, app_secret, session });
    assert!(seconds_to_effects(&relay, "ship-notify", 4).await <= 120);
}

#[tokio::test(start_paused = true)]
async fn named_call_is_tried_although_another_is_the_trial_and_only_once() {
    let relay = Relay::new().await;
    relay.top_faults(json!([ban(3600, 1)]));
    submit(&relay, "38").await;
    relay.poll_in_time("ship-notify").await;
    submit(&relay, "39").await;
    relay.poll_in_time("ship-notify").await;
    relay.instruct_call("retry-now", "ship-notify", "39", r#"{"note":"n"}"#).await;
    // Another call takes the trial that the operator allowed.
    let breakers = &relay.sender(CallKind::ShipNotify).breakers;
    breakers.forget();
    let stolen = breakers.ask(DEFAULT, false, &counted_random()).await.unwrap();
    assert!(matches!(stolen, relay_sender::breaker::Pass::Trial(_)));
    relay.poll("notifications").await;
    relay.poll_in_time("ship-notify").await;
    assert_eq!(relay.ledger().len(), 2, "TOP was asked about the named call, and still bans it");
    poll_for(&relay, "ship-notify", 120).await;
    assert_eq!(relay.ledger().len(), 2, "it is not tried again");
}
