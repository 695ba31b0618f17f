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
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::execution::execute;
use crate::gate::{EventId, GateFault};
use crate::scenarios::{self, Scenario};
use crate::search::Search;
use crate::world::lock;

/// The maximum number of schedules of one fault plan.
const MOST_SCHEDULES: u64 = 100_000;

/// A fault plan: which requests meet which fault, in the order of the requests' names.
pub type Plan = Vec<(EventId, GateFault)>;

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
