//! `PUT /orders/{partner}/{order_id}`: what the booking system knows of an order. `GET`: the order's timeline.

use std::collections::BTreeSet;

use lambda_http::http::{Method, StatusCode};
use lambda_http::{Body, Request, Response};
use serde_json::{Value, json};
use shared::answer;
use shared::call::{CallId, CallKey, CallKind};
use shared::clock::SharedClock;
use shared::notification::{NotificationKey, NotificationState};
use shared::order::{Link, OrderId, OrderKey, Partner};
use shared::queue::Queue;
use shared::record::orders::OrderRecords;
use shared::record::{StoreError, Table};
use shared::view;

/// What the function is made of.
#[derive(Debug)]
pub struct OrderLink {
    /// Where links and notifications are recorded.
    pub table: Table,
    /// Where the keys of notifications go that are to be decided again.
    pub notifications: Queue,
    /// Tells the time.
    pub clock: SharedClock,
}

impl OrderLink {
    /// Answers a request of the booking system or of a person.
    pub async fn handle(&self, request: &Request) -> Response<Body> {
        let Some(partner) = Partner::named(&answer::path_parameter(request, "partner")) else {
            return answer::refusal(StatusCode::NOT_FOUND, None, "there is no such partner: use tsy or sctt");
        };
        let order_id = match OrderId::try_from(answer::path_parameter(request, "order_id")) {
            Ok(order_id) => order_id,
            Err(problem) => {
                let message = format!("order_id {problem}");
                return answer::refusal(StatusCode::BAD_REQUEST, Some("order_id"), &message);
            }
        };
        let order = OrderKey { partner, order_id };
        let answered = match *request.method() {
            Method::PUT => self.put(&order, request).await,
            Method::GET => self.get(&order).await,
            _ => Ok(answer::refusal(StatusCode::METHOD_NOT_ALLOWED, None, "use PUT or GET")),
        };
        answered.unwrap_or_else(|error| {
            tracing::error!(%order, %error, "the order could not be read or written");
            answer::unavailable()
        })
    }

    /// Stores the link, then enqueues every notification of the order that was not dispatched: a link may be
    /// what it waited for, or mend what needed a person.
    async fn put(&self, order: &OrderKey, request: &Request) -> Result<Response<Body>, StoreError> {
        let read = answer::json_body(request).and_then(|body| {
            Link::from_json(order.partner, &body).map_err(|problem| answer::bad_body(&problem).into())
        });
        let link = match read {
            Ok(link) => link,
            Err(refusal) => return Ok(*refusal),
        };
        self.table.put_link(order, &link, &answer::caller(request), self.clock.now()).await?;
        // Read after the write: a notification recorded later than this reading finds the link itself.
        let records = self.table.order(order).await?;
        let (dispatched, open): (Vec<_>, Vec<_>) =
            records.notifications.iter().partition(|record| record.state == NotificationState::Dispatched);
        let key = |digest: &String, kind| NotificationKey { order: order.clone(), kind, digest: digest.clone() };
        let keys: Vec<_> = open.iter().map(|record| key(&record.digest, record.kind)).collect();
        if let Err(error) = self.notifications.send_all(&keys).await {
            tracing::error!(%order, %error, "linked, but not enqueued: the booking system must send again");
            return Ok(answer::unavailable());
        }
        // Nothing is left that the link was needed for, so it goes with what it was used for.
        if open.is_empty() && !dispatched.is_empty() {
            self.table.let_link_expire(order, self.clock.now()).await?;
        }
        tracing::info!(%order, enqueued = keys.len(), "linked");
        Ok(answer::json(
            StatusCode::OK,
            &json!({
                "partner": order.partner,
                "order_id": order.order_id,
                "notifications_enqueued": keys.len(),
                // These are not decided again: TOP was told already, or is being told.
                "notifications_dispatched_before": dispatched.len(),
            }),
        ))
    }

    async fn get(&self, order: &OrderKey) -> Result<Response<Body>, StoreError> {
        let records = self.table.order(order).await?;
        if records == OrderRecords::default() {
            return Ok(answer::refusal(StatusCode::NOT_FOUND, None, "nothing is known of this order"));
        }
        let calls = self.table.calls(&calls_of(&records)).await?;
        let shown: Vec<Value> = records.notifications.iter().map(view::notification).collect();
        Ok(answer::json(
            StatusCode::OK,
            &json!({
                "partner": order.partner,
                "order_id": order.order_id,
                "link": records.link.as_ref().map(view::link),
                "notifications": shown,
                "calls": calls.iter().map(view::call).collect::<Vec<_>>(),
                "timeline": view::timeline(&records, &calls),
            }),
        ))
    }
}

/// The calls that the order's notifications name, and those that its link can lead to, whoever asked for them.
fn calls_of(records: &OrderRecords) -> BTreeSet<CallId> {
    let named = records.notifications.iter().flat_map(|record| &record.calls).filter_map(|call| CallId::parse(call));
    let told = match records.link.as_ref().map(|record| &record.link) {
        Some(Link::FliggyShip(ship)) => {
            [true, false].iter().filter_map(|told| CallKey::of_ship(&ship.alitrip_order_id, *told).ok()).collect()
        }
        _ => Vec::new(),
    };
    named.chain(told.into_iter().map(|key| CallId { call: CallKind::ShipNotify, key })).collect()
}
