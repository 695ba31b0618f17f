//! The network between the functions and the services. The seed decides which fault each request meets.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};

use crate::gate::{self, GateFault};
use crate::request::{Request, broken, read, respond, subject};
use crate::services::Far;
use crate::world::{World, lock};

/// A fault of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The request is lost, and the connection breaks.
    Dropped,
    /// The request is performed, and the connection breaks before the answer.
    AnswerLost,
    /// The request arrives late, perhaps after its sender has given up.
    Late,
    /// The request is performed, and its answer comes late.
    AnswerLate,
    /// The service throttles the request. TOP answers with one of its own errors.
    Throttled,
    /// The service answers 500 and does not perform the request.
    ServerError,
    /// The service refuses some entries of the batch.
    Partial,
    /// The request is performed, and the function makes no more progress until its time-out.
    Stalled,
    /// The function is killed before it sends the request.
    KilledBefore,
    /// The function is killed after the request was performed.
    KilledAfter,
    /// The function is killed after it sent the request. It is performed minutes later, perhaps after a later run has
    /// ended.
    KilledAndLate,
}

impl Fault {
    /// All faults.
    pub const ALL: &[Self] = &[
        Self::Dropped,
        Self::AnswerLost,
        Self::Late,
        Self::AnswerLate,
        Self::Throttled,
        Self::ServerError,
        Self::Partial,
        Self::Stalled,
        Self::KilledBefore,
        Self::KilledAfter,
        Self::KilledAndLate,
    ];

    /// The name in tables and traces.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::AnswerLost => "ans.lost",
            Self::Late => "late",
            Self::AnswerLate => "ans.late",
            Self::Throttled => "throttled",
            Self::ServerError => "5xx",
            Self::Partial => "partial",
            Self::Stalled => "stalled",
            Self::KilledBefore => "killed<",
            Self::KilledAfter => "killed>",
            Self::KilledAndLate => "killed>>",
        }
    }

    /// The faults that a request of that operation can meet.
    pub fn of(operation: &str) -> impl Iterator<Item = Self> {
        let batch = operation.ends_with("Batch");
        Self::ALL.iter().copied().filter(move |fault| batch || *fault != Self::Partial)
    }
}

/// The connection of one function instance to the services.
#[derive(Debug, Default)]
pub struct Line {
    end: Mutex<Option<End>>,
    killed: AtomicBool,
    stalled: AtomicBool,
    ended: Notify,
    instance: AtomicU64,
}

/// The function at the near end of a line.
#[derive(Debug, Clone)]
struct End {
    world: Arc<World>,
    function: &'static str,
}

impl Line {
    /// Connects an instance of a function.
    pub fn connect(&self, world: &Arc<World>, function: &'static str, instance: u64) {
        *lock(&self.end) = Some(End { world: world.clone(), function });
        self.killed.store(false, Ordering::Relaxed);
        self.stalled.store(false, Ordering::Relaxed);
        self.instance.store(instance, Ordering::Relaxed);
    }

    /// Disconnects the instance and releases its world.
    pub fn disconnect(&self) {
        *lock(&self.end) = None;
    }

    /// Waits for the instance to be killed.
    pub async fn killed(&self) {
        self.until(&self.killed).await;
    }

    /// Waits for the instance to stall.
    pub async fn stalled(&self) {
        self.until(&self.stalled).await;
    }

    async fn until(&self, flag: &AtomicBool) {
        while !flag.load(Ordering::Relaxed) {
            self.ended.notified().await;
        }
    }

    fn end_by(&self, flag: &AtomicBool) {
        flag.store(true, Ordering::Relaxed);
        self.ended.notify_waiters();
    }

    fn end(&self) -> End {
        lock(&self.end).clone().expect("only a connected instance sends requests")
    }
}

/// The connector to all AWS services.
#[derive(Debug, Clone)]
pub struct Aws(pub Arc<Line>);

impl HttpClient for Aws {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Aws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        call(&self.0, read(&request))
    }
}

/// The connector to TOP.
#[derive(Debug, Clone)]
pub struct Top(pub Arc<Line>);

impl HttpConnector for Top {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        call(&self.0, read(&request))
    }
}

fn draw_fault(world: &World, function: &'static str, name: &'static str) -> Option<Fault> {
    let weather = world.weather();
    let worse = if weather.worst == Some(function) { 4.0 } else { 1.0 };
    if world.is_delayed(worse / 8.0) {
        return Some(Fault::KilledAndLate);
    }
    if !world.happens((weather.request * worse).min(0.6)) {
        return None;
    }
    let possible: Vec<_> = Fault::of(name).filter(|fault| *fault != Fault::KilledAndLate).collect();
    Some(possible[world.draw(|chance| chance.usize(..possible.len()))])
}

/// Draws a delay: mostly shorter than a client waits, sometimes longer, and occasionally longer than the sender's
/// lease.
fn lateness(world: &World) -> Duration {
    if world.happens(0.05) {
        world.between(25_000, 90_000)
    } else if world.happens(0.4) {
        world.between(2_000, 25_000)
    } else {
        world.between(20, 1_900)
    }
}

fn call(line: &Arc<Line>, request: Request) -> HttpConnectorFuture {
    let End { world, function } = line.end();
    let instance = line.instance.load(Ordering::Relaxed);
    let fault = draw_fault(&world, function, request.name);
    lock(&world.coverage).request(function, request.name, fault);
    world.mark(function);
    world.mark(request.name);
    world.mark(fault.map(Fault::name).unwrap_or_default());
    world.note(|| {
        let fault = fault.map(|fault| format!(" [{}]", fault.name())).unwrap_or_default();
        format!("{function}#{instance} -> {}{fault} {}", request.name, subject(&request))
    });
    // A secret's value never changes, so nothing depends on the time of reading it.
    let at_gate = match request.service {
        "secretsmanager" => None,
        _ => world.gate.arrive(request.name, || gate_subject(&request), || subject(&request)),
    };
    let sending = at_gate.is_none().then(|| Sending::of(&world, instance, &request));
    let far = Far { world: world.clone(), request };
    let line = line.clone();
    HttpConnectorFuture::new(async move {
        let (world, name) = (far.world.clone(), far.request.name);
        let (sending, answer) = match (at_gate, sending) {
            (Some(decision), _) => {
                let mut at_gate = AtGate(Some((decision, far)));
                let (decision, far) = at_gate.decided().await.ok_or_else(broken)?;
                let sending = Sending::of(&world, instance, &far.request);
                if decision.is_some() {
                    lock(&world.bans).excuse(instance);
                }
                (sending, meet_at_gate(decision, far, &line).await)
            }
            (None, sending) => {
                if fault.is_some() {
                    lock(&world.bans).excuse(instance);
                }
                (sending.flatten(), meet(fault, far, &line).await)
            }
        };
        if let Ok(answer) = &answer {
            world.mark(answer.status().as_u16().to_string().as_str());
            if let Some(sending) = sending {
                lock(&world.bans).answered(instance, name, answer, world.now());
                drop(sending);
            }
        }
        answer
    })
}

/// A request that waits at the gate. A write that was sent is performed eventually, even if its sender dies first.
struct AtGate(Option<(oneshot::Receiver<Option<GateFault>>, Far)>);

impl AtGate {
    async fn decided(&mut self) -> Option<(Option<GateFault>, Far)> {
        let decision = match &mut self.0 {
            Some((decision, _)) => decision.await,
            None => return None,
        };
        let (_, far) = self.0.take()?;
        Some((decision.ok()?, far))
    }
}

impl Drop for AtGate {
    fn drop(&mut self) {
        let Some((decision, far)) = self.0.take() else { return };
        let is_read = GateFault::of(far.request.name) == [GateFault::NotPerformed];
        if is_read || !far.world.gate.is_closed() {
            return;
        }
        tokio::task::spawn(async move {
            if let Ok(decision) = decision.await {
                far.world.note(|| format!("late: {} {}", far.request.name, subject(&far.request)));
                // Nobody waits for the answer, so no other fault makes a difference.
                if decision != Some(GateFault::NotPerformed) {
                    let _ = far.perform_at_gate().await;
                }
                return;
            }
            far.world.on_their_way.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(60)).await;
            let world = far.world.clone();
            far.arrive_late().await;
            world.on_their_way.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Returns the subject of a request. It is the same in every interleaving.
fn gate_subject(request: &Request) -> String {
    match request.service {
        "dynamodb" => gate::subject_of_dynamodb(&serde_json::from_slice(&request.body).unwrap_or_default()),
        "sqs" => {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let entries = body["Entries"].as_array().into_iter().flatten();
            let bodies: Vec<_> = entries.map(|entry| entry["MessageBody"].to_string()).collect();
            format!("{} {} {bodies:?}", body["QueueUrl"], body["MessageBody"])
        }
        _ => String::new(),
    }
}

/// Performs a request that the scheduler released, or applies its fault.
async fn meet_at_gate(fault: Option<GateFault>, far: Far, line: &Line) -> Result<HttpResponse, ConnectorError> {
    let world = far.world.clone();
    if let Some(fault) = fault {
        world.note(|| format!("  fault: {}", fault.name()));
    }
    match fault {
        None => far.perform_at_gate().await,
        Some(GateFault::NotPerformed) => Ok(match far.request.service {
            "dynamodb" => respond(400, r#"{"__type":"com.amazonaws.dynamodb.v20120810#AccessDeniedException"}"#),
            "sqs" => respond(403, r#"{"__type":"com.amazonaws.sqs#AccessDenied"}"#),
            _ => return Err(broken()),
        }),
        Some(GateFault::AnswerLost) => {
            let _ = far.perform_at_gate().await;
            Err(broken())
        }
        Some(GateFault::Late) => {
            world.gate.keep_late(far, false);
            Err(broken())
        }
        Some(GateFault::Killed) => {
            let _ = far.perform_at_gate().await;
            line.end_by(&line.killed);
            std::future::pending().await
        }
        Some(GateFault::KilledAndLate) => {
            world.gate.keep_late(far, true);
            line.end_by(&line.killed);
            std::future::pending().await
        }
    }
}

/// Performs a request, or applies its fault.
async fn meet(fault: Option<Fault>, far: Far, line: &Line) -> Result<HttpResponse, ConnectorError> {
    match fault {
        None => {
            let distance = far.world.weather().distance;
            tokio::time::sleep(far.world.between(0, distance)).await;
            let answer = far.perform().await;
            tokio::time::sleep(far.world.between(0, distance)).await;
            answer
        }
        Some(Fault::Dropped) => Err(broken()),
        Some(Fault::AnswerLost) => {
            far.perform_whatever().await;
            Err(broken())
        }
        Some(Fault::Late) => {
            let late = lateness(&far.world);
            // A task of its own, because the request arrives even if its sender stops waiting or dies.
            let (tell, told) = oneshot::channel();
            tokio::task::spawn(async move {
                tokio::time::sleep(late).await;
                if tell.is_closed() {
                    far.world.saw("a request arrived after its sender had given up");
                    far.world.note(|| format!("late: {} {}", far.request.name, subject(&far.request)));
                }
                let _ = tell.send(far.perform().await);
            });
            told.await.unwrap_or_else(|_| Err(broken()))
        }
        Some(Fault::KilledAndLate) => {
            // TOP's gateway drops a cut-off request sooner. A write of the SDK can be in flight for longer.
            let most = if far.request.service == "top" { 110_000 } else { 240_000 };
            let late = far.world.delay(60_000, most);
            let world = far.world.clone();
            world.saw("a request arrived minutes after its sender had died");
            world.on_their_way.fetch_add(1, Ordering::Relaxed);
            tokio::task::spawn(async move {
                tokio::time::sleep(late).await;
                far.arrive_late().await;
                world.on_their_way.fetch_sub(1, Ordering::Relaxed);
            });
            line.end_by(&line.killed);
            std::future::pending().await
        }
        Some(Fault::AnswerLate) => {
            let late = lateness(&far.world);
            let answer = far.perform().await;
            tokio::time::sleep(late).await;
            answer
        }
        Some(Fault::Throttled) => far.throttle().await,
        Some(Fault::ServerError) => Ok(respond(500, r#"{"__type":"InternalServerError"}"#)),
        Some(Fault::Partial) => Ok(far.perform_partly()),
        Some(Fault::Stalled) => {
            far.perform_whatever().await;
            line.end_by(&line.stalled);
            std::future::pending().await
        }
        Some(Fault::KilledBefore) => {
            line.end_by(&line.killed);
            std::future::pending().await
        }
        Some(Fault::KilledAfter) => {
            far.perform_whatever().await;
            line.end_by(&line.killed);
            std::future::pending().await
        }
    }
}

/// A request to TOP in flight. Two living senders must never send the same call at the same time.
struct Sending {
    world: Arc<World>,
    what: String,
}

impl Sending {
    fn of(world: &Arc<World>, instance: u64, request: &Request) -> Option<Self> {
        (request.service == "top").then(|| Self::begin(world, instance, request))
    }

    fn begin(world: &Arc<World>, instance: u64, request: &Request) -> Self {
        let what: Vec<_> = form_urlencoded::parse(&request.body)
            .filter(|(name, _)| !["timestamp", "sign"].contains(&&**name))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let what = what.join("&");
        let at_once = {
            let mut sending = lock(&world.sending);
            let count = sending.entry(what.clone()).or_default();
            *count += 1;
            *count
        };
        if at_once > 1 {
            world.violated(format!("{} was in flight {at_once} times at once", request.name));
        }
        let problem = lock(&world.bans).sent(instance, request.name, world.now());
        if let Some(problem) = problem {
            world.violated(problem);
        }
        Self { world: world.clone(), what }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let mut sending = lock(&self.world.sending);
        if let Some(count) = sending.get_mut(&self.what) {
            *count -= 1;
        }
    }
}
