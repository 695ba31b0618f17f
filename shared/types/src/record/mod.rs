//! The order record: all facts and all state of one order, in one DynamoDB item.
//!
//! Every write raises `revision`, except the sweep's and the hint of a record that waits for a lane. A writer that read
//! the record first requires that `revision` has not changed. Deliveries, claims and the fallback of a finish read
//! nothing first and have their own conditions.
//!
//! Undecided facts are in `facts`, in the order in which DynamoDB accepted them. Each decision folds them into the
//! record. While there are undecided facts, no sender claims a call.
//!
//! Attributes that this version does not know are kept unchanged.

mod fact;
mod target;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_with_macros::skip_serializing_none;

pub use self::fact::{Attempted, Fact, Instruction, LinkFact, Notification, ReplacedLink, Resolution, Stopped};
pub use self::target::{End, Outcome, Sending, Submission, Target, Told, Wanted};
use crate::call::{CallKind, Lane};
use crate::digest::sha256_hex;
use crate::failure::{Failure, Reply};
use crate::order::{OrderId, OrderKey};
use crate::reason::Reason;
use crate::time::EpochMillis;

/// How long the sweep waits after something should have happened by itself.
pub const GRACE: Duration = Duration::from_secs(5 * 60);
/// The minimum and maximum time between two looks at a record that waits.
const PACE: (Duration, Duration) = (Duration::from_secs(15 * 60), Duration::from_secs(6 * 3600));
/// How much longer than the record its bodies and owners are kept.
pub const SPARE: Duration = Duration::from_secs(60 * 24 * 3600);
/// Maximum length of a JSON string in the record itself, in bytes. A longer one is a separate item.
pub const INLINE_BYTES: usize = 1024;
/// Maximum number of history entries. Older entries are dropped first.
pub const MAX_HISTORY: usize = 40;
/// Maximum number of replaced links and requests in the history that the record itself holds. Older ones are dropped.
pub const MAX_INLINE_HISTORY: usize = 4;
/// Maximum number of notifications in full. Older ones are summarised.
pub const MAX_NOTIFICATIONS: usize = 30;
/// Number of hex digits of the SHA-256 that identify a body or a request.
const DIGEST_DIGITS: usize = 32;

/// Identifies a record. The queues carry these keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RecordKey {
    /// The record of an order.
    Order(OrderKey),
    /// The record of submitted calls on one lane.
    Submission(Lane),
}

impl RecordKey {
    /// Whether the record is for redemptions.
    #[must_use]
    pub fn is_redemption(&self) -> bool {
        matches!(self, Self::Submission(lane) if lane.call == CallKind::TicketVerify)
    }

    /// The partition key in the table.
    #[must_use]
    pub fn pk(&self) -> String {
        match self {
            Self::Order(order) => format!("order#{}#{}", order.partner, order.order_id),
            Self::Submission(lane) => format!("submission#{}#{}", lane.call, lane.id),
        }
    }

    /// Parses a partition key; `None` if it is not a record's.
    #[must_use]
    pub fn parse(pk: &str) -> Option<Self> {
        // An id may contain "#"; the names of partners and calls do not.
        if let Some(submission) = pk.strip_prefix("submission#") {
            let (call, id) = submission.split_once('#')?;
            return Some(Self::Submission(Lane { call: call.parse().ok()?, id: id.to_owned() }));
        }
        let (partner, order_id) = pk.strip_prefix("order#")?.split_once('#')?;
        let order_id = OrderId::try_from(order_id.to_owned()).ok()?;
        Some(Self::Order(OrderKey { partner: partner.parse().ok()?, order_id }))
    }
}

/// A key that no record has.
impl Default for RecordKey {
    fn default() -> Self {
        Self::Submission(Lane { call: CallKind::TicketVerify, id: String::new() })
    }
}

impl std::fmt::Display for RecordKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Order(order) => write!(f, "{order}"),
            Self::Submission(lane) => write!(f, "{lane}"),
        }
    }
}

/// Stored JSON strings by digest.
pub type Bodies = HashMap<String, String>;

/// The state of a lane that the record does not hold yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LaneFound {
    /// The record may take the lane, or holds it.
    #[default]
    Free,
    /// Another record holds the lane. It told TOP the request with this digest, if any.
    Held(Option<String>),
    /// The lane's owner has not decided yet.
    Undecided,
}

/// When the sweep looks again at a record that has had no new fact for `idle`.
#[must_use]
pub fn next_look(idle: Duration, now: EpochMillis) -> EpochMillis {
    now.plus(idle.clamp(PACE.0, PACE.1))
}

/// The digest of a JSON string: equal strings have equal digests.
#[must_use]
pub fn digest_of(json: &str) -> String {
    let mut digest = sha256_hex(json.as_bytes());
    digest.truncate(DIGEST_DIGITS);
    digest
}

/// The digest of a request that is sent as `account`, or as the account that the secret chooses.
#[must_use]
pub fn digest_of_request(json: &str, account: Option<&str>) -> String {
    account.map_or_else(|| digest_of(json), |account| digest_of(&format!("{account} {json}")))
}

/// A message for a sender: the record whose call is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueCall {
    /// The record's key.
    #[serde(flatten)]
    pub key: RecordKey,
    /// The account of the call when the message was sent. With it, the sender knows whether the account's calls are held
    /// back before it claims one. The record decides which account sends the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// When an operator asked to have it tried at once. Then a breaker does not hold it back, for a moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried_at: Option<EpochMillis>,
}

/// A JSON string, either in the record or in a separate item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// The string itself.
    Inline(String),
    /// The digest of the item `body#{digest}` that holds the string.
    Stored(String),
}

impl Body {
    /// Creates the body for a string: inline up to [`INLINE_BYTES`].
    #[must_use]
    pub fn of(json: &str) -> Self {
        if json.len() <= INLINE_BYTES { Self::Inline(json.to_owned()) } else { Self::Stored(digest_of(json)) }
    }

    /// The digest of the item that holds the string, if it is a separate item.
    #[must_use]
    pub fn stored(&self) -> Option<&str> {
        match self {
            Self::Stored(digest) => Some(digest),
            Self::Inline(_) => None,
        }
    }
}

/// Why a record needs attention, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attention {
    /// When the record began to need attention.
    pub since: EpochMillis,
    /// Why it needs attention.
    pub reasons: BTreeSet<Reason>,
}

/// An event in the life of an order that the record holds nowhere else.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The entry's number in the record, from 1.
    pub n: u32,
    /// When it happened. For a replaced link: when it was put.
    pub at: EpochMillis,
    /// For an attempt: when it began.
    pub began: Option<EpochMillis>,
    /// The event: the name of an operator's request, the outcome of an attempt, `requested`, `decided`,
    /// `link_replaced`, `withdrawn_before_sent`, `repeated`.
    pub what: String,
    /// The lane that the event is about, as `call/id`.
    pub lane: Option<String>,
    /// The target's generation.
    #[serde(default, skip_serializing_if = "is_default")]
    pub generation: u32,
    /// The attempt number.
    #[serde(default, skip_serializing_if = "is_default")]
    pub attempt: u32,
    /// For a replaced link: its version.
    #[serde(default, skip_serializing_if = "is_default")]
    pub version: i64,
    /// The digest of the notification that the event is about.
    pub digest: Option<String>,
    /// For a decision: why nothing was requested.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub reasons: BTreeSet<Reason>,
    /// Who caused the event.
    pub by: Option<String>,
    /// Identifies an operator's request.
    pub token: Option<String>,
    /// The operator's note, or a detail of the event.
    pub note: Option<String>,
    /// The details of a failure, from TOP or the network.
    pub failure: Option<Failure>,
    /// TOP's response to a call that succeeded.
    pub reply: Option<Reply>,
    /// The replaced link, or the request of a call that another one replaced.
    pub body: Option<Body>,
}

/// The order record. A submission's record has the same type, without notifications.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrderRecord {
    /// The record's key.
    #[serde(skip)]
    pub key: RecordKey,
    /// Raised by every write except the sweep's. Starts at the time in milliseconds, so a new record never starts below
    /// an old one.
    pub revision: i64,
    /// The token of the last conditional writer. It identifies the write if its response was lost.
    pub writer: Option<String>,
    /// The current link.
    pub link: Option<LinkFact>,
    /// The notifications by digest. Stored in the attributes `n#{digest}`.
    #[serde(skip)]
    pub notifications: BTreeMap<String, Notification>,
    /// Undecided facts, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Fact>,
    /// The digest of the newest decisive notification.
    pub current: Option<String>,
    /// The digest of a notification that was delivered again after a newer one that differs.
    pub repeat: Option<String>,
    /// What should happen according to the facts.
    pub wanted: Option<Wanted>,
    /// The target. Stored in the attributes `t_…`.
    #[serde(skip)]
    pub target: Option<Target>,
    /// The current claim. Stored in the attributes `s_…`.
    #[serde(skip)]
    pub sending: Option<Sending>,
    /// When the current attempt began. Without a claim it means nothing: an older version does not remove it.
    pub began: Option<EpochMillis>,
    /// Number of targets that the record has had.
    #[serde(skip_serializing_if = "is_default")]
    pub generation: u32,
    /// Number of claims of the current target.
    #[serde(skip_serializing_if = "is_default")]
    pub attempt: u32,
    /// Number of those attempts that may have taken effect.
    #[serde(skip_serializing_if = "is_default")]
    pub unsettled: u32,
    /// Earliest time of another request on the lane, because one that was cut off may still reach TOP.
    pub quiet: Option<EpochMillis>,
    /// What TOP was told last, by lane (`call/id`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub told: BTreeMap<String, Told>,
    /// Submitted calls, in order of submission.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub submissions: Vec<Submission>,
    /// Why the order waits, if it does.
    pub waits: Option<Reason>,
    /// How the order was stopped, until a new fact arrives.
    pub stopped: Option<Stopped>,
    /// Why the record needs attention. While set, the record is in the index `attention`.
    #[serde(skip)]
    pub attention: Option<Attention>,
    /// Reasons that an operator's request dismissed.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub dismissed: BTreeSet<Reason>,
    /// When the sweep looks next, if it has to.
    #[serde(skip)]
    pub look_at: Option<EpochMillis>,
    /// When the last fact arrived.
    pub touched: Option<EpochMillis>,
    /// Keys of records that wait for a lane that this record holds. A hint that may be lost.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", with = "serde_dynamo::string_set")]
    pub waiting: BTreeSet<String>,
    /// Other events, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Entry>,
    /// The number of the last entry of the history.
    #[serde(skip_serializing_if = "is_default")]
    pub entries: u32,
    /// Number of old notifications that were removed.
    #[serde(skip_serializing_if = "is_default")]
    pub summarised: u32,
    /// When the first of the record's bodies and owners expires unless it is renewed.
    pub kept_until: Option<EpochMillis>,
    /// When the record expires, in seconds since the Unix epoch.
    pub expires_at: Option<i64>,
    /// The partition key of the total's record, if this is the pointer of a redemption's key.
    pub points_to: Option<String>,
    /// Attributes that this version does not know.
    #[serde(skip)]
    pub foreign: HashMap<String, serde_dynamo::AttributeValue>,
}

impl OrderRecord {
    /// A new record without facts.
    #[must_use]
    pub fn empty(key: RecordKey) -> Self {
        Self { key, ..Self::default() }
    }

    /// When bodies and owners expire. For a record without a decision, this is the expiry of its oldest body.
    #[must_use]
    pub fn kept_until_at_first(&self, retention: Duration) -> EpochMillis {
        self.kept_until.unwrap_or_else(|| {
            let notifications = self.notifications.values().map(|one| one.first);
            let first = notifications.chain(self.link.iter().map(|link| link.at)).min();
            first.or(self.touched).unwrap_or_default().plus(retention + SPARE)
        })
    }

    /// Whether the facts, decided or not, include an operator's request with this token.
    #[must_use]
    pub fn has_instruction(&self, token: &str) -> bool {
        let waits =
            self.facts.iter().any(|fact| matches!(fact, Fact::Instructed { token: known, .. } if known == token));
        waits || self.history.iter().any(|entry| entry.token.as_deref() == Some(token))
    }

    /// The keys of redemptions whose items point to this record.
    #[must_use]
    pub fn pointing_keys(&self) -> Vec<RecordKey> {
        let RecordKey::Submission(lane) = &self.key else { return Vec::new() };
        if !lane.id.starts_with("total#") {
            return Vec::new();
        }
        self.submissions.iter().map(|one| RecordKey::Submission(Lane::redemption(&one.key))).collect()
    }

    /// Whether this record holds a lane, so no other record may tell TOP about it.
    #[must_use]
    pub fn holds(&self, lane: &str) -> bool {
        self.target.as_ref().is_some_and(|target| target.lane().to_string() == lane)
            || self.told.get(lane).is_some_and(Told::has_effect)
    }

    /// The lanes that this record holds, each as `call/id`.
    #[must_use]
    pub fn held_lanes(&self) -> BTreeSet<String> {
        let told = self.told.iter().filter(|(_, told)| told.has_effect()).map(|(lane, _)| lane.clone());
        told.chain(self.target.as_ref().map(|target| target.lane().to_string())).collect()
    }

    /// The digests of bodies that are separate items.
    #[must_use]
    pub fn stored_bodies(&self) -> BTreeSet<String> {
        let notifications = self.notifications.values().filter_map(|one| one.body.as_ref()?.stored());
        let replaced = self.history.iter().filter_map(|entry| entry.body.as_ref()?.stored());
        notifications.chain(replaced).map(str::to_owned).chain(self.stored_of_present()).collect()
    }

    /// The digests of bodies that are separate items: of the link, of calls, and of submissions.
    #[must_use]
    pub fn stored_of_present(&self) -> BTreeSet<String> {
        let told = self.told.values().filter_map(|told| told.request.as_ref());
        let submitted = self.submissions.iter().map(|one| &one.request);
        let link = self.link.iter().map(|link| &link.body);
        let target = self.target.iter().map(|target| &target.request);
        let bodies = told.chain(submitted).chain(link).chain(target);
        bodies.filter_map(Body::stored).map(str::to_owned).collect()
    }

    /// Whether no other record can have this lane. A redemption's lane is its record's key.
    #[must_use]
    pub fn is_its_own_lane(&self, lane: &Lane) -> bool {
        matches!(&self.key, RecordKey::Submission(own) if own == lane && lane.call == CallKind::TicketVerify)
    }

    /// Whether the target can be claimed as soon as it is due.
    #[must_use]
    pub fn is_to_be_sent(&self, now: EpochMillis) -> bool {
        let is_free = self.sending.as_ref().is_none_or(|sending| sending.until < now);
        let due = self.target.as_ref().filter(|target| target.end.is_none()).and_then(|target| target.due);
        self.facts.is_empty() && is_free && due.is_some()
    }
}
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_key_round_trips_through_its_partition_key() {
        for pk in ["order#sctt#T#1", "order#tsy#P-1", "submission#ticket-verify#key#K#1", "submission#ship-notify#38"] {
            assert_eq!(RecordKey::parse(pk).map(|key| key.pk()).as_deref(), Some(pk));
        }
        for pk in ["quarantine#tsy", "lane#ship-notify#38", "submission#other#1", "order#other#1", ""] {
            assert_eq!(RecordKey::parse(pk), None, "{pk}");
        }
    }

    #[test]
    fn record_key_round_trips_through_a_queue_message() {
        for pk in ["order#sctt#T#1", "submission#ship-notify#38"] {
            let key = RecordKey::parse(pk).unwrap();
            let message = serde_json::to_string(&key).unwrap();
            assert_eq!(serde_json::from_str::<RecordKey>(&message).unwrap(), key, "{message}");
        }
    }
}
