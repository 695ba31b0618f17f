//! Writes that whole flows seldom make or have refused: expiries, hints to the holder of a lane, dismissed bodies.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use relay_store::lane::Taken;
use relay_tests::bodies::tsy;
use relay_tests::relay::Relay;
use relay_types::account::DEFAULT_ACCOUNT;
use relay_types::call::{CallKind, Lane};
use relay_types::digest::sha256_hex;
use relay_types::failure::Failure;
use relay_types::notification::NotificationKind;
use relay_types::record::{Instruction, RecordKey};
use relay_types::time::Clock as _;
use serde_json::{Value, json};

const PRESENT: &str = "order#tsy#P-1001";
const MISSING: &str = "order#tsy#P-1002";

fn key(pk: &str) -> RecordKey {
    RecordKey::parse(pk).unwrap()
}

/// A relay that has received one order.
async fn relay_with_an_order() -> Relay {
    let relay = Relay::new().await;
    assert_eq!(relay.post_tsy(&tsy("P-1001", "issued")).await.0, 200);
    relay
}

/// The stored item of a record's key.
async fn item(relay: &Relay, pk: &str) -> Option<HashMap<String, AttributeValue>> {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let get = relay.dynamodb.get_item().table_name("relay").consistent_read(true);
    get.key("pk", text(pk)).key("sk", text("record")).send().await.unwrap().item
}

#[tokio::test(start_paused = true)]
async fn expiry_is_extended_only_if_the_item_still_exists() {
    let relay = relay_with_an_order().await;
    let until = relay.clock.now().plus(Duration::from_secs(60));
    for pk in [PRESENT, MISSING] {
        relay.store.keep_pointer(&key(pk), until).await.unwrap();
    }
    let expected = AttributeValue::N(until.epoch_seconds().to_string());
    assert_eq!(item(&relay, PRESENT).await.unwrap()["expires_at"], expected);
    assert_eq!(item(&relay, MISSING).await, None);
}

#[tokio::test(start_paused = true)]
async fn holder_of_a_lane_takes_at_most_fifty_hints() {
    let relay = relay_with_an_order().await;
    for number in 0..52 {
        relay.store.wait_for(&key(PRESENT), &key(&format!("order#tsy#P-{number}"))).await.unwrap();
    }
    relay.store.wait_for(&key(MISSING), &key(PRESENT)).await.unwrap();
    assert_eq!(relay.record(PRESENT).await.waiting.len(), 50);
    assert_eq!(item(&relay, MISSING).await, None);
}

#[tokio::test(start_paused = true)]
async fn dismissed_body_leaves_the_attention_list_and_an_unknown_one_is_not_created() {
    let relay = Relay::new().await;
    let endpoint = NotificationKind::IssueNotify;
    relay.store.quarantine(endpoint, b"{", "not JSON", relay.clock.now()).await.unwrap();
    let dismiss =
        async |body: &[u8]| relay.store.dismiss_unreadable(endpoint, &sha256_hex(body), "ops", "seen").await.unwrap();
    assert!(!dismiss(b"}").await);
    let listed = async || {
        let (_, list) = relay.attention(None, None).await;
        serde_json::from_str::<Value>(&list).unwrap()["items"].as_array().unwrap().len()
    };
    assert_eq!(listed().await, 1);
    assert!(dismiss(b"{").await);
    assert_eq!(listed().await, 0, "{}", json!(relay.attention(None, None).await.1));
}

#[tokio::test(start_paused = true)]
async fn request_about_a_record_that_has_changed_is_not_recorded() {
    let relay = relay_with_an_order().await;
    let seen = relay.record(PRESENT).await;
    assert_eq!(relay.post_tsy(&tsy("P-1001", "issued")).await.0, 200);
    let now = relay.clock.now();
    assert!(!relay.store.instruct(&seen, Instruction::Close, "ops", "never linked", "token", now).await.unwrap());
    assert_eq!(relay.record(PRESENT).await.facts.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn lane_that_its_owner_takes_again_meanwhile_is_read_again() {
    let relay = Relay::new().await;
    let lane = Lane { call: CallKind::ShipNotify, id: "38".to_owned() };
    let (owner, other) = (key(PRESENT), key(MISSING));
    let now = relay.clock.now();
    let take = async |key: &RecordKey, revision, token: &str| {
        relay.store.take_lane(&lane, key, revision, token, now).await.unwrap()
    };
    // The owner's record does not exist, so the other record may replace it.
    assert_eq!(take(&owner, 1, "first").await, Taken::Taken);
    relay.cloud.take_sent();
    relay.cloud.hold(|sent| sent.body.contains(":was"));
    let again = async {
        while relay.cloud.held() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(take(&owner, 2, "second").await, Taken::Taken);
        relay.cloud.release();
    };
    let (taken, ()) = tokio::join!(take(&other, 1, "third"), again);
    assert_eq!(taken, Taken::Taken);
    assert_eq!(relay.cloud.held(), 1);
    assert_eq!(take(&owner, 1, "fourth").await, Taken::Taken, "the other record does not exist either");
}

#[tokio::test(start_paused = true)]
async fn shorter_ban_does_not_shorten_a_longer_one() {
    let relay = Relay::new().await;
    let now = relay.clock.now();
    let told = |code, sub_code: Option<&str>| Failure {
        code,
        sub_code: sub_code.map(str::to_owned),
        ..Failure::of("Call limited")
    };
    for failure in [
        told(None, None),
        told(None, Some("http-403")),
        told(Some(7), None),
        told(Some(7), Some("accesscontrol.limited-by-api-access-count")),
    ] {
        for call in [CallKind::ShipNotify, CallKind::TicketVerify] {
            for seconds in [600, 60] {
                let until = now.plus(Duration::from_secs(seconds));
                assert_eq!(relay.trip(call, &failure, until).await, seconds == 600, "{failure:?}");
            }
            let breaker = relay.breaker(call).await.unwrap();
            assert_eq!(breaker.until, now.plus(Duration::from_secs(600)), "{failure:?}");
        }
        relay.clear().await;
    }
}

#[tokio::test(start_paused = true)]
async fn trial_of_a_breaker_that_has_not_tripped_is_not_allowed() {
    let relay = Relay::new().await;
    let now = relay.clock.now();
    assert!(!relay.store.allow_trial(DEFAULT_ACCOUNT, CallKind::ShipNotify, None, now).await.unwrap());
    assert_eq!(relay.store.breakers(relay.clock.now()).await.unwrap(), []);
}
