//! `make bench`: benchmarks the release build of the functions against the usual tools and against the least possible
//! work.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a command-line program, which may panic if its own services fail"
)]

mod charts;
mod contender;
mod cost;
mod measure;
mod process;
mod report;
mod runtime_api;
mod services;
mod tables;
mod throughput;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use contender::{Contender, Environment};
use measure::{Amount, Measuring};
use report::{Report, Row};
use services::Services;
use workload::Workload;

/// Benchmark the functions.
#[derive(Debug, Parser)]
struct Arguments {
    /// Project folder.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Number of cold starts of each contender.
    #[arg(long, default_value_t = 20)]
    cold: usize,
    /// Number of warm events of each contender.
    #[arg(long, default_value_t = 5000)]
    warm: usize,
    /// Number of batches of ten calls, and of one call.
    #[arg(long, default_value_t = 20)]
    batches: usize,
    /// Number of notifications in the throughput run.
    #[arg(long, default_value_t = 10_000)]
    throughput: usize,
    /// Substring of the names of the contenders to measure; all if empty.
    #[arg(long, default_value = "")]
    only: String,
    /// Save bench/results.json, the charts and the README's tables.
    #[arg(long)]
    save: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let measured = tokio::task::LocalSet::new().block_on(&runtime, run(&arguments));
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            println!("bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), String> {
    let root = arguments.root.canonicalize().map_err(|error| format!("{}: {error}", arguments.root.display()))?;
    let workload = Workload::new().await;
    let services = Services::start(workload.relay.cloud.clone()).await.map_err(|error| error.to_string())?;
    let environment = Environment { services: services.address, path: std::env::var("PATH").unwrap_or_default() };
    let mut contenders = Contender::all(&root);
    contenders.retain(|contender| contender.name().contains(&arguments.only));
    let logs = root.join("target/bench/logs");
    let measuring = Measuring { workload: &workload, services: &services, environment: &environment, logs: &logs };
    let amount = Amount { cold: arguments.cold, warm: arguments.warm, batches: arguments.batches };
    let measured = measuring.run(&contenders, amount).await?;
    let resend = measuring.resend(&contenders).await?;
    let rows = contenders.iter().zip(&measured).map(|(contender, measured)| Row::of(contender, measured)).collect();
    println!("throughput: {} notifications", arguments.throughput);
    let throughput = throughput::run(arguments.throughput)?;
    let report = Report::new(&root, amount, rows, resend, throughput)?;
    println!("{}", tables::for_terminal(&report));
    if arguments.save {
        report.save(&root.join("bench/results.json"))?;
        tables::into_readme(&report, &root.join("README.md"))?;
        charts::draw(&root.join("bench/charts"), &report.contenders)?;
    }
    Ok(())
}
