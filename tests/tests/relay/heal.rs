//! The sweep resumes stuck records. Records that need attention are listed, and operators fix them.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use relay_runtime::queue::batch::Invocation;
use relay_store::index::{ATTENTION, ATTENTION_PROJECTS, SHARDS, UNFINISHED, UNFINISHED_PROJECTS};
use relay_sweep::Swept;
use relay_tests::bodies::{flight, redemption, sctt, ship, tsy};
use relay_tests::cloud::WireFault;
use relay_tests::relay::Relay;
use relay_types::call::CallKind;
use relay_types::time::Clock as _;
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);
const CALLER: &str = "arn:aws:iam::123456789012:user/booking-system";

/// Loses every message that is now in a queue.
async fn lose(relay: &Relay, queue: &str) {
    loop {
        let messages = relay.receive(queue).await;
        if messages.is_empty() {
            return;
        }
        for message in messages {
            let delete = relay.sqs.delete_message().queue_url(relay.queue_url(queue));
            delete.receipt_handle(message.receipt_handle.unwrap()).send().await.unwrap();
        }
    }
}

/// Partition key and index partition of each record in `unfinished`, in the order of the index.
async fn indexed(relay: &Relay) -> Vec<(String, String)> {
    let items = relay.dynamodb.scan().table_name("relay").index_name("unfinished").send().await.unwrap();
    let text = |value: &AttributeValue| value.as_s().unwrap().clone();
    items.items.unwrap().iter().map(|item| (text(&item["pk"]), text(&item["unfinished"]))).collect()
}

/// Runs the sweep and returns the number of enqueued records.
async fn swept(relay: &Relay) -> usize {
    let Swept { records, foreign, more } = relay.sweep().await.unwrap();
    assert_eq!((foreign, more), (0, false));
    records
}

fn parsed(body: &str) -> Value {
    serde_json::from_str(body).unwrap()
}

#[tokio::test(start_paused = true)]
async fn sweep_recovers_from_lost_messages() {
    let relay = Relay::new().await;
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    lose(&relay, "notifications").await;
    assert_eq!(swept(&relay).await, 0, "it is not due yet");
    relay.clock.advance(6 * MINUTE);
    assert_eq!(swept(&relay).await, 1);
    assert_eq!(swept(&relay).await, 0, "its next look is later");
    relay.poll("notifications").await;
    lose(&relay, "itinerary-postback").await;
    relay.clock.advance(6 * MINUTE);
    assert_eq!(swept(&relay).await, 1);
    relay.run_until_idle().await;
    assert_eq!((relay.effects(), indexed(&relay).await), (1, vec![]));
    relay.clock.advance(600 * MINUTE);
    assert_eq!(swept(&relay).await, 0);
}

#[tokio::test(start_paused = true)]
async fn sweep_finds_the_calls_of_a_dead_sender() {
    let relay = Relay::new().await;
    for (key, write_off_type) in [("once", 0), ("total", 1)] {
        relay.submit_and_decide("ticket-verify", Some(key), &redemption(7, write_off_type)).await;
    }
    relay.cloud.order(WireFault::Panic, 2, |sent| sent.service == "top");
    let messages = relay.receive("ticket-verify").await;
    relay.invoke("ticket-verify", relay.event(&messages)).await;
    lose(&relay, "ticket-verify").await;
    for message in messages {
        let delete = relay.sqs.delete_message().queue_url(relay.queue_url("ticket-verify"));
        delete.receipt_handle(message.receipt_handle.unwrap()).send().await.unwrap();
    }
    relay.clock.advance(7 * MINUTE);
    assert_eq!(swept(&relay).await, 2);
    relay.run_until_idle().await;
    assert_eq!(relay.call(CallKind::TicketVerify, "total").await["state"], "succeeded");
    assert_eq!(relay.call(CallKind::TicketVerify, "once").await["state"], "unknown");
    assert_eq!(relay.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn waiting_order_is_swept_less_and_less_often() {
    let relay = Relay::new().await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay.run_until_idle().await;
    let mut looks = 0;
    for _ in 0..24 * 60 {
        relay.clock.advance(MINUTE);
        looks += swept(&relay).await;
        relay.run_until_idle().await;
    }
    assert!((6..=10).contains(&looks), "{looks} looks in a day");
    // The message of the new link is lost. The next look finds the record.
    relay.put_order("tsy", "P-1", &flight()).await;
    lose(&relay, "notifications").await;
    relay.clock.advance(6 * 60 * MINUTE);
    assert_eq!(swept(&relay).await, 1);
    relay.run_until_idle().await;
    assert_eq!((relay.effects(), indexed(&relay).await), (1, vec![]));
}

#[tokio::test(start_paused = true)]
async fn repeat_after_the_end_is_decided_and_leaves_the_index() {
    let relay = Relay::new().await;
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay.run_until_idle().await;
    assert_eq!(relay.post_tsy(&tsy("P-1", "issued")).await.0, 200);
    assert_eq!(indexed(&relay).await.len(), 1);
    relay.run_until_idle().await;
    assert_eq!((indexed(&relay).await, relay.effects()), (vec![], 1));
}

#[tokio::test(start_paused = true)]
async fn backlog_is_spread_over_the_shards_and_swept_in_pages() {
    let relay = Relay::new().await;
    for n in 0..450 {
        relay.post_tsy(&tsy(&format!("P-{n}"), "issued")).await;
    }
    lose(&relay, "notifications").await;
    let partitions: std::collections::BTreeSet<_> =
        indexed(&relay).await.into_iter().map(|(_, partition)| partition).collect();
    assert_eq!(partitions.len(), usize::from(SHARDS));
    relay.clock.advance(6 * MINUTE);
    // The time is up, so no shard gets a second page.
    let deadline = relay.clock.now().plus(Duration::from_secs(5));
    let hasty = relay.sweep.handle(&Invocation { request_id: "hasty".to_owned(), deadline }).await.unwrap();
    assert!(hasty.records <= 450, "{hasty:?}");
    assert_eq!(swept(&relay).await, 450 - hasty.records);
    assert_eq!(swept(&relay).await, 0);
}

#[tokio::test(start_paused = true)]
async fn concurrent_sweeps_lead_to_one_call() {
    let relay = Relay::new().await;
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    lose(&relay, "notifications").await;
    relay.clock.advance(6 * MINUTE);
    // Both sweeps read the index and enqueue the record before either writes.
    relay.cloud.hold(|sent| sent.operation == "UpdateItem");
    let both_there = async {
        while relay.cloud.held() < 2 {
            tokio::task::yield_now().await;
        }
        relay.cloud.release();
    };
    let (one, other, ()) = tokio::join!(relay.sweep(), relay.sweep(), both_there);
    assert_eq!((one.unwrap().records, other.unwrap().records), (1, 1));
    relay.run_until_idle().await;
    assert_eq!(relay.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn record_that_a_sweep_could_not_enqueue_is_swept_again() {
    let relay = Relay::new().await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    lose(&relay, "notifications").await;
    relay.clock.advance(6 * MINUTE);
    relay.cloud.order(WireFault::ServerError, 3, |sent| sent.operation == "SendMessageBatch");
    assert!(relay.sweep().await.is_err());
    assert_eq!(swept(&relay).await, 1);
}

#[tokio::test(start_paused = true)]
async fn attention_list_is_paged_oldest_first() {
    let relay = Relay::new().await;
    assert_eq!(relay.attention(None, None).await, (200, r#"{"items":[]}"#.to_owned()));
    for n in 0..7 {
        relay.post_tsy(&tsy(&format!("P-{n}"), "rejected")).await;
        relay.run_until_idle().await;
        relay.clock.advance(MINUTE);
    }
    relay.top_faults(json!([{"times": 1, "fault": "timeout_after_effect"}]));
    relay.submit_and_decide("ticket-verify", Some("K"), &redemption(7, 0)).await;
    relay.run_until_idle().await;
    let mut orders = Vec::new();
    let mut after: Option<String> = None;
    let mut pages = 0;
    loop {
        let (status, body) = relay.attention(Some(3), after.as_deref()).await;
        assert_eq!(status, 200, "{body}");
        let page = parsed(&body);
        pages += 1;
        orders.extend(page["items"].as_array().unwrap().clone());
        after = page["next"].as_str().map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, 3);
    let names: Vec<_> = orders.iter().map(|item| item["order_id"].as_str().or(item["key"].as_str()).unwrap()).collect();
    assert_eq!(names, ["P-0", "P-1", "P-2", "P-3", "P-4", "P-5", "P-6", "K"]);
    assert_eq!(orders[0]["reason"], "TSY rejected the order; no TOP call reports a rejection");
    assert_eq!((&orders[7]["kind"], &orders[7]["call"]), (&json!("call"), &json!("ticket-verify")));
    assert_eq!(orders[7]["reasons"], json!(["unknown"]));
    for (limit, after, field) in [(Some(0), None, "limit"), (Some(101), None, "limit"), (None, Some("%%"), "after")] {
        let (status, body) = relay.attention(limit, after).await;
        assert_eq!((status, &parsed(&body)["field"]), (400, &json!(field)));
    }
}

#[tokio::test(start_paused = true)]
async fn replay_repeats_a_refused_call() {
    let relay = Relay::new().await;
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    relay.top_faults(json!([{"times": 1, "fault": "business_failure"}]));
    relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await;
    relay.run_until_idle().await;
    assert_eq!(relay.call(CallKind::ShipNotify, "38").await["state"], "refused");
    assert!(!relay.expires("order#sctt#T-1", "record").await, "a refusal needs attention");
    assert_eq!(relay.replay("sctt", "T-1").await.0, 202);
    relay.run_until_idle().await;
    let order = relay.order("sctt", "T-1").await;
    assert_eq!(order["calls"][0]["state"], "succeeded");
    assert_eq!(order["notifications"][0]["state"], "dispatched");
    let replayed = |moment: &Value| {
        moment["event"].as_str().unwrap().ends_with("replayed") && moment["detail"].as_str().unwrap().contains(CALLER)
    };
    assert!(order["timeline"].as_array().unwrap().iter().any(replayed), "{order}");
    assert_eq!(indexed(&relay).await, vec![]);
    // A replay does not repeat a call that TOP has.
    assert_eq!(relay.replay("sctt", "T-1").await.0, 202);
    relay.run_until_idle().await;
    assert_eq!((relay.effects(), relay.ledger().len()), (1, 2));
    assert_eq!(relay.replay("sctt", "T-2").await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn replay_that_was_not_enqueued_is_swept() {
    let relay = Relay::new().await;
    relay.post_tsy(&tsy("P-1", "rejected")).await;
    relay.run_until_idle().await;
    relay.cloud.order(WireFault::ServerError, 3, |sent| sent.operation == "SendMessage");
    assert_eq!(relay.replay("tsy", "P-1").await.0, 202);
    relay.clock.advance(6 * MINUTE);
    assert_eq!(swept(&relay).await, 1);
    relay.run_until_idle().await;
    assert_eq!(relay.notification("tsy", "P-1").await.0, "attention");
}

#[tokio::test(start_paused = true)]
async fn decision_overtaken_by_a_replay_is_made_again() {
    let relay = Relay::new().await;
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay.cloud.hold(|sent| sent.operation == "PutItem");
    let messages = relay.receive("notifications").await;
    let event = relay.event(&messages);
    let slow = relay.invoke("notifications", event);
    let replay = async {
        while relay.cloud.held() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(relay.replay("tsy", "P-1").await.0, 202);
        relay.cloud.release();
    };
    tokio::join!(slow, replay);
    relay.run_until_idle().await;
    assert_eq!((relay.notification("tsy", "P-1").await.0.as_str(), relay.effects()), ("dispatched", 1));
    let order = relay.order("tsy", "P-1").await;
    let replayed = |moment: &Value| moment["event"] == "replayed";
    assert!(order["timeline"].as_array().unwrap().iter().any(replayed), "{order}");
}

#[tokio::test(start_paused = true)]
async fn operator_resolves_an_unknown_call() {
    for (outcome, state, effects) in
        [("succeeded", "succeeded", 1), ("rejected", "refused", 1), ("retry", "succeeded", 2)]
    {
        let relay = Relay::new().await;
        relay.top_faults(json!([{"times": 1, "fault": "timeout_after_effect"}]));
        relay.submit_and_decide("ticket-verify", Some("K"), &redemption(7, 0)).await;
        relay.run_until_idle().await;
        assert_eq!(relay.call(CallKind::TicketVerify, "K").await["state"], "unknown");
        let said = json!({"outcome": outcome, "note": "asked TOP"}).to_string();
        let (status, body) = relay.resolve("ticket-verify", "K", &said).await;
        assert_eq!(status, 202, "{body}");
        relay.run_until_idle().await;
        // The response got lost, and the operator repeats the request.
        assert_eq!(relay.resolve("ticket-verify", "K", &said).await.0, 202);
        relay.run_until_idle().await;
        let (_, call) = relay.get_call("ticket-verify", "K").await;
        let call = parsed(&call);
        assert_eq!((&call["state"], relay.effects()), (&json!(state), effects));
        let resolved = call["history"].as_array().unwrap().iter().find(|entry| entry["note"] == "asked TOP").unwrap();
        assert_eq!((&resolved["outcome"], &resolved["owner"]), (&json!(format!("resolved_{outcome}")), &json!(CALLER)));
        assert!(resolved["at"].as_str().unwrap().starts_with("2026-"));
        assert_eq!(indexed(&relay).await, vec![]);
        assert!(relay.expires("submission#ticket-verify#key#K", "record").await);
        let (status, _) =
            relay.resolve("ticket-verify", "K", r#"{"outcome":"rejected","note":"on second thoughts"}"#).await;
        assert_eq!(status, 409);
    }
}

/// The response to a `retry` gets lost. The call is sent again and becomes unknown again. Then the operator repeats the
/// request.
#[tokio::test(start_paused = true)]
async fn repeated_resolution_does_not_apply_to_a_later_attempt() {
    let relay = Relay::new().await;
    relay.top_faults(json!([{"fault": "timeout_before_effect"}, {"fault": "timeout_after_effect"}]));
    relay.submit_and_decide("ticket-verify", Some("K"), &redemption(7, 0)).await;
    relay.run_until_idle().await;
    let retry = r#"{"outcome":"retry","note":"not seen in the console","attempt":1}"#;
    // The queue fails. The sweep enqueues the key, so the operator need not repeat the request.
    relay.cloud.order(WireFault::ServerError, 3, |sent| sent.operation == "SendMessage");
    assert_eq!(relay.resolve("ticket-verify", "K", retry).await.0, 202);
    relay.clock.advance(6 * MINUTE);
    assert_eq!(swept(&relay).await, 1);
    relay.run_until_idle().await;
    assert_eq!(relay.call(CallKind::TicketVerify, "K").await["state"], "unknown");
    let (status, body) = relay.resolve("ticket-verify", "K", retry).await;
    assert_eq!(status, 409, "{body}");
    let of = |attempt| json!({"outcome": "succeeded", "note": "seen now", "attempt": attempt}).to_string();
    assert_eq!(relay.resolve("ticket-verify", "K", &of(1)).await.0, 409);
    assert_eq!(relay.resolve("ticket-verify", "K", &of(2)).await.0, 202);
    relay.run_until_idle().await;
    assert_eq!((relay.effects(), relay.ledger().len()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn operator_note_stays_in_the_history_after_many_attempts() {
    let relay = Relay::new().await;
    relay.top_faults(json!([{"fault": "business_failure"}, {"fault": "error", "code": 31, "times": 30}]));
    relay.submit_and_decide("ticket-verify", Some("K"), &redemption(7, 1)).await;
    relay.run_until_idle().await;
    let retry = r#"{"outcome":"retry","note":"permission granted"}"#;
    assert_eq!(relay.resolve("ticket-verify", "K", retry).await.0, 202);
    for _ in 0..40 {
        relay.clock.advance(16 * MINUTE);
        relay.poll("notifications").await;
        relay.poll("ticket-verify").await;
    }
    let record = relay.call(CallKind::TicketVerify, "K").await;
    assert_eq!(
        (record["state"].as_str().unwrap(), record["history"].as_array().unwrap().len() <= 41),
        ("succeeded", true)
    );
    let said = |entry: &Value| entry["note"] == "permission granted";
    assert!(record["history"].as_array().unwrap().iter().any(said), "{record}");
}

#[tokio::test(start_paused = true)]
async fn operator_retries_a_refused_call() {
    let relay = Relay::new().await;
    relay.top_faults(json!([{"times": 1, "fault": "business_failure"}]));
    relay.submit_and_decide("ticket-verify", Some("K"), &redemption(7, 0)).await;
    relay.run_until_idle().await;
    assert_eq!(relay.call(CallKind::TicketVerify, "K").await["state"], "refused");
    assert_eq!(relay.resolve("ticket-verify", "K", r#"{"outcome":"succeeded"}"#).await.0, 409);
    assert_eq!(relay.resolve("ticket-verify", "K", r#"{"outcome":"retry","note":"permission granted"}"#).await.0, 202);
    assert!(!relay.expires("submission#ticket-verify#key#K", "record").await);
    relay.run_until_idle().await;
    assert_eq!(relay.call(CallKind::TicketVerify, "K").await["state"], "succeeded");
    assert_eq!((relay.effects(), indexed(&relay).await), (1, vec![]));
}

#[tokio::test(start_paused = true)]
async fn invalid_resolution_is_rejected() {
    let relay = Relay::new().await;
    relay.submit_and_decide("ticket-verify", Some("K"), &redemption(7, 0)).await;
    for (body, status) in [
        (r#"{"outcome":"succeeded"}"#, 409),
        (r#"{"outcome":"done"}"#, 400),
        (r#"{"note":"x"}"#, 400),
        (r#"{"outcome":"retry","because":"x"}"#, 400),
        ("[]", 400),
    ] {
        assert_eq!(relay.resolve("ticket-verify", "K", body).await.0, status, "{body}");
    }
    assert_eq!(relay.resolve("ticket-verify", "L", r#"{"outcome":"retry"}"#).await.0, 404);
    assert_eq!(relay.call(CallKind::TicketVerify, "K").await["state"], "pending");
}

/// A write of an older link that was delayed in the network must not undo a newer one.
#[tokio::test(start_paused = true)]
async fn late_write_of_an_older_link_changes_nothing() {
    let relay = Relay::new().await;
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.cloud.hold(|sent| sent.operation == "UpdateItem" && sent.body.contains("late-link"));
    let late = flight().replace("3021342134", "late-link");
    let slow = relay.put_order("tsy", "P-1", &late);
    let fast = async {
        while relay.cloud.held() == 0 {
            tokio::task::yield_now().await;
        }
        let newer = flight().replace("3021342134", "newer-link");
        assert_eq!(relay.put_order("tsy", "P-1", &newer).await.0, 200);
        let before = relay.order("tsy", "P-1").await["link"].clone();
        assert_eq!(before["happytrip_flight"]["tes_head_id"], "newer-link");
        relay.cloud.order(WireFault::NotPerformed, 100, |sent| sent.body.contains("late-link"));
        relay.cloud.release();
    };
    tokio::join!(slow, fast);
    assert_eq!(relay.order("tsy", "P-1").await["link"]["happytrip_flight"]["tes_head_id"], "newer-link");
}

#[test]
fn template_has_the_queried_indexes() {
    let template = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml")).unwrap();
    for (index, projects) in [(UNFINISHED, UNFINISHED_PROJECTS.join(", ")), (ATTENTION, ATTENTION_PROJECTS.join(", "))]
    {
        assert!(template.contains(&format!("- IndexName: {index}\n")), "{index}");
        assert!(template.contains(&format!("NonKeyAttributes: [{projects}]")), "{index}");
    }
}

#[tokio::test(start_paused = true)]
async fn dismissed_order_is_off_the_list_until_a_new_fact_arrives() {
    let relay = Relay::new().await;
    let listed = async || parsed(&relay.attention(None, None).await.1)["items"].as_array().unwrap().len();
    relay.post_tsy(&tsy("P-1", "rejected")).await;
    relay.run_until_idle().await;
    assert_eq!(listed().await, 1);
    let long = relay.instruct("dismiss", "tsy", "P-1", &"n".repeat(1025)).await;
    assert_eq!((long.0, &parsed(&long.1)["field"]), (400, &json!("note")));
    assert_eq!(relay.instruct("dismiss", "tsy", "P-1", " ").await.0, 400);
    assert_eq!(relay.instruct("dismiss", "tsy", "P-2", "n").await.0, 404);
    assert_eq!(relay.instruct("dismiss", "tsy", "P-1", "refunded").await.0, 202);
    assert_eq!(relay.instruct("dismiss", "tsy", "P-1", "again").await.0, 409, "the first dismissal is not decided yet");
    relay.run_until_idle().await;
    assert_eq!(relay.instruct("dismiss", "tsy", "P-1", "again").await.0, 409, "it is off the list");
    assert_eq!(listed().await, 0);
    let order = relay.order("tsy", "P-1").await;
    assert_eq!(order["notifications"][0]["state"], "dispatched");
    let said = |moment: &Value| moment["event"] == "dismissed" && moment["detail"] == format!("by {CALLER}: refunded");
    assert!(order["timeline"].as_array().unwrap().iter().any(said), "{order:#}");
    assert!(relay.expires("order#tsy#P-1", "record").await);
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.run_until_idle().await;
    assert_eq!((listed().await, relay.ledger().len()), (1, 0), "the link changed");
}
