//! The state that everything in a run shares: the seed's random numbers, the clock, the services, the counters, the
//! violations and the trace.

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

use crate::bans::Bans;
use crate::coverage::Coverage;
use crate::facts::Facts;
use crate::gate::Gate;
use crate::queues::Queues;
use crate::table::{self, Replica};

/// The start of every run: noon in China, so a day's quota ends half a day later.
const BEGINNING: EpochMillis = EpochMillis(1_767_240_000_000);

/// How likely each kind of fault is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weather {
    /// The probability that a request meets a fault.
    pub request: f64,
    /// The probability that a queue delivers twice, forgets a deletion, or loses a message.
    pub queue: f64,
    /// The probability that TOP answers with an error or a fault.
    pub top: f64,
    /// The probability that an eventually consistent read sees stale data, or that a function dies after a request that
    /// arrives minutes later. A separate generator draws these, so other seeds stay the same.
    pub delay: f64,
    /// The name of a function that meets more faults than the others.
    pub worst: Option<&'static str>,
    /// The largest deviation of a function's clock.
    pub skew: Duration,
    /// The maximum transit time of a request or an answer without a fault, in milliseconds.
    pub distance: u64,
}

impl Weather {
    /// Whether no fault occurs.
    pub fn is_fair(&self) -> bool {
        self.request == 0.0 && self.queue == 0.0 && self.top == 0.0
    }

    /// No faults, and all clocks agree.
    pub const CALM: Self = Self { skew: Duration::ZERO, ..Self::FAIR };
    /// No faults; clocks still deviate.
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

/// The world of one run.
pub struct World {
    beginning: Instant,
    chance: Mutex<fastrand::Rng>,
    chance_of_delays: Mutex<fastrand::Rng>,
    weather: Mutex<Weather>,
    /// The table.
    pub database: Database,
    /// The table as eventually consistent reads may see it. `None`: they see the current state.
    pub replica: Mutex<Option<Replica>>,
    /// SQS.
    pub queues: Queues,
    /// TOP.
    pub top: Mutex<Simulator>,
    /// Counts of everything exercised.
    pub coverage: Mutex<Coverage>,
    /// The gate where requests stop while a scheduler chooses.
    pub gate: Gate,
    /// How many requests to TOP are in flight, by their content.
    pub sending: Mutex<BTreeMap<String, usize>>,
    /// TOP's bans.
    pub bans: Mutex<Bans>,
    /// The facts that reached the table, in its order.
    pub facts: Mutex<Facts>,
    /// Every change of the table. `None`: no one follows the stream.
    pub stream: Mutex<Option<Vec<Change>>>,
    /// The events that SNS published.
    pub published: Mutex<Vec<Value>>,
    /// The number of writes of each record, by its partition key.
    writes: Mutex<BTreeMap<String, u64>>,
    /// A cache of items as of their last write.
    images: Mutex<BTreeMap<String, Arc<Value>>>,
    /// Whether faults are planned at the gate, regardless of the weather.
    pub faults_are_planned: AtomicBool,
    /// The number of requests in flight whose sender has died.
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

/// Locks a mutex and ignores poisoning: a run has one thread, and a panic of that thread ends the run anyway.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// A world with empty services and a random generator seeded with `seed`.
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

    /// Converts the true time `at` to an instant of the runtime's clock.
    pub fn instant(&self, at: EpochMillis) -> Instant {
        self.beginning + BEGINNING.until(at)
    }

    /// Draws from the seeded generator.
    pub fn draw<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut lock(&self.chance))
    }

    /// Draws whether an event of this probability happens.
    pub fn happens(&self, probability: f64) -> bool {
        probability > 0.0 && self.draw(fastrand::Rng::f64) < probability
    }

    /// Draws a duration between two, in milliseconds.
    pub fn between(&self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.draw(|chance| chance.u64(least..=most)))
    }

    /// Draws whether a delay of this weather happens.
    pub fn is_delayed(&self, worse: f64) -> bool {
        let probability = self.weather().delay * worse;
        probability > 0.0 && lock(&self.chance_of_delays).f64() < probability
    }

    /// Draws the length of a delay of this weather, between two durations in milliseconds.
    pub fn delay(&self, least: u64, most: u64) -> Duration {
        Duration::from_millis(lock(&self.chance_of_delays).u64(least..=most))
    }

    /// Records a write of the item with that key.
    pub fn wrote(&self, key: &Value) {
        lock(&self.images).remove(&key_text(key));
        if let (Some(pk), Some("record")) = (key["pk"]["S"].as_str(), key["sk"]["S"].as_str()) {
            *lock(&self.writes).entry(pk.to_owned()).or_default() += 1;
        }
    }

    /// Returns the current item with that key, or `Null` if there is no such item or the key is not one.
    pub fn image(&self, key: &Value) -> Arc<Value> {
        if !key.is_object() {
            return Arc::default();
        }
        let image = || Arc::new(table::item(&self.database, key));
        lock(&self.images).entry(key_text(key)).or_insert_with(image).clone()
    }

    /// The number of writes of the record with that partition key.
    pub fn writes_of(&self, pk: &str) -> u64 {
        lock(&self.writes).get(pk).copied().unwrap_or_default()
    }

    /// The number of writes of all records.
    pub fn writes(&self) -> u64 {
        lock(&self.writes).values().sum()
    }

    /// The current weather.
    pub fn weather(&self) -> Weather {
        *lock(&self.weather)
    }

    /// Changes the weather.
    pub fn set_weather(&self, weather: Weather) {
        *lock(&self.weather) = weather;
    }

    /// Counts an event, other than the fault of a request.
    pub fn saw(&self, what: &'static str) {
        lock(&self.coverage).saw(what);
    }

    /// Records something that must never happen.
    pub fn violated(&self, what: String) {
        self.note(|| format!("VIOLATION {what}"));
        lock(&self.violations).push(what);
    }

    /// The violations so far.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.violations).clone()
    }

    /// Adds a line to the trace, if there is one. Its time counts for the digest of the run in any case.
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

    /// Adds a distinguishing detail to the digest of the run.
    pub fn mark(&self, what: &str) {
        what.hash(&mut lock(&self.trace).digest);
    }

    /// Returns the trace, and a digest of everything that happened. Two runs of one seed have the same digest.
    pub fn take_trace(&self) -> (Vec<String>, u64) {
        let trace = &mut *lock(&self.trace);
        (trace.lines.take().unwrap_or_default(), trace.digest.finish())
    }
}

/// The clock of one function instance, which deviates by a constant.
#[derive(Debug)]
pub struct SkewedClock {
    world: Arc<World>,
    skew_ms: i64,
}

impl SkewedClock {
    /// Draws a clock with a deviation within the weather's limit.
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
