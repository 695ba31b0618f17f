//! The services behind every HTTP request. They perform the request, record it, and fail on demand.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use dynoxide::actions::describe_stream::DescribeStreamRequest;
use dynoxide::actions::get_records::GetRecordsRequest;
use dynoxide::actions::get_shard_iterator::GetShardIteratorRequest;
use dynoxide::actions::list_streams::ListStreamsRequest;
use dynoxide::{Database, DynoxideError};
use relay_types::time::SharedClock;
use serde_json::{Value, json};
use top_simulator::{Answer, Simulator};
use winterbaume_core::MockAws;
use winterbaume_secretsmanager::SecretsManagerService;
use winterbaume_sns::SnsService;
use winterbaume_sqs::SqsService;

use crate::recording::Recording;

/// One HTTP request, as it was on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// `dynamodb`, `sqs`, `sns`, `secretsmanager` or `top`.
    pub service: &'static str,
    /// The operation, such as `UpdateItem`; for TOP, the URL.
    pub operation: String,
    /// The request body.
    pub body: String,
}

/// A fault that tests inject into a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireFault {
    /// The request is performed, and its response is lost.
    AnswerLost,
    /// The request is not performed, and the connection breaks.
    NotPerformed,
    /// The request is not performed, and the response is 500.
    ServerError,
    /// The request is not performed, and the response is 403.
    Forbidden,
    /// The request is not performed, and the response is 200 with this body.
    Answered(&'static str),
    /// The request is performed, and the second half of its response is missing.
    AnswerCut,
    /// The request is performed, and no response ever arrives.
    NoAnswer,
    /// The code that sends the request panics.
    Panic,
}

/// Selects requests.
type Matches = Box<dyn Fn(&Sent) -> bool + Send>;

struct Ordered {
    matches: Matches,
    fault: WireFault,
    times: usize,
}

/// All services, the requests sent to them, and the faults to inject.
pub struct Cloud {
    database: Database,
    aws: MockAws,
    /// The TOP simulator.
    pub top: Mutex<Simulator>,
    clock: SharedClock,
    sent: Mutex<Vec<Sent>>,
    enqueued: AtomicBool,
    faults: Mutex<Vec<Ordered>>,
    gate: Gate,
}

/// Requests that are held until the test releases them.
#[derive(Default)]
struct Gate {
    matches: Mutex<Option<Matches>>,
    held: AtomicUsize,
    open: tokio::sync::Notify,
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cloud")
    }
}

impl Cloud {
    /// Creates empty services. `clock` is the time at TOP.
    pub fn new(simulator: Simulator, clock: SharedClock) -> Arc<Self> {
        let aws = MockAws::builder()
            .with_service(SqsService::new())
            .with_service(SnsService::new())
            .with_service(SecretsManagerService::new())
            .build();
        Arc::new(Self {
            database: Database::memory().unwrap(),
            aws,
            top: Mutex::new(simulator),
            clock,
            sent: Mutex::default(),
            enqueued: AtomicBool::default(),
            faults: Mutex::default(),
            gate: Gate::default(),
        })
    }

    /// Returns the requests sent since the last call.
    pub fn take_sent(&self) -> Vec<Sent> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }

    /// The visibility time-outs that were set, in seconds, by receipt handle.
    pub fn visibility_timeouts(&self) -> HashMap<String, u64> {
        let sent = self.sent.lock().unwrap();
        let changes = sent.iter().filter(|sent| sent.operation == "ChangeMessageVisibilityBatch");
        let bodies = changes.filter_map(|sent| serde_json::from_str::<Value>(&sent.body).ok());
        let entries = bodies.flat_map(|body| body["Entries"].as_array().cloned().unwrap_or_default());
        entries
            .filter_map(|entry| {
                Some((entry["ReceiptHandle"].as_str()?.to_owned(), entry["VisibilityTimeout"].as_u64()?))
            })
            .collect()
    }

    /// Every change of the table since its stream was enabled, in the form that Lambda passes to functions.
    pub fn changes(&self) -> Vec<Value> {
        let streams = self.database.list_streams(ListStreamsRequest::default()).unwrap().streams;
        let stream_arn = streams.into_iter().next().expect("the table has a stream").stream_arn;
        let described = DescribeStreamRequest { stream_arn: stream_arn.clone(), ..DescribeStreamRequest::default() };
        let shards = self.database.describe_stream(described).unwrap().stream_description.shards;
        let of_shard = |shard_id| {
            let iterator = GetShardIteratorRequest {
                stream_arn: stream_arn.clone(),
                shard_id,
                shard_iterator_type: "TRIM_HORIZON".to_owned(),
                sequence_number: None,
            };
            let shard_iterator = self.database.get_shard_iterator(iterator).unwrap().shard_iterator.unwrap();
            self.database.get_records(GetRecordsRequest { shard_iterator, limit: None }).unwrap().records
        };
        let records = shards.into_iter().flat_map(|shard| of_shard(shard.shard_id));
        records.map(|record| serde_json::to_value(record).unwrap()).collect()
    }

    /// Empties the table and resets TOP. Returns whether anything was enqueued since the last call.
    pub fn clear(&self) -> bool {
        let database = &self.database;
        let scan = json!({"TableName": "relay", "ProjectionExpression": "pk, sk"});
        let found = database.scan(serde_json::from_value(scan).unwrap()).unwrap();
        for item in found.items.unwrap_or_default() {
            let delete = json!({"TableName": "relay", "Key": item});
            database.delete_item(serde_json::from_value(delete).unwrap()).unwrap();
        }
        self.top.lock().unwrap().reset();
        self.enqueued.swap(false, Ordering::Relaxed)
    }

    /// Injects a fault into the next `times` matching requests.
    pub fn order(&self, fault: WireFault, times: usize, matches: impl Fn(&Sent) -> bool + Send + 'static) {
        self.faults.lock().unwrap().push(Ordered { matches: Box::new(matches), fault, times });
    }

    /// Holds matching DynamoDB requests from now on.
    pub fn hold(&self, matches: impl Fn(&Sent) -> bool + Send + 'static) {
        *self.gate.matches.lock().unwrap() = Some(Box::new(matches));
    }

    /// Number of requests held so far.
    pub fn held(&self) -> usize {
        self.gate.held.load(Ordering::Relaxed)
    }

    /// Releases the held requests and stops holding.
    pub fn release(&self) {
        *self.gate.matches.lock().unwrap() = None;
        self.gate.open.notify_waiters();
    }

    fn is_held(&self, sent: &Sent) -> bool {
        self.gate.matches.lock().unwrap().as_ref().is_some_and(|matches| matches(sent))
    }

    /// The HTTP client to build AWS SDK clients with.
    pub fn http_client(self: &Arc<Self>) -> SharedHttpClient {
        SharedHttpClient::new(AwsSide { cloud: self.clone() })
    }

    /// The connector to build the TOP client with.
    pub fn top_connector(self: &Arc<Self>) -> SharedHttpConnector {
        SharedHttpConnector::new(TopSide { cloud: self.clone() })
    }

    fn note(&self, sent: Sent) -> Option<WireFault> {
        let mut faults = self.faults.lock().unwrap();
        let fault = faults.iter_mut().find(|ordered| ordered.times > 0 && (ordered.matches)(&sent)).map(|ordered| {
            ordered.times -= 1;
            ordered.fault
        });
        if sent.operation.starts_with("SendMessage") {
            self.enqueued.store(true, Ordering::Relaxed);
        }
        self.sent.lock().unwrap().push(sent);
        fault
    }

    /// Performs a request on the embedded DynamoDB.
    fn dynamodb(&self, operation: &str, body: &str) -> HttpResponse {
        let (status, body) = dynamodb(&self.database, operation, body);
        response(status, body)
    }
}

/// Performs an SDK request on an embedded DynamoDB, and records it if this process records. Returns the status and body
/// of the response.
pub fn dynamodb(database: &Database, operation: &str, body: &str) -> (u16, String) {
    match Recording::of_this_process() {
        Some(recording) => recording.perform(database, operation, body),
        None => unrecorded(database, operation, body),
    }
}

/// Performs a request as [`dynamodb`] does, without recording it.
pub(crate) fn unrecorded(database: &Database, operation: &str, body: &str) -> (u16, String) {
    match perform(database, operation, body) {
        Ok(body) => (200, body),
        Err(error) => (error.status_code(), error.to_json()),
    }
}

fn perform(database: &Database, operation: &str, body: &str) -> Result<String, DynoxideError> {
    fn read<T: serde::de::DeserializeOwned>(body: &str) -> T {
        serde_json::from_str(body).expect("a valid SDK request")
    }
    fn write<T: serde::Serialize>(answer: &T) -> String {
        serde_json::to_string(answer).expect("a serializable response")
    }
    Ok(match operation {
        "CreateTable" => write(&database.create_table(read(body))?),
        "PutItem" => write(&database.put_item(read(body))?),
        "GetItem" => write(&database.get_item(read(body))?),
        "UpdateItem" => write(&database.update_item(read(body))?),
        "Query" => write(&database.query(read(body))?),
        "BatchGetItem" => write(&database.batch_get_item(read(body))?),
        "Scan" => write(&database.scan(read(body))?),
        "UpdateTable" => write(&database.update_table(read(body))?),
        other => panic!("the relay does not use {other}"),
    })
}

fn response(status: u16, body: impl Into<SdkBody>) -> HttpResponse {
    HttpResponse::new(status.try_into().unwrap(), body.into())
}

fn body_of(request: &HttpRequest) -> String {
    String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned()
}

fn broken() -> ConnectorError {
    ConnectorError::io("the connection broke".into())
}

/// Performs a request, or injects the fault.
fn answer(fault: Option<WireFault>, perform: impl FnOnce() -> HttpConnectorFuture) -> HttpConnectorFuture {
    match fault {
        None => perform(),
        Some(WireFault::NotPerformed) => HttpConnectorFuture::ready(Err(broken())),
        Some(WireFault::Answered(body)) => HttpConnectorFuture::ready(Ok(response(200, body))),
        Some(WireFault::ServerError) => HttpConnectorFuture::ready(Ok(response(500, "{}"))),
        Some(WireFault::Forbidden) => HttpConnectorFuture::ready(Ok(response(403, "Forbidden"))),
        Some(WireFault::AnswerLost) => {
            let performed = perform();
            HttpConnectorFuture::new(async move {
                performed.await?;
                Err(broken())
            })
        }
        Some(WireFault::AnswerCut) => {
            let performed = perform();
            HttpConnectorFuture::new(async move {
                let whole = performed.await?;
                let body = whole.body().bytes().unwrap_or_default().to_vec();
                Ok(response(whole.status().as_u16(), body[..body.len() / 2].to_vec()))
            })
        }
        Some(WireFault::NoAnswer) => {
            let performed = perform();
            HttpConnectorFuture::new(async move {
                performed.await?;
                std::future::pending().await
            })
        }
        Some(WireFault::Panic) => {
            HttpConnectorFuture::new(async { panic!("injected panic that quotes PLANTED-PANIC") })
        }
    }
}

#[derive(Debug)]
struct AwsSide {
    cloud: Arc<Cloud>,
}

impl HttpClient for AwsSide {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let others = self.cloud.aws.http_client().http_connector(settings, components);
        SharedHttpConnector::new(AwsConnector { cloud: self.cloud.clone(), others })
    }
}

#[derive(Debug)]
struct AwsConnector {
    cloud: Arc<Cloud>,
    others: SharedHttpConnector,
}

impl HttpConnector for AwsConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default().to_owned();
        let body = body_of(&request);
        // SNS requests are form-encoded.
        let action = form_urlencoded::parse(body.as_bytes()).find(|(name, _)| name == "Action");
        let action = action.map(|(_, action)| action.into_owned()).unwrap_or_default();
        let (family, operation) = target.split_once('.').unwrap_or(("", &action));
        let service = match family {
            "DynamoDB_20120810" => "dynamodb",
            "AmazonSQS" => "sqs",
            "secretsmanager" => "secretsmanager",
            "" if request.uri().contains("sns.") => "sns",
            other => panic!("the relay does not use {other}"),
        };
        let operation = operation.to_owned();
        let sent = Sent { service, operation: operation.clone(), body: body.clone() };
        if self.cloud.is_held(&sent) {
            let cloud = self.cloud.clone();
            return HttpConnectorFuture::new(async move {
                let open = cloud.gate.open.notified();
                cloud.gate.held.fetch_add(1, Ordering::Relaxed);
                open.await;
                Ok(cloud.dynamodb(&operation, &body))
            });
        }
        let fault = self.cloud.note(sent);
        answer(fault, || match service {
            "dynamodb" => HttpConnectorFuture::ready(Ok(self.cloud.dynamodb(&operation, &body))),
            // Messages come at once, so tests need not wait.
            "sqs" if body.contains("DelaySeconds") => self.others.call(without_delays(request, &body)),
            _ => self.others.call(request),
        })
    }
}

/// A request of SQS without its messages' delays.
fn without_delays(mut request: HttpRequest, body: &str) -> HttpRequest {
    let mut body: Value = serde_json::from_str(body).expect("a valid SDK request");
    for entry in body["Entries"].as_array_mut().into_iter().flatten() {
        entry.as_object_mut().expect("an entry").remove("DelaySeconds");
    }
    *request.body_mut() = body.to_string().into();
    request
}

#[derive(Debug)]
struct TopSide {
    cloud: Arc<Cloud>,
}

impl HttpConnector for TopSide {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = body_of(&request);
        let sent = Sent { service: "top", operation: request.uri().to_owned(), body: body.clone() };
        let fault = self.cloud.note(sent);
        answer(fault, || {
            let now = self.cloud.clock.now().0;
            let content_type = request.headers().get("content-type");
            match self.cloud.top.lock().unwrap().handle(now, content_type, None, body.as_bytes()) {
                Answer::Hang => HttpConnectorFuture::new(std::future::pending()),
                Answer::Reply { status, body, after_ms } => HttpConnectorFuture::new(async move {
                    tokio::time::sleep(Duration::from_millis(after_ms)).await;
                    Ok(response(status, body))
                }),
            }
        })
    }
}
