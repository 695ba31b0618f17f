//! The actions: what each asks before it changes anything, and the request that it sends.

use anyhow::{Result, bail};
use relay_types::call::CallKind;
use serde_json::{Value, json};

use super::Console;
use super::guard::Form;
use super::parts::About;
use super::view::View;
use crate::api::{ask, path};
use crate::dead_letters;

/// The parameters that say what an action is about; its form keeps them.
pub const PARAMETERS: [&str; 11] =
    ["partner", "id", "call", "key", "endpoint", "digest", "revision", "attempt", "account", "queue", "message"];

/// Whether an action needs a note, and the question that asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// It takes none.
    None,
    /// It may have one.
    Optional,
    /// It needs one.
    Required(&'static str),
}

/// An action of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Action {
    /// Decide an order again.
    Replay,
    /// Take something off the attention list.
    Dismiss,
    /// Withdraw a call that was certainly not sent.
    Withdraw,
    /// Close an order that will never be linked.
    Close,
    /// Say what became of a call.
    Resolve,
    /// Have a waiting call tried now.
    Retry,
    /// Have one of all calls that are held back tried now.
    RetryKind,
    /// Pause a call, or all.
    Pause,
    /// End a pause.
    Resume,
    /// Send a dead letter back to its queue.
    Redrive,
    /// Delete a dead letter.
    Delete,
    /// Read a body again.
    Reprocess,
}

impl Action {
    /// The action's part of the keys of its texts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Dismiss => "dismiss",
            Self::Withdraw => "withdraw",
            Self::Close => "close",
            Self::Resolve => "resolve",
            Self::Retry => "retry",
            Self::RetryKind => "retry_kind",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Redrive => "redrive",
            Self::Delete => "delete",
            Self::Reprocess => "reprocess",
        }
    }

    /// Whether it needs a note.
    pub const fn note(self) -> Note {
        match self {
            Self::Replay | Self::Retry | Self::RetryKind | Self::Resume => Note::Optional,
            Self::Dismiss => Note::Required("action.dismiss.note"),
            Self::Resolve => Note::Required("action.resolve.how"),
            Self::Withdraw | Self::Close | Self::Pause | Self::Reprocess => Note::Required("action.why"),
            Self::Redrive | Self::Delete => Note::None,
        }
    }

    /// A text of the action.
    pub fn text(self, view: &View, part: &str, about: &About, form: &Form) -> String {
        let key = format!("action.{}.{part}", self.name());
        let values = [("what", about.name.as_str()), ("attempt", form.one("attempt")), ("queue", form.one("queue"))];
        view.f(&key, &values)
    }
}

/// What a form is about.
pub fn about(view: &View, form: &Form) -> About {
    let (partner, call, endpoint) = (form.one("partner"), form.one("call"), form.one("endpoint"));
    match () {
        () if !partner.is_empty() => About::order(partner, form.one("id")),
        () if !endpoint.is_empty() => About::body(endpoint, form.one("digest")),
        () if !form.one("key").is_empty() => About::call(call, form.one("key")),
        () if !form.one("message").is_empty() => About {
            name: form.one("message").to_owned(),
            id: String::new(),
            of: form.one("queue").to_owned(),
            page: "dead-letters".to_owned(),
            parameters: Vec::new(),
        },
        () => About {
            name: if call == "all" { view.t("action.all_calls").to_owned() } else { call.to_owned() },
            id: String::new(),
            of: call.to_owned(),
            page: "now".to_owned(),
            parameters: Vec::new(),
        },
    }
}

/// The request of an action: path and body.
fn request(action: Action, form: &Form) -> Option<(String, Value)> {
    let (partner, id) = (form.one("partner"), form.one("id"));
    let (call, key) = (form.one("call"), form.one("key"));
    let mut body = json!({"note": form.one("note")});
    let mut seen = |name: &str| {
        if let Ok(number) = form.one(name).parse::<i64>() {
            body[name] = number.into();
        }
    };
    let of_order = |verb: &str| path(["orders", partner, id, verb]);
    let of_call = |verb: &str| path(["calls", call, key, verb]);
    let of_body = |verb: &str| path(["attention", "unreadable", form.one("endpoint"), form.one("digest"), verb]);
    let path = match action {
        Action::Resolve => {
            seen("attempt");
            of_call("resolve")
        }
        Action::Reprocess => of_body("retry"),
        Action::Dismiss if !form.one("endpoint").is_empty() => of_body("dismiss"),
        Action::Replay | Action::Dismiss | Action::Withdraw | Action::Close if !partner.is_empty() => {
            seen("revision");
            of_order(action.name())
        }
        Action::Dismiss => {
            seen("revision");
            of_call("dismiss")
        }
        Action::Retry => of_call("retry-now"),
        Action::RetryKind => {
            body["account"] = form.one("account").into();
            path(["breakers", call, "retry-now"])
        }
        _ => return None,
    };
    if action == Action::Resolve {
        body["outcome"] = form.one("outcome").into();
    }
    Some((path, body))
}

/// Performs an action. Whatever comes of it, what was read before is forgotten.
///
/// # Errors
/// If the API or SQS refused it, or did not answer.
pub async fn perform(console: &Console, action: Action, form: &Form) -> Result<()> {
    let performed = request_all(console, action, form).await;
    console.forget().await;
    performed
}

async fn request_all(console: &Console, action: Action, form: &Form) -> Result<()> {
    let deployment = &console.deployment;
    match action {
        Action::Pause | Action::Resume => {
            let mut body = json!({"note": form.one("note")});
            if action == Action::Pause {
                body["remind_in_minutes"] = form.one("minutes").parse::<u32>().unwrap_or(60).into();
            }
            let meant = form.one("call");
            if meant != "all" && meant.parse::<CallKind>().is_err() {
                bail!("there is no call {meant}");
            }
            for kind in CallKind::ALL.into_iter().filter(|kind| meant == "all" || kind.as_ref() == meant) {
                let path = path(["breakers", kind.as_ref(), action.name()]);
                match ask(deployment, "POST", &path, &[], &body.to_string()).await {
                    // Of all calls, some may not be paused.
                    Err(error) if meant == "all" && crate::status::is_conflict(&error) => {}
                    other => drop(other?),
                }
            }
        }
        Action::Redrive => drop(dead_letters::redrive_by_id(deployment, form.one("queue"), form.one("message")).await?),
        Action::Delete => drop(dead_letters::delete(deployment, form.one("queue"), form.one("message")).await?),
        _ => {
            let Some((path, body)) = request(action, form) else { bail!("the form does not say what it is about") };
            ask(deployment, "POST", &path, &[], &body.to_string()).await?;
        }
    }
    Ok(())
}
