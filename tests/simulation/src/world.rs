//! What everything in a run shares: the seed's chance, the clock, the far sides, what went wrong how often, and the
//! trace.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dynoxide::Database;
use relay_types::time::{Clock, EpochMillis};
use serde_json::Value;
use tokio::time::Instant;
use top_simulator::Simulator;

use crate::coverage::Coverage;
use crate::facts::Facts;
use crate::gate::Gate;
use crate::queues::Queues;
use crate::table::{self, Replica};

/// When every run begins: noon in China, so that a day's quota is half a day away.
const BEGINNING: EpochMillis = EpochMillis(1_767_240_000_000);

/// How bad it is: how likely what goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weather {
    /// How likely a request meets a fault.
    pub request: f64,
    /// How likely a queue delivers twice, forgets a deletion, or loses a message.
    pub queue: f64,
    /// How likely TOP answers otherwise than it should.
    pub top: f64,
    /// How likely a read that need not be consistent sees the table as it was, and how likely a function dies after a
    /// request that arrives minutes later. Drawn apart from the others, so that other seeds stay as they are.
    pub delay: f64,
    /// A function that meets more faults than the others, by its name.
    pub worst: Option<&'static str>,
    /// Furthest that a function's clock is off.
    pub skew: Duration,
    /// How long a request, and how long its answer, is on its way at most while nothing is wrong, in milliseconds.
    pub distance: u64,
}

impl Weather {
    /// Whether nothing goes wrong.
    pub fn is_fair(&self) -> bool {
        self.request == 0.0 && self.queue == 0.0 && self.top == 0.0
    }

    /// Nothing goes wrong, and all clocks agree.
    pub const CALM: Self = Self { skew: Duration::ZERO, ..Self::FAIR };
    /// Nothing goes wrong any more; clocks stay as they are.
    pub const FAIR: Self = Self {
        request: 0.0,
        queue: 0.0,
        top: 0.0,
        delay: 0.0,
        worst: None,
        skew: Duration::from_secs(30),
        distance: 30,
    };
}

/// An item before and after a write.
pub type Change = (Arc<Value>, Arc<Value>);

/// One run's world.
pub struct World {
    beginning: Instant,
    chance: Mutex<fastrand::Rng>,
    chance_of_delays: Mutex<fastrand::Rng>,
    weather: Mutex<Weather>,
    /// The table.
    pub database: Database,
    /// The table as reads may see it that need not be consistent. `None`: they see it as it is.
    pub replica: Mutex<Option<Replica>>,
    /// SQS.
    pub queues: Queues,
    /// TOP.
    pub top: Mutex<Simulator>,
    /// What was exercised how often.
    pub coverage: Mutex<Coverage>,
    /// Where requests stop while a scheduler chooses.
    pub gate: Gate,
    /// The calls that are on their way to TOP now, each by what it says.
    pub sending: Mutex<BTreeMap<String, usize>>,
    /// Until when which instance was told not to call which API.
    pub bans: Mutex<BTreeMap<(u64, String), EpochMillis>>,
    /// What reached the table, in its order.
    pub facts: Mutex<Facts>,
    /// Every change of the table. `None`: nobody follows it.
    pub stream: Mutex<Option<Vec<Change>>>,
    /// What SNS published.
    pub published: Mutex<Vec<Value>>,
    /// How often each record was written, by its partition key.
    writes: Mutex<BTreeMap<String, u64>>,
    /// Items as they were read after their last write.
    images: Mutex<BTreeMap<String, Arc<Value>>>,
    /// Whether faults are planned at the gate, whatever the weather.
    pub faults_are_planned: AtomicBool,
    /// How many requests are on their way whose sender has died.
    pub on_their_way: AtomicUsize,
    violations: Mutex<Vec<String>>,
    trace: Mutex<Trace>,
}

#[derive(Default)]
struct Trace {
    digest: DefaultHasher,
    lines: Option<Vec<String>>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

fn key_text(key: &Value) -> String {
    let part = |name: &str| key[name]["S"].as_str().unwrap_or_default();
    format!("{} {}", part("pk"), part("sk"))
}

/// A lock that a run's one thread holds for a moment; a panic of that thread ends the run anyway.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// A world with empty services, whose chance comes from `seed`.
    pub fn new(seed: u64, database: Database, top: Simulator, traced: bool) -> Arc<Self> {
        Arc::new(Self {
            beginning: Instant::now(),
            chance: Mutex::new(fastrand::Rng::with_seed(seed)),
            chance_of_delays: Mutex::new(fastrand::Rng::with_seed(!seed)),
            replica: Mutex::default(),
            weather: Mutex::new(Weather::FAIR),
            database,
            queues: Queues::default(),
            top: Mutex::new(top),
            coverage: Mutex::default(),
            gate: Gate::default(),
            sending: Mutex::default(),
            bans: Mutex::default(),
            facts: Mutex::default(),
            stream: Mutex::default(),
            published: Mutex::default(),
            writes: Mutex::default(),
            images: Mutex::default(),
            faults_are_planned: AtomicBool::new(false),
            on_their_way: AtomicUsize::new(0),
            violations: Mutex::default(),
            trace: Mutex::new(Trace { lines: traced.then(Vec::new), ..Trace::default() }),
        })
    }

    /// The true time.
    pub fn now(&self) -> EpochMillis {
        BEGINNING.plus(self.beginning.elapsed())
    }

    /// The moment of the runtime's clock at which the true time is `at`.
    pub fn instant(&self, at: EpochMillis) -> Instant {
        self.beginning + BEGINNING.until(at)
    }

    /// Draws from the seed.
    pub fn draw<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut lock(&self.chance))
    }

    /// Whether something happens that has this probability.
    pub fn happens(&self, probability: f64) -> bool {
        probability > 0.0 && self.draw(fastrand::Rng::f64) < probability
    }

    /// A duration between two, in milliseconds.
    pub fn between(&self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.draw(|chance| chance.u64(least..=most)))
    }

    /// Whether a delay of this weather happens.
    pub fn is_delayed(&self, worse: f64) -> bool {
        let probability = self.weather().delay * worse;
        probability > 0.0 && lock(&self.chance_of_delays).f64() < probability
    }

    /// How long a delay of this weather is: a duration between two, in milliseconds.
    pub fn delay(&self, least: u64, most: u64) -> Duration {
        Duration::from_millis(lock(&self.chance_of_delays).u64(least..=most))
    }

    /// Takes down that the item with that key was written.
    pub fn wrote(&self, key: &Value) {
        lock(&self.images).remove(&key_text(key));
        if let (Some(pk), Some("record")) = (key["pk"]["S"].as_str(), key["sk"]["S"].as_str()) {
            *lock(&self.writes).entry(pk.to_owned()).or_default() += 1;
        }
    }

    /// The item with that key as it is now; `Null` if there is none, or the key is none.
    pub fn image(&self, key: &Value) -> Arc<Value> {
        if !key.is_object() {
            return Arc::default();
        }
        let image = || Arc::new(table::item(&self.database, key));
        lock(&self.images).entry(key_text(key)).or_insert_with(image).clone()
    }

    /// How often the record with that partition key was written.
    pub fn writes_of(&self, pk: &str) -> u64 {
        lock(&self.writes).get(pk).copied().unwrap_or_default()
    }

    /// How often any record was written.
    pub fn writes(&self) -> u64 {
        lock(&self.writes).values().sum()
    }

    /// How bad it is now.
    pub fn weather(&self) -> Weather {
        *lock(&self.weather)
    }

    /// Changes how bad it is.
    pub fn set_weather(&self, weather: Weather) {
        *lock(&self.weather) = weather;
    }

    /// Counts something exercised that is no fault of a request.
    pub fn saw(&self, what: &'static str) {
        lock(&self.coverage).saw(what);
    }

    /// Takes down something that must never happen.
    pub fn violated(&self, what: String) {
        self.note(|| format!("VIOLATION {what}"));
        lock(&self.violations).push(what);
    }

    /// What must never happen, and did.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.violations).clone()
    }

    /// Takes a line of the trace down, if there is one; its time counts for the digest of the run in any case.
    pub fn note(&self, line: impl FnOnce() -> String) {
        let now = self.now();
        let trace = &mut *lock(&self.trace);
        now.0.hash(&mut trace.digest);
        if let Some(lines) = &mut trace.lines {
            let mut text = String::new();
            let since = BEGINNING.until(now);
            let seconds = since.as_secs();
            let clock = (seconds / 3600, seconds / 60 % 60, seconds % 60, since.subsec_millis());
            let _ = write!(text, "{}:{:02}:{:02}.{:03} {}", clock.0, clock.1, clock.2, clock.3, line());
            lines.push(text);
        }
    }

    /// Adds to the digest of the run what makes it this one.
    pub fn mark(&self, what: &str) {
        what.hash(&mut lock(&self.trace).digest);
    }

    /// The trace, and a digest of everything that happened: two runs of one seed have the same.
    pub fn take_trace(&self) -> (Vec<String>, u64) {
        let trace = &mut *lock(&self.trace);
        (trace.lines.take().unwrap_or_default(), trace.digest.finish())
    }
}

/// The clock of one function instance, which is off by a constant.
#[derive(Debug)]
pub struct SkewedClock {
    world: Arc<World>,
    skew_ms: i64,
}

impl SkewedClock {
    /// A clock that is as far off as the weather allows.
    pub fn draw(world: &Arc<World>) -> Self {
        let most = i64::try_from(world.weather().skew.as_millis()).unwrap_or(0);
        Self { world: world.clone(), skew_ms: world.draw(|chance| chance.i64(-most..=most)) }
    }
}

impl Clock for SkewedClock {
    fn now(&self) -> EpochMillis {
        EpochMillis(self.world.now().0 + self.skew_ms)
    }
}
