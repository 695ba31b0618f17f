//! The callers of the relay: partners, the booking system and operators. They remember every answer that they got, and
//! the judge checks the relay against it.

use std::sync::{Arc, Mutex};

use lambda_http::Request;
use relay_tests::events::{Body, api_request};
use relay_types::call::CallKind;
use relay_types::order::Partner;
use serde_json::json;

use crate::lambda::{Lambda, TOKEN};
use crate::world::lock;

/// An answer: status and body. `None` if the caller got none.
pub type Answer = Option<(u16, String)>;

/// Identifies an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderName {
    /// The partner.
    pub partner: Partner,
    /// The partner's id of it.
    pub id: String,
}

/// A notification or a link, and whether its sender got a success.
#[derive(Debug, Clone)]
pub struct Told {
    /// The order.
    pub order: OrderName,
    /// The body.
    pub body: String,
    /// Whether it was acknowledged.
    pub acknowledged: bool,
    /// When it was first sent, and when its sender got an answer or gave up. The unit is a step of the callers' shared
    /// counter.
    pub during: (usize, usize),
}

impl Told {
    /// Whether the body contains this Alitrip order id.
    pub fn names(&self, alitrip_order_id: &str) -> bool {
        self.body.contains(&format!("\"alitrip_order_id\":\"{alitrip_order_id}\""))
    }
}

/// A submitted call.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// The partition key of the call's record.
    pub pk: String,
    /// Its key.
    pub key: String,
    /// Whether it was acknowledged.
    pub acknowledged: bool,
}

/// Everything that the callers know at the end of a run.
#[derive(Debug, Default)]
pub struct Knowledge {
    /// Notifications.
    pub notifications: Vec<Told>,
    /// Links, in the order of their first PUT.
    pub links: Vec<Told>,
    /// Submitted calls.
    pub submitted: Vec<Submitted>,
    step: usize,
}

/// The partition key of the record that holds an order's totals.
pub fn pk_of_totals(order: usize) -> String {
    format!("submission#ticket-verify#total#{order}")
}

/// The partition key of the record of a redemption that counts each time.
pub fn pk_of_redemption(key: &str) -> String {
    format!("submission#ticket-verify#key#{key}")
}

impl Knowledge {
    const fn step(&mut self) -> usize {
        self.step += 1;
        self.step
    }

    /// Whether the link of an order other than `order`, or a submitted call, names a lane (`call/id`).
    pub fn shares(&self, order: &OrderName, lane: &str) -> bool {
        let (call, id) = lane.split_once('/').unwrap_or(("", lane));
        self.links.iter().any(|told| told.order != *order && told.names(id))
            || self.submitted.iter().any(|submitted| submitted.pk == format!("submission#{call}#{id}"))
    }
}

/// An operator's request about an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instruction {
    /// Decide it again.
    Replay,
    /// Take it off the attention list.
    Dismiss,
    /// Withdraw every call that was not sent yet.
    Withdraw,
    /// Finish it and stop working on it.
    Close,
}

/// The callers of one relay.
pub struct Callers {
    /// The functions that they call.
    pub lambda: Arc<Lambda>,
    /// Everything that they know.
    pub knowledge: Mutex<Knowledge>,
}

fn about(order: &OrderName, method: &str, path: &str, body: Body<'_>) -> Request {
    let parameters = json!({"partner": order.partner.as_ref(), "order_id": order.id});
    api_request(method, path, parameters, json!({}), body)
}

impl Callers {
    /// Callers that sent nothing yet.
    pub fn new(lambda: Arc<Lambda>) -> Self {
        Self { lambda, knowledge: Mutex::default() }
    }

    /// Delivers a notification once, as a partner.
    pub async fn notify(&self, order: &OrderName, body: &str) -> Answer {
        let (function, path) = match order.partner {
            Partner::Tsy => ("tsy-issue-notify", "/tsy/{token}/issue-notify"),
            Partner::Sctt if body.contains("orderlist") => ("sctt-cancel-push", "/sctt/{token}/cancel-push"),
            Partner::Sctt => ("sctt-voucher-push", "/sctt/{token}/voucher-push"),
        };
        let request = api_request("POST", path, json!({"token": TOKEN}), json!({}), Body::Text(body));
        let answer = self.lambda.request(function, request).await;
        if let Some((200, answer)) = &answer
            && *answer != order.partner.acknowledgement()
        {
            self.lambda.world.violated(format!("{} got 200 without an acknowledgement: {answer}", order.partner));
        }
        answer
    }

    /// Records a notification, and whether one of its deliveries was acknowledged.
    pub fn notified(&self, order: &OrderName, body: String, acknowledged: bool) {
        let during = (0, 0);
        lock(&self.knowledge).notifications.push(Told { order: order.clone(), body, acknowledged, during });
    }

    /// Links an order, as the booking system. Sends the PUT up to `tries` times until it succeeds, with a pause in
    /// between.
    pub async fn link(&self, order: &OrderName, link: &str, tries: usize, pause: impl AsyncFn()) {
        let index = {
            let knowledge = &mut *lock(&self.knowledge);
            let during = (knowledge.step(), usize::MAX);
            knowledge.links.push(Told { order: order.clone(), body: link.to_owned(), acknowledged: false, during });
            knowledge.links.len() - 1
        };
        let mut acknowledged = false;
        for _ in 0..tries {
            self.lambda.world.note(|| format!("booking system: link {}: {link}", order.id));
            let request = about(order, "PUT", "/orders/{partner}/{order_id}", Body::Text(link));
            if let Some((200, _)) = self.lambda.request("order-link", request).await {
                acknowledged = true;
                break;
            }
            pause().await;
        }
        let knowledge = &mut *lock(&self.knowledge);
        let step = knowledge.step();
        let told = &mut knowledge.links[index];
        (told.acknowledged, told.during.1) = (acknowledged, step);
    }

    /// Reads an order.
    pub async fn look(&self, order: &OrderName) -> Answer {
        let request = about(order, "GET", "/orders/{partner}/{order_id}", Body::None);
        self.lambda.request("order-link", request).await
    }

    /// Sends an operator's request about an order.
    pub async fn instruct(&self, order: &OrderName, instruction: Instruction) -> Answer {
        self.lambda.world.note(|| format!("operator: {instruction:?} {}", order.id));
        let (path, body) = match instruction {
            Instruction::Replay => ("/orders/{partner}/{order_id}/replay", Body::None),
            Instruction::Dismiss => ("/orders/{partner}/{order_id}/dismiss", Body::Text(r#"{"note":"seen"}"#)),
            Instruction::Withdraw => ("/orders/{partner}/{order_id}/withdraw", Body::Text(r#"{"note":"seen"}"#)),
            Instruction::Close => ("/orders/{partner}/{order_id}/close", Body::Text(r#"{"note":"seen"}"#)),
        };
        self.lambda.request("order-link", about(order, "POST", path, body)).await
    }

    /// Has one call of each kind that is held back tried now, after TOP lifted its bans.
    pub async fn retry_now(&self) {
        for call in CallKind::ALL {
            self.lambda.world.note(|| format!("operator: retry {call} now"));
            lock(&self.lambda.world.bans).lifted(call.as_ref());
            let (parameters, body) = (json!({"call": call}), Body::Text(r#"{"note":"lifted"}"#));
            let request = api_request("POST", "/breakers/{call}/retry-now", parameters, json!({}), body);
            self.lambda.request("submit-call", request).await;
        }
    }

    /// Submits a call once.
    pub async fn submit(&self, call: &str, key: Option<&str>, body: &str) -> Answer {
        let headers = key.map_or_else(|| json!({}), |key| json!({"Idempotency-Key": key}));
        let request = api_request("POST", "/calls/{call}", json!({"call": call}), headers, Body::Text(body));
        self.lambda.request("submit-call", request).await
    }

    /// Records a submitted call.
    pub fn submitted(&self, pk: String, key: &str, acknowledged: bool) {
        lock(&self.knowledge).submitted.push(Submitted { pk, key: key.to_owned(), acknowledged });
    }

    /// Resolves a call, as an operator.
    pub async fn resolve(&self, call: &str, key: &str, outcome: &str, attempt: Option<i64>) -> Answer {
        self.lambda.world.note(|| format!("operator: resolve {call}/{key} as {outcome}"));
        let mut body = json!({"outcome": outcome, "note": "asked TOP"});
        if let Some(attempt) = attempt {
            body["attempt"] = json!(attempt);
        }
        let parameters = json!({"call": call, "key": key});
        let body = body.to_string();
        let request = api_request("POST", "/calls/{call}/{key}/resolve", parameters, json!({}), Body::Text(&body));
        self.lambda.request("submit-call", request).await
    }
}
