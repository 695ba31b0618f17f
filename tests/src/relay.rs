//! The whole relay in one process: every handler, wired as in the template.

mod polling;
mod requests;

use self::polling::Postponed;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, StreamSpecification, StreamViewType,
};
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::SdkConfig;
use lambda_http::{Body as HttpBody, RequestExt as _, Response};
use lambda_runtime::{Context, LambdaEvent};
use relay_attention::Attention;
use relay_decide::Settings;
use relay_dispatch::Dispatch;
use relay_order_events::OrderEvents;
use relay_order_link::OrderLink;
use relay_receiver::Receiver;
use relay_receiver::authentication::{ScttChecks, TokenHashes};
use relay_receiver::recorder::Recorder;
use relay_runtime::environment::AwsConfig;
use relay_runtime::queue::Queue;
use relay_runtime::queue::batch::{BatchRunner, Invocation};
use relay_runtime::secret::CachedSecret;
use relay_runtime::xray::Daemon;
use relay_sender::Sender;
use relay_sender::breaker::Breakers;
use relay_store::Store;
use relay_store::index::{ATTENTION, ATTENTION_PROJECTS, UNFINISHED, UNFINISHED_PROJECTS};
use relay_submit_call::SubmitCall;
use relay_sweep::{Sweep, SweepError, Swept};
use relay_top::client::TopClient;
use relay_top::sign::SignMethod;
use relay_types::breaker::Breaker;
use relay_types::call::CallKind;
use relay_types::digest::sha256_hex;
use relay_types::failure::Failure;
use relay_types::notification::NotificationKind;
use relay_types::order::Partner;
use relay_types::record::{OrderRecord, RecordKey};
use relay_types::time::{Clock, EpochMillis, SharedClock, SharedRandom};
use serde_json::{Value, json};
use top_simulator::{Credentials, Fault, LedgerEntry, Simulator};

use crate::cloud::Cloud;
use crate::events::{Body, api_request};

/// The token of every endpoint. Planted: it must never appear outside the request.
pub const TOKEN: &str = "PLANTED-TOKEN";
/// TOP's application secret. Planted.
pub const APP_SECRET: &str = "PLANTED-APP-SECRET";
/// TOP's session. Planted.
pub const SESSION: &str = "PLANTED-SESSION";
/// SCTT's signing secret. Planted.
pub const SCTT_SECRET: &str = "PLANTED-SCTT-SECRET";
/// The secret that holds TOP's credentials.
pub const TOP_SECRET_ID: &str = "top";

/// Start time of every test, in milliseconds: 2026-01-01 12:00:00 in China.
const START: i64 = 1_767_240_000_000;

/// A clock that only the test advances.
#[derive(Debug)]
pub struct TestClock(AtomicI64);

impl TestClock {
    /// Advances the clock.
    pub fn advance(&self, duration: Duration) {
        self.0.fetch_add(i64::try_from(duration.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> EpochMillis {
        EpochMillis(self.0.load(Ordering::Relaxed))
    }
}

/// Reproducible random numbers.
pub fn counted_random() -> SharedRandom {
    let count = AtomicU64::new(0);
    Arc::new(move || count.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Status and body of a response.
pub type Answered = (u16, String);

/// All handlers, with the services that they use.
pub struct Relay {
    /// The services behind every request.
    pub cloud: Arc<Cloud>,
    /// The clock of all handlers and of TOP.
    pub clock: Arc<TestClock>,
    /// The table.
    pub store: Store,
    /// The endpoints, one for each kind of notification.
    pub receivers: Vec<Receiver>,
    /// The function for links and operators' requests about orders.
    pub order_link: OrderLink,
    /// The function for submitted calls and operators' requests about them.
    pub submit_call: SubmitCall,
    /// The function that decides orders.
    pub dispatch: Dispatch,
    /// The function that re-enqueues unfinished records.
    pub sweep: Sweep,
    /// The function for the attention list.
    pub attention: Attention,
    /// The functions that call TOP, one for each kind of call.
    pub senders: Vec<Sender>,
    /// The test's SQS client.
    pub sqs: aws_sdk_sqs::Client,
    /// The test's DynamoDB client.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// The SDK configuration of every client.
    pub sdk: SdkConfig,
    queues: Vec<(&'static str, String)>,
    invocations: AtomicU64,
    /// Bodies of all messages received so far, to check what must not be in them.
    pub messages: Mutex<Vec<String>>,
    /// Messages that [`Relay::poll_in_time`] holds until they are due.
    postponed: Mutex<Vec<Postponed>>,
}

/// The functions' SDK configuration, with this HTTP client.
pub fn sdk_config(http_client: SharedHttpClient) -> SdkConfig {
    let set = |name: &str| match name {
        "AWS_REGION" => Some("us-east-1".to_owned()),
        "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("test".to_owned()),
        _ => None,
    };
    relay_runtime::aws::sdk_config(&AwsConfig::read(&set).unwrap(), http_client)
}

/// Creates the table as in the template.
pub async fn create_table(client: &aws_sdk_dynamodb::Client) {
    let attribute =
        |name, kind| AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap();
    let key = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    let index = |name: &str, sorted_by, projects: &[&str]| {
        let projects = projects.iter().map(|name| (*name).to_owned()).collect();
        let projection = Projection::builder().projection_type(ProjectionType::Include);
        GlobalSecondaryIndex::builder()
            .index_name(name)
            .key_schema(key(name, KeyType::Hash))
            .key_schema(key(sorted_by, KeyType::Range))
            .projection(projection.set_non_key_attributes(Some(projects)).build())
            .build()
            .unwrap()
    };
    client
        .create_table()
        .table_name("relay")
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("pk", ScalarAttributeType::S))
        .attribute_definitions(attribute("sk", ScalarAttributeType::S))
        .attribute_definitions(attribute("unfinished", ScalarAttributeType::S))
        .attribute_definitions(attribute("look_at", ScalarAttributeType::N))
        .attribute_definitions(attribute("attention", ScalarAttributeType::S))
        .attribute_definitions(attribute("since", ScalarAttributeType::N))
        .key_schema(key("pk", KeyType::Hash))
        .key_schema(key("sk", KeyType::Range))
        .global_secondary_indexes(index(UNFINISHED, "look_at", &UNFINISHED_PROJECTS))
        .global_secondary_indexes(index(ATTENTION, "since", &ATTENTION_PROJECTS))
        .send()
        .await
        .unwrap();
}

impl Relay {
    /// Creates an empty relay that checks only the token of SCTT's pushes.
    pub async fn new() -> Self {
        Self::checking(ScttChecks::default()).await
    }

    /// Creates an empty relay that applies these checks to SCTT's pushes.
    pub async fn checking(checks: ScttChecks) -> Self {
        let clock = Arc::new(TestClock(AtomicI64::new(START)));
        let shared_clock: SharedClock = clock.clone();
        let random = counted_random();
        let simulator = Simulator::new(Credentials {
            app_key: "12345678".to_owned(),
            app_secret: APP_SECRET.to_owned(),
            session: SESSION.to_owned(),
        });
        let cloud = Cloud::new(simulator, shared_clock.clone());
        let sdk = sdk_config(cloud.http_client());
        let dynamodb = aws_sdk_dynamodb::Client::new(&sdk);
        let sqs = aws_sdk_sqs::Client::new(&sdk);
        let secrets = aws_sdk_secretsmanager::Client::new(&sdk);
        create_table(&dynamodb).await;
        let mut queues = Vec::new();
        for name in std::iter::once("notifications").chain(CallKind::ALL.map(Into::into)) {
            let created = sqs.create_queue().queue_name(name).send().await.unwrap();
            queues.push((name, created.queue_url.unwrap()));
        }
        let url = |name: &str| queues.iter().find(|(queue, _)| *queue == name).unwrap().1.clone();
        let top_secret = json!({"app_key": "12345678", "app_secret": APP_SECRET, "session": SESSION});
        for (name, value) in [(TOP_SECRET_ID, top_secret), ("sctt", json!({"secret": SCTT_SECRET}))] {
            secrets.create_secret().name(name).secret_string(value.to_string()).send().await.unwrap();
        }
        let store = Store::new(dynamodb.clone(), "relay".to_owned(), Duration::from_secs(180 * 24 * 3600));
        let receiver = |kind: NotificationKind| {
            let of_sctt = kind.partner() == Partner::Sctt;
            let secret = (of_sctt && checks.formula.is_some())
                .then(|| CachedSecret::new(secrets.clone(), "sctt".to_owned(), shared_clock.clone()));
            Receiver {
                tokens: TokenHashes::parse(&sha256_hex(TOKEN.as_bytes())).unwrap(),
                checks: if of_sctt { checks.clone() } else { ScttChecks::default() },
                secret,
                recorder: Recorder {
                    kind,
                    store: store.clone(),
                    notifications: Queue::new(sqs.clone(), url("notifications")),
                    clock: shared_clock.clone(),
                    random: random.clone(),
                },
            }
        };
        let retention = Duration::from_secs(180 * 24 * 3600);
        let settings = Settings { failed_code: Some("DEFAULT".to_owned()), retention, unnotified_after: None };
        let sender = |kind| Sender {
            kind,
            store: store.clone(),
            notifications: Queue::new(sqs.clone(), url("notifications")),
            settings: settings.clone(),
            accounts: CachedSecret::new(secrets.clone(), TOP_SECRET_ID.to_owned(), shared_clock.clone()),
            sign_method: SignMethod::HmacSha256,
            top: TopClient::new(cloud.top_connector(), "http://top.test/router/rest".to_owned()),
            error_classes: relay_top::error::ErrorClasses::default(),
            top_timeout: Duration::from_secs(10),
            clock: shared_clock.clone(),
            random: random.clone(),
            traces: Daemon::default(),
            breakers: Breakers::new(kind, store.clone(), shared_clock.clone(), Duration::from_secs(10)),
            reported: std::sync::Mutex::default(),
        };
        let relay = Self {
            receivers: NotificationKind::ALL.map(receiver).into(),
            order_link: OrderLink {
                store: store.clone(),
                unnotified_after: None,
                accounts: "flights,ships".parse().unwrap(),
                notifications: Queue::new(sqs.clone(), url("notifications")),
                clock: shared_clock.clone(),
                random: random.clone(),
            },
            submit_call: SubmitCall {
                store: store.clone(),
                accounts: "flights,ships".parse().unwrap(),
                notifications: Queue::new(sqs.clone(), url("notifications")),
                clock: shared_clock.clone(),
                random: random.clone(),
            },
            dispatch: Dispatch {
                store: store.clone(),
                notifications: Queue::new(sqs.clone(), url("notifications")),
                calls: CallKind::ALL.map(|kind| (kind, Queue::new(sqs.clone(), url(kind.as_ref())))).into(),
                settings: settings.clone(),
                clock: shared_clock.clone(),
                random: random.clone(),
            },
            sweep: Sweep {
                accounts: CachedSecret::new(secrets.clone(), TOP_SECRET_ID.to_owned(), shared_clock.clone()),
                store: store.clone(),
                notifications: Queue::new(sqs.clone(), url("notifications")),
                clock: shared_clock.clone(),
            },
            attention: Attention {
                store: store.clone(),
                notifications: Queue::new(sqs.clone(), url("notifications")),
                clock: shared_clock.clone(),
                random: random.clone(),
            },
            senders: CallKind::ALL.into_iter().map(sender).collect(),
            cloud,
            clock,
            store,
            sqs,
            dynamodb,
            sdk,
            queues,
            invocations: AtomicU64::new(0),
            messages: Mutex::default(),
            postponed: Mutex::default(),
        };
        relay.cloud.take_sent();
        relay
    }

    /// Resets table, queues, TOP, captured requests and messages, and clock, for tests with many inputs.
    pub async fn clear(&self) {
        if self.cloud.clear() {
            for (_, url) in &self.queues {
                self.sqs.purge_queue().queue_url(url).send().await.unwrap();
            }
        }
        self.cloud.take_sent();
        self.messages.lock().unwrap().clear();
        self.clock.0.store(START, Ordering::Relaxed);
        for sender in &self.senders {
            sender.breakers.forget();
        }
    }

    /// The endpoint for this kind of notification.
    pub fn receiver(&self, kind: NotificationKind) -> &Receiver {
        self.receivers.iter().find(|receiver| receiver.recorder.kind == kind).unwrap()
    }

    /// The record with this partition key.
    pub async fn record(&self, pk: &str) -> OrderRecord {
        self.store.record(&RecordKey::parse(pk).unwrap()).await.unwrap().expect("the record exists")
    }

    /// The tripped breaker of `default`.
    pub async fn breaker(&self, call: CallKind) -> Option<Breaker> {
        let tripped = self.store.breakers_of(call).await.unwrap();
        tripped.into_iter().find(|breaker| breaker.account == "default")
    }

    /// Trips the breaker of `default`, as another instance does that was told of a limit until `until`.
    pub async fn trip(&self, call: CallKind, failure: &Failure, until: EpochMillis) -> bool {
        let breakers = &self.sender(call).breakers;
        let breaker = Breaker { until, ..breakers.tripped(("default", true), failure, Some(until)) };
        self.store.trip_breaker(&breaker).await.unwrap()
    }

    /// Injects faults into TOP. They are given as JSON.
    pub fn top_faults(&self, faults: Value) {
        let faults: Vec<Fault> = serde_json::from_value(faults).unwrap();
        self.cloud.top.lock().unwrap().add_faults(faults);
    }

    /// TOP's ledger.
    pub fn ledger(&self) -> Vec<LedgerEntry> {
        self.cloud.top.lock().unwrap().ledger().to_vec()
    }

    /// Number of requests that took effect at TOP.
    pub fn effects(&self) -> usize {
        self.ledger().iter().filter(|entry| entry.effect).count()
    }

    /// The URL of a queue.
    pub fn queue_url(&self, name: &str) -> &str {
        &self.queues.iter().find(|(queue, _)| *queue == name).unwrap().1
    }

    /// Replaces a secret in Secrets Manager.
    pub async fn put_secret(&self, id: &str, value: &Value) {
        let secrets = aws_sdk_secretsmanager::Client::new(&self.sdk);
        secrets.put_secret_value().secret_id(id).secret_string(value.to_string()).send().await.unwrap();
    }
}

/// Reads status and body of a response.
pub fn answered(response: Response<HttpBody>) -> Answered {
    (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
}
