//! TOP, the Taobao Open Platform: the protocol and the calls.
//!
//! Sources: the platform's protocol page, its page of error codes, and the pages of the calls. Where a page is
//! silent, the official SDKs.

pub mod client;
pub mod credentials;
pub mod error;
pub mod form;
pub mod response;
pub mod sign;

use relay_types::call::CallKind;

/// How a call's page names the parts of its request and response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodSpec {
    /// The value of `method`.
    pub method: &'static str,
    /// The root member of a successful response.
    pub response: &'static str,
    /// The boolean member of `response` that tells a business success from a business failure.
    pub success: &'static str,
    /// The member with a business failure's code, if the page has one.
    pub error_code: Option<&'static str>,
    /// The member with a business failure's message, if the page has one.
    pub error_message: Option<&'static str>,
    /// Whether the call needs a seller's session.
    pub needs_session: bool,
}

/// The names on the page of a call.
#[must_use]
pub const fn method_spec(kind: CallKind) -> MethodSpec {
    match kind {
        CallKind::ItineraryPostback => MethodSpec {
            method: "alibaba.happytrip.flight.order.itinerary.postback",
            response: "alibaba_happytrip_flight_order_itinerary_postback_response",
            success: "ht_success",
            error_code: Some("ht_error_code"),
            error_message: Some("error_msg"),
            needs_session: false,
        },
        CallKind::TicketVerify => MethodSpec {
            method: "taobao.travel.ticket.order.verify",
            response: "travel_ticket_order_verify_response",
            success: "is_success",
            error_code: None,
            error_message: None,
            needs_session: false,
        },
        CallKind::ShipNotify => MethodSpec {
            method: "alitrip.ship.order.notify",
            response: "alitrip_ship_order_notify_response",
            success: "ret_success",
            error_code: Some("ret_code"),
            error_message: Some("ret_msg"),
            needs_session: true,
        },
        CallKind::ShipReturnNotify => MethodSpec {
            method: "alitrip.ship.return.notify",
            response: "alitrip_ship_return_notify_response",
            success: "ret_success",
            error_code: Some("ret_code"),
            error_message: Some("ret_msg"),
            // Inferred from the other ship call.
            needs_session: true,
        },
        CallKind::TicketRefundNotify => MethodSpec {
            method: "taobao.travel.ticket.order.refund",
            response: "travel_ticket_order_refund_response",
            success: "is_success",
            error_code: None,
            error_message: None,
            // Inferred from the other ticket call.
            needs_session: false,
        },
    }
}
