//! Why an order waits, needs attention, or leads to nothing: a code for programs, a sentence for people.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($name:ident = $text:literal,)*) => {
        /// A reason. Holds nothing personal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "snake_case")]
        pub enum Reason {
            $(#[doc = $text] $name,)*
        }

        impl Reason {
            /// The reason as a sentence.
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
    // A person must look.
    Refused = "TOP refused the call: correct the link and replay, or dismiss",
    Unknown = "nobody knows whether the call took effect: ask TOP, then resolve it",
    KeepsFirst = "TOP keeps the first success it was told; correct the order at Fliggy by hand",
    OtherLane = "TOP was or may have been told under another order number before the link changed",
    Opposite = "TOP was or may have been told, and the facts no longer ask for it",
    CameAgain = "an earlier notification came again after a newer one said otherwise: replay to follow it",
    LaneTaken = "another order or submission tells TOP about the same order number",
    Rejected = "TSY rejected the order; no TOP call tells a rejection",
    OddStatus = "the notification's status or type is not known",
    VouchersMismatch = "the vouchers match neither the number of tickets nor one for all",
    VouchersUnreadable = "the order is booked, but its vouchers cannot be read",
    WrongLink = "the order's link is of a kind that this notification does not lead to",
    Unreadable = "a recorded notification or link cannot be read by this version",
    TooLarge = "the request would be larger than 256 KiB",
    // Something else must happen first.
    NoLink = "the booking system has not linked the order yet",
    NoTickets = "the order's link has no ticket numbers yet",
    LaneUndecided = "another order is about to decide about the same order number",
    AttemptOpen = "an earlier call of this order is not settled yet",
    // Nothing is to be done.
    NotBooked = "the order waits to be booked",
    NoVouchers = "booked without vouchers yet; the push that has them is another notification",
    NoCall = "recorded for the timeline; no TOP call tells a change",
    NotCancelled = "the cancellation is not done, so the order stays as it is",
    Scenic = "recorded for the timeline; redemptions are submitted as calls",
    Superseded = "a newer notification says what TOP should know",
    Withdrawn = "a person withdrew the call",
    Closed = "a person closed the order",
    Dismissed = "a person dismissed the order",
    ToldBySubmission = "a submitted call told TOP the same",
    NoFacts = "nothing recorded about this order asks for a call to TOP",
}

impl Reason {
    /// The code, as it appears in JSON and in records.
    #[must_use]
    pub fn code(self) -> String {
        serde_json::to_value(self).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// The reason with that code, if there is one.
    #[must_use]
    pub fn named(code: &str) -> Option<Self> {
        serde_json::from_value(code.into()).ok()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
