//! The API as an OpenAPI 3.1 document. Bodies come from the types that parse them, the rest from the routes below.
//!
//! The relay reads partners' and booking systems' bodies leniently: it accepts a number for a string, and the reverse.
//! The document describes the correct bodies only, not malformed input that is tolerated.

pub mod answers;
mod unfinished;

use relay_types::account::NAME_PATTERN;
use relay_types::api::{
    Accepted, Call, CallNote, HeldBackList, Linked, Order, OrderRequest, PauseRequest, Refusal, ReplayRequest,
    ResolveRequest, ResumeRequest, RetryNowRequest, Submitted,
};
use relay_types::call::CallKind;
use relay_types::call::itinerary_postback::FlightItineraryRequest;
use relay_types::call::ship_notify::ConfirmBook;
use relay_types::call::ship_return_notify::ConfirmRefund;
use relay_types::call::ticket_refund_notify::TicketRefund;
use relay_types::call::ticket_verify::TicketVerify;
use relay_types::difference::Difference;
use relay_types::link::{FliggyShip, FliggyTicket, HappytripFlight};
use relay_types::partner::sctt::{CancelPush, Envelope, VoucherPush};
use relay_types::partner::tsy::{ChangePricePush, IssueNotify};
use relay_types::schema;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::answers::{GatewayRefusal, ScttAnswer, TsyAnswer};

/// The result of a change: any JSON object, kept whole. `merchantOrder`, or else `orderNum`, names the order.
#[derive(Deserialize, JsonSchema)]
#[allow(dead_code, reason = "described, not read")]
struct ChangeResultPush {
    /// The company's order id, if present.
    #[serde(rename = "merchantOrder", default)]
    merchant_order: Value,
    /// TSY's order number of the change, if present.
    #[serde(rename = "orderNum", default)]
    order_num: Value,
}

/// The link of a flight order.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "described, not read")]
struct TsyLink {
    happytrip_flight: HappytripFlight,
}

/// The link of a scenic-spot or ship order: exactly one of the two.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
#[allow(dead_code, reason = "described, not read")]
struct ScttLink {
    #[serde(default)]
    #[schemars(with = "FliggyShip")]
    fliggy_ship: Option<FliggyShip>,
    #[serde(default)]
    #[schemars(with = "FliggyTicket")]
    fliggy_ticket: Option<FliggyTicket>,
}

/// API Gateway's answer when the function crashed.
const CRASHED: &str = "The function crashed; retry.";
/// API Gateway's answer when the function timed out.
const TOO_LATE: &str = "The function timed out; retry.";

/// Builds the document's parts, and collects the schemas that they refer to.
struct Describer {
    schemas: SchemaGenerator,
}

impl Describer {
    fn body<T: JsonSchema>(&mut self) -> Value {
        let schema = self.schemas.subschema_for::<T>();
        json!({"application/json": {"schema": schema}})
    }

    fn request<T: JsonSchema>(&mut self) -> Value {
        json!({"required": true, "content": self.body::<T>()})
    }

    fn answer<T: JsonSchema>(&mut self, description: &str) -> Value {
        json!({"description": description, "content": self.body::<T>()})
    }

    /// A request body of SCTT with its authentication envelope. The envelope is checked only if the deployment says so.
    fn with_envelope<B: JsonSchema>(&mut self) -> Value {
        let parts = json!([self.schemas.subschema_for::<B>(), self.schemas.subschema_for::<Envelope>()]);
        json!({"required": true, "content": {"application/json": {"schema": {"allOf": parts}}}})
    }

    /// A partner's route.
    fn notification<A: JsonSchema>(
        &mut self,
        partner: &str,
        name: &str,
        summary: &str,
        body: Value,
    ) -> (String, Value) {
        let operation = json!({
            "operationId": name, "summary": summary, "tags": [partner],
            "parameters": [token()],
            "requestBody": body,
            "responses": {
                "200": self.answer::<A>("Recorded, now or before."),
                "400": self.answer::<A>("A field is missing or of the wrong type; `msg` names it. The body is kept."),
                "401": self.answer::<A>("Wrong token, signature, merchant or time."),
                "403": self.answer::<GatewayRefusal>("The source address is outside the partner's ranges."),
                "405": self.answer::<A>("The method is not POST."),
                "413": self.answer::<A>("The body is larger than 256 KiB."),
                "429": self.answer::<GatewayRefusal>("Too many requests; retry."),
                "500": self.answer::<A>("Could not be stored; retry."),
                "502": self.answer::<GatewayRefusal>(CRASHED),
                "504": self.answer::<GatewayRefusal>(TOO_LATE),
            },
        });
        (format!("/{partner}/{{token}}/{name}"), json!({"post": operation}))
    }

    /// An operation of the company's own systems, with the given answers and those common to all operations.
    fn own(
        &mut self,
        id: &str,
        summary: &str,
        parameters: Value,
        request: Option<Value>,
        answers: Vec<(&str, Value)>,
    ) -> Value {
        let mut responses: Map<String, Value> =
            answers.into_iter().map(|(status, answer)| (status.to_owned(), answer)).collect();
        responses.insert(
            "400".into(),
            self.answer::<Refusal>("A field or parameter is missing, unknown, or of the wrong type; `field` names it."),
        );
        responses.insert("403".into(), self.answer::<GatewayRefusal>("Not allowed, or wrongly signed."));
        responses.entry("404").or_insert_with(|| self.answer::<GatewayRefusal>("No such path, or not signed."));
        responses.insert("405".into(), self.answer::<Refusal>("The path does not take this method."));
        if request.is_some() {
            let too_large = self.answer::<Refusal>("The body is larger than 256 KiB, as sent or as recorded.");
            responses.insert("413".into(), too_large);
        }
        responses.insert("429".into(), self.answer::<GatewayRefusal>("Too many requests; retry."));
        responses.insert("500".into(), self.answer::<Refusal>("Could not be stored; retry."));
        responses.insert("502".into(), self.answer::<GatewayRefusal>(CRASHED));
        responses.insert("504".into(), self.answer::<GatewayRefusal>(TOO_LATE));
        responses.sort_keys();
        let mut operation = json!({"operationId": id, "summary": summary, "tags": ["booking system and operators"],
            "security": [{"iam": []}], "parameters": parameters, "responses": responses});
        if let Some(request) = request {
            operation["requestBody"] = request;
        }
        operation
    }

    /// The routes for a partner's orders.
    fn orders<L: JsonSchema>(&mut self, partner: &str) -> Vec<(String, Value)> {
        let order_id = || {
            json!([in_path("order_id", "The order's id, percent-encoded.", json!({"$ref": "#/components/schemas/Id"}))])
        };
        let request = self.request::<L>();
        let linked = vec![
            ("200", self.answer::<Linked>("Recorded; the relay decides the order next.")),
            ("409", self.answer::<Refusal>("Another request changed the link at the same time.")),
        ];
        let put = self.own(
            &format!("link-{partner}-order"),
            "Link the order to a TOP call",
            order_id(),
            Some(request),
            linked,
        );
        let unknown = self.answer::<Refusal>("The order is unknown.");
        let shown = vec![("200", self.answer::<Order>("The order record.")), ("404", unknown.clone())];
        let mut parameters = order_id();
        if let Some(parameters) = parameters.as_array_mut() {
            parameters.push(json!({"name": "payload", "in": "query", "schema": {"type": "string"}, "description":
                "The digest of the only notification to return with its payload. Otherwise all payloads that fit."}));
        }
        let get =
            self.own(&format!("show-{partner}-order"), "Show the order and its timeline", parameters, None, shown);
        let path = format!("/orders/{partner}/{{order_id}}");
        let mut routes = vec![(path.clone(), json!({"get": get, "put": put}))];
        for (word, summary) in [
            ("replay", "Decide the order again; send refused calls again"),
            ("dismiss", "Dismiss an order that you handled manually"),
            ("withdraw", "Withdraw a call that was certainly not sent"),
            ("close", "Close an order that will never be linked"),
        ] {
            let request = if word == "replay" {
                // A replay needs no reason, and no body.
                json!({"required": false, "content": self.body::<ReplayRequest>()})
            } else {
                self.request::<OrderRequest>()
            };
            let answers = vec![
                ("202", self.answer::<Accepted>("Recorded; the relay decides the order next.")),
                ("404", unknown.clone()),
                (
                    "409",
                    self.answer::<Refusal>(
                        "The order's state does not allow the request, or the order has changed since.",
                    ),
                ),
            ];
            let id = format!("{word}-{partner}-order");
            let post = self.own(&id, summary, order_id(), Some(request), answers);
            routes.push((format!("{path}/{word}"), json!({"post": post})));
        }
        let mut parameters = order_id();
        for name in ["from", "to"] {
            let description = "A notification's digest, or at least its first 8 digits; or link- and a version.";
            let schema = json!({"type": "string", "pattern": "^([0-9a-f]{8,}|link-[1-9][0-9]*)$"});
            let parameter =
                json!({"name": name, "in": "query", "required": true, "schema": schema, "description": description});
            parameters.as_array_mut().into_iter().for_each(|parameters| parameters.push(parameter.clone()));
        }
        let compared = vec![
            ("200", self.answer::<Difference>("The fields that differ.")),
            ("404", self.answer::<Refusal>("The order, or one of the two, is unknown or no longer kept.")),
        ];
        let id = format!("compare-{partner}-order");
        let compare = self.own(&id, "Compare two notifications or two links of the order", parameters, None, compared);
        routes.push((format!("{path}/difference"), json!({"get": compare})));
        routes
    }

    /// The routes for a kind of call.
    fn calls<B: JsonSchema>(&mut self, call: &str, has_own_key: bool) -> Vec<(String, Value)> {
        let idempotency_key = json!({"name": "Idempotency-Key", "in": "header", "required": true,
            "description": "Identifies the call: the same key means the same call, regardless of the caller.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 256, "pattern": "^(?!\\.{1,2}$)[!-~]+$"}});
        let account = json!({"name": "account", "in": "query",
            "description": "The TOP account that sends the call. Default: the account of the call in TOP's secret.",
            "schema": {"type": "string", "pattern": NAME_PATTERN}});
        let parameters = if has_own_key { json!([account]) } else { json!([account, idempotency_key]) };
        let key = || {
            json!([in_path("key", "The call's key, percent-encoded.", json!({"$ref": "#/components/schemas/CallKey"}))])
        };
        let mut again = self.answer::<Call>("The same body was submitted before: the call as it is.");
        again["headers"] = json!({"Idempotent-Replayed": {"description": "`true`", "schema": {"type": "string"}}});
        let request = self.request::<B>();
        let answers = vec![
            ("200", again),
            ("202", self.answer::<Submitted>("Recorded and enqueued.")),
            ("409", self.answer::<Refusal>("The call kept changing; retry.")),
            ("422", self.answer::<Refusal>("The key belongs to a call with another body that TOP has not refused.")),
        ];
        let post = self.own(&format!("submit-{call}"), "Submit a call to TOP", parameters, Some(request), answers);
        let unknown = self.answer::<Refusal>("No such call.");
        let shown = vec![("200", self.answer::<Call>("The call as it is.")), ("404", unknown.clone())];
        let get = self.own(&format!("show-{call}"), "Show the call and its attempts", key(), None, shown);
        let request = self.request::<CallNote>();
        let answers = vec![
            ("202", self.answer::<Call>("Recorded: the call as it is.")),
            ("404", unknown.clone()),
            ("409", self.answer::<Refusal>("The call is not in the attention list, is being decided, or has changed.")),
        ];
        let id = format!("dismiss-{call}");
        let dismiss = self.own(&id, "Dismiss a call that you handled manually", key(), Some(request), answers);
        let request = self.request::<ResolveRequest>();
        let answers = vec![
            ("202", self.answer::<Call>("Recorded, now or before: the call as it is.")),
            ("404", unknown),
            (
                "409",
                self.answer::<Refusal>("Not unknown (for `retry`: nor refused), at another attempt, or being decided."),
            ),
        ];
        let resolve = self.own(
            &format!("resolve-{call}"),
            "Resolve a call after you asked TOP how it ended",
            key(),
            Some(request),
            answers,
        );
        let request = self.request::<CallNote>();
        let answers = vec![
            ("202", self.answer::<Call>("Recorded: the call as it is.")),
            ("404", self.answer::<Refusal>("No such call.")),
            ("409", self.answer::<Refusal>("The call does not wait to be sent, is being decided, or has changed.")),
        ];
        let id = format!("retry-{call}-now");
        let retry = self.own(&id, "Have a waiting call tried now", key(), Some(request), answers);
        let path = format!("/calls/{call}");
        vec![
            (path.clone(), json!({"post": post})),
            (format!("{path}/{{key}}"), json!({"get": get})),
            (format!("{path}/{{key}}/resolve"), json!({"post": resolve})),
            (format!("{path}/{{key}}/dismiss"), json!({"post": dismiss})),
            (format!("{path}/{{key}}/retry-now"), json!({"post": retry})),
        ]
    }

    fn breakers(&mut self) -> Vec<(String, Value)> {
        let list = vec![("200", self.answer::<HeldBackList>("The calls that are held back."))];
        let list = self.own("list-breakers", "List the calls that are held back", json!([]), None, list);
        let mut routes = vec![("/breakers".to_owned(), json!({"get": list}))];
        for call in CallKind::ALL {
            let request = self.request::<RetryNowRequest>();
            let tried = "One of these calls is tried now; if it succeeds, the others follow.";
            let answers = vec![
                ("202", self.answer::<HeldBackList>(tried)),
                ("409", self.answer::<Refusal>("No calls of this kind and account are held back.")),
            ];
            let id = format!("retry-{call}-calls-now");
            let retry = self.own(&id, "Have one call of this kind tried now", json!([]), Some(request), answers);
            let request = self.request::<PauseRequest>();
            let paused = vec![("200", self.answer::<HeldBackList>("What holds calls of this kind back now."))];
            let id = format!("pause-{call}");
            let pause = self.own(&id, "Pause all calls of this kind", json!([]), Some(request), paused);
            let request = self.request::<ResumeRequest>();
            let resumed = vec![
                ("200", self.answer::<HeldBackList>("What holds calls of this kind back now.")),
                ("409", self.answer::<Refusal>("The call is not paused.")),
            ];
            let id = format!("resume-{call}");
            let resume = self.own(&id, "End the pause of a call", json!([]), Some(request), resumed);
            routes.extend([
                (format!("/breakers/{call}/retry-now"), json!({"post": retry})),
                (format!("/breakers/{call}/pause"), json!({"post": pause})),
                (format!("/breakers/{call}/resume"), json!({"post": resume})),
            ]);
        }
        routes
    }
}

fn in_path(name: &str, description: &str, schema: Value) -> Value {
    json!({"name": name, "in": "path", "required": true, "description": description, "schema": schema})
}

fn token() -> Value {
    in_path("token", "The secret token in the partner's URL.", json!({"type": "string", "pattern": "^[0-9A-Za-z_-]+$"}))
}

/// Builds the OpenAPI document.
#[must_use]
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut describer = Describer { schemas: settings.into_generator() };
    let mut paths = Vec::new();
    let issued = describer.request::<IssueNotify>();
    let price = describer.request::<ChangePricePush>();
    let result = describer.request::<ChangeResultPush>();
    for (name, summary, body) in [
        ("issue-notify", "A flight's tickets were issued or rejected", issued),
        ("change-price-push", "The price of a flight change", price),
        ("change-result-push", "The result of a flight change", result),
    ] {
        paths.push(describer.notification::<TsyAnswer>("tsy", name, summary, body));
    }
    let vouchers = describer.with_envelope::<VoucherPush>();
    let cancellations = describer.with_envelope::<CancelPush>();
    for (name, summary, body) in [
        ("voucher-push", "The status and vouchers of an order", vouchers),
        ("cancel-push", "The results of cancellations", cancellations),
    ] {
        paths.push(describer.notification::<ScttAnswer>("sctt", name, summary, body));
    }
    paths.extend(describer.orders::<TsyLink>("tsy"));
    paths.extend(describer.orders::<ScttLink>("sctt"));
    paths.extend(describer.calls::<FlightItineraryRequest>("itinerary-postback", true));
    paths.extend(describer.calls::<TicketVerify>("ticket-verify", false));
    paths.extend(describer.calls::<ConfirmBook>("ship-notify", true));
    paths.extend(describer.calls::<ConfirmRefund>("ship-return-notify", true));
    paths.extend(describer.calls::<TicketRefund>("ticket-refund-notify", true));
    paths.extend(describer.breakers());
    paths.extend(describer.attention());
    paths.extend([describer.unfinished()]);
    let mut id = schema::id(&mut describer.schemas).to_value();
    id["description"] = "1 to 256 bytes without control characters or U+FFFD, and neither `.` nor `..`.".into();
    let mut key = schema::call_key().to_value();
    key["description"] = "1 to 512 bytes without control characters or U+FFFD, and neither `.` nor `..`.".into();
    let mut schemas = describer.schemas.take_definitions(true);
    schemas.insert("Id".to_owned(), id);
    schemas.insert("CallKey".to_owned(), key);
    schemas.sort_keys();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "ticket-relay",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Routes for partners, the booking system and operators. Generated by `make openapi` from \
                the types that parse the bodies. Malformed input that is tolerated is not described.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "https://{api}.execute-api.{region}.amazonaws.com/v1", "variables": {
            "api": {"default": "api-id", "description": "The stack's output ApiId"},
            "region": {"default": "us-east-1", "description": "The stack's region"}}}],
        "paths": paths.into_iter().collect::<Map<_, _>>(),
        "components": {
            "securitySchemes": {"iam": {"type": "apiKey", "in": "header", "name": "Authorization",
                "description": "An AWS signature (version 4) for execute-api. The identity needs execute-api:Invoke.",
                "x-amazon-apigateway-authtype": "awsSigv4"}},
            "schemas": schemas,
        },
    });
    bound_integers(&mut document);
    document
}

/// Adds bounds to 64-bit integers, because JSON Schema leaves the meaning of the format to the reader.
fn bound_integers(schema: &mut Value) {
    match schema {
        Value::Array(values) => values.iter_mut().for_each(bound_integers),
        Value::Object(members) => {
            if members.get("format").is_some_and(|format| format == "int64") {
                members.entry("minimum").or_insert_with(|| i64::MIN.into());
                members.entry("maximum").or_insert_with(|| i64::MAX.into());
            }
            members.values_mut().for_each(bound_integers);
        }
        _ => {}
    }
}

/// The document as YAML, with a comment on how to generate it.
///
/// # Errors
/// If it cannot be written as YAML.
pub fn yaml() -> Result<String, serde_saphyr::SerializeError> {
    let body = serde_saphyr::to_string(&Plain(&document()))?;
    Ok(format!("# Written by `make openapi`.\n{body}"))
}

/// JSON for other formats: this workspace's serde_json keeps numbers as strings, which only it understands.
struct Plain<'a>(&'a Value);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(number), _) => serializer.serialize_i64(number),
                (None, number) => serializer.serialize_f64(number.unwrap_or_default()),
            },
            Value::String(text) => serializer.serialize_str(text),
            Value::Array(values) => serializer.collect_seq(values.iter().map(Plain)),
            Value::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, &Plain(value))?;
                }
                map.end()
            }
        }
    }
}
