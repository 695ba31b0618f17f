//! One order, one record: what TOP knows in the end follows from all facts of the order, in every race.

use std::time::Duration;

use relay_tests::bodies::{cancel, flight, redemption, sctt, ship, ship_call, tsy};
use relay_tests::cloud::{Sent, WireFault};
use relay_tests::relay::Relay;
use relay_tests::units;
use relay_types::call::CallKind;
use relay_types::notification::NotificationKind;
use relay_types::time::Clock;
use serde_json::{Value, json};

/// The requests that took effect at TOP, oldest first. Each is the parameter that holds the request.
fn told(relay: &Relay) -> Vec<Value> {
    let request = |name: &str, params: &std::collections::BTreeMap<String, String>| -> Option<Value> {
        serde_json::from_str(params.get(name)?).ok()
    };
    let effects = relay.ledger().into_iter().filter(|entry| entry.effect);
    effects
        .map(|entry| {
            let params = entry.params.into_iter().collect();
            request("confirm_book_r_q", &params)
                .or_else(|| request("flight_itinerary_request", &params))
                .unwrap_or_else(|| json!(params))
        })
        .collect()
}

async fn link(relay: &Relay, partner: &str, order: &str, body: &str) {
    assert_eq!(relay.put_order(partner, order, body).await.0, 200);
    relay.run_until_idle().await;
}

async fn push(relay: &Relay, body: &str) {
    assert_eq!(relay.post_sctt(body).await.0, 200);
    relay.run_until_idle().await;
}

async fn reasons(relay: &Relay) -> Vec<Vec<String>> {
    let (_, body) = relay.attention(None, None).await;
    let page: Value = serde_json::from_str(&body).unwrap();
    let items = page["items"].as_array().unwrap();
    items.iter().map(|item| serde_json::from_value(item["reasons"].clone()).unwrap()).collect()
}

fn at(body: &Value, time: &str) -> String {
    let mut body = body.clone();
    body["request_time"] = json!(time);
    body.to_string()
}

#[tokio::test(start_paused = true)]
async fn booked_push_with_a_link_is_sent_once() {
    let relay = Relay::new().await;
    link(&relay, "sctt", "T-1", &ship("38", 1)).await;
    push(&relay, &sctt("T-1", 2, 1).to_string()).await;
    let told = told(&relay);
    assert_eq!((told.len(), &told[0]["success"]), (1, &json!(true)));
    let order = relay.order("sctt", "T-1").await;
    assert_eq!(order["calls"][0]["state"], "succeeded", "{order:#}");
    assert_eq!(order["notifications"][0]["state"], "dispatched", "{order:#}");
    assert!(relay.expires("order#sctt#T-1", "record").await);
    push(&relay, &sctt("T-1", 2, 1).to_string()).await;
    assert_eq!(relay.effects(), 1);
    assert_eq!(reasons(&relay).await, Vec::<Vec<String>>::new());
}

#[tokio::test(start_paused = true)]
async fn repeat_after_the_opposite_needs_attention_unless_it_is_a_late_copy() {
    let relay = Relay::new().await;
    link(&relay, "sctt", "T-1", &ship("38", 1)).await;
    let failed = sctt("T-1", 3, 0);
    push(&relay, &at(&failed, "2026-01-01 12:00:00")).await;
    push(&relay, &at(&sctt("T-1", 2, 1), "2026-01-01 12:01:00")).await;
    push(&relay, &at(&failed, "2026-01-01 12:00:00")).await;
    assert_eq!(reasons(&relay).await, Vec::<Vec<String>>::new(), "a late copy changes nothing");
    push(&relay, &at(&failed, "2026-01-01 12:02:00")).await;
    assert_eq!(reasons(&relay).await, [["came_again"]]);
    assert_eq!(told(&relay).last().unwrap()["success"], json!(true));
    assert_eq!(relay.instruct("dismiss", "sctt", "T-1", "known").await.0, 202);
    relay.run_until_idle().await;
    assert_eq!(reasons(&relay).await, Vec::<Vec<String>>::new());
    push(&relay, &at(&failed, "2026-01-01 12:03:00")).await;
    assert_eq!(reasons(&relay).await, [["came_again"]], "delivered again");
}

#[tokio::test(start_paused = true)]
async fn link_corrected_during_a_ban_is_the_one_sent() {
    let relay = Relay::new().await;
    relay.top_faults(
        json!([{"fault": "error", "code": 7, "sub_msg": "This ban will last for 600 more seconds", "times": 1}]),
    );
    link(&relay, "sctt", "T-1", &ship("38", 1)).await;
    assert_eq!(relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await.0, 200);
    relay.poll("notifications").await;
    relay.poll("ship-notify").await;
    assert_eq!(relay.put_order("sctt", "T-1", &ship("39", 1)).await.0, 200);
    relay.run_until_idle().await;
    let told = told(&relay);
    assert_eq!((told.len(), &told[0]["alitrip_order_id"]), (1, &json!("39")));
}

#[tokio::test(start_paused = true)]
async fn link_to_another_lane_after_success_needs_attention() {
    let relay = Relay::new().await;
    link(&relay, "sctt", "T-1", &ship("38", 1)).await;
    push(&relay, &sctt("T-1", 2, 1).to_string()).await;
    link(&relay, "sctt", "T-1", &ship("39", 1)).await;
    assert_eq!(reasons(&relay).await, [["other_lane"]]);
    assert_eq!(relay.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn link_of_a_kind_without_calls_can_be_corrected() {
    let relay = Relay::new().await;
    link(&relay, "sctt", "T-1", &json!({"fliggy_ticket": {"order_id": 1}}).to_string()).await;
    push(&relay, &sctt("T-1", 2, 1).to_string()).await;
    assert_eq!(relay.effects(), 0);
    link(&relay, "sctt", "T-1", &ship("38", 1)).await;
    assert_eq!(relay.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn order_does_not_replace_a_submitted_call() {
    let relay = Relay::new().await;
    assert_eq!(relay.submit("ship-notify", None, &ship_call("38", true)).await.status(), 202);
    relay.poll("notifications").await;
    link(&relay, "sctt", "T-1", &ship("38", 1)).await;
    push(&relay, &sctt("T-1", 3, 0).to_string()).await;
    relay.run_until_idle().await;
    let told = told(&relay);
    assert_eq!((told.len(), &told[0]["success"]), (1, &json!(true)), "{told:?}");
    assert_eq!(reasons(&relay).await, [["lane_taken"]]);
    assert_eq!(relay.call(CallKind::ShipNotify, "38").await["state"], "succeeded");
}

#[tokio::test(start_paused = true)]
async fn totals_are_sent_in_the_order_of_submission() {
    let relay = Relay::new().await;
    relay.top_faults(
        json!([{"fault": "error", "code": 7, "sub_msg": "This ban will last for 60 more seconds", "times": 1}]),
    );
    for (key, count) in [("K-1", 1), ("K-2", 2), ("K-3", 3)] {
        let body = redemption(77, 1).replace("\"used_quantity\":1", &format!("\"used_quantity\":{count}"));
        assert_eq!(relay.submit("ticket-verify", Some(key), &body).await.status(), 202, "{body}");
        relay.poll("notifications").await;
        relay.poll("ticket-verify").await;
    }
    relay.run_until_idle().await;
    let quantities: Vec<_> = relay
        .ledger()
        .into_iter()
        .filter(|entry| entry.effect)
        .map(|entry| serde_json::from_str::<Value>(&entry.params["voucher_infos"]).unwrap()[0]["used_quantity"].clone())
        .collect();
    assert_eq!(quantities, [json!(1), json!(2), json!(3)]);
    for key in ["K-1", "K-2", "K-3"] {
        assert_eq!(relay.call(CallKind::TicketVerify, key).await["state"], "succeeded", "{key}");
    }
    let other = redemption(77, 1).replace("\"used_quantity\":1", "\"used_quantity\":9");
    assert_eq!(relay.submit("ticket-verify", Some("K-2"), &other).await.status(), 422);
    // The key of a total can be used again only for that order's totals.
    for request in [redemption(77, 0), redemption(78, 1)] {
        let refused = relay.submit("ticket-verify", Some("K-2"), &request).await;
        assert_eq!(refused.status(), 422);
        let body = String::from_utf8_lossy(refused.body());
        assert!(body.contains("use a new Idempotency-Key"), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn itinerary_can_return_to_earlier_content() {
    let relay = Relay::new().await;
    assert_eq!(relay.post_tsy(&tsy("P-1", "issued")).await.0, 200);
    let ticket = |number: &str| flight().replace("23142134", number);
    for number in ["A", "B", "A"] {
        link(&relay, "tsy", "P-1", &ticket(number)).await;
    }
    let told: Vec<_> = told(&relay).into_iter().map(|told| told["ticket_no_list"][0].clone()).collect();
    assert_eq!(told, ["A", "B", "A"]);
}

#[tokio::test(start_paused = true)]
async fn rejection_counts_while_issued_waits_for_a_link() {
    let relay = Relay::new().await;
    assert_eq!(relay.post_tsy(&tsy("P-1", "issued")).await.0, 200);
    relay.run_until_idle().await;
    assert_eq!(relay.post_tsy(&tsy("P-1", "rejected")).await.0, 200);
    link(&relay, "tsy", "P-1", &flight()).await;
    assert_eq!(relay.effects(), 0);
    assert_eq!(reasons(&relay).await, [["rejected"]]);
}

#[tokio::test(start_paused = true)]
async fn correcting_the_wrong_link_frees_the_lane_for_the_other_order() {
    let relay = Relay::new().await;
    relay.top_faults(
        json!([{"fault": "error", "code": 7, "sub_msg": "This ban will last for 600 more seconds", "times": 1}]),
    );
    link(&relay, "sctt", "A", &ship("38", 1)).await;
    assert_eq!(relay.post_sctt(&sctt("A", 2, 1).to_string()).await.0, 200);
    relay.poll("notifications").await;
    relay.poll("ship-notify").await;
    assert_eq!(relay.put_order("sctt", "B", &ship("38", 2)).await.0, 200);
    assert_eq!(relay.post_sctt(&sctt("B", 2, 2).to_string()).await.0, 200);
    relay.poll("notifications").await;
    assert_eq!(reasons(&relay).await, [["lane_taken"]]);
    assert_eq!(relay.put_order("sctt", "A", &ship("39", 1)).await.0, 200);
    relay.run_until_idle().await;
    let mut lanes: Vec<_> =
        told(&relay).into_iter().map(|told| (told["alitrip_order_id"].clone(), told["ticket_count"].clone())).collect();
    lanes.sort_by_key(|lane| lane.0.to_string());
    assert_eq!(lanes, [(json!("38"), json!(2)), (json!("39"), json!(1))]);
    assert_eq!(reasons(&relay).await, Vec::<Vec<String>>::new());
}

#[tokio::test(start_paused = true)]
async fn withdraw_and_close_finish_an_order() {
    let relay = Relay::new().await;
    relay.top_faults(
        json!([{"fault": "error", "code": 7, "sub_msg": "This ban will last for 600 more seconds", "times": 1}]),
    );
    link(&relay, "sctt", "T-1", &ship("38", 1)).await;
    assert_eq!(relay.instruct("withdraw", "sctt", "T-1", "x").await.0, 409, "there is nothing to withdraw");
    assert_eq!(relay.post_sctt(&sctt("T-1", 2, 1).to_string()).await.0, 200);
    relay.poll("notifications").await;
    relay.poll("ship-notify").await;
    assert_eq!(relay.instruct("withdraw", "sctt", "T-1", "sold elsewhere").await.0, 202);
    relay.run_until_idle().await;
    assert_eq!(relay.effects(), 0);
    assert!(relay.expires("order#sctt#T-1", "record").await);
    push(&relay, &sctt("T-2", 2, 1).to_string()).await;
    assert_eq!(relay.instruct("dismiss", "sctt", "T-2", "x").await.0, 409, "a waiting order is closed, not dismissed");
    assert_eq!(relay.instruct("close", "sctt", "T-2", "a test order").await.0, 202);
    relay.run_until_idle().await;
    assert!(relay.expires("order#sctt#T-2", "record").await);
    link(&relay, "sctt", "T-2", &ship("40", 1)).await;
    assert_eq!(relay.effects(), 1, "a link reopens it");
}

#[tokio::test(start_paused = true)]
async fn cancellation_after_success_needs_attention() {
    let relay = Relay::new().await;
    link(&relay, "sctt", "T-1", &ship("38", 1)).await;
    push(&relay, &sctt("T-1", 2, 1).to_string()).await;
    assert_eq!(relay.post(NotificationKind::CancelPush, &cancel(&[("T-1", 3)])).await.0, 200);
    relay.run_until_idle().await;
    assert_eq!(reasons(&relay).await, [["keeps_first"]]);
    assert_eq!(relay.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn many_large_pushes_wait_for_dispatch_without_overflow() {
    let relay = Relay::new().await;
    link(&relay, "sctt", "T-1", &ship("38", 1)).await;
    for n in 0..40 {
        let mut body = sctt("T-1", 2, 1);
        body["remark"] = json!(format!("{n}{}", "x".repeat(200_000)));
        assert_eq!(relay.post_sctt(&body.to_string()).await.0, 200, "{n}");
    }
    relay.run_until_idle().await;
    assert_eq!(relay.effects(), 1);
    let record = relay.record("order#sctt#T-1").await;
    assert_eq!(record.notifications.len(), 40);
    assert!(record.facts.is_empty());
    relay.clock.advance(Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn submitted_call_in_an_orders_lane_can_be_dismissed() {
    let relay = Relay::new().await;
    link(&relay, "sctt", "T-1", &ship("38", 1)).await;
    push(&relay, &sctt("T-1", 2, 1).to_string()).await;
    assert_eq!(relay.submit("ship-notify", None, &ship_call("38", true)).await.status(), 202);
    relay.run_until_idle().await;
    assert_eq!(reasons(&relay).await, [["lane_taken"]]);
    // The order's call has the same key, so only the list tells the revision of the submitted one.
    let listed: Value = serde_json::from_str(&relay.unfinished(&[]).await.1).unwrap();
    let revision = listed["items"][0]["revision"].as_i64().unwrap();
    let dismissal = |revision: i64| json!({"note": "the order told it", "revision": revision}).to_string();
    let (status, answer) = relay.instruct_call("dismiss", "ship-notify", "38", &dismissal(revision - 1)).await;
    assert!(status == 409 && answer.contains("has changed"), "{status} {answer}");
    let (status, answer) = relay.instruct_call("dismiss", "ship-notify", "38", &dismissal(revision)).await;
    assert_eq!(status, 202, "{answer}");
    relay.run_until_idle().await;
    assert_eq!(reasons(&relay).await, Vec::<Vec<String>>::new());
    assert_eq!(relay.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn call_of_an_order_resolved_as_rejected_is_still_shown() {
    let relay = Relay::new().await;
    link(&relay, "sctt", "T-1", &ship("38", 1)).await;
    relay.top_faults(json!([{"fault": "timeout_after_effect", "times": 1}, {"fault": "business_failure", "times": 1}]));
    push(&relay, &sctt("T-1", 2, 1).to_string()).await;
    relay.clock.advance(Duration::from_secs(3600));
    relay.sweep().await.unwrap();
    relay.run_until_idle().await;
    assert_eq!(relay.call(CallKind::ShipNotify, "38").await["state"], "unknown");
    let said = r#"{"outcome":"rejected","note":"asked TOP"}"#;
    assert_eq!(relay.resolve("ship-notify", "38", said).await.0, 202);
    relay.run_until_idle().await;
    assert_eq!(relay.call(CallKind::ShipNotify, "38").await["state"], "refused");
    assert_eq!(relay.resolve("ship-notify", "38", said).await.0, 202, "the request is repeated");
}

#[tokio::test(start_paused = true)]
async fn totals_of_one_order_are_limited_and_none_is_sent_twice() {
    let relay = Relay::new().await;
    relay.followed().await;
    let total = |n: usize| redemption(77, 1).replace("\"used_quantity\":1", &format!("\"used_quantity\":{n}"));
    for n in 1..=100 {
        redeem(&relay, &format!("K-{n}"), &total(n)).await;
    }
    assert_eq!(relay.effects(), 100);
    assert_eq!(relay.submit("ticket-verify", Some("K-101"), &total(101)).await.status(), 429);
    assert_eq!(relay.submit("ticket-verify", Some("K-1"), &total(1)).await.status(), 200, "the key is known");
    relay.run_until_idle().await;
    assert_eq!(relay.effects(), 100);
    let changes = relay.cloud.changes();
    let bytes = changes.iter().map(|change| units::size(&change["dynamodb"]["NewImage"])).max().unwrap();
    assert!(bytes < 100_000, "{bytes}");
}

#[tokio::test(start_paused = true)]
async fn latest_outcome_is_in_the_history_after_many_replays() {
    let relay = Relay::new().await;
    link(&relay, "sctt", "T-1", &ship("38", 1)).await;
    push(&relay, &sctt("T-1", 1, 0).to_string()).await;
    for _ in 0..60 {
        assert_eq!(relay.replay("sctt", "T-1").await.0, 202);
        relay.run_until_idle().await;
    }
    relay.top_faults(json!([{"fault": "business_failure", "times": 1}]));
    push(&relay, &sctt("T-1", 2, 1).to_string()).await;
    let record = relay.record("order#sctt#T-1").await;
    assert!(record.history.len() <= 40);
    assert_eq!(record.history.last().map(|entry| entry.what.as_str()), Some("refused"));
}

#[tokio::test(start_paused = true)]
async fn call_whose_request_cannot_be_read_is_retried_soon() {
    let relay = Relay::new().await;
    link(&relay, "sctt", "T-1", &ship("38", 12)).await;
    let get_body = |sent: &Sent| sent.operation == "GetItem" && sent.body.contains("body#");
    relay.cloud.order(WireFault::ServerError, 3, get_body);
    assert_eq!(relay.post_sctt(&sctt("T-1", 2, 12).to_string()).await.0, 200);
    relay.poll("notifications").await;
    relay.poll("ship-notify").await;
    assert_eq!(relay.effects(), 0);
    let due = relay.record("order#sctt#T-1").await.target.unwrap().due.unwrap();
    assert!(relay.clock.now().until(due) <= Duration::from_secs(120), "{due}");
    relay.run_until_idle().await;
    assert_eq!(relay.effects(), 1);
}

/// A redemption of this many tickets that counts each time it is sent.
fn counted(quantity: usize) -> String {
    redemption(77, 0).replace("\"used_quantity\":1", &format!("\"used_quantity\":{quantity}"))
}

/// Submits a redemption and polls the queues until they are empty.
async fn redeem(relay: &Relay, key: &str, body: &str) {
    assert_eq!(relay.submit("ticket-verify", Some(key), body).await.status(), 202);
    relay.run_until_idle().await;
}

fn quantities(relay: &Relay) -> Vec<Value> {
    let infos =
        |entry: top_simulator::LedgerEntry| -> Value { serde_json::from_str(&entry.params["voucher_infos"]).unwrap() };
    relay
        .ledger()
        .into_iter()
        .filter(|entry| entry.effect)
        .map(|entry| infos(entry)[0]["used_quantity"].clone())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn redemption_corrected_and_changed_back_takes_effect_once() {
    let relay = Relay::new().await;
    relay.top_faults(json!([{"fault": "business_failure", "times": 2}]));
    for quantity in [1, 2, 1] {
        redeem(&relay, "K", &counted(quantity)).await;
    }
    assert_eq!(quantities(&relay), [1]);
    assert_eq!(relay.call(CallKind::TicketVerify, "K").await["state"], "succeeded");
}

#[tokio::test(start_paused = true)]
async fn retry_sends_only_the_last_refused_request() {
    let relay = Relay::new().await;
    relay.top_faults(json!([{"fault": "business_failure", "times": 2}]));
    for quantity in [1, 2] {
        redeem(&relay, "K", &counted(quantity)).await;
    }
    assert_eq!(relay.resolve("ticket-verify", "K", r#"{"outcome":"retry","note":"once more"}"#).await.0, 202);
    relay.run_until_idle().await;
    assert_eq!(quantities(&relay), [2]);
}

#[tokio::test(start_paused = true)]
async fn retry_of_a_dismissed_call_can_need_attention_again() {
    let relay = Relay::new().await;
    relay.top_faults(json!([{"fault": "http_500", "after_effect": false, "times": 2}]));
    redeem(&relay, "K", &counted(1)).await;
    assert_eq!(reasons(&relay).await, [["unknown"]]);
    assert_eq!(relay.instruct_call("dismiss", "ticket-verify", "K", r#"{"note":"asking TOP"}"#).await.0, 202);
    relay.run_until_idle().await;
    assert_eq!(reasons(&relay).await, Vec::<Vec<String>>::new());
    assert_eq!(relay.resolve("ticket-verify", "K", r#"{"outcome":"retry","note":"TOP has nothing"}"#).await.0, 202);
    relay.run_until_idle().await;
    assert_eq!(reasons(&relay).await, [["unknown"]]);
}

#[tokio::test(start_paused = true)]
async fn unknown_total_that_holds_up_others_stays_on_the_list() {
    let relay = Relay::new().await;
    relay.top_faults(json!([
        {"fault": "http_500", "after_effect": false, "times": 1}, {"fault": "business_failure", "times": 1}
    ]));
    for (key, quantity) in [("K-1", 1), ("K-2", 2)] {
        let total = redemption(77, 1).replace("\"used_quantity\":1", &format!("\"used_quantity\":{quantity}"));
        redeem(&relay, key, &total).await;
    }
    assert_eq!(reasons(&relay).await, [["unknown"]]);
    assert_eq!(relay.instruct_call("dismiss", "ticket-verify", "K-1", r#"{"note":"later"}"#).await.0, 202);
    relay.run_until_idle().await;
    assert_eq!(reasons(&relay).await, [["unknown"]], "K-2 waits for it");
    assert_eq!(relay.resolve("ticket-verify", "K-1", r#"{"outcome":"rejected","note":"asked TOP"}"#).await.0, 202);
    relay.run_until_idle().await;
    assert_eq!(quantities(&relay), [2]);
}

#[tokio::test(start_paused = true)]
async fn close_withdraw_and_dismiss_get_409_while_a_fact_is_undecided() {
    let relay = Relay::new().await;
    push(&relay, &sctt("T-1", 2, 1).to_string()).await;
    assert_eq!(relay.put_order("sctt", "T-1", &ship("38", 1)).await.0, 200);
    for word in ["close", "withdraw", "dismiss"] {
        let (status, answer) = relay.instruct(word, "sctt", "T-1", "never linked").await;
        assert_eq!(status, 409, "{word}: {answer}");
    }
    relay.run_until_idle().await;
    assert_eq!(relay.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn rejected_call_does_not_erase_last_sent() {
    let relay = Relay::new().await;
    assert_eq!(relay.post_tsy(&tsy("P-1", "issued")).await.0, 200);
    let to = |id: &str, ticket: &str| {
        flight()
            .replace("23142134", ticket)
            .replace("\"cwt_account_no\"", &format!("\"out_relation_order_id\":\"{id}\",\"cwt_account_no\""))
    };
    link(&relay, "tsy", "P-1", &to("I-1", "A")).await;
    relay.top_faults(json!([
        {"fault": "http_500", "after_effect": false, "times": 1}, {"fault": "business_failure", "times": 1}
    ]));
    link(&relay, "tsy", "P-1", &to("I-1", "B")).await;
    assert_eq!(reasons(&relay).await, [["unknown"]]);
    let said = r#"{"outcome":"rejected","note":"asked TOP"}"#;
    assert_eq!(relay.resolve("itinerary-postback", "I-1", said).await.0, 202);
    relay.run_until_idle().await;
    link(&relay, "tsy", "P-1", &to("I-2", "A")).await;
    assert_eq!(reasons(&relay).await, [["other_lane"]]);
    assert_eq!(relay.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn long_push_with_a_new_signature_is_stored_once() {
    let relay = Relay::new().await;
    for minute in 10..20 {
        let mut body = sctt("T-1", 2, 12);
        body["sign"] = json!(format!("{minute}"));
        push(&relay, &at(&body, &format!("2026-01-01 12:{minute}:00"))).await;
    }
    let key = aws_sdk_dynamodb::types::AttributeValue::S("order#sctt#T-1".to_owned());
    let query = relay.dynamodb.query().table_name("relay").key_condition_expression("pk = :pk");
    let items = query.expression_attribute_values(":pk", key).send().await.unwrap().items.unwrap();
    assert_eq!(items.len(), 2, "the record and one body");
}
