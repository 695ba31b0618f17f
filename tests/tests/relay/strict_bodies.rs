//! The company's own routes reject JSON that could be read in two ways.

use relay_tests::bodies::{redemption, sctt, ship};
use relay_tests::events::{Body, api_request};
use relay_tests::relay::{Answered, Relay, answered};
use relay_types::notification::NotificationKind;
use serde_json::{Value, json};

fn assert_refused((status, body): Answered, field: &str, sent: &str) {
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &answer["field"]), (400, &json!(field)), "{sent}: {body}");
    assert_eq!(answer["message"], format!("field {field} occurs twice"), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn submission_with_a_duplicate_key_is_rejected() {
    let relay = Relay::new().await;
    for (call, key, body, field) in [
        (
            "ship-notify",
            None,
            r#"{"agent_order_id":"A","alitrip_order_id":"1","success":true,"success":false}"#,
            "success",
        ),
        (
            "ship-notify",
            None,
            r#"{"agent_order_id":"A","alitrip_order_id":"1","success":true,"s\u0075ccess":true}"#,
            "success",
        ),
        (
            "ship-notify",
            None,
            r#"{"agent_order_id":"A","alitrip_order_id":"1","success":true,"passenger_list":[{"ticket_list":[]},{"ticket_list":[{"ticket_id":"1","ticket_id":"2","ticket_type":"1","ticket_price":1}]}]}"#,
            "passenger_list[1].ticket_list[0].ticket_id",
        ),
        ("ticket-verify", Some("k"), r#"{"order_id":1,"order_id":2,"check_num":1}"#, "order_id"),
        (
            "ticket-verify",
            Some("k"),
            r#"{"order_id":1,"voucher_infos":[{"confirm_code":"1","confirm_code":"1"}]}"#,
            "voucher_infos[0].confirm_code",
        ),
        (
            "itinerary-postback",
            None,
            r#"{"out_relation_order_id":"1","out_relation_order_id":"2","tes_head_id":"1","cwt_account_no":"1","ticket_no_list":["1"]}"#,
            "out_relation_order_id",
        ),
    ] {
        assert_refused(answered(relay.submit(call, key, body).await), field, body);
    }
    relay.run_until_idle().await;
    assert_eq!(relay.ledger().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn link_with_a_duplicate_key_is_rejected() {
    let relay = Relay::new().await;
    let link = ship("38", 1);
    let twice = link.replacen(r#""agent_order_id":"#, r#""agent_order_id":"other","agent_order_id":"#, 1);
    assert_refused(relay.put_order("sctt", "T-1", &twice).await, "fliggy_ship.agent_order_id", &twice);
    let twice = format!("{},{}", link.strip_suffix('}').unwrap(), link.strip_prefix('{').unwrap());
    assert_refused(relay.put_order("sctt", "T-1", &twice).await, "fliggy_ship", &twice);
    assert_eq!(relay.get_order("sctt", "T-1").await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn operator_request_with_a_duplicate_key_is_rejected() {
    let relay = Relay::new().await;
    relay.post(NotificationKind::IssueNotify, r#"{"orderId":"P-1","orderNo":"1","type":"rejected","msg":""}"#).await;
    relay.submit("ticket-verify", Some("k"), &redemption(7, 0)).await;
    relay.run_until_idle().await;
    let note = r#"{"note":"a","note":"b"}"#;
    let order = json!({"partner": "tsy", "order_id": "P-1"});
    for word in ["replay", "dismiss", "withdraw", "close"] {
        let route = format!("/orders/{{partner}}/{{order_id}}/{word}");
        let request = api_request("POST", &route, order.clone(), json!({}), Body::Text(note));
        assert_refused(answered(relay.order_link.handle(&request).await), "note", word);
    }
    let outcome = r#"{"outcome":"succeeded","outcome":"retry"}"#;
    assert_refused(relay.resolve("ticket-verify", "k", outcome).await, "outcome", outcome);
    let call = json!({"call": "ticket-verify", "key": "k"});
    let request = api_request("POST", "/calls/{call}/{key}/dismiss", call, json!({}), Body::Text(note));
    assert_refused(answered(relay.submit_call.handle(&request).await), "note", "a call's dismissal");
    let unreadable = json!({"endpoint": "issue-notify", "digest": "0".repeat(64)});
    let route = "/attention/unreadable/{endpoint}/{digest}/dismiss";
    let request = api_request("POST", route, unreadable, json!({}), Body::Text(note));
    assert_refused(answered(relay.attention.handle(&request).await), "note", "an unreadable body's dismissal");
}

#[tokio::test(start_paused = true)]
async fn equal_keys_of_different_objects_are_not_duplicates() {
    let relay = Relay::new().await;
    assert_eq!(relay.put_order("sctt", "T-1", &ship("38", 3)).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn last_duplicate_key_of_a_partner_counts() {
    let relay = Relay::new().await;
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    let push = sctt("T-1", 2, 1).to_string();
    let twice = push.replacen(r#""order_status":2"#, r#""order_status":2,"order_status":3"#, 1);
    assert_ne!(twice, push);
    assert_eq!(relay.post_sctt(&twice).await.0, 200);
    relay.run_until_idle().await;
    let sent: Value = serde_json::from_str(&relay.ledger()[0].params["confirm_book_r_q"]).unwrap();
    assert_eq!(sent["success"], false);
}
