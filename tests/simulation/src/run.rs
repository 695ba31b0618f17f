//! One run, from its seed to its verdict.

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

use crate::callers::Word;
use crate::coverage::Coverage;
use crate::judge::judge;
use crate::lambda::{Lambda, TABLE, spawn};
use crate::story::{Order, Story, audit_attention};
use crate::table::{Record, Replica, Snapshot};
use crate::world::{Weather, World, lock};
use crate::{events, queues};

/// No run takes longer, on its own clock, to come to rest: a day's ban, then six hours to the next look at what waits.
const LONGEST: Duration = Duration::from_secs(5 * 24 * 3600);

/// Nor does it need more sweeps: what waits is looked at every quarter of an hour at most.
const MOST_SWEEPS: usize = 1_000;

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// What must never happen, and did.
    pub violations: Vec<String>,
    /// What was exercised.
    pub coverage: Coverage,
    /// Everything that happened, if it was asked for.
    pub trace: Vec<String>,
    /// A digest of everything that happened: two runs of one seed have the same.
    pub digest: u64,
}

/// What requests to TOP are signed with.
pub fn credentials() -> Credentials {
    Credentials { app_key: "12345678".to_owned(), app_secret: "secret".to_owned(), session: "session".to_owned() }
}

thread_local! {
    /// The table of the runs before, emptied: making one takes longer than emptying it.
    static DATABASES: RefCell<Vec<Database>> = const { RefCell::new(Vec::new()) };
}

/// Keeps a table for the next run of this thread.
pub(crate) fn keep_database(database: Database) {
    DATABASES.with_borrow_mut(|databases| databases.push(database));
}

/// An empty table, as the template has it.
pub(crate) fn take_database() -> Database {
    let database = DATABASES.with_borrow_mut(Vec::pop).unwrap_or_else(|| {
        let database = Database::memory().expect("an embedded database");
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
        database.create_table(serde_json::from_value(create).expect("a request")).expect("a table");
        database
    });
    let scan = serde_json::from_value(json!({"TableName": TABLE})).expect("a request");
    let left = serde_json::to_value(database.scan(scan).expect("a scan")).expect("an answer");
    for item in left["Items"].as_array().into_iter().flatten() {
        let delete = json!({"TableName": TABLE, "Key": {"pk": item["pk"], "sk": item["sk"]}});
        database.delete_item(serde_json::from_value(delete).expect("a request")).expect("a deletion");
    }
    database
}

/// Whether reads of a seed may see the table as it was: in two of five.
const fn has_delays(seed: u64) -> bool {
    matches!(seed % 5, 0 | 2)
}

/// Whether order events of a seed are judged: in one of five. In these and the former, requests may arrive minutes late.
const fn has_events(seed: u64) -> bool {
    seed % 5 == 1
}

/// Runs a seed. `traced`: takes down everything that happens.
pub fn run(seed: u64, traced: bool) -> Report {
    // What the SDK draws for its pauses comes from here.
    fastrand::seed(seed);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
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
    // What is left behind ends with its runtime.
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
    for queue in queues::NAMES {
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
            world.saw("two sweeps ran at once");
            tokio::join!(lambda.sweep(), lambda.sweep());
        } else {
            lambda.sweep().await;
        }
    }
    world.note(|| "nothing goes wrong any more".to_owned());
    world.set_weather(if calm { Weather::CALM } else { Weather::FAIR });
    lock(&world.top).clear_faults();
    let orders: Vec<_> = story.orders.iter().map(Order::name).collect();
    rest(world, &lambda, || story.is_over()).await;
    judge(world, &orders, &lock(&story.callers.knowledge), false);
    audit_attention(&lambda).await;
    if world.happens(0.5) {
        world.note(|| "operators repair everything".to_owned());
        // Nothing of an unknown call may be on its way any more when TOP is asked about it.
        tokio::time::sleep(Duration::from_secs(180)).await;
        story.settle_unknown().await;
        for order in &orders {
            world.saw("an operator replayed an order");
            story.callers.say(order, Word::Replay).await;
        }
        rest(world, &lambda, || story.is_over()).await;
        judge(world, &orders, &lock(&story.callers.knowledge), true);
        audit_attention(&lambda).await;
    }
    world.set_weather(weather);
    events::judge(&lambda).await;
    lambda.stop();
}

/// Lets everything come to rest: the schedule sweeps, the queues deliver, and time passes until nothing is left but
/// what waits for the booking system or for a person.
pub(crate) async fn rest(world: &World, lambda: &Lambda, is_over: impl Fn() -> bool) {
    let begun = world.now();
    // Until what was late has arrived.
    tokio::time::sleep(Duration::from_secs(150)).await;
    while world.on_their_way.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let mut looked_at = None;
    let mut sweeps = 0;
    let mut seen = (u64::MAX, Vec::new());
    loop {
        if begun.until(world.now()) > LONGEST || sweeps > MOST_SWEEPS {
            world.violated("it never comes to rest".to_owned());
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
        // A clock may be half a minute slow.
        let look_at = |record: &Record| record.look_at.map(|look_at| EpochMillis(look_at + 31_000));
        let overdue = if world.queues.are_empty() && records.iter().all(is_still) {
            // What waits for another record is looked at once more after the last change of any.
            let slow = records.iter().filter(depends_on_others).filter_map(look_at).max();
            if slow.is_none() || looked_at.as_ref() == Some(&revisions) {
                return;
            }
            looked_at = Some(revisions);
            slow
        } else {
            records.iter().filter(|record| !is_still(record)).filter_map(look_at).min()
        };
        let visible = queues::NAMES.iter().filter_map(|queue| world.queues.next_visible(queue)).min();
        let next = [visible, overdue].into_iter().flatten().min().unwrap_or_else(|| world.now());
        tokio::time::sleep_until(world.instant(next)).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        if overdue.is_some_and(|overdue| overdue <= world.now()) {
            lambda.sweep().await;
            sweeps += 1;
        }
    }
}
