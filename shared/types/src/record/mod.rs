//! The order record: everything that is known and done about one order, in one DynamoDB item.
//!
//! Every write raises `revision`, except the sweep's and the hint of a record that waits for a lane. A writer that read the
//! record first requires that `revision` has not changed. Deliveries, claims and the fallback of a finish need no reading and have conditions of their own.
//! Facts that are not decided yet stand in `facts`, in the order in which DynamoDB took them; each decision folds them
//! into the record. While there are any, nobody claims a call.
//!
//! Attributes that this version does not know are kept as they are.

mod fact;
mod target;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_with_macros::skip_serializing_none;

pub use self::fact::{Attempted, Fact, LinkFact, Notification, ReplacedLink, Resolution, Stopped, Word};
pub use self::target::{End, Outcome, Sending, Submission, Target, Told, Wanted};
use crate::call::{CallKind, Lane};
use crate::digest::sha256_hex;
use crate::failure::Failure;
use crate::order::{OrderId, OrderKey, Partner};
use crate::reason::Reason;
use crate::time::EpochMillis;

/// How long after something should have happened by itself the sweep looks.
pub const GRACE: Duration = Duration::from_secs(5 * 60);
/// The shortest and the longest time between two looks at a record that waits.
const PACE: (Duration, Duration) = (Duration::from_secs(15 * 60), Duration::from_secs(6 * 3600));
/// Bodies and owners are kept this much longer than the record.
pub const SPARE: Duration = Duration::from_secs(60 * 24 * 3600);
/// Longest JSON text, in bytes, that stands in the record itself. Longer ones are items of their own.
pub const INLINE_BYTES: usize = 1024;
/// Most entries of the history; older ones are dropped first.
pub const MAX_HISTORY: usize = 40;
/// Most notifications whose details the record keeps; older ones are summarised.
pub const MAX_NOTIFICATIONS: usize = 30;
/// How many hex digits of a SHA-256 name a body or a request.
const DIGEST_DIGITS: usize = 32;

/// Which record: what the queues carry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RecordKey {
    /// An order's.
    Order(OrderKey),
    /// That of a call which people submit.
    Submission(Lane),
}

impl RecordKey {
    /// Whether the record is one of redemptions.
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

    /// The record with that partition key; `None` if it is not one of these.
    #[must_use]
    pub fn parse(pk: &str) -> Option<Self> {
        // An id may hold a "#"; neither a partner's nor a call's name does.
        if let Some(submission) = pk.strip_prefix("submission#") {
            let (call, id) = submission.split_once('#')?;
            return Some(Self::Submission(Lane { call: CallKind::named(call)?, id: id.to_owned() }));
        }
        let (partner, order_id) = pk.strip_prefix("order#")?.split_once('#')?;
        let order_id = OrderId::try_from(order_id.to_owned()).ok()?;
        Some(Self::Order(OrderKey { partner: Partner::named(partner)?, order_id }))
    }
}

/// The key of no record.
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

/// Texts that records name, by digest.
pub type Bodies = HashMap<String, String>;

/// What was found of a lane that the record does not hold yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LaneFound {
    /// The record may take it, or holds it.
    #[default]
    Free,
    /// Another record holds it, and told TOP this (a request's digest), if it told anything.
    Held(Option<String>),
    /// Its owner has not decided yet.
    Undecided,
}

/// When the sweep looks again at a record to which nothing has happened for `idle`.
#[must_use]
pub fn next_look(idle: Duration, now: EpochMillis) -> EpochMillis {
    now.plus(idle.clamp(PACE.0, PACE.1))
}

/// The name of a JSON text: equal texts have equal names.
#[must_use]
pub fn digest_of(json: &str) -> String {
    let mut digest = sha256_hex(json.as_bytes());
    digest.truncate(DIGEST_DIGITS);
    digest
}

/// A JSON text that the record holds itself, or names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// The text itself.
    Inline(String),
    /// The digest of a text that is the item `body#{digest}`.
    Stored(String),
}

impl Body {
    /// The body for a text: inline if it is short.
    #[must_use]
    pub fn of(json: &str) -> Self {
        if json.len() <= INLINE_BYTES { Self::Inline(json.to_owned()) } else { Self::Stored(digest_of(json)) }
    }
}

/// Why a person must look, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attention {
    /// Since when.
    pub since: EpochMillis,
    /// Why.
    pub reasons: BTreeSet<Reason>,
}

/// Something that happened to an order and stands nowhere else in its record.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number in the record, from 1.
    pub n: u32,
    /// When it happened.
    pub at: EpochMillis,
    /// What: a word's name, an attempt's outcome, `link_replaced`, `withdrawn`, `repeated`.
    pub what: String,
    /// The lane that it is about, as `call/id`.
    pub lane: Option<String>,
    /// The target's generation.
    #[serde(default, skip_serializing_if = "is_default")]
    pub generation: u32,
    /// The attempt.
    #[serde(default, skip_serializing_if = "is_default")]
    pub attempt: u32,
    /// The digest of the notification that it is about.
    pub digest: Option<String>,
    /// Who did it.
    pub by: Option<String>,
    /// Recognises a person's word.
    pub token: Option<String>,
    /// A person's note, or what it was about.
    pub note: Option<String>,
    /// What TOP or the network said.
    pub failure: Option<Failure>,
}

/// The order record. A submission's record is of the same kind, without notifications.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrderRecord {
    /// Which record.
    #[serde(skip)]
    pub key: RecordKey,
    /// Raised by every write but the sweep's. Begins at the time in milliseconds, so it never restarts below an old one.
    pub revision: i64,
    /// The token of the last conditional writer: recognises one's own write after its answer was lost.
    pub writer: Option<String>,
    /// The present link.
    pub link: Option<LinkFact>,
    /// The notifications by digest: the attributes `n#{digest}`.
    #[serde(skip)]
    pub notifications: BTreeMap<String, Notification>,
    /// What is not decided yet, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<Fact>,
    /// The digest of the notification that says last what TOP should know.
    pub current: Option<String>,
    /// The digest of a notification that came again after another had said otherwise.
    pub repeat: Option<String>,
    /// What the facts want.
    pub wanted: Option<Wanted>,
    /// The attributes `t_…`.
    #[serde(skip)]
    pub target: Option<Target>,
    /// The attributes `s_…`.
    #[serde(skip)]
    pub sending: Option<Sending>,
    /// How many targets the record has had.
    #[serde(skip_serializing_if = "is_default")]
    pub generation: u32,
    /// How often the present target was claimed.
    #[serde(skip_serializing_if = "is_default")]
    pub attempt: u32,
    /// How many of those attempts may have taken effect, as far as anybody knows.
    #[serde(skip_serializing_if = "is_default")]
    pub unsettled: u32,
    /// Until when another request of the lane must wait, because one that was cut off may still reach TOP.
    pub quiet: Option<EpochMillis>,
    /// What lanes ended with, by lane (`call/id`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub told: BTreeMap<String, Told>,
    /// What people submitted, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub submissions: Vec<Submission>,
    /// Why the order waits, where it does.
    pub waits: Option<Reason>,
    /// Whether the order is stopped until a new fact comes.
    pub stopped: Option<Stopped>,
    /// Why a person must look. In the index while `attention` stands.
    #[serde(skip)]
    pub attention: Option<Attention>,
    /// The reasons that a person dismissed.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub dismissed: BTreeSet<Reason>,
    /// When the sweep looks next, if it must.
    #[serde(skip)]
    pub look_at: Option<EpochMillis>,
    /// When the last fact came.
    pub touched: Option<EpochMillis>,
    /// The records that were refused a lane because this one holds it. A hint, which may be lost.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", with = "serde_dynamo::string_set")]
    pub waiting: BTreeSet<String>,
    /// What else happened, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Entry>,
    /// The number of the last entry of the history.
    #[serde(skip_serializing_if = "is_default")]
    pub entries: u32,
    /// How many old notifications were summarised.
    #[serde(skip_serializing_if = "is_default")]
    pub summarised: u32,
    /// When the first of its bodies and owners expires, unless they are renewed.
    pub kept_until: Option<EpochMillis>,
    /// When the record expires, in seconds since the Unix epoch.
    pub expires_at: Option<i64>,
    /// Where the item of a redemption's key points to.
    pub points_to: Option<String>,
    /// Attributes that this version does not know.
    #[serde(skip)]
    pub foreign: HashMap<String, serde_dynamo::AttributeValue>,
}

impl OrderRecord {
    /// A record of which nothing is known.
    #[must_use]
    pub fn empty(key: RecordKey) -> Self {
        Self { key, ..Self::default() }
    }

    /// Until when bodies and owners are kept: for a record that was not decided yet, until its oldest body expires.
    #[must_use]
    pub fn kept_until_at_first(&self, retention: Duration) -> EpochMillis {
        self.kept_until.unwrap_or_else(|| {
            let notifications = self.notifications.values().map(|one| one.first);
            let first = notifications.chain(self.link.iter().map(|link| link.at)).min();
            first.or(self.touched).unwrap_or_default().plus(retention + SPARE)
        })
    }

    /// Whether a person's word with that token is among the facts, decided or not.
    #[must_use]
    pub fn has_word(&self, token: &str) -> bool {
        let waits = self.facts.iter().any(|fact| matches!(fact, Fact::Said { token: said, .. } if said == token));
        waits || self.history.iter().any(|entry| entry.token.as_deref() == Some(token))
    }

    /// The keys of the redemptions whose records point to this one.
    #[must_use]
    pub fn pointing_keys(&self) -> Vec<RecordKey> {
        let RecordKey::Submission(lane) = &self.key else { return Vec::new() };
        if !lane.id.starts_with("total#") {
            return Vec::new();
        }
        self.submissions.iter().map(|one| RecordKey::Submission(Lane::redemption(&one.key))).collect()
    }

    /// Whether this record, and no other, may tell TOP about a lane.
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

    /// The digests of the bodies that are items of their own.
    #[must_use]
    pub fn stored_bodies(&self) -> BTreeSet<String> {
        let notifications = self.notifications.values().filter_map(|one| one.body.as_ref());
        let told = self.told.values().filter_map(|told| told.request.as_ref());
        let submitted = self.submissions.iter().map(|one| &one.request);
        let link = self.link.iter().map(|link| &link.body);
        let target = self.target.iter().map(|target| &target.request);
        let stored = |body: &Body| match body {
            Body::Stored(digest) => Some(digest.clone()),
            Body::Inline(_) => None,
        };
        notifications.chain(told).chain(submitted).chain(link).chain(target).filter_map(stored).collect()
    }

    /// Whether a lane can belong to no other record: a redemption's lane is its record's key.
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
    fn a_record_key_is_read_back_from_its_partition_key() {
        for pk in ["order#sctt#T#1", "order#tsy#P-1", "submission#ticket-verify#key#K#1", "submission#ship-notify#38"] {
            assert_eq!(RecordKey::parse(pk).map(|key| key.pk()).as_deref(), Some(pk));
        }
        for pk in ["quarantine#tsy", "lane#ship-notify#38", "submission#other#1", "order#other#1", ""] {
            assert_eq!(RecordKey::parse(pk), None, "{pk}");
        }
    }

    #[test]
    fn a_record_key_survives_its_queue() {
        for pk in ["order#sctt#T#1", "submission#ship-notify#38"] {
            let key = RecordKey::parse(pk).unwrap();
            let message = serde_json::to_string(&key).unwrap();
            assert_eq!(serde_json::from_str::<RecordKey>(&message).unwrap(), key, "{message}");
        }
    }
}
