//! The table as it is, read past the relay.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::lambda::TABLE;
use crate::world::World;

/// A call's item.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its partition key.
    pub pk: String,
    /// Which call.
    pub call: String,
    /// Under which key.
    pub key: String,
    /// Its state.
    pub state: String,
    /// What it says.
    pub request: Value,
    /// When it was asked for.
    pub created_at: i64,
    /// When it last changed.
    pub updated_at: i64,
    /// Whether it may be asked for again with the same request.
    pub may_be_asked_again: bool,
    /// How often it was claimed.
    pub attempt: i64,
    /// How its attempts ended.
    pub outcomes: Vec<String>,
    /// What the index and the time to live see of it.
    pub marks: Marks,
}

/// A notification's item.
#[derive(Debug, Clone)]
pub struct Notification {
    /// Its partition key.
    pub pk: String,
    /// Its sort key.
    pub sk: String,
    /// Its state.
    pub state: String,
    /// Why.
    pub reason: String,
    /// The body of the first delivery.
    pub payload: Value,
    /// When the first delivery came.
    pub received_at: i64,
    /// When the last one came that was counted.
    pub delivered_at: i64,
    /// When it was decided last.
    pub decided_at: i64,
    /// How often a person had it decided again.
    pub replays: i64,
    /// Who last did.
    pub replayed_by: String,
    /// The calls it led to.
    pub calls: BTreeSet<String>,
    /// What the index and the time to live see of it.
    pub marks: Marks,
}

/// What the index and the time to live see of an item.
#[derive(Debug, Clone)]
pub struct Marks {
    /// The index's partition.
    pub unfinished: Option<String>,
    /// When somebody must look.
    pub look_at: Option<i64>,
    /// Whether it expires.
    pub expires: bool,
}

/// A link's item.
#[derive(Debug, Clone)]
pub struct Link {
    /// Its partition key.
    pub pk: String,
    /// What the booking system said.
    pub link: Value,
    /// When it said so.
    pub updated_at: i64,
}

/// All items but the quarantined bodies.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The calls.
    pub calls: Vec<Call>,
    /// The notifications.
    pub notifications: Vec<Notification>,
    /// The links.
    pub links: Vec<Link>,
}

fn text(item: &Value, name: &str) -> String {
    item[name]["S"].as_str().unwrap_or_default().to_owned()
}

fn number(item: &Value, name: &str) -> Option<i64> {
    item[name]["N"].as_str()?.parse().ok()
}

fn parsed(item: &Value, name: &str) -> Value {
    serde_json::from_str(&text(item, name)).unwrap_or_default()
}

fn marks(item: &Value) -> Marks {
    Marks {
        unfinished: item["unfinished"]["S"].as_str().map(str::to_owned),
        look_at: number(item, "look_at"),
        expires: !item["expires_at"].is_null(),
    }
}

/// The item that a message names.
pub fn named_by(world: &World, message: &str) -> Option<Value> {
    let key: Value = serde_json::from_str(message).ok()?;
    let part = |name: &str| key[name].as_str();
    let (pk, sk) = match part("call") {
        Some(call) => (format!("call#{call}#{}", part("key")?), "call".to_owned()),
        None => (
            format!("order#{}#{}", part("partner")?, part("order_id")?),
            format!("notification#{}#{}", part("kind")?, part("digest")?),
        ),
    };
    let get = json!({"TableName": TABLE, "Key": {"pk": {"S": pk}, "sk": {"S": sk}}});
    let got = world.database.get_item(serde_json::from_value(get).expect("a request")).expect("an answer");
    let got = serde_json::to_value(&got).expect("an answer");
    got.get("Item").filter(|item| !item.is_null()).cloned()
}

/// Whether an item is a record in which something must go on by itself.
pub fn is_to_be_worked_on(item: &Value) -> bool {
    ["received", "pending", "in_progress"].contains(&text(item, "state").as_str())
}

impl Snapshot {
    /// Reads it.
    pub fn of(world: &World) -> Self {
        let request = serde_json::from_value(json!({"TableName": TABLE})).expect("a request");
        let scanned = world.database.scan(request).expect("a scan of the embedded table");
        let scanned = serde_json::to_value(&scanned).expect("an answer");
        assert!(scanned["LastEvaluatedKey"].is_null(), "a run's table fits one page");
        let mut snapshot = Self::default();
        for item in scanned["Items"].as_array().into_iter().flatten() {
            let (pk, sk) = (text(item, "pk"), text(item, "sk"));
            if pk.starts_with("call#") {
                let outcomes = item["history"]["L"].as_array().into_iter().flatten();
                snapshot.calls.push(Call {
                    pk,
                    call: text(item, "call"),
                    key: text(item, "key"),
                    state: text(item, "state"),
                    request: parsed(item, "request_json"),
                    created_at: number(item, "created_at").unwrap_or_default(),
                    updated_at: number(item, "updated_at").unwrap_or_default(),
                    may_be_asked_again: item["may_be_asked_again"]["BOOL"] == true,
                    attempt: number(item, "attempt").unwrap_or_default(),
                    outcomes: outcomes.map(|entry| text(&entry["M"], "outcome")).collect(),
                    marks: marks(item),
                });
            } else if sk == "link" {
                let updated_at = number(item, "updated_at").unwrap_or_default();
                snapshot.links.push(Link { pk, link: parsed(item, "link"), updated_at });
            } else if sk.starts_with("notification#") {
                let calls = item["calls"]["SS"].as_array().into_iter().flatten();
                snapshot.notifications.push(Notification {
                    pk,
                    sk,
                    state: text(item, "state"),
                    reason: text(item, "reason"),
                    payload: parsed(item, "payload"),
                    received_at: number(item, "received_at").unwrap_or_default(),
                    delivered_at: number(item, "last_received_at").unwrap_or_default(),
                    decided_at: number(item, "decided_at").unwrap_or_default(),
                    replays: number(item, "replays").unwrap_or_default(),
                    replayed_by: text(item, "replayed_by"),
                    calls: calls.filter_map(Value::as_str).map(str::to_owned).collect(),
                    marks: marks(item),
                });
            }
        }
        snapshot
    }

    /// What the sweep has still to look at, each as its state, when it must, and when it was decided.
    pub fn open(&self) -> impl Iterator<Item = (&str, i64, i64)> {
        let is_open = |marks: &&Marks| marks.unfinished.as_deref().is_some_and(|mark| mark.starts_with("sweep#"));
        let calls = self.calls.iter().map(|call| (call.state.as_str(), &call.marks, 0));
        let notifications = self.notifications.iter().map(|one| (one.state.as_str(), &one.marks, one.decided_at));
        calls
            .chain(notifications)
            .filter(move |(_, marks, _)| is_open(marks))
            .filter_map(|(state, marks, decided_at)| Some((state, marks.look_at?, decided_at)))
    }
}
