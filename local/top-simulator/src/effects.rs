//! The effects of acceptable requests on TOP's state. A repeat may change nothing.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::pages::Api;

/// All effects so far.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Ship orders by `alitrip_order_id`.
    ships: BTreeMap<String, Reported>,
    /// Redeemed quantities by order and confirmation code.
    redeemed: BTreeMap<(String, String), i64>,
    /// The last itinerary by `out_relation_order_id`.
    itineraries: BTreeMap<String, Value>,
    /// Refunds of ship orders by order, and ticket or passenger.
    ship_refunds: BTreeMap<String, Reported>,
}

/// What TOP was told about a ship order or its refund.
#[derive(Debug)]
enum Reported {
    /// Reported as failed, with this content; may still succeed.
    Failed(Value),
    /// Reported as issued or refunded; final.
    Succeeded,
}

/// Reports an outcome, and returns whether anything changed: a failed call may be repeated, and the first success is
/// final.
fn report(known: &mut BTreeMap<String, Reported>, id: String, success: bool, content: &Value) -> bool {
    let told = if success { Reported::Succeeded } else { Reported::Failed(content.clone()) };
    let changes = match (known.get(&id), &told) {
        (Some(Reported::Succeeded), _) => false,
        (Some(Reported::Failed(before)), Reported::Failed(now)) => before != now,
        _ => true,
    };
    if changes {
        known.insert(id, told);
    }
    changes
}

impl Effects {
    /// Carries out an accepted request and returns whether anything changed.
    pub(crate) fn apply(&mut self, api: Api, content: &Map<String, Value>) -> bool {
        let wrapped = |name| content.get(name).unwrap_or(&Value::Null);
        match api {
            Api::ShipNotify => self.notify(wrapped("confirm_book_r_q")),
            Api::TicketVerify => self.verify(content),
            Api::ItineraryPostback => self.post_itinerary(wrapped("flight_itinerary_request")),
            Api::ShipReturnNotify => self.refund_ship(wrapped("confirm_refund_r_q")),
            // Undocumented. The worst case is assumed: each call counts.
            Api::TicketRefundNotify => true,
        }
    }

    /// As the page says: idempotent on `alitrip_order_id`; a failed call may be repeated; the first success is final.
    fn notify(&mut self, order: &Value) -> bool {
        report(&mut self.ships, text(order, "alitrip_order_id"), order["success"] == true, order)
    }

    /// The page says that the platform keeps it idempotent, not by what. Inferred: a ticket, a passenger or a whole order
    /// is refunded once, and a failed refund may succeed later.
    fn refund_ship(&mut self, refund: &Value) -> bool {
        let subject = match refund["agent_return_ticket_type"].as_i64() {
            Some(0) if refund["agent_ticket_id"].is_string() => format!("ticket {}", refund["agent_ticket_id"]),
            Some(0) => format!("passenger {}", refund["passenger_id"]),
            _ => "all".to_owned(),
        };
        let id = format!("{} {subject}", refund["alitrip_order_id"]);
        report(&mut self.ship_refunds, id, refund["agent_return_ticket_status"] == 1, refund)
    }

    /// `write_off_type` 0 or absent: quantities of this write-off, so each call
    /// counts. 1: totals ("used already + this time"), so only a rise counts.
    fn verify(&mut self, redemption: &Map<String, Value>) -> bool {
        let cumulative = redemption.get("write_off_type").and_then(Value::as_i64) == Some(1);
        let order = redemption
            .get("order_id")
            .map(|id| format!("order_id {id}"))
            .or_else(|| redemption.get("out_order_id").map(|id| format!("out_order_id {id}")))
            .unwrap_or_default();
        let mut changes = !cumulative;
        for (code, quantity) in quantities(redemption) {
            let total = self.redeemed.entry((order.clone(), code)).or_default();
            let raised = if cumulative { quantity } else { total.saturating_add(quantity) };
            changes |= raised > *total;
            *total = raised.max(*total);
        }
        changes
    }

    /// Undocumented. The design assumes that a repeat is harmless, and that other content (a re-issued ticket) replaces
    /// the earlier content.
    fn post_itinerary(&mut self, itinerary: &Value) -> bool {
        let before = self.itineraries.insert(text(itinerary, "out_relation_order_id"), itinerary.clone());
        before.as_ref() != Some(itinerary)
    }
}

/// Quantities by confirmation code, from `voucher_infos` or else from the older flat fields. A missing quantity counts
/// as 1 (inferred).
fn quantities(redemption: &Map<String, Value>) -> BTreeMap<String, i64> {
    let older = json!([{
        "confirm_code": redemption.get("confirm_code"),
        "used_quantity": redemption.get("check_num"),
    }]);
    let vouchers = redemption
        .get("voucher_infos")
        .filter(|list| list.as_array().is_some_and(|list| !list.is_empty()))
        .unwrap_or(&older);
    let mut quantities = BTreeMap::new();
    for voucher in vouchers.as_array().into_iter().flatten() {
        let total: &mut i64 = quantities.entry(text(voucher, "confirm_code")).or_default();
        *total = total.saturating_add(voucher["used_quantity"].as_i64().unwrap_or(1));
    }
    quantities
}

fn text(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap_or_default().to_owned()
}

/// The content of the response to an accepted request. A ship order that was issued before gets its first result again,
/// which was the same.
pub(crate) fn success(api: Api) -> Map<String, Value> {
    object(match api {
        Api::ShipNotify | Api::ShipReturnNotify => json!({"ret_code": "0", "ret_msg": "success", "ret_success": true}),
        Api::TicketVerify | Api::TicketRefundNotify => json!({"is_success": true}),
        // The page does not explain `content`; this is its sample.
        Api::ItineraryPostback => json!({"ht_success": true, "content": "2342314"}),
    })
}

/// The content of a response that reports a business failure of the method.
pub(crate) fn business_failure(api: Api, code: &str, msg: &str) -> Map<String, Value> {
    object(match api {
        Api::ShipNotify | Api::ShipReturnNotify => json!({"ret_code": code, "ret_msg": msg, "ret_success": false}),
        // The pages have no fields for a reason.
        Api::TicketVerify | Api::TicketRefundNotify => json!({"is_success": false}),
        Api::ItineraryPostback => json!({
            "ht_success": false, "ht_error_code": code, "error_msg": msg,
            "stack_trace": "simulated.Refusal: vendor internals that must not be passed on",
        }),
    })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(api: Api, steps: &[(Value, bool)]) {
        let mut effects = Effects::default();
        for (number, (content, effect)) in steps.iter().enumerate() {
            let changed = effects.apply(api, content.as_object().unwrap());
            assert_eq!(changed, *effect, "step {number}: {content}");
        }
    }

    #[test]
    fn ship_order_is_issued_once_even_after_failures() {
        let told = |id: &str, success: bool, reason: &str| json!({"confirm_book_r_q": {"alitrip_order_id": id, "success": success, "failed_code": reason}});
        run(
            Api::ShipNotify,
            &[
                (told("1", false, "a"), true),
                (told("1", false, "a"), false),
                (told("1", false, "b"), true),
                (told("1", true, ""), true),
                (told("1", true, ""), false),
                (told("1", true, "other"), false),
                (told("1", false, "a"), false),
                (told("2", true, ""), true),
            ],
        );
    }

    #[test]
    fn ship_refund_is_made_once_for_each_ticket_passenger_or_order() {
        let told = |order: i64, change: Value| {
            let mut refund =
                json!({"alitrip_order_id": order, "agent_return_ticket_type": 0, "agent_return_ticket_status": 1});
            refund.as_object_mut().unwrap().extend(object(change));
            json!({"confirm_refund_r_q": refund})
        };
        run(
            Api::ShipReturnNotify,
            &[
                (told(1, json!({"agent_ticket_id": "a", "agent_return_ticket_status": 2})), true),
                (told(1, json!({"agent_ticket_id": "a", "agent_return_ticket_status": 2})), false),
                (told(1, json!({"agent_ticket_id": "a"})), true),
                (told(1, json!({"agent_ticket_id": "a"})), false),
                (told(1, json!({"agent_ticket_id": "a", "agent_return_ticket_status": 2})), false),
                (told(1, json!({"agent_ticket_id": "b"})), true),
                (told(1, json!({"passenger_id": "a"})), true),
                (told(1, json!({"agent_return_ticket_type": 1})), true),
                (told(2, json!({"agent_ticket_id": "a"})), true),
            ],
        );
    }

    #[test]
    fn ticket_refund_counts_every_time() {
        let refund = json!({"order_id": 1, "refund_status": 1, "refund_batch_no": "b"});
        run(Api::TicketRefundNotify, &[(refund.clone(), true), (refund, true)]);
    }

    #[test]
    fn plain_write_off_counts_every_time() {
        let once =
            json!({"order_id": 1, "write_off_type": 0, "voucher_infos": [{"confirm_code": "c", "used_quantity": 1}]});
        let unsaid = json!({"order_id": 1, "check_num": 1});
        run(Api::TicketVerify, &[(once.clone(), true), (once, true), (unsaid.clone(), true), (unsaid, true)]);
    }

    #[test]
    fn cumulative_write_off_counts_only_if_a_total_rises() {
        let total = |order: i64, code: &str, quantity: i64| json!({"order_id": order, "write_off_type": 1, "voucher_infos": [{"confirm_code": code, "used_quantity": quantity}]});
        let older =
            |total: i64| json!({"out_order_id": "o", "write_off_type": 1, "confirm_code": "c", "check_num": total});
        let plain = json!({"order_id": 1, "confirm_code": "c", "check_num": 1});
        run(
            Api::TicketVerify,
            &[
                (total(1, "c", 1), true),
                (total(1, "c", 1), false),
                (total(1, "c", 2), true),
                (total(1, "c", 1), false),
                (total(1, "d", 1), true),
                (total(2, "c", 1), true),
                (plain, true),
                (total(1, "c", 3), false),
                (total(1, "c", 4), true),
                (older(1), true),
                (older(1), false),
                (older(2), true),
            ],
        );
    }

    #[test]
    fn itinerary_counts_if_it_differs_from_the_last() {
        let posted = |id: &str, ticket: &str| json!({"flight_itinerary_request": {"out_relation_order_id": id, "ticket_no_list": [ticket]}});
        run(
            Api::ItineraryPostback,
            &[
                (posted("1", "a"), true),
                (posted("1", "a"), false),
                (posted("1", "b"), true),
                (posted("2", "b"), true),
                (posted("1", "a"), true),
            ],
        );
    }
}
