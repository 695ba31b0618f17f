//! The committed sample events, passed to the handlers unchanged. Together they take an order from its notification to
//! TOP, and make one redemption.

use std::collections::BTreeSet;

use aws_lambda_events::sqs::SqsEvent;
use lambda_http::Request;
use lambda_runtime::{Context, LambdaEvent};
use relay_attention::config::AttentionConfig;
use relay_dispatch::config::DispatchConfig;
use relay_order_events::config::OrderEventsConfig;
use relay_order_link::config::OrderLinkConfig;
use relay_receiver::authentication::TokenHashes;
use relay_receiver::config::ReceiverConfig;
use relay_sender::config::CallConfig;
use relay_submit_call::config::SubmitCallConfig;
use relay_sweep::config::SweepConfig;
use relay_tests::events::request_from;
use relay_tests::relay::{Relay, answered};
use relay_types::call::CallKind;
use relay_types::digest::sha256_hex;
use relay_types::notification::NotificationKind;
use relay_types::order::Partner;
use relay_types::time::Clock;
use serde_json::Value;

fn event(name: &str) -> Value {
    let path = format!("{}/../events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn request(name: &str) -> Request {
    request_from(&event(name))
}

async fn invoke(relay: &Relay, function: &str) -> usize {
    let queue = if function == "dispatch" { "notifications" } else { function };
    let payload: SqsEvent = serde_json::from_value(event(function)).unwrap();
    let mut context = Context::default();
    context.deadline = u64::try_from(relay.clock.now().0).unwrap() + 30_000;
    relay.invoke(queue, LambdaEvent::new(payload, context)).await.batch_item_failures.len()
}

async fn opened_by_the_events_token() -> Relay {
    let mut relay = Relay::new().await;
    for receiver in &mut relay.receivers {
        receiver.tokens = TokenHashes::parse(&sha256_hex(b"local-token")).unwrap();
    }
    relay
}

#[tokio::test(start_paused = true)]
async fn flight_order_events_lead_from_notification_to_top() {
    let relay = opened_by_the_events_token().await;
    assert_eq!(
        answered(relay.receiver(NotificationKind::IssueNotify).handle(&request("tsy-issue-notify")).await).0,
        200
    );
    assert_eq!(answered(relay.order_link.handle(&request("order-link")).await).0, 200);
    assert_eq!(invoke(&relay, "dispatch").await, 0);
    assert_eq!(relay.notification("tsy", "P-1001").await.0, "dispatched");
    assert_eq!(invoke(&relay, "itinerary-postback").await, 0);
    assert_eq!(relay.effects(), 1);
    let (status, order) = answered(relay.order_link.handle(&request("order-link-get")).await);
    assert_eq!(status, 200);
    assert_eq!(serde_json::from_str::<Value>(&order).unwrap()["calls"][0]["state"], "succeeded");
    let (status, replayed) = answered(relay.order_link.handle(&request("order-link-replay")).await);
    assert_eq!(status, 202, "{replayed}");
    assert_eq!(invoke(&relay, "dispatch").await, 0);
    let (status, dismissed) = answered(relay.order_link.handle(&request("order-link-dismiss")).await);
    assert_eq!(status, 409, "nothing needs attention: {dismissed}");
}

#[tokio::test(start_paused = true)]
async fn redemption_events_lead_from_submission_to_top() {
    let relay = Relay::new().await;
    assert_eq!(relay.submit_call.handle(&request("submit-call")).await.status(), 202);
    relay.poll("notifications").await;
    assert_eq!(invoke(&relay, "ticket-verify").await, 0);
    assert_eq!(relay.effects(), 1);
    let (status, _) = answered(relay.submit_call.handle(&request("submit-call-resolve")).await);
    assert_eq!(status, 409, "a call that succeeded cannot be resolved");
    let (status, attention) = answered(relay.attention.handle(&request("attention")).await);
    assert_eq!((status, attention.as_str()), (200, r#"{"items":[]}"#));
    let (status, call) = answered(relay.submit_call.handle(&request("submit-call-get")).await);
    let call: Value = serde_json::from_str(&call).unwrap();
    assert_eq!((status, &call["state"]), (200, &Value::from("succeeded")));
    assert_eq!(call["submitted_by"], "arn:aws:iam::123456789012:user/booking-system");
}

#[tokio::test(start_paused = true)]
async fn refund_events_lead_from_submission_to_top() {
    for (submission, call) in
        [("submit-call-ship-return", "ship-return-notify"), ("submit-call-ticket-refund", "ticket-refund-notify")]
    {
        let relay = Relay::new().await;
        assert_eq!(relay.submit_call.handle(&request(submission)).await.status(), 202);
        relay.poll("notifications").await;
        assert_eq!(invoke(&relay, call).await, 0);
        assert_eq!(relay.effects(), 1, "{call}");
    }
}

#[tokio::test(start_paused = true)]
async fn ship_order_events_lead_from_vouchers_to_top() {
    let relay = opened_by_the_events_token().await;
    assert_eq!(
        answered(relay.receiver(NotificationKind::VoucherPush).handle(&request("sctt-voucher-push")).await).0,
        200
    );
    assert_eq!(answered(relay.order_link.handle(&request("order-link-ship")).await).0, 200);
    relay.poll("notifications").await;
    assert_eq!(relay.notification("sctt", "T-1").await.0, "dispatched");
    assert_eq!(invoke(&relay, "ship-notify").await, 0);
    assert_eq!(relay.effects(), 1);
}

#[tokio::test(start_paused = true)]
async fn change_and_cancellation_events_are_recorded() {
    let relay = opened_by_the_events_token().await;
    for (kind, event, partner, order_id, state) in [
        (NotificationKind::ChangePricePush, "tsy-change-price-push", "tsy", "P-1001", "dispatched"),
        (NotificationKind::ChangeResultPush, "tsy-change-result-push", "tsy", "P-1001", "dispatched"),
        (NotificationKind::CancelPush, "sctt-cancel-push", "sctt", "T-3", "waiting"),
    ] {
        assert_eq!(answered(relay.receiver(kind).handle(&request(event)).await).0, 200);
        relay.poll("notifications").await;
        assert_eq!(relay.notification_states(partner, order_id).await.last().unwrap(), state, "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn stream_event_is_published() {
    let relay = Relay::new().await;
    let events = relay.order_events().await;
    let published = events.handle(serde_json::from_value(event("order-events")).unwrap()).await.unwrap();
    assert_eq!(published.len(), 1);
    assert_eq!(published[0].data.outcome.as_ref(), "received");
}

#[test]
fn local_environment_configures_every_function_and_admits_the_events_token() {
    let environment = event("env");
    let of = |function: &str| {
        let variables = environment[function].clone();
        move |name: &str| variables[name].as_str().map(str::to_owned)
    };
    let opens = |tokens: TokenHashes| tokens.admit("local-token");
    for (partner, function) in [
        (Partner::Tsy, "TsyIssueNotifyFunction"),
        (Partner::Tsy, "TsyChangePricePushFunction"),
        (Partner::Tsy, "TsyChangeResultPushFunction"),
        (Partner::Sctt, "ScttVoucherPushFunction"),
        (Partner::Sctt, "ScttCancelPushFunction"),
    ] {
        assert!(opens(ReceiverConfig::read(partner, &of(function)).unwrap().tokens), "{function}");
    }
    OrderLinkConfig::read(&of("OrderLinkFunction")).unwrap();
    SubmitCallConfig::read(&of("SubmitCallFunction")).unwrap();
    DispatchConfig::read(&of("DispatchFunction")).unwrap();
    SweepConfig::read(&of("SweepFunction")).unwrap();
    OrderEventsConfig::read(&of("OrderEventsFunction")).unwrap();
    AttentionConfig::read(&of("AttentionFunction")).unwrap();
    for kind in CallKind::ALL {
        let function = format!("{}Function", kind.logical_prefix());
        assert!(CallConfig::read(kind, &of(&function)).unwrap().queue_url.ends_with(kind.as_ref()));
    }
    // Exactly the functions of the template have an environment.
    let template = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml")).unwrap();
    let in_template: BTreeSet<_> = template
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.strip_suffix("Function:"))
        .filter(|name| !name.is_empty())
        .collect();
    let in_events: BTreeSet<_> =
        environment.as_object().unwrap().keys().filter_map(|name| name.strip_suffix("Function")).collect();
    assert_eq!(in_template, in_events);
}

#[test]
fn visibility_timeout_is_six_times_the_function_timeout() {
    let template = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml")).unwrap();
    let all = |name: &str| -> Vec<u64> {
        let values = template.lines().filter_map(|line| line.trim().strip_prefix(name));
        values.map(|value| value.trim().parse().unwrap()).collect()
    };
    // Batches assume this time-out when Lambda's deadline is not available.
    assert_eq!(all("Timeout:")[0], 30);
    // API Gateway gives up after 29 seconds.
    for resource in template.split("\n\n") {
        assert_eq!(resource.contains("Type: Api\n"), resource.contains("\n      Timeout: 28\n"), "{resource}");
    }
    assert_eq!(all("VisibilityTimeout:"), [180; CallKind::ALL.len() + 1]);
}
