//! What the facts of an order want TOP to know, derived without any code of the relay.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::callers::OrderName;
use crate::facts::Fact;

/// The target that follows from an order's facts.
#[derive(Debug, Clone, PartialEq)]
pub enum Desire {
    /// Tell TOP this, on this lane (`call/id`).
    Tell(String, Value),
    /// Nothing until the booking system says more.
    Wait,
    /// Nothing; the order needs attention, for this reason.
    Person(&'static str),
    /// Nothing.
    Nothing,
}

/// The state of an order that its facts lead to.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// The digests of the notifications that came.
    pub seen: BTreeSet<String>,
    /// The newest decisive notification: its digest, body and newest `request_time`.
    pub current: Option<(String, Value, Option<String>)>,
    /// The newest link.
    pub link: Option<Value>,
    /// An older notification that came again after a newer one said otherwise.
    pub repeat: Option<(String, Value)>,
    /// Whether a notification was odd.
    pub odd: bool,
    /// The reasons that an operator dismissed.
    pub dismissed: BTreeSet<String>,
    /// Whether an operator stopped the order.
    pub is_stopped: bool,
}

/// Whether a notification is decisive, and whether it is odd.
fn says(body: &Value) -> (bool, bool) {
    let vouchers = body["vouchers"][0]["voucherlist"].as_array().map_or(0, Vec::len);
    if let Some(kind) = body["type"].as_str() {
        return (["issued", "rejected"].contains(&kind), !["issued", "rejected"].contains(&kind));
    }
    if let Some(status) = body["orderlist"][0]["cancel_status"].as_i64() {
        return (status == 3, !(1..=3).contains(&status));
    }
    match body["order_status"].as_i64() {
        Some(2) => (vouchers > 0, false),
        Some(3 | 4) => (true, false),
        Some(1) => (false, false),
        _ => (false, true),
    }
}

impl State {
    /// Takes the next fact.
    pub fn take(&mut self, fact: &Fact) {
        match fact {
            Fact::Delivery { digest, body, time } => {
                let (decisive, odd) = says(body);
                self.odd |= odd;
                if odd {
                    self.dismissed.remove("odd_status");
                }
                let is_first = self.seen.insert(digest.clone());
                if !decisive {
                    return;
                }
                match &mut self.current {
                    Some((current, _, newest)) if current == digest => {
                        *newest = newest.take().max(time.clone());
                        self.dismissed.clear();
                    }
                    Some((_, _, newest)) if !is_first => {
                        let is_late = matches!((time, newest), (Some(time), Some(newest)) if time <= newest);
                        if !is_late {
                            self.repeat = Some((digest.clone(), body.clone()));
                            self.dismissed.remove("came_again");
                        }
                    }
                    _ => {
                        self.current = Some((digest.clone(), body.clone(), time.clone()));
                        self.repeat = None;
                        self.dismissed.clear();
                        self.is_stopped = false;
                    }
                }
            }
            Fact::Link(link) => {
                self.link = Some(link.clone());
                self.dismissed.clear();
                self.is_stopped = false;
            }
            Fact::Instructed(name, with) => match name.as_str() {
                "replay" => {
                    self.dismissed.clear();
                    self.is_stopped = false;
                    if let Some((digest, body)) = self.repeat.take() {
                        self.current = Some((digest, body, None));
                    }
                }
                "withdraw" | "close" => self.is_stopped = true,
                "dismiss" => {
                    let reasons = with["L"].as_array().into_iter().flatten();
                    self.dismissed.extend(reasons.filter_map(|reason| reason["S"].as_str()).map(str::to_owned));
                }
                _ => {}
            },
            Fact::Submitted(..) => {}
        }
    }

    /// What the facts so far want.
    pub fn desire(&self, order: &OrderName) -> Desire {
        let Some((_, body, _)) = &self.current else { return Desire::Nothing };
        if self.is_stopped {
            return Desire::Nothing;
        }
        if body["type"] == "rejected" {
            return Desire::Person("rejected");
        }
        let Some(link) = &self.link else { return Desire::Wait };
        let (flight, ship) = (&link["happytrip_flight"], &link["fliggy_ship"]);
        if body["type"] == "issued" {
            let tickets = flight["ticket_no_list"].as_array().map_or(0, Vec::len);
            let id = flight["out_relation_order_id"].as_str().map_or_else(|| order.id.clone(), str::to_owned);
            return match (flight.is_object(), tickets) {
                (false, _) => Desire::Person("wrong_link"),
                (true, 0) => Desire::Wait,
                (true, _) => Desire::Tell(format!("itinerary-postback/{id}"), flight["ticket_no_list"].clone()),
            };
        }
        if !ship.is_object() {
            return Desire::Nothing;
        }
        let lane = format!("ship-notify/{}", ship["alitrip_order_id"].as_str().unwrap_or_default());
        if body["order_status"] != 2 {
            return Desire::Tell(lane, json!({"success": false}));
        }
        let tickets: usize = ship["passenger_list"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|passenger| passenger["ticket_list"].as_array().map_or(0, Vec::len))
            .sum();
        let vouchers = body["vouchers"][0]["voucherlist"].as_array().cloned().unwrap_or_default();
        if vouchers.len() != tickets && vouchers.len() != 1 {
            return Desire::Person("vouchers_mismatch");
        }
        let codes: Vec<_> = vouchers.iter().map(|voucher| voucher["voucher_confirmation"].clone()).collect();
        Desire::Tell(lane, json!({"success": true, "total_price": ship["total_price"], "codes": codes}))
    }
}
