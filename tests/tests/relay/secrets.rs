//! No log line, message, metric or error contains secret or personal data. The test plants values everywhere, drives
//! the relay through everything that can happen, and searches the output.

use relay_tests::bodies::{flight, redemption, sctt, ship, ship_call, tsy};
use relay_tests::cloud::WireFault;
use relay_tests::events::Body;
use relay_tests::log::Captured;
use relay_tests::relay::Relay;
use serde_json::json;
use tracing_subscriber::prelude::*;

#[tokio::test(start_paused = true)]
async fn planted_values_never_appear_in_the_output() {
    let captured = Captured::default();
    let writer = captured.clone();
    // The functions' own filter, at its most verbose level.
    let lines = tracing_subscriber::fmt::layer().json().with_writer(move || writer.clone());
    tracing_subscriber::registry().with(lines.with_filter(relay_runtime::logs::filter(tracing::Level::TRACE))).init();

    let relay = Relay::new().await;
    let mut answers = Vec::new();
    answers.push(relay.post_tsy_as("PLANTED-WRONG", Body::Text(&tsy("P-1", "issued"))).await.1);
    for body in ["PLANTED", r#"{"orderId":["PLANTED"]}"#, r#"{"orderId":"P","orderNo":"1","type":{"PLANTED":1}}"#] {
        answers.push(relay.post_tsy(body).await.1);
        answers.push(relay.post_sctt(body).await.1);
        answers.push(relay.put_order("tsy", "P-1", body).await.1);
    }
    answers.push(relay.post_tsy(&tsy("P-1", "issued")).await.1);
    answers.push(relay.put_order("tsy", "P-1", &flight()).await.1);
    answers.push(relay.put_order("sctt", "T-1", &ship("38", 2)).await.1);
    answers.push(relay.post_sctt(&sctt("T-1", 2, 2).to_string()).await.1);
    relay.cloud.order(WireFault::AnswerCut, 6, |sent| sent.operation == "Query" || sent.operation == "GetSecretValue");
    relay.cloud.order(WireFault::AnswerCut, 2, |sent| sent.operation == "GetItem");
    answers.push(relay.get_call("ship-notify", "38").await.1);
    relay.cloud.order(WireFault::Panic, 1, |sent| sent.service == "top");
    relay.top_faults(json!([
        {"fault": "error", "code": 27, "times": 1},
        {"fault": "error", "code": 50, "sub_code": "isv.invalid-parameter", "sub_msg": "PLANTED-罗大佑", "times": 1,
            "method": "taobao.travel.ticket.order.verify"},
        {"fault": "not_json", "times": 1},
        {"fault": "timeout_after_effect", "times": 1},
    ]));
    for (key, order) in [("r-1", 1), ("r-2", 2), ("r-3", 3)] {
        relay.submit_and_decide("ticket-verify", Some(key), &redemption(order, 0)).await;
    }
    relay.submit_and_decide("ship-notify", None, &ship_call("39", true)).await;
    answers.push(
        String::from_utf8(
            relay
                .submit("ship-notify", None, r#"{"agent_order_id":"PLANTED","alitrip_order_id":{"a":"PLANTED"}}"#)
                .await
                .body()
                .to_vec(),
        )
        .unwrap(),
    );
    relay.run_until_idle().await;
    answers.push(relay.get_order("sctt", "T-1").await.1);

    let log = captured.text();
    assert!(
        log.contains("call sent") && log.contains("call failed") && log.contains("message handler panicked"),
        "{log}"
    );
    let messages = relay.messages.lock().unwrap().clone();
    assert!(messages.len() > 5);
    for said in log.lines().map(str::to_owned).chain(messages).chain(answers) {
        assert!(!said.contains("PLANTED"), "{said}");
    }
}
