//! Batches of messages: each message succeeds or fails independently.

use std::time::Duration;

use aws_lambda_events::sqs::SqsBatchResponse;
use relay_runtime::queue::batch::{Handled, Invocation, Message};
use relay_tests::bodies::ship_call;
use relay_tests::cloud::WireFault;
use relay_tests::relay::Relay;
use relay_types::call::CallKind;
use relay_types::record::RecordKey;
use relay_types::time::Clock;
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn failing_messages_do_not_affect_the_rest_of_the_batch() {
    let relay = Relay::new().await;
    for n in 1..=9 {
        relay.submit_and_decide("ship-notify", None, &ship_call(&format!("38{n}"), true)).await;
    }
    relay.sqs.send_message().queue_url(relay.queue_url("ship-notify")).message_body("not JSON").send().await.unwrap();
    relay.cloud.order(WireFault::Panic, 1, |sent| sent.service == "top" && sent.body.contains("381"));
    relay.top_faults(json!([{"fault": "business_failure", "match": "382", "times": 1}]));
    relay.cloud.order(WireFault::NoAnswer, 1, |sent| sent.service == "dynamodb" && sent.body.contains("#383"));
    relay.cloud.order(WireFault::NoAnswer, 2, |sent| sent.service == "dynamodb" && sent.body.contains("#383"));
    let messages = relay.receive("ship-notify").await;
    assert_eq!(messages.len(), 10);
    let id_of = |text: &str| {
        let message = messages.iter().find(|message| message.body.as_ref().unwrap().contains(text)).unwrap();
        message.message_id.clone().unwrap()
    };
    let mut expected = vec![id_of("not JSON"), id_of("381"), id_of("383")];
    relay.cloud.take_sent();

    let response = relay.invoke("ship-notify", relay.event(&messages)).await;

    let mut failed: Vec<_> = response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
    failed.sort();
    expected.sort();
    assert_eq!(failed, expected);
    assert_eq!(relay.call(CallKind::ShipNotify, "382").await["state"], "refused");
    for n in 4..=9 {
        assert_eq!(relay.call(CallKind::ShipNotify, &format!("38{n}")).await["state"], "succeeded");
    }
    let postponed: Vec<_> =
        relay.cloud.take_sent().into_iter().filter(|sent| sent.operation == "ChangeMessageVisibilityBatch").collect();
    assert_eq!(postponed.len(), 1, "one request delays all failed messages");
    // The two calls that may be repeated are sent again after their leases. The message that is not JSON stays for the
    // dead-letter queue.
    for _ in 0..20 {
        relay.clock.advance(Duration::from_secs(20));
        relay.poll("ship-notify").await;
        for message in &messages {
            let change = relay.sqs.change_message_visibility().queue_url(relay.queue_url("ship-notify"));
            let _ = change.receipt_handle(message.receipt_handle.clone().unwrap()).visibility_timeout(0).send().await;
        }
    }
    for n in [1, 3] {
        assert_eq!(relay.call(CallKind::ShipNotify, &format!("38{n}")).await["state"], "succeeded");
    }
    assert_eq!(relay.effects(), 8);
}

/// Handles a batch of ship notifications in an invocation with this much time left.
async fn deliver_within(relay: &Relay, messages: &[aws_sdk_sqs::types::Message], left: Duration) -> SqsBatchResponse {
    let invocation = Invocation { request_id: "late".to_owned(), deadline: relay.clock.now().plus(left) };
    let delivery = relay.senders.iter().find(|sender| sender.kind == CallKind::ShipNotify).unwrap();
    let payload = relay.event(messages).payload;
    relay.runner("ship-notify").run(payload, &invocation, |message| delivery.deliver(message, &invocation)).await
}

#[tokio::test(start_paused = true)]
async fn message_without_time_to_start_is_returned_untouched() {
    let relay = Relay::new().await;
    relay.submit_and_decide("ship-notify", None, &ship_call("38", true)).await;
    let messages = relay.receive("ship-notify").await;
    relay.cloud.take_sent();
    let response = deliver_within(&relay, &messages, Duration::from_secs(4)).await;
    assert_eq!(response.batch_item_failures.len(), 1);
    assert!(relay.cloud.take_sent().iter().all(|sent| sent.service == "sqs"));
    assert_eq!(relay.call(CallKind::ShipNotify, "38").await["attempt"], 0);
}

#[tokio::test(start_paused = true)]
async fn hanging_call_is_stopped_before_the_invocation_ends() {
    let relay = Relay::new().await;
    relay.submit_and_decide("ship-notify", None, &ship_call("38", true)).await;
    relay.submit_and_decide("ship-notify", None, &ship_call("39", true)).await;
    relay.top_faults(json!([{"fault": "timeout_before_effect", "match": "38", "times": 1}]));
    let messages = relay.receive("ship-notify").await;
    let start = tokio::time::Instant::now();
    let response = relay.invoke("ship-notify", relay.event(&messages)).await;
    assert!(start.elapsed() < Duration::from_secs(27));
    assert_eq!(response.batch_item_failures.len(), 1);
    assert_eq!(relay.call(CallKind::ShipNotify, "39").await["state"], "succeeded");
    let stopped = relay.call(CallKind::ShipNotify, "38").await;
    assert_eq!((stopped["state"].as_str().unwrap(), stopped["unsettled"].as_i64().unwrap()), ("pending", 1));
}

#[tokio::test(start_paused = true)]
async fn key_without_a_record_sends_nothing() {
    let relay = Relay::new().await;
    for body in [
        json!({"call": "ticket-verify", "id": "key#k"}),
        json!({"call": "ship-notify", "id": "none"}),
        json!({"call": "ship-notify"}),
        json!([]),
    ] {
        relay
            .sqs
            .send_message()
            .queue_url(relay.queue_url("ship-notify"))
            .message_body(body.to_string())
            .send()
            .await
            .unwrap();
    }
    let messages = relay.receive("ship-notify").await;
    let response = relay.invoke("ship-notify", relay.event(&messages)).await;
    assert_eq!(
        response.batch_item_failures.len(),
        2,
        "keys without a record are done; the other messages are not keys"
    );
    assert_eq!(relay.ledger().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn undecodable_message_does_not_hold_up_the_rest_of_the_batch() {
    let relay = Relay::new().await;
    relay.sqs.send_message().queue_url(relay.queue_url("notifications")).message_body("{}").send().await.unwrap();
    relay.post_tsy(&relay_tests::bodies::tsy("P-1", "rejected")).await;
    let messages = relay.receive("notifications").await;
    let response = relay.invoke("notifications", relay.event(&messages)).await;
    assert_eq!(response.batch_item_failures.len(), 1);
    assert_eq!(relay.notification("tsy", "P-1").await.0, "attention");
}

#[tokio::test(start_paused = true)]
async fn time_limit_stops_only_the_hanging_message_despite_clock_skew() {
    for skew in [0, 30, -30] {
        let relay = Relay::new().await;
        for n in 1..=3 {
            relay.submit_and_decide("ship-notify", None, &ship_call(&format!("38{n}"), true)).await;
        }
        let messages = relay.receive("ship-notify").await;
        // If the clock is behind Lambda's, the deadline seems too far away. If it is ahead, the deadline seems past.
        let mut event = relay.event(&messages);
        event.context.deadline = event.context.deadline.checked_add_signed(skew * 1000).unwrap();
        let invocation = Invocation::new(&event.context, relay.clock.now());
        let start = tokio::time::Instant::now();
        let handle = async |message: Message<RecordKey>| {
            if message.key.to_string().ends_with("/382") { std::future::pending().await } else { Handled::Done }
        };
        let response = relay.runner("ship-notify").run(event.payload, &invocation, handle).await;
        assert_eq!(response.batch_item_failures.len(), 1, "{skew}");
        let elapsed = start.elapsed().as_secs();
        assert!((20..=28).contains(&elapsed), "stopped after {elapsed} s, {skew}");
    }
}

#[tokio::test(start_paused = true)]
async fn message_returned_for_lack_of_time_waits_longer_each_time() {
    let relay = Relay::new().await;
    relay.submit_and_decide("ship-notify", None, &ship_call("38", true)).await;
    let mut messages = relay.receive("ship-notify").await;
    for (count, least) in [("1", 2), ("4", 16)] {
        let name = aws_sdk_sqs::types::MessageSystemAttributeName::ApproximateReceiveCount;
        messages[0].attributes = Some([(name, count.to_owned())].into());
        relay.cloud.take_sent();
        deliver_within(&relay, &messages, Duration::from_secs(1)).await;
        let sent = relay.cloud.take_sent();
        let change: serde_json::Value = serde_json::from_str(&sent[0].body).unwrap();
        let seconds = change["Entries"][0]["VisibilityTimeout"].as_i64().unwrap();
        assert!(seconds >= least, "{count}: {seconds}");
    }
}

#[tokio::test(start_paused = true)]
async fn implausible_deadline_gives_the_whole_function_timeout() {
    let relay = Relay::new().await;
    relay.submit_and_decide("ship-notify", None, &ship_call("38", true)).await;
    let messages = relay.receive("ship-notify").await;
    let mut event = relay.event(&messages);
    event.context.deadline = 600_000;
    assert!(relay.invoke("ship-notify", event).await.batch_item_failures.is_empty());
    assert_eq!(relay.effects(), 1);
}
