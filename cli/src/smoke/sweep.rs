//! Evidence that the sweep runs.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::steps::{Done, eventually};
use crate::aws;
use crate::deployment::Deployment;
use crate::table::list;

/// The metric that each sweep writes to the log.
const METRIC: &str = "NeedsPerson";
/// How far back to search, in milliseconds. The sweep runs once a minute.
const BACK_MILLIS: i64 = 180_000;
/// Maximum pages of a search. CloudWatch Logs may return empty pages before the last one.
const MAX_PAGES: usize = 50;

/// Waits for the log line with which a sweep reports how many items need attention. The log shows it on AWS and on the
/// local stack, and sooner than the metric does.
pub async fn runs(deployment: &Deployment, within: Duration) -> Result<Done> {
    let since = jiff::Timestamp::now().as_millisecond() - BACK_MILLIS;
    let mut last = None;
    eventually(within, "a log line of the sweep, which runs each minute; check its schedule", async || {
        last = measured(deployment, since).await?;
        Ok(last.is_some())
    })
    .await?;
    let at = last.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    Ok(Done::Passed(at.map_or_else(|| "it ran".to_owned(), |at| format!("it ran at {at:.0}"))))
}

/// When the sweep last measured, in milliseconds since the epoch.
async fn measured(deployment: &Deployment, since: i64) -> Result<Option<i64>> {
    let mut search = json!({
        "logGroupName": format!("/aws/lambda/{}", deployment.stack),
        "startTime": since,
        "filterPattern": format!("\"{METRIC}\""),
    });
    let mut last = None;
    for _ in 0..MAX_PAGES {
        let found = aws::call(&deployment.sdk, "logs", "Logs_20140328.FilterLogEvents", &search).await?;
        last = last.max(newest(list(&found, "events")));
        match found["nextToken"].as_str() {
            Some(token) => search["nextToken"] = token.into(),
            None => break,
        }
    }
    Ok(last)
}

fn newest(events: &[Value]) -> Option<i64> {
    let measured = events.iter().filter(|event| {
        let line = event["message"].as_str().and_then(|line| serde_json::from_str::<Value>(line).ok());
        line.is_some_and(|line| line[METRIC].is_number())
    });
    measured.filter_map(|event| event["timestamp"].as_i64()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_with_the_metric_are_evidence() {
        let event = |message: &str, timestamp| json!({"message": message, "timestamp": timestamp});
        let line = r#"{"_aws": {"CloudWatchMetrics": [{"Metrics": [{"Name": "NeedsPerson"}]}]}, "NeedsPerson": 0.0}"#;
        let others = event(r#"{"message": "NeedsPerson was not measured"}"#, 3);
        assert_eq!(newest(&[event(line, 1), event(line, 2), others.clone()]), Some(2));
        assert_eq!(newest(&[others, event("NeedsPerson", 4)]), None);
    }
}
