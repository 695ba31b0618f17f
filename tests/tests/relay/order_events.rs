//! Order events for the company's other systems: everything accepted and every outcome, after the fact, at least once.

use std::collections::BTreeMap;
use std::time::Duration;

use relay_order_events::{OrderEvents, StreamEvent};
use relay_tests::bodies::{cancel, flight, redemption, sctt, ship, tsy};
use relay_tests::cloud::{Sent, WireFault};
use relay_tests::relay::Relay;
use relay_types::notification::NotificationKind;
use serde_json::{Value, json};

/// A relay whose table has a stream, and the function that follows it.
async fn followed() -> (Relay, OrderEvents) {
    let relay = Relay::new().await;
    let events = relay.followed().await;
    relay.cloud.take_sent();
    (relay, events)
}

/// A message as a subscriber gets it.
#[derive(Debug, Clone, PartialEq)]
struct Got {
    body: Value,
    attributes: BTreeMap<String, String>,
}

/// Reads the messages of a PublishBatch request.
fn messages(sent: &Sent) -> Vec<Got> {
    let form: BTreeMap<_, _> = form_urlencoded::parse(sent.body.as_bytes()).into_owned().collect();
    let member = |index: usize| format!("PublishBatchRequestEntries.member.{index}");
    let attribute = |index: usize, n: usize| {
        let entry = format!("{}.MessageAttributes.entry.{n}", member(index));
        Some((form.get(&format!("{entry}.Name"))?.clone(), form[&format!("{entry}.Value.StringValue")].clone()))
    };
    (1..)
        .map_while(|index| {
            let body = serde_json::from_str(form.get(&format!("{}.Message", member(index)))?).unwrap();
            Some(Got { body, attributes: (1..).map_while(|n| attribute(index, n)).collect() })
        })
        .collect()
}

/// SNS's answer if it refuses the first event of a batch. `$fault` tells whether the event itself is at fault.
macro_rules! entry_refused {
    ($fault:literal) => {
        concat!(
            "<PublishBatchResponse xmlns='http://sns.amazonaws.com/doc/2010-03-31/'><PublishBatchResult><Successful/>",
            "<Failed><member><Id>0</Id><Code>InvalidParameter</Code><SenderFault>",
            $fault,
            "</SenderFault></member></Failed></PublishBatchResult></PublishBatchResponse>"
        )
    };
}

/// Passes all changes of the table to the function and returns the published messages.
async fn publish(relay: &Relay, events: &OrderEvents) -> Vec<Got> {
    relay.cloud.take_sent();
    events.handle(StreamEvent { records: relay.cloud.changes() }).await.unwrap();
    published(relay)
}

fn published(relay: &Relay) -> Vec<Got> {
    let sent = relay.cloud.take_sent();
    sent.iter().filter(|sent| sent.operation == "PublishBatch").flat_map(messages).collect()
}

/// Outcome and kind (of notification or call) of each message.
fn told(got: &[Got]) -> Vec<(String, String)> {
    let text = |got: &Got, name: &str| got.body["data"][name].as_str().unwrap().to_owned();
    got.iter().map(|got| (text(got, "outcome"), text(got, "kind"))).collect()
}

fn expected(told: &[(&str, &str)]) -> Vec<(String, String)> {
    told.iter().map(|(outcome, kind)| ((*outcome).to_owned(), (*kind).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn events_follow_an_order_from_its_notification_to_top() {
    let (relay, events) = followed().await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay.run_until_idle().await;
    relay.clock.advance(Duration::from_millis(61_500));
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.run_until_idle().await;
    let got = publish(&relay, &events).await;
    assert_eq!(
        told(&got),
        expected(&[
            ("received", "issue-notify"),
            ("waiting", "issue-notify"),
            ("dispatched", "issue-notify"),
            ("succeeded", "itinerary-postback"),
        ])
    );
    let attributes = |outcome: &str, kind: &str| {
        [("outcome", outcome), ("kind", kind), ("partner", "tsy"), ("order", "P-1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    };
    assert_eq!(got[0].attributes, attributes("received", "issue-notify"));
    assert_eq!(got[3].attributes, attributes("succeeded", "itinerary-postback"));
    let first = &got[0].body;
    let subject = first["subject"].as_str().unwrap();
    assert!(subject.starts_with("tsy/P-1/issue-notify/"), "{subject}");
    assert_eq!(
        *first,
        json!({"specversion": "1.0", "id": first["id"], "source": "ticket-relay/test",
            "type": "ticket-relay.notification.received", "subject": subject, "time": "2026-01-01T04:00:00.000Z",
            "datacontenttype": "application/json",
            "data": {"outcome": "received", "kind": "issue-notify", "partner": "tsy", "order_id": "P-1"}})
    );
    let call = got[2].body["data"]["call"].as_str().unwrap().split_once('/').unwrap().1;
    assert_eq!(got[3].body["data"]["key"], call);
    assert_eq!(got[3].body["data"]["seconds_from_notification"], json!(61.5));
    assert_eq!(got[1].body["data"]["reason"], "no_link");
}

#[tokio::test(start_paused = true)]
async fn attention_is_published_with_its_reason_and_the_operators_request() {
    let (relay, events) = followed().await;
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await;
    relay.run_until_idle().await;
    relay.clock.advance(Duration::from_secs(1));
    relay.post(NotificationKind::CancelPush, &cancel(&[("T-1", 3)])).await;
    relay.run_until_idle().await;
    relay.clock.advance(Duration::from_secs(1));
    relay.replay("sctt", "T-1").await;
    relay.run_until_idle().await;
    let got = publish(&relay, &events).await;
    let attention = got.iter().find(|got| got.attributes["outcome"] == "attention").unwrap();
    assert!(!attention.body["data"]["reason"].as_str().unwrap().is_empty());
    let of_the_push: Vec<_> =
        told(&got).into_iter().filter(|(_, kind)| kind == "cancel-push" || kind == "order").collect();
    assert_eq!(
        of_the_push,
        expected(&[("received", "cancel-push"), ("attention", "cancel-push"), ("replayed", "order")])
    );
    // Names, certificates and vouchers stay in the table.
    assert!(!format!("{got:?}").contains("PLANTED"), "{got:?}");
}

#[tokio::test(start_paused = true)]
async fn every_outcome_of_a_call_is_published() {
    let (relay, events) = followed().await;
    let call = "ticket-verify";
    relay.top_faults(json!([
        {"fault": "error", "code": 15, "sub_code": "isv.invalid-parameter", "sub_msg": "PLANTED-QUOTE", "times": 1},
        {"fault": "timeout_after_effect", "times": 1},
    ]));
    for (key, order_id) in [("refused", 1), ("unknown", 2), ("fine", 3)] {
        let _accepted = relay.submit_and_decide(call, Some(key), &redemption(order_id, 0)).await;
        relay.run_until_idle().await;
    }
    relay.resolve(call, "unknown", r#"{"outcome": "succeeded"}"#).await;
    relay.run_until_idle().await;
    let got = publish(&relay, &events).await;
    let told = told(&got);
    let ends = [("refused", call), ("unknown", call), ("succeeded", call), ("succeeded", call)];
    assert_eq!(told, expected(&ends));
    let by_person: Vec<_> = got.iter().map(|got| got.body["data"]["said_by_person"] == json!(true)).collect();
    assert_eq!(by_person.iter().filter(|by_person| **by_person).count(), 1, "{got:?}");
    assert_eq!(got[0].body["data"]["sub_code"], "isv.invalid-parameter");
    // A call that was submitted directly belongs to no order.
    assert_eq!(got[0].attributes.keys().collect::<Vec<_>>(), ["kind", "outcome"]);
    assert!(got.iter().all(|got| got.body["data"].get("seconds_from_notification").is_none()));
    assert!(!format!("{got:?}").contains("PLANTED"), "{got:?}");
}

#[tokio::test(start_paused = true)]
async fn call_withdrawn_before_it_was_sent_is_not_published_as_refused() {
    let (relay, events) = followed().await;
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    relay.post_sctt(&sctt("T-1", 3, 0).to_string()).await;
    relay.poll("notifications").await;
    relay.clock.advance(Duration::from_secs(1));
    relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await;
    relay.run_until_idle().await;
    let ends: Vec<_> =
        told(&publish(&relay, &events).await).into_iter().filter(|(_, kind)| kind == "ship-notify").collect();
    assert_eq!(ends, expected(&[("withdrawn", "ship-notify"), ("succeeded", "ship-notify")]));
}

#[tokio::test(start_paused = true)]
async fn events_that_sns_did_not_accept_are_retried_with_the_same_ids() {
    let (relay, events) = followed().await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay.run_until_idle().await;
    let ids = |got: &[Got]| got.iter().map(|got| got.body["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    // The SDK tries three times. After a lost response, it repeats the request itself.
    for (fault, times) in [(WireFault::ServerError, 3), (WireFault::AnswerLost, 1)] {
        relay.cloud.order(fault, times, |sent| sent.service == "sns");
        relay.cloud.take_sent();
        let outcome = events.handle(StreamEvent { records: relay.cloud.changes() }).await;
        assert_eq!(outcome.is_err(), fault == WireFault::ServerError);
        let (tried, again) = (ids(&published(&relay)), ids(&publish(&relay, &events).await));
        let tries = times + usize::from(fault == WireFault::AnswerLost);
        assert_eq!(tried, vec![again.clone(); tries].concat());
        assert_ne!(again[0], again[1]);
    }
}

/// An event that SNS refuses for good must not block the changes behind it.
#[tokio::test(start_paused = true)]
async fn only_refusals_that_may_pass_are_retried() {
    let (relay, events) = followed().await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay.run_until_idle().await;
    for (answer, is_retried) in [(entry_refused!("true"), false), (entry_refused!("false"), true)] {
        relay.cloud.order(WireFault::Answered(answer), 1, |sent| sent.service == "sns");
        let outcome = events.handle(StreamEvent { records: relay.cloud.changes() }).await;
        assert_eq!(outcome.is_err(), is_retried, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_published_ten_at_a_time() {
    let (relay, events) = followed().await;
    let orders: Vec<_> = (0..23).map(|n| format!("T-{n}")).collect();
    let push: Vec<_> = orders.iter().map(|order| (order.as_str(), 3)).collect();
    relay.post(NotificationKind::CancelPush, &cancel(&push)).await;
    relay.cloud.take_sent();
    events.handle(StreamEvent { records: relay.cloud.changes() }).await.unwrap();
    let mut sizes: Vec<_> = relay.cloud.take_sent().iter().map(|sent| messages(sent).len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [3, 10, 10]);
}

#[tokio::test(start_paused = true)]
async fn repeated_deliveries_and_decisions_publish_nothing() {
    let (relay, events) = followed().await;
    for _ in 0..3 {
        relay.post_tsy(&tsy("P-1", "issued")).await;
        relay.run_until_idle().await;
    }
    let got = publish(&relay, &events).await;
    assert_eq!(told(&got), expected(&[("received", "issue-notify"), ("waiting", "issue-notify")]));
}

#[tokio::test(start_paused = true)]
async fn unreadable_change_does_not_hold_up_the_others() {
    let (relay, events) = followed().await;
    relay.post_tsy("{").await;
    // An order ID with a character that XML does not allow.
    relay.post_tsy(&tsy("P\u{fffe}1", "issued")).await;
    let mut records = relay.cloud.changes();
    records.insert(0, json!({"eventID": "x", "dynamodb": {"NewImage": {"pk": {"S": "order#tsy#1"}, "sk": {"Q": 1}}}}));
    records.insert(1, json!("no change at all"));
    records.push(json!({"eventID": "y", "dynamodb": {"Keys": {}}}));
    relay.cloud.take_sent();
    events.handle(StreamEvent { records }).await.unwrap();
    let got = published(&relay);
    assert_eq!(told(&got), expected(&[("received", "issue-notify")]));
    assert_eq!(got[0].attributes["order"], "P\u{fffd}1");
    assert_eq!(got[0].body["data"]["order_id"], "P\u{fffe}1");
}
