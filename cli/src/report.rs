//! How it went since a time: counts by notification and by call, and what still needs a person.
//!
//! The figures come from the metrics in the functions' log, as CloudWatch reads them from there. So they reach back as far
//! as the log is kept.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use clap::ValueEnum;
use relay_types::call::CallKind;
use relay_types::notification::NotificationKind;
use serde_json::{Value, json};

use crate::Answer;
use crate::deployment::Deployment;
use crate::log::Reader;
use crate::table::{list, table};
use crate::unfinished::{self, Filters};

/// How many items that need a person the report names.
const MOST_ITEMS: usize = 100;

/// The form of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Tables for a terminal
    Table,
    /// Tables in Markdown
    Markdown,
    /// One table of comma-separated values
    Csv,
}

/// The counted metrics of one notification or call.
#[derive(Debug, Default)]
struct Counted {
    counts: BTreeMap<String, f64>,
    seconds: Vec<f64>,
}

impl Counted {
    fn count(&self, name: &str) -> u64 {
        // Counts are whole numbers.
        self.counts.get(name).copied().unwrap_or_default() as u64
    }

    /// The value that this share of the measured seconds does not exceed.
    fn percentile(&self, percent: usize) -> Option<f64> {
        let rank = (self.seconds.len() * percent).div_ceil(100).max(1);
        self.seconds.get(rank - 1).copied()
    }
}

/// Adds the metrics of one line to those of the same notification or call.
fn add(counted: &mut BTreeMap<String, Counted>, line: &Value) {
    let directives = line["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten();
    for directive in directives {
        let dimensions = directive["Dimensions"].as_array().into_iter().flatten().flat_map(|set| set.as_array());
        let Some(of) = dimensions.flatten().filter_map(|name| line[name.as_str()?].as_str()).next() else { continue };
        let one = counted.entry(of.to_owned()).or_default();
        for name in list(directive, "Metrics").iter().filter_map(|metric| metric["Name"].as_str()) {
            let values = line[name].as_array().map_or_else(|| vec![line[name].clone()], Clone::clone);
            let values = values.iter().filter_map(Value::as_f64);
            if name == "SecondsToSuccess" {
                one.seconds.extend(values);
            } else {
                *one.counts.entry(name.to_owned()).or_default() += values.sum::<f64>();
            }
        }
    }
}

/// A table of the report.
struct Part {
    title: &'static str,
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

fn parts(counted: &BTreeMap<String, Counted>, needs: &Value) -> Vec<Part> {
    let none = Counted::default();
    let of = |name: &str| counted.get(name).unwrap_or(&none);
    let notifications = NotificationKind::ALL.map(|kind| {
        let one = of(kind.as_ref());
        let counts = ["Received", "Dispatched", "Waiting", "Attention"].map(|name| one.count(name).to_string());
        [kind.partner().to_string(), kind.to_string()].into_iter().chain(counts).collect()
    });
    let calls = CallKind::ALL.map(|kind| {
        let one = of(kind.as_ref());
        let counts = ["Succeeded", "Refused", "Unknown"].map(|name| one.count(name).to_string());
        let seconds =
            [50, 95, 100].map(|percent| one.percentile(percent).map_or_else(String::new, |s| format!("{s:.1}")));
        [kind.to_string()].into_iter().chain(counts).chain(seconds).collect()
    });
    let items = list(needs, "items").iter().map(|item| unfinished::row(item).into());
    vec![
        Part {
            title: "Notifications",
            header: vec!["partner", "notification", "received", "decided", "waited", "attention"],
            rows: notifications.into(),
        },
        Part {
            title: "Calls",
            header: vec!["call", "told", "refused", "unknown", "p50 s", "p95 s", "max s"],
            rows: calls.into(),
        },
        Part { title: "Needs a person", header: vec!["since (UTC)", "state", "what", "why"], rows: items.collect() },
    ]
}

/// Reads the metrics since a time, and what needs a person now.
pub async fn report(deployment: &Deployment, since: jiff::Timestamp, form: Form) -> Result<Answer> {
    let filters = Filters { state: Some("attention,refused,unknown,unreadable".to_owned()), ..Filters::default() };
    let mut counted = BTreeMap::new();
    let reader = Reader { pattern: "\"_aws\"".to_owned(), since };
    let (needs, ()) = tokio::try_join!(
        unfinished::read(deployment, &filters, Some(MOST_ITEMS)),
        reader.read(deployment, |_, line| add(&mut counted, &line)),
    )?;
    for one in counted.values_mut() {
        one.seconds.sort_by(f64::total_cmp);
    }
    let parts = parts(&counted, &needs);
    let json = json!({
        "since": since.to_string(),
        "notifications": rows(&parts[0]),
        "calls": rows(&parts[1]),
        "needs_a_person": {"total": needs["total"], "complete": needs["complete"], "items": needs["items"]},
    });
    let mut shown = parts.iter().map(|part| form.shown(part, since)).collect::<Vec<_>>().join("\n");
    if form != Form::Csv {
        shown.push_str(unfinished::missing(&needs));
    }
    Ok(Answer::new(json, shown))
}

/// The rows as JSON objects: numbers where there are numbers.
fn rows(part: &Part) -> Value {
    let value = |field: &str| match field.parse::<f64>() {
        _ if field.is_empty() => Value::Null,
        Ok(_) => serde_json::from_str(field).unwrap_or_else(|_| field.into()),
        Err(_) => field.into(),
    };
    let name = |name: &str| name.replace(' ', "_");
    let row = |row: &Vec<String>| {
        let members = part.header.iter().zip(row).map(|(header, field)| (name(header), value(field)));
        Value::Object(members.collect())
    };
    part.rows.iter().map(row).collect()
}

/// A field of a CSV file.
pub fn quoted(field: &str) -> String {
    // A spreadsheet would take such a field as a formula.
    let field =
        if field.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{field}") } else { field.to_owned() };
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}

impl Form {
    fn shown(self, part: &Part, since: jiff::Timestamp) -> String {
        let empty = part.rows.is_empty();
        let escaped = |field: &String| field.replace('|', "\\|");
        let mut shown = match self {
            Self::Table => format!("{} since {since}\n", part.title),
            Self::Markdown => format!("## {} since {since}\n\n", part.title),
            Self::Csv => String::new(),
        };
        // Writing to a String cannot fail.
        match self {
            Self::Table | Self::Markdown if empty => shown.push_str("nothing\n"),
            Self::Table => shown.push_str(&table(&part.header, part.rows.clone())),
            Self::Markdown => {
                let _ = writeln!(shown, "| {} |\n|{}", part.header.join(" | "), "---|".repeat(part.header.len()));
                for row in &part.rows {
                    let _ = writeln!(shown, "| {} |", row.iter().map(escaped).collect::<Vec<_>>().join(" | "));
                }
            }
            Self::Csv => {
                let _ = writeln!(shown, "{}", part.header.join(","));
                for row in &part.rows {
                    let _ = writeln!(shown, "{}", row.iter().map(|field| quoted(field)).collect::<Vec<_>>().join(","));
                }
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_many_lines_become_counts_and_percentiles() {
        let mut counted = BTreeMap::new();
        let line = |values: Value, succeeded: u64| {
            json!({"_aws": {"CloudWatchMetrics": [{"Dimensions": [["Call"]],
                "Metrics": [{"Name": "Succeeded"}, {"Name": "SecondsToSuccess"}]}]},
                "Call": "ship-notify", "Succeeded": succeeded, "SecondsToSuccess": values})
        };
        add(&mut counted, &line(json!([2.0, 1.0, 4.0]), 3));
        add(&mut counted, &line(json!(3.0), 1));
        add(
            &mut counted,
            &json!({"_aws": {"CloudWatchMetrics": [{"Dimensions": [[]], "Metrics": [{"Name": "NeedsPerson"}]}]}, "NeedsPerson": 7}),
        );
        counted.get_mut("ship-notify").unwrap().seconds.sort_by(f64::total_cmp);
        let needs = json!({"items": [{"since": "s", "state": "unknown", "call": "ticket-verify", "key": "=1+1,k",
            "reasons": [{"text": "ask | TOP"}]}]});
        let parts = parts(&counted, &needs);
        let ship = parts[1].rows.iter().find(|row| row[0] == "ship-notify").unwrap();
        assert_eq!(ship[1..], ["4", "0", "0", "2.0", "4.0", "4.0"]);
        assert_eq!(rows(&parts[1])[2]["told"], 4);
        let since = jiff::Timestamp::UNIX_EPOCH;
        assert!(Form::Markdown.shown(&parts[2], since).contains("ask \\| TOP"));
        assert!(Form::Csv.shown(&parts[2], since).contains("\"ticket-verify =1+1,k\""));
    }
}
