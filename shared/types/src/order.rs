//! Orders and the partners that issue their tickets.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr};

/// Maximum length of an order id or call key, in bytes. DynamoDB allows 1,024 bytes for sort keys and 2,048 for
/// partition keys.
pub const MAX_ID_BYTES: usize = 256;

/// The partner that issues the tickets of an order.
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
pub enum Partner {
    /// TSY (hkramble): flights.
    Tsy,
    /// SCTT: scenic-spot and ship tickets.
    Sctt,
}

impl Partner {
    /// All partners.
    pub const ALL: [Self; 2] = [Self::Tsy, Self::Sctt];
}

/// Whether `id` can be a key: not empty, at most [`MAX_ID_BYTES`] long, and without control characters. Without U+FFFD,
/// too: a decoder wrote it in place of bytes that it could not read, so several ids would become one. And not `.` or
/// `..`: clients and proxies remove these segments from a path, even percent-encoded.
#[must_use]
pub fn is_usable_id(id: &str) -> bool {
    let is_unusable = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
    !matches!(id, "" | "." | "..") && id.len() <= MAX_ID_BYTES && !id.chars().any(is_unusable)
}

/// The requirements of [`is_usable_id`], as the problem of a [`FieldError`](crate::json::FieldError).
pub const UNUSABLE_ID: &str = "must be 1 to 256 bytes long, without control characters or U+FFFD, and neither . nor ..";

/// An order's id: TSY's `orderId`, or SCTT's `trade_number` (`order_code` if that is empty).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrderId(String);

impl OrderId {
    /// The id as the partner wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for OrderId {
    type Error = &'static str;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        if is_usable_id(&id) { Ok(Self(id)) } else { Err(UNUSABLE_ID) }
    }
}

impl From<OrderId> for String {
    fn from(id: OrderId) -> Self {
        id.0
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Identifies an order by partner and id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderKey {
    /// The partner.
    pub partner: Partner,
    /// The order's id at the partner.
    pub order_id: OrderId,
}

impl fmt::Display for OrderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partner, self.order_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_long_undecodable_and_path_like_ids_are_rejected() {
        for id in ["", "a\nb", "\u{0}", "\u{fffd}\u{fffd}B", ".", "..", &"x".repeat(257)] {
            assert!(OrderId::try_from(id.to_owned()).is_err());
        }
        for id in ["P-1001", "订单/1 #2", "...", "a/../b", &"x".repeat(256)] {
            assert!(OrderId::try_from(id.to_owned()).is_ok());
        }
    }
}
