//! The facts that reached the table, in the order in which the table took them. They are read off the wire, without the
//! relay. The judge derives from them what TOP may know, without any code of the relay.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

/// One fact about an order or a submitted call.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// A partner delivered a notification.
    Delivery {
        /// The digest that distinguishes the notifications of one order.
        digest: String,
        /// The body.
        body: Value,
        /// The delivery's `request_time`.
        time: Option<String>,
    },
    /// The booking system put a link.
    Link(Value),
    /// An operator's request: its name, and its arguments.
    Instructed(String, Value),
    /// A submitted call: its key and its request.
    Submitted(String, Value),
}

/// A call that a sender claimed.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The number of the record's facts that the table had taken by then.
    pub facts: usize,
    /// The generation of the record's target.
    pub generation: String,
    /// The request, if it is short enough to be in the record.
    pub request: Value,
}

/// All facts, by the partition key of their record.
#[derive(Debug, Default)]
pub struct Facts {
    by_record: BTreeMap<String, Vec<Fact>>,
    claims: BTreeMap<String, Vec<Claim>>,
    bodies: BTreeMap<String, String>,
    tokens: BTreeSet<String>,
}

fn text(value: &Value, name: &str) -> String {
    value[name]["S"].as_str().unwrap_or_default().to_owned()
}

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}

impl Facts {
    /// The facts of a record, oldest first.
    pub fn of(&self, pk: &str) -> &[Fact] {
        self.by_record.get(pk).map(Vec::as_slice).unwrap_or_default()
    }

    /// The claims of a record's calls, oldest first.
    pub fn claims_of(&self, pk: &str) -> &[Claim] {
        self.claims.get(pk).map(Vec::as_slice).unwrap_or_default()
    }

    /// Records a write that the table performed. `image` is the item after the write.
    pub fn performed(&mut self, operation: &str, request: &Value, image: impl FnOnce() -> Arc<Value>) {
        if operation == "PutItem" {
            let item = &request["Item"];
            if let Some(digest) = text(item, "sk").strip_prefix("body#") {
                self.bodies.insert(digest.to_owned(), text(item, "json"));
            }
            return;
        }
        if operation != "UpdateItem" || request["Key"]["sk"]["S"] != "record" {
            return;
        }
        let values = &request["ExpressionAttributeValues"];
        let pk = text(&request["Key"], "pk");
        if request["UpdateExpression"].as_str().is_some_and(|update| update.contains("s_owner = :me")) {
            self.claimed(pk, &image());
            return;
        }
        if !values[":link"].is_null() {
            let link = &values[":link"]["M"];
            if self.tokens.insert(text(link, "token")) {
                let body = parsed(&self.body(&link["body"]["M"]));
                self.add(pk, Fact::Link(body));
            }
            return;
        }
        let fact = &values[":fact"]["L"][0]["M"];
        let (delivery, given) = (&fact["delivery"]["M"], &fact["instructed"]["M"]);
        if delivery.is_object() && self.tokens.insert(format!("{pk} {}", text(delivery, "token"))) {
            let body = parsed(&self.body(&values[":notification"]["M"]["body"]["M"]));
            let time = delivery["time"]["S"].as_str().map(str::to_owned);
            self.add(pk, Fact::Delivery { digest: text(delivery, "digest"), body, time });
        } else if given.is_object() && self.tokens.insert(text(given, "token")) {
            let instruction = &given["instruction"];
            let (name, with) = match instruction["M"].as_object().and_then(|instruction| instruction.iter().next()) {
                Some((name, with)) => (name.clone(), with.clone()),
                None => (instruction["S"].as_str().unwrap_or_default().to_owned(), Value::Null),
            };
            let fact = if name == "submit" {
                let request = parsed(&self.body(&with["M"]["request"]["M"]));
                Fact::Submitted(text(&with["M"], "key"), request)
            } else {
                Fact::Instructed(name, with)
            };
            self.add(pk, fact);
        }
    }

    fn claimed(&mut self, pk: String, item: &Value) {
        let claim = Claim {
            facts: self.of(&pk).len(),
            generation: item["t_generation"]["N"].as_str().unwrap_or_default().to_owned(),
            request: parsed(&text(&item["t_request"]["M"], "inline")),
        };
        self.claims.entry(pk).or_default().push(claim);
    }

    fn add(&mut self, pk: String, fact: Fact) {
        self.by_record.entry(pk).or_default().push(fact);
    }

    fn body(&self, body: &Value) -> String {
        match body["stored"]["S"].as_str() {
            Some(digest) => self.bodies.get(digest).cloned().unwrap_or_default(),
            None => text(body, "inline"),
        }
    }
}
