//! TOP, the Taobao Open Platform: the protocol and the three calls.
//!
//! Source: the platform's protocol page and its page of error codes, the pages of the three calls, and what the
//! official SDKs do where a page is silent.

pub mod client;
pub mod credentials;
pub mod error;
pub mod form;
pub mod itinerary_postback;
pub mod response;
pub mod ship_notify;
pub mod sign;
pub mod ticket_verify;

use crate::call::CallKind;

/// What the page of a call says about its envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// The value of `method`.
    pub method: &'static str,
    /// The root member of a successful response.
    pub response: &'static str,
    /// The boolean inside it that says whether the business succeeded too.
    pub success: &'static str,
    /// Where a business failure's code is, if the page has one.
    pub error_code: Option<&'static str>,
    /// Where a business failure's message is, if the page has one.
    pub error_message: Option<&'static str>,
    /// Whether the call is made in the name of a seller, with a session.
    pub needs_session: bool,
}

impl CallKind {
    /// The envelope of this call.
    #[must_use]
    pub const fn envelope(self) -> Envelope {
        match self {
            Self::ItineraryPostback => Envelope {
                method: "alibaba.happytrip.flight.order.itinerary.postback",
                response: "alibaba_happytrip_flight_order_itinerary_postback_response",
                success: "ht_success",
                error_code: Some("ht_error_code"),
                error_message: Some("error_msg"),
                needs_session: false,
            },
            Self::TicketVerify => Envelope {
                method: "taobao.travel.ticket.order.verify",
                response: "travel_ticket_order_verify_response",
                success: "is_success",
                error_code: None,
                error_message: None,
                needs_session: false,
            },
            Self::ShipNotify => Envelope {
                method: "alitrip.ship.order.notify",
                response: "alitrip_ship_order_notify_response",
                success: "ret_success",
                error_code: Some("ret_code"),
                error_message: Some("ret_msg"),
                needs_session: true,
            },
        }
    }
}
