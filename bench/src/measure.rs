//! Measures the contenders in turns, so noise of the machine affects all of them equally.

use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::contender::{Contender, Environment, Function, Kind};
use crate::process::Process;
use crate::services::{Requests, Services};
use crate::workload::{TOP_DELAY, Workload, check};

/// Events that a contender handles in one turn.
const TURN: usize = 100;
/// Events of each contender before counting starts, because just-in-time compilers need a warm-up.
const WARM_UP: usize = 200;

/// The measurements of one contender.
#[derive(Debug, Default, Clone)]
pub struct Measured {
    /// Time from process start to the first request for an event.
    pub init: Vec<Duration>,
    /// Time from the first event to its answer.
    pub first: Vec<Duration>,
    /// Time from each later event to its answer.
    pub warm: Vec<Duration>,
    /// Processor time of all later events.
    pub cpu: Duration,
    /// Peak resident memory in bytes.
    pub peak_memory: u64,
    /// Requests that the later events made.
    pub requests: Requests,
    /// Time from an event with one record to its answer, if TOP takes 50 ms.
    pub batch_of_one: Vec<Duration>,
    /// Time from an event with ten records to its answer, if TOP takes 50 ms.
    pub batch_of_ten: Vec<Duration>,
    /// Size of the zipped artifact in bytes.
    pub zipped: u64,
}

/// The number of measurements.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Amount {
    /// Cold starts of each contender.
    pub cold: usize,
    /// Warm events of each contender.
    pub warm: usize,
    /// Batches of each contender.
    pub batches: usize,
}

/// The inputs of a measurement.
pub struct Measuring<'a> {
    /// The source of events, and the contents of the services.
    pub workload: &'a Workload,
    /// The services that the functions call.
    pub services: &'a Services,
    /// The functions' environment.
    pub environment: &'a Environment,
    /// The folder for the functions' logs.
    pub logs: &'a Path,
}

fn progress(what: &'static str, steps: usize) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64).with_message(what);
    let style = ProgressStyle::with_template("{msg:>12} [{bar:40}] {pos}/{len} {elapsed}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

impl Measuring<'_> {
    /// Measures all contenders.
    pub async fn run(&self, contenders: &[Contender], amount: Amount) -> Result<Vec<Measured>, String> {
        let mut all = vec![Measured::default(); contenders.len()];
        for (contender, measured) in contenders.iter().zip(&mut all) {
            measured.zipped = contender.zipped().map_err(|error| format!("{}: {error}", contender.name()))?;
        }
        self.cold(contenders, &mut all, amount.cold).await?;
        let mut processes = Vec::new();
        for contender in contenders {
            processes.push(Process::start(contender, self.environment, self.logs).await?);
        }
        self.warm(contenders, &mut processes, &mut all, amount.warm).await?;
        self.batches(contenders, &mut processes, &mut all, amount.batches).await?;
        for (process, measured) in processes.iter().zip(&mut all) {
            measured.peak_memory = process.peak_memory()?;
        }
        Ok(all)
    }

    async fn cold(&self, contenders: &[Contender], all: &mut [Measured], times: usize) -> Result<(), String> {
        let bar = progress("cold starts", times * contenders.len());
        for _ in 0..times {
            for (contender, measured) in contenders.iter().zip(all.iter_mut()) {
                let events = self.workload.events(contender, 1).await;
                let mut process = Process::start(contender, self.environment, self.logs).await?;
                measured.init.push(process.init);
                for event in events {
                    let (answer, took) = process.api.invoke(event).await?;
                    check(contender, &answer)?;
                    measured.first.push(took);
                }
                bar.inc(1);
            }
            self.workload.tidy().await;
        }
        bar.finish();
        Ok(())
    }

    async fn warm(
        &self,
        contenders: &[Contender],
        processes: &mut [Process],
        all: &mut [Measured],
        events: usize,
    ) -> Result<(), String> {
        let bar = progress("warm events", (WARM_UP + events) * contenders.len());
        let turns = WARM_UP / TURN + events.div_ceil(TURN);
        for turn in 0..turns {
            let counts = turn >= WARM_UP / TURN;
            for ((contender, process), measured) in contenders.iter().zip(processes.iter_mut()).zip(all.iter_mut()) {
                let events = self.workload.events(contender, TURN).await;
                self.services.take_requests();
                let before = process.cpu()?;
                for event in events {
                    let (answer, took) = process.api.invoke(event).await?;
                    check(contender, &answer)?;
                    if counts {
                        measured.warm.push(took);
                    }
                }
                if counts {
                    measured.cpu += process.cpu()? - before;
                }
                let requests = self.services.take_requests();
                let sent = requests.get("sqs SendMessage").copied().unwrap_or_default();
                let sends = !matches!(contender.function, Function::ShipNotify) && contender.kind != Kind::Bare;
                if sends && sent != TURN as u64 {
                    return Err(format!("{}: sent {sent} messages for {TURN} events", contender.name()));
                }
                if counts {
                    for (operation, count) in requests {
                        *measured.requests.entry(operation).or_default() += count;
                    }
                }
                let effects = self.workload.tidy().await;
                if contender.function == Function::ShipNotify && effects != TURN {
                    return Err(format!("{}: {effects} of {TURN} calls took effect at TOP", contender.name()));
                }
                bar.inc(TURN as u64);
            }
        }
        bar.finish();
        Ok(())
    }

    async fn batches(
        &self,
        contenders: &[Contender],
        processes: &mut [Process],
        all: &mut [Measured],
        times: usize,
    ) -> Result<(), String> {
        let calling = |contender: &Contender| contender.function == Function::ShipNotify;
        let bar = progress("batches", times * contenders.iter().filter(|contender| calling(contender)).count());
        self.services.delay_top(TOP_DELAY);
        for _ in 0..times {
            for ((contender, process), measured) in contenders.iter().zip(processes.iter_mut()).zip(all.iter_mut()) {
                if !calling(contender) {
                    continue;
                }
                for (records, taken) in [(1, &mut measured.batch_of_one), (10, &mut measured.batch_of_ten)] {
                    let event = self.workload.batch(contender, records).await;
                    let (answer, took) = process.api.invoke(event).await?;
                    check(contender, &answer)?;
                    taken.push(took);
                }
                self.workload.tidy().await;
                bar.inc(1);
            }
        }
        self.services.delay_top(Duration::ZERO);
        bar.finish();
        Ok(())
    }

    /// Counts the requests for a repeated notification that was already dispatched.
    pub async fn resend(&self, contenders: &[Contender]) -> Result<Requests, String> {
        let ours =
            |contender: &&Contender| contender.kind == Kind::Ours && contender.function == Function::TsyIssueNotify;
        let Some(contender) = contenders.iter().find(ours) else { return Ok(Requests::new()) };
        let mut process = Process::start(contender, self.environment, self.logs).await?;
        let event = self.workload.resend().await;
        self.services.take_requests();
        let (answer, _) = process.api.invoke(event).await?;
        check(contender, &answer)?;
        Ok(self.services.take_requests())
    }
}
