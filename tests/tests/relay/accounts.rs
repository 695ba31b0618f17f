//! Several TOP accounts: who sends a call, and what they do not share.

use std::time::Duration;

use relay_tests::bodies::{flight, redemption, ship, ship_call, tsy};
use relay_tests::relay::{APP_SECRET, Relay, SESSION, TOP_SECRET_ID};
use relay_types::call::CallKind;
use relay_types::time::Clock;
use serde_json::{Value, json};
use top_simulator::Credentials;

/// A relay with the accounts `default` and `ships`, which both send ship notifications, and `flights`, which sends
/// itineraries by default.
async fn relay_with_accounts() -> Relay {
    let relay = Relay::new().await;
    let account = |app_key: &str, calls: &[&str]| json!({"app_key": app_key, "app_secret": APP_SECRET, "session": SESSION, "calls": calls});
    let accounts = json!({"accounts": {"default": account("12345678", &[]), "ships": account("22222222", &[]),
        "flights": account("33333333", &["itinerary-postback"])}});
    relay.put_secret(TOP_SECRET_ID, &accounts).await;
    for app_key in ["22222222", "33333333"] {
        let (app_secret, session) = (APP_SECRET.to_owned(), SESSION.to_owned());
        let credentials = Credentials { app_key: app_key.to_owned(), app_secret, session };
        relay.cloud.top.lock().unwrap().add_account(credentials);
    }
    relay
}

/// The application of each request to TOP.
fn applications(relay: &Relay) -> Vec<String> {
    relay.ledger().iter().map(|entry| entry.params["app_key"].clone()).collect()
}

fn with_account(link: &str, account: &str) -> String {
    let mut link: Value = serde_json::from_str(link).unwrap();
    let (_, inner) = link.as_object_mut().unwrap().iter_mut().next().unwrap();
    inner["account"] = account.into();
    link.to_string()
}

#[tokio::test(start_paused = true)]
async fn calls_are_sent_by_the_account_that_is_named_or_lists_them() {
    let relay = relay_with_accounts().await;
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay.run_until_idle().await;
    relay.submit_and_decide("ship-notify", None, &ship_call("38", true)).await;
    relay.run_until_idle().await;
    let (status, body) = relay.submit_as("ship-notify", "ships", None, &ship_call("39", true)).await;
    assert_eq!(status, 202, "{body}");
    relay.run_until_idle().await;
    assert_eq!(applications(&relay), ["33333333", "12345678", "22222222"]);
    assert_eq!(relay.call(CallKind::ShipNotify, "39").await["account"], "ships");
    assert_eq!(relay.effects(), 3);
}

#[tokio::test(start_paused = true)]
async fn link_names_the_account_of_its_order() {
    let relay = relay_with_accounts().await;
    relay.put_order("sctt", "T-1", &with_account(&ship("38", 1), "ships")).await;
    relay.post_sctt(&relay_tests::bodies::sctt("T-1", 2, 1).to_string()).await;
    relay.run_until_idle().await;
    assert_eq!((applications(&relay), relay.effects()), (vec!["22222222".to_owned()], 1));
    assert_eq!(relay.order("sctt", "T-1").await["calls"][0]["account"], "ships");
}

#[tokio::test(start_paused = true)]
async fn corrected_account_before_the_call_is_the_one_that_sends_it() {
    let relay = relay_with_accounts().await;
    relay.put_order("sctt", "T-1", &with_account(&ship("38", 1), "ships")).await;
    relay.post_sctt(&relay_tests::bodies::sctt("T-1", 2, 1).to_string()).await;
    relay.poll("notifications").await;
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    relay.run_until_idle().await;
    assert_eq!((applications(&relay), relay.effects()), (vec!["12345678".to_owned()], 1));
    // The account is part of what TOP was told: another one is another request, which TOP must not get again.
    relay.put_order("sctt", "T-1", &with_account(&ship("38", 1), "ships")).await;
    relay.run_until_idle().await;
    assert_eq!(relay.notification("sctt", "T-1").await.0, "attention");
    assert_eq!(relay.ledger().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn unknown_accounts_are_refused_at_the_door() {
    let relay = relay_with_accounts().await;
    let (status, body) = relay.put_order("sctt", "T-1", &with_account(&ship("38", 1), "other")).await;
    let refusal: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &refusal["field"]), (400, &json!("fliggy_ship.account")), "{body}");
    assert!(body.contains("use default or flights or ships"), "{body}");
    let (status, body) = relay.put_order("tsy", "P-1", &with_account(&flight(), "a b")).await;
    assert_eq!(status, 400, "{body}");
    let (status, body) = relay.submit_as("ship-notify", "other", None, &ship_call("39", true)).await;
    assert_eq!((status, body.contains("\"field\":\"account\"")), (400, true), "{body}");
    assert!(relay.submit_as("ticket-verify", "default", Some("r"), &redemption(7, 0)).await.0 == 202);
}

#[tokio::test(start_paused = true)]
async fn same_submission_as_another_account_is_another_body() {
    let relay = relay_with_accounts().await;
    assert_eq!(relay.submit_as("ticket-verify", "ships", Some("r"), &redemption(7, 0)).await.0, 202);
    assert_eq!(relay.submit_as("ticket-verify", "ships", Some("r"), &redemption(7, 0)).await.0, 200);
    assert_eq!(relay.submit_as("ticket-verify", "flights", Some("r"), &redemption(7, 0)).await.0, 422);
}

#[tokio::test(start_paused = true)]
async fn ban_of_one_account_does_not_hold_back_another() {
    let relay = relay_with_accounts().await;
    relay.top_faults(json!([{"fault": "error", "code": 7, "sub_msg": "This ban will last for 600 more seconds",
        "match": "22222222", "times": 1}]));
    relay.submit_as("ship-notify", "ships", None, &ship_call("39", true)).await;
    relay.poll("notifications").await;
    relay.poll_in_time("ship-notify").await;
    let held = relay.call(CallKind::ShipNotify, "39").await["held_back"].clone();
    assert_eq!((&held[0]["account"], held.as_array().unwrap().len()), (&json!("ships"), 1));
    relay.submit_and_decide("ship-notify", None, &ship_call("40", true)).await;
    relay.submit_as("ship-notify", "ships", None, &ship_call("41", true)).await;
    relay.poll("notifications").await;
    relay.poll_in_time("ship-notify").await;
    assert_eq!(applications(&relay), ["22222222", "12345678"], "only the account that is not banned sends");
    let end = relay.clock.now().plus(Duration::from_secs(900));
    while relay.clock.now() < end {
        relay.poll_in_time("ship-notify").await;
        relay.clock.advance(Duration::from_secs(5));
    }
    assert_eq!(relay.effects(), 3);
}

#[tokio::test(start_paused = true)]
async fn account_that_the_secret_lacks_is_the_deployments_fault() {
    let relay = Relay::new().await;
    relay.submit_as("ship-notify", "ships", None, &ship_call("39", true)).await;
    relay.poll("notifications").await;
    relay.poll_in_time("ship-notify").await;
    assert_eq!(relay.ledger().len(), 0);
    let held = &relay.breakers().await["items"][0];
    assert_eq!((&held["account"], &held["cause"]), (&json!("ships"), &json!("configuration_fault")));
    // Calls of the account that there is go on.
    relay.submit_and_decide("ship-notify", None, &ship_call("40", true)).await;
    relay.poll_in_time("ship-notify").await;
    assert_eq!(applications(&relay), ["12345678"]);
}
