//! A call to TOP as the relay thinks of it: which one, under which key, with which request, and whether it may
//! be sent again when nobody knows how it ended.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::sha256_hex;
use crate::order::{UNUSABLE_ID, is_usable_id};
use crate::top::itinerary_postback::FlightItineraryRequest;
use crate::top::ship_notify::ConfirmBook;
use crate::top::ticket_verify::TicketVerify;
use crate::wire::{self, WireError};

/// The three calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallKind {
    /// `alibaba.happytrip.flight.order.itinerary.postback`
    ItineraryPostback,
    /// `taobao.travel.ticket.order.verify`
    TicketVerify,
    /// `alitrip.ship.order.notify`
    ShipNotify,
}

impl CallKind {
    /// All calls.
    pub const ALL: [Self; 3] = [Self::ItineraryPostback, Self::TicketVerify, Self::ShipNotify];

    /// The name in routes, keys, queues and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ItineraryPostback => "itinerary-postback",
            Self::TicketVerify => "ticket-verify",
            Self::ShipNotify => "ship-notify",
        }
    }

    /// The call of that name, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for CallKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What makes a call one and the same call, whoever asks for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CallKey(String);

impl CallKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl CallKey {
    /// The key of a ship notification. A failure told may still become a success, so they are two calls; a success
    /// is told once, as TOP has it.
    ///
    /// # Errors
    /// If the id cannot be part of a key.
    pub fn of_ship(alitrip_order_id: &str, success: bool) -> Result<Self, WireError> {
        let told = if success { "issued" } else { "failed" };
        Self::of_business("alitrip_order_id", alitrip_order_id, told)
    }

    fn of_business(field: &str, id: &str, suffix: &str) -> Result<Self, WireError> {
        if !is_usable_id(id) {
            return Err(WireError::at(field, UNUSABLE_ID));
        }
        Self::try_from(format!("{id}-{suffix}")).map_err(|problem| WireError::at(field, problem))
    }
}

impl TryFrom<String> for CallKey {
    type Error = &'static str;

    fn try_from(key: String) -> Result<Self, Self::Error> {
        // A business key is an id and a suffix of ours, so it may be longer than an id.
        if !key.is_empty() && key.len() <= 512 && !key.chars().any(char::is_control) {
            Ok(Self(key))
        } else {
            Err("must be 1 to 512 bytes long without control characters")
        }
    }
}

impl From<CallKey> for String {
    fn from(key: CallKey) -> Self {
        key.0
    }
}

impl fmt::Display for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which record a call is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallId {
    /// Which call.
    pub call: CallKind,
    /// Under which key.
    pub key: CallKey,
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.call, self.key)
    }
}

impl CallId {
    /// Reads `call/key`, as [`CallId`] is written.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (call, key) = text.split_once('/')?;
        Some(Self { call: CallKind::named(call)?, key: CallKey::try_from(key.to_owned()).ok()? })
    }
}

/// Whether a call may be sent again when nobody knows whether it took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resend {
    /// Once more changes nothing at TOP.
    Again,
    /// Once more may do it twice: a person must look.
    Never,
}

impl Resend {
    /// The name on records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Again => "again",
            Self::Never => "never",
        }
    }
}

/// What a call says.
#[derive(Debug, Clone, PartialEq)]
pub enum CallRequest {
    /// See [`FlightItineraryRequest`].
    ItineraryPostback(FlightItineraryRequest),
    /// See [`TicketVerify`].
    TicketVerify(TicketVerify),
    /// See [`ConfirmBook`].
    ShipNotify(Box<ConfirmBook>),
}

impl CallRequest {
    /// Reads and checks a request in TOP's field names; for the two wrapped calls, what is inside the wrapper.
    ///
    /// # Errors
    /// Names the field that the call's page does not know, asks for, or types otherwise.
    pub fn from_json(kind: CallKind, body: &Value) -> Result<Self, WireError> {
        let request = match kind {
            CallKind::ItineraryPostback => Self::ItineraryPostback(wire::read(body)?),
            CallKind::TicketVerify => Self::TicketVerify(wire::read(body)?),
            CallKind::ShipNotify => Self::ShipNotify(Box::new(wire::read(body)?)),
        };
        match &request {
            Self::ItineraryPostback(itinerary) => itinerary.check()?,
            Self::TicketVerify(verify) => verify.check()?,
            // TOP lets a success go without passengers, and judges the rest itself.
            Self::ShipNotify(_) => {}
        }
        Ok(request)
    }

    /// Reads what [`CallRequest::to_json`] wrote.
    ///
    /// # Errors
    /// If a record was changed by hand into something that is no request.
    pub fn from_stored(kind: CallKind, json: &str) -> Result<Self, WireError> {
        Self::from_json(kind, &wire::parse_object(json.as_bytes())?)
    }

    /// Which call this is a request of.
    #[must_use]
    pub const fn kind(&self) -> CallKind {
        match self {
            Self::ItineraryPostback(_) => CallKind::ItineraryPostback,
            Self::TicketVerify(_) => CallKind::TicketVerify,
            Self::ShipNotify(_) => CallKind::ShipNotify,
        }
    }

    /// The request as JSON, members in the page's order: the string that is stored, digested, and (for the
    /// wrapped calls) signed and sent.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Serialising our own structs of strings and numbers cannot fail.
        match self {
            Self::ItineraryPostback(itinerary) => serde_json::to_string(itinerary),
            Self::TicketVerify(verify) => serde_json::to_string(verify),
            Self::ShipNotify(ship) => serde_json::to_string(ship),
        }
        .unwrap_or_default()
    }

    /// The key by which the business knows the call, so that it is one call whoever asks for it; `None` where
    /// only the caller can tell two from one (a redemption).
    ///
    /// # Errors
    /// If the id in the request cannot be a key.
    pub fn business_key(&self) -> Result<Option<CallKey>, WireError> {
        match self {
            Self::ShipNotify(ship) => CallKey::of_ship(&ship.alitrip_order_id, ship.success).map(Some),
            // Another ticket number is another call: that is how a re-issued ticket is told.
            Self::ItineraryPostback(itinerary) => {
                let mut digest = sha256_hex(self.to_json().as_bytes());
                digest.truncate(32);
                CallKey::of_business("out_relation_order_id", &itinerary.out_relation_order_id, &digest).map(Some)
            }
            Self::TicketVerify(_) => Ok(None),
        }
    }

    /// Whether the request may be sent again when nobody knows whether it took effect.
    #[must_use]
    pub const fn resend(&self) -> Resend {
        match self {
            // TOP's page: idempotent on alitrip_order_id; after the first success nothing changes any more.
            Self::ShipNotify(_) => Resend::Again,
            // The same numbers told twice are the same numbers (inferred: the page is silent).
            Self::ItineraryPostback(_) => Resend::Again,
            // A running total can be told twice; "one more used" cannot.
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
    fn business_keys_are_those_of_the_business() {
        let ship = |success| {
            request(CallKind::ShipNotify, json!({"agent_order_id": "A", "alitrip_order_id": "38", "success": success}))
        };
        assert_eq!(ship(true).business_key().unwrap().unwrap().as_str(), "38-issued");
        assert_eq!(ship(false).business_key().unwrap().unwrap().as_str(), "38-failed");
        let flight = |ticket| {
            let body = json!({"out_relation_order_id": "P", "tes_head_id": "1", "cwt_account_no": "2", "ticket_no_list": [ticket]});
            request(CallKind::ItineraryPostback, body).business_key().unwrap().unwrap()
        };
        assert!(flight("1").as_str().starts_with("P-"));
        assert_eq!(flight("1"), flight("1"));
        assert_ne!(flight("1"), flight("2"), "a re-issued ticket is a new call");
        assert_eq!(request(CallKind::TicketVerify, json!({"order_id": 1})).business_key().unwrap(), None);
    }

    #[test]
    fn only_a_write_off_of_one_more_is_never_sent_again() {
        let verify = |write_off_type: Value| {
            request(CallKind::TicketVerify, json!({"order_id": 1, "write_off_type": write_off_type})).resend()
        };
        assert_eq!(verify(json!(1)), Resend::Again);
        assert_eq!(verify(json!("1")), Resend::Again);
        assert_eq!(verify(json!(0)), Resend::Never);
        assert_eq!(verify(json!(null)), Resend::Never, "absent is the ordinary kind, 0");
    }

    #[test]
    fn a_stored_request_reads_back_the_same() {
        let body = json!({"agent_order_id": "A", "alitrip_order_id": "38", "success": false, "total_price": 0});
        let ship = request(CallKind::ShipNotify, body);
        assert_eq!(CallRequest::from_stored(CallKind::ShipNotify, &ship.to_json()).unwrap(), ship);
    }

    #[test]
    fn a_call_id_is_written_as_it_is_read() {
        let id = CallId::parse("ship-notify/a/b").unwrap();
        assert_eq!(
            (id.call, id.key.as_str(), id.to_string().as_str()),
            (CallKind::ShipNotify, "a/b", "ship-notify/a/b")
        );
        assert!(CallId::parse("ship-notify").is_none());
        assert!(CallId::parse("other/a").is_none());
    }
}
