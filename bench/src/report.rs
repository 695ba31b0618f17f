//! What was measured, as a table for people, JSON for programs, and the targets held against it.

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

/// One contender, in figures.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What it is called.
    pub name: String,
    /// Which job.
    pub function: Function,
    /// Done with what.
    pub kind: Kind,
    /// Process start to the first request for an event: median.
    pub init_ms: f64,
    /// The first event, to its answer: median.
    pub first_ms: f64,
    /// Later events, to their answers: median.
    pub warm_p50_ms: f64,
    /// The slowest one in a hundred.
    pub warm_p99_ms: f64,
    /// Processor time of an event, in microseconds: mean.
    pub cpu_us: f64,
    /// Most memory in RAM.
    pub peak_memory_mb: f64,
    /// What is uploaded, zipped, without what the managed runtime brings.
    pub zipped_mb: f64,
    /// Requests of one event, by operation.
    pub requests: BTreeMap<String, f64>,
    /// An event of one record when TOP takes 50 ms: median.
    pub batch_of_one_ms: Option<f64>,
    /// An event of ten records likewise.
    pub batch_of_ten_ms: Option<f64>,
}

impl Row {
    /// The figures of one contender.
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

    /// Requests of one event to AWS, of whatever operation.
    pub fn aws_requests(&self) -> f64 {
        // Not `sum`, of which nothing at all is -0.
        self.requests.iter().filter(|(name, _)| *name != "top").fold(0.0, |sum, (_, count)| sum + count)
    }

    /// How many times as much this one takes as `other`.
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

/// One contender's figures over those of another.
#[derive(Debug, Clone, Serialize)]
pub struct Ratios {
    /// Whose.
    pub of: String,
    /// Over whose.
    pub to: String,
    /// Of the time to start.
    pub init: f64,
    /// Of the first event.
    pub first: f64,
    /// Of the median of later ones.
    pub warm_p50: f64,
    /// Of the slowest one in a hundred.
    pub warm_p99: f64,
    /// Of processor time.
    pub cpu: f64,
    /// Of memory.
    pub peak_memory: f64,
    /// Of what is uploaded.
    pub zipped: f64,
}

/// Each peer, and ours, over ours and the floor: peers say how many times as much they take as ours, and ours how many
/// times as much as the floor.
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

/// What is to be reached, and what was.
#[derive(Debug, Clone, Serialize)]
pub struct Target {
    /// Of what.
    pub what: String,
    /// In words.
    pub target: &'static str,
    /// The measured ratio or figure.
    pub measured: f64,
    /// Whether that is enough.
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

/// Everything that was found out.
#[derive(Debug, Serialize)]
pub struct Report {
    /// When.
    pub measured_at: String,
    /// On what.
    pub machine: BTreeMap<&'static str, String>,
    /// With what.
    pub versions: BTreeMap<&'static str, String>,
    /// Cold starts, warm events and batches of each contender.
    pub amount: Amount,
    /// The contenders.
    pub contenders: Vec<Row>,
    /// Each peer's figures over ours, and ours over the floor's.
    pub ratios: Vec<Ratios>,
    /// Requests of a notification that is sent again after it was dispatched.
    pub resend_requests: BTreeMap<String, u64>,
    /// Nanoseconds of one computation each, by name.
    pub micro_ns: BTreeMap<String, f64>,
    /// All of it in one process.
    pub throughput: Throughput,
    /// What is to be reached.
    pub targets: Vec<Target>,
    /// A million notifications.
    pub cost: Vec<Cost>,
    /// The month of the price list.
    pub prices_of: &'static str,
}

impl Report {
    /// Puts the figures together.
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
        // A Python that was built without it is some 10 to 20 % slower than Lambda's.
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

    /// Writes the JSON.
    pub fn save(&self, path: &Path) -> Result<(), String> {
        let json = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        fs::write(path, json + "\n").map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// Criterion's figures, and those of the other SDKs.
fn micro(root: &Path) -> Result<BTreeMap<String, f64>, String> {
    let mut found = BTreeMap::new();
    collect(&root.join("target/criterion"), "", &mut found);
    let vectors: Value = serde_json::from_str(include_str!("../../shared/types/testdata/top-signing.json"))
        .map_err(|error| error.to_string())?;
    let is_ship = |vector: &&Value| vector["name"] == "ship_notify_ok" && vector["sign_method"] == "md5";
    let vector =
        vectors.as_array().into_iter().flatten().find(is_ship).ok_or("no ship-notify request among the vectors")?;
    let input = root.join("target/bench/sign.json");
    let mut parameters = vector["params"].clone();
    // Those SDKs sign whatever they are given.
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
            return Err(format!("{name} signed otherwise than the vector says"));
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

/// Holds the figures against what is to be reached. What was not measured is left out.
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
            // TOP's credentials are read once in five minutes.
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
    // The same request, each signed as it is by default: ours with HMAC-SHA256, theirs with MD5, which is all they have.
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
