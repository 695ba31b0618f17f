//! Turns the measurements into figures, saves them as JSON, and compares them with the targets.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::contender::{Contender, Function, Kind};
use crate::cost::{self, Cost};
use crate::measure::{Amount, Measured};
use crate::throughput::Throughput;

/// One contender's row of figures.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The contender's name.
    pub name: String,
    /// Its job.
    pub function: Function,
    /// Its tools.
    pub kind: Kind,
    /// Time from process start to the first request for an event: median in milliseconds.
    pub init_ms: f64,
    /// Time from the first event to its answer: median in milliseconds.
    pub first_ms: f64,
    /// Time from a later event to its answer: median in milliseconds.
    pub warm_p50_ms: f64,
    /// Time from a later event to its answer: 99th percentile in milliseconds.
    pub warm_p99_ms: f64,
    /// Processor time of an event: mean in microseconds.
    pub cpu_us: f64,
    /// Peak resident memory in MB.
    pub peak_memory_mb: f64,
    /// Zipped artifact in MB, without the files that the managed runtime has.
    pub zipped_mb: f64,
    /// Mean number of requests for one event, by operation.
    pub requests: BTreeMap<String, f64>,
    /// Time from an event with one record to its answer, if TOP takes 50 ms: median in milliseconds.
    pub batch_of_one_ms: Option<f64>,
    /// Time from an event with ten records to its answer, if TOP takes 50 ms: median in milliseconds.
    pub batch_of_ten_ms: Option<f64>,
}

impl Row {
    /// Calculates the figures of one contender.
    pub fn of(contender: &Contender, measured: &Measured) -> Self {
        let events = measured.warm.len().max(1) as f64;
        let batch = |durations: &[Duration]| (!durations.is_empty()).then(|| percentile(durations, 50));
        Self {
            name: contender.name(),
            function: contender.function,
            kind: contender.kind,
            init_ms: percentile(&measured.init, 50),
            first_ms: percentile(&measured.first, 50),
            warm_p50_ms: percentile(&measured.warm, 50),
            warm_p99_ms: percentile(&measured.warm, 99),
            cpu_us: measured.cpu.as_secs_f64() * 1e6 / events,
            peak_memory_mb: measured.peak_memory as f64 / 1e6,
            zipped_mb: measured.zipped as f64 / 1e6,
            requests: measured.requests.iter().map(|(name, count)| (name.clone(), *count as f64 / events)).collect(),
            batch_of_one_ms: batch(&measured.batch_of_one),
            batch_of_ten_ms: batch(&measured.batch_of_ten),
        }
    }

    /// The number of requests to AWS for one event.
    pub fn aws_requests(&self) -> f64 {
        // Not `sum`, because the sum of no elements is -0.
        self.requests.iter().filter(|(name, _)| *name != "top").fold(0.0, |sum, (_, count)| sum + count)
    }

    /// This contender's figures divided by those of `other`.
    fn ratios_to(&self, other: &Self) -> Ratios {
        Ratios {
            of: self.name.clone(),
            to: other.name.clone(),
            init: self.init_ms / other.init_ms,
            first: self.first_ms / other.first_ms,
            warm_p50: self.warm_p50_ms / other.warm_p50_ms,
            warm_p99: self.warm_p99_ms / other.warm_p99_ms,
            cpu: self.cpu_us / other.cpu_us,
            peak_memory: self.peak_memory_mb / other.peak_memory_mb,
            zipped: self.zipped_mb / other.zipped_mb,
        }
    }
}

/// One contender's figures divided by those of another.
#[derive(Debug, Clone, Serialize)]
pub struct Ratios {
    /// Name of the contender.
    pub of: String,
    /// Name of the contender to compare with.
    pub to: String,
    /// Ratio of the start times.
    pub init: f64,
    /// Ratio of the times for the first event.
    pub first: f64,
    /// Ratio of the medians for later events.
    pub warm_p50: f64,
    /// Ratio of the 99th percentiles for later events.
    pub warm_p99: f64,
    /// Ratio of the processor times.
    pub cpu: f64,
    /// Ratio of the peak memory.
    pub peak_memory: f64,
    /// Ratio of the artifact sizes.
    pub zipped: f64,
}

/// Calculates the ratios of each peer to our function for the same job, and of each of our functions to the floor.
fn ratios(rows: &[Row]) -> Vec<Ratios> {
    let is_floor = |row: &&Row| row.kind.is_floor();
    let mut ratios = Vec::new();
    for ours in rows.iter().filter(|row| row.kind == Kind::Ours) {
        let peers =
            rows.iter().filter(|row| row.function == ours.function && row.kind != Kind::Ours && !row.kind.is_floor());
        ratios.extend(peers.map(|peer| peer.ratios_to(ours)));
        ratios.extend(rows.iter().filter(is_floor).map(|floor| ours.ratios_to(floor)));
    }
    ratios
}

fn percentile(durations: &[Duration], percent: usize) -> f64 {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).map_or(f64::NAN, |duration| duration.as_secs_f64() * 1000.0)
}

/// A target and the measured result.
#[derive(Debug, Clone, Serialize)]
pub struct Target {
    /// The figure that the target is about.
    pub what: String,
    /// The target in words.
    pub target: &'static str,
    /// The measured ratio or figure.
    pub measured: f64,
    /// Whether the target is met.
    pub met: bool,
}

impl Target {
    fn at_most(what: impl Into<String>, target: &'static str, limit: f64, measured: f64) -> Self {
        Self { what: what.into(), target, measured, met: measured <= limit }
    }

    fn at_least(what: impl Into<String>, target: &'static str, limit: f64, measured: f64) -> Self {
        Self { what: what.into(), target, measured, met: measured >= limit }
    }
}

/// All results of a benchmark run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Date of the run.
    pub measured_at: String,
    /// Processor and number of cores.
    pub machine: BTreeMap<&'static str, String>,
    /// Versions of the compiler and the runtimes.
    pub versions: BTreeMap<&'static str, String>,
    /// Cold starts, warm events and batches of each contender.
    pub amount: Amount,
    /// The contenders' figures.
    pub contenders: Vec<Row>,
    /// Ratios of the peers to our functions, and of our functions to the floor.
    pub ratios: Vec<Ratios>,
    /// Requests for a repeated notification that was already dispatched, by operation.
    pub resend_requests: BTreeMap<String, u64>,
    /// Median time of single computations in nanoseconds, by name.
    pub micro_ns: BTreeMap<String, f64>,
    /// Throughput of the whole relay in one process.
    pub throughput: Throughput,
    /// The targets and their results.
    pub targets: Vec<Target>,
    /// The cost of a million notifications, for each set of tools.
    pub cost: Vec<Cost>,
    /// Month of the price list.
    pub prices_of: &'static str,
}

impl Report {
    /// Calculates ratios, targets and cost, and collects the remaining figures.
    pub fn new(
        root: &Path,
        amount: Amount,
        contenders: Vec<Row>,
        resend_requests: BTreeMap<String, u64>,
        throughput: Throughput,
    ) -> Result<Self, String> {
        let micro_ns = micro(root)?;
        let ratios = ratios(&contenders);
        let targets = targets(&contenders, &resend_requests, &micro_ns);
        let cost =
            [Kind::Ours, Kind::Python, Kind::Node].into_iter().filter_map(|kind| cost::of(kind, &contenders)).collect();
        let said = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().ok()?;
            Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let mut versions = BTreeMap::new();
        let python = root.join("target/bench/python/bin/python").to_string_lossy().into_owned();
        // A Python that was built without this option is 10 to 20 % slower than Lambda's.
        let optimized = "import sysconfig; print('--enable-optimizations' in sysconfig.get_config_var('CONFIG_ARGS'))";
        let asked: [(_, &str, &[&str]); 4] = [
            ("rustc", "rustc", &["--version"]),
            ("python", &python, &["--version"]),
            ("python built with optimizations", &python, &["-c", optimized]),
            ("node", "node", &["--version"]),
        ];
        for (name, program, arguments) in asked {
            versions.insert(name, said(program, arguments).unwrap_or_default());
        }
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self {
            measured_at: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            machine: [
                ("processor", model.trim_start_matches([':', '\t', ' ']).to_owned()),
                ("cores", cores.to_string()),
            ]
            .into(),
            versions,
            amount,
            contenders,
            ratios,
            resend_requests,
            micro_ns,
            throughput,
            targets,
            cost,
            prices_of: cost::PRICES_OF,
        })
    }

    /// Writes the report as JSON.
    pub fn save(&self, path: &Path) -> Result<(), String> {
        let json = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        fs::write(path, json + "\n").map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// Collects the times of single computations: criterion's results, and those of the other SDKs.
fn micro(root: &Path) -> Result<BTreeMap<String, f64>, String> {
    let mut found = BTreeMap::new();
    collect(&root.join("target/criterion"), "", &mut found);
    let vectors: Value = serde_json::from_str(include_str!("../../shared/types/testdata/top-signing.json"))
        .map_err(|error| error.to_string())?;
    let is_ship = |vector: &&Value| vector["name"] == "ship_notify_ok" && vector["sign_method"] == "md5";
    let vector =
        vectors.as_array().into_iter().flatten().find(is_ship).ok_or("top-signing.json has no ship-notify vector")?;
    let input = root.join("target/bench/sign.json");
    let mut parameters = vector["params"].clone();
    // Those SDKs sign all parameters that they get.
    parameters.as_object_mut().map(|parameters| parameters.remove("sign"));
    let text = serde_json::json!({"secret": vector["app_secret"], "parameters": parameters}).to_string();
    fs::write(&input, text).map_err(|error| format!("{}: {error}", input.display()))?;
    let python = root.join("target/bench/python/bin/python");
    let peers = [
        ("sign/md5 by topsdk (Python)", python.as_os_str(), root.join("bench/peers/python/sign_benchmark.py")),
        ("sign/md5 by ali-topsdk (Node)", "node".as_ref(), root.join("target/bench/node/sign-benchmark.mjs")),
    ];
    for (name, program, script) in peers {
        let output = Command::new(program).arg(&script).arg(&input).output();
        let output = output.map_err(|error| format!("{}: {error}", script.display()))?;
        let said: Value = serde_json::from_slice(&output.stdout)
            .map_err(|_| format!("{}: {}", script.display(), String::from_utf8_lossy(&output.stderr)))?;
        if said["sign"] != vector["sign"] {
            return Err(format!("{name}: the signature differs from the vector's"));
        }
        found.insert(name.to_owned(), said["nanoseconds"].as_f64().unwrap_or(f64::NAN));
    }
    Ok(found)
}

fn collect(folder: &Path, name: &str, found: &mut BTreeMap<String, f64>) {
    let estimates = fs::read(folder.join("new/estimates.json")).ok();
    let estimates = estimates.and_then(|json| serde_json::from_slice::<Value>(&json).ok());
    if let Some(median) = estimates.and_then(|estimates| estimates["median"]["point_estimate"].as_f64()) {
        found.insert(name.to_owned(), median);
        return;
    }
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let inner = entry.file_name().to_string_lossy().into_owned();
        let name = if name.is_empty() { inner } else { format!("{name}/{inner}") };
        if entry.path().is_dir() {
            collect(&entry.path(), &name, found);
        }
    }
}

/// Compares the figures with the targets. Skips targets whose figures were not measured.
fn targets(rows: &[Row], resend: &BTreeMap<String, u64>, micro: &BTreeMap<String, f64>) -> Vec<Target> {
    let find = |function, kind| rows.iter().find(|row| row.kind == kind && row.function == function);
    let mut targets = Vec::new();
    let bare = find(Function::TsyIssueNotify, Kind::Bare);
    let raw = find(Function::TsyIssueNotify, Kind::RawHttp);
    for function in Function::ALL {
        let Some(ours) = find(function, Kind::Ours) else { continue };
        let (python, node) = (find(function, Kind::Python), find(function, Kind::Node));
        let name = function.name();
        if let Some(bare) = bare {
            targets.push(Target::at_most(format!("{name}: init"), "≤ 2 × bare", 2.0, ours.init_ms / bare.init_ms));
        }
        if let Some(python) = python {
            targets.push(Target::at_least(
                format!("{name}: init"),
                "≥ 25 × faster than Python",
                25.0,
                python.init_ms / ours.init_ms,
            ));
            targets.push(Target::at_most(
                format!("{name}: peak memory"),
                "≤ 1/5 of Python's",
                0.2,
                ours.peak_memory_mb / python.peak_memory_mb,
            ));
        }
        if let Some(node) = node {
            targets.push(Target::at_least(
                format!("{name}: init"),
                "≥ 20 × faster than Node",
                20.0,
                node.init_ms / ours.init_ms,
            ));
        }
        if matches!(function, Function::TsyIssueNotify | Function::ScttVoucherPush) {
            if let Some(python) = python {
                targets.push(Target::at_least(
                    format!("{name}: CPU"),
                    "≤ 1/8 of Python's",
                    8.0,
                    python.cpu_us / ours.cpu_us,
                ));
            }
            if let Some(node) = node {
                targets.push(Target::at_least(
                    format!("{name}: CPU"),
                    "≤ 1/12 of Node's",
                    12.0,
                    node.cpu_us / ours.cpu_us,
                ));
            }
            if let Some(raw) = raw {
                targets.push(Target::at_most(
                    format!("{name}: CPU"),
                    "≤ 1.5 × raw HTTP",
                    1.5,
                    ours.cpu_us / raw.cpu_us,
                ));
            }
            targets.push(Target::at_most(
                format!("{name}: requests of a first delivery"),
                "1 + 1",
                2.0,
                ours.aws_requests(),
            ));
        }
        targets.push(Target::at_most(format!("{name}: peak memory"), "≤ 12 MB", 12.0, ours.peak_memory_mb));
        targets.push(Target::at_most(format!("{name}: artifact, zipped"), "≤ 2.5 MB", 2.5, ours.zipped_mb));
        if let (Some(one), Some(ten)) = (ours.batch_of_one_ms, ours.batch_of_ten_ms) {
            targets.push(Target::at_most(format!("{name}: ten calls at once"), "≤ 1.5 × one", 1.5, ten / one));
            // Leave out the read of TOP's credentials, which happens every five minutes.
            let of_a_call = ours.requests.iter().filter(|(name, _)| !name.starts_with("secretsmanager"));
            targets.push(Target::at_most(
                format!("{name}: requests of a call"),
                "2 + 1",
                3.0,
                of_a_call.map(|(_, count)| count).sum(),
            ));
        }
    }
    if !resend.is_empty() {
        targets.push(Target::at_most("requests of a re-send", "1", 1.0, resend.values().sum::<u64>() as f64));
    }
    // All sign the same request with their default: ours with HMAC-SHA256, the others with MD5, their only method.
    if let Some(ours) = micro.get("sign/hmac-sha256") {
        for (name, nanoseconds) in micro.iter().filter(|(name, _)| name.contains(" by ")) {
            let what = name.split_once(" by ").map_or(name.as_str(), |(_, sdk)| sdk);
            targets.push(Target::at_least(
                format!("signing ship-notify: {what}"),
                "≥ 5 × as long as ours",
                5.0,
                nanoseconds / ours,
            ));
        }
    }
    targets
}
