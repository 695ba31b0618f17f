//! Derives what TOP should know from an order's newest decisive notification and its link. Pure.

use relay_types::call::CallRequest;
use relay_types::call::itinerary_postback::FlightItineraryRequest;
use relay_types::call::ship_notify::ConfirmBook;
use relay_types::link::{FliggyShip, HappytripFlight, Link};
use relay_types::notification::Notification;
use relay_types::order::OrderId;
use relay_types::partner::sctt::{VoucherCodes, VoucherPush};
use relay_types::reason::Reason;
use serde_json::{Map, Value, json};

/// What should happen according to the facts.
#[derive(Debug, Clone, PartialEq)]
pub enum Want {
    /// Send this request to TOP, as this account if there is one.
    Tell(CallRequest, Option<String>),
    /// Wait for more information from the booking system.
    Wait(Reason),
    /// The order needs attention.
    Person(Reason),
    /// Do nothing, for this reason.
    Nothing(Reason),
}

/// Decides from a decisive notification and the link. `default_failed_code` tells TOP why issuing failed if the link
/// has no code.
#[must_use]
pub fn want(
    order_id: &OrderId,
    notification: &Notification,
    link: Option<&Link>,
    default_failed_code: Option<&str>,
) -> Want {
    match notification {
        Notification::Issue(notify) if notify.kind == "rejected" => Want::Person(Reason::Rejected),
        Notification::Issue(_) => flight(order_id, link),
        Notification::Voucher(push) if !push.says_not_booked() => ship(link, |ship| booked(push, ship)),
        Notification::Voucher(_) | Notification::Cancel(_) => ship(link, |ship| not_booked(ship, default_failed_code)),
        Notification::Change => Want::Nothing(Reason::NoCall),
    }
}

fn flight(order_id: &OrderId, link: Option<&Link>) -> Want {
    match link {
        None => Want::Wait(Reason::NoLink),
        Some(Link::HappytripFlight(flight)) if flight.ticket_no_list.is_empty() => Want::Wait(Reason::NoTickets),
        Some(Link::HappytripFlight(flight)) => {
            Want::Tell(CallRequest::ItineraryPostback(itinerary(order_id, flight)), flight.account.clone())
        }
        Some(_) => Want::Person(Reason::WrongLink),
    }
}

fn itinerary(order_id: &OrderId, flight: &HappytripFlight) -> FlightItineraryRequest {
    FlightItineraryRequest {
        out_relation_order_id: flight.out_relation_order_id.as_deref().unwrap_or(order_id.as_str()).to_owned(),
        tes_head_id: flight.tes_head_id.clone(),
        ticket_no_list: flight.ticket_no_list.clone(),
        emp_no: flight.emp_no.clone(),
        cwt_account_no: flight.cwt_account_no.clone(),
        ht_user_id: flight.ht_user_id.clone(),
    }
}

/// Only ship orders lead to a call. Redemptions of scenic-spot orders are submitted.
fn ship(link: Option<&Link>, want: impl FnOnce(&FliggyShip) -> Want) -> Want {
    match link {
        None => Want::Wait(Reason::NoLink),
        Some(Link::FliggyShip(ship)) => want(ship),
        Some(Link::FliggyTicket(_)) => Want::Nothing(Reason::Scenic),
        Some(Link::HappytripFlight(_)) => Want::Person(Reason::WrongLink),
    }
}

fn booked(push: &VoucherPush, ship: &FliggyShip) -> Want {
    let Ok(vouchers) = push.vouchers() else { return Want::Person(Reason::VouchersUnreadable) };
    let codes: Vec<VoucherCodes> = vouchers.iter().filter_map(|voucher| voucher.codes()).collect();
    let tickets = ship.ticket_count();
    if codes.len() != tickets && codes.len() != 1 {
        return Want::Person(Reason::VouchersMismatch);
    }
    Want::Tell(CallRequest::ShipNotify(Box::new(issued(push, ship, codes))), ship.account.clone())
}

/// One voucher per ticket fills the tickets in order. A single voucher for several tickets belongs to the whole order.
fn issued(push: &VoucherPush, ship: &FliggyShip, codes: Vec<VoucherCodes>) -> ConfirmBook {
    let tickets = ship.ticket_count();
    let (per_ticket, for_all) =
        if codes.len() == tickets { (codes, None) } else { (Vec::new(), codes.into_iter().next()) };
    let mut per_ticket = per_ticket.into_iter();
    let mut passenger_list = ship.passenger_list.clone();
    for ticket in passenger_list.iter_mut().flat_map(|passenger| &mut passenger.ticket_list) {
        ticket.ticket_status = Some("2".to_owned());
        if let Some(codes) = per_ticket.next() {
            // The link may have a value that the voucher lacks.
            ticket.e_ticket_no = codes.confirmation.or(ticket.e_ticket_no.take());
            ticket.ticket_pwd = codes.verification.or(ticket.ticket_pwd.take());
        }
    }
    let (fetch_tickets_number, fetch_tickets_pwd) =
        for_all.map_or((None, None), |codes| (codes.confirmation, codes.verification));
    ConfirmBook {
        fetch_tickets_number,
        fetch_tickets_pwd,
        order_attr: urls(push),
        passenger_list,
        ticket_count: i64::try_from(tickets).ok(),
        total_price: ship.total_price,
        ..told(ship, true)
    }
}

/// The URLs that have no field at TOP, as the JSON of `order_attr`.
fn urls(push: &VoucherPush) -> Option<String> {
    fn filled(text: Option<&String>) -> Option<Value> {
        text.filter(|text| !text.is_empty()).map(|text| json!(text))
    }
    let groups = push.vouchers.as_deref().unwrap_or_default();
    let confirmations = groups.iter().filter_map(|group| filled(group.confirmation_url.as_ref())).collect();
    let vouchers = groups.iter().flat_map(|group| &group.voucherlist);
    let vouchers = vouchers.filter_map(|voucher| filled(voucher.voucher_url.as_ref())).collect();
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

/// Failed and cancelled orders lead to the same request, so telling TOP twice is one call.
fn not_booked(ship: &FliggyShip, default_failed_code: Option<&str>) -> Want {
    let failed_code = ship.failed_code.as_deref().or(default_failed_code).filter(|code| !code.is_empty());
    let request = ConfirmBook { failed_code: failed_code.map(str::to_owned), ..told(ship, false) };
    Want::Tell(CallRequest::ShipNotify(Box::new(request)), ship.account.clone())
}

fn told(ship: &FliggyShip, success: bool) -> ConfirmBook {
    ConfirmBook {
        agent_order_id: ship.agent_order_id.clone(),
        alitrip_order_id: ship.alitrip_order_id.clone(),
        main_biz_order_id: ship.main_biz_order_id,
        success,
        ..ConfirmBook::default()
    }
}
