//! Partners' bodies are checked only where a decision depends on them.

use relay_tests::bodies::{cancel, flight, sctt, ship, tsy};
use relay_tests::events::Body;
use relay_tests::relay::{Relay, TOKEN};
use relay_types::notification::NotificationKind;
use serde_json::{Value, json};

/// Values of every JSON type, and strings in no known format.
fn odd_values() -> [Value; 9] {
    [
        json!(null),
        json!(true),
        json!(-1.5),
        json!(""),
        json!("1,234.00"),
        json!("x"),
        json!([]),
        json!([null, 1, {"a": "b"}]),
        json!({"a": ["b"]}),
    ]
}

fn sample(name: &str) -> Value {
    let samples: Value =
        serde_json::from_str(include_str!("../../../shared/types/testdata/inbound-bodies.json")).unwrap();
    samples[name].clone()
}

/// Each kind with a body and the members that determine the order and the decision.
fn kinds() -> [(NotificationKind, Value, &'static [&'static str]); 6] {
    let mut waiting = sample("sctt_voucher_push");
    waiting["order_status"] = json!(1);
    [
        (NotificationKind::IssueNotify, sample("tsy_issued"), &["orderId", "type"]),
        (NotificationKind::ChangePricePush, sample("tsy_change_price"), &["merchantOrder"]),
        (NotificationKind::ChangeResultPush, sample("tsy_change_result"), &[]),
        (NotificationKind::VoucherPush, sample("sctt_voucher_push"), &["trade_number", "order_status"]),
        (NotificationKind::VoucherPush, waiting, &["trade_number", "order_status"]),
        (NotificationKind::CancelPush, sample("sctt_cancel_push"), &["orderlist"]),
    ]
}

#[tokio::test(start_paused = true)]
async fn members_that_no_decision_uses_may_have_any_value() {
    let relay = Relay::new().await;
    for (kind, body, read) in kinds() {
        for name in body.as_object().unwrap().keys().filter(|name| !read.contains(&name.as_str())) {
            for odd in odd_values() {
                let mut pushed = body.clone();
                pushed[name] = odd;
                let answer = relay.post(kind, &pushed.to_string()).await;
                assert_eq!(answer.0, 200, "{kind} with {name}: {}: {}", pushed[name], answer.1);
            }
            let mut pushed = body.clone();
            pushed.as_object_mut().unwrap().remove(name);
            let answer = relay.post(kind, &pushed.to_string()).await;
            assert_eq!(answer.0, 200, "{kind} without {name}: {}", answer.1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn cancellation_members_that_no_decision_uses_may_have_any_value() {
    let relay = Relay::new().await;
    for name in ["order_code", "cancel_type", "remark"] {
        for odd in odd_values() {
            let mut push: Value = serde_json::from_str(&cancel(&[("T-1", 3)])).unwrap();
            push["orderlist"][0][name] = odd;
            let answer = relay.post(NotificationKind::CancelPush, &push.to_string()).await;
            assert_eq!(answer.0, 200, "{push}: {}", answer.1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn malformed_members_are_recorded_as_sent() {
    let relay = Relay::new().await;
    let mut push = sctt("T-1", 1, 0);
    push["surplus_quota"] = json!("1,234.00");
    push["cancels"] = json!("n/a");
    push["vouchers"] = json!({});
    relay.post_sctt(&push.to_string()).await;
    relay.run_until_idle().await;
    let order = relay.order("sctt", "T-1").await;
    let payload = &order["notifications"][0]["payload"];
    assert_eq!(payload["surplus_quota"], "1,234.00");
    assert_eq!((&payload["cancels"], &payload["vouchers"]), (&json!("n/a"), &json!({})));
}

/// Vouchers that cannot fill a ticket.
fn unreadable_vouchers() -> [Value; 8] {
    [
        json!({}),
        json!("x"),
        json!([null]),
        json!([{"voucherlist": {}}]),
        json!([{"voucherlist": [{}]}]),
        json!([{"voucherlist": [{"voucher_type": "QR", "voucher_confirmation": "1"}]}]),
        json!([{"voucherlist": [{"voucher_type": 3, "voucher_confirmation": ["1"]}]}]),
        json!([{"confirmation_url": {}, "voucherlist": [{"voucher_type": 3, "voucher_confirmation": "1"}]}]),
    ]
}

#[tokio::test(start_paused = true)]
async fn booked_push_with_unreadable_vouchers_needs_attention() {
    for (is_linked_first, vouchers) in
        [true, false].into_iter().flat_map(|first| unreadable_vouchers().map(|v| (first, v)))
    {
        let relay = Relay::new().await;
        if is_linked_first {
            relay.put_order("sctt", "T-1", &ship("38", 1)).await;
        }
        let mut push = sctt("T-1", 2, 1);
        push["vouchers"] = vouchers;
        assert_eq!(relay.post_sctt(&push.to_string()).await.0, 200, "{push}");
        relay.run_until_idle().await;
        if !is_linked_first {
            assert_eq!(relay.notification_states("sctt", "T-1").await, ["waiting"]);
            relay.put_order("sctt", "T-1", &ship("38", 1)).await;
            relay.run_until_idle().await;
        }
        let page = relay.attention(None, None).await.1;
        assert!(page.contains("its vouchers cannot be read"), "{push}: {page}");
        assert_eq!(relay.ledger().len(), 0, "{push}");
    }
}

#[tokio::test(start_paused = true)]
async fn unreadable_vouchers_of_other_statuses_are_ignored() {
    for vouchers in unreadable_vouchers() {
        let relay = Relay::new().await;
        relay.put_order("sctt", "T-1", &ship("38", 1)).await;
        let mut push = sctt("T-1", 3, 0);
        push["vouchers"] = vouchers;
        assert_eq!(relay.post_sctt(&push.to_string()).await.0, 200, "{push}");
        relay.run_until_idle().await;
        assert_eq!(relay.effects(), 1, "the failure is sent to TOP: {push}");
    }
}

#[tokio::test(start_paused = true)]
async fn corrected_vouchers_are_sent_after_unreadable_ones() {
    let relay = Relay::new().await;
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    let mut push = sctt("T-1", 2, 1);
    push["vouchers"] = json!({});
    relay.post_sctt(&push.to_string()).await;
    relay.run_until_idle().await;
    relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await;
    relay.run_until_idle().await;
    assert_eq!(relay.effects(), 1);
    assert_eq!(relay.attention(None, None).await.1, r#"{"items":[]}"#);
}

#[tokio::test(start_paused = true)]
async fn byte_order_mark_before_a_body_is_ignored() {
    let relay = Relay::new().await;
    for (kind, body, _) in kinds() {
        let marked = format!("\u{feff}{body}");
        assert_eq!(relay.post(kind, &marked).await.0, 200, "{kind}");
    }
    relay.put_order("tsy", "P-2", &format!("\u{feff}{}", flight())).await;
    for body in [tsy("P-2", "issued"), format!("\u{feff}{}", tsy("P-2", "issued"))] {
        assert_eq!(relay.post_tsy_as(TOKEN, Body::Text(&body)).await.0, 200);
    }
    relay.run_until_idle().await;
    assert_eq!(
        relay.notification_states("tsy", "P-2").await,
        ["dispatched"],
        "the mark does not make another notification"
    );
    assert_eq!(relay.order("tsy", "P-2").await["notifications"][0]["payload"]["orderId"], "P-2");
    assert_eq!(relay.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn byte_order_mark_is_not_recorded_with_the_body() {
    let relay = Relay::new().await;
    relay.post_tsy(&format!("\u{feff}{}", tsy("P-1", "rejected"))).await;
    relay.run_until_idle().await;
    assert_eq!(relay.order("tsy", "P-1").await["notifications"][0]["payload"]["type"], "rejected");
}

#[tokio::test(start_paused = true)]
async fn members_that_decisions_use_are_checked() {
    let relay = Relay::new().await;
    for (kind, body, message) in [
        (NotificationKind::IssueNotify, r#"{"orderId":{},"type":"issued"}"#, "field orderId must be a string"),
        (NotificationKind::IssueNotify, r#"{"orderId":"P-1"}"#, "field type is missing"),
        (NotificationKind::IssueNotify, r#"{"orderId":"P-1","type":[]}"#, "field type must be a string"),
        (
            NotificationKind::ChangePricePush,
            r#"{"merchantOrder":[],"orderNum":"1"}"#,
            "field merchantOrder must be a string",
        ),
        (NotificationKind::ChangePricePush, r#"{"orderNum":[]}"#, "field orderNum must be a string"),
        (
            NotificationKind::VoucherPush,
            r#"{"trade_number":{},"order_code":"1","order_status":1}"#,
            "field trade_number must be a string",
        ),
        (
            NotificationKind::VoucherPush,
            r#"{"trade_number":"","order_code":[],"order_status":1}"#,
            "field order_code must be a string",
        ),
        (
            NotificationKind::VoucherPush,
            r#"{"trade_number":"T","order_status":"two"}"#,
            "field order_status must be a whole number",
        ),
        (
            NotificationKind::CancelPush,
            r#"{"orderlist":[{"trade_number":"T","cancel_status":{}}]}"#,
            "field orderlist[0].cancel_status must be a whole number",
        ),
    ] {
        let (status, answer) = relay.post(kind, body).await;
        assert!(status == 400 && answer.contains(message), "{body}: {status} {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn invalid_request_time_is_not_kept_in_the_record() {
    let relay = Relay::new().await;
    for time in [json!("x".repeat(100_000)), json!("soon"), json!(7), json!([])] {
        let mut push = sctt("T-1", 1, 0);
        push["request_time"] = time;
        assert_eq!(relay.post_sctt(&push.to_string()).await.0, 200);
    }
    relay.run_until_idle().await;
    let record = relay.record("order#sctt#T-1").await;
    assert!(record.notifications.values().all(|one| one.request_time.is_none()), "{record:?}");
}
