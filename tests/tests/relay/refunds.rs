//! Refunds that are submitted as calls: one effect at TOP each, and never a second one by a repeat.

use relay_tests::bodies::{sctt, ship, ship_refund, ticket_refund};
use relay_tests::relay::{Relay, answered};
use relay_types::call::CallKind;
use serde_json::{Value, json};

/// Submits a refund, lets the relay work until it is idle, and returns the status and the call's key.
async fn submit(relay: &Relay, kind: CallKind, body: &Value) -> (u16, String) {
    let (status, answer) = answered(relay.submit_and_decide(kind.as_ref(), None, &body.to_string()).await);
    relay.run_until_idle().await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    (status, answer["key"].as_str().unwrap_or_default().to_owned())
}

fn changed(body: &Value, field: &str, value: Value) -> Value {
    let mut body = body.clone();
    body[field] = value;
    body
}

async fn state(relay: &Relay, kind: CallKind, key: &str) -> String {
    relay.call(kind, key).await["state"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn refund_takes_effect_once_and_its_repeat_is_replayed() {
    for (kind, body, key) in [
        (CallKind::ShipReturnNotify, ship_refund(38, "T/1", 1), "38-ticket-T/1"),
        (CallKind::TicketRefundNotify, ticket_refund(7, "B-1"), "7-B-1"),
    ] {
        let relay = Relay::new().await;
        assert_eq!(submit(&relay, kind, &body).await, (202, key.to_owned()));
        assert_eq!(submit(&relay, kind, &body).await, (200, key.to_owned()));
        assert_eq!((relay.ledger().len(), relay.effects()), (1, 1), "{kind}");
        assert_eq!(state(&relay, kind, &key.replace('/', "%2F")).await, "succeeded");
        let other = if kind == CallKind::TicketRefundNotify { "refund_num" } else { "agent_refund_amount" };
        assert_eq!(submit(&relay, kind, &changed(&body, other, json!(2))).await.0, 422, "{kind}");
        assert_eq!(relay.ledger().len(), 1, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_refunds_of_an_order_are_two_calls() {
    let relay = Relay::new().await;
    let whole = changed(&ship_refund(38, "T1", 1), "agent_return_ticket_type", json!(1));
    for body in [ship_refund(38, "T1", 1), ship_refund(38, "T2", 1), whole, ship_refund(39, "T1", 1)] {
        assert_eq!(submit(&relay, CallKind::ShipReturnNotify, &body).await.0, 202);
    }
    for body in [ticket_refund(7, "B-1"), ticket_refund(7, "B-2"), ticket_refund(8, "B-1")] {
        assert_eq!(submit(&relay, CallKind::TicketRefundNotify, &body).await.0, 202);
    }
    assert_eq!((relay.ledger().len(), relay.effects()), (7, 7));
}

#[tokio::test(start_paused = true)]
async fn failed_ship_refund_may_succeed_later_but_not_the_other_way_round() {
    let relay = Relay::new().await;
    for (status, answer) in [(2, 202), (1, 202), (2, 422), (1, 200)] {
        assert_eq!(submit(&relay, CallKind::ShipReturnNotify, &ship_refund(38, "T1", status)).await.0, answer);
    }
    assert_eq!(relay.effects(), 2);
}

#[tokio::test(start_paused = true)]
async fn ticket_refund_of_unknown_outcome_needs_a_person() {
    for fault in ["timeout_after_effect", "timeout_before_effect"] {
        let relay = Relay::new().await;
        relay.top_faults(json!([{"fault": fault}]));
        let kind = CallKind::TicketRefundNotify;
        assert_eq!(submit(&relay, kind, &ticket_refund(7, "B-1")).await.0, 202);
        assert_eq!((state(&relay, kind, "7-B-1").await.as_str(), relay.ledger().len()), ("unknown", 1), "{fault}");
        assert_eq!(submit(&relay, kind, &ticket_refund(7, "B-1")).await.0, 200);
        assert_eq!(relay.ledger().len(), 1, "a repeat is not sent");
        let retry = r#"{"outcome": "retry", "note": "TOP has no such refund"}"#;
        assert_eq!(relay.resolve(kind.as_ref(), "7-B-1", retry).await.0, 202);
        relay.run_until_idle().await;
        assert_eq!((state(&relay, kind, "7-B-1").await.as_str(), relay.ledger().len()), ("succeeded", 2));
    }
}

#[tokio::test(start_paused = true)]
async fn ship_refund_of_unknown_outcome_is_sent_again() {
    let relay = Relay::new().await;
    relay.top_faults(json!([{"fault": "timeout_after_effect"}]));
    submit(&relay, CallKind::ShipReturnNotify, &ship_refund(38, "T1", 1)).await;
    relay.run_until_idle().await;
    assert_eq!(state(&relay, CallKind::ShipReturnNotify, "38-ticket-T1").await, "succeeded");
    assert_eq!((relay.ledger().len(), relay.effects()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn refused_refund_accepts_a_corrected_body() {
    for (kind, body, field, key) in [
        (CallKind::ShipReturnNotify, ship_refund(38, "T1", 1), "agent_refund_amount", "38-ticket-T1"),
        (CallKind::TicketRefundNotify, ticket_refund(7, "B-1"), "refund_num", "7-B-1"),
    ] {
        let relay = Relay::new().await;
        relay.top_faults(json!([{"fault": "business_failure"}]));
        submit(&relay, kind, &body).await;
        assert_eq!(state(&relay, kind, key).await, "refused");
        assert_eq!(submit(&relay, kind, &changed(&body, field, json!(2))).await.0, 202);
        assert_eq!((state(&relay, kind, key).await.as_str(), relay.effects()), ("succeeded", 1), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn refund_that_cannot_be_identified_is_rejected() {
    let relay = Relay::new().await;
    let (ship, ticket) = (ship_refund(38, "T1", 1), ticket_refund(7, "B-1"));
    for (kind, body, field, value) in [
        (CallKind::TicketRefundNotify, &ticket, "refund_batch_no", Value::Null),
        (CallKind::TicketRefundNotify, &ticket, "refund_batch_no", json!("")),
        (CallKind::TicketRefundNotify, &ticket, "refund_batch_no", json!("a\nb")),
        (CallKind::TicketRefundNotify, &ticket, "refund_batch_no", json!("x".repeat(201))),
        (CallKind::TicketRefundNotify, &ticket, "refund_status", json!(3)),
        (CallKind::TicketRefundNotify, &ticket, "order_id", Value::Null),
        (CallKind::ShipReturnNotify, &ship, "agent_ticket_id", Value::Null),
        (CallKind::ShipReturnNotify, &ship, "agent_ticket_id", json!("..")),
        (CallKind::ShipReturnNotify, &ship, "agent_return_ticket_type", json!(2)),
        (CallKind::ShipReturnNotify, &ship, "agent_return_ticket_status", json!(0)),
        (CallKind::ShipReturnNotify, &ship, "agent_return_ticket_code", Value::Null),
        (CallKind::ShipReturnNotify, &ship, "alitrip_order_id", json!("x")),
    ] {
        let mut body = changed(body, field, value.clone());
        if value.is_null() {
            body.as_object_mut().unwrap().remove(field);
        }
        let (status, answer) = answered(relay.submit(kind.as_ref(), None, &body.to_string()).await);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((status, answer["field"].as_str()), (400, Some(field)), "{body}");
    }
    let keyed = relay.submit("ticket-refund-notify", Some("k"), &ticket.to_string()).await;
    assert_eq!(keyed.status(), 400, "the key is the refund's own");
}

#[tokio::test(start_paused = true)]
async fn cancellation_after_a_success_names_the_refund_call() {
    let relay = Relay::new().await;
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    for status in [2, 4] {
        relay.post_sctt(&sctt("T-1", status, 1).to_string()).await;
        relay.run_until_idle().await;
        relay.clock.advance(std::time::Duration::from_secs(1));
    }
    let order = relay.order("sctt", "T-1").await;
    let reason = &order["attention"]["reasons"][0]["text"];
    assert!(reason.as_str().unwrap().contains("relay call submit ship-return-notify"), "{reason}");
}
