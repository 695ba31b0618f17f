//! Compares the simulator's field tables with the published ones.

use serde_json::Value;

use crate::pages::{Api, Field, Kind};

/// Where the simulator differs from the pages on purpose: the field, what differs, and why.
const DIFFERENCES: [(&str, &str, &str); 4] = [
    ("confirm_book_r_q", "required", "it holds the whole request, including required fields"),
    ("confirm_refund_r_q", "required", "it holds the whole request, including required fields"),
    ("flight_itinerary_request", "required", "it holds the whole request, including required fields"),
    ("voucher_infos.used_date", "type", "the page says String, and gives a date layout"),
];

fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::TextOf(_) => "String",
        Kind::Number | Kind::NumberOf(_) => "Number",
        Kind::Boolean => "Boolean",
        Kind::Date => "Date",
        Kind::Texts => "String[]",
        Kind::Object(_) => "object",
        Kind::Objects(_) => "object[]",
    }
}

/// The differences between a published table and the simulator's, as field and what differs.
fn compare(published: &[Value], fields: &[Field], path: &str, found: &mut Vec<(String, &'static str)>) {
    for field in fields {
        if !published.iter().any(|page| page["name"] == field.name) {
            found.push((format!("{path}{}", field.name), "not on the page"));
        }
    }
    for page in published {
        let name = format!("{path}{}", page["name"].as_str().unwrap());
        let Some(field) = fields.iter().find(|field| page["name"] == field.name) else {
            found.push((name, "missing"));
            continue;
        };
        if page["required"] != field.required {
            found.push((name.clone(), "required"));
        }
        let published_type = page["type"].as_str().unwrap();
        let members = page["members"].as_array();
        let simplified = match (members, published_type.ends_with("[]")) {
            (None, _) => published_type,
            (Some(_), true) => "object[]",
            (Some(_), false) => "object",
        };
        if simplified != kind_name(&field.kind) {
            found.push((name.clone(), "type"));
        }
        if let (Some(members), Kind::Object(fields) | Kind::Objects(fields)) = (members, &field.kind) {
            compare(members, fields, &format!("{name}."), found);
        }
    }
}

#[test]
fn tables_match_the_published_pages_except_for_listed_differences() {
    let pages: Value = serde_json::from_str(include_str!("../testdata/top-pages.json")).unwrap();
    let mut found = Vec::new();
    let mut compared = 0;
    for page in pages["pages"].as_array().unwrap() {
        if let Some(api) = Api::from_method(page["method"].as_str().unwrap()) {
            compare(page["request"].as_array().unwrap(), api.fields(), "", &mut found);
            compared += 1;
        }
    }
    assert_eq!(compared, 5);
    let listed: Vec<_> = DIFFERENCES.iter().map(|(field, what, _)| ((*field).to_owned(), *what)).collect();
    found.sort();
    assert_eq!(found, listed);
}
