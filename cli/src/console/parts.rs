//! The parts that pages are made of.

use maud::{Markup, html};
use relay_types::api::ReasonText;
use relay_types::unfinished::Unfinished;
use serde_json::Value;

use super::view::{View, visible};
use crate::api::encoded;

/// Ids longer than this are shortened in the middle.
const LONGEST_ID: usize = 24;
/// How much of a shortened id's beginning and end stays.
const KEPT_OF_ID: usize = 9;

/// The colour of a state, an outcome or an attempt.
pub fn color(state: &str) -> &'static str {
    match state {
        "attention" | "refused" | "rejected" | "unknown" | "unreadable" | "failed" => "red",
        "waiting" | "unnotified" | "held" | "not_executed" | "configuration_fault" | "no_answer" => "amber",
        "pending" | "received" | "in_progress" => "blue",
        "succeeded" | "decided" | "resolved_succeeded" => "green",
        _ => "grey",
    }
}

/// The icon of a state.
fn icon_name(state: &str) -> &str {
    match state {
        "refused" | "resolved_rejected" => "rejected",
        "no_answer" => "unknown",
        "resolved_succeeded" => "succeeded",
        "resolved_retry" => "pending",
        other => other,
    }
}

/// An icon of the sprite.
pub fn icon(name: &str) -> Markup {
    html! { svg class="i" aria-hidden="true" { use href=(format!("#i-{}", icon_name(name))); } }
}

/// A state as a tag.
pub fn tag(view: &View, state: &str) -> Markup {
    html! {
        span class=(format!("tag {}", color(state))) { (icon(state)) span { (view.language.of_code("state", state)) } }
    }
}

/// An id: whole for screen readers and copies, otherwise shortened in the middle.
pub fn id(id: &str) -> Markup {
    let id = visible(id);
    let chars: Vec<char> = id.chars().collect();
    if chars.len() <= LONGEST_ID {
        return html! { (id) };
    }
    let part = |chars: &[char]| chars.iter().collect::<String>();
    let (begin, end) = (part(&chars[..KEPT_OF_ID]), part(&chars[chars.len() - KEPT_OF_ID..]));
    html! { span class="id" { span aria-hidden="true" { (begin) "…" (end) } span class="vh" { (id) } } }
}

/// TOP's code and sub-code.
pub fn codes(code: Option<i64>, sub_code: Option<&str>) -> String {
    let code = code.map(|code| code.to_string());
    visible(&code.into_iter().chain(sub_code.map(str::to_owned)).collect::<Vec<_>>().join(" "))
}

/// A link that looks like a button. `of` names its object for screen readers.
pub fn button(href: &str, text: &str, of: &str) -> Markup {
    html! { a class="btn" href=(href) { (text) @if !of.is_empty() { span class="vh" { " " (visible(of)) } } } }
}

/// The reasons of a state, each on its own line.
pub fn reasons(view: &View, reasons: &[ReasonText]) -> Markup {
    html! {
        @for reason in reasons {
            span class="why" { (view.language.reason(reason.code.as_ref(), &reason.text)) }
        }
    }
}

/// A query with these parameters, percent-encoded. Empty values are left out.
pub fn query(parameters: &[(&str, &str)]) -> String {
    let shown = parameters.iter().filter(|(_, value)| !value.is_empty());
    let shown: Vec<_> = shown.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    if shown.is_empty() { String::new() } else { format!("?{}", shown.join("&")) }
}

/// The command that shows the same in a terminal. An id may hold any character, so each argument is quoted for the shell.
pub fn command(arguments: &[&str]) -> String {
    let quoted = |argument: &&str| {
        let is_plain = !argument.is_empty()
            && argument.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:=@,+".contains(&byte));
        if is_plain { (*argument).to_owned() } else { format!("'{}'", visible(argument).replace('\'', r"'\''")) }
    };
    format!("relay {}", arguments.iter().map(quoted).collect::<Vec<_>>().join(" "))
}

/// What an unfinished item is, and where it is shown.
#[derive(Debug, Clone)]
pub struct About {
    /// The name for people, such as `sctt T-1`.
    pub name: String,
    /// The id in that name.
    pub id: String,
    /// What comes before the id.
    pub of: String,
    /// The page that shows it, relative to the stack's pages.
    pub page: String,
    /// The parameters that identify it in addresses and forms.
    pub parameters: Vec<(&'static str, String)>,
}

impl About {
    /// What an item is about.
    pub fn of(item: &Unfinished) -> Self {
        let (page, of, id, names): (&str, String, String, [&'static str; 2]) =
            match (&item.order_id, &item.digest, &item.call) {
                (Some(order_id), ..) => {
                    let partner = item.partner.map(|partner| partner.to_string()).unwrap_or_default();
                    ("order", partner, order_id.clone(), ["partner", "id"])
                }
                (None, Some(digest), _) => {
                    let kind = item.notification.map(|kind| kind.to_string()).unwrap_or_default();
                    ("body", kind, digest.clone(), ["endpoint", "digest"])
                }
                (None, None, call) => {
                    let call = call.map(|call| call.as_ref().to_owned()).unwrap_or_default();
                    ("call", call, item.key.clone().unwrap_or_default(), ["call", "key"])
                }
            };
        Self::new(page, &of, &id, names)
    }

    /// An order.
    pub fn order(partner: &str, id: &str) -> Self {
        Self::new("order", partner, id, ["partner", "id"])
    }

    /// A call.
    pub fn call(call: &str, key: &str) -> Self {
        Self::new("call", call, key, ["call", "key"])
    }

    /// An unreadable body.
    pub fn body(endpoint: &str, digest: &str) -> Self {
        Self::new("body", endpoint, digest, ["endpoint", "digest"])
    }

    fn new(page: &str, of: &str, id: &str, names: [&'static str; 2]) -> Self {
        let parameters = vec![(names[0], of.to_owned()), (names[1], id.to_owned())];
        let pairs: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let page = format!("{page}{}", query(&pairs));
        Self { name: visible(&format!("{of} {id}")), id: id.to_owned(), of: of.to_owned(), page, parameters }
    }

    /// The link to its page.
    pub fn link(&self) -> Markup {
        html! { a class="row" href=(self.page) { (self.of) " " (id(&self.id)) } }
    }

    /// The address of an action about it, which is valid only for the state that is shown.
    pub fn action(&self, action: &str, revision: Option<i64>, attempt: u32) -> String {
        let (revision, attempt) = (revision.map(|revision| revision.to_string()), attempt.to_string());
        let mut parameters = vec![("do", action)];
        parameters.extend(self.parameters.iter().map(|(name, value)| (*name, value.as_str())));
        parameters.push(("revision", revision.as_deref().unwrap_or_default()));
        parameters.push(("attempt", if attempt == "0" { "" } else { &attempt }));
        format!("act{}", query(&parameters))
    }
}

/// Masked JSON, with each value that a partner or TOP sent.
pub fn json(value: &Value) -> Markup {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    html! { pre { (text.lines().map(visible).collect::<Vec<_>>().join("\n")) } }
}

/// A message above a page.
pub fn note(color: &str, icon_of: &str, message: &Markup) -> Markup {
    html! {
        div class=(format!("note {color}")) role="alert" tabindex="-1" autofocus { (icon(icon_of)) div { (message) } }
    }
}
