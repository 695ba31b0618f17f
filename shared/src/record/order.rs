//! The order record: everything that is known and done about one order, in one DynamoDB item.
//!
//! Every write raises `revision`, except the sweep's and the hint of a record that waits for a lane. A writer that read the
//! record first requires that `revision` has not changed. Deliveries, claims and the fallback of a finish need no reading and have conditions of their own.
//! Facts that are not decided yet stand in `facts`, in the order in which DynamoDB took them; each decision folds them
//! into the record. While there are any, nobody claims a call.
//!
//! Attributes that this version does not know are kept as they are.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_with_macros::skip_serializing_none;

use crate::call::{CallKind, Resend};
use crate::clock::EpochMillis;
use crate::decide::reason::Reason;
use crate::decide::{SPARE, Settings};
use crate::digest::sha256_hex;
use crate::notification::{NotificationKind, NotificationState, Says};
use crate::record::{Item, RecordKey, StoreError, s};
use crate::top::error::Failure;
use crate::top::response::Reply;

/// Longest JSON text, in bytes, that stands in the record itself. Longer ones are items of their own.
pub const INLINE_BYTES: usize = 1024;
/// Most entries of the history; older ones are dropped first.
pub const MAX_HISTORY: usize = 40;
/// Most notifications whose details the record keeps; older ones are summarised.
pub const MAX_NOTIFICATIONS: usize = 30;
/// How many hex digits of a SHA-256 name a body or a request.
const DIGEST_DIGITS: usize = 32;

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

/// What the booking system said of the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkFact {
    /// How often the link was put.
    pub version: i64,
    /// The link's JSON.
    pub body: Body,
    /// When it was put.
    pub at: EpochMillis,
    /// The IAM identity that put it.
    pub by: String,
    /// Recognises the write after its answer was lost.
    #[serde(default)]
    pub token: String,
}

impl LinkFact {
    /// The same, for the history.
    #[must_use]
    pub fn replaced(&self) -> ReplacedLink {
        ReplacedLink { version: self.version, at: self.at, by: self.by.clone() }
    }
}

/// A link that another one replaced, for the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedLink {
    /// How often the link had been put.
    pub version: i64,
    /// When it was put.
    pub at: EpochMillis,
    /// The IAM identity that put it.
    pub by: String,
}

/// One notification: what a partner said, however often.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Its kind.
    pub kind: NotificationKind,
    /// The body of the first delivery; `None` after the notification was summarised.
    pub body: Option<Body>,
    /// When the first delivery came.
    pub first: EpochMillis,
    /// When the last delivery came that was decided.
    pub last: Option<EpochMillis>,
    /// How many deliveries were decided.
    #[serde(default, skip_serializing_if = "is_default")]
    pub deliveries: u32,
    /// The newest `request_time` that a delivery had.
    pub request_time: Option<String>,
    /// Tokens of the last deliveries: an SDK's repeat of one write is no delivery.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<String>,
    /// What it says, once it was decided for the first time.
    pub says: Option<Says>,
    /// Its place among the order's notifications, from 1, in the order in which they first came.
    #[serde(default, skip_serializing_if = "is_default")]
    pub number: u32,
    /// What became of it; received while there is none.
    pub state: Option<NotificationState>,
    /// Why it waits, needs a person, or leads to nothing.
    pub reason: Option<String>,
    /// When its state last changed.
    pub decided: Option<EpochMillis>,
    /// The lane that it led to, as `call/id`.
    pub lane: Option<String>,
}

impl Notification {
    /// A notification as its first delivery writes it.
    #[must_use]
    pub const fn received(kind: NotificationKind, body: Body, first: EpochMillis) -> Self {
        Self {
            kind,
            body: Some(body),
            first,
            last: None,
            deliveries: 0,
            request_time: None,
            tokens: Vec::new(),
            says: None,
            number: 0,
            state: None,
            reason: None,
            decided: None,
            lane: None,
        }
    }
}

/// One thing that TOP can be told about: what a call is about, whoever asks for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lane {
    /// Which call.
    pub call: CallKind,
    /// The business's id: `alitrip_order_id`, `out_relation_order_id`, `total#…` or `key#…`.
    pub id: String,
}

impl std::fmt::Display for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.call, self.id)
    }
}

impl Lane {
    /// Where a redemption that counts each time is told: named by the caller's key.
    #[must_use]
    pub fn redemption(key: &str) -> Self {
        Self { call: CallKind::TicketVerify, id: format!("key#{key}") }
    }

    /// Reads `call/id`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (call, id) = text.split_once('/')?;
        Some(Self { call: CallKind::named(call)?, id: id.to_owned() })
    }
}

/// What the facts want TOP to know, by its name only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// TOP is to be told this on this lane (`call/id`).
    Tell {
        /// The lane.
        lane: String,
        /// The request's digest.
        digest: String,
    },
    /// Nothing can be decided before the booking system says more.
    Wait(Reason),
    /// A person must look.
    Person(Reason),
    /// Nothing, and why.
    Nothing(Reason),
}

/// How a target ended that TOP does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// TOP refused it.
    Refused,
    /// Nobody knows whether it took effect, and it must not be sent again.
    Unknown,
}

/// What TOP should know and does not, as far as anybody knows. Stands in top-level attributes `t_…`.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Which call.
    pub call: CallKind,
    /// The lane's id.
    pub id: String,
    /// What it says: JSON in TOP's field names.
    pub request: Body,
    /// The request's digest.
    pub digest: String,
    /// Changes with every target of the record.
    pub generation: u32,
    /// When it may be sent next; `None` while it must not be.
    pub due: Option<EpochMillis>,
    /// Whether it may be sent again while nobody knows whether it took effect.
    pub resend: Resend,
    /// For a ship notification: whether it says that the tickets were issued.
    #[serde(default, skip_serializing_if = "is_default")]
    pub issued: bool,
    /// When it was decided.
    pub since: EpochMillis,
    /// How it ended, if it did.
    pub end: Option<End>,
    /// What TOP or the network said last.
    pub failure: Option<Failure>,
    /// The submission's key, where people asked for it.
    pub key: Option<String>,
}

impl Target {
    /// Its lane.
    #[must_use]
    pub fn lane(&self) -> Lane {
        Lane { call: self.call, id: self.id.clone() }
    }
}

/// Who sends the target. Stands in top-level attributes `s_…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sending {
    /// Unique to one claim.
    pub owner: String,
    /// When the claim runs out.
    pub until: EpochMillis,
    /// The target's generation when it was claimed.
    pub generation: u32,
}

/// What a lane ended with.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Whether TOP has something of an earlier target there.
    #[serde(default, skip_serializing_if = "is_default")]
    pub earlier: bool,
    /// The target's generation.
    pub generation: u32,
    /// The request's digest.
    pub digest: String,
    /// Whether TOP has it, and who says so.
    pub outcome: Outcome,
    /// When it ended.
    pub at: EpochMillis,
    /// How often it was sent.
    pub attempts: u32,
    /// For a ship notification: whether it said that the tickets were issued.
    #[serde(default, skip_serializing_if = "is_default")]
    pub issued: bool,
    /// What TOP answered.
    pub reply: Option<Reply>,
    /// The request, where it is short.
    pub request: Option<Body>,
    /// When the target was decided.
    pub since: EpochMillis,
}

impl Told {
    /// Whether TOP has something on this lane: from this target or an earlier one.
    #[must_use]
    pub const fn has_effect(&self) -> bool {
        self.earlier || self.outcome.has_effect()
    }
}

/// How a lane ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// TOP said so.
    Succeeded,
    /// A person said that TOP has it.
    ResolvedSucceeded,
    /// A person said that TOP does not have it and must not.
    ResolvedRejected,
}

impl Outcome {
    /// Whether TOP has it.
    #[must_use]
    pub const fn has_effect(self) -> bool {
        matches!(self, Self::Succeeded | Self::ResolvedSucceeded)
    }

    /// The name in histories and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::ResolvedSucceeded => "resolved_succeeded",
            Self::ResolvedRejected => "resolved_rejected",
        }
    }
}

/// A call that somebody submitted.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// The caller's key, or the lane's id.
    pub key: String,
    /// The request.
    pub request: Body,
    /// Its digest.
    pub digest: String,
    /// Whether it may be sent again while nobody knows whether it took effect.
    pub resend: Resend,
    /// For a ship notification: whether it says that the tickets were issued.
    #[serde(default, skip_serializing_if = "is_default")]
    pub issued: bool,
    /// The IAM identity that submitted it.
    pub by: String,
    /// When.
    pub at: EpochMillis,
    /// How it ended, if it did.
    pub outcome: Option<Outcome>,
    /// When it ended.
    pub ended: Option<EpochMillis>,
    /// Whether TOP refused it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub refused: bool,
}

impl Submission {
    /// Whether it has neither ended nor been refused.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.outcome.is_none() && !self.refused
    }

    /// Whether `target` is what it asks for.
    #[must_use]
    pub fn asks_for(&self, target: &Target) -> bool {
        target.key.as_ref() == Some(&self.key) && target.digest == self.digest
    }
}

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attempted {
    /// TOP has it.
    Succeeded(Reply),
    /// TOP refused it for good.
    Refused(Failure),
    /// TOP certainly did not execute it: due again then.
    NotExecuted(EpochMillis, Failure),
    /// Nobody knows, and it may be sent again: due then.
    Resend(EpochMillis, Failure),
    /// Nobody knows, and it must not be sent again.
    Unknown(Failure),
}

impl Attempted {
    /// What TOP or the network said, where it failed.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Succeeded(_) => None,
            Self::Refused(failure)
            | Self::NotExecuted(_, failure)
            | Self::Resend(_, failure)
            | Self::Unknown(failure) => Some(failure),
        }
    }

    /// The name in histories, events and logs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Succeeded(_) => "succeeded",
            Self::Refused(_) => "refused",
            Self::NotExecuted(..) => "not_executed",
            Self::Resend(..) | Self::Unknown(_) => "unknown",
        }
    }
}

/// What a person says of a call of which nobody knows how it ended, or which TOP refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// It took effect.
    Succeeded,
    /// It did not take effect; do not retry.
    Rejected,
    /// It did not take effect; send it again.
    Retry,
}

/// What a person has done with an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Decide again; what TOP refused is sent again, and a repeat that needed a person counts.
    Replay,
    /// A person handled it: take it off the attention list, for the reasons that it had.
    Dismiss(BTreeSet<Reason>),
    /// Do not send what was certainly not sent yet.
    Withdraw,
    /// The order will never be linked.
    Close,
    /// How the call ended that is the target.
    Resolve(Resolution),
    /// A call is submitted.
    Submit(Box<Submission>),
}

impl Word {
    /// The name in histories and events.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Replay => "replayed",
            Self::Dismiss(_) => "dismissed",
            Self::Withdraw => "withdrawn",
            Self::Close => "closed",
            Self::Resolve(Resolution::Succeeded) => "resolved_succeeded",
            Self::Resolve(Resolution::Rejected) => "resolved_rejected",
            Self::Resolve(Resolution::Retry) => "resolved_retry",
            Self::Submit(_) => "submitted",
        }
    }
}

/// A fact that is not decided yet.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A partner delivered a notification.
    Delivery {
        /// The notification's digest.
        digest: String,
        /// When it came.
        at: EpochMillis,
        /// The delivery's `request_time`.
        time: Option<String>,
        /// Made once for the delivery.
        token: String,
    },
    /// The booking system put a link, which stands in the record.
    Linked {
        /// The link that it replaced.
        was: Option<ReplacedLink>,
    },
    /// A person said something.
    Said {
        /// What.
        word: Word,
        /// The IAM identity.
        by: String,
        /// Why.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
        /// When.
        at: EpochMillis,
        /// Recognises the write after its answer was lost.
        token: String,
    },
    /// An attempt ended while other facts came.
    Ended {
        /// The sender's token.
        owner: String,
        /// How.
        attempted: Attempted,
        /// When.
        at: EpochMillis,
    },
}

/// Who told an order to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// Its call was withdrawn.
    Withdrawn,
    /// It was closed.
    Closed,
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
    pub foreign: Item,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The names of the attributes that this version writes, beside those with a prefix.
pub const KNOWN: [&str; 31] = [
    "touched", "pk", "sk", "revision", "writer", "link", "facts", "current", "repeat", "wanted", "generation",
    "attempt", "unsettled", "quiet", "told", "submissions", "waits", "stopped", "dismissed", "waiting", "history",
    "entries", "summarised", "kept_until", "expires_at", "points_to", "attention", "since", "reasons", "unfinished",
    "look_at",
];
/// The prefix of the attributes of the target.
const TARGET: &str = "t_";
/// The prefix of the attributes of the claim under way.
const SENDING: &str = "s_";
/// The prefix of a notification's attribute; its digest follows.
pub const NOTIFICATION: &str = "n#";

/// The sort key of a record.
pub const RECORD: &str = "record";

impl OrderRecord {
    /// A record of which nothing is known.
    #[must_use]
    pub fn empty(key: RecordKey) -> Self {
        Self { key, ..Self::default() }
    }

    /// Until when bodies and owners are kept: for a record that was not decided yet, until its oldest body expires.
    #[must_use]
    pub fn kept_until_at_first(&self, settings: &Settings) -> EpochMillis {
        self.kept_until.unwrap_or_else(|| {
            let notifications = self.notifications.values().map(|one| one.first);
            let first = notifications.chain(self.link.iter().map(|link| link.at)).min();
            first.or(self.touched).unwrap_or_default().plus(settings.retention + SPARE)
        })
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

    /// Reads an item.
    ///
    /// # Errors
    /// If it is not one that this version writes.
    pub fn from_item(mut item: Item) -> Result<Self, StoreError> {
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
        let (pk, sk) = (text("pk"), text("sk"));
        let foreign = || StoreError::Foreign { pk: pk.clone(), sk: sk.clone() };
        let key = RecordKey::parse(&pk).ok_or_else(foreign)?;
        let target = read_part(&mut item, TARGET).map_err(|()| foreign())?;
        let sending = read_part(&mut item, SENDING).map_err(|()| foreign())?;
        let mut notifications = BTreeMap::new();
        for (digest, value) in take_prefixed(&mut item, NOTIFICATION) {
            notifications.insert(digest, serde_dynamo::from_attribute_value(value).map_err(|_| foreign())?);
        }
        let number = |name: &str| item.get(name).and_then(|value| value.as_n().ok()?.parse().ok()).map(EpochMillis);
        let look_at = number("look_at").filter(|_| item.contains_key("unfinished"));
        let reasons = item.get("reasons").and_then(|value| serde_dynamo::from_attribute_value(value.clone()).ok());
        let attention = number("since").zip(reasons).map(|(since, reasons)| Attention { since, reasons });
        let unknown = item.iter().filter(|(name, _)| !KNOWN.contains(&name.as_str()));
        let unknown: Item = unknown.map(|(name, value)| (name.clone(), value.clone())).collect();
        let record: Self = serde_dynamo::from_item(item).map_err(|_| foreign())?;
        Ok(Self { key, target, sending, notifications, look_at, attention, foreign: unknown, ..record })
    }

    /// The item.
    ///
    /// # Errors
    /// If it cannot be written as one.
    pub fn to_item(&self) -> Result<Item, StoreError> {
        let failed = |error: serde_dynamo::Error| StoreError::Request {
            operation: "serialising a record",
            cause: error.to_string(),
        };
        let mut item: Item = serde_dynamo::to_item(self).map_err(failed)?;
        item.extend(self.foreign.clone());
        let mut add = |prefix: &str, part: Item| {
            item.extend(part.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)));
        };
        if let Some(target) = &self.target {
            add(TARGET, serde_dynamo::to_item(target).map_err(failed)?);
        }
        if let Some(sending) = &self.sending {
            add(SENDING, serde_dynamo::to_item(sending).map_err(failed)?);
        }
        add(NOTIFICATION, serde_dynamo::to_item(&self.notifications).map_err(failed)?);
        let pk = self.key.pk();
        if let Some(look_at) = self.look_at {
            item.insert("unfinished".into(), super::index::shard_of(&pk));
            item.insert("look_at".into(), super::n(look_at.0));
        }
        if let Some(attention) = &self.attention {
            item.insert("attention".into(), super::index::shard_of(&pk));
            item.insert("since".into(), super::n(attention.since.0));
            let reasons = serde_dynamo::to_attribute_value(&attention.reasons).map_err(failed)?;
            item.insert("reasons".into(), reasons);
        }
        item.extend([("pk".to_owned(), s(pk)), ("sk".to_owned(), s(RECORD))]);
        Ok(item)
    }
}

fn take_prefixed(item: &mut Item, prefix: &str) -> Vec<(String, AttributeValue)> {
    let names: Vec<_> = item.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
    names.into_iter().filter_map(|name| Some((name[prefix.len()..].to_owned(), item.remove(&name)?))).collect()
}

fn read_part<T: DeserializeOwned>(item: &mut Item, prefix: &str) -> Result<Option<T>, ()> {
    let part: Item = take_prefixed(item, prefix).into_iter().collect();
    // A claim's condition may have left attributes of a target that is gone; without its call there is none.
    if part.is_empty() { Ok(None) } else { serde_dynamo::from_item(part).map(Some).map_err(|_| ()) }
}
