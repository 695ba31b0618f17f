//! The shape of a request: what decides how DynamoDB performs it, without the values.
//!
//! Requests of one shape have the same expressions and attributes, find the same named attributes present, and take the
//! same side of each comparison of their condition. They succeed or fail alike, and return the same members.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Performed;

/// The members of a request that map names to attribute values.
const ATTRIBUTES: [&str; 4] = ["Key", "Item", "ExpressionAttributeValues", "ExclusiveStartKey"];

/// The members of a request that contain expressions over the item as it was.
const EXPRESSIONS: [&str; 2] = ["ConditionExpression", "UpdateExpression"];

/// Words in expressions that are not attributes.
const KEYWORDS: [&str; 16] = [
    "SET",
    "REMOVE",
    "ADD",
    "DELETE",
    "AND",
    "OR",
    "NOT",
    "IN",
    "BETWEEN",
    "attribute_exists",
    "attribute_not_exists",
    "if_not_exists",
    "list_append",
    "size",
    "begins_with",
    "contains",
];

/// Returns the shape of a request. Its members are sorted.
pub(super) fn of(performed: &Performed<'_>) -> Value {
    let request = performed.request.as_object().into_iter().flatten();
    let request: Map<_, _> = request.map(|(name, value)| (name.clone(), member(name, value))).collect();
    let mut shape = json!({
        "operation": performed.operation,
        "request": request,
        "found": found(performed),
        "outcome": outcome(performed),
    });
    shape.sort_all_objects();
    shape
}

fn member(name: &str, value: &Value) -> Value {
    match name {
        _ if ATTRIBUTES.contains(&name) => kinds(value),
        "ExpressionAttributeNames" => {
            let names = value.as_object().into_iter().flatten();
            names.map(|(name, meant)| (name.clone(), json!(without_id(meant.as_str().unwrap_or_default())))).collect()
        }
        "RequestItems" => {
            let tables = value.as_object().into_iter().flatten();
            tables.map(|(table, wanted)| (table.clone(), amount(&wanted["Keys"]))).collect()
        }
        _ => value.clone(),
    }
}

/// The name of an attribute without the digest or key that may follow its prefix, as in `n#<digest>`.
fn without_id(name: &str) -> &str {
    name.find('#').map_or(name, |end| &name[..=end])
}

/// The names and types of attributes.
fn kinds(attributes: &Value) -> Value {
    let attributes = attributes.as_object().into_iter().flatten();
    attributes.map(|(name, value)| (without_id(name).to_owned(), json!(kind(value)))).collect()
}

/// The type of an attribute value, and whether it is empty. For a list or a map also the types inside, at any depth.
fn kind(value: &Value) -> String {
    let mut inside = BTreeSet::new();
    let kind = kind_and_inside(value, &mut inside);
    let inside = inside.into_iter().collect::<Vec<_>>().join(", ");
    if inside.is_empty() { kind } else { format!("{kind} of {inside}") }
}

fn kind_and_inside(value: &Value, inside: &mut BTreeSet<String>) -> String {
    let Some((kind, inner)) = value.as_object().and_then(|value| value.iter().next()) else {
        return "absent".to_owned();
    };
    let nested: Vec<_> = match (kind.as_str(), inner) {
        ("L", Value::Array(list)) => list.iter().collect(),
        ("M", Value::Object(map)) => map.values().collect(),
        _ => Vec::new(),
    };
    for value in nested {
        let kind = kind_and_inside(value, inside);
        inside.insert(kind);
    }
    if size(inner) == Some(0) { format!("empty {kind}") } else { kind.clone() }
}

fn size(inner: &Value) -> Option<usize> {
    match inner {
        Value::String(text) => Some(text.chars().count()),
        Value::Array(list) => Some(list.len()),
        Value::Object(map) => Some(map.len()),
        _ => None,
    }
}

/// `none`, `one` or `several`.
fn amount(list: &Value) -> Value {
    json!(match list.as_array().map_or(0, Vec::len) {
        0 => "none",
        1 => "one",
        _ => "several",
    })
}

/// What the request found: the attributes that its expressions name, and the side of each comparison.
fn found(performed: &Performed<'_>) -> Value {
    let Some(item) = performed.item else { return Value::Null };
    let mut found = Map::new();
    for expression in EXPRESSIONS {
        let text = performed.request[expression].as_str().unwrap_or_default();
        let (values, paths): (Vec<_>, Vec<_>) = words(text).partition(|word| word.starts_with(':'));
        for path in paths {
            let present = at(item, &performed.request["ExpressionAttributeNames"], path);
            found.insert(path.to_owned(), json!(kind(present)));
            if expression != "ConditionExpression" {
                continue;
            }
            for value in &values {
                let given = &performed.request["ExpressionAttributeValues"][*value];
                if let Some(side) = side(present, given, text.contains(&format!("size({path})"))) {
                    found.insert(format!("{path} {value}"), json!(side));
                }
            }
        }
    }
    found.into()
}

/// The attributes and values in an expression.
fn words(expression: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_alphanumeric() || "_#:.".contains(c);
    let words = expression.split(move |c: char| !is_part(c)).filter(|word| !word.is_empty());
    words.filter(|word| !KEYWORDS.contains(word))
}

/// The value at a path of an item, or `Null`.
fn at<'a>(item: &'a Value, names: &Value, path: &str) -> &'a Value {
    let name = |part: &str| names[part].as_str().unwrap_or(part).to_owned();
    let mut parts = path.split('.').map(name);
    let first = &item[parts.next().unwrap_or_default()];
    parts.fold(first, |value, part| &value["M"][part])
}

/// How a present attribute, or its size, compares with a value of the request. `None` if the two are of different types.
fn side(present: &Value, given: &Value, by_size: bool) -> Option<&'static str> {
    let number = |value: &Value| value["N"].as_str().and_then(|number| number.parse::<f64>().ok());
    let inner = present.as_object()?.values().next()?;
    let left = if by_size { size(inner).map(|size| size as f64) } else { number(present) };
    if let (Some(left), Some(right)) = (left, number(given)) {
        return Some(match left.total_cmp(&right) {
            Ordering::Less => "less",
            Ordering::Equal => "equal",
            Ordering::Greater => "greater",
        });
    }
    let (left, right) = (present["S"].as_str()?, given["S"].as_str()?);
    Some(if left == right { "equal" } else { "different" })
}

/// The status, the error's name, and the members of the response. For indexes, also the attributes that they project.
fn outcome(performed: &Performed<'_>) -> Value {
    let answer = performed.answer;
    let members: Vec<_> = answer.as_object().into_iter().flatten().map(|(name, _)| name).collect();
    let error = answer["__type"].as_str().and_then(|error| error.rsplit('#').next());
    let mut outcome = json!({"status": performed.status, "error": error, "members": members});
    if answer["Items"].is_array() {
        outcome["items"] = amount(&answer["Items"]);
    }
    if performed.request.get("IndexName").is_some() {
        let items = answer["Items"].as_array().into_iter().flatten();
        let attributes: Map<_, _> = items.filter_map(|item| kinds(item).as_object().cloned()).flatten().collect();
        outcome["attributes"] = attributes.into();
    }
    outcome
}
