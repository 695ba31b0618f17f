//! Why an order waits, needs attention, or leads to nothing: a code for programs and a sentence for operators.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, EnumString};

macro_rules! reasons {
    ($($name:ident = $text:literal,)*) => {
        /// Why an order waits, needs attention, or leads to nothing. Never holds personal data.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, EnumString, AsRefStr)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "snake_case")]
        #[strum(serialize_all = "snake_case")]
        pub enum Reason {
            $(#[doc = $text] $name,)*
        }

        impl Reason {
            /// All reasons.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The sentence for operators.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

reasons! {
    // The order needs attention.
    Refused = "TOP refused the call; correct the link and replay, or dismiss",
    Unknown = "it is unknown whether the call took effect; ask TOP, then resolve the call",
    KeepsFirst = "TOP keeps the first success it received; report a refund with `relay call submit ship-return-notify FILE`, or correct the order at Fliggy manually",
    OtherLane = "TOP was told, or may have been told, under another order number before the link changed",
    Opposite = "TOP was told, or may have been told, something that the facts no longer ask for",
    CameAgain = "an older notification was delivered again after a newer one that differs; replay to apply the older one",
    LaneTaken = "another order or a submitted call already uses the same order number at TOP",
    Rejected = "TSY rejected the order; no TOP call reports a rejection",
    OddStatus = "the notification has an unknown status or type",
    VouchersMismatch = "the push has neither one voucher per ticket nor a single voucher for all tickets",
    VouchersUnreadable = "the order is booked, but its vouchers cannot be read",
    WrongLink = "the order's link is of the wrong kind for this notification",
    Unreadable = "this version cannot read a recorded notification or link",
    TooLarge = "the request to TOP would be larger than 256 KiB",
    NotNotified = "the order is linked, but no partner has sent a notification about it; ask the partner, correct the order id, or close the order",
    // The order waits.
    NoLink = "the booking system has not linked the order yet",
    NoTickets = "the order's link has no ticket numbers yet",
    LaneUndecided = "another order with the same order number at TOP is being decided",
    AttemptOpen = "an earlier call of this order has no final outcome yet",
    // The order leads to nothing.
    NotBooked = "the order is not booked yet",
    NoVouchers = "the order is booked but has no vouchers yet; the push with the vouchers is a separate notification",
    NoCall = "recorded for the timeline; no TOP call reports a change",
    NotCancelled = "the cancellation is not complete, so the order stays as it is",
    Scenic = "recorded for the timeline; redemptions are submitted as calls",
    Superseded = "superseded by a newer notification",
    Withdrawn = "an operator withdrew the call",
    Closed = "an operator closed the order",
    Dismissed = "an operator dismissed the order",
    ToldBySubmission = "a submitted call already told TOP the same",
    NoFacts = "nothing recorded for this order requires a call to TOP",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
