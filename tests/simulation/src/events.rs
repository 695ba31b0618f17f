//! Checks the events that subscribers get from a run. Each change is published, and its id identifies it however often
//! it comes.

use std::collections::{BTreeMap, BTreeSet};

use relay_order_events::event::StreamRecord;
use serde_json::{Value, json};

use crate::judge::lanes_with_effect;
use crate::lambda::Lambda;
use crate::world::{Change, World, lock};

/// The `source` of a run's events.
pub const SOURCE: &str = "simulation";

/// Passes the changes on as Lambda does, in batches of any size. Each batch is repeated until it was published whole,
/// and sometimes once more.
async fn follow(lambda: &Lambda, changes: &[Value]) {
    let world = &lambda.world;
    let mut rest = changes;
    while !rest.is_empty() {
        let (batch, behind) = rest.split_at(world.draw(|chance| chance.usize(1..=rest.len().min(100))));
        let mut times = if world.happens(0.2) { 2 } else { 1 };
        while times > 0 {
            if lambda.follow(batch).await {
                times -= 1;
            } else {
                tokio::time::sleep(world.between(500, 2_000)).await;
            }
        }
        rest = behind;
    }
}

fn record_of((before, after): &Change) -> Value {
    let mut change = json!({"dynamodb": {"NewImage": **after}});
    if !before.is_null() {
        change["dynamodb"]["OldImage"] = (**before).clone();
    }
    change
}

/// Publishes the events of a run that is at rest, if its stream is followed, and judges what subscribers got.
pub async fn judge(lambda: &Lambda) {
    let world: &World = &lambda.world;
    let Some(changes) = lock(&world.stream).take() else { return };
    let changes: Vec<Value> = changes.iter().map(record_of).collect();
    let mut expected = BTreeSet::new();
    for change in &changes {
        let change: StreamRecord = serde_json::from_value(change.clone()).expect("a valid stream record");
        for event in change.events(SOURCE) {
            if !expected.insert(event.id.clone()) {
                world.violated(format!("two changes led to the same event: {event:?}"));
            }
        }
    }
    let mut by_id: BTreeMap<String, Value> = BTreeMap::new();
    follow(lambda, &changes).await;
    for event in std::mem::take(&mut *lock(&world.published)) {
        let id = event["id"].as_str().unwrap_or_default().to_owned();
        let known = by_id.entry(id).or_insert_with(|| event.clone());
        if *known != event {
            world.violated(format!("two events share an id: {known} and {event}"));
        }
    }
    for missing in expected.iter().filter(|id| !by_id.contains_key(*id)) {
        world.violated(format!("an event was not published: {missing}"));
    }
    let outcome = |event: &&Value, outcome: &str| event["data"]["outcome"] == outcome;
    let succeeded: BTreeSet<_> = by_id
        .values()
        .filter(|event| outcome(event, "succeeded") && event["data"]["said_by_person"] != true)
        .filter_map(|event| Some(format!("{}/{}", event["data"]["kind"].as_str()?, event["data"]["key"].as_str()?)))
        .filter(|lane| !lane.starts_with("ticket-verify/"))
        .collect();
    let with_effect = lanes_with_effect(world);
    for lane in succeeded.difference(&with_effect) {
        world.violated(format!("an event says that a call succeeded, but it had no effect: {lane}"));
    }
    let received = by_id.values().filter(|event| outcome(event, "received")).count();
    let notifications: usize = crate::table::notifications(world);
    if received != notifications {
        world.violated(format!("{received} notifications were published, but {notifications} are in the table"));
    }
}
