//! The recording of requests to DynamoDB, which `make second-opinion` replays.

use std::fs;

use dynoxide::Database;
use relay_tests::recording::Recording;
use serde_json::{Value, json};

/// A database with a table that has only its key.
fn database() -> Database {
    let database = Database::memory().unwrap();
    let names = [("pk", "HASH"), ("sk", "RANGE")];
    let table = json!({
        "TableName": "relay",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": names.map(|(name, _)| json!({"AttributeName": name, "AttributeType": "S"})),
        "KeySchema": names.map(|(name, kind)| json!({"AttributeName": name, "KeyType": kind})),
    });
    database.create_table(serde_json::from_value(table).unwrap()).unwrap();
    database
}

/// An update of the order `id` that needs `holder` to be missing.
fn take(id: &str, holder: &Value) -> String {
    json!({
        "TableName": "relay",
        "Key": {"pk": {"S": id}, "sk": {"S": "record"}},
        "UpdateExpression": "SET holder = :me",
        "ConditionExpression": "attribute_not_exists(holder)",
        "ExpressionAttributeValues": {":me": holder},
    })
    .to_string()
}

/// Performs updates on a new database, and returns the lines of the recording.
fn recorded(updates: &[String]) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let recording = Recording::create(folder.path());
    let database = database();
    for update in updates {
        recording.perform(&database, "UpdateItem", update);
    }
    let file = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn requests_that_differ_only_in_values_have_one_shape() {
    let lines = recorded(&[take("1", &json!({"S": "a"})), take("2", &json!({"S": "b"}))]);
    assert!(lines[0].is_object());
    assert_eq!(lines[1], json!(0));
}

#[test]
fn outcome_of_the_condition_belongs_to_the_shape() {
    let update = take("1", &json!({"S": "a"}));
    let lines = recorded(&[update.clone(), update]);
    let item = json!({"pk": {"S": "1"}, "sk": {"S": "record"}, "holder": {"S": "a"}});
    assert_eq!(
        (&lines[0]["status"], &lines[0]["before"], &lines[0]["after"]),
        (&json!(200), &json!([]), &json!([item]))
    );
    assert_eq!(
        (&lines[1]["status"], &lines[1]["before"], &lines[1]["after"]),
        (&json!(400), &json!([item]), &json!([item]))
    );
    assert_eq!(lines[1]["shape"]["outcome"]["error"], "ConditionalCheckFailedException");
}

#[test]
fn types_inside_a_value_belong_to_the_shape() {
    let holders = [json!({"M": {"a": {"S": ""}}}), json!({"M": {"a": {"L": [{"NULL": true}]}}})];
    let lines = recorded(&[take("1", &holders[0]), take("2", &holders[1])]);
    let kind = |line: &Value| line["shape"]["request"]["ExpressionAttributeValues"][":me"].clone();
    assert_eq!([kind(&lines[0]), kind(&lines[1])], [json!("M of empty S"), json!("M of L, NULL")]);
}
