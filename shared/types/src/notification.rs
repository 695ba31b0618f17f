//! Notifications: the orders they are about, their content, and their state.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::{AsRefStr, Display, EnumString, IntoStaticStr};

use crate::json::{self, FieldError};
use crate::order::{OrderId, Partner};
use crate::partner::sctt::{self, Cancellation, VoucherPush};
use crate::partner::tsy::{self, ChangePricePush, IssueNotify};
use crate::reason::Reason;

/// The longest status that the record keeps, in bytes.
const MAX_STATUS_BYTES: usize = 32;

/// The kinds of notification.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, AsRefStr, Display, EnumString, IntoStaticStr,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum NotificationKind {
    /// TSY's IssueNotify.
    IssueNotify,
    /// TSY's ChangePricePush.
    ChangePricePush,
    /// TSY's ChangeResultPush.
    ChangeResultPush,
    /// SCTT's voucher push.
    VoucherPush,
    /// SCTT's cancel push.
    CancelPush,
}

impl NotificationKind {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::IssueNotify, Self::ChangePricePush, Self::ChangeResultPush, Self::VoucherPush, Self::CancelPush];

    /// The partner that sends this kind.
    #[must_use]
    pub const fn partner(self) -> Partner {
        match self {
            Self::IssueNotify | Self::ChangePricePush | Self::ChangeResultPush => Partner::Tsy,
            Self::VoucherPush | Self::CancelPush => Partner::Sctt,
        }
    }

    /// Reads the orders that a body is about, at least one. An unusable part of the body is an error in the list.
    ///
    /// # Errors
    /// If no part is usable: names the field that is missing, of the wrong type, or not a usable id.
    pub fn orders_of(self, body: &Value) -> Result<Vec<Result<OrderId, FieldError>>, FieldError> {
        let order_id = match self {
            Self::IssueNotify => IssueNotify::from_json(body)?.0,
            Self::ChangePricePush => ChangePricePush::from_json(body)?.0,
            Self::ChangeResultPush => tsy::order_of_change_result(body)?,
            Self::VoucherPush => VoucherPush::from_json(body)?.0,
            Self::CancelPush => return Cancellation::orders_of(body),
        };
        Ok(vec![Ok(order_id)])
    }

    /// The status in a body, in words. A code that the partner does not publish stays as it is.
    #[must_use]
    pub fn status(self, body: &Value) -> Option<String> {
        let (status, words): (_, &[&str]) = match self {
            Self::IssueNotify => return body["type"].as_str().map(str::to_owned),
            Self::ChangePricePush | Self::ChangeResultPush => return None,
            Self::VoucherPush => (&body["order_status"], &sctt::ORDER_STATUS),
            Self::CancelPush => (&cancelled(body)["cancel_status"], &sctt::CANCEL_STATUS),
        };
        let word = |code: i64| words.get(usize::try_from(code).ok()?.checked_sub(1)?);
        match status {
            Value::Number(code) => {
                Some(code.as_i64().and_then(word).map_or_else(|| code.to_string(), |&word| word.to_owned()))
            }
            _ => None,
        }
    }

    /// The partner's own number of the order in a body.
    #[must_use]
    pub fn partner_number(self, body: &Value) -> Option<String> {
        let number = match self {
            Self::IssueNotify => &body["orderNo"],
            Self::ChangePricePush | Self::ChangeResultPush => &body["orderNum"],
            Self::VoucherPush => &body["order_code"],
            Self::CancelPush => &cancelled(body)["order_code"],
        };
        match number {
            Value::String(number) if !number.is_empty() => Some(number.clone()),
            Value::Number(number) => Some(json::digits(number)),
            _ => None,
        }
    }

    /// The part of a body that is about its orders at `indices`; `None` if the kind has one order per body.
    #[must_use]
    pub fn part_of(self, body: &Value, indices: &[usize]) -> Option<Value> {
        (self == Self::CancelPush).then(|| Cancellation::part_of(body, indices))
    }
}

/// The last result in the recorded part of a cancel push.
fn cancelled(body: &Value) -> &Value {
    body["orderlist"].as_array().and_then(|results| results.last()).unwrap_or(&Value::Null)
}

/// The content of a notification.
#[derive(Debug, Clone, PartialEq)]
pub enum Notification {
    /// A flight's tickets were issued, or issuing was rejected.
    Issue(IssueNotify),
    /// The price or the result of a flight change. TOP is not told about changes.
    Change,
    /// The status and vouchers of a scenic-spot or ship order.
    Voucher(Box<VoucherPush>),
    /// The result of cancelling a scenic-spot or ship order.
    Cancel(Cancellation),
}

impl Notification {
    /// Reads a recorded payload.
    ///
    /// # Errors
    /// If a manual edit of the record left something that is not a notification.
    pub fn from_payload(kind: NotificationKind, payload: &Value) -> Result<Self, FieldError> {
        match kind {
            NotificationKind::IssueNotify => IssueNotify::from_json(payload).map(|(_, notify)| Self::Issue(notify)),
            NotificationKind::ChangePricePush | NotificationKind::ChangeResultPush => Ok(Self::Change),
            NotificationKind::VoucherPush => {
                VoucherPush::from_json(payload).map(|(_, push)| Self::Voucher(Box::new(push)))
            }
            NotificationKind::CancelPush => Cancellation::from_json(payload).map(Self::Cancel),
        }
    }
}

/// What a notification implies for TOP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// The order is issued, rejected, booked, failed or cancelled.
    Decisive,
    /// Nothing, for this reason.
    Nothing(Reason),
    /// Something unexpected that needs attention.
    Odd(Reason),
}

/// What the relay reads in a recorded body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What the notification implies for TOP.
    pub says: Says,
    /// Its status in words.
    pub status: Option<String>,
}

/// Reads a recorded body.
#[must_use]
pub fn read(kind: NotificationKind, body: &str) -> Reading {
    match json::parse_object(body.as_bytes()) {
        Err(_) => Reading { says: Says::Odd(Reason::Unreadable), status: None },
        Ok(payload) => {
            // A partner may send any text. One that is longer than any status would make the record large.
            let status = kind.status(&payload).filter(|status| status.len() <= MAX_STATUS_BYTES);
            Reading { says: says(kind, &payload), status }
        }
    }
}

fn says(kind: NotificationKind, payload: &Value) -> Says {
    match Notification::from_payload(kind, payload) {
        Err(_) => Says::Odd(Reason::Unreadable),
        Ok(Notification::Issue(notify)) if ["issued", "rejected"].contains(&notify.kind.as_str()) => Says::Decisive,
        Ok(Notification::Issue(_)) => Says::Odd(Reason::OddStatus),
        Ok(Notification::Change) => Says::Nothing(Reason::NoCall),
        Ok(Notification::Voucher(push)) => match push.order_status {
            sctt::WAITING => Says::Nothing(Reason::NotBooked),
            // Unreadable vouchers are decisive, because the action depends on the link.
            sctt::BOOKED if push.vouchers().is_ok_and(|vouchers| vouchers.is_empty()) => {
                Says::Nothing(Reason::NoVouchers)
            }
            sctt::BOOKED | sctt::FAILED | sctt::CANCELLED => Says::Decisive,
            _ => Says::Odd(Reason::OddStatus),
        },
        Ok(Notification::Cancel(cancellation)) => match cancellation.cancel_status {
            sctt::CANCEL_FAILED | sctt::CANCEL_WAITING => Says::Nothing(Reason::NotCancelled),
            sctt::CANCEL_DONE => Says::Decisive,
            _ => Says::Odd(Reason::OddStatus),
        },
    }
}

/// The state of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, AsRefStr)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum NotificationState {
    /// Recorded, not yet decided.
    Received,
    /// Decided: the calls it leads to, if any, are recorded.
    Dispatched,
    /// Waits for more information from the booking system.
    Waiting,
    /// Needs attention.
    Attention,
}
