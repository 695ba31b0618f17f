//! Converts an order record to and from a DynamoDB item.
//!
//! Attributes that this version does not know are kept unchanged.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use relay_types::record::{Attention, OrderRecord, RecordKey};
use relay_types::time::EpochMillis;
use serde::de::DeserializeOwned;

use crate::index::shard_of;
use crate::{Item, StoreError, n, s};

/// The attributes that this version writes, besides those with a prefix.
pub const KNOWN: [&str; 32] = [
    "touched", "began", "pk", "sk", "revision", "writer", "link", "facts", "current", "repeat", "wanted", "generation",
    "attempt", "unsettled", "quiet", "told", "submissions", "waits", "stopped", "dismissed", "waiting", "history",
    "entries", "summarised", "kept_until", "expires_at", "points_to", "attention", "since", "reasons", "unfinished",
    "look_at",
];
/// The prefix of the target's attributes.
const TARGET: &str = "t_";
/// The prefix of the current claim's attributes.
const SENDING: &str = "s_";
/// The prefix of a notification's attribute. The notification's digest follows.
pub const NOTIFICATION: &str = "n#";

/// The sort key of a record.
pub const RECORD: &str = "record";

/// Reads a record from its item.
///
/// # Errors
/// If the item is not in this version's format.
pub fn read_record(mut item: Item) -> Result<OrderRecord, StoreError> {
    let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
    let (pk, sk) = (text("pk"), text("sk"));
    let foreign = || StoreError::Foreign { pk: pk.clone(), sk: sk.clone() };
    let key = RecordKey::parse(&pk).ok_or_else(foreign)?;
    let target = read_part(&mut item, TARGET).map_err(|()| foreign())?;
    let sending = read_part(&mut item, SENDING).map_err(|()| foreign())?;
    let mut notifications = BTreeMap::new();
    for (digest, value) in take_prefixed(&mut item, NOTIFICATION) {
        notifications.insert(digest, serde_dynamo::from_attribute_value(value).map_err(|_| foreign())?);
    }
    let number = |name: &str| item.get(name).and_then(|value| value.as_n().ok()?.parse().ok()).map(EpochMillis);
    let look_at = number("look_at").filter(|_| item.contains_key("unfinished"));
    let reasons = item.get("reasons").and_then(|value| serde_dynamo::from_attribute_value(value.clone()).ok());
    let attention = number("since").zip(reasons).map(|(since, reasons)| Attention { since, reasons });
    let unknown = item.iter().filter(|(name, _)| !KNOWN.contains(&name.as_str()));
    let unknown = unknown.map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let record: OrderRecord = serde_dynamo::from_item(item).map_err(|_| foreign())?;
    Ok(OrderRecord { key, target, sending, notifications, look_at, attention, foreign: unknown, ..record })
}

/// Writes a record as an item.
///
/// # Errors
/// If the record cannot be serialised.
pub fn write_record(record: &OrderRecord) -> Result<Item, StoreError> {
    let failed = |error: serde_dynamo::Error| StoreError::Request {
        operation: "serialising a record",
        cause: error.to_string(),
    };
    let mut item: Item = serde_dynamo::to_item(record).map_err(failed)?;
    item.extend(record.foreign.iter().map(|(name, value)| (name.clone(), value.clone().into())));
    let mut add = |prefix: &str, part: Item| {
        item.extend(part.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)));
    };
    if let Some(target) = &record.target {
        add(TARGET, serde_dynamo::to_item(target).map_err(failed)?);
    }
    if let Some(sending) = &record.sending {
        add(SENDING, serde_dynamo::to_item(sending).map_err(failed)?);
    }
    add(NOTIFICATION, serde_dynamo::to_item(&record.notifications).map_err(failed)?);
    let pk = record.key.pk();
    if let Some(look_at) = record.look_at {
        item.insert("unfinished".into(), shard_of(&pk));
        item.insert("look_at".into(), n(look_at.0));
    }
    if let Some(attention) = &record.attention {
        item.insert("attention".into(), shard_of(&pk));
        item.insert("since".into(), n(attention.since.0));
        let reasons = serde_dynamo::to_attribute_value(&attention.reasons).map_err(failed)?;
        item.insert("reasons".into(), reasons);
    }
    item.extend([("pk".to_owned(), s(pk)), ("sk".to_owned(), s(RECORD))]);
    Ok(item)
}

fn take_prefixed(item: &mut Item, prefix: &str) -> Vec<(String, AttributeValue)> {
    let names: Vec<_> = item.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
    names.into_iter().filter_map(|name| Some((name[prefix.len()..].to_owned(), item.remove(&name)?))).collect()
}

fn read_part<T: DeserializeOwned>(item: &mut Item, prefix: &str) -> Result<Option<T>, ()> {
    let part: Item = take_prefixed(item, prefix).into_iter().collect();
    // A claim's condition may have left attributes of a target that is gone. Without `call` there is no target.
    if part.is_empty() { Ok(None) } else { serde_dynamo::from_item(part).map(Some).map_err(|_| ()) }
}
