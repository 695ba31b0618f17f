//! Reads the table directly, without the relay.

use std::collections::{BTreeMap, VecDeque};

use dynoxide::Database;
use relay_tests::cloud::dynamodb;
use relay_types::time::EpochMillis;
use serde_json::{Value, json};

use crate::lambda::TABLE;
use crate::world::World;

/// The indexes, each with its partition key attribute.
pub const INDEXES: &[(&str, &str)] = &[("unfinished", "unfinished"), ("attention", "attention")];

/// A record's item.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its partition key.
    pub pk: String,
    /// Its revision.
    pub revision: i64,
    /// The number of undecided facts.
    pub undecided: usize,
    /// The reasons why it needs attention, if it does.
    pub attention: Option<Vec<String>>,
    /// The reasons that an operator dismissed.
    pub dismissed: Vec<String>,
    /// The reason why it waits.
    pub waits: Option<String>,
    /// Whether an operator stopped it.
    pub is_stopped: bool,
    /// The lane of its target, `call/id`.
    pub target: Option<String>,
    /// The key of its target.
    pub key: String,
    /// The request of its target, if it is in the record.
    pub request: Value,
    /// The lanes on which it told TOP something, according to the record.
    pub told: Vec<String>,
    /// The outcome of its target: refused or unknown.
    pub end: Option<String>,
    /// The number of claims of the target.
    pub attempt: i64,
    /// Whether a sender owns the target.
    pub is_sending: bool,
    /// The time of the sweep's next look, if there is one.
    pub look_at: Option<i64>,
    /// Whether it expires.
    pub expires: bool,
    /// The number of deliveries of each notification, by digest.
    pub deliveries: BTreeMap<String, i64>,
    /// The submissions: key, outcome, and whether TOP refused it.
    pub submissions: Vec<(String, String, bool)>,
    /// The reasons of its failed attempts, with TOP's answers.
    pub failures: Vec<String>,
    /// The end of the last failed attempt.
    pub ended_at: i64,
}

fn text(item: &Value, name: &str) -> String {
    item[name]["S"].as_str().unwrap_or_default().to_owned()
}

fn optional(item: &Value, name: &str) -> Option<String> {
    item[name]["S"].as_str().map(str::to_owned)
}

fn number(item: &Value, name: &str) -> Option<i64> {
    item[name]["N"].as_str()?.parse().ok()
}

fn list(item: &Value, name: &str) -> Vec<String> {
    let values = item[name]["L"].as_array().into_iter().flatten();
    values.filter_map(|value| value["S"].as_str()).map(str::to_owned).collect()
}

/// Returns the partition key of the record that a message names.
pub fn pk_in(message: &str) -> Option<String> {
    let key: Value = serde_json::from_str(message).ok()?;
    let part = |name: &str| key[name].as_str();
    Some(match part("call") {
        Some(call) => format!("submission#{call}#{}", part("id")?),
        None => format!("order#{}#{}", part("partner")?, part("order_id")?),
    })
}

/// Returns the item that a message names.
pub fn named_by(world: &World, message: &str) -> Option<Value> {
    let pk = pk_in(message)?;
    Some(item(&world.database, &json!({"pk": {"S": pk}, "sk": {"S": "record"}}))).filter(|item| !item.is_null())
}

/// Whether the function of a queue has work to do on an item.
pub fn is_to_be_worked_on(item: &Value, queue: &str) -> bool {
    let has_facts = item["facts"].is_object();
    if queue == "notifications" {
        has_facts
    } else {
        // Dispatch gives up a call of a dead sender that must not be sent again.
        let is_left = !item["s_owner"].is_null() && text(item, "t_resend") == "never";
        let is_due = !item["t_due"].is_null() && item["t_end"].is_null();
        !has_facts && !is_left && text(item, "t_call") == queue && is_due
    }
}

/// All records and the owners of lanes.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The records.
    pub records: Vec<Record>,
    /// The owner of each lane (`call/id`): a record's partition key.
    pub owners: BTreeMap<String, String>,
}

/// Returns all items.
pub fn items(database: &Database) -> Vec<Value> {
    let request = serde_json::from_value(json!({"TableName": TABLE})).expect("a valid request");
    let scanned = database.scan(request).expect("the scan of the embedded table succeeds");
    let mut scanned = serde_json::to_value(&scanned).expect("a valid response");
    assert!(scanned["LastEvaluatedKey"].is_null(), "the table does not fit one page of a scan");
    match scanned["Items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

/// Counts the notifications of all records.
pub fn notifications(world: &World) -> usize {
    let items = items(&world.database);
    items
        .iter()
        .flat_map(|item| item.as_object().into_iter().flatten())
        .filter(|(name, _)| name.starts_with("n#"))
        .count()
}

/// Sorts the members of a value: an item's members come in any order.
pub fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<_, _> =
                members.iter().map(|(name, value)| (name.clone(), self::sorted(value))).collect();
            Value::Object(sorted.into_iter().collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// Returns the key in a request to DynamoDB, or the item that contains it. Returns `Null` if the request names several
/// items.
pub fn key_of(request: &Value) -> &Value {
    if request["Key"].is_object() { &request["Key"] } else { &request["Item"] }
}

/// Returns the item with a key, or `Null` if there is none.
pub fn item(database: &Database, key: &Value) -> Value {
    let get = json!({"TableName": TABLE, "Key": {"pk": key["pk"], "sk": key["sk"]}});
    let got = database.get_item(serde_json::from_value(get).expect("a valid request")).expect("a valid response");
    let mut got = serde_json::to_value(&got).expect("a valid response");
    got.get_mut("Item").map(Value::take).unwrap_or_default()
}

/// A copy of the table that lags behind, like an index or an eventually consistent read.
pub struct Replica {
    /// The copy.
    pub database: Database,
    /// The writes that the copy has not seen yet: time, operation and request.
    pending: VecDeque<(i64, String, String)>,
}

impl Replica {
    /// A replica of an empty table.
    pub const fn new(database: Database) -> Self {
        Self { database, pending: VecDeque::new() }
    }

    /// Records that the table performed a write.
    pub fn performed(&mut self, at: EpochMillis, operation: &str, request: &str) {
        self.pending.push_back((at.0, operation.to_owned(), request.to_owned()));
    }

    /// Brings the copy up to the table's state at that time. The copy never goes back.
    pub fn catch_up(&mut self, to: EpochMillis) {
        while self.pending.front().is_some_and(|(at, ..)| *at <= to.0) {
            let Some((_, operation, request)) = self.pending.pop_front() else { return };
            let (status, answer) = dynamodb(&self.database, &operation, &request);
            assert_eq!(status, 200, "the copy refused a write that the table accepted: {answer}");
        }
    }
}

impl Snapshot {
    /// Reads the table.
    pub fn of(world: &World) -> Self {
        let items = items(&world.database);
        let owner = |item: &Value| {
            let lane = text(item, "pk").strip_prefix("lane#")?.replacen('#', "/", 1);
            Some((lane, text(item, "holder"))).filter(|_| text(item, "sk") == "owner")
        };
        Self {
            records: items.iter().filter(|item| text(item, "sk") == "record").map(record).collect(),
            owners: items.iter().filter_map(owner).collect(),
        }
    }

    /// Returns the record with that partition key.
    pub fn record(&self, pk: &str) -> Option<&Record> {
        self.records.iter().find(|record| record.pk == pk)
    }
}

fn told_lane((lane, told): (&String, &Value)) -> Option<String> {
    ["succeeded", "resolved_succeeded"].contains(&text(&told["M"], "outcome").as_str()).then(|| lane.clone())
}

fn record(item: &Value) -> Record {
    let history: Vec<_> = item["history"]["L"].as_array().into_iter().flatten().map(|entry| &entry["M"]).collect();
    let failed = history.iter().filter(|entry| !entry["failure"].is_null());
    let submissions = item["submissions"]["L"].as_array().into_iter().flatten().map(|one| {
        let one = &one["M"];
        (text(one, "key"), text(one, "outcome"), one["refused"]["BOOL"] == true)
    });
    let members = item.as_object().into_iter().flatten();
    let delivered = |(name, one): (&String, &Value)| {
        Some((name.strip_prefix("n#")?.to_owned(), number(&one["M"], "deliveries").unwrap_or_default()))
    };
    Record {
        pk: text(item, "pk"),
        revision: number(item, "revision").unwrap_or_default(),
        undecided: item["facts"]["L"].as_array().map_or(0, Vec::len),
        attention: item["attention"].is_object().then(|| list(item, "reasons")),
        dismissed: list(item, "dismissed"),
        waits: optional(item, "waits"),
        is_stopped: !item["stopped"].is_null(),
        target: optional(item, "t_call").map(|call| format!("{call}/{}", text(item, "t_id"))),
        key: optional(item, "t_key").unwrap_or_else(|| text(item, "t_id")),
        request: serde_json::from_str(&text(&item["t_request"]["M"], "inline")).unwrap_or_default(),
        told: item["told"]["M"].as_object().into_iter().flatten().filter_map(told_lane).collect(),
        end: optional(item, "t_end"),
        attempt: number(item, "attempt").unwrap_or_default(),
        is_sending: !item["s_owner"].is_null(),
        look_at: number(item, "look_at").filter(|_| !item["unfinished"].is_null()),
        expires: !item["expires_at"].is_null(),
        deliveries: members.filter_map(delivered).collect(),
        submissions: submissions.collect(),
        failures: failed.clone().map(|entry| format!("{} {}", text(entry, "what"), entry["failure"])).collect(),
        ended_at: failed.filter_map(|entry| number(entry, "at")).max().unwrap_or_default(),
    }
}
