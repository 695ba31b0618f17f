//! What is going on, at a glance; and the pauses of calls.

use anyhow::Result;
use relay_types::call::CallKind;
use serde_json::{Value, json};

use crate::Answer;
use crate::api::{Refused, ask, path};
use crate::deployment::Deployment;
use crate::table::{list, table, text};
use crate::unfinished::missing;
use crate::{dead_letters, order};

/// Pauses or resumes one call, or all.
pub async fn switch(deployment: &Deployment, call: &str, verb: &str, body: &Value) -> Result<Answer> {
    let is_meant = |kind: &CallKind| call == "all" || kind.as_ref() == call;
    for kind in CallKind::ALL.into_iter().filter(is_meant) {
        let path = path(["breakers", kind.as_ref(), verb]);
        match ask(deployment, "POST", &path, &[], &body.to_string()).await {
            // Of all calls, some may not be paused.
            Err(error) if call == "all" && is_conflict(&error) => {}
            other => drop(other?),
        }
    }
    let held = ask(deployment, "GET", "/breakers", &[], "").await?;
    let shown = order::held(list(&held, "items"));
    Ok(Answer::new(held, shown))
}

/// Whether the API refused a request because something has changed.
pub fn is_conflict(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|refused| refused.status == 409)
}

/// Everything unfinished by state, what is held back or paused, and the dead letters.
pub async fn status(deployment: &Deployment) -> Result<Answer> {
    let (unfinished, held, dead) = tokio::try_join!(
        ask(deployment, "GET", "/unfinished?limit=1", &[], ""),
        ask(deployment, "GET", "/breakers", &[], ""),
        dead_letters::tallies(deployment, None),
    )?;
    let states = unfinished["states"].as_object().into_iter().flatten();
    let rows: Vec<_> = states.map(|(state, count)| [state.replace('_', " "), count.to_string()]).collect();
    let mut shown =
        if rows.is_empty() { "nothing is unfinished\n".to_owned() } else { table(["unfinished", ""], rows) };
    shown.push_str(missing(&unfinished));
    let oldest = list(&unfinished, "items").first().map(|item| text(item, "since"));
    shown.extend(oldest.map(|since| format!("the oldest since {since}\n")));
    shown.push('\n');
    shown.push_str(&order::held(list(&held, "items")));
    let letters: u64 = dead.iter().map(|tally| tally.count + tally.hidden).sum();
    shown.push_str(&format!("\n{letters} dead letters\n"));
    let states = &unfinished["states"];
    let complete = &unfinished["complete"];
    let json = json!({"unfinished": states, "complete": complete, "held_back": held["items"], "dead_letters": dead, "oldest": list(&unfinished, "items").first()});
    Ok(Answer::new(json, shown))
}
