//! A model of AWS Lambda and its queue pollers. An instance runs a production handler, one event at a time, and is
//! frozen in between. It ends at its time-out, or where the seed kills it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use aws_smithy_async::rt::sleep::{AsyncSleep, Sleep, TokioSleep};
use aws_smithy_runtime::client::retries::{RetryPartition, TokenBucket};
use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector};
use lambda_http::{Body, Request, Response};
use lambda_runtime::{Context, LambdaEvent};
use relay_attention::Attention;
use relay_decide::Settings;
use relay_dispatch::Dispatch;
use relay_order_events::{OrderEvents, StreamEvent};
use relay_order_link::OrderLink;
use relay_receiver::Receiver;
use relay_receiver::authentication::{ScttChecks, TokenHashes};
use relay_receiver::recorder::Recorder;
use relay_runtime::queue::Queue;
use relay_runtime::queue::batch::{BatchRunner, Invocation};
use relay_runtime::secret::CachedSecret;
use relay_runtime::xray::Daemon;
use relay_sender::Sender;
use relay_sender::breaker::Breakers;
use relay_store::Store;
use relay_submit_call::SubmitCall;
use relay_sweep::{Sweep, Swept};
use relay_top::client::TopClient;
use relay_top::sign::SignMethod;
use relay_types::account::AccountNames;
use relay_types::call::CallKind;
use relay_types::digest::sha256_hex;
use relay_types::notification::NotificationKind;
use relay_types::time::{SharedClock, SharedRandom};
use serde_json::{Value, json};

use crate::network::{Aws, Line, Top};
use crate::queues::Message;
use crate::world::{SkewedClock, World, lock};
use crate::{events, table};

/// The functions' time-out, the same as in the template.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The token of both endpoints.
pub const TOKEN: &str = "token";
/// The table's name.
pub const TABLE: &str = "relay";
const RETENTION: Duration = Duration::from_secs(180 * 24 * 3600);

/// The clients of one instance, and the line that they use. Building them takes longer than a run uses them. They keep
/// no state of a run, so later runs reuse them.
struct Clients {
    line: Arc<Line>,
    dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
    secrets: aws_sdk_secretsmanager::Client,
    sns: aws_sdk_sns::Client,
    top: SharedHttpConnector,
}

thread_local! {
    static IDLE_CLIENTS: RefCell<Vec<Clients>> = const { RefCell::new(Vec::new()) };
}

thread_local! {
    static PAUSES_ARE_SKIPPED: Cell<bool> = const { Cell::new(false) };
}

/// Sets whether the pauses between the SDK's retries take no time from now on.
pub fn skip_pauses(skip: bool) {
    PAUSES_ARE_SKIPPED.set(skip);
}

/// The SDK's timer. Time-outs are whole seconds. Pauses between retries are random and never whole seconds.
#[derive(Debug)]
struct Timer(TokioSleep);

impl AsyncSleep for Timer {
    fn sleep(&self, duration: Duration) -> Sleep {
        if PAUSES_ARE_SKIPPED.get() && duration.subsec_nanos() != 0 {
            return Sleep::new(std::future::ready(()));
        }
        self.0.sleep(duration)
    }
}

impl Clients {
    fn take() -> Self {
        IDLE_CLIENTS.with_borrow_mut(Vec::pop).unwrap_or_else(|| {
            // Building draws from the generator of the retry pauses. Restore its state, because not every run builds
            // clients.
            let seed = fastrand::get_seed();
            let clients = Self::build();
            fastrand::seed(seed);
            clients
        })
    }

    /// Builds the clients as `relay_runtime::aws` does, except for the destination.
    fn build() -> Self {
        let line = Arc::new(Line::default());
        let sdk = relay_tests::relay::sdk_config(SharedHttpClient::new(Aws(line.clone())));
        let sdk = sdk.to_builder().sleep_impl(Timer(TokioSleep::new())).build();
        // By default, all clients of a process share the SDK's retry tokens, so one run would change another.
        let partition = || RetryPartition::custom("simulation").token_bucket(TokenBucket::unlimited()).build();
        let dynamodb = aws_sdk_dynamodb::config::Builder::from(&sdk).retry_partition(partition()).build();
        let sqs = aws_sdk_sqs::config::Builder::from(&sdk).retry_partition(partition()).build();
        let secrets = aws_sdk_secretsmanager::config::Builder::from(&sdk).retry_partition(partition()).build();
        let sns = aws_sdk_sns::config::Builder::from(&sdk).retry_partition(partition()).build();
        Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb),
            sqs: aws_sdk_sqs::Client::from_conf(sqs),
            secrets: aws_sdk_secretsmanager::Client::from_conf(secrets),
            sns: aws_sdk_sns::Client::from_conf(sns),
            top: SharedHttpConnector::new(Top(line.clone())),
            line,
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(clients) = self.clients.take() {
            clients.line.disconnect();
            IDLE_CLIENTS.with_borrow_mut(|idle| idle.push(clients));
        }
    }
}

/// The handler that an instance runs.
enum Handler {
    Receiver(Receiver),
    OrderLink(OrderLink),
    SubmitCall(SubmitCall),
    Attention(Attention),
    Sweep(Sweep),
    OrderEvents(OrderEvents),
    Dispatch(Dispatch, BatchRunner),
    Call(Box<Sender>, BatchRunner),
}

/// One instance of a function. It keeps everything that it read and built between invocations.
struct Instance {
    function: &'static str,
    number: u64,
    handler: Handler,
    clock: SharedClock,
    clients: Option<Clients>,
}

fn random_of(world: &World) -> SharedRandom {
    let generator = Mutex::new(fastrand::Rng::with_seed(world.draw(|chance| chance.u64(..))));
    Arc::new(move || lock(&generator).u64(..))
}

fn url(queue: &str) -> String {
    format!("https://sqs.test/{queue}")
}

impl Instance {
    fn start(world: &Arc<World>, function: &'static str, number: u64) -> Self {
        let clients = Clients::take();
        clients.line.connect(world, function, number);
        let clock: SharedClock = Arc::new(SkewedClock::draw(world));
        let random = random_of(world);
        let store = Store::new(clients.dynamodb.clone(), TABLE.to_owned(), RETENTION);
        let queue = |name: &str| Queue::new(clients.sqs.clone(), url(name));
        let receiver = |kind| Receiver {
            tokens: TokenHashes::parse(&sha256_hex(TOKEN.as_bytes())).expect("a valid digest"),
            checks: ScttChecks::default(),
            secret: None,
            recorder: Recorder {
                kind,
                store: store.clone(),
                notifications: queue("notifications"),
                clock: clock.clone(),
                random: random.clone(),
            },
        };
        let settings =
            Settings { failed_code: Some("DEFAULT".to_owned()), retention: RETENTION, unnotified_after: None };
        let handler = match function {
            "tsy-issue-notify" => Handler::Receiver(receiver(NotificationKind::IssueNotify)),
            "sctt-voucher-push" => Handler::Receiver(receiver(NotificationKind::VoucherPush)),
            "sctt-cancel-push" => Handler::Receiver(receiver(NotificationKind::CancelPush)),
            "order-link" => {
                let notifications = queue("notifications");
                Handler::OrderLink(OrderLink {
                    store,
                    notifications,
                    accounts: AccountNames::default(),
                    unnotified_after: None,
                    clock: clock.clone(),
                    random,
                })
            }
            "submit-call" => Handler::SubmitCall(SubmitCall {
                store,
                accounts: AccountNames::default(),
                notifications: queue("notifications"),
                clock: clock.clone(),
                random,
            }),
            "attention" => Handler::Attention(Attention {
                store,
                notifications: queue("notifications"),
                clock: clock.clone(),
                random: random.clone(),
            }),
            "sweep" => {
                let accounts = CachedSecret::new(clients.secrets.clone(), "top".to_owned(), clock.clone());
                let notifications = queue("notifications");
                Handler::Sweep(Sweep { store, notifications, accounts, clock: clock.clone() })
            }
            "order-events" => Handler::OrderEvents(OrderEvents {
                sns: clients.sns.clone(),
                topic_arn: "arn:aws:sns:us-east-1:123456789012:order-events".to_owned(),
                source: events::SOURCE.to_owned(),
            }),
            "dispatch" => {
                let dispatch = Dispatch {
                    store,
                    notifications: queue("notifications"),
                    calls: CallKind::ALL.map(|kind| (kind, queue(kind.as_ref()))).into(),
                    settings,
                    clock: clock.clone(),
                    random: random.clone(),
                };
                Handler::Dispatch(dispatch, BatchRunner::new(queue("notifications"), clock.clone(), random))
            }
            call => {
                let kind = call.parse().expect("a function of the template");
                let sender = Sender {
                    kind,
                    breakers: Breakers::new(kind, store.clone(), clock.clone(), Duration::from_secs(10)),
                    reported: std::sync::Mutex::default(),
                    store,
                    notifications: queue("notifications"),
                    settings,
                    accounts: CachedSecret::new(clients.secrets.clone(), "top".to_owned(), clock.clone()),
                    sign_method: SignMethod::HmacSha256,
                    top: TopClient::new(clients.top.clone(), "http://top.test/router/rest".to_owned()),
                    error_classes: relay_top::error::ErrorClasses::default(),
                    top_timeout: Duration::from_secs(10),
                    clock: clock.clone(),
                    random: random.clone(),
                    traces: Daemon::default(),
                };
                Handler::Call(Box::new(sender), BatchRunner::new(queue(call), clock.clone(), random))
            }
        };
        Self { function, number, handler, clock, clients: Some(clients) }
    }

    fn line(&self) -> Arc<Line> {
        self.clients.as_ref().map(|clients| clients.line.clone()).unwrap_or_default()
    }
}

/// All instances of all functions.
pub struct Lambda {
    /// The world that they run in.
    pub world: Arc<World>,
    idle: Mutex<BTreeMap<&'static str, Vec<Instance>>>,
    instances: AtomicU64,
    running: AtomicUsize,
}

impl Lambda {
    /// A model without instances.
    pub fn new(world: Arc<World>) -> Arc<Self> {
        Arc::new(Self { world, idle: Mutex::default(), instances: AtomicU64::new(0), running: AtomicUsize::new(0) })
    }

    /// Whether no invocation is running.
    pub fn is_idle(&self) -> bool {
        self.running.load(Ordering::Relaxed) == 0
    }

    /// Ends all instances, so their clients can serve another run.
    pub fn stop(&self) {
        lock(&self.idle).clear();
    }

    fn instance(&self, function: &'static str) -> Instance {
        // Sometimes a cold instance starts although a warm one is idle.
        if !self.world.happens(0.05)
            && let Some(instance) = lock(&self.idle).get_mut(function).and_then(Vec::pop)
        {
            return instance;
        }
        Instance::start(&self.world, function, self.instances.fetch_add(1, Ordering::Relaxed))
    }

    /// Invokes a function. Returns `None` if it is killed or times out; its instance is gone then.
    async fn invoke<T>(&self, function: &'static str, work: impl AsyncFnOnce(&Instance, Context) -> T) -> Option<T> {
        self.running.fetch_add(1, Ordering::Relaxed);
        let instance = self.instance(function);
        let line = instance.line();
        let mut context = Context::default();
        context.request_id = format!("{:016x}", self.world.draw(|chance| chance.u64(..)));
        context.deadline = u64::try_from(self.world.now().plus(TIMEOUT).0).unwrap_or_default();
        let deadline = tokio::time::Instant::now() + TIMEOUT;
        let out_of_time = || {
            self.world.saw("a function timed out");
            self.world.note(|| format!("{function}#{}: timed out", instance.number));
        };
        let done = {
            let work = std::pin::pin!(work(&instance, context));
            tokio::select! {
                biased;
                () = line.stalled() => {
                    tokio::time::sleep_until(deadline).await;
                    out_of_time();
                    None
                }
                () = line.killed() => {
                    self.world.note(|| format!("{function}#{}: killed", instance.number));
                    None
                }
                () = tokio::time::sleep_until(deadline) => {
                    out_of_time();
                    None
                }
                done = work => Some(done),
            }
        };
        let problem =
            if done.is_some() { lock(&self.world.bans).ended(instance.number, self.world.now()) } else { None };
        if let Some(problem) = problem {
            self.world.violated(problem);
        }
        if done.is_some() {
            lock(&self.idle).entry(instance.function).or_default().push(instance);
        }
        self.running.fetch_sub(1, Ordering::Relaxed);
        done
    }

    /// Sends a request through API Gateway. Returns `None` if the caller gets no answer, or only a 502 or 504.
    pub async fn request(&self, function: &'static str, request: Request) -> Option<(u16, String)> {
        let answer: Option<Response<Body>> = self
            .invoke(function, async |instance: &Instance, _| match &instance.handler {
                Handler::Receiver(receiver) => receiver.handle(&request).await,
                Handler::OrderLink(order_link) => order_link.handle(&request).await,
                Handler::SubmitCall(submit_call) => submit_call.handle(&request).await,
                Handler::Attention(attention) => attention.handle(&request).await,
                _ => unreachable!("{function} has no route"),
            })
            .await;
        let answer = answer?;
        let answer = (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned());
        if self.world.happens(self.world.weather().request / 2.0) {
            self.world.saw("an answer to a caller was lost");
            return None;
        }
        Some(answer)
    }

    /// Invokes the sweep as the schedule does.
    pub async fn sweep(&self) -> Option<Swept> {
        let swept = self
            .invoke("sweep", async |instance: &Instance, context| {
                let Handler::Sweep(sweep) = &instance.handler else { unreachable!("sweep has the sweep handler") };
                sweep.handle(&Invocation::new(&context, instance.clock.now())).await
            })
            .await?
            .ok()?;
        if swept != Swept::default() {
            self.world.saw("a sweep enqueued keys");
            self.world.note(|| format!("swept: {swept:?}"));
        }
        Some(swept)
    }

    /// Passes changes from the table's stream to order-events. Returns `false` if Lambda must pass them again.
    pub async fn follow(&self, changes: &[Value]) -> bool {
        let records = changes.to_vec();
        let published = self.invoke("order-events", async |instance: &Instance, _| {
            let Handler::OrderEvents(events) = &instance.handler else {
                unreachable!("order-events has the stream handler")
            };
            events.handle(StreamEvent { records }).await.is_ok()
        });
        published.await == Some(true)
    }

    async fn batch(&self, function: &'static str, messages: &[Message]) -> Option<SqsBatchResponse> {
        let record = |message: &Message| {
            json!({
                "messageId": message.id.to_string(),
                "receiptHandle": message.receipt.to_string(),
                "body": message.body,
                "attributes": {"ApproximateReceiveCount": message.received.to_string()},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
            })
        };
        let records: Vec<_> = messages.iter().map(record).collect();
        let event: SqsEvent = serde_json::from_value(json!({"Records": records})).expect("a valid SQS event");
        self.invoke(function, async |instance: &Instance, context| {
            let event = LambdaEvent::new(event, context);
            match &instance.handler {
                Handler::Dispatch(dispatch, runner) => dispatch.handle(runner, event).await,
                Handler::Call(sender, runner) => sender.handle(runner, event).await,
                _ => unreachable!("{function} has no queue"),
            }
        })
        .await
    }

    /// Polls a queue until the run ends. The queue's function handles several batches at once.
    pub async fn poll(self: Arc<Self>, queue: &'static str) {
        let function = if queue == "notifications" { "dispatch" } else { queue };
        loop {
            let world = &self.world;
            let changed = world.queues.changed(queue).notified();
            match world.queues.next_visible(queue) {
                None => changed.await,
                Some(at) if at > world.now() => {
                    tokio::select! {
                        biased;
                        () = changed => {}
                        () = tokio::time::sleep_until(world.instant(at)) => {}
                    }
                }
                Some(_) => {
                    tokio::time::sleep(world.between(0, 400)).await;
                    let most = world.draw(|chance| chance.usize(1..=10));
                    let messages = world.queues.receive(world, queue, most);
                    if messages.len() > 1 {
                        world.saw("a batch had several messages");
                    }
                    if !messages.is_empty() {
                        let lambda = self.clone();
                        spawn(async move { lambda.handle(queue, function, &messages).await });
                    }
                }
            }
        }
    }

    /// Invokes a function with messages, and deletes those that it does not report as failed.
    pub async fn handle(&self, queue: &'static str, function: &'static str, messages: &[Message]) {
        let writes = |message: &Message| table::pk_in(&message.body).map(|pk| self.world.writes_of(&pk));
        let before: Vec<_> = messages.iter().map(writes).collect();
        let Some(response) = self.batch(function, messages).await else { return };
        let failed: Vec<_> = response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
        for (message, before) in messages.iter().zip(before) {
            if !failed.contains(&message.id.to_string()) {
                // A function that reports success for a record with work left must have written to that record, or renewed
                // the message.
                let is_left = || {
                    let item = table::named_by(&self.world, &message.body);
                    item.is_some_and(|item| table::is_to_be_worked_on(&item, queue))
                };
                if before == writes(message) && is_left() && !self.world.queues.holds_another(queue, message) {
                    self.world
                        .violated(format!("a message of {queue} was deleted with its work undone: {}", message.body));
                }
                self.world.queues.delete(&self.world, queue, message.id);
            }
        }
    }
}

/// Spawns a task that runs concurrently with the rest of the run.
pub fn spawn(work: impl Future<Output = ()> + 'static) {
    drop(tokio::task::spawn_local(work));
}
