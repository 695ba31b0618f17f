//! Runs many seeds or one seed with its trace, or explores the scenarios.

#![allow(clippy::print_stdout, reason = "the program prints its results")]

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};
use relay_simulation::coverage::Coverage;
use relay_simulation::explore::{self, Options};
use relay_simulation::run::{Report, run};

/// A fast allocator, because a run mostly makes small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Simulate ticket-relay under every fault that can occur.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    mode: Option<Mode>,
    /// Number of seeds.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// First seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Single seed to run; its full trace is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Number of threads [default: number of cores].
    #[arg(long)]
    threads: Option<usize>,
    /// Print how often each fault and event was exercised, and fail if one never was.
    #[arg(long)]
    coverage: bool,
    /// Stop at the first failing seed, and print only that.
    #[arg(long)]
    quiet: bool,
}

#[derive(Subcommand)]
enum Mode {
    /// Explore every interleaving of small scenarios.
    Explore(Explore),
}

#[derive(Args)]
struct Explore {
    /// Part of the names of the scenarios to explore [default: all scenarios].
    #[arg(long)]
    scenario: Option<String>,
    /// Maximum faults in one schedule.
    #[arg(long, default_value_t = 1)]
    faults: usize,
    /// Time limit in seconds [default: none].
    #[arg(long)]
    seconds: Option<u64>,
    /// Number of threads [default: number of cores].
    #[arg(long)]
    threads: Option<usize>,
    /// Print one schedule of every scenario: the first that fails, or else the first.
    #[arg(long)]
    verbose: bool,
    /// Stop at the first failure, and print only that.
    #[arg(long)]
    quiet: bool,
}

/// Maximum number of failing seeds; each is shown with its trace.
const SHOWN: usize = 3;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match (&arguments.mode, arguments.seed) {
        (Some(Mode::Explore(arguments)), _) => explore(arguments),
        (None, Some(seed)) => one(seed),
        (None, None) => many(&arguments),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn explore(arguments: &Explore) -> ExitCode {
    let begun = Instant::now();
    let outcomes = explore::explore(&Options {
        scenario: arguments.scenario.clone(),
        faults: arguments.faults,
        within: arguments.seconds.map(Duration::from_secs),
        threads: arguments.threads.unwrap_or_else(cores).max(1),
        verbose: arguments.verbose,
        stop_at_failure: arguments.quiet,
    });
    if arguments.quiet {
        let schedules: u64 = outcomes.iter().flat_map(|outcome| &outcome.schedules).sum();
        let failed = outcomes.iter().find(|outcome| outcome.failed > 0);
        match failed {
            Some(outcome) => println!("caught by scenario {} after {schedules} schedules", outcome.name),
            None => println!("no failure in {schedules} schedules"),
        }
        return if failed.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let faults: String = (0..=arguments.faults).map(|faults| format!(" {:>9}", format!("{faults} faults"))).collect();
    println!("{:<48}{faults} {:>8} {:>8} {:>9}", "scenario", "explored", "failed", "time");
    let mut failed = false;
    for outcome in &outcomes {
        println!("{}", outcome.line());
        for (kind, count) in &outcome.kinds {
            println!("    {count} x {kind}");
        }
        if arguments.verbose || outcome.failed > 0 {
            outcome.first.iter().for_each(|line| println!("    {line}"));
        }
        failed |= outcome.failed > 0;
    }
    let schedules: u64 = outcomes.iter().flat_map(|outcome| &outcome.schedules).sum();
    let cut_off = outcomes.iter().filter(|outcome| outcome.is_cut_off).count();
    let broken = outcomes.iter().filter(|outcome| outcome.failed > 0).count();
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{schedules} schedules of {} scenarios in {seconds:.0} s, {:.0} per second; \
         {cut_off} scenarios cut off, {broken} failed",
        outcomes.len(),
        schedules as f64 / seconds
    );
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn one(seed: u64) -> ExitCode {
    let report = run(seed, true);
    show(&report);
    let again = run(seed, false);

    let same = again.digest == report.digest;
    println!("seed {seed}: {} violations; same result when repeated: {same}", report.violations.len());
    if report.violations.is_empty() && same { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(report: &Report) {
    for line in &report.trace {
        println!("{line}");
    }
    for violation in &report.violations {
        println!("violation: {violation}");
    }
}

fn many(arguments: &Arguments) -> ExitCode {
    let threads =
        arguments.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    let next = AtomicU64::new(arguments.from);
    let end = arguments.from + arguments.seeds;
    let stop = AtomicBool::new(false);
    let failed: Mutex<Vec<u64>> = Mutex::default();
    let total: Mutex<Coverage> = Mutex::default();
    let begun = Instant::now();
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut coverage = Coverage::default();
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let report = std::panic::catch_unwind(|| run(seed, false));
                    // Some seeds run twice: a failure in a run that cannot be repeated cannot be investigated.
                    let repeated = seed.is_multiple_of(500)
                        && report.as_ref().is_ok_and(|report| run(seed, false).digest != report.digest);
                    let bad = repeated || report.as_ref().map_or(true, |report| !report.violations.is_empty());
                    if let Ok(report) = &report {
                        coverage.add(&report.coverage);
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                    if bad {
                        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        failed.push(seed);
                        if arguments.quiet || failed.len() >= SHOWN {
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                }
                total.lock().unwrap_or_else(PoisonError::into_inner).add(&coverage);
            });
        }
        if !arguments.quiet {
            scope.spawn(|| progress(&done, arguments.seeds, begun, &stop));
        }
    });
    let done = done.into_inner();
    let seconds = begun.elapsed().as_secs_f64();
    let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort_unstable();
    let total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    if arguments.quiet {
        match failed.first() {
            Some(seed) => println!("caught by seed {seed} after {done} seeds"),
            None => println!("no failure in {done} seeds"),
        }
        return if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    for seed in &failed {
        println!("\n--- seed {seed} failed; to repeat it: make simulate SEED={seed}");
        match std::panic::catch_unwind(|| run(*seed, true)) {
            Ok(report) => show(&report),
            Err(_) => println!("the run panicked"),
        }
    }
    if arguments.coverage {
        println!("{}", total.table());
    }
    let gaps = total.gaps();
    let rate = done as f64 / seconds;
    println!(
        "{done} seeds in {seconds:.0} s on {threads} threads: {rate:.0} per second, {} requests, \
         {} failed, {} coverage gaps",
        total.requests(),
        failed.len(),
        gaps.len()
    );
    if arguments.coverage && failed.is_empty() {
        for gap in &gaps {
            println!("never exercised: {gap}");
        }
        if !gaps.is_empty() {
            return ExitCode::FAILURE;
        }
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints the progress every ten seconds.
fn progress(done: &AtomicU64, of: u64, begun: Instant, stop: &AtomicBool) {
    let mut reported = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let count = done.load(Ordering::Relaxed);
        if count >= of || stop.load(Ordering::Relaxed) {
            return;
        }
        if reported.elapsed() >= Duration::from_secs(10) {
            reported = Instant::now();
            let rate = count as f64 / begun.elapsed().as_secs_f64();
            println!("{count} of {of} seeds, {rate:.0} per second");
        }
    }
}
