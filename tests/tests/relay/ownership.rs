//! Claims and their owners: one sender at a time, whatever is slow, dead, repeated or lost.

use std::time::Duration;

use relay_tests::bodies::{redemption, ship_call};
use relay_tests::cloud::{Sent, WireFault};
use relay_tests::relay::Relay;
use serde_json::json;
use shared::call::{CallId, CallKey, CallKind};
use shared::clock::{Clock, EpochMillis};
use shared::record::calls::{CallState, Claim, Finish, Finished};
use shared::top::error::Failure;
use shared::top::response::Reply;

const LEASE: Duration = Duration::from_secs(90);

fn id(call: CallKind, key: &str) -> CallId {
    CallId { call, key: CallKey::try_from(key.to_owned()).unwrap() }
}

async fn with_ship_call() -> (Relay, CallId) {
    let relay = Relay::new().await;
    relay.submit("ship-notify", None, &ship_call("38", true)).await;
    relay.cloud.take_sent();
    (relay, id(CallKind::ShipNotify, "38-issued"))
}

fn updates(sent: &Sent) -> bool {
    sent.operation == "UpdateItem"
}

#[tokio::test(start_paused = true)]
async fn two_claims_at_once_give_one_owner() {
    let (relay, id) = with_ship_call().await;
    let now = relay.clock.now();
    let owners: Vec<_> = (0..20).map(|n| format!("owner-{n}")).collect();
    let claims =
        futures_util::future::join_all(owners.iter().map(|owner| relay.table.claim(&id, owner, LEASE, now))).await;
    let claims: Vec<_> = claims.into_iter().map(Result::unwrap).collect();
    assert_eq!(claims.iter().filter(|claim| matches!(claim, Claim::Claimed(_))).count(), 1);
    assert_eq!(claims.iter().filter(|claim| **claim == Claim::Busy(now.plus(LEASE))).count(), 19);
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_was_lost_is_recognised_as_ones_own() {
    let (relay, id) = with_ship_call().await;
    relay.cloud.order(WireFault::AnswerLost, 1, updates);
    let Claim::Claimed(record) = relay.table.claim(&id, "me", LEASE, relay.clock.now()).await.unwrap() else {
        panic!("not claimed")
    };
    assert_eq!(relay.cloud.take_sent().len(), 2, "the SDK sent it again");
    assert_eq!((record.owner.as_deref(), record.attempt), (Some("me"), 1), "counted once");
}

#[tokio::test(start_paused = true)]
async fn a_finish_whose_answer_was_lost_is_recognised_as_ones_own() {
    let (relay, id) = with_ship_call().await;
    let now = relay.clock.now();
    let Claim::Claimed(record) = relay.table.claim(&id, "me", LEASE, now).await.unwrap() else { panic!() };
    relay.cloud.order(WireFault::AnswerLost, 1, updates);
    let finish = Finish::Succeeded(Reply::default());
    assert_eq!(relay.table.finish(&record, &finish, "succeeded", now).await.unwrap(), Finished::Written);
    assert_eq!(relay.call(CallKind::ShipNotify, "38-issued").await.history.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_finished_by_a_stale_owner_is_refused() {
    let (relay, id) = with_ship_call().await;
    let Claim::Claimed(stale) = relay.table.claim(&id, "slow", LEASE, relay.clock.now()).await.unwrap() else {
        panic!()
    };
    relay.clock.advance(LEASE + Duration::from_secs(1));
    let now = relay.clock.now();
    let Claim::Claimed(second) = relay.table.claim(&id, "second", LEASE, now).await.unwrap() else { panic!() };
    let rejected = Finish::Rejected(Failure::of("what the slow one was told"));
    assert_eq!(relay.table.finish(&stale, &rejected, "rejected", now).await.unwrap(), Finished::Stale);
    assert_eq!(relay.call(CallKind::ShipNotify, "38-issued").await.owner.as_deref(), Some("second"));
    let succeeded = Finish::Succeeded(Reply::default());
    assert_eq!(relay.table.finish(&second, &succeeded, "succeeded", now).await.unwrap(), Finished::Written);
    assert_eq!(relay.table.finish(&stale, &rejected, "rejected", now).await.unwrap(), Finished::Stale);
    assert_eq!(relay.call(CallKind::ShipNotify, "38-issued").await.state, CallState::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_lease_holds_until_it_runs_out_and_not_a_moment_less() {
    let (relay, id) = with_ship_call().await;
    let claimed = |claim| matches!(claim, Claim::Claimed(_));
    assert!(claimed(relay.table.claim(&id, "first", LEASE, relay.clock.now()).await.unwrap()));
    relay.clock.advance(LEASE);
    assert!(!claimed(relay.table.claim(&id, "second", LEASE, relay.clock.now()).await.unwrap()));
    relay.clock.advance(Duration::from_millis(1));
    assert!(claimed(relay.table.claim(&id, "second", LEASE, relay.clock.now()).await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_dies_after_sending_a_ship_notification_is_followed_by_another() {
    let (relay, id) = with_ship_call().await;
    // TOP gets it; whoever sent it is gone before it can write that down.
    relay.cloud.order(WireFault::NoAnswer, 3, |sent| updates(sent) && sent.body.contains("succeeded"));
    let messages = relay.receive("ship-notify").await;
    let response = relay.invoke("ship-notify", relay.event(&messages)).await;
    assert_eq!(response.batch_item_failures.len(), 1);
    // The write was performed each time, so that the record is done; the message that comes again finds it so.
    let again = relay.invoke("ship-notify", relay.event(&messages)).await;
    assert!(again.batch_item_failures.is_empty());
    assert_eq!((relay.effects(), relay.table.call(&id).await.unwrap().unwrap().state), (1, CallState::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn a_ship_notification_whose_end_could_not_be_written_is_sent_again_when_the_lease_is_over() {
    let (relay, id) = with_ship_call().await;
    relay.cloud.order(WireFault::NotPerformed, 3, |sent| updates(sent) && sent.body.contains("succeeded"));
    let messages = relay.receive("ship-notify").await;
    relay.invoke("ship-notify", relay.event(&messages)).await;
    assert_eq!(relay.table.call(&id).await.unwrap().unwrap().state, CallState::InProgress);
    assert_eq!(
        relay.invoke("ship-notify", relay.event(&messages)).await.batch_item_failures.len(),
        1,
        "the lease holds"
    );
    relay.clock.advance(Duration::from_secs(100));
    assert!(relay.invoke("ship-notify", relay.event(&messages)).await.batch_item_failures.is_empty());
    assert_eq!((relay.ledger().len(), relay.effects()), (2, 1));
    assert_eq!(relay.table.call(&id).await.unwrap().unwrap().state, CallState::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_write_off_whose_sender_died_is_not_sent_again_and_asks_for_a_person() {
    let relay = Relay::new().await;
    relay.submit("ticket-verify", Some("r-1"), &redemption(7, 0)).await;
    relay.cloud.order(WireFault::NotPerformed, 3, |sent| updates(sent) && sent.body.contains("succeeded"));
    let messages = relay.receive("ticket-verify").await;
    relay.invoke("ticket-verify", relay.event(&messages)).await;
    relay.clock.advance(Duration::from_secs(100));
    assert!(relay.invoke("ticket-verify", relay.event(&messages)).await.batch_item_failures.is_empty());
    let record = relay.call(CallKind::TicketVerify, "r-1").await;
    assert_eq!((record.state, relay.ledger().len()), (CallState::Unknown, 1));
    assert!(record.last_error.unwrap().message.contains("ask TOP whether it took effect"));
}

#[tokio::test(start_paused = true)]
async fn an_asking_whose_answer_was_lost_is_recognised_as_ones_own() {
    let relay = Relay::new().await;
    relay.cloud.order(WireFault::AnswerLost, 1, |sent| sent.operation == "PutItem");
    assert_eq!(
        relay.submit("ship-notify", None, &ship_call("38", true)).await.status(),
        202,
        "not 200: it is the first"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pending_call_that_may_have_taken_effect_takes_no_other_request() {
    let (relay, _) = with_ship_call().await;
    relay.top_faults(json!([{"fault": "timeout_after_effect", "times": 1}]));
    relay.poll("ship-notify").await;
    assert_eq!(relay.call(CallKind::ShipNotify, "38-issued").await.state, CallState::Pending);
    relay.put_order("sctt", "T-1", &relay_tests::bodies::ship("38", 1)).await;
    relay.post_sctt(&relay_tests::bodies::sctt("T-1", 2, 1).to_string()).await;
    relay.poll("notifications").await;
    assert_eq!(relay.notification("sctt", "T-1").await.0, "attention");
    relay.settle().await;
    assert_eq!((relay.ledger().len(), relay.effects()), (2, 1));
    assert_eq!(relay.call(CallKind::ShipNotify, "38-issued").await.request, ship_call("38", true));
}

#[tokio::test(start_paused = true)]
async fn one_key_twice_in_a_batch_is_sent_once() {
    let (relay, _) = with_ship_call().await;
    relay.submit("ship-notify", None, &ship_call("38", true)).await;
    let messages = relay.receive("ship-notify").await;
    assert_eq!(messages.len(), 2);
    let response = relay.invoke("ship-notify", relay.event(&messages)).await;
    assert_eq!(relay.ledger().len(), 1);
    assert!(response.batch_item_failures.len() <= 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_unfinished_expires_and_what_is_finished_does() {
    let relay = Relay::new().await;
    relay.submit("ticket-verify", Some("r-1"), &redemption(7, 1)).await;
    assert!(!relay.expires("call#ticket-verify#r-1", "call").await);
    relay.settle().await;
    assert!(relay.expires("call#ticket-verify#r-1", "call").await);
}

#[tokio::test(start_paused = true)]
async fn a_clock_thirty_seconds_ahead_does_not_take_a_call_from_a_sender_that_lives() {
    let (relay, id) = with_ship_call().await;
    let messages = relay.receive("ship-notify").await;
    relay.clock.advance(Duration::from_secs(60));
    // The owner's clock is 30 s behind, its successor's 30 s ahead.
    let start = relay.clock.now();
    let event = relay.event(&messages);
    let lease_by_owner = EpochMillis(i64::try_from(event.context.deadline).unwrap()).plus(Duration::from_secs(60));
    let owner_clock = EpochMillis(start.0 - 30_000);
    let lease = owner_clock.until(lease_by_owner);
    assert!(matches!(relay.table.claim(&id, "owner", lease, owner_clock).await.unwrap(), Claim::Claimed(_)));
    let just_before_the_owners_end = EpochMillis(start.0 + 30_000 + 30_000 - 1);
    let claim = relay.table.claim(&id, "ahead", LEASE, just_before_the_owners_end).await.unwrap();
    assert!(matches!(claim, Claim::Busy(_)), "{claim:?}");
}
