//! `PUT /orders/{partner}/{order_id}`: what the booking system knows of an order. `GET`: the order's timeline.
//! `POST /orders/{partner}/{order_id}/replay`: a person has the order decided again. `/settle`: a person has seen to it.

use std::collections::BTreeSet;

use lambda_http::http::{Method, StatusCode};
use lambda_http::{Body, Request, RequestExt as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::answer;
use shared::call::{CallId, CallKey, CallKind};
use shared::clock::SharedClock;
use shared::notification::NotificationState;
use shared::order::{Link, OrderId, OrderKey, Partner};
use shared::queue::Queue;
use shared::record::calls::{CallRecord, CallState};
use shared::record::orders::{NotificationRecord, OrderRecords};
use shared::record::{StoreError, Table};
use shared::view;
use shared::wire;

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

/// What a person says who has seen to an order.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settled {
    note: String,
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
            // These are the only two POSTs that are routed here.
            Method::POST if request.raw_http_path().ends_with("/settle") => self.settle(&order, request).await,
            Method::POST => self.replay(&order, &answer::caller(request)).await,
            _ => Ok(answer::refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                None,
                "use PUT or GET, or POST to /replay or /settle",
            )),
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
            let link = Link::from_json(order.partner, &body).map_err(|problem| answer::bad_body(&problem))?;
            answer::check_recorded_size(&link.to_json())?;
            Ok(link)
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
        let keys: Vec<_> = open.iter().map(|record| record.key(order)).collect();
        if let Err(error) = self.notifications.send_all(&keys).await {
            tracing::error!(%order, %error, "linked, but not enqueued: the booking system must send again");
            return Ok(answer::unavailable());
        }
        // Nothing is left that the link was needed for, so it goes with what it was used for.
        if let Some(link) = records.link.as_ref().filter(|_| open.is_empty() && !dispatched.is_empty()) {
            self.table.let_link_expire(order, link, self.clock.now()).await?;
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

    /// Has everything of an order decided again that did not succeed: each notification that was not dispatched, led
    /// to no call, or to one that TOP does not have. What TOP refused is sent again if it is decided again.
    async fn replay(&self, order: &OrderKey, by: &str) -> Result<Response<Body>, StoreError> {
        let records = self.table.order(order).await?;
        if records.notifications.is_empty() {
            return Ok(answer::refusal(StatusCode::NOT_FOUND, None, "no notification of this order is known"));
        }
        let named: BTreeSet<_> = records.notifications.iter().flat_map(NotificationRecord::call_ids).collect();
        let calls = self.table.calls(&named).await?;
        let succeeded: BTreeSet<_> =
            calls.iter().filter(|call| call.state == CallState::Succeeded).map(CallRecord::id).collect();
        let open: Vec<_> = records
            .notifications
            .iter()
            .filter(|record| record.calls.is_empty() || !record.call_ids().all(|call| succeeded.contains(&call)))
            .collect();
        // Before the notifications, so that whoever decides one finds the calls ready to be asked for.
        for call in calls.iter().filter(|call| call.state == CallState::Rejected) {
            self.table.let_be_asked_again(call).await?;
        }
        if records.link.is_some() && !open.is_empty() {
            self.table.keep_link(order).await?;
        }
        for record in &open {
            self.table.reopen(order, record, by, self.clock.now()).await?;
        }
        let keys: Vec<_> = open.iter().map(|record| record.key(order)).collect();
        if let Err(error) = self.notifications.send_all(&keys).await {
            tracing::error!(%order, %error, "to be decided again, but not enqueued: the sweep will, or send it again");
            return Ok(answer::unavailable());
        }
        tracing::info!(%order, by, enqueued = keys.len(), "replayed");
        Ok(answer::json(
            StatusCode::ACCEPTED,
            &json!({
                "partner": order.partner,
                "order_id": order.order_id,
                "notifications_enqueued": keys.len(),
                // What TOP has is not decided again.
                "notifications_succeeded_before": records.notifications.len() - keys.len(),
            }),
        ))
    }

    /// Takes an order's notifications that need a person off the list: a person has seen to them.
    async fn settle(&self, order: &OrderKey, request: &Request) -> Result<Response<Body>, StoreError> {
        let note = answer::json_body(request)
            .and_then(|body| wire::read(&body).map_err(|problem| answer::bad_body(&problem).into()));
        let Settled { note } = match note {
            Ok(settled) => settled,
            Err(refusal) => return Ok(*refusal),
        };
        if let Err(problem) = answer::check_note(&note) {
            return Ok(answer::bad_body(&problem));
        }
        let records = self.table.order(order).await?;
        if records.notifications.is_empty() {
            return Ok(answer::refusal(StatusCode::NOT_FOUND, None, "no notification of this order is known"));
        }
        let by = answer::caller(request);
        let (mut settled, mut open) = (0_u32, false);
        for record in &records.notifications {
            match record.state {
                NotificationState::Attention => {
                    let written = self.table.settle(order, record, &by, &note, self.clock.now()).await?;
                    settled += u32::from(written);
                    open |= !written;
                }
                state => open |= state != NotificationState::Dispatched,
            }
        }
        // Nothing is left that the link was needed for.
        if let Some(link) = records.link.as_ref().filter(|_| settled > 0 && !open) {
            self.table.let_link_expire(order, link, self.clock.now()).await?;
        }
        tracing::info!(%order, by, settled, "settled");
        let json = json!({"partner": order.partner, "order_id": order.order_id, "notifications_settled": settled});
        Ok(answer::json(StatusCode::OK, &json))
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
    let named = records.notifications.iter().flat_map(NotificationRecord::call_ids);
    let told = match records.link.as_ref().map(|record| &record.link) {
        Some(Link::FliggyShip(ship)) => {
            [true, false].iter().filter_map(|told| CallKey::of_ship(&ship.alitrip_order_id, *told).ok()).collect()
        }
        _ => Vec::new(),
    };
    let led_to = records.link.iter().flat_map(|link| &link.led_to).filter_map(|call| CallId::parse(call));
    named.chain(led_to).chain(told.into_iter().map(|key| CallId { call: CallKind::ShipNotify, key })).collect()
}
