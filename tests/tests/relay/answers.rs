//! The responses that callers get, and the effects of bad input.

use std::time::Duration;

use relay_receiver::authentication::{ScttChecks, SignatureFormula, SignatureHash};
use relay_tests::bodies::{flight, redemption, sctt, ship, ship_call, tsy};
use relay_tests::cloud::WireFault;
use relay_tests::events::Body;
use relay_tests::relay::{Answered, Relay, SCTT_SECRET, TOKEN, answered};
use relay_types::notification::NotificationKind;
use relay_types::redact::Redacted;
use serde_json::{Value, json};

const TSY_OK: &str = r#"{"msg":"success","code":"0"}"#;
const SCTT_OK: &str = r#"{"code":0,"msg":"ok","data":null}"#;

/// A partner's bodies in quarantine, each with its problem.
async fn quarantined(relay: &Relay, partner: &str) -> Vec<(Vec<u8>, String)> {
    let query = relay.dynamodb.query().table_name("relay").key_condition_expression("pk = :pk");
    let pk = aws_sdk_dynamodb::types::AttributeValue::S(format!("quarantine#{partner}"));
    let items = query.expression_attribute_values(":pk", pk).send().await.unwrap().items.unwrap_or_default();
    let read = |item: std::collections::HashMap<String, aws_sdk_dynamodb::types::AttributeValue>| {
        assert!(item.contains_key("expires_at"));
        (
            item["body"].as_b().unwrap().clone().into_inner(),
            item["unreadable"].as_m().unwrap()["problem"].as_s().unwrap().clone(),
        )
    };
    items.into_iter().map(read).collect()
}

fn tsy_refusal(status: u16, message: &str) -> Answered {
    (status, json!({"msg": message, "code": status.to_string()}).to_string())
}

fn sctt_refusal(status: u16, message: &str) -> Answered {
    (status, json!({"code": status, "msg": message, "data": null}).to_string())
}

#[tokio::test(start_paused = true)]
async fn first_and_repeated_deliveries_get_the_exact_success_body() {
    let relay = Relay::new().await;
    for _ in 0..3 {
        assert_eq!(relay.post_tsy(&tsy("P-1", "issued")).await, (200, TSY_OK.to_owned()));
        assert_eq!(relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await, (200, SCTT_OK.to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_token_gets_401_and_causes_no_requests() {
    let relay = Relay::new().await;
    for token in ["", "wrong", "PLANTED-TOKEN "] {
        let body = tsy("P-1", "issued");
        assert_eq!(relay.post_tsy_as(token, Body::Text(&body)).await, tsy_refusal(401, "not authorized"));
        assert_eq!(relay.post_sctt_as(token, Body::Text("{")).await, sctt_refusal(401, "not authorized"));
    }
    assert_eq!(relay.cloud.take_sent(), []);
}

#[tokio::test(start_paused = true)]
async fn unreadable_body_gets_400_naming_the_field_and_is_quarantined_whole() {
    let relay = Relay::new().await;
    let cases = [
        ("", "the body is empty: send a JSON object"),
        ("null", "the body must be a JSON object"),
        ("[]", "the body must be a JSON object"),
        ("42", "the body must be a JSON object"),
        (r#"{"msg":"","orderNo":"1","orderId":"P-1","ty"#, "the body is not valid JSON at line 1, column 43"),
        (r#"{"msg":"","orderNo":"1","type":"issued"}"#, "field orderId is missing"),
        (r#"{"msg":"","orderNo":"1","orderId":"","type":"issued"}"#, "field orderId must be a non-empty string"),
        (r#"{"msg":"","orderNo":"1","orderId":{"a":1},"type":"issued"}"#, "field orderId must be a string"),
        (r#"{"msg":"","orderNo":"1","orderId":"P-1","type":7.5e3000}"#, ""),
        (
            r#"{"msg":"","orderNo":"1","orderId":"a\u0007b","type":"issued"}"#,
            "field orderId must be 1 to 256 bytes long, without control characters or U+FFFD, and neither . nor ..",
        ),
        (
            r#"{"msg":"","orderNo":"1","orderId":"\ud800","type":"issued"}"#,
            "the body is not valid JSON at line 1, column 42",
        ),
    ];
    let mut kept = 0;
    for (body, message) in cases {
        let (status, answer) = relay.post_tsy(body).await;
        if message.is_empty() {
            // A number in place of a string is accepted with all its digits. Here it becomes an unknown type.
            assert_eq!(status, 200, "{answer}");
            continue;
        }
        assert_eq!((status, answer), tsy_refusal(400, message), "{body}");
        kept += 1;
        relay.clock.advance(Duration::from_millis(1));
        let quarantined = quarantined(&relay, "tsy").await;
        assert_eq!(quarantined.len(), kept);
        assert!(quarantined.contains(&(body.as_bytes().to_vec(), message.to_owned())), "{quarantined:?}");
    }
    let (status, answer) = relay.post_sctt(r#"{"trade_number":"T-1","vouchers":[{"voucherlist":[{}]}]}"#).await;
    assert_eq!((status, answer), sctt_refusal(400, "field order_status is missing"));
    assert_eq!(quarantined(&relay, "sctt").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn unreadable_body_enqueues_nothing() {
    let relay = Relay::new().await;
    relay.post_tsy("{").await;
    assert!(relay.receive("notifications").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn body_over_256_kib_gets_413() {
    let relay = Relay::new().await;
    let body = |bytes: usize| {
        let mut body = sctt("T-1", 1, 0);
        body["remark"] = json!("");
        let rest = body.to_string().len();
        body["remark"] = json!("x".repeat(bytes - rest));
        body.to_string()
    };
    assert_eq!(relay.post_sctt(&body(300 * 1024)).await, sctt_refusal(413, "the body is larger than 256 KiB"));
    assert_eq!(relay.post_sctt(&body(256 * 1024 + 1)).await.0, 413);
    assert_eq!(relay.cloud.take_sent(), []);
    assert_eq!(relay.post_sctt(&body(256 * 1024)).await, (200, SCTT_OK.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn base64_body_is_decoded_and_invalid_utf8_gets_400() {
    let relay = Relay::new().await;
    // {"msg":"","orderNo":"1","orderId":"P-1","type":"rejected"}
    let encoded = "eyJtc2ciOiIiLCJvcmRlck5vIjoiMSIsIm9yZGVySWQiOiJQLTEiLCJ0eXBlIjoicmVqZWN0ZWQifQ==";
    assert_eq!(relay.post_tsy_as(TOKEN, Body::Base64(encoded)).await, (200, TSY_OK.to_owned()));
    relay.run_until_idle().await;
    assert_eq!(relay.notification("tsy", "P-1").await.0, "attention");
    // {"a":"<ff>"}
    assert_eq!(
        relay.post_tsy_as(TOKEN, Body::Base64("eyJhIjoi/yJ9")).await,
        tsy_refusal(400, "the body is not valid UTF-8 at byte 6")
    );
    assert_eq!(quarantined(&relay, "tsy").await[0].0, b"{\"a\":\"\xff\"}");
    assert_eq!(relay.post_tsy_as(TOKEN, Body::None).await.0, 400);
}

#[tokio::test(start_paused = true)]
async fn unknown_fields_chinese_emoji_and_ids_over_53_bits_are_kept() {
    let relay = Relay::new().await;
    let body = r#"{"msg":"出票 🎫","orderNo":90071992547409931234,"orderId":9007199254740993,"type":"rejected","new":{"x":[1.50,null]}}"#;
    assert_eq!(relay.post_tsy(body).await.0, 200);
    let (status, answer) = relay.get_order("tsy", "9007199254740993").await;
    assert_eq!(status, 200);
    let order: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(order["notifications"][0]["payload"], serde_json::from_str::<Value>(body).unwrap());
    let chinese = tsy("订单-🎫 1/2#3", "rejected");
    assert_eq!(relay.post_tsy(&chinese).await.0, 200);
    assert_eq!(relay.get_order("tsy", "订单-🎫 1/2#3").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn table_or_queue_failure_gets_500_and_a_resend_succeeds() {
    let relay = Relay::new().await;
    let body = tsy("P-1", "rejected");
    relay.cloud.order(WireFault::ServerError, 3, |sent| sent.service == "dynamodb");
    assert_eq!(relay.post_tsy(&body).await, tsy_refusal(500, "could not be stored; send it again"));
    assert_eq!(relay.get_order("tsy", "P-1").await.0, 404);
    relay.cloud.order(WireFault::ServerError, 3, |sent| sent.service == "sqs");
    assert_eq!(relay.post_tsy(&body).await.0, 500);
    assert!(relay.receive("notifications").await.is_empty());
    assert_eq!(relay.post_tsy(&body).await, (200, TSY_OK.to_owned()));
    relay.run_until_idle().await;
    assert_eq!(relay.notification("tsy", "P-1").await.0, "attention");
}

#[tokio::test(start_paused = true)]
async fn unreadable_body_that_cannot_be_quarantined_gets_500() {
    let relay = Relay::new().await;
    relay.cloud.order(WireFault::ServerError, 3, |sent| sent.service == "dynamodb");
    assert_eq!(relay.post_sctt("{").await, sctt_refusal(500, "could not be stored; send it again"));
}

fn checks() -> (ScttChecks, SignatureFormula) {
    let formula = SignatureFormula::parse("{merchant_id}{request_time}{secret}", SignatureHash::Md5).unwrap().unwrap();
    let checks = ScttChecks {
        merchant_id: Some("287729".to_owned()),
        request_time_window: Some(Duration::from_secs(300)),
        formula: Some(formula.clone()),
    };
    (checks, formula)
}

#[tokio::test(start_paused = true)]
async fn push_needs_the_configured_merchant_time_and_signature() {
    let (checks, formula) = checks();
    let relay = Relay::checking(checks).await;
    let signed = |change: &dyn Fn(&mut Value)| {
        let mut body = sctt("T-1", 2, 1);
        body["sign"] = json!(formula.sign(&body, &Redacted::new(SCTT_SECRET.to_owned())));
        change(&mut body);
        body.to_string()
    };
    assert_eq!(relay.post_sctt(&signed(&|_| ())).await, (200, SCTT_OK.to_owned()));
    let refused: [&dyn Fn(&mut Value); 5] = [
        &|body| body["sign"] = json!("0".repeat(32)),
        &|body| drop(body.as_object_mut().unwrap().remove("sign")),
        &|body| body["merchant_id"] = json!(1),
        &|body| body["request_time"] = json!("2026-01-01 12:05:01"),
        &|body| drop(body.as_object_mut().unwrap().remove("request_time")),
    ];
    for change in refused {
        assert_eq!(relay.post_sctt(&signed(change)).await, sctt_refusal(401, "not authorized"));
    }
    let messages = relay.receive("notifications").await;
    assert_eq!(messages.len(), 1, "only the first push was accepted");
}

#[tokio::test(start_paused = true)]
async fn unreadable_secret_gets_500_instead_of_401() {
    let relay = Relay::checking(checks().0).await;
    relay.cloud.order(WireFault::ServerError, 3, |sent| sent.service == "secretsmanager");
    assert_eq!(relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await.0, 500);
}

#[tokio::test(start_paused = true)]
async fn empty_secret_gets_500_and_enqueues_nothing() {
    let (checks, formula) = checks();
    let relay = Relay::checking(checks).await;
    relay.put_secret("sctt", &json!({"secret": ""})).await;
    let mut body = sctt("T-1", 2, 1);
    body["sign"] = json!(formula.sign(&body, &Redacted::new(String::new())));
    assert_eq!(relay.post_sctt(&body.to_string()).await.0, 500);
    assert!(relay.receive("notifications").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn changed_secret_applies_within_seconds_and_wrong_signatures_do_not_reread_it() {
    let (checks, formula) = checks();
    let relay = Relay::checking(checks).await;
    let push = async |order_id: &str, secret: &str| {
        let mut body = sctt(order_id, 2, 1);
        body["sign"] = json!(formula.sign(&body, &Redacted::new(secret.to_owned())));
        relay.post_sctt(&body.to_string()).await.0
    };
    assert_eq!(push("T-1", SCTT_SECRET).await, 200);
    relay.put_secret("sctt", &json!({"secret": "another"})).await;
    relay.clock.advance(Duration::from_secs(11));
    assert_eq!(push("T-2", "another").await, 200);
    relay.cloud.take_sent();
    for _ in 0..3 {
        assert_eq!(push("T-3", SCTT_SECRET).await, 401);
    }
    let read = relay.cloud.take_sent().iter().filter(|sent| sent.service == "secretsmanager").count();
    assert_eq!(read, 0, "the secret was read seconds ago");
}

#[tokio::test(start_paused = true)]
async fn redacted_placeholder_is_rejected() {
    let relay = Relay::new().await;
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    let shown = relay.order("sctt", "T-1").await["link"]["fliggy_ship"].clone();
    assert!(shown.to_string().contains("[redacted]"), "{shown}");
    let (status, body) = relay.put_order("sctt", "T-1", &json!({"fliggy_ship": shown}).to_string()).await;
    assert!(status == 400 && body.contains("contains the placeholder [redacted]"), "{status} {body}");
    let submitted = relay
        .submit_and_decide("ticket-verify", Some("k"), &redemption(1, 0).replace("PLANTED-CODE", "[redacted]"))
        .await;
    assert_eq!(answered(submitted).0, 400);
    assert_eq!(relay.get_call("ticket-verify", "k").await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn personal_data_of_a_change_price_push_is_not_shown() {
    let relay = Relay::new().await;
    let body = json!({"informType": "Change_Price", "merchantOrder": "P-1", "totalfee": "320.50",
        "passengers": [{"surname": "PLANTED", "name": "PLANTED"}], "pnr": "PLANTED", "pnrList": ["PLANTED"], "airPnr": "PLANTED"});
    relay.post(NotificationKind::ChangePricePush, &body.to_string()).await;
    let shown = relay.get_order("tsy", "P-1").await.1;
    assert!(shown.contains("320.50") && !shown.contains("PLANTED"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn link_errors_have_the_right_status_and_field() {
    let relay = Relay::new().await;
    let field = |answer: Answered| {
        let body: Value = serde_json::from_str(&answer.1).unwrap();
        (answer.0, body["field"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(relay.put_order("acme", "1", &flight()).await.0, 404);
    assert_eq!(field(relay.put_order("tsy", "", &flight()).await), (400, "order_id".to_owned()));
    assert_eq!(field(relay.put_order("tsy", "1", "{").await), (400, String::new()));
    let odd = r#"{"happytrip_flight":{"tes_head_id":"1","cwt_account_no":"2","odd":1}}"#;
    assert_eq!(field(relay.put_order("tsy", "1", odd).await), (400, "happytrip_flight.odd".to_owned()));
    assert_eq!(field(relay.put_order("sctt", "1", &flight()).await), (400, "happytrip_flight".to_owned()));
    assert_eq!(relay.put_order("tsy", "1", &format!(r#"{{"a":"{}"}}"#, "x".repeat(300 * 1024))).await.0, 413);
    assert_eq!(relay.get_order("tsy", "1").await.0, 404, "none of these was stored");
    relay.cloud.order(WireFault::ServerError, 3, |sent| sent.service == "dynamodb");
    assert_eq!(relay.put_order("tsy", "1", &flight()).await.0, 500);
    relay.post_tsy(&tsy("1", "issued")).await;
    relay.cloud.order(WireFault::ServerError, 3, |sent| sent.service == "sqs");
    assert_eq!(relay.put_order("tsy", "1", &flight()).await.0, 500, "the order is linked, but its key is not enqueued");
}

#[tokio::test(start_paused = true)]
async fn submissions_get_the_documented_status_and_field() {
    let relay = Relay::new().await;
    let submit = async |call: &str, key: Option<&str>, body: &str| {
        let answer = answered(relay.submit_and_decide(call, key, body).await);
        let body: Value = serde_json::from_str(&answer.1).unwrap();
        (answer.0, body["field"].as_str().unwrap_or_default().to_owned())
    };
    let fine = |status| (status, String::new());
    assert_eq!(submit("ticket-verify", Some("r-1"), &redemption(7, 0)).await, fine(202));
    assert_eq!(submit("ticket-verify", Some("r-1"), &redemption(7, 0)).await, fine(200));
    assert_eq!(submit("ticket-verify", Some("r-1"), &redemption(8, 0)).await, fine(422));
    assert_eq!(submit("ticket-verify", Some("r-2"), &redemption(7, 0)).await, fine(202));
    assert_eq!(submit("ticket-verify", None, &redemption(7, 0)).await, (400, "Idempotency-Key".to_owned()));
    assert_eq!(submit("ticket-verify", Some(""), &redemption(7, 0)).await, (400, "Idempotency-Key".to_owned()));
    assert_eq!(submit("ship-notify", Some("r-1"), &ship_call("1", true)).await, (400, "Idempotency-Key".to_owned()));
    assert_eq!(submit("ship-notify", None, &ship_call("1", true)).await, fine(202));
    assert_eq!(submit("ship-notify", None, &ship_call("1", false)).await, fine(422), "TOP keeps the first success");
    assert_eq!(
        submit("ship-notify", None, r#"{"agent_order_id":"A","alitrip_order_id":"1"}"#).await,
        (400, "success".to_owned())
    );
    assert_eq!(
        submit("ship-notify", None, r#"{"agent_order_id":"A","alitrip_order_id":"1","success":"yes"}"#).await,
        (400, "success".to_owned())
    );
    let unknown = r#"{"agent_order_id":"A","alitrip_order_id":"1","success":true,"passenger_list":[{"ticket_list":[{"ticket_id":"1","ticket_type":"1","ticket_price":1,"odd":1}]}]}"#;
    assert_eq!(submit("ship-notify", None, unknown).await, (400, "passenger_list[0].ticket_list[0].odd".to_owned()));
    assert_eq!(submit("ticket-verify", Some("r-3"), r#"{"check_num":1}"#).await, (400, "order_id".to_owned()));
    assert_eq!(
        submit("ticket-verify", Some("r-3"), r#"{"order_id":1,"write_off_type":2}"#).await,
        (400, "write_off_type".to_owned())
    );
    assert_eq!(
        submit("ticket-verify", Some("r-3"), r#"{"order_id":1,"voucher_infos":[{"used_date":"today"}]}"#).await,
        (400, "voucher_infos[0].used_date".to_owned())
    );
    for nothing in [r#"{"order_id":1}"#, r#"{"order_id":1,"voucher_infos":[],"confirm_code":""}"#] {
        assert_eq!(submit("ticket-verify", Some("r-3"), nothing).await, (400, "voucher_infos".to_owned()));
    }
    let many = json!({"order_id": 1, "voucher_infos": vec![json!({"confirm_code": "1"}); 1000]}).to_string();
    assert_eq!(submit("ticket-verify", Some("r-3"), &many).await, (400, "voucher_infos".to_owned()));
    assert_eq!(
        submit(
            "itinerary-postback",
            None,
            r#"{"out_relation_order_id":"1","tes_head_id":"1","cwt_account_no":"1","ticket_no_list":[]}"#
        )
        .await,
        (400, "ticket_no_list".to_owned())
    );
    assert_eq!(submit("itinerary-postback", None, "[]").await, fine(400));
    assert_eq!(submit("telepathy", None, "{}").await, fine(404));
    assert_eq!(relay.get_call("ship-notify", "none").await.0, 404);
    assert_eq!(relay.get_call("telepathy", "none").await.0, 404);
    assert_eq!(relay.get_call("ticket-verify", "r-3").await.0, 404, "a rejected submission is not stored");
}

#[tokio::test(start_paused = true)]
async fn submitting_again_enqueues_a_call_that_was_only_recorded() {
    let relay = Relay::new().await;
    relay.cloud.order(WireFault::ServerError, 3, |sent| sent.service == "sqs");
    assert_eq!(relay.submit("ship-notify", None, &ship_call("1", true)).await.status(), 500);
    assert_eq!(relay.submit("ship-notify", None, &ship_call("1", true)).await.status(), 200);
    relay.run_until_idle().await;
    assert_eq!(relay.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn timeline_shows_every_event_in_order_without_personal_data() {
    let relay = Relay::new().await;
    relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await;
    relay.run_until_idle().await;
    relay.clock.advance(Duration::from_secs(1));
    relay.put_order("sctt", "T-1", &ship("38", 1)).await;
    relay.clock.advance(Duration::from_secs(1));
    relay.run_until_idle().await;
    let (_, body) = relay.get_order("sctt", "T-1").await;
    assert!(!body.contains("PLANTED"), "{body}");
    let order: Value = serde_json::from_str(&body).unwrap();
    let events: Vec<_> =
        order["timeline"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
    let digest = &order["notifications"][0]["digest"].as_str().unwrap()[..8];
    assert_eq!(
        events,
        [
            format!("voucher-push {digest} received").as_str(),
            format!("voucher-push {digest} decided").as_str(),
            "linked",
            format!("voucher-push {digest} dispatched").as_str(),
            "ship-notify/38 requested",
            "ship-notify/38 attempt 1 succeeded",
        ]
    );
    assert!(order["calls"][0]["response"]["request_id"].is_string());
    assert_eq!(order["link"]["updated_by"], "arn:aws:iam::123456789012:user/booking-system");
}

#[tokio::test(start_paused = true)]
async fn payloads_that_lambda_could_not_return_are_left_out_and_returned_on_request() {
    let relay = Relay::new().await;
    for n in 0..32 {
        let mut push = sctt("T-1", 2, 1);
        // Half of it are quotes, which take twice the space in the function's result.
        push["remark"] = format!("{n}{}", "\"x".repeat(58_000)).into();
        assert_eq!(relay.post_sctt(&push.to_string()).await.0, 200);
        relay.run_until_idle().await;
    }
    let (status, answer) = relay.get_order("sctt", "T-1").await;
    // A Lambda function returns at most 6 MB: its whole result, with the answer as an escaped string.
    let result = json!({"statusCode": status, "body": answer}).to_string();
    assert!(result.len() < 6_000_000, "{}", result.len());
    let order: Value = serde_json::from_str(&answer).unwrap();
    let notifications = order["notifications"].as_array().unwrap();
    let left_out = |one: &&Value| one["payload_left_out"] == true;
    let oldest = notifications.iter().find(left_out).expect("not all fit");
    assert!(oldest.get("payload").is_none());
    let newest = notifications.last().unwrap();
    assert!(newest["payload"].is_object() && newest.get("payload_left_out").is_none());
    let digest = oldest["digest"].as_str().unwrap();
    let order = relay.order_with_payload("sctt", "T-1", digest).await;
    let shown: Vec<_> =
        order["notifications"].as_array().unwrap().iter().filter(|one| one["payload"].is_object()).collect();
    assert_eq!(shown.iter().map(|one| one["digest"].as_str().unwrap()).collect::<Vec<_>>(), [digest]);
}
