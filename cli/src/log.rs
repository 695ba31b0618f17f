//! The log of all functions: once, or as it grows.

use std::collections::HashSet;
use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::table::{escaped, list, text};
use crate::{Answer, aws};

/// How often new lines are asked for.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// CloudWatch may show a line this much later than others of the same time.
const LATE: jiff::SignedDuration = jiff::SignedDuration::from_secs(30);
/// Members of a line that the first column shows, or that tell an operator nothing.
const NOT_SHOWN: [&str; 5] = ["timestamp", "level", "message", "target", "xray_trace_id"];

/// The lines to show.
#[derive(Debug)]
pub struct Wanted {
    /// Lines that hold this text.
    pub about: Option<String>,
    /// Lines since this time.
    pub since: jiff::Timestamp,
    /// Only warnings and errors.
    pub problems: bool,
}

impl Wanted {
    /// CloudWatch's filter: a quoted term occurs anywhere in the line.
    fn pattern(&self) -> String {
        self.about.as_ref().map(|text| format!("\"{}\"", text.replace(['"', '\\'], ""))).unwrap_or_default()
    }

    fn takes(&self, line: &Value) -> bool {
        !self.problems || matches!(line["level"].as_str(), Some("WARN" | "ERROR"))
    }
}

/// Reads the log, oldest line first. With `follow`, prints lines until Ctrl-C instead.
pub async fn log(deployment: &Deployment, wanted: &Wanted, follow: bool, as_json: bool) -> Result<Answer> {
    let mut began = jiff::Timestamp::now();
    let mut lines = read(deployment, wanted, wanted.since).await?;
    if !follow {
        let lines: Vec<_> = lines.into_iter().map(|(_, line)| line).collect();
        let shown = if lines.is_empty() { "no lines\n".to_owned() } else { lines.iter().map(shown).collect() };
        return Ok(Answer::new(json!(lines), shown));
    }
    let mut seen = HashSet::new();
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let mut stdout = std::io::stdout();
        for (id, line) in lines {
            if seen.insert(id) {
                let text = if as_json { format!("{line}\n") } else { shown(&line) };
                stdout.write_all(text.as_bytes())?;
            }
        }
        stdout.flush()?;
        tokio::select! {
            _ = &mut interrupted => return Ok(Answer::new(Value::Null, String::new())),
            () = tokio::time::sleep(ASK_EVERY) => {}
        }
        // A read may take minutes, so the next one overlaps it.
        let since = began.checked_sub(LATE)?.max(wanted.since);
        began = jiff::Timestamp::now();
        lines = read(deployment, wanted, since).await?;
    }
}

/// The lines since a time, each with its id.
pub async fn read(deployment: &Deployment, wanted: &Wanted, since: jiff::Timestamp) -> Result<Vec<(String, Value)>> {
    let mut lines = Vec::new();
    let take = |id, line: Value| {
        if line["level"].is_string() && wanted.takes(&line) {
            lines.push((id, line));
        }
    };
    Reader { pattern: wanted.pattern(), since }.read(deployment, take).await?;
    lines.sort_by_key(|(_, line)| text(line, "timestamp"));
    Ok(lines)
}

/// Reads the log of all functions.
pub struct Reader {
    /// CloudWatch's filter.
    pub pattern: String,
    /// Lines since this time.
    pub since: jiff::Timestamp,
}

impl Reader {
    /// Passes each line that is JSON to `take`, with its id. Shows the progress, since a long time takes minutes.
    pub async fn read(&self, deployment: &Deployment, mut take: impl FnMut(String, Value)) -> Result<()> {
        let group = format!("/aws/lambda/{}", deployment.stack);
        let mut request =
            json!({"logGroupName": group, "startTime": self.since.as_millisecond(), "filterPattern": self.pattern});
        let progress = ProgressBar::new_spinner().with_message("reading the log");
        loop {
            let got = aws::call(&deployment.sdk, "logs", "Logs_20140328.FilterLogEvents", &request).await?;
            progress.inc(1);
            for event in list(&got, "events") {
                // Lambda's own lines are not JSON.
                if let Some(Ok(line)) = event["message"].as_str().map(serde_json::from_str) {
                    take(text(event, "eventId"), line);
                }
            }
            match got["nextToken"].as_str() {
                Some(next) => request["nextToken"] = next.into(),
                None => break,
            }
        }
        progress.finish_and_clear();
        Ok(())
    }
}

/// The members of a line that say more than its time, level and message.
pub fn members(line: &Value) -> String {
    let members = line.as_object().into_iter().flatten();
    let members = members.filter(|(name, value)| !NOT_SHOWN.contains(&name.as_str()) && !value.is_null());
    members.map(|(name, _)| format!(" {name}={}", text(line, name))).collect()
}

fn shown(line: &Value) -> String {
    let members = members(line);
    let [at, level, message] = ["timestamp", "level", "message"].map(|name| text(line, name));
    format!("{at} {level:5} {message}{}\n", escaped(&members))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_shows_time_level_message_and_members() {
        let line = json!({"timestamp": "t", "level": "WARN", "message": "call failed", "target": "x", "code": 7, "none": null,
            "sub_code": "a\u{1b}b"});
        assert_eq!(shown(&line), "t WARN  call failed code=7 sub_code=a\\u{1b}b\n");
    }

    #[test]
    fn filter_finds_the_text_as_it_is() {
        let wanted =
            |about: &str| Wanted { about: Some(about.to_owned()), since: jiff::Timestamp::UNIX_EPOCH, problems: true };
        assert_eq!(wanted("P-1\" ?x").pattern(), "\"P-1 ?x\"");
        assert!(wanted("").takes(&json!({"level": "ERROR"})) && !wanted("").takes(&json!({"level": "INFO"})));
    }
}
