//! Records requests to the embedded DynamoDB, so `make second-opinion` can replay them on other emulators.

mod shape;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use dynoxide::Database;
use serde_json::{Value, json};

use crate::cloud::unrecorded;

/// The environment variable that names the folder for recordings. Unset: nothing is recorded.
const FOLDER: &str = "RELAY_DYNAMODB_RECORD";

/// A performed request.
struct Performed<'a> {
    operation: &'a str,
    request: &'a Value,
    /// The item with the request's key, before the request.
    item: Option<&'a Value>,
    status: u16,
    answer: &'a Value,
}

/// The recording of this process: a file of JSON lines.
///
/// The first request of a shape is an object. Each further one is the number of its shape in the file, counted from 0.
pub struct Recording(Mutex<Recorded>);

struct Recorded {
    file: File,
    shapes: BTreeMap<String, usize>,
}

impl Recording {
    /// The recording of this process, if `RELAY_DYNAMODB_RECORD` asks for one.
    pub fn of_this_process() -> Option<&'static Self> {
        static RECORDING: OnceLock<Option<Recording>> = OnceLock::new();
        let create = || std::env::var_os(FOLDER).map(|folder| Self::create(Path::new(&folder)));
        RECORDING.get_or_init(create).as_ref()
    }

    /// Creates a recording in an existing folder or a new one.
    pub fn create(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        // Another process may have had the same id before.
        let mut paths = (0..).map(|count| folder.join(format!("{}-{count}.jsonl", std::process::id())));
        let file = paths.find_map(|path| OpenOptions::new().write(true).create_new(true).open(path).ok()).unwrap();
        Self(Mutex::new(Recorded { file, shapes: BTreeMap::new() }))
    }

    /// Performs a request and records it. Returns the status and body of the response.
    pub fn perform(&self, database: &Database, operation: &str, body: &str) -> (u16, String) {
        let mut recorded = self.0.lock().unwrap();
        let request: Value = serde_json::from_str(body).unwrap();
        let item = item(database, &request);
        let (status, text) = unrecorded(database, operation, body);
        let answer: Value = serde_json::from_str(&text).unwrap();
        let performed = Performed { operation, request: &request, item: item.as_ref(), status, answer: &answer };
        let shape = shape::of(&performed);
        let next = recorded.shapes.len();
        let number = *recorded.shapes.entry(shape.to_string()).or_insert(next);
        let line = if number == next { whole(database, &performed, &shape, body) } else { json!(number) };
        writeln!(recorded.file, "{line}").unwrap();
        (status, text)
    }
}

/// Everything that is needed to repeat a request and compare its effect.
fn whole(database: &Database, performed: &Performed<'_>, shape: &Value, body: &str) -> Value {
    let (before, after) = if key(performed.request).is_some() {
        (performed.item.cloned().into_iter().collect(), item(database, performed.request).into_iter().collect())
    } else {
        // Requests without a key change no item.
        let items = all_items(database, &table(performed.request));
        (items.clone(), items)
    };
    json!({
        "shape": shape,
        "operation": performed.operation,
        "body": body,
        "before": before,
        "status": performed.status,
        "answer": performed.answer,
        "after": after,
    })
}

/// The table of a request. A batch names it with the keys.
fn table(request: &Value) -> Value {
    let batch = request["RequestItems"].as_object().and_then(|tables| tables.keys().next());
    batch.map_or_else(|| request["TableName"].clone(), |name| json!(name))
}

/// The key of the item that a request reads or writes.
fn key(request: &Value) -> Option<Value> {
    let key = request.get("Key").or_else(|| request.get("Item"))?;
    Some(json!({"pk": key["pk"], "sk": key["sk"]}))
}

/// The item that a request reads or writes.
fn item(database: &Database, request: &Value) -> Option<Value> {
    let get = json!({"TableName": request["TableName"], "Key": key(request)?});
    read(database, "GetItem", &get).get_mut("Item").map(Value::take)
}

fn all_items(database: &Database, table: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    let mut scan = json!({"TableName": table});
    loop {
        let mut page = read(database, "Scan", &scan);
        found.extend(page["Items"].as_array_mut().map(std::mem::take).unwrap_or_default());
        match page.get_mut("LastEvaluatedKey") {
            Some(last) => scan["ExclusiveStartKey"] = last.take(),
            None => return found,
        }
    }
}

fn read(database: &Database, operation: &str, request: &Value) -> Value {
    let (_, answer) = unrecorded(database, operation, &request.to_string());
    serde_json::from_str(&answer).unwrap()
}
