//! Claims and their owners: one sender at a time, even if senders are slow or dead and requests are repeated or lost.

use std::time::Duration;

use relay_decide::{self, Settings};
use relay_store::order::Claim;
use relay_tests::bodies::{redemption, ship_call};
use relay_tests::cloud::{Sent, WireFault};
use relay_tests::relay::Relay;
use relay_types::call::{CallKind, Lane};
use relay_types::failure::{Failure, Reply};
use relay_types::record::{Attempted, OrderRecord, RecordKey};
use relay_types::time::{Clock, EpochMillis};

const LEASE: Duration = Duration::from_secs(90);

fn key(id: &str) -> RecordKey {
    RecordKey::Submission(Lane { call: CallKind::ShipNotify, id: id.to_owned() })
}

async fn with_ship_call() -> (Relay, RecordKey) {
    let relay = Relay::new().await;
    relay.submit_and_decide("ship-notify", None, &ship_call("38", true)).await;
    relay.cloud.take_sent();
    (relay, key("38"))
}

async fn claim(relay: &Relay, key: &RecordKey, owner: &str) -> Claim {
    claim_at(relay, key, owner, relay.clock.now(), LEASE).await
}

async fn claim_at(relay: &Relay, key: &RecordKey, owner: &str, now: EpochMillis, lease: Duration) -> Claim {
    relay.store.claim(key, CallKind::ShipNotify, (owner, now.plus(lease)), now).await.unwrap()
}

fn claimed(claim: Claim) -> OrderRecord {
    match claim {
        Claim::Claimed(record) => *record,
        Claim::Refused(record) => panic!("not claimed: {record:?}"),
    }
}

async fn finish(relay: &Relay, claimed: &OrderRecord, attempted: &Attempted) -> bool {
    let settings = Settings { retention: LEASE, ..Settings::default() };
    let decided = relay_decide::finish(claimed, attempted, relay.clock.now(), &settings).unwrap();
    let owner = claimed.sending.as_ref().unwrap().owner.clone();
    relay.store.replace(claimed, &decided.record, &owner).await.unwrap()
}

fn is_finish(sent: &Sent) -> bool {
    sent.operation == "PutItem" || sent.body.contains("REMOVE s_owner")
}

#[tokio::test(start_paused = true)]
async fn one_of_twenty_concurrent_claims_succeeds() {
    let (relay, key) = with_ship_call().await;
    let owners: Vec<_> = (0..20).map(|n| format!("owner-{n}")).collect();
    let claims = futures_util::future::join_all(owners.iter().map(|owner| claim(&relay, &key, owner))).await;
    assert_eq!(claims.iter().filter(|claim| matches!(claim, Claim::Claimed(_))).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn claim_with_a_lost_response_is_recognised() {
    let (relay, key) = with_ship_call().await;
    relay.cloud.order(WireFault::AnswerLost, 1, |sent| sent.operation == "UpdateItem");
    let record = claimed(claim(&relay, &key, "me").await);
    assert_eq!(relay.cloud.take_sent().len(), 2, "the SDK repeated the request");
    assert_eq!((record.sending.unwrap().owner.as_str(), record.attempt), ("me", 1), "counted once");
}

#[tokio::test(start_paused = true)]
async fn finish_with_a_lost_response_is_recognised() {
    let (relay, key) = with_ship_call().await;
    let record = claimed(claim(&relay, &key, "me").await);
    relay.cloud.order(WireFault::AnswerLost, 1, |sent| sent.operation == "PutItem");
    assert!(finish(&relay, &record, &Attempted::Succeeded(Reply::default())).await);
    assert_eq!(relay.call(CallKind::ShipNotify, "38").await["state"], "succeeded");
}

#[tokio::test(start_paused = true)]
async fn outcome_handed_in_twice_counts_once() {
    let (relay, key) = with_ship_call().await;
    claimed(claim(&relay, &key, "me").await);
    relay.cloud.order(WireFault::AnswerLost, 1, |sent| sent.operation == "UpdateItem");
    let succeeded = Attempted::Succeeded(Reply::default());
    assert!(relay.store.hand_in(&key, ("me", None), &succeeded, relay.clock.now()).await.unwrap());
    assert_eq!(relay.record("submission#ship-notify#38").await.facts.len(), 1);
    assert!(!relay.store.hand_in(&key, ("other", None), &succeeded, relay.clock.now()).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn stale_owner_cannot_finish() {
    let (relay, key) = with_ship_call().await;
    let stale = claimed(claim(&relay, &key, "slow").await);
    relay.clock.advance(LEASE + Duration::from_secs(1));
    let second = claimed(claim(&relay, &key, "second").await);
    let refused = Attempted::Refused(Failure::of("outcome of the stale owner"));
    assert!(!finish(&relay, &stale, &refused).await);
    assert!(!relay.store.hand_in(&key, ("slow", None), &refused, relay.clock.now()).await.unwrap());
    assert!(finish(&relay, &second, &Attempted::Succeeded(Reply::default())).await);
    assert_eq!(relay.call(CallKind::ShipNotify, "38").await["state"], "succeeded");
}

#[tokio::test(start_paused = true)]
async fn lease_holds_until_it_expires() {
    let (relay, key) = with_ship_call().await;
    claimed(claim(&relay, &key, "first").await);
    relay.clock.advance(LEASE);
    assert!(matches!(claim(&relay, &key, "second").await, Claim::Refused(_)));
    relay.clock.advance(Duration::from_millis(1));
    claimed(claim(&relay, &key, "second").await);
}

#[tokio::test(start_paused = true)]
async fn finish_without_a_response_leaves_the_call_finished() {
    let (relay, _) = with_ship_call().await;
    relay.cloud.order(WireFault::NoAnswer, 3, is_finish);
    let messages = relay.receive("ship-notify").await;
    relay.invoke("ship-notify", relay.event(&messages)).await;
    let again = relay.invoke("ship-notify", relay.event(&messages)).await;
    assert!(again.batch_item_failures.is_empty());
    assert_eq!(
        (relay.effects(), relay.call(CallKind::ShipNotify, "38").await["state"].clone()),
        (1, "succeeded".into())
    );
}

#[tokio::test(start_paused = true)]
async fn ship_notification_without_a_recorded_outcome_is_resent_after_the_lease() {
    let (relay, _) = with_ship_call().await;
    relay.cloud.order(WireFault::NotPerformed, 3, is_finish);
    let messages = relay.receive("ship-notify").await;
    relay.invoke("ship-notify", relay.event(&messages)).await;
    assert_eq!(relay.call(CallKind::ShipNotify, "38").await["state"], "in_progress");
    let held = relay.invoke("ship-notify", relay.event(&messages)).await;
    assert_eq!(held.batch_item_failures.len(), 1, "the lease holds");
    relay.clock.advance(Duration::from_secs(100));
    assert!(relay.invoke("ship-notify", relay.event(&messages)).await.batch_item_failures.is_empty());
    assert_eq!((relay.ledger().len(), relay.effects()), (2, 1));
    assert_eq!(relay.call(CallKind::ShipNotify, "38").await["state"], "succeeded");
}

#[tokio::test(start_paused = true)]
async fn redemption_whose_sender_died_needs_attention() {
    let relay = Relay::new().await;
    relay.submit_and_decide("ticket-verify", Some("r-1"), &redemption(7, 0)).await;
    relay.cloud.order(WireFault::NotPerformed, 3, is_finish);
    let messages = relay.receive("ticket-verify").await;
    relay.invoke("ticket-verify", relay.event(&messages)).await;
    relay.clock.advance(Duration::from_secs(100));
    assert!(relay.invoke("ticket-verify", relay.event(&messages)).await.batch_item_failures.is_empty());
    relay.poll("notifications").await;
    let call = relay.call(CallKind::TicketVerify, "r-1").await;
    assert_eq!((call["state"].as_str().unwrap(), relay.ledger().len()), ("unknown", 1));
    assert!(call["last_error"]["message"].as_str().unwrap().contains("may have taken effect"));
}

#[tokio::test(start_paused = true)]
async fn submission_with_a_lost_response_counts_as_the_first() {
    let relay = Relay::new().await;
    relay.cloud.order(WireFault::AnswerLost, 1, |sent| sent.operation == "UpdateItem");
    assert_eq!(relay.submit("ship-notify", None, &ship_call("38", true)).await.status(), 202, "not 200");
}

#[tokio::test(start_paused = true)]
async fn key_that_is_twice_in_a_batch_is_sent_once() {
    let (relay, _) = with_ship_call().await;
    relay.submit_and_decide("ship-notify", None, &ship_call("38", true)).await;
    let messages = relay.receive("ship-notify").await;
    assert_eq!(messages.len(), 2);
    let response = relay.invoke("ship-notify", relay.event(&messages)).await;
    assert_eq!(relay.ledger().len(), 1);
    assert!(response.batch_item_failures.len() <= 1);
}

#[tokio::test(start_paused = true)]
async fn only_a_finished_record_expires() {
    let relay = Relay::new().await;
    relay.submit_and_decide("ticket-verify", Some("r-1"), &redemption(7, 1)).await;
    assert!(!relay.expires("submission#ticket-verify#total#7", "record").await);
    relay.run_until_idle().await;
    assert!(relay.expires("submission#ticket-verify#total#7", "record").await);
}

#[tokio::test(start_paused = true)]
async fn clock_thirty_seconds_ahead_takes_no_call_from_a_live_sender() {
    let (relay, key) = with_ship_call().await;
    let messages = relay.receive("ship-notify").await;
    relay.clock.advance(Duration::from_secs(60));
    // The owner's clock is 30 s behind, its successor's is 30 s ahead.
    let start = relay.clock.now();
    let event = relay.event(&messages);
    let lease_by_owner = EpochMillis(i64::try_from(event.context.deadline).unwrap()).plus(Duration::from_secs(60));
    let owner_clock = EpochMillis(start.0 - 30_000);
    claimed(claim_at(&relay, &key, "owner", owner_clock, owner_clock.until(lease_by_owner)).await);
    let just_before_the_owners_end = EpochMillis(start.0 + 30_000 + 30_000 - 1);
    let claim = claim_at(&relay, &key, "ahead", just_before_the_owners_end, LEASE).await;
    assert!(matches!(claim, Claim::Refused(_)), "{claim:?}");
}
