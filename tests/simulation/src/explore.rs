//! Explores every interleaving of small scenarios on the real code.
//!
//! A scenario prepares an order, then starts two or three runs of functions together. Each of their requests stops at
//! the gate. When no run can make a step, the explorer chooses the request to perform next. It enumerates the choices
//! depth first, and runs the scenario from its start for each schedule. After the runs have ended, the rest of the
//! world comes to rest, and the judge decides.
//!
//! # Which interleavings are skipped, and why this hides nothing
//! Two requests commute if they conflict in no resource (see `gate`). In either order, both get the same answers and
//! leave the same state. Schedules that differ only in the order of such requests end the same, so one of them is
//! enough. The explorer uses source sets and sleep sets (Abdulla, Aronis, Jonsson, Sagonas, "Optimal dynamic partial
//! order reduction", 2014). Wherever two conflicting requests of a schedule could be reversed, the explorer tries the
//! reversal. A request whose alternatives were all explored sleeps until something conflicts with it. A footprint is
//! what a request really read and changed, observed when it is performed. A sleeping request keeps the footprint of the
//! state in which it fell asleep. The footprint still holds, because nothing that conflicts with it came in between.
//!
//! Two choices keep this simple. A request comes after every request of its run that was performed before it was sent.
//! Virtual time passes only while nothing waits at the gate, so everything after a pause comes after everything
//! performed before it. Pauses between the SDK's retries take no time, so retries interleave with the other runs.
//!
//! # Faults
//! A fault plan says which requests meet which fault. A plan is fixed while its schedules are enumerated. A request
//! therefore does the same wherever it is performed, and the reduction stays sound. The requests that the schedules of
//! a plan performed lead to the plans with one more fault.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};
use std::fmt::Write as _;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tokio::task::LocalSet;
use top_simulator::Simulator;

use crate::callers::Callers;
use crate::gate::{EventId, Footprint, GateFault, TIME, hash_of};
use crate::judge::judge;
use crate::lambda::{Lambda, spawn};
use crate::queues;
use crate::run::{credentials, keep_database, rest, take_database};
use crate::scenarios::{self, Action, Scenario, Step};
use crate::story::audit_attention;
use crate::table::{self, sorted};
use crate::world::{Weather, World, lock};

/// The maximum number of schedules of one fault plan.
const MOST_SCHEDULES: u64 = 100_000;

/// How often other tasks run until a released request has certainly been performed.
const YIELDS: usize = 20;

/// A fault plan: which requests meet which fault, in the order of the requests' names.
type Plan = Vec<(EventId, GateFault)>;

/// The options of an exploration.
#[derive(Debug, Clone)]
pub struct Options {
    /// Part of the names of the scenarios to explore. `None`: all scenarios.
    pub scenario: Option<String>,
    /// Maximum faults in one schedule.
    pub faults: usize,
    /// Time limit.
    pub within: Option<Duration>,
    /// Number of schedules that run at the same time.
    pub threads: usize,
    /// For a scenario that does not fail, also return the steps of its first schedule.
    pub verbose: bool,
    /// Stop at the first schedule that fails.
    pub stop_at_failure: bool,
}

/// The result of exploring one scenario.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Its name.
    pub name: &'static str,
    /// The number of schedules, by the number of faults in them.
    pub schedules: Vec<u64>,
    /// Whether a limit of time or schedules left some schedules unexplored.
    pub is_cut_off: bool,
    /// The number of failed schedules.
    pub failed: u64,
    /// How often each kind of failure occurred.
    pub kinds: BTreeMap<String, u64>,
    /// The first failing schedule with the fewest faults: its steps, then its problems.
    pub first: Vec<String>,
    /// CPU time spent.
    pub spent: Duration,
}

impl Outcome {
    /// Formats one line of the result table.
    pub fn line(&self) -> String {
        let mut line = format!("{:<48}", self.name);
        for schedules in &self.schedules {
            let _ = write!(line, " {schedules:>9}");
        }
        let cut = if self.is_cut_off { "cut off" } else { "all" };
        let _ = write!(line, " {cut:>8} {:>8} {:>7.1} s", self.failed, self.spent.as_secs_f64());
        line
    }
}

struct FirstFailure {
    plan: Plan,
    choices: Vec<EventId>,
    problems: Vec<String>,
}

#[derive(Default)]
struct Progress {
    outcome: Outcome,
    first: Option<FirstFailure>,
    /// Verdicts by the state in which the runs ended. The rest of a run depends on nothing else.
    verdicts: HashMap<u64, Vec<String>>,
    plans: HashSet<Plan>,
}

/// A plan to explore. The plan whose scenario has had the fewest schedules comes first. A scenario with many schedules
/// therefore does not hold up the others when time is limited.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Job {
    schedules_before: u64,
    faults: usize,
    scenario: usize,
    plan: Plan,
}

struct Shared<'a> {
    options: &'a Options,
    scenarios: &'a [Scenario],
    progress: Vec<Mutex<Progress>>,
    jobs: Mutex<(BinaryHeap<std::cmp::Reverse<Job>>, usize)>,
    end: Option<Instant>,
    stop: AtomicBool,
    reported: Mutex<Instant>,
}

impl Shared<'_> {
    /// Prints the progress every ten seconds.
    fn report(&self) {
        let reported = &mut *lock(&self.reported);
        if self.options.stop_at_failure || reported.elapsed() < Duration::from_secs(10) {
            return;
        }
        *reported = Instant::now();
        let open: BTreeSet<_> = lock(&self.jobs).0.iter().map(|job| job.0.scenario).collect();
        let schedules = |progress: &Mutex<Progress>| lock(progress).outcome.schedules.iter().sum::<u64>();
        let schedules: u64 = self.progress.iter().map(schedules).sum();
        eprintln!(
            "{schedules} schedules; {} of {} scenarios explored",
            self.scenarios.len() - open.len(),
            self.scenarios.len()
        );
    }

    fn is_time_up(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.end.is_some_and(|end| Instant::now() >= end)
    }
}

/// Explores the scenarios.
pub fn explore(options: &Options) -> Vec<Outcome> {
    let wanted = |scenario: &Scenario| options.scenario.as_ref().is_none_or(|name| scenario.name.contains(name));
    let scenarios: Vec<_> = scenarios::all().into_iter().filter(wanted).collect();
    let mut jobs = BinaryHeap::new();
    let mut progress = Vec::new();
    for (scenario, described) in scenarios.iter().enumerate() {
        jobs.push(std::cmp::Reverse(Job { schedules_before: 0, faults: 0, scenario, plan: Vec::new() }));
        let schedules = vec![0; options.faults + 1];
        let outcome = Outcome { name: described.name, schedules, ..Outcome::default() };
        progress.push(Mutex::new(Progress { outcome, ..Progress::default() }));
    }
    let end = options.within.map(|within| Instant::now() + within);
    let shared = Shared {
        options,
        scenarios: &scenarios,
        progress,
        jobs: Mutex::new((jobs, 0)),
        end,
        stop: AtomicBool::new(false),
        reported: Mutex::new(Instant::now()),
    };
    std::thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(|| work(&shared));
        }
    });
    let finish = |(index, progress): (usize, &Mutex<Progress>)| {
        let progress = &mut *lock(progress);
        let any = FirstFailure { plan: Vec::new(), choices: Vec::new(), problems: Vec::new() };
        if let Some(first) = progress.first.as_ref().or(options.verbose.then_some(&any)) {
            progress.outcome.first = tell(&scenarios[index], first);
        }
        progress.outcome.clone()
    };
    shared.progress.iter().enumerate().map(finish).collect()
}

fn work(shared: &Shared<'_>) {
    loop {
        let job = {
            let (jobs, busy) = &mut *lock(&shared.jobs);
            let job = jobs.pop();
            if job.is_none() && *busy == 0 {
                return;
            }
            *busy += usize::from(job.is_some());
            job
        };
        let Some(std::cmp::Reverse(job)) = job else {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        if shared.is_time_up() {
            lock(&shared.progress[job.scenario]).outcome.is_cut_off = true;
        } else {
            let begun = Instant::now();
            explore_plan(shared, &job);
            lock(&shared.progress[job.scenario]).outcome.spent += begun.elapsed();
            shared.report();
        }
        lock(&shared.jobs).1 -= 1;
    }
}

/// Enumerates the schedules of one plan, and queues the plans with one more fault.
fn explore_plan(shared: &Shared<'_>, job: &Job) {
    let scenario = &shared.scenarios[job.scenario];
    let progress = &shared.progress[job.scenario];
    let mut search = Search::new(&job.plan);
    let mut requests: BTreeMap<EventId, &'static str> = BTreeMap::new();
    let mut schedules = 0;
    loop {
        if shared.is_time_up() || schedules >= MOST_SCHEDULES {
            lock(progress).outcome.is_cut_off = true;
            break;
        }
        let known = |state: u64| lock(progress).verdicts.get(&state).cloned();
        let execution = execute(scenario, &mut search, false, &known);
        requests.extend(search.nodes.iter().map(|node| (node.chosen, node.operation)));
        search.plan_reversals();
        if let Some((state, problems)) = execution.verdict {
            schedules += 1;
            let progress = &mut *lock(progress);
            progress.outcome.schedules[job.faults] += 1;
            if !problems.is_empty() {
                progress.outcome.failed += 1;
                shared.stop.fetch_or(shared.options.stop_at_failure, Ordering::Relaxed);
                let kinds: BTreeSet<_> = problems.iter().map(|problem| kind_of(problem)).collect();
                kinds.into_iter().for_each(|kind| *progress.outcome.kinds.entry(kind).or_default() += 1);
                if progress.first.as_ref().is_none_or(|first| first.plan.len() > job.faults) {
                    let choices = search.nodes.iter().map(|node| node.chosen).collect();
                    let plan = job.plan.clone();
                    progress.first = Some(FirstFailure { plan, choices, problems: problems.clone() });
                }
            }
            progress.verdicts.insert(state, problems);
        }
        if !search.go_back() {
            break;
        }
    }
    if job.faults == shared.options.faults {
        return;
    }
    let mut schedules_before = job.schedules_before;
    for (id, operation) in requests {
        if job.plan.iter().any(|(planned, _)| *planned == id) {
            continue;
        }
        for fault in GateFault::of(operation) {
            let mut plan = job.plan.clone();
            plan.push((id, *fault));
            plan.sort_unstable();
            if lock(progress).plans.insert(plan.clone()) {
                let faults = job.faults + 1;
                // With one more fault, a plan has about as many schedules as without.
                schedules_before += schedules;
                let next = Job { schedules_before, faults, scenario: job.scenario, plan };
                lock(&shared.jobs).0.push(std::cmp::Reverse(next));
            }
        }
    }
}

/// Returns the kind of a failure: the part of the message before the details.
fn kind_of(problem: &str) -> String {
    problem.split(':').next().unwrap_or_default().to_owned()
}

/// Returns the steps of a schedule, and the problems at its end.
fn tell(scenario: &Scenario, first: &FirstFailure) -> Vec<String> {
    let mut search = Search::new(&first.plan);
    search.replay.clone_from(&first.choices);
    let execution = execute(scenario, &mut search, true, &|_| None);
    let again = execution.verdict.map(|(_, problems)| problems);
    let mut lines = execution.trace;
    if again.as_ref() != Some(&first.problems) {
        lines.push(format!("a second execution ended differently: {again:?}"));
    }
    lines.extend(first.problems.iter().map(|problem| format!("FAILED {problem}")));
    lines
}

/// A step of the schedule that is being explored.
struct Node {
    chosen: EventId,
    operation: &'static str,
    came_after: usize,
    /// The number of requests performed when time last passed before this one was sent.
    paused_after: usize,
    footprint: Footprint,
    waiting: Vec<EventId>,
    asleep: Vec<(EventId, Footprint)>,
    done: Vec<(EventId, Footprint)>,
    alternatives: BTreeSet<EventId>,
}

/// The depth-first search through the schedules of one plan.
struct Search<'a> {
    plan: &'a Plan,
    nodes: Vec<Node>,
    /// How many of the nodes are the same as in the previous execution.
    unchanged: usize,
    /// A schedule to repeat instead of searching.
    replay: Vec<EventId>,
    /// Whether to explore every order of requests, even where it cannot matter.
    unreduced: bool,
}

impl<'a> Search<'a> {
    const fn new(plan: &'a Plan) -> Self {
        Self { plan, nodes: Vec::new(), unchanged: 0, replay: Vec::new(), unreduced: false }
    }

    fn conflict(&self, one: &Footprint, other: &Footprint) -> bool {
        self.unreduced || one.conflicts(other)
    }

    fn fault_of(&self, id: EventId) -> Option<GateFault> {
        self.plan.iter().find(|(planned, _)| *planned == id).map(|(_, fault)| *fault)
    }

    /// Chooses the request to perform at this step. Returns `None` if every waiting one leads to explored schedules.
    fn choose(&mut self, step: usize, world: &World) -> Option<EventId> {
        type Described = (EventId, &'static str, usize, usize);
        let waiting: Vec<Described> = world.gate.waiting(|waiting| {
            waiting.iter().map(|one| (one.id, one.operation, one.came_after, one.paused_after)).collect()
        });
        if let Some(node) = self.nodes.get_mut(step) {
            let found = waiting.iter().find(|(id, ..)| *id == node.chosen);
            let (id, operation, came_after, paused_after) = *found.expect("the same choices lead to the same requests");
            (node.operation, node.came_after, node.paused_after) = (operation, came_after, paused_after);
            return Some(id);
        }
        let before = step.checked_sub(1).map(|before| &self.nodes[before]);
        let asleep: Vec<_> = before.map_or_else(Vec::new, |before| {
            let others = before.asleep.iter().chain(&before.done);
            others.filter(|(_, footprint)| !self.conflict(footprint, &before.footprint)).cloned().collect()
        });
        let awake = || waiting.iter().filter(|(id, ..)| !asleep.iter().any(|(sleeping, _)| sleeping == id));
        let same_run = before.and_then(|before| awake().find(|(id, ..)| id.run == before.chosen.run));
        let repeated = self.replay.get(step).and_then(|repeated| waiting.iter().find(|(id, ..)| id == repeated));
        let (chosen, operation, came_after, paused_after) =
            *repeated.or_else(|| same_run.or_else(|| awake().next()))?;
        self.nodes.push(Node {
            chosen,
            operation,
            came_after,
            paused_after,
            footprint: Footprint::default(),
            waiting: waiting.iter().map(|(id, ..)| *id).collect(),
            asleep,
            done: Vec::new(),
            alternatives: BTreeSet::from([chosen]),
        });
        Some(chosen)
    }

    /// Whether request `earlier` was performed before `later` was sent and may have caused it.
    fn leads_to(&self, earlier: usize, later: usize) -> bool {
        let (first, second) = (&self.nodes[earlier], &self.nodes[later]);
        earlier < second.paused_after || (first.chosen.run == second.chosen.run && earlier < second.came_after)
    }

    /// Finds conflicting requests that could be performed in reverse order, and adds the reversals as alternatives.
    fn plan_reversals(&mut self) {
        let count = self.nodes.len();
        assert!(count <= 128, "a schedule has {count} requests; the limit is 128");
        // For each request, the requests that happen before it.
        let mut before = vec![0_u128; count];
        let mut reversals: Vec<(usize, Vec<EventId>)> = Vec::new();
        for later in 0..count {
            let direct: Vec<usize> = (0..later)
                .filter(|earlier| {
                    self.leads_to(*earlier, later)
                        || self.conflict(&self.nodes[*earlier].footprint, &self.nodes[later].footprint)
                })
                .collect();
            before[later] = direct.iter().fold(0, |all, earlier| all | before[*earlier] | (1 << earlier));
            if later + 1 < self.unchanged {
                continue;
            }
            for earlier in direct.iter().copied().filter(|earlier| !self.leads_to(*earlier, later)) {
                let between = direct.iter().filter(|other| **other != earlier);
                if between.into_iter().any(|other| before[*other] & (1 << earlier) != 0) {
                    continue;
                }
                // The requests up to the later one that do not depend on the earlier one. The first of them can begin a
                // schedule that reverses the two.
                let independent: Vec<usize> =
                    (earlier + 1..=later).filter(|one| *one == later || before[*one] & (1 << earlier) == 0).collect();
                let firsts = independent
                    .iter()
                    .filter(|one| !independent.iter().any(|other| before[**one] & (1 << *other) != 0))
                    .map(|one| self.nodes[*one].chosen);
                reversals.push((earlier, firsts.collect()));
            }
        }
        for (earlier, firsts) in reversals {
            let node = &mut self.nodes[earlier];
            if firsts.iter().any(|first| node.alternatives.contains(first)) {
                continue;
            }
            match firsts.iter().find(|first| node.waiting.contains(first)) {
                Some(first) => {
                    node.alternatives.insert(*first);
                }
                // None of them was sent yet: every waiting request may lead to one.
                None => node.alternatives.extend(node.waiting.iter().copied()),
            }
        }
    }

    /// Goes back to the last step that has an alternative left. Returns `false` if there is none.
    fn go_back(&mut self) -> bool {
        while let Some(node) = self.nodes.last_mut() {
            let footprint = std::mem::take(&mut node.footprint);
            node.done.push((node.chosen, footprint));
            let explored = |id: &EventId| node.done.iter().chain(&node.asleep).any(|(other, _)| other == id);
            if let Some(next) = node.alternatives.iter().copied().find(|id| !explored(id)) {
                node.chosen = next;
                self.unchanged = self.nodes.len();
                return true;
            }
            self.nodes.pop();
        }
        false
    }
}

/// The result of one execution.
struct Execution {
    /// A digest of the state in which the runs ended, and the problems at rest. `None` if the execution led to nothing
    /// new.
    verdict: Option<(u64, Vec<String>)>,
    trace: Vec<String>,
}

/// Runs a scenario from its start, following the choices of the search.
fn execute(
    scenario: &Scenario,
    search: &mut Search<'_>,
    traced: bool,
    known: &dyn Fn(u64) -> Option<Vec<String>>,
) -> Execution {
    fastrand::seed(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("the runtime starts");
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
    for queue in queues::NAMES {
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
                while let Some(queue) = queues::NAMES
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
            Action::Say(order, word) => drop(callers.say(order, *word).await),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns all states in which the runs of a scenario end, how many schedules led there, and their requests.
    fn ends(name: &str, plan: &Plan, unreduced: bool) -> (BTreeSet<u64>, usize, BTreeMap<EventId, &'static str>) {
        let scenario = scenarios::all().into_iter().find(|scenario| scenario.name == name).unwrap();
        let mut search = Search { unreduced, ..Search::new(plan) };
        let (mut states, mut schedules, mut requests) = (BTreeSet::new(), 0, BTreeMap::new());
        loop {
            // The steps after the runs do not matter here.
            let execution = execute(&scenario, &mut search, false, &|_| Some(Vec::new()));
            requests.extend(search.nodes.iter().map(|node| (node.chosen, node.operation)));
            search.plan_reversals();
            if let Some((state, _)) = execution.verdict {
                states.insert(state);
                schedules += 1;
            }
            if !search.go_back() {
                return (states, schedules, requests);
            }
        }
    }

    #[test]
    fn reduced_search_reaches_every_end_state() {
        let names = ["two-pushes", "booked-and-cancelled", "two-senders"];
        for name in names {
            let none = Vec::new();
            let (reduced, few, _) = ends(name, &none, false);
            let (all, many, requests) = ends(name, &none, true);
            assert_eq!(reduced, all, "{name}");
            assert!(few < many, "{name}: the reduction skips nothing: {few} of {many} schedules");
            // Repeat it with a fault at each request of one run.
            for id in requests.keys().filter(|id| name == "two-senders" && id.run == 0) {
                let plan = vec![(*id, GateFault::AnswerLost)];
                assert_eq!(ends(name, &plan, false).0, ends(name, &plan, true).0, "{name} with a lost answer");
            }
        }
    }
}
