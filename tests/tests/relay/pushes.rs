//! The pushes besides the two that lead to most calls: TSY's pushes of changes and SCTT's pushes of cancellations.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use relay_receiver::authentication::{ScttChecks, SignatureFormula, SignatureHash};
use relay_tests::bodies::{cancel, flight, sctt, ship};
use relay_tests::cloud::WireFault;
use relay_tests::relay::{Answered, Relay, SCTT_SECRET};
use relay_types::notification::NotificationKind;
use relay_types::redact::Redacted;
use serde_json::{Value, json};

const TSY_OK: &str = r#"{"msg":"success","code":"0"}"#;
const SCTT_OK: &str = r#"{"code":0,"msg":"ok","data":null}"#;

fn sample(name: &str) -> Value {
    let samples: Value =
        serde_json::from_str(include_str!("../../../shared/types/testdata/inbound-bodies.json")).unwrap();
    samples[name].clone()
}

/// Kind and state of each notification of an order.
async fn notifications(relay: &Relay, partner: &str, order_id: &str) -> Vec<(String, String)> {
    let order = relay.order(partner, order_id).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let one = |one: &Value| (text(&one["kind"]), text(&one["state"]));
    order["notifications"].as_array().unwrap().iter().map(one).collect()
}

fn failures_told(relay: &Relay) -> usize {
    let failure = |entry: &&top_simulator::LedgerEntry| {
        let sent: Value = serde_json::from_str(&entry.params["confirm_book_r_q"]).unwrap();
        entry.effect && sent["success"] == false
    };
    relay.ledger().iter().filter(failure).count()
}

#[tokio::test(start_paused = true)]
async fn change_price_push_is_recorded_and_not_sent_to_top() {
    let relay = Relay::new().await;
    relay.put_order("tsy", "P-1001", &flight()).await;
    let body = sample("tsy_change_price").to_string();
    assert_eq!(relay.post(NotificationKind::ChangePricePush, &body).await, (200, TSY_OK.to_owned()));
    relay.run_until_idle().await;
    let expected = [("change-price-push".to_owned(), "dispatched".to_owned())];
    assert_eq!(notifications(&relay, "tsy", "P-1001").await, expected);
    assert_eq!(relay.ledger().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn change_price_push_without_an_order_gets_400() {
    let relay = Relay::new().await;
    let answer = relay.post(NotificationKind::ChangePricePush, r#"{"informType":"Change_Price"}"#).await;
    let message = "field merchantOrder is missing, and so is orderNum: send one of them";
    assert_eq!(answer, (400, json!({"msg": message, "code": "400"}).to_string()));
}

#[tokio::test(start_paused = true)]
async fn change_result_push_with_any_content_is_accepted() {
    let relay = Relay::new().await;
    for (body, order_id) in [
        (sample("tsy_change_result").to_string(), "P-1001"),
        (r#"{"orderNum": 10862500710600, "x": 1e400}"#.to_owned(), "10862500710600"),
        (r#"{"merchantOrder": ["P-1001"], "orderNum": "1"}"#.to_owned(), "1"),
        (r#"{"merchantOrder": "", "anything": [{"at": "all"}]}"#.to_owned(), "-4caba33ac465ef1f"),
    ] {
        assert_eq!(relay.post(NotificationKind::ChangeResultPush, &body).await, (200, TSY_OK.to_owned()));
        relay.run_until_idle().await;
        let expected = [("change-result-push".to_owned(), "dispatched".to_owned())];
        assert_eq!(notifications(&relay, "tsy", order_id).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn each_order_of_a_cancel_push_gets_a_notification() {
    let relay = Relay::new().await;
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    relay.put_order("sctt", "T-2", &ship("39", 1)).await;
    relay.put_order("sctt", "T-3", &ship("40", 1)).await;
    let push = cancel(&[("T-1", 3), ("T-2", 1), ("T-3", 2), ("T-4", 3)]);
    assert_eq!(relay.post(NotificationKind::CancelPush, &push).await, (200, SCTT_OK.to_owned()));
    relay.run_until_idle().await;
    for (order_id, state) in [("T-1", "dispatched"), ("T-2", "dispatched"), ("T-3", "dispatched"), ("T-4", "waiting")] {
        let expected = [("cancel-push".to_owned(), state.to_owned())];
        assert_eq!(notifications(&relay, "sctt", order_id).await, expected, "{order_id}");
    }
    assert_eq!((failures_told(&relay), relay.effects()), (1, 1), "only the completed cancellation is sent");
    // The same entries in another push: the order that was already sent causes nothing new.
    let again = cancel(&[("T-4", 3), ("T-1", 3)]);
    assert_eq!(relay.post(NotificationKind::CancelPush, &again).await.0, 200);
    relay.put_order("sctt", "T-4", &ship("41", 1)).await;
    relay.run_until_idle().await;
    assert_eq!(notifications(&relay, "sctt", "T-4").await.len(), 1);
    assert_eq!((failures_told(&relay), relay.effects()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn completed_cancellation_equals_a_cancelled_voucher_push() {
    let relay = Relay::new().await;
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    relay.post_sctt(&sctt("T-1", 4, 0).to_string()).await;
    relay.post(NotificationKind::CancelPush, &cancel(&[("T-1", 3)])).await;
    relay.run_until_idle().await;
    assert_eq!((failures_told(&relay), relay.ledger().len()), (1, 1), "two notifications lead to one call");
    // After a success was sent, a cancellation needs attention.
    relay.put_order("sctt", "T-2", &ship("39", 1)).await;
    relay.post_sctt(&sctt("T-2", 2, 1).to_string()).await;
    relay.run_until_idle().await;
    relay.clock.advance(Duration::from_secs(1));
    relay.post(NotificationKind::CancelPush, &cancel(&[("T-2", 3)])).await;
    relay.run_until_idle().await;
    let (_, states): (Vec<_>, Vec<_>) = notifications(&relay, "sctt", "T-2").await.into_iter().unzip();
    assert_eq!(states, ["dispatched", "attention"]);
}

#[tokio::test(start_paused = true)]
async fn partly_recorded_cancel_push_gets_500_and_a_resend_succeeds() {
    for (operation, fault) in [("UpdateItem", WireFault::ServerError), ("SendMessage", WireFault::AnswerLost)] {
        let relay = Relay::new().await;
        // Only one order fails, in all three tries of the SDK.
        relay.cloud.order(fault, 3, move |sent| sent.operation.starts_with(operation) && sent.body.contains("T-2"));
        let push = cancel(&[("T-1", 3), ("T-2", 3), ("T-3", 3)]);
        let refused = json!({"code": 500, "msg": "could not be stored; send it again", "data": null}).to_string();
        let answer: Answered = relay.post(NotificationKind::CancelPush, &push).await;
        assert_eq!(answer, (500, refused), "{operation}");
        assert_eq!(relay.post(NotificationKind::CancelPush, &push).await, (200, SCTT_OK.to_owned()));
        relay.run_until_idle().await;
        for order_id in ["T-1", "T-2", "T-3"] {
            let expected = [("cancel-push".to_owned(), "waiting".to_owned())];
            assert_eq!(notifications(&relay, "sctt", order_id).await, expected, "{operation}: {order_id}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn unusable_entry_of_a_cancel_push_is_on_the_attention_list() {
    let relay = Relay::new().await;
    let mut entries: Vec<_> = (0..299).map(|n| json!({"trade_number": format!("T-{n}"), "cancel_status": 3})).collect();
    entries.insert(7, json!({"cancel_status": 3}));
    let push = json!({"merchant_id": 1, "orderlist": entries}).to_string();
    assert_eq!(relay.post(NotificationKind::CancelPush, &push).await, (200, SCTT_OK.to_owned()));
    for n in [0, 150, 298] {
        assert_eq!(relay.get_order("sctt", &format!("T-{n}")).await.0, 200, "{n}");
    }
    let (_, body) = relay.attention(None, None).await;
    let page: Value = serde_json::from_str(&body).unwrap();
    let problem = "field orderlist[7].trade_number is missing, and so is order_code: send one of them";
    assert_eq!((&page["items"][0]["kind"], &page["items"][0]["reason"]), (&json!("unreadable"), &json!(problem)));
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    let useless = r#"{"orderlist":[{"trade_number":"T-1"},{"cancel_status":3}]}"#;
    let message = "field orderlist[0].cancel_status is missing";
    let refused = json!({"code": 400, "msg": message, "data": null}).to_string();
    assert_eq!(relay.post(NotificationKind::CancelPush, useless).await, (400, refused));
}

/// SCTT's bodies in quarantine, each with its problem.
async fn quarantined(relay: &Relay) -> Vec<(Value, String)> {
    let query = relay.dynamodb.query().table_name("relay").key_condition_expression("pk = :pk");
    let pk = AttributeValue::S("quarantine#sctt".to_owned());
    let items = query.expression_attribute_values(":pk", pk).send().await.unwrap().items.unwrap_or_default();
    let read = |item: HashMap<String, AttributeValue>| {
        let body = serde_json::from_slice(item["body"].as_b().unwrap().as_ref()).unwrap();
        (body, item["unreadable"].as_m().unwrap()["problem"].as_s().unwrap().clone())
    };
    items.into_iter().map(read).collect()
}

#[tokio::test(start_paused = true)]
async fn unusable_entry_of_a_cancel_push_is_quarantined_and_the_others_are_recorded() {
    let relay = Relay::new().await;
    let ids: Vec<_> = (0..300).map(|number| format!("T-{number}")).collect();
    let orders: Vec<_> = ids.iter().map(|id| (id.as_str(), 2)).collect();
    let mut push: Value = serde_json::from_str(&cancel(&orders)).unwrap();
    push["orderlist"][7] = json!({"cancel_status": 3, "remark": "whose?"});
    assert_eq!(relay.post(NotificationKind::CancelPush, &push.to_string()).await, (200, SCTT_OK.to_owned()));
    relay.run_until_idle().await;
    for (index, id) in ids.iter().enumerate() {
        let status = relay.get_order("sctt", id).await.0;
        assert_eq!(status, if index == 7 { 404 } else { 200 }, "{id}");
    }
    let mut entry = push.clone();
    entry["orderlist"] = json!([{"cancel_status": 3, "remark": "whose?"}]);
    let problem = "field orderlist[7].trade_number is missing, and so is order_code: send one of them";
    assert_eq!(quarantined(&relay).await, [(entry, problem.to_owned())]);
    assert!(relay.attention(None, None).await.1.contains("orderlist[7].trade_number"));
}

#[tokio::test(start_paused = true)]
async fn unusable_entries_of_a_cancel_push_are_one_item_in_quarantine() {
    let relay = Relay::new().await;
    let entries = json!([
        {"trade_number": "T-1", "cancel_status": 3},
        {"trade_number": "T-2"},
        {"trade_number": "a\u{0}", "cancel_status": 3},
        {"trade_number": [], "cancel_status": 3},
        {"trade_number": "T-3", "cancel_status": "done"},
        null,
        {"order_code": "7", "cancel_status": "3"},
    ]);
    let push = json!({"orderlist": entries});
    assert_eq!(relay.post(NotificationKind::CancelPush, &push.to_string()).await, (200, SCTT_OK.to_owned()));
    relay.run_until_idle().await;
    for (order_id, status) in [("T-1", 200), ("7", 200), ("T-2", 404), ("T-3", 404)] {
        assert_eq!(relay.get_order("sctt", order_id).await.0, status, "{order_id}");
    }
    let kept = json!({"orderlist": [entries[1], entries[2], entries[3], entries[4], entries[5]]});
    let problem = "field orderlist[1].cancel_status is missing; 4 other entries cannot be used either";
    assert_eq!(quarantined(&relay).await, [(kept, problem.to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn cancel_push_without_a_usable_entry_gets_400_and_is_quarantined_whole() {
    let relay = Relay::new().await;
    for (push, message) in [
        (json!({"orderlist": [{"trade_number": "T-2"}, null]}), "field orderlist[0].cancel_status is missing"),
        (json!({"orderlist": []}), "field orderlist must name at least one order"),
        (json!({"orderlist": [7]}), "field orderlist[0] must be an object"),
    ] {
        let refused = json!({"code": 400, "msg": message, "data": null}).to_string();
        assert_eq!(relay.post(NotificationKind::CancelPush, &push.to_string()).await, (400, refused));
        assert!(quarantined(&relay).await.contains(&(push, message.to_owned())));
    }
    assert!(relay.receive("notifications").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn cancel_push_whose_unusable_entry_cannot_be_quarantined_gets_500() {
    let relay = Relay::new().await;
    relay.cloud.order(WireFault::ServerError, 3, |sent| sent.body.contains("quarantine#sctt"));
    let push = json!({"orderlist": [{"trade_number": "T-1", "cancel_status": 3}, {"cancel_status": 3}]}).to_string();
    assert_eq!(relay.post(NotificationKind::CancelPush, &push).await.0, 500);
    assert_eq!(relay.post(NotificationKind::CancelPush, &push).await, (200, SCTT_OK.to_owned()));
    assert_eq!(quarantined(&relay).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn push_of_three_thousand_orders_does_not_repeat_its_long_members() {
    let relay = Relay::new().await;
    let entries: Vec<_> = (0..3000).map(|n| json!({"trade_number": format!("T{n}"), "cancel_status": 1})).collect();
    let push = json!({"merchant_id": 1, "notes": "x".repeat(120_000), "orderlist": entries}).to_string();
    assert!(push.len() < 256 * 1024);
    assert_eq!(relay.post(NotificationKind::CancelPush, &push).await.0, 200);
    let sent = relay.cloud.take_sent();
    let written: usize = sent.iter().filter(|sent| sent.service == "dynamodb").map(|sent| sent.body.len()).sum();
    assert!(written < 3000 * 1500, "{written} bytes in requests");
}

#[tokio::test(start_paused = true)]
async fn cancel_push_needs_a_signature_like_a_voucher_push() {
    let formula = SignatureFormula::parse("{merchant_id}{request_time}{secret}", SignatureHash::Md5).unwrap();
    let relay = Relay::checking(ScttChecks { formula: formula.clone(), ..ScttChecks::default() }).await;
    let mut push: Value = serde_json::from_str(&cancel(&[("T-1", 3)])).unwrap();
    let unsigned = relay.post(NotificationKind::CancelPush, &push.to_string()).await;
    assert_eq!(unsigned, (401, r#"{"code":401,"msg":"not authorized","data":null}"#.to_owned()));
    push["sign"] = formula.unwrap().sign(&push, &Redacted::new(SCTT_SECRET.to_owned())).into();
    assert_eq!(relay.post(NotificationKind::CancelPush, &push.to_string()).await, (200, SCTT_OK.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn five_hundred_orders_of_a_cancel_push_are_recorded() {
    let relay = Relay::new().await;
    let ids: Vec<_> = (0..500).map(|number| format!("T-{number}")).collect();
    let orders: Vec<_> = ids.iter().map(|id| (id.as_str(), 2)).collect();
    assert_eq!(relay.post(NotificationKind::CancelPush, &cancel(&orders)).await, (200, SCTT_OK.to_owned()));
    let sent = relay.cloud.take_sent();
    let count = |operation: &str| sent.iter().filter(|sent| sent.operation == operation).count();
    assert_eq!((count("UpdateItem"), count("SendMessageBatch")), (500, 50));
}

#[tokio::test(start_paused = true)]
async fn large_cancel_push_costs_what_its_entries_cost() {
    const ORDERS: usize = 3000;
    let relay = Relay::new().await;
    let entries: Vec<_> = (0..ORDERS).map(|number| json!({"order_code": number, "cancel_status": 2})).collect();
    let mut push =
        json!({"merchant_id": 287729, "request_time": "2026-01-01 12:00:00", "sign": "D19A", "orderlist": entries});
    push["blob"] = json!("x".repeat(90_000));
    push["list"] = json!(vec![json!({"a": 1}); 3000]);
    for number in 0..1000 {
        push[format!("scalar-{number}")] = json!(number);
    }
    let push = push.to_string();
    assert!(push.len() > 230_000 && push.len() <= 256 * 1024, "{}", push.len());
    assert_eq!(relay.post(NotificationKind::CancelPush, &push).await, (200, SCTT_OK.to_owned()));
    let sent = relay.cloud.take_sent();
    let bytes =
        |service: &str| sent.iter().filter(|sent| sent.service == service).map(|sent| sent.body.len()).sum::<usize>();
    let count = |service: &str| sent.iter().filter(|sent| sent.service == service).count();
    assert_eq!((count("dynamodb"), count("sqs")), (ORDERS, ORDERS / 10));
    assert!(bytes("dynamodb") / ORDERS < 2500, "{} bytes for each order", bytes("dynamodb") / ORDERS);
}

#[tokio::test(start_paused = true)]
async fn notification_of_a_cancel_push_keeps_the_small_scalars_of_its_envelope() {
    let relay = Relay::new().await;
    let mut push: Value = serde_json::from_str(&cancel(&[("T-1", 2), ("T-2", 2)])).unwrap();
    push["batch"] = json!("b-7");
    push["large"] = json!("x".repeat(1000));
    push["nested"] = json!({"a": 1});
    relay.post(NotificationKind::CancelPush, &push.to_string()).await;
    relay.run_until_idle().await;
    let order = relay.order("sctt", "T-2").await;
    let payload = order["notifications"][0]["payload"].as_object().unwrap();
    let names: Vec<_> = payload.keys().map(String::as_str).collect();
    assert_eq!(names, ["merchant_id", "request_time", "sign", "batch", "orderlist"]);
    assert_eq!(payload["orderlist"], json!([push["orderlist"][1]]));
}
