//! What order events must say of a run: each thing that happened once, also if the stream hands changes over twice.

use std::collections::{BTreeMap, BTreeSet};

use order_events::event::{OrderEvent, StreamRecord};
use serde_json::json;

use crate::judge::lanes_with_effect;
use crate::world::{Change, World, lock};

fn events_of((before, after): &Change) -> Vec<OrderEvent> {
    let mut change = json!({"dynamodb": {"NewImage": **after}});
    if !before.is_null() {
        change["dynamodb"]["OldImage"] = (**before).clone();
    }
    let change: StreamRecord = serde_json::from_value(change).expect("a change of a stream");
    change.events("simulation")
}

/// Judges the events of a run that is at rest, if somebody follows it.
pub fn judge(world: &World) {
    let Some(changes) = lock(&world.stream).take() else { return };
    let mut by_id: BTreeMap<String, OrderEvent> = BTreeMap::new();
    for event in changes.iter().flat_map(events_of) {
        if let Some(earlier) = by_id.insert(event.id.clone(), event) {
            world.violated(format!("an event was published of two changes: {earlier:?}"));
        }
    }
    let succeeded: BTreeSet<_> = by_id
        .values()
        .filter(|event| event.data.outcome.as_str() == "succeeded" && !event.data.said_by_person)
        .filter_map(|event| Some(format!("{}/{}", event.data.kind, event.data.key.as_ref()?)))
        .filter(|lane| !lane.starts_with("ticket-verify/"))
        .collect();
    let with_effect = lanes_with_effect(world);
    for lane in succeeded.difference(&with_effect) {
        world.violated(format!("subscribers were told that {lane} succeeded, and it had no effect"));
    }
    let received = by_id.values().filter(|event| event.data.outcome.as_str() == "received").count();
    let notifications: usize = crate::table::notifications(world);
    if received != notifications {
        world.violated(format!("{received} notifications were published, and {notifications} are in the table"));
    }
}
