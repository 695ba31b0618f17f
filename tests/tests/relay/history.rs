//! What an order's timeline keeps: attempts with their beginning and end, replaced links, requests and decisions.

use std::time::Duration;

use relay_tests::bodies::{cancel, flight, sctt, ship, tsy};
use relay_tests::relay::Relay;
use relay_types::notification::NotificationKind;
use relay_types::record::{Body, MAX_INLINE_HISTORY};
use relay_types::time::Clock as _;
use serde_json::{Value, json};

fn events(order: &Value) -> Vec<&Value> {
    order["timeline"].as_array().unwrap().iter().collect()
}

fn of_kind<'a>(order: &'a Value, kind: &str) -> Vec<&'a Value> {
    events(order).into_iter().filter(|event| event["kind"] == kind).collect()
}

async fn pause(relay: &Relay) {
    relay.clock.advance(Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_its_beginning_its_end_and_top_s_answer() {
    let relay = Relay::new().await;
    relay.top_faults(json!([{"fault": "timeout_before_effect", "times": 1},
        {"fault": "error", "code": 15, "sub_code": "isv.invalid-parameter", "sub_msg": "wrong", "times": 1}]));
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await;
    relay.run_until_idle().await;
    let order = relay.order("sctt", "T-1").await;
    let attempts = order["calls"][0]["history"].as_array().unwrap();
    assert!(!attempts.is_empty(), "{order:#}");
    for attempt in attempts.iter().chain(of_kind(&order, "attempt")) {
        let [began, ended] = ["began_at", "at"].map(|name| attempt[name].as_str().unwrap());
        assert!(began <= ended, "{attempt}");
        assert!(attempt["error"].is_object() || attempt["outcome"] == "succeeded", "{attempt}");
    }
}

#[tokio::test(start_paused = true)]
async fn outcome_that_was_handed_in_has_its_beginning() {
    let relay = Relay::new().await;
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await;
    relay.poll("notifications").await;
    let record = relay.record("order#sctt#T-1").await;
    let (key, now) = (record.key.clone(), relay.clock.now());
    let until = now.plus(Duration::from_secs(60));
    let call = relay_types::call::CallKind::ShipNotify;
    relay.store.claim(&key, call, ("me", until), now).await.unwrap();
    let began = relay.record("order#sctt#T-1").await.began;
    assert_eq!(began, Some(now));
    pause(&relay).await;
    let succeeded = relay_types::record::Attempted::Succeeded(relay_types::failure::Reply::default());
    assert!(relay.store.hand_in(&key, ("me", began), &succeeded, relay.clock.now()).await.unwrap());
    relay.sweep().await.unwrap();
    relay.clock.advance(Duration::from_secs(400));
    relay.sweep().await.unwrap();
    relay.run_until_idle().await;
    let order = relay.order("sctt", "T-1").await;
    let [attempt] = of_kind(&order, "attempt")[..] else { panic!("{order:#}") };
    assert_eq!(attempt["began_at"], now.to_string());
    assert_eq!(attempt["at"], now.plus(Duration::from_secs(5)).to_string());
}

#[tokio::test(start_paused = true)]
async fn replaced_links_stay_and_can_be_compared() {
    let relay = Relay::new().await;
    // A small link, and one that is a separate item; none of them with a notification yet.
    for tickets in [1, 40, 2] {
        relay.put_order("sctt", "T-1", &ship("38", tickets)).await;
        pause(&relay).await;
    }
    relay.put_order("sctt", "T-1", &ship("38", 2)).await;
    relay.run_until_idle().await;
    let order = relay.order("sctt", "T-1").await;
    let links = of_kind(&order, "link");
    let versions: Vec<_> = links.iter().map(|link| link["link_version"].as_i64().unwrap()).collect();
    assert_eq!(versions, [1, 2, 4], "the same link again replaces nothing: {order:#}");
    let tickets = |link: &Value| {
        let passengers = &link["link"]["fliggy_ship"]["passenger_list"];
        passengers[0]["ticket_list"].as_array().map(Vec::len)
    };
    assert_eq!(links.iter().map(|link| tickets(link)).collect::<Vec<_>>(), [Some(1), Some(40), None]);
    assert!(!order.to_string().contains("PLANTED"), "{order}");

    let (status, body) = relay.difference("sctt", "T-1", "link-1", "link-4").await;
    let difference: Value = serde_json::from_str(&body).unwrap();
    let path = "fliggy_ship.passenger_list[0].ticket_list[1]";
    let fields: Vec<_> = difference["fields"].as_array().unwrap().iter().map(|field| &field["path"]).collect();
    let expected = ["ticket_id", "ticket_price", "ticket_type"].map(|name| format!("{path}.{name}"));
    assert_eq!(
        (status, fields.iter().map(|path| path.as_str().unwrap()).collect::<Vec<_>>()),
        (200, expected.iter().map(String::as_str).collect())
    );
    assert!(difference["fields"][0]["from"].is_null() && difference["fields"][0]["to"] == "t2");
}

#[tokio::test(start_paused = true)]
async fn notifications_are_compared_before_their_personal_data_is_masked() {
    let relay = Relay::new().await;
    let mut later = sctt("T-1", 2, 1);
    later["vouchers"][0]["voucherlist"][0]["voucher_confirmation"] = json!("PLANTED-OTHER");
    later["sign"] = json!("other");
    relay.post_sctt(&sctt("T-1", 3, 1).to_string()).await;
    pause(&relay).await;
    relay.post_sctt(&later.to_string()).await;
    relay.run_until_idle().await;
    let order = relay.order("sctt", "T-1").await;
    let statuses: Vec<_> = order["notifications"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, ["failed", "booked"]);
    assert_eq!(order["notifications"][0]["partner_number"], "123456");
    let [from, to] = [0, 1].map(|index: usize| order["notifications"][index]["digest"].as_str().unwrap().to_owned());
    let (status, body) = relay.difference("sctt", "T-1", &from[..8], &to).await;
    assert_eq!(status, 200, "{body}");
    assert!(!body.contains("PLANTED"), "{body}");
    let difference: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        difference["fields"],
        json!([{"path": "order_status", "from": 3, "to": 2, "hidden": false},
            {"path": "vouchers[0].voucherlist[0].voucher_confirmation", "from": "[redacted]", "to": "[redacted]",
                "hidden": true}])
    );
    assert_eq!(difference["left_out"], json!(["request_time", "sign"]));
}

#[tokio::test(start_paused = true)]
async fn comparison_of_what_is_not_there_says_what_is_wrong() {
    let relay = Relay::new().await;
    assert_eq!(relay.difference("sctt", "T-1", "link-1", "link-2").await.0, 404);
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    relay.post_sctt(&sctt("T-1", 3, 1).to_string()).await;
    for (from, to, status, says) in [
        ("link-1", "link-2", 404, "no such link"),
        ("link-0", "link-1", 404, "no such link"),
        ("link-1", "00000000", 404, "no such notification"),
        ("00000000", "00000000", 404, "no such notification"),
        ("0000000", "00000000", 400, "at least 8 digits"),
        ("", "", 400, "at least 8 digits"),
        ("xxxxxxxx", "xxxxxxxx", 400, "at least 8 digits"),
    ] {
        let (answered, body) = relay.difference("sctt", "T-1", from, to).await;
        assert!(answered == status && body.contains(says), "{from} {to}: {answered} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn refused_request_stays_after_the_corrected_one_succeeded() {
    let relay = Relay::new().await;
    relay.top_faults(json!([{"fault": "error", "code": 15, "sub_code": "isv.invalid-parameter", "times": 1}]));
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await;
    relay.run_until_idle().await;
    pause(&relay).await;
    relay.put_order("sctt", "T-1", &ship("39", 1)).await;
    relay.run_until_idle().await;
    let order = relay.order("sctt", "T-1").await;
    let attempts = of_kind(&order, "attempt");
    let outcomes: Vec<_> = attempts.iter().map(|event| event["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["refused", "succeeded"], "{order:#}");
    assert_eq!(attempts[0]["request"]["alitrip_order_id"], "38");
    assert_eq!(attempts[0]["error"]["sub_code"], "isv.invalid-parameter");
    assert!(attempts[1]["request"].is_null(), "the call shows it");
    let requested: Vec<_> = of_kind(&order, "decision").into_iter().map(|event| &event["event"]).collect();
    assert!(requested.contains(&&json!("ship-notify/38 requested")), "{requested:?}");
    assert!(requested.contains(&&json!("ship-notify/39 requested")), "{requested:?}");
    assert!(!order.to_string().contains("PLANTED"), "{order}");
}

#[tokio::test(start_paused = true)]
async fn earlier_success_stays_with_its_request_and_answer() {
    let relay = Relay::new().await;
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.post_tsy(&tsy("P-1", "issued")).await;
    relay.run_until_idle().await;
    pause(&relay).await;
    relay.put_order("tsy", "P-1", &flight().replace("23142134", "23142135")).await;
    relay.run_until_idle().await;
    let order = relay.order("tsy", "P-1").await;
    let attempts = of_kind(&order, "attempt");
    assert_eq!(attempts.len(), 2, "{order:#}");
    assert!(attempts[0]["request"]["ticket_no_list"].is_string(), "masked: {}", attempts[0]);
    for attempt in attempts {
        assert!(attempt["response"]["request_id"].is_string() && attempt["began_at"].is_string(), "{attempt}");
    }
}

#[tokio::test(start_paused = true)]
async fn decisions_that_nothing_is_requested_stay_with_their_reasons() {
    let relay = Relay::new().await;
    relay.post_sctt(&sctt("T-1", 2, 2).to_string()).await;
    relay.run_until_idle().await;
    pause(&relay).await;
    // Two vouchers do not fit three tickets.
    relay.put_order("sctt", "T-1", &ship("38", 3)).await;
    relay.run_until_idle().await;
    pause(&relay).await;
    relay.instruct("dismiss", "sctt", "T-1", "done by phone").await;
    relay.run_until_idle().await;
    pause(&relay).await;
    relay.put_order("sctt", "T-1", &ship("38", 2)).await;
    relay.run_until_idle().await;
    let order = relay.order("sctt", "T-1").await;
    let codes = |event: &&Value| event["reasons"][0]["code"].as_str().map(str::to_owned);
    let decided: Vec<_> = of_kind(&order, "decision").iter().filter_map(codes).collect();
    assert_eq!(decided, ["no_link", "vouchers_mismatch"], "{order:#}");
    let [said] = of_kind(&order, "operator")[..] else { panic!("{order:#}") };
    assert_eq!((said["outcome"].as_str(), said["note"].as_str()), (Some("dismissed"), Some("done by phone")));
    assert_eq!(order["calls"][0]["state"], "succeeded");
}

#[tokio::test(start_paused = true)]
async fn many_corrections_keep_the_record_small() {
    let relay = Relay::new().await;
    relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await;
    let link = |n: usize| ship("38", 1).replace("A-1", &format!("A-{n:0>300}"));
    // None of these is decided before the next one.
    for n in 0..60 {
        assert_eq!(relay.put_order("sctt", "T-1", &link(n)).await.0, 200);
    }
    let undecided = relay.record("order#sctt#T-1").await;
    let inline = |body: &Option<Body>| matches!(body, Some(Body::Inline(_)));
    let facts = undecided.facts.iter().filter(|fact| match fact {
        relay_types::record::Fact::Linked { was } => inline(&was.as_ref().and_then(|was| was.body.clone())),
        _ => false,
    });
    assert!(facts.count() <= 16);
    relay.run_until_idle().await;
    for n in 60..100 {
        relay.put_order("sctt", "T-1", &link(n)).await;
        relay.run_until_idle().await;
    }
    let record = relay.record("order#sctt#T-1").await;
    let kept = record.history.iter().filter(|entry| entry.body.is_some()).count();
    let kept_inline = record.history.iter().filter(|entry| inline(&entry.body)).count();
    assert!(kept_inline <= MAX_INLINE_HISTORY && kept >= MAX_INLINE_HISTORY, "{kept_inline} of {kept}");
    let bytes = serde_json::to_string(&record).unwrap().len();
    assert!(bytes < 32 * 1024, "{bytes}");
}

#[tokio::test(start_paused = true)]
async fn order_without_payloads_reads_none() {
    let relay = Relay::new().await;
    relay.put_order("sctt", "T-1", &ship("38", 40)).await;
    for n in 0..5 {
        let mut body = sctt("T-1", 2, 40);
        body["n"] = json!(n);
        relay.post_sctt(&body.to_string()).await;
    }
    relay.run_until_idle().await;
    let order = relay.order_with_payload("sctt", "T-1", "none").await;
    let notifications = order["notifications"].as_array().unwrap();
    assert!(notifications.iter().all(|one| one["payload"].is_null() && one["payload_left_out"] == true), "{order:#}");
    assert!(notifications.iter().all(|one| one["status"] == "booked" || one["status"].is_null()));
    assert!(order["link"]["fliggy_ship"].is_object() && order["calls"][0]["request"].is_object());
    let digest = notifications[2]["digest"].as_str().unwrap();
    let order = relay.order_with_payload("sctt", "T-1", digest).await;
    let shown: Vec<_> =
        order["notifications"].as_array().unwrap().iter().map(|one| one["payload"].is_object()).collect();
    assert_eq!(shown, [false, false, true, false, false]);
}

#[tokio::test(start_paused = true)]
async fn status_of_every_kind_of_notification_is_told_in_words() {
    let relay = Relay::new().await;
    relay.post_tsy(&tsy("P-1", "rejected")).await;
    relay.post(NotificationKind::CancelPush, &cancel(&[("T-1", 3)])).await;
    relay.post_sctt(&sctt("T-1", 77, 0).to_string()).await;
    relay.run_until_idle().await;
    assert_eq!(relay.order("tsy", "P-1").await["notifications"][0]["status"], "rejected");
    assert_eq!(relay.order("tsy", "P-1").await["notifications"][0]["partner_number"], "10862500710595");
    let order = relay.order("sctt", "T-1").await;
    let mut statuses: Vec<_> =
        order["notifications"].as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, ["77", "done"]);
}
