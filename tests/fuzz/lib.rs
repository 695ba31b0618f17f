//! Checks that every input from outside gets a documented answer, and that the table and the queues match it.
//!
//! Each test is a fuzz target. `cargo test` runs its corpus (`__fuzz__/<target>/corpus`) and then up to several
//! thousand random inputs. `make fuzz` lets libFuzzer look for inputs that reach new code.

#![cfg(test)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails at the first unexpected state")]

mod documented;
mod edits;
mod notifications;
mod script;
mod world;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_lambda_events::sqs::SqsEvent;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::Message;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lambda_http::RequestExt as _;
use lambda_runtime::{Context, LambdaEvent};
use relay_tests::bodies::{flight, redemption, sctt, ship_call, tsy};
use relay_tests::relay::{Answered, Relay, TOKEN, answered};
use relay_top::error::ErrorClasses;
use relay_top::response::{self, Outcome};
use relay_types::call::CallKind;
use relay_types::digest::{canonical_digest, sha256_hex};
use relay_types::notification::NotificationKind;
use relay_types::order::{OrderId, Partner};
use relay_types::record::RecordKey;
use relay_types::time::Clock as _;
use serde_json::{Value, json};

use crate::documented::{acknowledgement, encoded, partner_refusal, refusal, sqs_takes};
use crate::edits::{Edited, LARGEST, Seeds, body};
use crate::notifications::notification;
use crate::world::{bare, on_empty_relay, request};

/// Includes the files of a target's corpus that edits begin from. Add new ones at the end: inputs choose them by
/// position.
macro_rules! seeds {
    ($target:literal: $($name:literal),+ $(,)?) => {
        Seeds::new(&[$(include_str!(concat!("__fuzz__/", $target, "/corpus/", $name, ".json"))),+])
    };
}

static TSY: Seeds = seeds!("tsy_notification": "issued", "rejected");
static SCTT: Seeds = seeds!("sctt_notification": "booked", "unsigned", "failed");
static TSY_CHANGE_PRICE: Seeds = seeds!("tsy_change_price": "price");
static TSY_CHANGE_RESULT: Seeds = seeds!("tsy_change_result": "named", "nameless");
static SCTT_CANCEL: Seeds = seeds!("sctt_cancellation": "two", "failed");
static LINK: Seeds = seeds!("link": "flight", "ship", "ticket");
static ITINERARY_POSTBACK: Seeds = seeds!("itinerary_postback_call": "flight");
static TICKET_VERIFY: Seeds = seeds!("ticket_verify_call": "redemption", "total");
static SHIP_NOTIFY: Seeds = seeds!("ship_notify_call": "issued", "failed");
static SHIP_RETURN_NOTIFY: Seeds = seeds!("ship_return_notify_call": "ticket", "failed");
static TICKET_REFUND_NOTIFY: Seeds = seeds!("ticket_refund_notify_call": "refunded", "failed");
static TOP_RESPONSE: Seeds = seeds!("top_response":
    "ship-ok", "ship-ok-simplified", "ship-business-failure-http200", "verify-ok", "verify-not-success",
    "happytrip-ok", "happytrip-business-failure", "err-7-short-ban", "err-7-day-quota", "err-11-ip",
    "err-15-timeout", "err-15-isp-npe-no-retry", "err-25", "err-27-min", "err-27-full", "err-31",
    "err-50-invalid-param-from-seed", "ship-return-ok", "ticket-refund-ok",
);
static SQS_EVENT: Seeds = seeds!("sqs_event":
    "dispatch", "itinerary-postback", "ticket-verify", "ship-notify", "a-key-and-none", "ship-return-notify",
    "ticket-refund-notify",
);
static RESOLUTION: Seeds = seeds!("resolution": "succeeded", "rejected", "retry");
static ATTENTION_QUERY: Seeds = seeds!("attention_query": "first-page", "next-page");
static PATH_PARAMETERS: Seeds = seeds!("path_parameters": "names", "encoded");

/// The time limit for random inputs of one target, for busy machines.
const LONGEST: Duration = Duration::from_secs(4);

/// Runs a target. Without a fuzzer, it runs the corpus and then `$inputs` random inputs.
macro_rules! fuzz {
    ($inputs:expr, $target:expr) => {
        bolero::check!()
            .with_iterations($inputs)
            .with_test_time(LONGEST)
            .with_max_len(512)
            .for_each(|input: &[u8]| $target(input))
    };
}

#[test]
fn tsy_notification() {
    fuzz!(1500, |input| notification(NotificationKind::IssueNotify, &body(input, &TSY)));
}

#[test]
fn tsy_change_price() {
    fuzz!(700, |input| notification(NotificationKind::ChangePricePush, &body(input, &TSY_CHANGE_PRICE)));
}

#[test]
fn tsy_change_result() {
    fuzz!(700, |input| notification(NotificationKind::ChangeResultPush, &body(input, &TSY_CHANGE_RESULT)));
}

#[test]
fn sctt_cancellation() {
    fuzz!(1000, |input| notification(NotificationKind::CancelPush, &body(input, &SCTT_CANCEL)));
}

#[test]
fn sctt_notification() {
    fuzz!(1500, |input| notification(NotificationKind::VoucherPush, &body(input, &SCTT)));
}

#[test]
fn link() {
    fuzz!(1000, |input| linked(&body(input, &LINK)));
}

#[test]
fn itinerary_postback_call() {
    fuzz!(1000, |input| submitted(CallKind::ItineraryPostback, &body(input, &ITINERARY_POSTBACK)));
}

#[test]
fn ticket_verify_call() {
    fuzz!(1000, |input| submitted(CallKind::TicketVerify, &body(input, &TICKET_VERIFY)));
}

#[test]
fn ship_notify_call() {
    fuzz!(1000, |input| submitted(CallKind::ShipNotify, &body(input, &SHIP_NOTIFY)));
}

#[test]
fn ship_return_notify_call() {
    fuzz!(1000, |input| submitted(CallKind::ShipReturnNotify, &body(input, &SHIP_RETURN_NOTIFY)));
}

#[test]
fn ticket_refund_notify_call() {
    fuzz!(1000, |input| submitted(CallKind::TicketRefundNotify, &body(input, &TICKET_REFUND_NOTIFY)));
}

#[test]
fn top_response() {
    fuzz!(8000, |input| top_answered(&body(input, &TOP_RESPONSE)));
}

#[test]
fn sqs_event() {
    fuzz!(1000, |input| received(&body(input, &SQS_EVENT)));
}

#[test]
fn resolution() {
    fuzz!(700, |input| resolved(&body(input, &RESOLUTION)));
}

#[test]
fn attention_query() {
    fuzz!(700, |input| asked_for_attention(&body(input, &ATTENTION_QUERY)));
}

#[test]
fn path_parameters() {
    fuzz!(700, |input| routed(&body(input, &PATH_PARAMETERS)));
}

/// Parses messages of a queue, and checks that SQS accepts each.
fn keys(messages: &[Message]) -> Vec<Value> {
    let key = |message: &Message| {
        let body = message.body.as_deref().unwrap();
        sqs_takes(body);
        serde_json::from_str(body).unwrap()
    };
    messages.iter().map(key).collect()
}

/// Lets the function of a queue handle messages, and checks that none fails.
async fn handled(relay: &Relay, queue: &str, messages: &[Message]) {
    let response = relay.invoke(queue, relay.event(messages)).await;
    assert!(response.batch_item_failures.is_empty(), "{queue} failed on accepted messages: {messages:?}");
}

fn parsed(body: &str) -> Value {
    serde_json::from_str(body).expect("an answer is JSON")
}

/// Removes a byte order mark from the beginning of a body.
fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body)
}

/// Returns a string, or a number's digits.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        // In JSON, -0 is the number 0.
        Value::Number(number) if number.to_string() == "-0" => Some("0".to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Links an order that already has a notification.
fn linked(sent: &Edited) {
    on_empty_relay(async |relay| {
        let is_flight = sent.bytes.windows(9).any(|window| window == b"happytrip");
        let partner = if is_flight { Partner::Tsy } else { Partner::Sctt };
        match partner {
            Partner::Tsy => relay.post_tsy(&tsy("O-1", "issued")).await,
            Partner::Sctt => relay.post_sctt(&sctt("O-1", 2, 1).to_string()).await,
        };
        relay.cloud.take_sent();
        let parameters = json!({"partner": partner.as_ref(), "order_id": "O-1"});
        let request = request("PUT", "/orders/{partner}/{order_id}", parameters, json!({}), sent);
        let (status, answer) = answered(relay.order_link.handle(&request).await);
        if_too_large(status, &answer, sent);
        if status != 200 {
            let _field = refusal(status, &answer, &sent.bytes);
            assert!(matches!(status, 400 | 413), "unexpected status {status} for an order of a known partner");
            assert_eq!(relay.cloud.take_sent(), []);
            return;
        }
        let expected = json!({"partner": partner.as_ref(), "order_id": "O-1", "version": 1, "notifications": 1});
        assert_eq!(parsed(&answer), expected);
        assert!(relay.order(partner.as_ref(), "O-1").await["link"].is_object());
        let messages = relay.receive("notifications").await;
        assert_eq!(keys(&messages).len(), 2, "the link did not enqueue the order again");
        handled(relay, "notifications", &messages).await;
        for kind in CallKind::ALL {
            let messages = relay.receive(kind.as_ref()).await;
            let _keys = keys(&messages);
            handled(relay, kind.as_ref(), &messages).await;
        }
        let order = relay.order(partner.as_ref(), "O-1").await;
        assert_ne!(order["notifications"][0]["state"], "received", "the notification was not decided");
        for call in order["calls"].as_array().unwrap() {
            assert!(call["state"] == "succeeded" || call["state"] == "refused", "{call}");
        }
    });
}

/// Submits a call twice.
fn submitted(kind: CallKind, sent: &Edited) {
    on_empty_relay(async |relay| {
        let submit = async || {
            let has_key = kind == CallKind::TicketVerify;
            let headers = if has_key { json!({"Idempotency-Key": "redemption-1"}) } else { json!({}) };
            let request = request("POST", "/calls/{call}", json!({"call": kind.as_ref()}), headers, sent);
            let response = relay.submit_call.handle(&request).await;
            (response.headers().get("Idempotent-Replayed").is_some(), answered(response))
        };
        let (replayed, (status, answer)) = submit().await;
        assert!(!replayed, "the first submission was answered as a repeat");
        if_too_large(status, &answer, sent);
        if status != 202 {
            let _field = refusal(status, &answer, &sent.bytes);
            assert!(matches!(status, 400 | 413), "unexpected status {status} for the first submission of a known call");
            assert_eq!(relay.cloud.take_sent(), []);
            return;
        }
        let accepted = parsed(&answer);
        let key = accepted["key"].as_str().unwrap();
        assert_eq!(accepted, json!({"call": kind.as_ref(), "key": key, "state": "pending"}));
        let (replayed, (status, again)) = submit().await;
        assert_eq!((replayed, status), (true, 200), "{again}");
        let messages = relay.receive("notifications").await;
        assert_eq!(keys(&messages).len(), 2, "the submission and its repeat must enqueue one key each");
        handled(relay, "notifications", &messages).await;
        let messages = relay.receive(kind.as_ref()).await;
        handled(relay, kind.as_ref(), &messages[..1]).await;
        let (status, call) = relay.get_call(kind.as_ref(), &encoded(key)).await;
        let call = parsed(&call);
        assert_eq!(status, 200, "{call}");
        assert!(call["state"] == "succeeded" || call["state"] == "refused", "{call}");
        assert_eq!(relay.ledger().len(), 1, "TOP must be called exactly once");
    });
}

/// Checks the answer to an oversized body. A body is too large as it was sent, or with its numbers as strings as it
/// would be recorded.
fn if_too_large(status: u16, answer: &str, sent: &Edited) {
    let as_sent = "the body is larger than 256 KiB";
    let as_recorded = "the body is larger than 256 KiB once its numbers are written as strings";
    let too_large = sent.bytes.len() > LARGEST;
    assert!(status == 413 || !too_large, "{} bytes were accepted", sent.bytes.len());
    if status == 413 {
        assert_eq!(parsed(answer)["message"], if too_large { as_sent } else { as_recorded });
        assert!(sent.bytes.len() > LARGEST / 2, "{} bytes were refused", sent.bytes.len());
    }
}

/// Reads an answer of TOP as the answer to each call.
fn top_answered(answer: &Edited) {
    // TOP sometimes sends raw control characters, which count as spaces.
    let spaced = answer.bytes.iter().map(|byte| if byte.is_ascii_control() { b' ' } else { *byte });
    let read = serde_json::from_slice::<Value>(&answer.bytes);
    let read = read.or_else(|_| serde_json::from_slice(&spaced.collect::<Vec<_>>())).unwrap_or_default();
    for (kind, envelope, flag) in [
        (CallKind::ItineraryPostback, "alibaba_happytrip_flight_order_itinerary_postback_response", "ht_success"),
        (CallKind::TicketVerify, "travel_ticket_order_verify_response", "is_success"),
        (CallKind::ShipNotify, "alitrip_ship_order_notify_response", "ret_success"),
        (CallKind::ShipReturnNotify, "alitrip_ship_return_notify_response", "ret_success"),
        (CallKind::TicketRefundNotify, "travel_ticket_order_refund_response", "is_success"),
    ] {
        let outcome = response::read(kind, 200, &answer.bytes, &ErrorClasses::default());
        let told = match &outcome {
            Outcome::Succeeded(reply) => [&reply.code, &reply.message, &reply.request_id].map(Clone::clone),
            Outcome::Failed(_, failure) => {
                [&failure.sub_code, &Some(failure.message.clone()), &failure.request_id].map(Clone::clone)
            }
        };
        assert!(told.iter().flatten().all(|text| text.chars().count() <= 300), "{outcome:?}");
        let within = if read[envelope].is_object() { &read[envelope] } else { &read };
        let says_success = within[flag] == true || within[flag] == "true";
        let says_error = read["error_response"].is_object();
        assert_eq!(matches!(outcome, Outcome::Succeeded(_)), says_success && !says_error, "{outcome:?} of {read}");
    }
}

/// Invokes a function with an SQS event, in which a message's body is JSON or a string.
fn received(sent: &Edited) {
    let as_text = |value: Value| match value {
        container @ (Value::Object(_) | Value::Array(_)) => Value::String(container.to_string()),
        other => other,
    };
    let mut event: Value = serde_json::from_slice(&sent.bytes).unwrap_or_default();
    for record in event.get_mut("Records").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(body) = record.get_mut("body") {
            *body = as_text(body.take());
        }
    }
    // Anything but an event never reaches a function: the Lambda runtime refuses it, and SQS delivers it again.
    let Ok(mut event) = serde_json::from_slice::<SqsEvent>(event.to_string().as_bytes()) else { return };
    // The template sets a batch size of ten.
    event.records.truncate(20);
    let text = String::from_utf8_lossy(&sent.bytes);
    let kind = CallKind::ALL.into_iter().find(|kind| text.contains(kind.as_ref()));
    on_empty_relay(async |relay| {
        // Create the records that the seeds' keys name.
        if let Some(kind) = kind {
            let (key, body) = match kind {
                CallKind::TicketVerify => (Some("redemption-1"), redemption(7, 0)),
                CallKind::ShipNotify => (None, ship_call("3892200000033", true)),
                CallKind::ItineraryPostback => (None, ITINERARY_POSTBACK.bodies()[0].to_owned()),
                CallKind::ShipReturnNotify => (None, SHIP_RETURN_NOTIFY.bodies()[0].to_owned()),
                CallKind::TicketRefundNotify => (None, TICKET_REFUND_NOTIFY.bodies()[0].to_owned()),
            };
            drop(relay.submit(kind.as_ref(), key, &body).await);
        } else {
            drop(relay.post_tsy(&tsy("P-1001", "issued")).await);
        }
        if kind.is_some() {
            relay.poll("notifications").await;
        }
        let messages: Vec<_> = event
            .records
            .iter()
            .map(|message| (message.message_id.clone().unwrap_or_default(), message.body.clone().unwrap_or_default()))
            .collect();
        let mut context = Context::default();
        let now = u64::try_from(relay.clock.now().0).unwrap();
        context.deadline = [now + 30_000, now + 30_000, now + 5_001, now, 0, u64::MAX][sent.bytes.len() % 6];
        let response = relay.invoke(kind.map_or("notifications", Into::into), LambdaEvent::new(event, context)).await;
        let failed: BTreeSet<_> =
            response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
        for id in &failed {
            assert!(messages.iter().any(|(sent, _)| sent == id), "{id} is not the id of a sent message");
        }
        for (id, body) in messages.iter().filter(|(id, _)| !failed.contains(id)) {
            assert!(is_done(relay, kind, body).await, "{id} was neither handled nor reported as failed: {body}");
        }
    });
}

/// Whether the record that a message names has no work left: it is decided, or its call was sent.
async fn is_done(relay: &Relay, kind: Option<CallKind>, message: &str) -> bool {
    let Ok(key) = serde_json::from_str::<RecordKey>(message) else { return false };
    let Some(record) = relay.store.record(&key).await.unwrap() else { return true };
    match kind {
        None => record.facts.is_empty(),
        Some(kind) => record.target.is_none_or(|target| target.call != kind || target.end.is_some()),
    }
}

/// Resolves a call whose outcome is unknown.
fn resolved(sent: &Edited) {
    on_empty_relay(async |relay| {
        relay.submit("ticket-verify", Some("redemption-1"), &redemption(7, 0)).await;
        relay.top_faults(json!([{"fault": "not_json", "after_effect": true}]));
        assert_eq!(relay.poll("notifications").await, (1, 0));
        assert_eq!(relay.poll("ticket-verify").await, (1, 0));
        assert_eq!(relay.call(CallKind::TicketVerify, "redemption-1").await["state"], "unknown");
        relay.cloud.take_sent();
        let parameters = json!({"call": "ticket-verify", "key": "redemption-1"});
        let request = request("POST", "/calls/{call}/{key}/resolve", parameters, json!({}), sent);
        let (status, answer) = answered(relay.submit_call.handle(&request).await);
        assert_eq!(status == 413, sent.bytes.len() > LARGEST, "{} bytes", sent.bytes.len());
        if status != 202 {
            let _field = refusal(status, &answer, &sent.bytes);
            assert!(matches!(status, 400 | 413), "unexpected status {status} for an unknown call");
            assert_eq!(relay.cloud.take_sent(), []);
            return;
        }
        let said: Value = serde_json::from_slice(without_mark(&sent.bytes)).unwrap();
        let state = match said["outcome"].as_str().expect("an accepted resolution has an outcome") {
            "retry" => "pending",
            "succeeded" => "succeeded",
            "rejected" => "refused",
            other => panic!("{other} is not an outcome"),
        };
        assert_eq!(relay.poll("notifications").await, (1, 0), "{answer}");
        assert_eq!(relay.call(CallKind::TicketVerify, "redemption-1").await["state"], state);
        let waiting = relay.receive("ticket-verify").await;
        assert_eq!(keys(&waiting).len(), usize::from(state == "pending"));
        let (status, again) = answered(relay.submit_call.handle(&request).await);
        assert_eq!(status, 202, "repeating the resolution: {again}");
    });
}

/// Reads the attention list with this query.
fn asked_for_attention(sent: &Edited) {
    let Ok(query) = serde_json::from_slice::<Value>(&sent.bytes) else { return };
    let mut parameters = HashMap::new();
    for name in ["limit", "after"] {
        let value = match &query[name] {
            Value::Null => continue,
            scalar @ (Value::String(_) | Value::Number(_) | Value::Bool(_)) => text(scalar).unwrap_or_default(),
            container => URL_SAFE_NO_PAD.encode(container.to_string()),
        };
        parameters.insert(name.to_owned(), value);
    }
    on_empty_relay(async |relay| {
        for order in ["P-1", "P-2"] {
            relay.post_tsy(&tsy(order, "rejected")).await;
        }
        relay.poll("notifications").await;
        let ask = async |parameters: HashMap<String, String>| -> Answered {
            let request = bare("GET", "/attention", json!({})).with_query_string_parameters(parameters);
            answered(relay.attention.handle(&request).await)
        };
        let (status, answer) = ask(parameters.clone()).await;
        if status != 200 {
            let field = refusal(status, &answer, &sent.bytes);
            assert!(status == 400 && parameters.contains_key(&field.unwrap_or_default()), "{answer}");
            return;
        }
        let page = parsed(&answer);
        let limit = parameters.get("limit").map_or(50, |limit| limit.parse().unwrap());
        assert!(page["items"].as_array().unwrap().len() <= limit, "{page}");
        if let Some(next) = page["next"].as_str() {
            parameters.insert("after".to_owned(), next.to_owned());
            assert_eq!(ask(parameters.clone()).await.0, 200, "the next page of {parameters:?}");
        } else {
            assert!(page["next"].is_null(), "{page}");
        }
    });
}

/// Sends requests with these path parameters.
fn routed(sent: &Edited) {
    let Ok(names) = serde_json::from_slice::<Value>(&sent.bytes) else { return };
    let name = |name: &str| text(&names[name]).unwrap_or_default();
    let [partner, order_id, call, key, token] = ["partner", "order_id", "call", "key", "token"].map(name);
    on_empty_relay(async |relay| {
        let check = |(status, answer): Answered, taken: &[u16], refused: &[u16]| {
            if !taken.contains(&status) {
                let _field = refusal(status, &answer, &sent.bytes);
                assert!(refused.contains(&status), "status {status} is not documented: {answer}");
            }
            taken.contains(&status)
        };
        let has_order = check(relay.put_order(&partner, &order_id, &flight()).await, &[200], &[400, 404]);
        assert_eq!(check(relay.get_order(&partner, &order_id).await, &[200], &[400, 404]), has_order);
        check(relay.replay(&partner, &order_id).await, &[], &[400, 404]);
        check(relay.get_call(&call, &key).await, &[], &[404]);
        check(relay.resolve(&call, &key, RESOLUTION.bodies()[0]).await, &[], &[400, 404]);
        check(answered(relay.submit(&call, None, SHIP_NOTIFY.bodies()[0]).await), &[202], &[400, 404]);
        relay.cloud.take_sent();
        for partner in [Partner::Tsy, Partner::Sctt] {
            let (status, answer) = match partner {
                Partner::Tsy => relay.post_tsy_as(&token, relay_tests::events::Body::Text(TSY.bodies()[0])).await,
                Partner::Sctt => relay.post_sctt_as(&token, relay_tests::events::Body::Text(SCTT.bodies()[0])).await,
            };
            if status == 200 {
                assert_eq!(
                    token.replace("%2D", "-").replace("%2d", "-"),
                    TOKEN,
                    "the wrong token {token} was accepted"
                );
            } else {
                let _message = partner_refusal(partner, status, &answer, b"");
                assert_eq!((status, relay.cloud.take_sent()), (401, Vec::new()));
            }
        }
    });
}
