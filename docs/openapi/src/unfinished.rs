//! The routes that list unfinished items, and those of unreadable bodies.

use relay_types::account::NAME_PATTERN;
use relay_types::api::{AttentionPage, DismissRequest, DismissedBody, Refusal, RetriedBody, UnreadableBody};
use relay_types::breaker::Cause;
use relay_types::call::CallKind;
use relay_types::notification::NotificationKind;
use relay_types::reason::Reason;
use relay_types::unfinished::{State, UnfinishedPage};
use serde_json::{Value, json};

use crate::{Describer, in_path};

impl Describer {
    pub(crate) fn attention(&mut self) -> Vec<(String, Value)> {
        let parameters = json!([
            {"name": "limit", "in": "query", "description": "The page size.",
                "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 50}},
            {"name": "after", "in": "query", "description": "The `next` of the previous page.",
                "schema": {"type": "string"}},
        ]);
        let page = vec![("200", self.answer::<AttentionPage>("The items that need attention, oldest first."))];
        let list =
            json!({"get": self.own("list-attention", "List the items that need attention", parameters, None, page)});
        let named = || {
            vec![
                in_path("endpoint", "The endpoint that received the body.", json!({"type": "string"})),
                in_path("digest", "The body's SHA-256.", json!({"type": "string", "pattern": "^[0-9a-f]{64}$"})),
            ]
        };
        let unknown = self.answer::<Refusal>("No such unreadable body.");
        let mut parameters = named();
        parameters.push(json!({"name": "body", "in": "query", "schema": {"type": "boolean", "default": false},
            "description": "Whether the response holds the body itself, which may hold personal data."}));
        let answers = vec![("200", self.answer::<UnreadableBody>("The body.")), ("404", unknown.clone())];
        let show = self.own("show-unreadable", "Show an unreadable body", parameters.into(), None, answers);
        let request = self.request::<DismissRequest>();
        let answers = vec![
            ("202", self.answer::<RetriedBody>("Its notifications are recorded and enqueued.")),
            ("404", unknown.clone()),
            ("422", self.answer::<Refusal>("The body is still unreadable.")),
        ];
        let summary = "Take an unreadable body in again after the cause was fixed";
        let retry = self.own("retry-unreadable", summary, named().into(), Some(request), answers);
        let request = self.request::<DismissRequest>();
        let answers = vec![("200", self.answer::<DismissedBody>("Dismissed.")), ("404", unknown)];
        let summary = "Dismiss an unreadable body";
        let dismiss = self.own("dismiss-unreadable", summary, named().into(), Some(request), answers);
        let path = "/attention/unreadable/{endpoint}/{digest}";
        vec![
            ("/attention".to_owned(), list),
            (path.to_owned(), json!({"get": show})),
            (format!("{path}/retry"), json!({"post": retry})),
            (format!("{path}/dismiss"), json!({"post": dismiss})),
        ]
    }

    pub(crate) fn unfinished(&mut self) -> (String, Value) {
        let query = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "query", "description": description, "schema": schema});
        let causes = [Cause::Limit, Cause::ConfigurationFault, Cause::Paused];
        let reasons: Vec<_> = Reason::ALL.iter().map(AsRef::as_ref).chain(causes.iter().map(AsRef::as_ref)).collect();
        let time = || json!({"type": "string", "format": "date-time"});
        let states: Vec<_> = State::ALL.iter().map(AsRef::as_ref).collect();
        let state = json!({"type": "array", "minItems": 1, "items": {"type": "string", "enum": states}});
        let mut states = query("state", "One of these states, separated by commas.", state);
        (states["style"], states["explode"]) = (json!("form"), json!(false));
        let parameters = json!([
            states,
            query("partner", "The partner.", json!({"type": "string", "enum": ["tsy", "sctt"]})),
            query(
                "kind",
                "The kind of the deciding notification.",
                json!({"type": "string", "enum": NotificationKind::ALL})
            ),
            query("call", "The call.", json!({"type": "string", "enum": CallKind::ALL})),
            query(
                "account",
                "The TOP account. `default` also matches calls that name none.",
                json!({"type": "string", "pattern": NAME_PATTERN})
            ),
            query(
                "reason",
                "The code of a reason, or the cause that holds a call back.",
                json!({"type": "string", "enum": reasons})
            ),
            query("since", "Unfinished since this time or later.", time()),
            query("until", "Unfinished since before this time.", time()),
            query("limit", "The page size.", json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 50})),
            query("after", "The `next` of the previous page.", json!({"type": "string"})),
        ]);
        let page = vec![("200", self.answer::<UnfinishedPage>("The unfinished items, oldest first."))];
        let list = self.own("list-unfinished", "List everything unfinished, with counts", parameters, None, page);
        ("/unfinished".to_owned(), json!({"get": list}))
    }
}
