//! Calls to TOP: kind, lane, request, and whether a call may be sent again after an unknown outcome.

pub mod itinerary_postback;
pub mod ship_notify;
pub mod ship_return_notify;
pub mod ticket_refund_notify;
pub mod ticket_verify;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::{AsRefStr, Display, EnumString, IntoStaticStr};

use crate::call::itinerary_postback::FlightItineraryRequest;
use crate::call::ship_notify::ConfirmBook;
use crate::call::ship_return_notify::ConfirmRefund;
use crate::call::ticket_refund_notify::TicketRefund;
use crate::call::ticket_verify::TicketVerify;
use crate::json::{self, FieldError};
use crate::order::is_usable_id;

/// The kinds of call.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    AsRefStr,
    Display,
    EnumString,
    IntoStaticStr,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum CallKind {
    /// `alibaba.happytrip.flight.order.itinerary.postback`
    ItineraryPostback,
    /// `taobao.travel.ticket.order.verify`
    TicketVerify,
    /// `alitrip.ship.order.notify`
    ShipNotify,
    /// `alitrip.ship.return.notify`
    ShipReturnNotify,
    /// `taobao.travel.ticket.order.refund`
    TicketRefundNotify,
}

impl CallKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::ItineraryPostback,
        Self::TicketVerify,
        Self::ShipNotify,
        Self::ShipReturnNotify,
        Self::TicketRefundNotify,
    ];

    /// The environment variable with the URL of the call's queue, such as `SHIP_NOTIFY_QUEUE_URL`.
    #[must_use]
    pub fn queue_url_variable(self) -> String {
        format!("{}_QUEUE_URL", self.as_ref().to_uppercase().replace('-', "_"))
    }

    /// The prefix of the call's resources, parameters and outputs in the template, such as `ShipNotify`.
    #[must_use]
    pub fn logical_prefix(self) -> String {
        let words = self.as_ref().split('-');
        words.map(|word| format!("{}{}", word[..1].to_uppercase(), &word[1..])).collect()
    }
}

/// Maximum length of an id that is only a part of a call's key, in bytes. The order number takes up to 20 of the 256.
pub const MAX_KEY_PART_BYTES: usize = 200;

/// Checks that a field of a request can be part of the call's key.
///
/// # Errors
/// Names the field.
fn check_key_part(field: &str, id: &str) -> Result<(), FieldError> {
    if is_usable_id(id) && id.len() <= MAX_KEY_PART_BYTES {
        return Ok(());
    }
    let problem = format!(
        "must be 1 to {MAX_KEY_PART_BYTES} bytes long, without control characters or U+FFFD, and neither . nor .."
    );
    Err(FieldError::at(field, problem))
}

/// Whether a call may be sent again after an unknown outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, AsRefStr)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Resend {
    /// A repeat changes nothing at TOP.
    Again,
    /// A repeat may take effect twice. The call needs attention.
    Never,
}

/// One thing that TOP can be told about: the subject of a call, independent of who asks for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lane {
    /// The kind of call.
    pub call: CallKind,
    /// The business id ([`CallRequest::own_key`]), or a redemption's `total#…` or `key#…`.
    pub id: String,
}

impl std::fmt::Display for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.call, self.id)
    }
}

impl Lane {
    /// The lane of a redemption that counts each time it is sent. The caller's key identifies it.
    #[must_use]
    pub fn redemption(key: &str) -> Self {
        Self { call: CallKind::TicketVerify, id: format!("key#{key}") }
    }

    /// The call's key: the id, without the prefix of a redemption's key.
    #[must_use]
    pub fn key(&self) -> &str {
        self.id.strip_prefix("key#").unwrap_or(&self.id)
    }

    /// Parses `call/id`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (call, id) = text.split_once('/')?;
        Some(Self { call: call.parse().ok()?, id: id.to_owned() })
    }
}

/// The request of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum CallRequest {
    /// See [`FlightItineraryRequest`].
    ItineraryPostback(FlightItineraryRequest),
    /// See [`TicketVerify`].
    TicketVerify(TicketVerify),
    /// See [`ConfirmBook`].
    ShipNotify(Box<ConfirmBook>),
    /// See [`ConfirmRefund`].
    ShipReturnNotify(Box<ConfirmRefund>),
    /// See [`TicketRefund`].
    TicketRefundNotify(TicketRefund),
}

impl CallRequest {
    /// Reads and checks a request with TOP's field names. For the wrapped calls, `body` is the inner object.
    ///
    /// # Errors
    /// Names the field that is unknown, missing, or of the wrong type according to the call's page.
    pub fn from_json(kind: CallKind, body: &Value) -> Result<Self, FieldError> {
        let request = match kind {
            CallKind::ItineraryPostback => Self::ItineraryPostback(json::read(body)?),
            CallKind::TicketVerify => Self::TicketVerify(json::read(body)?),
            CallKind::ShipNotify => Self::ShipNotify(Box::new(json::read(body)?)),
            CallKind::ShipReturnNotify => Self::ShipReturnNotify(Box::new(json::read(body)?)),
            CallKind::TicketRefundNotify => Self::TicketRefundNotify(json::read(body)?),
        };
        match &request {
            Self::ItineraryPostback(itinerary) => itinerary.check()?,
            Self::TicketVerify(verify) => verify.check()?,
            // TOP accepts a success without passengers and validates the rest itself.
            Self::ShipNotify(_) => {}
            Self::ShipReturnNotify(refund) => refund.check()?,
            Self::TicketRefundNotify(refund) => refund.check()?,
        }
        Ok(request)
    }

    /// Reads the output of [`CallRequest::to_json`].
    ///
    /// # Errors
    /// If a manual edit of the record left something that is not a request.
    pub fn from_stored(kind: CallKind, json: &str) -> Result<Self, FieldError> {
        Self::from_json(kind, &json::parse_object(json.as_bytes())?)
    }

    /// The kind of call.
    #[must_use]
    pub const fn kind(&self) -> CallKind {
        match self {
            Self::ItineraryPostback(_) => CallKind::ItineraryPostback,
            Self::TicketVerify(_) => CallKind::TicketVerify,
            Self::ShipNotify(_) => CallKind::ShipNotify,
            Self::ShipReturnNotify(_) => CallKind::ShipReturnNotify,
            Self::TicketRefundNotify(_) => CallKind::TicketRefundNotify,
        }
    }

    /// The request as JSON, with members in the page's order. This string is stored, digested and, for the wrapped
    /// calls, signed and sent.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Serialising these structs of strings and numbers cannot fail.
        match self {
            Self::ItineraryPostback(itinerary) => serde_json::to_string(itinerary),
            Self::TicketVerify(verify) => serde_json::to_string(verify),
            Self::ShipNotify(ship) => serde_json::to_string(ship),
            Self::ShipReturnNotify(refund) => serde_json::to_string(refund),
            Self::TicketRefundNotify(refund) => serde_json::to_string(refund),
        }
        .unwrap_or_default()
    }

    /// The business id that is the call's key, with the field that it comes from. `None` for redemptions: the caller
    /// chooses their key.
    #[must_use]
    pub fn own_key(&self) -> Option<(&'static str, String)> {
        match self {
            Self::ShipNotify(ship) => Some(("alitrip_order_id", ship.alitrip_order_id.clone())),
            Self::ItineraryPostback(itinerary) => {
                Some(("out_relation_order_id", itinerary.out_relation_order_id.clone()))
            }
            Self::ShipReturnNotify(refund) => Some(("alitrip_order_id", refund.key())),
            Self::TicketRefundNotify(refund) => Some(("refund_batch_no", refund.key())),
            Self::TicketVerify(_) => None,
        }
    }

    /// Whether the request reports a success that may follow a failure of the same lane: tickets were issued, or a
    /// refund was made. For refunds this is inferred, since their page only says that repeats are harmless.
    #[must_use]
    pub fn reports_success(&self) -> bool {
        match self {
            Self::ShipNotify(ship) => ship.success,
            Self::ShipReturnNotify(refund) => refund.is_refunded(),
            Self::ItineraryPostback(_) | Self::TicketVerify(_) | Self::TicketRefundNotify(_) => false,
        }
    }

    /// The lane of the request. Its id is the business id, independent of who asks for the call. A redemption total is
    /// about its order. A redemption that counts each time it is sent is about itself, so the caller's `key` identifies
    /// it.
    #[must_use]
    pub fn lane(&self, key: &str) -> Lane {
        if let Some((_, id)) = self.own_key() {
            return Lane { call: self.kind(), id };
        }
        let id = match self {
            Self::TicketVerify(verify) if verify.tells_total() => match (verify.order_id, &verify.out_order_id) {
                (Some(id), _) => format!("total#{id}"),
                (None, Some(id)) => format!("total#out#{id}"),
                (None, None) => "total#".to_owned(),
            },
            _ => return Lane::redemption(key),
        };
        Lane { call: self.kind(), id }
    }

    /// Whether the request may be sent again after an unknown outcome.
    #[must_use]
    pub const fn resend(&self) -> Resend {
        match self {
            // TOP's page: idempotent on alitrip_order_id; after the first success nothing changes.
            Self::ShipNotify(_) => Resend::Again,
            // TOP's page: the platform keeps it idempotent.
            Self::ShipReturnNotify(_) => Resend::Again,
            // TOP's page is silent, and a repeat could refund twice.
            Self::TicketRefundNotify(_) => Resend::Never,
            // Telling TOP the same numbers twice changes nothing (inferred: the page is silent).
            Self::ItineraryPostback(_) => Resend::Again,
            // A total can be told twice; "one more used" cannot.
            Self::TicketVerify(verify) if verify.tells_total() => Resend::Again,
            Self::TicketVerify(_) => Resend::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(kind: CallKind, body: Value) -> CallRequest {
        CallRequest::from_json(kind, &body).unwrap()
    }

    #[test]
    fn lane_is_the_business_id_or_the_callers_key() {
        let lane = |kind, body| request(kind, body).lane("K").to_string();
        let ship = |success| json!({"agent_order_id": "A", "alitrip_order_id": "38", "success": success});
        assert_eq!(lane(CallKind::ShipNotify, ship(true)), "ship-notify/38");
        assert_eq!(lane(CallKind::ShipNotify, ship(false)), "ship-notify/38");
        let flight =
            json!({"out_relation_order_id": "P", "tes_head_id": "1", "cwt_account_no": "2", "ticket_no_list": ["1"]});
        assert_eq!(lane(CallKind::ItineraryPostback, flight), "itinerary-postback/P");
        assert_eq!(lane(CallKind::TicketVerify, json!({"order_id": 1, "confirm_code": "1"})), "ticket-verify/key#K");
        let total = json!({"order_id": 1, "confirm_code": "1", "write_off_type": 1});
        assert_eq!(lane(CallKind::TicketVerify, total), "ticket-verify/total#1");
    }

    #[test]
    fn lane_of_a_refund_is_what_the_refund_is_about() {
        let ship = |change: Value| {
            let mut body = json!({"agent_order_id": "A", "alitrip_order_id": 38, "agent_refund_amount": 1,
                "agent_return_ticket_code": 0, "agent_return_ticket_status": 1, "agent_return_ticket_type": 0});
            body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            request(CallKind::ShipReturnNotify, body)
        };
        for (change, id) in [
            (json!({"agent_ticket_id": "T1"}), "38-ticket-T1"),
            (json!({"agent_ticket_id": "T1", "passenger_id": "P1"}), "38-ticket-T1"),
            (json!({"agent_ticket_id": "T1", "agent_return_ticket_status": 2}), "38-ticket-T1"),
            (json!({"agent_ticket_id": "T1", "agent_refund_trans_id": "M"}), "38-ticket-T1"),
            (json!({"agent_ticket_id": "T2"}), "38-ticket-T2"),
            (json!({"passenger_id": "P1"}), "38-passenger-P1"),
            (json!({"agent_return_ticket_type": 1}), "38"),
            (json!({"agent_return_ticket_type": 1, "agent_ticket_id": "T1"}), "38"),
        ] {
            assert_eq!(ship(change).lane("").to_string(), format!("ship-return-notify/{id}"));
        }
        assert_eq!(ship(json!({"passenger_id": "P1"})).resend(), Resend::Again);
        let ticket = request(
            CallKind::TicketRefundNotify,
            json!({"order_id": "7", "refund_status": 1, "refund_batch_no": "B-1"}),
        );
        assert_eq!(ticket.lane("").to_string(), "ticket-refund-notify/7-B-1");
        assert_eq!(ticket.resend(), Resend::Never);
    }

    #[test]
    fn names_in_the_template_derive_from_the_calls_name() {
        assert_eq!(CallKind::ShipNotify.queue_url_variable(), "SHIP_NOTIFY_QUEUE_URL");
        assert_eq!(CallKind::ItineraryPostback.logical_prefix(), "ItineraryPostback");
    }

    #[test]
    fn only_counting_redemptions_are_never_sent_again() {
        let verify = |write_off_type: Value| {
            request(
                CallKind::TicketVerify,
                json!({"order_id": 1, "confirm_code": "1", "write_off_type": write_off_type}),
            )
            .resend()
        };
        assert_eq!(verify(json!(1)), Resend::Again);
        assert_eq!(verify(json!("1")), Resend::Again);
        assert_eq!(verify(json!(0)), Resend::Never);
        assert_eq!(verify(json!(null)), Resend::Never, "absent means 0");
    }

    #[test]
    fn stored_request_round_trips() {
        let body = json!({"agent_order_id": "A", "alitrip_order_id": "38", "success": false, "total_price": 0});
        let ship = request(CallKind::ShipNotify, body);
        assert_eq!(CallRequest::from_stored(CallKind::ShipNotify, &ship.to_json()).unwrap(), ship);
    }
}
