//! What a notification leads to, from what is known of its order. Pure: no clock, no table, no queue.

use serde_json::{Map, Value, json};

use crate::call::CallRequest;
use crate::notification::Notification;
use crate::order::{FliggyShip, HappytripFlight, Link, OrderKey};
use crate::partner::sctt::{self, Voucher, VoucherCodes, VoucherPush};
use crate::partner::tsy::IssueNotify;
use crate::top::itinerary_postback::FlightItineraryRequest;
use crate::top::ship_notify::ConfirmBook;

/// What is known of an order when one of its notifications is decided.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// Which order.
    pub key: &'a OrderKey,
    /// What the booking system said of it, if it has.
    pub link: Option<&'a Link>,
    /// The order's notifications that were first received after this one, oldest first.
    pub newer: &'a [Notification],
    /// Whether TOP was told that a ship order's tickets were issued, or may have been.
    pub success_told: bool,
}

/// What a notification leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Make this call.
    Call(CallRequest),
    /// Nothing, and why: it is recorded for the timeline.
    Nothing(&'static str),
    /// Nothing yet: what is missing.
    Wait(&'static str),
    /// A person must look, and why. Holds nothing personal.
    Attention(String),
}

/// Decides. `default_failed_code` tells TOP why issuing failed where the link does not.
#[must_use]
pub fn decide(notification: &Notification, order: Order<'_>, default_failed_code: Option<&str>) -> Decision {
    match notification {
        Notification::Issue(notify) => decide_flight(notify, order),
        Notification::Change => Decision::Nothing("recorded for the timeline; no TOP call tells a change"),
        Notification::Voucher(push) => decide_voucher_push(push, order, default_failed_code),
        Notification::Cancel(cancellation) => match cancellation.cancel_status {
            sctt::CANCEL_FAILED => Decision::Nothing("the cancellation failed, so that the order stands as it is"),
            sctt::CANCEL_WAITING => Decision::Nothing("the cancellation waits to be done"),
            sctt::CANCEL_DONE => decide_ended(order, default_failed_code),
            _ => attention("the push's cancel_status is not one of 1, 2 and 3"),
        },
    }
}

fn attention(reason: &str) -> Decision {
    Decision::Attention(reason.to_owned())
}

fn decide_flight(notify: &IssueNotify, order: Order<'_>) -> Decision {
    match (notify.kind.as_str(), order.link) {
        ("issued", None) => Decision::Wait("the booking system has not linked the order yet"),
        ("issued", Some(Link::HappytripFlight(flight))) if flight.ticket_no_list.is_empty() => {
            Decision::Wait("the order's link has no ticket numbers yet")
        }
        ("issued", Some(Link::HappytripFlight(flight))) => {
            Decision::Call(CallRequest::ItineraryPostback(itinerary(order.key, flight)))
        }
        ("issued", Some(_)) => attention("the order's link is not that of a flight"),
        ("rejected", _) => attention("TSY rejected the order; no TOP call tells a rejection"),
        _ => attention("the notification's type is neither issued nor rejected"),
    }
}

fn itinerary(order: &OrderKey, flight: &HappytripFlight) -> FlightItineraryRequest {
    let order_id = order.order_id.as_str();
    FlightItineraryRequest {
        out_relation_order_id: flight.out_relation_order_id.as_deref().unwrap_or(order_id).to_owned(),
        tes_head_id: flight.tes_head_id.clone(),
        ticket_no_list: flight.ticket_no_list.clone(),
        emp_no: flight.emp_no.clone(),
        cwt_account_no: flight.cwt_account_no.clone(),
        ht_user_id: flight.ht_user_id.clone(),
    }
}

fn decide_voucher_push(push: &VoucherPush, order: Order<'_>, default_failed_code: Option<&str>) -> Decision {
    match push.order_status {
        sctt::WAITING => Decision::Nothing("the order waits to be booked"),
        sctt::BOOKED => of_ship(order, |ship| decide_booked(push, ship, order)),
        sctt::FAILED | sctt::CANCELLED => decide_ended(order, default_failed_code),
        _ => attention("the push's order_status is not one of 1, 2, 3 and 4"),
    }
}

/// The order failed or was cancelled.
fn decide_ended(order: Order<'_>, default_failed_code: Option<&str>) -> Decision {
    of_ship(order, |ship| decide_not_booked(ship, order, default_failed_code))
}

/// Decides where it is a ship order; of the others, TOP is told nothing.
fn of_ship(order: Order<'_>, decide: impl FnOnce(&FliggyShip) -> Decision) -> Decision {
    match order.link {
        None => Decision::Wait("the booking system has not linked the order yet"),
        Some(Link::FliggyShip(ship)) => decide(ship),
        Some(Link::FliggyTicket(_)) => {
            Decision::Nothing("recorded for the timeline; redemptions are submitted as calls")
        }
        Some(Link::HappytripFlight(_)) => attention("the order's link is that of a flight"),
    }
}

/// What a later push says of whether the order is booked, if one says anything of it.
fn last_word(newer: &[Notification]) -> Option<bool> {
    newer.iter().rev().find_map(|notification| match notification {
        ended if ended.says_not_booked() => Some(false),
        Notification::Voucher(push) => {
            (push.order_status == sctt::BOOKED && push.vouchers().next().is_some()).then_some(true)
        }
        Notification::Issue(_) | Notification::Change | Notification::Cancel(_) => None,
    })
}

fn decide_booked(push: &VoucherPush, ship: &FliggyShip, order: Order<'_>) -> Decision {
    if push.vouchers().next().is_none() {
        return Decision::Nothing("booked without vouchers yet; the push that has them is another notification");
    }
    // Pushes may be decided out of order. TOP takes no correction after a success, so an older push must not
    // overtake a newer one.
    match last_word(order.newer) {
        Some(true) => return Decision::Nothing("a newer push has the order's vouchers"),
        Some(false) => return attention("booked, but a newer push says that the order failed or was cancelled"),
        None => {}
    }
    let codes: Vec<VoucherCodes> = push.vouchers().filter_map(Voucher::codes).collect();
    let tickets = ship.ticket_count();
    if codes.len() != tickets && codes.len() != 1 {
        return Decision::Attention(format!(
            "{} vouchers with a confirmation or verification number do not match {tickets} tickets",
            codes.len()
        ));
    }
    Decision::Call(CallRequest::ShipNotify(Box::new(issued(push, ship, codes))))
}

fn issued(push: &VoucherPush, ship: &FliggyShip, codes: Vec<VoucherCodes>) -> ConfirmBook {
    let tickets = ship.ticket_count();
    let (per_ticket, for_all) =
        if codes.len() == tickets { (codes, None) } else { (Vec::new(), codes.into_iter().next()) };
    let mut per_ticket = per_ticket.into_iter();
    let mut passenger_list = ship.passenger_list.clone();
    for ticket in passenger_list.iter_mut().flat_map(|passenger| &mut passenger.ticket_list) {
        ticket.ticket_status = Some("2".to_owned());
        if let Some(codes) = per_ticket.next() {
            ticket.e_ticket_no = codes.confirmation;
            ticket.ticket_pwd = codes.verification;
        }
    }
    let (fetch_tickets_number, fetch_tickets_pwd) =
        for_all.map_or((None, None), |codes| (codes.confirmation, codes.verification));
    ConfirmBook {
        fetch_tickets_number,
        fetch_tickets_pwd,
        order_attr: addresses(push),
        passenger_list,
        ticket_count: i64::try_from(tickets).ok(),
        total_price: ship.total_price,
        ..told(ship, true)
    }
}

/// The addresses that TOP has no field of its own for, as the JSON of `order_attr`.
fn addresses(push: &VoucherPush) -> Option<String> {
    fn filled(text: Option<&String>) -> Option<Value> {
        text.filter(|text| !text.is_empty()).map(|text| json!(text))
    }
    let confirmations = push.vouchers.iter().filter_map(|group| filled(group.confirmation_url.as_ref())).collect();
    let vouchers = push.vouchers().filter_map(|voucher| filled(voucher.voucher_url.as_ref())).collect();
    let members: Map<String, Value> = [
        ("travel_itinerary_url", filled(push.travel_itinerary_url.as_ref())),
        ("confirmation_url", Some(Value::Array(confirmations))),
        ("voucher_url", Some(Value::Array(vouchers))),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value.filter(|value| *value != json!([]))?)))
    .collect();
    (!members.is_empty()).then(|| Value::Object(members).to_string())
}

fn decide_not_booked(ship: &FliggyShip, order: Order<'_>, default_failed_code: Option<&str>) -> Decision {
    if last_word(order.newer) == Some(true) {
        return Decision::Nothing("a newer push says that the order is booked");
    }
    if order.success_told {
        return attention(
            "not booked after all, but TOP was told that the tickets were issued, and takes no correction",
        );
    }
    // The same whether the order failed or was cancelled, so that telling it twice is one call.
    let failed_code = ship.failed_code.as_deref().or(default_failed_code).filter(|code| !code.is_empty());
    Decision::Call(CallRequest::ShipNotify(Box::new(ConfirmBook {
        failed_code: failed_code.map(str::to_owned),
        ..told(ship, false)
    })))
}

fn told(ship: &FliggyShip, success: bool) -> ConfirmBook {
    ConfirmBook {
        agent_order_id: ship.agent_order_id.clone(),
        alitrip_order_id: ship.alitrip_order_id.clone(),
        fetch_tickets_address: None,
        fetch_tickets_number: None,
        fetch_tickets_pwd: None,
        main_biz_order_id: ship.main_biz_order_id,
        message: None,
        order_attr: None,
        passenger_list: Vec::new(),
        success,
        ticket_count: None,
        ticket_wicket: None,
        total_price: None,
        failed_code: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::NotificationKind;
    use crate::order::{OrderId, Partner};

    fn order_key(partner: Partner) -> OrderKey {
        OrderKey { partner, order_id: OrderId::try_from("O-1".to_owned()).unwrap() }
    }

    fn tsy(kind: &str) -> Notification {
        let payload = json!({"msg": "", "orderNo": "1", "orderId": "O-1", "type": kind});
        Notification::from_payload(NotificationKind::IssueNotify, &payload).unwrap()
    }

    /// A push with vouchers of these types; their numbers are c1/v1, c2/v2 and so on.
    fn push(status: i64, voucher_types: &[i64]) -> Notification {
        let voucher = |(index, kind): (usize, &i64)| match kind {
            1 | 5 => json!({"voucher_type": kind, "voucher_url": format!("https://v.test/{}", index + 1)}),
            _ => {
                json!({"voucher_type": kind, "voucher_confirmation": format!("c{}", index + 1), "voucher_verification": format!("v{}", index + 1)})
            }
        };
        let vouchers: Vec<_> = voucher_types.iter().enumerate().map(voucher).collect();
        let payload = json!({"trade_number": "O-1", "order_status": status, "vouchers": [{"voucherlist": vouchers}]});
        Notification::from_payload(NotificationKind::VoucherPush, &payload).unwrap()
    }

    fn cancel(status: i64) -> Notification {
        let payload = json!({"orderlist": [{"trade_number": "O-1", "cancel_status": status}]});
        Notification::from_payload(NotificationKind::CancelPush, &payload).unwrap()
    }

    fn flight(tickets: &[&str]) -> Link {
        let body = json!({"happytrip_flight": {"tes_head_id": "T", "cwt_account_no": "C", "ticket_no_list": tickets}});
        Link::from_json(Partner::Tsy, &body).unwrap()
    }

    fn ship(tickets: usize) -> Link {
        let ticket = |n: usize| json!({"ticket_id": format!("t{n}"), "ticket_type": "1", "ticket_price": 100});
        let tickets: Vec<_> = (1..=tickets).map(ticket).collect();
        let (first, rest) = tickets.split_at(1);
        let body = json!({"fliggy_ship": {"alitrip_order_id": "38", "agent_order_id": "A", "total_price": 23000,
            "passenger_list": [{"passenger_name": "罗", "ticket_list": first}, {"ticket_list": rest}]}});
        Link::from_json(Partner::Sctt, &body).unwrap()
    }

    fn scenic() -> Link {
        Link::from_json(Partner::Sctt, &json!({"fliggy_ticket": {"order_id": 1}})).unwrap()
    }

    /// A decision in short, so that the table of decisions reads as one.
    fn short(decision: &Decision) -> &'static str {
        match decision {
            Decision::Call(CallRequest::ItineraryPostback(_)) => "itinerary-postback",
            Decision::Call(CallRequest::ShipNotify(ship)) if ship.success => "ship-notify issued",
            Decision::Call(CallRequest::ShipNotify(_)) => "ship-notify failed",
            Decision::Call(CallRequest::TicketVerify(_)) => "ticket-verify",
            Decision::Nothing(_) => "nothing",
            Decision::Wait(_) => "wait",
            Decision::Attention(_) => "attention",
        }
    }

    fn decided(
        notification: &Notification,
        link: Option<&Link>,
        newer: &[Notification],
        success_told: bool,
    ) -> Decision {
        let key = order_key(match notification {
            Notification::Issue(_) | Notification::Change => Partner::Tsy,
            Notification::Voucher(_) | Notification::Cancel(_) => Partner::Sctt,
        });
        decide(notification, Order { key: &key, link, newer, success_told }, Some("DEFAULT"))
    }

    #[test]
    fn every_row_of_the_table_of_decisions_holds() {
        let rows: Vec<(Notification, Option<Link>, bool, &str)> = vec![
            (tsy("issued"), Some(flight(&["1"])), false, "itinerary-postback"),
            (tsy("issued"), Some(flight(&[])), false, "wait"),
            (tsy("issued"), None, false, "wait"),
            (tsy("issued"), Some(ship(1)), false, "attention"),
            (tsy("rejected"), None, false, "attention"),
            (tsy("rejected"), Some(flight(&["1"])), false, "attention"),
            (tsy("Issued"), Some(flight(&["1"])), false, "attention"),
            (push(1, &[]), None, false, "nothing"),
            (push(1, &[]), Some(ship(1)), false, "nothing"),
            (push(2, &[3]), None, false, "wait"),
            (push(2, &[3]), Some(ship(1)), false, "ship-notify issued"),
            (push(2, &[2, 4]), Some(ship(2)), false, "ship-notify issued"),
            (push(2, &[3]), Some(ship(3)), false, "ship-notify issued"),
            (push(2, &[3, 3]), Some(ship(3)), false, "attention"),
            (push(2, &[3, 3]), Some(ship(1)), false, "attention"),
            (push(2, &[1, 5]), Some(ship(1)), false, "attention"),
            (push(2, &[]), Some(ship(1)), false, "nothing"),
            (push(2, &[3]), Some(ship(1)), true, "ship-notify issued"),
            (push(3, &[]), Some(ship(1)), false, "ship-notify failed"),
            (push(3, &[]), Some(ship(1)), true, "attention"),
            (push(4, &[]), Some(ship(1)), false, "ship-notify failed"),
            (push(4, &[]), Some(ship(1)), true, "attention"),
            (push(3, &[]), None, false, "wait"),
            (push(4, &[]), None, false, "wait"),
            (push(2, &[3]), Some(scenic()), false, "nothing"),
            (push(3, &[]), Some(scenic()), false, "nothing"),
            (push(4, &[]), Some(scenic()), false, "nothing"),
            (push(2, &[3]), Some(flight(&["1"])), false, "attention"),
            (cancel(1), Some(ship(1)), true, "nothing"),
            (cancel(2), None, false, "nothing"),
            (cancel(3), Some(ship(1)), false, "ship-notify failed"),
            (cancel(3), Some(ship(1)), true, "attention"),
            (cancel(3), None, false, "wait"),
            (cancel(3), Some(scenic()), false, "nothing"),
            (cancel(3), Some(flight(&["1"])), false, "attention"),
            (cancel(4), Some(ship(1)), false, "attention"),
            (Notification::Change, None, false, "nothing"),
            (Notification::Change, Some(flight(&["1"])), false, "nothing"),
            (push(0, &[]), Some(ship(1)), false, "attention"),
            (push(5, &[]), None, false, "attention"),
        ];
        for (notification, link, success_told, expected) in rows {
            let decision = decided(&notification, link.as_ref(), &[], success_told);
            assert_eq!(short(&decision), expected, "{notification:?} {link:?} {success_told}");
        }
    }

    #[test]
    fn an_older_push_does_not_overtake_a_newer_one() {
        let (booked, failed, cancelled) = (push(2, &[3]), push(3, &[]), push(4, &[]));
        let link = ship(1);
        for (older, newer, expected) in [
            (&booked, vec![booked.clone()], "nothing"),
            (&booked, vec![failed.clone()], "attention"),
            (&booked, vec![cancelled.clone(), booked.clone()], "nothing"),
            (&booked, vec![booked.clone(), cancelled.clone()], "attention"),
            (&booked, vec![push(2, &[]), push(1, &[])], "ship-notify issued"),
            (&booked, vec![cancel(3)], "attention"),
            (&booked, vec![cancel(1), cancel(2)], "ship-notify issued"),
            (&booked, vec![cancel(3), booked.clone()], "nothing"),
            (&cancel(3), vec![booked.clone()], "nothing"),
            (&failed, vec![booked.clone()], "nothing"),
            (&failed, vec![cancelled.clone()], "ship-notify failed"),
            (&cancelled, vec![booked.clone(), failed.clone()], "ship-notify failed"),
        ] {
            assert_eq!(short(&decided(older, Some(&link), &newer, false)), expected, "{older:?} before {newer:?}");
        }
    }

    fn confirm_book(decision: Decision) -> ConfirmBook {
        match decision {
            Decision::Call(CallRequest::ShipNotify(ship)) => *ship,
            other => panic!("no ship-notify: {other:?}"),
        }
    }

    #[test]
    fn as_many_vouchers_as_tickets_fill_them_in_order() {
        let sent = confirm_book(decided(&push(2, &[1, 3, 2]), Some(&ship(2)), &[], false));
        let tickets: Vec<_> = sent.passenger_list.iter().flat_map(|passenger| &passenger.ticket_list).collect();
        let filled: Vec<_> = tickets
            .iter()
            .map(|t| (t.e_ticket_no.as_deref(), t.ticket_pwd.as_deref(), t.ticket_status.as_deref()))
            .collect();
        assert_eq!(filled, [(Some("c2"), Some("v2"), Some("2")), (Some("c3"), Some("v3"), Some("2"))]);
        assert_eq!((sent.fetch_tickets_number, sent.fetch_tickets_pwd), (None, None));
        assert_eq!((sent.ticket_count, sent.total_price), (Some(2), Some(23000)));
        assert_eq!(sent.order_attr.as_deref(), Some(r#"{"voucher_url":["https://v.test/1"]}"#));
    }

    #[test]
    fn one_voucher_for_several_tickets_is_the_orders() {
        let sent = confirm_book(decided(&push(2, &[4]), Some(&ship(3)), &[], false));
        assert_eq!((sent.fetch_tickets_number.as_deref(), sent.fetch_tickets_pwd.as_deref()), (Some("c1"), Some("v1")));
        let tickets: Vec<_> = sent.passenger_list.iter().flat_map(|passenger| &passenger.ticket_list).collect();
        assert!(
            tickets.iter().all(|ticket| ticket.e_ticket_no.is_none() && ticket.ticket_status.as_deref() == Some("2"))
        );
        assert_eq!(tickets.len(), 3);
    }

    #[test]
    fn a_failure_is_told_with_the_links_code_or_else_the_default() {
        let sent = confirm_book(decided(&push(3, &[]), Some(&ship(1)), &[], false));
        assert_eq!((sent.success, sent.failed_code.as_deref()), (false, Some("DEFAULT")));
        let Link::FliggyShip(mut own) = ship(1) else { panic!() };
        own.failed_code = Some("OWN".to_owned());
        let sent = confirm_book(decided(&push(4, &[]), Some(&Link::FliggyShip(own)), &[], false));
        assert_eq!(sent.failed_code.as_deref(), Some("OWN"));
    }

    #[test]
    fn failed_and_cancelled_are_one_call() {
        let link = ship(1);
        let told = |status| decided(&push(status, &[]), Some(&link), &[], false);
        assert_eq!(told(3), told(4));
        assert_eq!(told(4), decided(&cancel(3), Some(&link), &[], false));
    }

    #[test]
    fn the_order_id_is_told_where_the_link_names_no_other() {
        let Decision::Call(CallRequest::ItineraryPostback(sent)) =
            decided(&tsy("issued"), Some(&flight(&["1"])), &[], false)
        else {
            panic!("no itinerary-postback")
        };
        assert_eq!(sent.out_relation_order_id, "O-1");
    }
}
