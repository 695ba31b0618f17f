//! A notification as the relay thinks of it: which order it is about, what it says, and what became of it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::{self, FieldError};
use crate::order::{OrderId, Partner};
use crate::partner::sctt::{self, Cancellation, VoucherPush};
use crate::partner::tsy::{self, ChangePricePush, IssueNotify};
use crate::reason::Reason;

/// The kinds of notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
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
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::IssueNotify, Self::ChangePricePush, Self::ChangeResultPush, Self::VoucherPush, Self::CancelPush];

    /// The name in keys and routes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IssueNotify => tsy::ISSUE_NOTIFY,
            Self::ChangePricePush => tsy::CHANGE_PRICE_PUSH,
            Self::ChangeResultPush => tsy::CHANGE_RESULT_PUSH,
            Self::VoucherPush => sctt::VOUCHER_PUSH,
            Self::CancelPush => sctt::CANCEL_PUSH,
        }
    }

    /// The kind of that name, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Who sends it.
    #[must_use]
    pub const fn partner(self) -> Partner {
        match self {
            Self::IssueNotify | Self::ChangePricePush | Self::ChangeResultPush => Partner::Tsy,
            Self::VoucherPush | Self::CancelPush => Partner::Sctt,
        }
    }

    /// Reads a body: whose orders it tells of, at least one; what is wrong with a part that cannot be used.
    ///
    /// # Errors
    /// Names the field that is missing, of the wrong type, or no usable id, if nothing can be used.
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

    /// What of a body tells of its orders at `indices`; nothing where a body tells of one order.
    #[must_use]
    pub fn part_of(self, body: &Value, indices: &[usize]) -> Option<Value> {
        (self == Self::CancelPush).then(|| Cancellation::part_of(body, indices))
    }
}

impl fmt::Display for NotificationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a notification says.
#[derive(Debug, Clone, PartialEq)]
pub enum Notification {
    /// A flight's tickets were issued, or were not.
    Issue(IssueNotify),
    /// What the change of a flight costs, or what became of it: nothing that TOP is told.
    Change,
    /// A scenic-spot or ship order's status and vouchers.
    Voucher(Box<VoucherPush>),
    /// What became of the cancellation of such an order.
    Cancel(Cancellation),
}

impl Notification {
    /// Reads a payload that was recorded.
    ///
    /// # Errors
    /// If the record was changed by hand into something that is no notification.
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

/// What a notification says of what TOP should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// The order is issued, rejected, booked, failed or cancelled.
    Decisive,
    /// Nothing, and why.
    Nothing(Reason),
    /// Something that only a person can understand.
    Odd(Reason),
}

/// What a recorded body says.
#[must_use]
pub fn says(kind: NotificationKind, body: &str) -> Says {
    let read = json::parse_object(body.as_bytes()).and_then(|payload| Notification::from_payload(kind, &payload));
    match read {
        Err(_) => Says::Odd(Reason::Unreadable),
        Ok(Notification::Issue(notify)) if ["issued", "rejected"].contains(&notify.kind.as_str()) => Says::Decisive,
        Ok(Notification::Issue(_)) => Says::Odd(Reason::OddStatus),
        Ok(Notification::Change) => Says::Nothing(Reason::NoCall),
        Ok(Notification::Voucher(push)) => match push.order_status {
            sctt::WAITING => Says::Nothing(Reason::NotBooked),
            // Unreadable vouchers are decisive: what to do about them depends on the link.
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

/// What became of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum NotificationState {
    /// Recorded, not yet decided.
    Received,
    /// Decided: the calls it leads to, if any, are recorded.
    Dispatched,
    /// Nothing can be decided before the booking system says more.
    Waiting,
    /// A person must look.
    Attention,
}

impl NotificationState {
    /// The name on records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Dispatched => "dispatched",
            Self::Waiting => "waiting",
            Self::Attention => "attention",
        }
    }
}
