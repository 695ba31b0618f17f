//! Notifications and submitted calls from end to end, checked against TOP's ledger.

use std::time::Duration;

use relay_tests::bodies::{flight, redemption, sctt, ship, ship_call, tsy};
use relay_tests::relay::Relay;
use relay_types::call::CallKind;
use serde_json::{Value, json};

fn param(entry: &top_simulator::LedgerEntry, name: &str) -> Value {
    serde_json::from_str(&entry.params[name]).unwrap()
}

#[tokio::test(start_paused = true)]
async fn tsy_issued_before_its_link_is_sent_when_the_link_arrives() {
    let relay = Relay::new().await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay.run_until_idle().await;
    assert_eq!(relay.notification("tsy", "P-1").await.0, "waiting");
    assert_eq!(relay.effects(), 0);
    let (status, body) = relay.put_order("tsy", "P-1", &flight()).await;
    assert_eq!((status, &serde_json::from_str::<Value>(&body).unwrap()["notifications"]), (200, &json!(1)));
    relay.run_until_idle().await;
    assert_eq!(relay.notification("tsy", "P-1").await.0, "dispatched");
    let ledger = relay.ledger();
    assert_eq!(ledger.len(), 1);
    assert!(ledger[0].effect);
    let sent = param(&ledger[0], "flight_itinerary_request");
    assert_eq!((&sent["out_relation_order_id"], &sent["ticket_no_list"]), (&json!("P-1"), &json!(["23142134"])));
}

#[tokio::test(start_paused = true)]
async fn tsy_issued_after_its_link_is_sent_once_despite_repeats() {
    let relay = Relay::new().await;
    relay.put_order("tsy", "P-1", &flight()).await;
    for _ in 0..3 {
        assert_eq!(relay.post_tsy(&tsy("P-1", "issued")).await.0, 200);
    }
    relay.run_until_idle().await;
    assert_eq!(relay.post_tsy(&tsy("P-1", "issued")).await.0, 200);
    relay.run_until_idle().await;
    assert_eq!((relay.ledger().len(), relay.effects()), (1, 1));
    let order = relay.order("tsy", "P-1").await;
    assert_eq!(order["notifications"][0]["deliveries"], 4);
    assert_eq!(order["calls"][0]["state"], "succeeded");
}

#[tokio::test(start_paused = true)]
async fn notification_waits_for_ticket_numbers() {
    let relay = Relay::new().await;
    relay.put_order("tsy", "P-1", r#"{"happytrip_flight":{"tes_head_id":"1","cwt_account_no":"2"}}"#).await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay.run_until_idle().await;
    assert_eq!(
        relay.notification("tsy", "P-1").await,
        ("waiting".into(), "the order's link has no ticket numbers yet".into())
    );
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.run_until_idle().await;
    assert_eq!(relay.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn tsy_rejected_needs_attention() {
    let relay = Relay::new().await;
    relay.post_tsy(&tsy("P-1", "rejected")).await;
    relay.run_until_idle().await;
    assert_eq!(relay.notification("tsy", "P-1").await.0, "attention");
    assert_eq!(relay.ledger().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn sctt_booked_with_a_voucher_for_each_ticket_fills_each_ticket() {
    let relay = Relay::new().await;
    relay.put_order("sctt", "T-1", &ship("38", 2)).await;
    let answer = relay.post_sctt(&sctt("T-1", 2, 2).to_string()).await;
    assert_eq!(answer, (200, r#"{"code":0,"msg":"ok","data":null}"#.to_owned()));
    relay.run_until_idle().await;
    let ledger = relay.ledger();
    assert_eq!((ledger.len(), relay.effects()), (1, 1));
    let sent = param(&ledger[0], "confirm_book_r_q");
    let tickets = sent["passenger_list"][0]["ticket_list"].as_array().unwrap();
    let codes: Vec<_> = tickets.iter().map(|ticket| ticket["e_ticket_no"].as_str().unwrap()).collect();
    assert_eq!(codes, ["PLANTED-VOUCHER-1", "PLANTED-VOUCHER-2"]);
    assert_eq!((&sent["success"], &sent["ticket_count"]), (&json!(true), &json!(2)));
}

#[tokio::test(start_paused = true)]
async fn sctt_booked_with_one_voucher_for_several_tickets_fills_the_order() {
    let relay = Relay::new().await;
    relay.put_order("sctt", "T-1", &ship("38", 3)).await;
    relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await;
    relay.run_until_idle().await;
    let sent = param(&relay.ledger()[0], "confirm_book_r_q");
    assert_eq!(sent["fetch_tickets_number"], "PLANTED-VOUCHER-1");
    assert_eq!(relay.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn mismatched_vouchers_need_attention_until_the_link_is_corrected() {
    let relay = Relay::new().await;
    relay.put_order("sctt", "T-1", &ship("38", 3)).await;
    relay.post_sctt(&sctt("T-1", 2, 2).to_string()).await;
    relay.run_until_idle().await;
    assert_eq!(relay.notification("sctt", "T-1").await.0, "attention");
    assert_eq!(relay.ledger().len(), 0);
    relay.put_order("sctt", "T-1", &ship("38", 2)).await;
    relay.run_until_idle().await;
    assert_eq!(relay.notification("sctt", "T-1").await.0, "dispatched");
    assert_eq!(relay.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn sctt_failed_then_booked_sends_failure_then_success() {
    let relay = Relay::new().await;
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    relay.post_sctt(&sctt("T-1", 3, 0).to_string()).await;
    relay.run_until_idle().await;
    let sent = param(&relay.ledger()[0], "confirm_book_r_q");
    assert_eq!((&sent["success"], &sent["failed_code"]), (&json!(false), &json!("DEFAULT")));
    relay.clock.advance(Duration::from_secs(1));
    relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await;
    relay.run_until_idle().await;
    assert_eq!((relay.ledger().len(), relay.effects()), (2, 2));
    assert_eq!(relay.call(CallKind::ShipNotify, "38").await["state"], "succeeded");
}

#[tokio::test(start_paused = true)]
async fn sctt_cancelled_after_success_needs_attention() {
    let relay = Relay::new().await;
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await;
    relay.run_until_idle().await;
    relay.clock.advance(Duration::from_secs(1));
    relay.post_sctt(&sctt("T-1", 4, 0).to_string()).await;
    relay.run_until_idle().await;
    assert_eq!((relay.ledger().len(), relay.effects()), (1, 1));
    let order = relay.order("sctt", "T-1").await;
    assert_eq!(
        (&order["notifications"][0]["state"], &order["notifications"][1]["state"]),
        (&json!("dispatched"), &json!("attention"))
    );
}

#[tokio::test(start_paused = true)]
async fn corrected_vouchers_replace_unsent_ones_and_need_attention_after_success() {
    let relay = Relay::new().await;
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    let corrected = |code: &str| {
        let mut body = sctt("T-1", 2, 1);
        body["vouchers"][0]["voucherlist"][0]["voucher_confirmation"] = json!(code);
        body.to_string()
    };
    relay.post_sctt(&corrected("first")).await;
    relay.poll("notifications").await;
    relay.clock.advance(Duration::from_secs(1));
    relay.post_sctt(&corrected("second")).await;
    relay.run_until_idle().await;
    assert_eq!(
        param(&relay.ledger()[0], "confirm_book_r_q")["passenger_list"][0]["ticket_list"][0]["e_ticket_no"],
        "second"
    );
    relay.clock.advance(Duration::from_secs(1));
    relay.post_sctt(&corrected("third")).await;
    relay.run_until_idle().await;
    assert_eq!((relay.ledger().len(), relay.effects()), (1, 1), "TOP accepts no correction after a success");
    let states = relay.notification_states("sctt", "T-1").await;
    assert_eq!(states, ["dispatched", "dispatched", "attention"]);
}

#[tokio::test(start_paused = true)]
async fn older_failure_is_not_sent_after_a_newer_success() {
    let relay = Relay::new().await;
    relay.post_sctt(&sctt("T-1", 3, 0).to_string()).await;
    relay.clock.advance(Duration::from_secs(1));
    relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await;
    relay.run_until_idle().await;
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    relay.run_until_idle().await;
    let told: Vec<_> = relay.ledger().iter().map(|entry| param(entry, "confirm_book_r_q")["success"].clone()).collect();
    assert_eq!(told, [json!(true)], "the older failure is not sent after the success");
}

#[tokio::test(start_paused = true)]
async fn redemption_submitted_twice_is_sent_once() {
    let relay = Relay::new().await;
    let response = relay.submit_and_decide("ticket-verify", Some("r-1"), &redemption(7, 0)).await;
    assert_eq!(response.status(), 202);
    relay.run_until_idle().await;
    let again = relay.submit_and_decide("ticket-verify", Some("r-1"), &redemption(7, 0)).await;
    assert_eq!((again.status().as_u16(), again.headers()["Idempotent-Replayed"].as_bytes()), (200, &b"true"[..]));
    relay.run_until_idle().await;
    assert_eq!((relay.ledger().len(), relay.effects()), (1, 1));
    let (status, body) = relay.get_call("ticket-verify", "r-1").await;
    assert_eq!((status, &serde_json::from_str::<Value>(&body).unwrap()["state"]), (200, &json!("succeeded")));
}

#[tokio::test(start_paused = true)]
async fn submitted_call_and_notification_for_the_same_order_make_one_call() {
    let relay = Relay::new().await;
    relay.submit_and_decide("ship-notify", None, &ship_call("38", false)).await;
    relay.run_until_idle().await;
    relay
        .put_order(
            "sctt",
            "T-1",
            &json!({"fliggy_ship": {"alitrip_order_id": "38", "agent_order_id": "A-1",
        "passenger_list": [{"ticket_list": [{"ticket_id": "1", "ticket_type": "1", "ticket_price": 1}]}]}})
            .to_string(),
        )
        .await;
    relay.post_sctt(&sctt("T-1", 3, 0).to_string()).await;
    relay.run_until_idle().await;
    // The notification's failure has the default failed_code, and the submitted one has none. TOP was told already.
    assert_eq!(relay.ledger().len(), 1);
    let (state, reason) = relay.notification("sctt", "T-1").await;
    assert_eq!(state, "attention");
    assert!(reason.contains("another order or a submitted call"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn refused_call_accepts_a_corrected_body() {
    let relay = Relay::new().await;
    relay.top_faults(json!([{"fault": "business_failure", "times": 1}]));
    relay.submit_and_decide("ship-notify", None, &ship_call("38", true)).await;
    relay.run_until_idle().await;
    assert_eq!(relay.call(CallKind::ShipNotify, "38").await["state"], "refused");
    let corrected = json!({"agent_order_id": "A-2", "alitrip_order_id": "38", "success": true}).to_string();
    assert_eq!(relay.submit_and_decide("ship-notify", None, &corrected).await.status(), 202);
    relay.run_until_idle().await;
    let record = relay.call(CallKind::ShipNotify, "38").await;
    assert_eq!((record["state"].as_str().unwrap(), record["history"].as_array().unwrap().len()), ("succeeded", 1));
    assert_eq!(relay.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn fifty_concurrent_deliveries_make_one_call() {
    let relay = Relay::new().await;
    relay.put_order("tsy", "P-1", &flight()).await;
    let body = tsy("P-1", "issued");
    let answers = futures_util::future::join_all((0..50).map(|_| relay.post_tsy(&body))).await;
    assert!(answers.iter().all(|(status, _)| *status == 200));
    relay.run_until_idle().await;
    assert_eq!((relay.ledger().len(), relay.effects()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn orders_do_not_affect_each_other() {
    let relay = Relay::new().await;
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    relay.put_order("sctt", "T-2", &ship("39", 1)).await;
    relay.post_sctt(&sctt("T-2", 2, 1).to_string()).await;
    relay.run_until_idle().await;
    assert_eq!(param(&relay.ledger()[0], "confirm_book_r_q")["alitrip_order_id"], "39");
    let (_, body) = relay.get_order("sctt", "T-1").await;
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["notifications"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn unsent_failure_is_withdrawn_when_the_order_is_booked() {
    let relay = Relay::new().await;
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    relay.post_sctt(&sctt("T-1", 3, 0).to_string()).await;
    relay.poll("notifications").await;
    relay.clock.advance(Duration::from_secs(1));
    relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await;
    relay.run_until_idle().await;
    let told: Vec<_> = relay.ledger().iter().map(|entry| param(entry, "confirm_book_r_q")["success"].clone()).collect();
    assert_eq!(told, [json!(true)]);
}

#[tokio::test(start_paused = true)]
async fn unsent_success_is_withdrawn_when_the_order_is_cancelled() {
    let relay = Relay::new().await;
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await;
    relay.poll("notifications").await;
    relay.clock.advance(Duration::from_secs(1));
    relay.post_sctt(&sctt("T-1", 4, 0).to_string()).await;
    relay.run_until_idle().await;
    let told: Vec<_> = relay.ledger().iter().map(|entry| param(entry, "confirm_book_r_q")["success"].clone()).collect();
    assert_eq!(told, [json!(false)]);
}

#[tokio::test(start_paused = true)]
async fn cancellation_during_dispatch_of_the_booking_wins() {
    use futures_util::FutureExt as _;
    let relay = Relay::new().await;
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await;
    let booked = relay.receive("notifications").await;
    relay.clock.advance(Duration::from_secs(1));
    // Dispatch reads the booking before the cancellation is recorded, and writes its call after that.
    let slow = relay.invoke("notifications", relay.event(&booked));
    tokio::pin!(slow);
    relay.cloud.hold(|sent| sent.operation == "PutItem");
    while relay.cloud.held() == 0 {
        assert!(slow.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    relay.post_sctt(&sctt("T-1", 4, 0).to_string()).await;
    relay.cloud.release();
    assert!(slow.await.batch_item_failures.is_empty());
    relay.run_until_idle().await;
    let told: Vec<_> = relay.ledger().iter().map(|entry| param(entry, "confirm_book_r_q")["success"].clone()).collect();
    assert_eq!(told, [json!(false)], "TOP gets the newest notification");
    assert_eq!(relay.notification_states("sctt", "T-1").await, ["dispatched", "dispatched"]);
}

#[tokio::test(start_paused = true)]
async fn timeline_tells_a_repeated_delivery_from_a_first_one() {
    let relay = Relay::new().await;
    for deliveries in 1..=3 {
        relay.post_tsy(&tsy("P-1", "issued")).await;
        relay.run_until_idle().await;
        let order = relay.order("tsy", "P-1").await;
        let again = order["timeline"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["event"].as_str().is_some_and(|event| event.ends_with("received again")));
        let told = again.map(|one| one["detail"].as_str().unwrap().to_owned());
        assert_eq!(told, (deliveries > 1).then(|| format!("{deliveries} deliveries in total")));
    }
}

#[tokio::test(start_paused = true)]
async fn percent_encoded_order_id_names_the_partners_order() {
    let relay = Relay::new().await;
    for (order_id, path) in [
        ("订单 1", "%E8%AE%A2%E5%8D%95%201"),
        ("a/b", "a%2Fb"),
        ("a/../b", "a%2F..%2Fb"),
        // The path is decoded once, so this is another order.
        ("a%2Fb", "a%252Fb"),
        ("100%", "100%25"),
        ("1+1", "1+1"),
        ("...", "..."),
    ] {
        relay.post_tsy(&tsy(order_id, "issued")).await;
        assert_eq!(relay.put_order("tsy", path, &flight()).await.0, 200, "{order_id}");
        relay.run_until_idle().await;
        assert_eq!(relay.order("tsy", path).await["order_id"], order_id);
        assert_eq!(relay.notification("tsy", path).await.0, "dispatched", "{order_id}");
    }
    // A path that decodes to no valid string names no order, and never another one.
    for path in ["%FF", "%FE%FE"] {
        assert_eq!(relay.put_order("tsy", path, &flight()).await.0, 400);
        assert_eq!(relay.get_call("ship-notify", path).await.0, 404);
        assert_eq!(relay.resolve("ship-notify", path, r#"{"outcome":"retry"}"#).await.0, 404);
    }
}

#[tokio::test(start_paused = true)]
async fn dispatch_failure_at_any_request_leads_to_one_call() {
    use relay_tests::cloud::WireFault;
    let steps = [("dynamodb", "Query"), ("dynamodb", "UpdateItem"), ("dynamodb", "PutItem"), ("sqs", "SendMessage")];
    for (service, operation) in steps {
        for fault in [WireFault::NotPerformed, WireFault::AnswerLost, WireFault::ServerError, WireFault::NoAnswer] {
            let relay = Relay::new().await;
            relay.put_order("tsy", "P-1", &flight()).await;
            relay.post_tsy(&tsy("P-1", "issued")).await;
            // The fault hits all three tries of the SDK.
            relay.cloud.order(fault, 3, move |sent| sent.service == service && sent.operation == operation);
            relay.poll("notifications").await;
            relay.run_until_idle().await;
            assert_eq!(relay.effects(), 1, "{operation} {fault:?}");
            assert_eq!(relay.ledger().len(), 1, "{operation} {fault:?}");
            assert_eq!(relay.notification("tsy", "P-1").await.0, "dispatched", "{operation} {fault:?}");
        }
    }
}

/// An unsent call for an older link is not sent after the call for the newer link.
#[tokio::test(start_paused = true)]
async fn only_the_itinerary_of_the_newest_link_is_sent() {
    use relay_tests::cloud::WireFault;
    for banned in [false, true] {
        let relay = Relay::new().await;
        relay.put_order("tsy", "P-1", &flight()).await;
        relay.post_tsy(&tsy("P-1", "issued")).await;
        if banned {
            let ban = "This ban will last for 600 more seconds";
            relay.top_faults(json!([{"fault": "error", "code": 7, "sub_msg": ban, "times": 1}]));
            relay.poll("notifications").await;
            relay.poll("itinerary-postback").await;
        } else {
            // The run ends after it recorded the call, before it enqueued the call's key.
            relay.cloud.order(WireFault::NotPerformed, 3, |sent| sent.operation == "SendMessage");
            relay.poll("notifications").await;
        }
        let newer = flight().replace("23142134", "99999999");
        relay.put_order("tsy", "P-1", &newer).await;
        if banned {
            assert_eq!(relay.replay("tsy", "P-1").await.0, 202);
        }
        relay.clock.advance(Duration::from_secs(700));
        relay.run_until_idle().await;
        relay.clock.advance(Duration::from_secs(700));
        relay.sweep().await.unwrap();
        relay.run_until_idle().await;
        let told: Vec<_> = relay
            .ledger()
            .iter()
            .filter(|entry| entry.effect)
            .map(|entry| param(entry, "flight_itinerary_request")["ticket_no_list"].clone())
            .collect();
        assert_eq!(told, [json!(["99999999"])], "banned: {banned}");
        let order = relay.order("tsy", "P-1").await;
        let states: std::collections::BTreeSet<_> =
            order["calls"].as_array().unwrap().iter().map(|call| call["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["succeeded"].into(), "{order:#}");
    }
}
