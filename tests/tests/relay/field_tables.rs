//! The fields that submitted calls may have are those of TOP's pages.

use serde_json::{Value, json};

/// A call's page, and the schema of its fields without the page's wrapper.
const CALLS: [(&str, Option<&str>, &str); 5] = [
    ("alitrip.ship.order.notify", Some("confirm_book_r_q"), "ConfirmBook"),
    ("taobao.travel.ticket.order.verify", None, "TicketVerify"),
    ("alibaba.happytrip.flight.order.itinerary.postback", Some("flight_itinerary_request"), "FlightItineraryRequest"),
    ("alitrip.ship.return.notify", Some("confirm_refund_r_q"), "ConfirmRefund"),
    ("taobao.travel.ticket.order.refund", None, "TicketRefund"),
];

/// Where the relay differs from the pages on purpose: the field, what differs, and why.
const DIFFERENCES: [(&str, &str, &str); 1] =
    [("refund_batch_no", "required", "it tells a repeat of a refund from a second refund")];

fn schema<'a>(document: &'a Value, mut schema: &'a Value) -> &'a Value {
    while let Some(reference) = schema["$ref"].as_str() {
        schema = document.pointer(reference.trim_start_matches('#')).unwrap();
    }
    schema
}

/// TOP's type for a schema. A date is a string with a layout in both.
fn top_type(document: &Value, of: &Value) -> String {
    let of = schema(document, of);
    let plain = match &of["type"] {
        Value::Array(types) => types.iter().find(|one| **one != "null").unwrap().clone(),
        one => one.clone(),
    };
    match plain.as_str().unwrap() {
        "integer" => "Number".to_owned(),
        "boolean" => "Boolean".to_owned(),
        "array" => format!("{}[]", top_type(document, &of["items"])),
        "object" => "object".to_owned(),
        _ => "String".to_owned(),
    }
}

fn compare(document: &Value, page: &[Value], of: &Value, path: &str, found: &mut Vec<(String, &'static str)>) {
    let of = schema(document, of);
    let properties = of["properties"].as_object().unwrap();
    let required = of["required"].as_array().cloned().unwrap_or_default();
    for name in properties.keys().filter(|name| !page.iter().any(|field| field["name"] == **name)) {
        found.push((format!("{path}{name}"), "not on the page"));
    }
    for field in page {
        let name = field["name"].as_str().unwrap();
        let Some(property) = properties.get(name) else {
            found.push((format!("{path}{name}"), "missing"));
            continue;
        };
        if field["required"] != required.contains(&json!(name)) {
            found.push((format!("{path}{name}"), "required"));
        }
        let published = field["type"].as_str().unwrap().replace("Date", "String");
        let members = field["members"].as_array();
        let published = match members {
            Some(_) if published.ends_with("[]") => "object[]".to_owned(),
            Some(_) => "object".to_owned(),
            None => published,
        };
        if published != top_type(document, property) {
            found.push((format!("{path}{name}"), "type"));
        }
        if let Some(members) = members {
            let inner = schema(document, property);
            let inner = if inner["items"].is_null() { inner } else { &inner["items"] };
            compare(document, members, inner, &format!("{path}{name}."), found);
        }
    }
}

#[test]
fn submitted_calls_have_the_fields_of_tops_pages_except_for_listed_differences() {
    let document = relay_openapi::document();
    let pages: Value =
        serde_json::from_str(include_str!("../../../local/top-simulator/testdata/top-pages.json")).unwrap();
    let mut found = Vec::new();
    for (method, wrapper, name) in CALLS {
        let page = pages["pages"].as_array().unwrap().iter().find(|page| page["method"] == method).unwrap();
        let mut fields = page["request"].as_array().unwrap();
        if let Some(wrapper) = wrapper {
            assert_eq!(fields[0]["name"], wrapper);
            fields = fields[0]["members"].as_array().unwrap();
        }
        compare(&document, fields, &document["components"]["schemas"][name], "", &mut found);
    }
    let listed: Vec<_> = DIFFERENCES.iter().map(|(field, what, _)| ((*field).to_owned(), *what)).collect();
    assert_eq!(found, listed);
}
