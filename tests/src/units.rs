//! Computes the write units of table changes by DynamoDB's published rules, from the items before and after.
//!
//! Sources: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html> (sizes),
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html> (writes of an index).

use relay_store::index::{ATTENTION, ATTENTION_PROJECTS, UNFINISHED, UNFINISHED_PROJECTS};
use serde_json::Value;

/// Size of one write unit, in bytes.
const UNIT: usize = 1024;
/// Overhead of a list or map besides its members, in bytes.
const COLLECTION: usize = 3;

/// Write units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Units {
    /// Units of the table.
    pub table: usize,
    /// Units of its indexes.
    pub indexes: usize,
}

/// Computes the cost of these changes, given as records of the table's stream.
pub fn written(changes: &[Value]) -> Units {
    changes.iter().fold(Units::default(), |units, change| {
        let (before, after) = (&change["dynamodb"]["OldImage"], &change["dynamodb"]["NewImage"]);
        let index = |name: &str, sorted_by: &str, projects: &[&str]| {
            let entry = |item: &Value| entry(item, name, sorted_by, projects);
            of_index(&entry(before), &entry(after))
        };
        Units {
            table: units.table + units_of(size(before).max(size(after))),
            indexes: units.indexes
                + index(UNFINISHED, "look_at", &UNFINISHED_PROJECTS)
                + index(ATTENTION, "since", &ATTENTION_PROJECTS),
        }
    })
}

/// An item's entry in an index: keys and projected attributes. `None` if the item is not in the index.
fn entry(item: &Value, partition: &str, sorted_by: &str, projects: &[&str]) -> Option<Value> {
    let keys = [partition, sorted_by];
    if keys.iter().any(|key| item[*key].is_null()) {
        return None;
    }
    let members = keys.iter().chain(&["pk", "sk"]).chain(projects);
    let member = |name: &&str| Some(((*name).to_owned(), item.get(*name)?.clone()));
    Some(members.filter_map(member).collect())
}

/// Units of a change to an index entry. If its keys change, it is deleted and put. Without a change, it costs nothing.
fn of_index(before: &Option<Value>, after: &Option<Value>) -> usize {
    match (before, after) {
        (None, None) => 0,
        (Some(entry), None) | (None, Some(entry)) => units_of(size(entry)),
        (Some(before), Some(after)) if before == after => 0,
        (Some(before), Some(after)) => {
            let keys = [UNFINISHED, "look_at", ATTENTION, "since"];
            if keys.iter().any(|key| before.get(key) != after.get(key)) {
                units_of(size(before)) + units_of(size(after))
            } else {
                units_of(size(before).max(size(after)))
            }
        }
    }
}

fn units_of(bytes: usize) -> usize {
    bytes.div_ceil(UNIT)
}

/// The size of an item, in bytes: names and values of its attributes.
pub fn size(item: &Value) -> usize {
    let attributes = item.as_object().into_iter().flatten();
    attributes.map(|(name, value)| name.len() + size_of_value(value)).sum()
}

fn size_of_value(value: &Value) -> usize {
    let Some((kind, value)) = value.as_object().and_then(|value| value.iter().next()) else { return 0 };
    match (kind.as_str(), value) {
        ("S" | "B", Value::String(text)) => text.len(),
        // About one byte for two digits, one more byte, and one for a sign.
        ("N", Value::String(number)) => number.len().div_ceil(2) + 1,
        ("SS" | "NS" | "BS", Value::Array(members)) => members.iter().filter_map(Value::as_str).map(str::len).sum(),
        ("L", Value::Array(members)) => {
            COLLECTION + members.iter().map(|member| 1 + size_of_value(member)).sum::<usize>()
        }
        ("M", Value::Object(members)) => {
            COLLECTION + members.iter().map(|(name, member)| 1 + name.len() + size_of_value(member)).sum::<usize>()
        }
        _ => 1,
    }
}
