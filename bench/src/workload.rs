//! Creates the events for the functions, and the table items and messages that they need.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::body::Bytes;
use relay_tests::bodies;
use relay_tests::relay::{Relay, TOKEN};
use relay_types::time::{Clock as _, EpochMillis};
use serde_json::{Value, json};

use crate::contender::{Contender, Function, Kind};

/// Tickets in each order, and vouchers in each push.
pub const TICKETS: usize = 2;

/// The embedded services, filled for the contenders. No order is used twice.
pub struct Workload {
    /// Our relay in this process, over the same services.
    pub relay: Relay,
    orders: AtomicU64,
    tsy_event: Value,
    sctt_event: Value,
    queue_event: Value,
}

impl Workload {
    /// Empty services with our table and the peers' tables.
    pub async fn new() -> Self {
        let relay = Relay::new().await;
        let events = [
            include_str!("../../events/tsy-issue-notify.json"),
            include_str!("../../events/sctt-voucher-push.json"),
            include_str!("../../events/dispatch.json"),
        ];
        let [tsy_event, sctt_event, queue_event] = events.map(|text| serde_json::from_str(text).expect("an event"));
        let workload = Self { relay, orders: AtomicU64::new(0), tsy_event, sctt_event, queue_event };
        workload.create_table("idempotency", "id").await;
        workload.create_table("orders", "order").await;
        workload.tell_time();
        workload
    }

    async fn create_table(&self, name: &str, key: &str) {
        use aws_sdk_dynamodb::types::{
            AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
        };
        let attribute =
            AttributeDefinition::builder().attribute_name(key).attribute_type(ScalarAttributeType::S).build();
        let schema = KeySchemaElement::builder().attribute_name(key).key_type(KeyType::Hash).build();
        let create = self.relay.dynamodb.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
        let create = create.attribute_definitions(attribute.expect("complete")).key_schema(schema.expect("complete"));
        create.send().await.expect("a table");
    }

    /// Sets TOP's clock to the system time, because TOP checks time stamps.
    fn tell_time(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = EpochMillis(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
        self.relay.clock.advance(self.relay.clock.now().until(now));
    }

    /// Creates new events for the contender, each for a separate order.
    pub async fn events(&self, contender: &Contender, count: usize) -> Vec<Bytes> {
        let mut events = Vec::with_capacity(count);
        for _ in 0..count {
            events.push(self.event(contender, 1).await);
        }
        self.forget_requests();
        events
    }

    /// Creates an event with `records` messages, each for a separate order.
    pub async fn batch(&self, contender: &Contender, records: usize) -> Bytes {
        let event = self.event(contender, records).await;
        self.forget_requests();
        event
    }

    /// Creates an event for a notification that was already dispatched.
    pub async fn resend(&self) -> Bytes {
        let order = self.next_order();
        let body = bodies::tsy(&order, "issued");
        self.relay.put_order("tsy", &order, &bodies::flight()).await;
        self.relay.post_tsy(&body).await;
        self.relay.run_until_idle().await;
        self.forget_requests();
        api_event(&self.tsy_event, &body)
    }

    /// Discards the counted requests, because requests that prepare an event belong to no contender.
    fn forget_requests(&self) {
        self.relay.cloud.take_sent();
    }

    /// Empties the queues and TOP's ledger, and sets TOP's clock. Returns the number of effects that TOP's ledger had.
    pub async fn tidy(&self) -> usize {
        for queue in ["notifications", "itinerary-postback", "ship-notify"] {
            self.relay.sqs.purge_queue().queue_url(self.relay.queue_url(queue)).send().await.expect("a queue");
        }
        let effects = self.relay.effects();
        self.relay.cloud.top.lock().expect("unpoisoned").reset();
        self.tell_time();
        self.forget_requests();
        effects
    }

    fn next_order(&self) -> String {
        format!("B-{:08}", self.orders.fetch_add(1, Ordering::Relaxed))
    }

    async fn event(&self, contender: &Contender, records: usize) -> Bytes {
        match contender.function {
            Function::TsyIssueNotify => api_event(&self.tsy_event, &bodies::tsy(&self.next_order(), "issued")),
            Function::ScttVoucherPush => {
                let push = bodies::sctt(&self.next_order(), 2, TICKETS);
                api_event(&self.sctt_event, &push.to_string())
            }
            Function::Dispatch | Function::ShipNotify => {
                let mut event = self.queue_event.clone();
                let record = event["Records"][0].take();
                let mut all = Vec::new();
                for number in 0..records {
                    let mut record = record.clone();
                    record["messageId"] = format!("{}-{number}", self.next_order()).into();
                    record["body"] = self.message(contender).await.into();
                    all.push(record);
                }
                event["Records"] = all.into();
                event.to_string().into()
            }
        }
    }

    /// Creates a message for the contender's queue, and the table items that it needs.
    async fn message(&self, contender: &Contender) -> String {
        let order = self.next_order();
        let (push, link) = (bodies::sctt(&order, 2, TICKETS), bodies::ship(&order, TICKETS));
        match (contender.kind, contender.function) {
            (Kind::Ours, Function::Dispatch) => {
                self.relay.put_order("sctt", &order, &link).await;
                self.forget_requests();
                self.relay.post_sctt(&push.to_string()).await;
                let sent = self.relay.cloud.take_sent();
                let sent: Value = serde_json::from_str(&sent.last().expect("a message").body).expect("JSON");
                sent["MessageBody"].as_str().expect("a message").to_owned()
            }
            (Kind::Ours, _) => {
                let submitted = self.relay.submit_and_decide("ship-notify", None, &ship_request(&order)).await;
                assert_eq!(submitted.status(), 202, "{:?}", submitted.body());
                json!({"call": "ship-notify", "id": order}).to_string()
            }
            (_, Function::Dispatch) => {
                use aws_sdk_dynamodb::types::AttributeValue::S;
                let put = self.relay.dynamodb.put_item().table_name("orders").item("order", S(format!("sctt#{order}")));
                put.item("link", S(link)).send().await.expect("a link");
                json!({"partner": "sctt", "kind": "voucher-push", "order_id": order, "payload": push}).to_string()
            }
            (_, _) => ship_request(&order),
        }
    }
}

/// The request of TOP's documentation page, for one passenger.
fn ship_request(order: &str) -> String {
    let ticket = |n: usize| {
        json!({"ticket_id": format!("t{n}"), "ticket_type": "1", "ticket_price": 100, "ticket_status": "2",
            "e_ticket_no": format!("2516352{n}"), "ticket_pwd": format!("88{n}")})
    };
    let tickets: Vec<_> = (1..=TICKETS).map(ticket).collect();
    json!({"agent_order_id": "A-1", "alitrip_order_id": order, "success": true, "total_price": 23000,
        "passenger_list": [{"passenger_id": "1", "passenger_name": "罗大佑", "passenger_cert_no": "330100199001011234",
            "ticket_list": tickets}]})
    .to_string()
}

/// An event of API Gateway with this body.
fn api_event(event: &Value, body: &str) -> Bytes {
    let mut event = event.clone();
    event["pathParameters"]["token"] = TOKEN.into();
    event["body"] = body.into();
    event.to_string().into()
}

/// Checks a contender's answer.
///
/// # Errors
/// If the answer is not JSON or does not report success.
pub fn check(contender: &Contender, answer: &[u8]) -> Result<(), String> {
    let answer: Value = serde_json::from_slice(answer).map_err(|error| format!("the answer is not JSON: {error}"))?;
    let fine = match contender.function {
        Function::TsyIssueNotify | Function::ScttVoucherPush => answer["statusCode"] == 200,
        Function::Dispatch | Function::ShipNotify => answer["batchItemFailures"] == json!([]),
    };
    if fine { Ok(()) } else { Err(format!("{} answered {answer}", contender.name())) }
}

/// TOP's delay for each answer while batches are measured.
pub const TOP_DELAY: Duration = Duration::from_millis(50);
