//! One trace leads from a notification's endpoint through the queues to the request to TOP.

use std::net::UdpSocket;

use lambda_runtime::LambdaEvent;
use relay_runtime::xray::Daemon;
use relay_tests::bodies::{flight, tsy};
use relay_tests::events::{Body, api_request};
use relay_tests::relay::{Relay, TOKEN, answered};
use relay_types::notification::NotificationKind;
use serde_json::{Value, json};

const HEADER: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

/// The trace header of the only message that was just sent.
fn of_the_message_sent(relay: &Relay) -> Value {
    let sent = relay.cloud.take_sent();
    let [sent] = sent.iter().filter(|sent| sent.operation == "SendMessage").collect::<Vec<_>>()[..] else {
        panic!("expected one message: {sent:?}")
    };
    let body: Value = serde_json::from_str(&sent.body).unwrap();
    body["MessageSystemAttributes"]["AWSTraceHeader"]["StringValue"].clone()
}

/// Passes the queue's only message to its function, with or without a trace header.
async fn invoke(relay: &Relay, queue: &str, header: Option<&str>) {
    let messages = relay.receive(queue).await;
    let LambdaEvent { mut payload, context } = relay.event(&messages);
    if let Some(header) = header {
        payload.records[0].attributes.insert("AWSTraceHeader".to_owned(), header.to_owned());
    }
    relay.cloud.take_sent();
    let response = relay.invoke(queue, LambdaEvent::new(payload, context)).await;
    assert_eq!(response.batch_item_failures.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn trace_leads_from_the_endpoint_to_top() {
    let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
    daemon.set_nonblocking(true).unwrap();
    let mut relay = Relay::new().await;
    let address = daemon.local_addr().unwrap().to_string();
    for delivery in &mut relay.senders {
        delivery.traces = Daemon::of(&|name| (name == "AWS_XRAY_DAEMON_ADDRESS").then(|| address.clone()));
    }
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.cloud.take_sent();
    let (resource, headers) = ("/tsy/{token}/issue-notify", json!({"X-Amzn-Trace-Id": HEADER}));
    let body = tsy("P-1", "issued");
    let request = api_request("POST", resource, json!({"token": TOKEN}), headers, Body::Text(&body));
    assert_eq!(answered(relay.receiver(NotificationKind::IssueNotify).handle(&request).await).0, 200);
    assert_eq!(of_the_message_sent(&relay), HEADER);
    invoke(&relay, "notifications", Some(HEADER)).await;
    assert_eq!(of_the_message_sent(&relay), HEADER);
    invoke(&relay, "itinerary-postback", Some(HEADER)).await;

    let mut datagram = [0; 4096];
    let length = daemon.recv(&mut datagram).unwrap();
    let told = std::str::from_utf8(&datagram[..length]).unwrap();
    let (format, subsegment) = told.split_once('\n').unwrap();
    assert_eq!(format, r#"{"format": "json", "version": 1}"#);
    let subsegment: Value = serde_json::from_str(subsegment).unwrap();
    assert_eq!(subsegment["trace_id"], "1-5759e988-bd862e3fe1be46a994272793");
    assert_eq!((&subsegment["parent_id"], &subsegment["name"]), (&json!("53995c3f42cd8ad8"), &json!("TOP")));
    assert_eq!(subsegment["id"].as_str().unwrap().len(), 16);
    assert_eq!(subsegment["annotations"]["call"], "itinerary-postback");
    assert_eq!(subsegment["http"]["response"]["status"], 200);
    assert!(!told.contains("PLANTED"), "{told}");
    assert!(daemon.recv(&mut datagram).is_err(), "the subsegment is sent once");
}

#[tokio::test(start_paused = true)]
async fn untraced_order_stays_untraced() {
    let relay = Relay::new().await;
    relay.put_order("tsy", "P-1", &flight()).await;
    relay.cloud.take_sent();
    relay.post_tsy(&tsy("P-1", "issued")).await;
    assert_eq!(of_the_message_sent(&relay), Value::Null);
    invoke(&relay, "notifications", None).await;
    assert_eq!(of_the_message_sent(&relay), Value::Null);
    invoke(&relay, "itinerary-postback", None).await;
    assert_eq!(relay.effects(), 1);
}
