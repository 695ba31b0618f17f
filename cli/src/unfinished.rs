//! The list of everything unfinished.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::api::{ask, encoded};
use crate::args::{call, partner};
use crate::deployment::Deployment;
use crate::table::{list, table, text, wrapped};

/// Maximum page size of the API.
const LARGEST_PAGE: usize = 1000;

/// The filters of the list.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Filters")]
pub struct Filters {
    /// States, separated by commas: attention, refused, unknown, unreadable, waiting, unnotified, held, pending, in_progress
    #[arg(long, value_name = "STATES")]
    pub state: Option<String>,
    /// Partner
    #[arg(long, value_parser = partner())]
    pub partner: Option<String>,
    /// Kind of notification, such as issue-notify
    #[arg(long)]
    pub kind: Option<String>,
    /// Name of the call
    #[arg(long, value_parser = call())]
    pub call: Option<String>,
    /// TOP account
    #[arg(long)]
    pub account: Option<String>,
    /// Code of the reason, such as no_link
    #[arg(long, value_name = "CODE")]
    pub reason: Option<String>,
    /// Unfinished since this time or later: 2026-01-01T04:00:00Z, a duration ago such as 2h or 1d, today or yesterday
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<jiff::Timestamp>,
    /// Unfinished since before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<jiff::Timestamp>,
}

/// Reads a time, or a duration ago.
pub fn time(text: &str) -> Result<jiff::Timestamp, String> {
    let wrong = || {
        "write it as 2026-01-01T04:00:00Z, as a duration ago such as 2h, 30m or 1d, or as today or yesterday".to_owned()
    };
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let today = jiff::Zoned::now();
    let day = match text {
        "today" => today.start_of_day(),
        "yesterday" => today.yesterday().and_then(|day| day.start_of_day()),
        _ => Err(jiff::Error::from_args(format_args!("no day"))),
    };
    if let Ok(day) = day {
        return Ok(day.timestamp());
    }
    let ago = duration(text).ok_or_else(wrong)?;
    jiff::Timestamp::now().checked_sub(ago).map_err(|_| wrong())
}

/// Reads a duration such as 1h. A day has 24 hours here, whatever the clocks do.
pub fn duration(text: &str) -> Option<jiff::SignedDuration> {
    let span: jiff::Span = text.parse().ok()?;
    span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()
}

impl Filters {
    fn query(&self) -> String {
        let time = |time: Option<jiff::Timestamp>| time.map(|time| time.to_string());
        let filters = [
            ("state", self.state.clone()),
            ("partner", self.partner.clone()),
            ("kind", self.kind.clone()),
            ("call", self.call.clone()),
            ("account", self.account.clone()),
            ("reason", self.reason.clone()),
            ("since", time(self.since)),
            ("until", time(self.until)),
        ];
        filters.into_iter().fold(String::new(), |mut query, (name, value)| {
            if let Some(value) = value {
                // Writing to a String cannot fail.
                let _ = write!(query, "&{name}={}", encoded(&value));
            }
            query
        })
    }
}

/// Reads the list: all items that match, or at most `limit`. The counts are those of the first page.
pub async fn read(deployment: &Deployment, filters: &Filters, limit: Option<usize>) -> Result<Value> {
    let (query, mut after) = (filters.query(), String::new());
    let (mut items, mut first) = (Vec::new(), None);
    loop {
        let page = limit.map_or(LARGEST_PAGE, |limit| (limit - items.len()).min(LARGEST_PAGE));
        let got = ask(deployment, "GET", &format!("/unfinished?limit={page}{query}{after}"), &[], "").await?;
        items.extend(list(&got, "items").iter().cloned());
        let next = got["next"].as_str().map(|next| format!("&after={next}"));
        let mut first = first.get_or_insert(got).clone();
        match next.filter(|_| limit.is_none_or(|limit| items.len() < limit)) {
            Some(next) => after = next,
            None => {
                first["items"] = items.into();
                if let Some(first) = first.as_object_mut() {
                    first.remove("next");
                }
                return Ok(first);
            }
        }
    }
}

/// What an item is about: the order, call or body, and the order's call.
pub fn what(item: &Value) -> String {
    let names: [&str; 2] = match () {
        () if item["order_id"].is_string() => ["partner", "order_id"],
        () if item["digest"].is_string() => ["notification", "digest"],
        () => ["call", "key"],
    };
    names.map(|name| text(item, name)).join(" ")
}

/// Why an item is unfinished.
pub fn why(item: &Value) -> String {
    let reasons = list(item, "reasons").iter().map(|reason| text(reason, "text"));
    let held = list(item, "held_back").iter().map(|held| {
        let codes = ["code", "sub_code"].map(|name| text(held, name)).into_iter().filter(|code| !code.is_empty());
        let cause = text(held, "cause").replace('_', " ");
        format!("{cause} of {} ({})", text(held, "account"), codes.collect::<Vec<_>>().join(" "))
    });
    let mut why: Vec<_> = reasons.chain(held).collect();
    let error = &item["last_error"];
    if why.is_empty() && !error.is_null() {
        why.push(["sub_code", "message"].map(|name| text(error, name)).join(" ").trim().to_owned());
    }
    why.join("; ")
}

/// An item as a row of since, state, what and why.
pub fn row(item: &Value) -> [String; 4] {
    [text(item, "since"), text(item, "state"), what(item), why(item)]
}

/// Says that a list is not complete, if it is not.
pub fn missing(page: &Value) -> &'static str {
    let is_complete = page["complete"] != false;
    let missing = "NOT COMPLETE: there is more than the relay counts, or a record that it cannot read; see `relay log --problems`\n";
    if is_complete { "" } else { missing }
}

/// The list as text: counts by state, then one row for each item.
pub fn shown(page: &Value) -> String {
    let items = list(page, "items");
    let more = missing(page);
    if items.is_empty() {
        return format!("nothing is unfinished, or nothing matches\n{more}");
    }
    let counts = page["states"].as_object().into_iter().flatten();
    let counts: Vec<_> = counts.map(|(state, count)| format!("{count} {}", state.replace('_', " "))).collect();
    let rows = items.iter().map(|item| {
        let next = &item["next"];
        let call = Some(["call", "key"].map(|name| text(item, name)).join(" "));
        let about = what(item);
        let call = call.filter(|call| *call != about && item["call"].is_string()).unwrap_or_default();
        let next = ["step", "at"].map(|name| text(next, name)).join(" ");
        [text(item, "since"), text(item, "state"), about, call, next.trim().to_owned(), why(item)]
    });
    let table = table(["since (UTC)", "state", "what", "call", "next (UTC)", "why"], rows);
    let head = format!("{} of {}: {}", items.len(), text(page, "total"), counts.join(", "));
    format!("{}\n{more}{table}", wrapped(&head))
}

/// Shows an unreadable body as text.
pub fn body_shown(body: &Value) -> String {
    let names = [
        "endpoint",
        "digest",
        "problem",
        "bytes",
        "deliveries",
        "last_received_at",
        "needs_attention",
        "dismissed_by",
        "dismissed_note",
    ];
    let mut shown = String::new();
    for name in names {
        let value = text(body, name);
        if !value.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(shown, "{:18}{value}", name.replace('_', " "));
        }
    }
    match (body["body"].as_str(), body["body_base64"].as_str()) {
        (Some(text), _) => {
            shown.push('\n');
            shown.extend(text.lines().map(|line| crate::table::escaped(line) + "\n"));
        }
        (None, Some(base64)) => {
            let _ = writeln!(shown, "\nnot UTF-8; in Base64:\n{base64}");
        }
        (None, None) => shown.push_str("\nadd --body to see the body, which may hold personal data\n"),
    }
    shown
}

/// Requires that at least one filter is set, so nobody changes everything by mistake.
pub fn check_filtered(filters: &Filters) -> Result<()> {
    if filters.query().is_empty() {
        bail!("name at least one filter, such as --state attention");
    }
    Ok(())
}

/// The key of an item for the file of a bulk run.
pub fn kept(item: &Value, problem: Option<&str>) -> Value {
    let mut kept = json!({});
    for name in
        ["state", "since", "partner", "order_id", "notification", "digest", "call", "key", "revision", "attempts"]
    {
        if !item[name].is_null() {
            kept[name] = item[name].clone();
        }
    }
    if let Some(problem) = problem {
        kept["problem"] = problem.into();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_points_or_durations_ago() {
        assert_eq!(time("2026-01-01T04:00:00Z").unwrap().to_string(), "2026-01-01T04:00:00Z");
        let ago = |text| jiff::Timestamp::now().duration_since(time(text).unwrap()).as_secs();
        assert!((7199..7260).contains(&ago("2h")) && (86_399..86_460).contains(&ago("1d")));
        assert!(time("yesterday").unwrap() < time("today").unwrap());
        assert!(time("soon").is_err() && time("").is_err());
    }

    #[test]
    fn items_show_what_why_and_what_happens_next() {
        let page = json!({"total": 3, "complete": true, "states": {"held": 1, "in_progress": 2}, "items": [
            {"state": "held", "since": "s", "partner": "sctt", "order_id": "T-1", "call": "ship-notify", "key": "38",
                "reasons": [], "next": {"step": "attempt", "at": "t"},
                "held_back": [{"cause": "configuration_fault", "account": "default", "code": 27}]},
            {"state": "unknown", "since": "s", "call": "ticket-verify", "key": "k", "next": {"step": "person"},
                "reasons": [{"code": "unknown", "text": "ask TOP"}]},
            {"state": "unreadable", "since": "s", "partner": "tsy", "notification": "issue-notify", "digest": "00ff",
                "next": {"step": "person"}, "reasons": [{"code": "unreadable", "text": "orderId is missing"}]}]});
        let shown = shown(&page);
        for part in [
            "3 of 3: 1 held, 2 in progress",
            "sctt T-1",
            "ship-notify 38",
            "attempt t",
            "ask TOP",
            "configuration fault of default (27)",
            "ticket-verify k",
            "issue-notify 00ff",
            "orderId is missing",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }
}
