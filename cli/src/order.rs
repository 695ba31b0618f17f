//! Orders, calls and the attention list as text for people.

use std::fmt::Write as _;

use serde_json::Value;

use crate::table::{list, table, text};

/// An order as text: link, timeline, notifications and calls.
pub fn shown(order: &Value) -> String {
    let mut shown = format!("{} {}\n", text(order, "partner"), text(order, "order_id"));
    let link = order["link"].as_object().and_then(|link| link.iter().find(|(_, value)| value.is_object()));
    // Writing to a String cannot fail.
    let _ = match link {
        Some((kind, _)) => writeln!(shown, "linked as {kind}"),
        None => writeln!(shown, "not linked"),
    };
    let timeline = list(order, "timeline").iter().map(|event| ["at", "event", "detail"].map(|name| text(event, name)));
    shown.push_str(&table(["time (UTC)", "event", "detail"], timeline));
    let names = ["kind", "digest", "status", "partner_number", "received_at", "state", "deliveries", "reason"];
    let notifications = list(order, "notifications").iter().map(|one| names.map(|name| text(one, name)));
    let titles = ["notification", "digest", "status", "number", "received (UTC)", "state", "deliveries", "reason"];
    shown.push('\n');
    shown.push_str(&table(titles, notifications));
    if !list(order, "calls").is_empty() {
        shown.push('\n');
        shown.push_str(&calls(list(order, "calls")));
        let held: Vec<_> = list(order, "calls").iter().flat_map(|call| list(call, "held_back")).cloned().collect();
        if !held.is_empty() {
            shown.push_str(&self::held(&held));
        }
    }
    shown
}

/// The fields in which two bodies differ, one row each.
pub fn difference(difference: &Value) -> String {
    let same = text(difference, "same");
    let fields = list(difference, "fields");
    if fields.is_empty() {
        return format!("no difference; {same} fields are the same\n");
    }
    let rows = fields.iter().map(|field| {
        let hidden = field["hidden"] == true;
        let value = |name: &str| match field.get(name) {
            None => "-".to_owned(),
            Some(_) if hidden => "hidden".to_owned(),
            Some(value) => value.to_string(),
        };
        [text(field, "path"), value("from"), value("to")]
    });
    let shown = table(["field", "earlier", "later"], rows);
    format!("{shown}{same} fields are the same\n")
}

/// Calls as a table, one row each.
pub fn calls(calls: &[Value]) -> String {
    let rows = calls.iter().map(|call| {
        let error = &call["last_error"];
        let why = [text(error, "sub_code"), text(error, "message")].into_iter().filter(|part| !part.is_empty());
        [
            text(call, "call"),
            text(call, "key"),
            text(call, "state"),
            text(call, "attempt"),
            text(call, "updated_at"),
            why.collect::<Vec<_>>().join(": "),
        ]
    });
    table(["call", "key", "state", "attempts", "changed (UTC)", "last error"], rows)
}

/// Calls that are held back, one row for each kind and account.
pub fn held(held: &[Value]) -> String {
    if held.is_empty() {
        return "no calls are held back\n".to_owned();
    }
    let rows = held.iter().map(|held| {
        let codes = ["code", "sub_code", "note", "by"].map(|name| text(held, name));
        let codes: Vec<_> = codes.into_iter().filter(|code| !code.is_empty()).collect();
        let [call, account, since, until] = ["call", "account", "since", "until"].map(|name| text(held, name));
        let reminder = || format!("when resumed; reminder {}", text(held, "remind_at"));
        let until = if held["cause"] == "paused" { reminder() } else { until };
        [call, account, text(held, "cause").replace('_', " "), since, until, codes.join(" ")]
    });
    table(["call held back", "account", "cause", "since (UTC)", "next try (UTC)", "code, note"], rows)
}

/// A call as text, with its attempts.
pub fn call(call: &Value) -> String {
    let attempts = list(call, "history").iter().map(|attempt| {
        let error = &attempt["error"];
        let codes = [text(error, "code"), text(error, "sub_code")];
        let succeeded = attempt["outcome"] == "succeeded" && attempt["note"].is_null();
        let request_id = text(if succeeded { &call["response"] } else { error }, "request_id");
        let said = [text(error, "message"), text(attempt, "note")];
        let joined =
            |parts: [String; 2], with| parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(with);
        [
            text(attempt, "attempt"),
            text(attempt, "began_at"),
            text(attempt, "at"),
            text(attempt, "outcome"),
            joined(codes, " "),
            request_id,
            joined(said, "; "),
        ]
    });
    let by = Some(text(call, "submitted_by")).filter(|by| !by.is_empty()).map(|by| format!(" by {by}"));
    let held = Some(list(call, "held_back")).filter(|held| !held.is_empty()).map(held);
    format!(
        "{}{}requested{} at {}\n{}",
        calls(std::slice::from_ref(call)),
        held.unwrap_or_default(),
        by.unwrap_or_default(),
        text(call, "created_at"),
        table(
            ["attempt", "began (UTC)", "ended (UTC)", "outcome", "code", "TOP request id", "message, note"],
            attempts
        )
    )
}

/// The attention list as a table.
pub fn attention(items: &[Value]) -> String {
    if items.is_empty() {
        return "nothing needs attention\n".to_owned();
    }
    let rows = items.iter().map(|item| {
        let names = match item["kind"].as_str() {
            Some("call") => ["call", "key"],
            Some("unreadable") => ["endpoint", "digest"],
            _ => ["partner", "order_id"],
        };
        let what = names.map(|name| text(item, name)).join(" ");
        let call =
            Some(["call", "key"].map(|name| text(item, name)).join(" ")).filter(|call| *call != what && call != " ");
        let what = call.map_or_else(|| what.clone(), |call| format!("{what} ({call})"));
        [text(item, "since"), text(item, "kind"), what, text(item, "reason")]
    });
    table(["since (UTC)", "kind", "item", "reason"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn order_shows_link_timeline_notifications_and_calls_in_sequence() {
        let order = json!({"partner": "tsy", "order_id": "P-1001",
            "link": {"happytrip_flight": {"tes_head_id": "1"}, "updated_by": "arn"},
            "timeline": [{"at": "2026-01-01T04:00:00.000Z", "event": "issue-notify 89eef6a4 received"},
                {"at": "2026-01-01T04:00:01.000Z", "event": "linked", "detail": "by arn"}],
            "notifications": [{"kind": "issue-notify", "state": "dispatched", "deliveries": 1, "reason": null}],
            "calls": [{"call": "itinerary-postback", "key": "k", "state": "refused", "attempt": 2, "updated_at": "t",
                "last_error": {"sub_code": "isv.x", "message": "no"}}]});
        let shown = shown(&order);
        let at = |part: &str| shown.find(part).unwrap_or_else(|| panic!("{part} in {shown}"));
        assert!(at("P-1001") < at("happytrip_flight") && at("happytrip_flight") < at("received"));
        assert!(at("received") < at("by arn") && at("by arn") < at("dispatched") && at("dispatched") < at("isv.x: no"));
        assert!(!shown.contains("null"), "{shown}");
    }

    #[test]
    fn attempts_show_the_details_that_top_support_asks_for() {
        let call = json!({"call": "ticket-verify", "key": "k", "state": "succeeded", "response": {"request_id": "r2"},
            "history": [{"attempt": 1, "outcome": "not_executed",
                "error": {"code": 15, "sub_code": "isp.x", "request_id": "r1", "message": "later"}},
                {"attempt": 2, "outcome": "succeeded"}]});
        let shown = super::call(&call);
        for part in ["15 isp.x", "r1", "r2", "later"] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }

    #[test]
    fn attention_list_names_orders_and_calls() {
        let items = [
            json!({"kind": "order", "partner": "sctt", "order_id": "T-1", "since": "s", "reason": "r"}),
            json!({"kind": "call", "call": "ticket-verify", "key": "k", "since": "s", "reason": "r"}),
        ];
        let shown = attention(&items);
        assert!(shown.contains("sctt T-1") && shown.contains("ticket-verify k"), "{shown}");
        assert_eq!(attention(&[]), "nothing needs attention\n");
    }
}
