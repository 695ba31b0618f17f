//! The APIs' documentation pages as field tables. Copied from the pages by hand, not shared with the relay.

use serde_json::{Map, Value};

use crate::answer::TopError;
use crate::form::Form;
use crate::validation::check_object;

/// The simulated APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Api {
    /// 订单信息回填(出票回调): a ship ticket was issued, or failed to be issued.
    ShipNotify,
    /// 飞猪门票核销通知: a scenic ticket was used.
    TicketVerify,
    /// 机票行程单同步: a flight's ticket numbers.
    ItineraryPostback,
    /// 船票退票退款回填接口: a ship order's refund was made, or failed.
    ShipReturnNotify,
    /// 飞猪门票退票结果通知: a scenic ticket's refund was made, or failed.
    TicketRefundNotify,
}

impl Api {
    const ALL: [Self; 5] = [
        Self::ShipNotify,
        Self::TicketVerify,
        Self::ItineraryPostback,
        Self::ShipReturnNotify,
        Self::TicketRefundNotify,
    ];

    pub(crate) fn from_method(method: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|api| api.method() == method)
    }

    /// The value of the protocol parameter `method`.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::ShipNotify => "alitrip.ship.order.notify",
            Self::TicketVerify => "taobao.travel.ticket.order.verify",
            Self::ItineraryPostback => "alibaba.happytrip.flight.order.itinerary.postback",
            Self::ShipReturnNotify => "alitrip.ship.return.notify",
            Self::TicketRefundNotify => "taobao.travel.ticket.order.refund",
        }
    }

    /// The root key of a response, as in the pages' samples.
    pub(crate) fn root_key(self) -> &'static str {
        match self {
            Self::ShipNotify => "alitrip_ship_order_notify_response",
            Self::TicketVerify => "travel_ticket_order_verify_response",
            Self::ItineraryPostback => "alibaba_happytrip_flight_order_itinerary_postback_response",
            Self::ShipReturnNotify => "alitrip_ship_return_notify_response",
            Self::TicketRefundNotify => "travel_ticket_order_refund_response",
        }
    }

    /// Whether the API needs a seller's authorisation: the ship page's sample sends a session key. For its refunds, this
    /// is inferred.
    pub(crate) fn needs_session(self) -> bool {
        matches!(self, Self::ShipNotify | Self::ShipReturnNotify)
    }

    pub(crate) fn fields(self) -> &'static [Field] {
        match self {
            Self::ShipNotify => SHIP_NOTIFY,
            Self::TicketVerify => TICKET_VERIFY,
            Self::ItineraryPostback => ITINERARY_POSTBACK,
            Self::ShipReturnNotify => SHIP_RETURN_NOTIFY,
            Self::TicketRefundNotify => TICKET_REFUND_NOTIFY,
        }
    }

    /// Reads the API's own parameters and returns them with the page's types.
    ///
    /// # Errors
    /// The first violation: TOP 40 for a missing argument, 41 for one of the wrong type, and 50 `isv.invalid-parameter` for
    /// a value or name that the page does not list. Public reports show that the gateway also checks members of JSON.
    pub(crate) fn read(self, form: &Form) -> Result<Map<String, Value>, TopError> {
        let fields = self.fields();
        let known = |name: &str| PROTOCOL_PARAMETERS.contains(&name) || fields.iter().any(|field| field.name == name);
        if let Some(name) = form.params.keys().find(|name| !known(name)) {
            return Err(TopError::invalid_parameter(format_args!("{name} is not a parameter of this API")));
        }
        if let Some(name) = form.files.first() {
            return Err(TopError::invalid_parameter(format_args!("{name} is a file, and this API takes none")));
        }
        let mut content = Map::new();
        for field in fields {
            let Some(text) = form.params.get(field.name) else {
                continue;
            };
            content.insert(field.name.to_owned(), field.kind.parse(field.name, text)?);
        }
        check_object(fields, &content, "")?;
        // The page marks every field optional, but a redemption without an order makes no sense (inferred).
        if self == Self::TicketVerify && !content.contains_key("order_id") && !content.contains_key("out_order_id") {
            return Err(TopError::invalid_parameter("order_id and out_order_id are both missing"));
        }
        if self == Self::ShipReturnNotify {
            check_refunded_ticket(&content)?;
        }
        Ok(content)
    }
}

/// The protocol's parameters, common to all APIs.
const PROTOCOL_PARAMETERS: [&str; 10] =
    ["method", "app_key", "session", "timestamp", "format", "v", "sign_method", "sign", "simplify", "partner_id"];

pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
}

const fn must(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: true }
}

const fn may(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false }
}

/// The pages' field types, with the listed values if the page has a list.
pub(crate) enum Kind {
    Text,
    /// A String whose page lists its values.
    TextOf(&'static [&'static str]),
    Number,
    /// A Number whose page lists its values.
    NumberOf(&'static [i64]),
    Boolean,
    /// `yyyy-MM-dd HH:mm:ss`.
    Date,
    Texts,
    Object(&'static [Field]),
    Objects(&'static [Field]),
}

/// The page of ship refunds says that type 0, one ticket, names a ticket or a passenger.
fn check_refunded_ticket(content: &Map<String, Value>) -> Result<(), TopError> {
    let refund = content.get("confirm_refund_r_q").unwrap_or(&Value::Null);
    let is_named = ["agent_ticket_id", "passenger_id"].iter().any(|name| refund[*name].is_string());
    if refund["agent_return_ticket_type"] == 0 && !is_named {
        return Err(TopError::invalid_parameter("agent_ticket_id and passenger_id are both missing"));
    }
    Ok(())
}

// The pages mark the fields that hold a whole request optional. They are required here, because the requests have
// required fields.
const SHIP_NOTIFY: &[Field] = &[must("confirm_book_r_q", Kind::Object(SHIP_ORDER))];

/// `ShipAgentConfirmBookRq`. The page's indentation hides that `success` and the fields after it are siblings of
/// `passenger_list`; its Java sample shows it.
const SHIP_ORDER: &[Field] = &[
    must("agent_order_id", Kind::Text),
    must("alitrip_order_id", Kind::Text),
    may("fetch_tickets_address", Kind::Text),
    may("fetch_tickets_number", Kind::Text),
    may("fetch_tickets_pwd", Kind::Text),
    may("main_biz_order_id", Kind::Number),
    may("message", Kind::Text),
    may("order_attr", Kind::Text),
    may("passenger_list", Kind::Objects(SHIP_PASSENGER)),
    must("success", Kind::Boolean),
    may("ticket_count", Kind::Number),
    may("ticket_wicket", Kind::Text),
    may("total_price", Kind::Number),
    may("failed_code", Kind::Text),
];

const SHIP_PASSENGER: &[Field] = &[
    may("passenger_cert_no", Kind::Text),
    may("passenger_cert_type", Kind::Text),
    may("passenger_id", Kind::Text),
    may("passenger_name", Kind::Text),
    may("ticket_list", Kind::Objects(SHIP_TICKET)),
];

const SHIP_TICKET: &[Field] = &[
    may("e_ticket_no", Kind::Text),
    may("ticket_desc", Kind::Text),
    must("ticket_id", Kind::Text),
    may("ticket_no", Kind::Text),
    must("ticket_price", Kind::Number),
    may("ticket_pwd", Kind::Text),
    may("ticket_seat_no", Kind::Text),
    may("ticket_status", Kind::TextOf(&["1", "2", "3", "4", "5", "6"])),
    may("ticket_sub_type", Kind::TextOf(&["11", "12", "21", "31"])),
    may("ticket_title", Kind::Text),
    must("ticket_type", Kind::TextOf(&["1", "2", "3", "4"])),
    may("ext_attr", Kind::Text),
    may("expire_time", Kind::Date),
];

const TICKET_VERIFY: &[Field] = &[
    may("check_num", Kind::Number),
    may("order_id", Kind::Number),
    may("return_num", Kind::Number),
    may("total_num", Kind::Number),
    may("out_order_id", Kind::Text),
    may("confirm_code", Kind::Text),
    may("voucher_infos", Kind::Objects(VOUCHER)),
    may("write_off_type", Kind::NumberOf(&[0, 1])),
];

const VOUCHER: &[Field] = &[
    may("confirm_code", Kind::Text),
    may("used_quantity", Kind::Number),
    // The page's type is String, with a date layout.
    may("used_date", Kind::Date),
];

const ITINERARY_POSTBACK: &[Field] = &[must("flight_itinerary_request", Kind::Object(FLIGHT_ITINERARY))];

const FLIGHT_ITINERARY: &[Field] = &[
    must("out_relation_order_id", Kind::Text),
    must("tes_head_id", Kind::Text),
    must("ticket_no_list", Kind::Texts),
    may("emp_no", Kind::Text),
    must("cwt_account_no", Kind::Text),
    may("ht_user_id", Kind::Text),
];

const SHIP_RETURN_NOTIFY: &[Field] = &[must("confirm_refund_r_q", Kind::Object(SHIP_REFUND))];

const SHIP_REFUND: &[Field] = &[
    may("agent_ext_attr", Kind::Text),
    must("agent_order_id", Kind::Text),
    must("agent_refund_amount", Kind::Number),
    may("agent_refund_trans_id", Kind::Text),
    may("agent_return_mode", Kind::TextOf(&["offline", "online"])),
    must("agent_return_ticket_code", Kind::Number),
    must("agent_return_ticket_status", Kind::NumberOf(&[1, 2])),
    must("agent_return_ticket_type", Kind::NumberOf(&[0, 1])),
    may("agent_return_time", Kind::Date),
    may("agent_ticket_id", Kind::Text),
    must("alitrip_order_id", Kind::Number),
    may("passenger_id", Kind::Text),
];

const TICKET_REFUND_NOTIFY: &[Field] = &[
    may("refund_num", Kind::Number),
    must("order_id", Kind::Number),
    must("refund_status", Kind::NumberOf(&[1, 2])),
    may("refund_failure_reason", Kind::Text),
    may("refund_batch_no", Kind::Text),
];

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
