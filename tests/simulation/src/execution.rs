//! One execution of a scenario: plays it from its start, and follows the choices of the search.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::task::LocalSet;
use top_simulator::Simulator;

use crate::callers::Callers;
use crate::gate::{Footprint, TIME, hash_of};
use crate::judge::judge;
use crate::lambda::{Lambda, spawn};
use crate::queues;
use crate::run::{credentials, keep_database, rest, take_database, virtual_time};
use crate::scenarios::{Action, Scenario, Step};
use crate::search::Search;
use crate::story::audit_attention;
use crate::table::{self, sorted};
use crate::world::{Weather, World, lock};

/// How often other tasks run until a released request has certainly been performed.
const YIELDS: usize = 20;

/// The result of one execution.
pub struct Execution {
    /// A digest of the state in which the runs ended, and the problems at rest. `None` if the execution led to nothing
    /// new.
    pub verdict: Option<(u64, Vec<String>)>,
    pub trace: Vec<String>,
}

/// Runs a scenario from its start, following the choices of the search.
pub fn execute(
    scenario: &Scenario,
    search: &mut Search<'_>,
    traced: bool,
    known: &dyn Fn(u64) -> Option<Vec<String>>,
) -> Execution {
    let runtime = virtual_time(1);
    let local = LocalSet::new();
    let database = take_database();
    let (world, verdict) = local.block_on(&runtime, async {
        let world = World::new(1, database.clone(), Simulator::new(credentials()), traced);
        world.set_weather(Weather { distance: 0, ..Weather::CALM });
        world.faults_are_planned.store(!search.plan.is_empty(), Ordering::Relaxed);
        let lambda = Lambda::new(world.clone());
        let actors = Arc::new(Actors { callers: Callers::new(lambda.clone()), lambda });
        let verdict = play(scenario, &actors, search, known).await;
        actors.lambda.stop();
        (world, verdict)
    });
    drop(local);
    drop(runtime);
    keep_database(database);
    Execution { verdict, trace: world.take_trace().0 }
}

async fn play(
    scenario: &Scenario,
    actors: &Arc<Actors>,
    search: &mut Search<'_>,
    known: &dyn Fn(u64) -> Option<Vec<String>>,
) -> Option<(u64, Vec<String>)> {
    let world = &actors.lambda.world;
    for step in &scenario.setup {
        actors.step(step).await;
    }
    world.note(|| "--- the runs start together".to_owned());
    world.gate.close();
    let runs = scenario.together.iter().map(|action| actors.clone().start(action)).collect();
    let is_new = together(world, runs, search).await;
    let (late, later) = world.gate.open();
    if !is_new {
        return None;
    }
    world.note(|| "--- the runs have ended".to_owned());
    for far in late {
        far.arrive_late().await;
    }
    let state = state_of(actors, later.len());
    if let Some(problems) = known(state) {
        return Some((state, problems));
    }
    let arriving = world.clone();
    arriving.on_their_way.fetch_add(later.len(), Ordering::Relaxed);
    spawn(async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        for far in later {
            far.arrive_late().await;
            arriving.on_their_way.fetch_sub(1, Ordering::Relaxed);
        }
    });
    for step in &scenario.afterwards {
        actors.step(step).await;
    }
    for queue in queues::names() {
        spawn(actors.lambda.clone().poll(queue));
    }
    rest(world, &actors.lambda, || true).await;
    judge(world, &scenario.orders(), &lock(&actors.callers.knowledge), false);
    audit_attention(&actors.lambda).await;
    Some((state, world.violations()))
}

/// Hashes everything that the rest of a run depends on.
fn state_of(actors: &Actors, on_their_way: usize) -> u64 {
    let world = &actors.lambda.world;
    let mut items: Vec<_> = table::items(&world.database).iter().map(|item| sorted(item).to_string()).collect();
    items.sort_unstable();
    let facts = format!("{:?}", lock(&world.facts));
    let knowledge = format!("{:?}", lock(&actors.callers.knowledge));
    let ledger = format!("{:?}", lock(&world.top).ledger());
    let bans = format!("{:?}", lock(&world.bans));
    let violations = world.violations();
    hash_of((items, world.queues.summary(), facts, knowledge, ledger, bans, violations, on_their_way, world.now().0))
}

type Run = Pin<Box<dyn Future<Output = ()>>>;

/// Whether a run can make a step, and the task to wake when it can.
#[derive(Default)]
struct Flag {
    is_set: AtomicBool,
    outer: Mutex<Option<Waker>>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.is_set.store(true, Ordering::Relaxed);
        if let Some(outer) = &*lock(&self.outer) {
            outer.wake_by_ref();
        }
    }
}

/// Runs all runs to their ends, one request after the other. Returns `false` if the search already knows the end.
async fn together(world: &World, mut runs: Vec<Run>, search: &mut Search<'_>) -> bool {
    let flags: Vec<Arc<Flag>> = runs.iter().map(|_| Arc::default()).collect();
    flags.iter().for_each(|flag| flag.is_set.store(true, Ordering::Relaxed));
    let mut ended = vec![false; runs.len()];
    let mut step = 0;
    loop {
        let mut waited = false;
        // All runs make their steps in one poll, so the budget of a task must not limit them.
        let all_ended = tokio::task::unconstrained(poll_fn(|context| {
            if std::mem::take(&mut waited) {
                world.gate.time_passed();
            }
            for flag in &flags {
                *lock(&flag.outer) = Some(context.waker().clone());
            }
            while let Some(run) = flags.iter().position(|flag| flag.is_set.swap(false, Ordering::Relaxed)) {
                if ended[run] {
                    continue;
                }
                world.gate.runs(run);
                let waker = Waker::from(flags[run].clone());
                ended[run] = runs[run].as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
            }
            if ended.iter().all(|ended| *ended) {
                return Poll::Ready(world.gate.waiting(<[_]>::is_empty));
            }
            if world.gate.time_passes() || world.gate.waiting(<[_]>::is_empty) {
                waited = true;
                return Poll::Pending;
            }
            Poll::Ready(false)
        }))
        .await;
        // A separate task performs a request whose sender has died.
        for _ in 0..YIELDS {
            if step == 0 || world.gate.footprint() != Footprint::default() {
                break;
            }
            tokio::task::yield_now().await;
        }
        // The last released request has been performed by now.
        if step > 0 {
            search.nodes[step - 1].footprint = world.gate.footprint();
        }
        if all_ended {
            return true;
        }
        let Some(chosen) = search.choose(step, world) else { return false };
        let fault = search.fault_of(chosen);
        world.note(|| {
            let description = world.gate.waiting(|waiting| {
                let one = waiting.iter().find(|one| one.id == chosen);
                one.map(|one| format!("{} {}", one.operation, one.description)).unwrap_or_default()
            });
            let fault = fault.map(|fault| format!(" [{}]", fault.name())).unwrap_or_default();
            format!("=> run {}: {description}{fault}", chosen.run + 1)
        });
        assert!(world.gate.release(chosen, fault), "the chosen request does not wait at the gate");
        step += 1;
    }
}

/// Performs the actions of a scenario.
struct Actors {
    callers: Callers,
    lambda: Arc<Lambda>,
}

impl Actors {
    fn start(self: Arc<Self>, action: &Action) -> Run {
        // A run receives its first messages before any run makes a step.
        let action = action.clone();
        let messages = match &action {
            Action::Dispatch => self.receive("notifications"),
            Action::Send(queue) => self.receive(queue),
            _ => Vec::new(),
        };
        Box::pin(async move { self.act(&action, messages).await })
    }

    fn receive(&self, queue: &'static str) -> Vec<queues::Message> {
        let world = &self.lambda.world;
        world.queues.receive(world, queue, 1)
    }

    async fn step(self: &Arc<Self>, step: &Step) {
        let world = &self.lambda.world;
        match step {
            Step::Do(action) => self.clone().start(action).await,
            Step::Top(fault) => {
                let fault = serde_json::from_value(fault.clone()).expect("a fault of the simulator");
                lock(&world.top).add_faults(vec![fault]);
            }
            Step::Copy(queue) => world.queues.copy_all(world, queue),
            Step::Wait(seconds) => tokio::time::sleep(Duration::from_secs(*seconds)).await,
            Step::Deliver => {
                while let Some(queue) = queues::names()
                    .into_iter()
                    .find(|queue| world.queues.next_visible(queue).is_some_and(|at| at <= world.now()))
                {
                    let action = if queue == "notifications" { Action::Dispatch } else { Action::Send(queue) };
                    self.clone().start(&action).await;
                }
            }
        }
        // One step follows the other on everybody's clock.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    async fn act(self: &Arc<Self>, action: &Action, messages: Vec<queues::Message>) {
        let callers = &self.callers;
        match action {
            Action::Push { order, body } => {
                let acknowledged = matches!(callers.notify(order, body).await, Some((200, _)));
                callers.notified(order, body.clone(), acknowledged);
            }
            Action::Link { order, body } => callers.link(order, body, 1, async || {}).await,
            Action::Submit { call, pk, key, body } => {
                let header = (*call == "ticket-verify").then_some(*key);
                let acknowledged = matches!(callers.submit(call, header, body).await, Some((200 | 202, _)));
                callers.submitted(pk.clone(), key, acknowledged);
            }
            Action::Instruct(order, instruction) => drop(callers.instruct(order, *instruction).await),
            Action::Resolve { call, key, outcome } => drop(callers.resolve(call, key, outcome, None).await),
            Action::Wait(seconds) => {
                let gate = &self.lambda.world.gate;
                if let Some(decision) = gate.arrive(TIME, String::new, || format!("{seconds} s pass")) {
                    drop(decision.await);
                    gate.begin_passing_time();
                }
                tokio::time::sleep(Duration::from_secs(*seconds)).await;
                gate.end_passing_time();
            }
            Action::Sweep => drop(self.lambda.sweep().await),
            Action::Chain(actions) => {
                for action in actions {
                    self.clone().start(action).await;
                }
            }
            Action::Dispatch => self.handle("notifications", "dispatch", &messages).await,
            Action::Send(queue) => self.handle(queue, queue, &messages).await,
        }
    }

    async fn handle(&self, queue: &'static str, function: &'static str, messages: &[queues::Message]) {
        if !messages.is_empty() {
            self.lambda.handle(queue, function, messages).await;
        }
    }
}
