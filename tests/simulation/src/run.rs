//! Runs one seed, from its start to its verdict.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dynoxide::Database;
use relay_store::index::{ATTENTION, ATTENTION_PROJECTS, UNFINISHED, UNFINISHED_PROJECTS};
use relay_types::time::EpochMillis;
use serde_json::json;
use tokio::task::LocalSet;
use top_simulator::{Credentials, Simulator};

use crate::callers::Instruction;
use crate::coverage::Coverage;
use crate::judge::judge;
use crate::lambda::{Lambda, TABLE, spawn};
use crate::story::{Order, Story, audit_attention};
use crate::table::{Record, Replica, Snapshot};
use crate::world::{Weather, World, lock};
use crate::{events, queues};

/// The longest time, on the virtual clock, for a run to come to rest. It covers a ban of a day, then six hours until
/// the sweep looks at a waiting record.
const LONGEST: Duration = Duration::from_secs(5 * 24 * 3600);

/// The maximum number of sweeps of a run. The sweep looks at a waiting record at most every quarter of an hour.
const MOST_SWEEPS: usize = 1_000;

/// The result of a run.
#[derive(Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// The violations.
    pub violations: Vec<String>,
    /// Counts of everything exercised.
    pub coverage: Coverage,
    /// The trace, if it was requested.
    pub trace: Vec<String>,
    /// A digest of everything that happened. Two runs of one seed have the same digest.
    pub digest: u64,
}

/// The credentials that sign requests to TOP.
pub fn credentials() -> Credentials {
    Credentials { app_key: "12345678".to_owned(), app_secret: "secret".to_owned(), session: "session".to_owned() }
}

thread_local! {
    /// The tables of earlier runs. Creating a table takes longer than emptying one.
    static DATABASES: RefCell<Vec<Database>> = const { RefCell::new(Vec::new()) };
}

/// Keeps a table for the next run of this thread.
pub(crate) fn keep_database(database: Database) {
    DATABASES.with_borrow_mut(|databases| databases.push(database));
}

/// Returns an empty table with the schema of the template.
pub(crate) fn take_database() -> Database {
    let database = DATABASES.with_borrow_mut(Vec::pop).unwrap_or_else(|| {
        let database = Database::memory().expect("the embedded database opens");
        let index = |name: &str, sorted_by: &str, projects: &[&str]| {
            json!({
                "IndexName": name,
                "KeySchema": [
                    {"AttributeName": name, "KeyType": "HASH"},
                    {"AttributeName": sorted_by, "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": projects},
            })
        };
        let create = json!({
            "TableName": TABLE,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
                {"AttributeName": "unfinished", "AttributeType": "S"},
                {"AttributeName": "look_at", "AttributeType": "N"},
                {"AttributeName": "attention", "AttributeType": "S"},
                {"AttributeName": "since", "AttributeType": "N"},
            ],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            "GlobalSecondaryIndexes": [
                index(UNFINISHED, "look_at", &UNFINISHED_PROJECTS),
                index(ATTENTION, "since", &ATTENTION_PROJECTS),
            ],
        });
        database.create_table(serde_json::from_value(create).expect("a valid request")).expect("the table is created");
        database
    });
    let scan = serde_json::from_value(json!({"TableName": TABLE})).expect("a valid request");
    let left = serde_json::to_value(database.scan(scan).expect("the scan succeeds")).expect("a valid response");
    for item in left["Items"].as_array().into_iter().flatten() {
        let delete = json!({"TableName": TABLE, "Key": {"pk": item["pk"], "sk": item["sk"]}});
        database.delete_item(serde_json::from_value(delete).expect("a valid request")).expect("the deletion succeeds");
    }
    database
}

/// Whether reads of a seed may return stale data: true for two seeds of five.
const fn has_delays(seed: u64) -> bool {
    matches!(seed % 5, 0 | 2)
}

/// Whether the order events of a seed are judged: true for one seed of five. In these seeds, and in those of
/// [`has_delays`], requests may arrive minutes late.
const fn has_events(seed: u64) -> bool {
    seed % 5 == 1
}

/// A runtime on virtual time, in which `seed` decides the SDK's pauses too.
pub fn virtual_time(seed: u64) -> tokio::runtime::Runtime {
    // The SDK draws its pauses from this generator.
    fastrand::seed(seed);
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("the runtime starts")
}

/// Runs a seed. `traced` records everything that happens.
pub fn run(seed: u64, traced: bool) -> Report {
    let runtime = virtual_time(seed);
    let local = LocalSet::new();
    let database = take_database();
    let world = local.block_on(&runtime, async {
        let world = World::new(seed, database.clone(), Simulator::new(credentials()), traced);
        if has_delays(seed) {
            *lock(&world.replica) = Some(Replica::new(take_database()));
        }
        if has_events(seed) {
            *lock(&world.stream) = Some(Vec::new());
        }
        live(&world).await;
        world
    });
    // Remaining tasks end with their runtime.
    drop(local);
    drop(runtime);
    keep_database(database);
    if let Some(replica) = lock(&world.replica).take() {
        keep_database(replica.database);
    }
    let (trace, digest) = world.take_trace();
    let coverage = std::mem::take(&mut *lock(&world.coverage));
    Report { seed, violations: world.violations(), coverage, trace, digest }
}

async fn live(world: &Arc<World>) {
    let pick = |choices: &[f64]| choices[world.draw(|chance| chance.usize(..choices.len()))];
    let functions =
        ["dispatch", "order-link", "submit-call", "sweep", "ship-notify", "itinerary-postback", "ticket-verify"];
    let worst = world.happens(0.4).then(|| functions[world.draw(|chance| chance.usize(..functions.len()))]);
    let calm = world.happens(0.08);
    let weather = if calm {
        Weather::CALM
    } else {
        Weather {
            request: pick(&[0.0, 0.03, 0.08, 0.15, 0.3]),
            queue: pick(&[0.0, 0.05, 0.2]),
            top: pick(&[0.0, 0.1, 0.4]),
            delay: if lock(&world.replica).is_some() || lock(&world.stream).is_some() { 0.1 } else { 0.0 },
            worst,
            skew: Duration::from_secs(30),
            distance: *[0, 5, 30, 300].get(world.draw(|chance| chance.usize(..4))).unwrap_or(&0),
        }
    };
    world.set_weather(weather);
    let lambda = Lambda::new(world.clone());
    for queue in queues::names() {
        spawn(lambda.clone().poll(queue));
    }
    let story = Story::draw(lambda.clone());
    let within = world.between(5_000, 1_200_000);
    story.begin(within);
    let chaos = within + world.between(60_000, 900_000);
    let storm = tokio::time::Instant::now() + chaos;
    while tokio::time::Instant::now() < storm {
        tokio::time::sleep(world.between(120_000, 900_000)).await;
        let twice = world.happens(0.1);
        if twice {
            world.saw("two sweeps overlapped");
            tokio::join!(lambda.sweep(), lambda.sweep());
        } else {
            lambda.sweep().await;
        }
    }
    world.note(|| "--- faults have ended".to_owned());
    world.set_weather(if calm { Weather::CALM } else { Weather::FAIR });
    lock(&world.top).clear_faults();
    if world.happens(0.9) {
        world.saw("an operator had banned calls tried");
        story.callers.retry_now().await;
    }
    let orders: Vec<_> = story.orders.iter().map(Order::name).collect();
    rest(world, &lambda, || story.is_over()).await;
    judge(world, &orders, &lock(&story.callers.knowledge), false);
    audit_attention(&lambda).await;
    if world.happens(0.5) {
        world.note(|| "--- operators repair everything".to_owned());
        // No request of an unknown call may be in flight when an operator asks TOP about it.
        tokio::time::sleep(Duration::from_secs(180)).await;
        story.resolve_unknown().await;
        for order in &orders {
            world.saw("an operator replayed an order");
            story.callers.instruct(order, Instruction::Replay).await;
        }
        rest(world, &lambda, || story.is_over()).await;
        judge(world, &orders, &lock(&story.callers.knowledge), true);
        audit_attention(&lambda).await;
    }
    world.set_weather(weather);
    events::judge(&lambda).await;
    lambda.stop();
}

/// Lets everything come to rest. The schedule sweeps, the queues deliver, and time passes. At the end, every unfinished
/// record waits for the booking system or needs attention.
pub(crate) async fn rest(world: &World, lambda: &Lambda, is_over: impl Fn() -> bool) {
    let begun = world.now();
    // Wait until late requests have arrived.
    tokio::time::sleep(Duration::from_secs(150)).await;
    while world.on_their_way.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let mut looked_at = None;
    let mut sweeps = 0;
    let mut seen = (u64::MAX, Vec::new());
    loop {
        if begun.until(world.now()) > LONGEST || sweeps > MOST_SWEEPS {
            world.violated("the run never came to rest".to_owned());
            return;
        }
        if !(is_over() && lambda.is_idle()) {
            tokio::time::sleep(Duration::from_secs(5)).await;
            continue;
        }
        if seen.0 != world.writes() {
            seen = (world.writes(), Snapshot::of(world).records);
        }
        let records = &seen.1;
        let is_still = |record: &Record| {
            record.undecided == 0 && !record.is_sending && (record.target.is_none() || record.end.is_some())
        };
        let revisions: Vec<_> = records.iter().map(|record| (record.pk.clone(), record.revision)).collect();
        let depends_on_others = |record: &&Record| {
            record.waits.as_deref() == Some("lane_undecided")
                || record.attention.as_ref().is_some_and(|reasons| reasons.iter().any(|reason| reason == "lane_taken"))
        };
        // An instance's clock may be half a minute slow.
        let look_at = |record: &Record| record.look_at.map(|look_at| EpochMillis(look_at + 31_000));
        let overdue = if world.queues.are_empty() && records.iter().all(is_still) {
            // The sweep looks once more at records that wait for another one, after the last change of any record.
            let slow = records.iter().filter(depends_on_others).filter_map(look_at).max();
            if slow.is_none() || looked_at.as_ref() == Some(&revisions) {
                return;
            }
            looked_at = Some(revisions);
            slow
        } else {
            records.iter().filter(|record| !is_still(record)).filter_map(look_at).min()
        };
        let visible = queues::names().filter_map(|queue| world.queues.next_visible(queue)).min();
        let next = [visible, overdue].into_iter().flatten().min().unwrap_or_else(|| world.now());
        tokio::time::sleep_until(world.instant(next)).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        if overdue.is_some_and(|overdue| overdue <= world.now()) {
            lambda.sweep().await;
            sweeps += 1;
        }
    }
}
