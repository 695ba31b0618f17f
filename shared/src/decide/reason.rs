//! Why an order waits, needs a person, or leads to nothing: a code for programs, a sentence for people.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A reason. Holds nothing personal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    // A person must look.
    /// TOP refused the call.
    Refused,
    /// Nobody knows how the call ended, and it must not be sent again.
    Unknown,
    /// TOP keeps the first success.
    KeepsFirst,
    /// TOP was, or may have been, told on another lane.
    OtherLane,
    /// TOP was told, and the facts now lead to nothing.
    Opposite,
    /// A notification came again after another one had said otherwise.
    CameAgain,
    /// Another order or submission holds the lane.
    LaneTaken,
    /// The partner rejected the order.
    Rejected,
    /// A status or type that is not known.
    OddStatus,
    /// The vouchers do not match the tickets.
    VouchersMismatch,
    /// The vouchers cannot be read.
    VouchersUnreadable,
    /// The link is of another kind.
    WrongLink,
    /// A record that this version cannot read.
    Unreadable,
    /// The request is too large.
    TooLarge,
    // Something else must happen first.
    /// There is no link.
    NoLink,
    /// The link has no ticket numbers.
    NoTickets,
    /// The holder of the lane has not decided yet.
    LaneUndecided,
    /// An earlier attempt is not settled.
    AttemptOpen,
    // Nothing is to be done.
    /// The order is not booked yet.
    NotBooked,
    /// There are no vouchers yet.
    NoVouchers,
    /// No call tells it.
    NoCall,
    /// A cancellation that was not done.
    NotCancelled,
    /// Redemptions are submitted as calls.
    Scenic,
    /// A newer notification counts.
    Superseded,
    /// A person withdrew the call.
    Withdrawn,
    /// A person closed the order.
    Closed,
    /// A person dismissed it.
    Dismissed,
    /// A submission already told TOP the same.
    ToldBySubmission,
    /// No fact asks for anything.
    NoFacts,
}

impl Reason {
    /// The reason as a sentence.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Refused => "TOP refused the call: correct the link and replay, or dismiss",
            Self::Unknown => "nobody knows whether the call took effect: ask TOP, then resolve it",
            Self::KeepsFirst => "TOP keeps the first success it was told; correct the order at Fliggy by hand",
            Self::OtherLane => "TOP was or may have been told under another order number before the link changed",
            Self::Opposite => "TOP was or may have been told, and the facts no longer ask for it",
            Self::CameAgain => {
                "an earlier notification came again after a newer one said otherwise: replay to follow it"
            }
            Self::LaneTaken => "another order or submission tells TOP about the same order number",
            Self::Rejected => "TSY rejected the order; no TOP call tells a rejection",
            Self::OddStatus => "the notification's status or type is not known",
            Self::VouchersMismatch => "the vouchers match neither the number of tickets nor one for all",
            Self::VouchersUnreadable => "the order is booked, but its vouchers cannot be read",
            Self::WrongLink => "the order's link is of a kind that this notification does not lead to",
            Self::Unreadable => "a recorded notification or link cannot be read by this version",
            Self::TooLarge => "the request would be larger than 256 KiB",
            Self::NoLink => "the booking system has not linked the order yet",
            Self::NoTickets => "the order's link has no ticket numbers yet",
            Self::LaneUndecided => "another order is about to decide about the same order number",
            Self::AttemptOpen => "an earlier call of this order is not settled yet",
            Self::NotBooked => "the order waits to be booked",
            Self::NoVouchers => "booked without vouchers yet; the push that has them is another notification",
            Self::NoCall => "recorded for the timeline; no TOP call tells a change",
            Self::NotCancelled => "the cancellation is not done, so the order stays as it is",
            Self::Scenic => "recorded for the timeline; redemptions are submitted as calls",
            Self::Superseded => "a newer notification says what TOP should know",
            Self::Withdrawn => "a person withdrew the call",
            Self::Closed => "a person closed the order",
            Self::Dismissed => "a person dismissed the order",
            Self::ToldBySubmission => "a submitted call told TOP the same",
            Self::NoFacts => "nothing is to be told",
        }
    }

    /// The code, as JSON and records have it.
    #[must_use]
    pub fn code(self) -> String {
        serde_json::to_value(self).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
