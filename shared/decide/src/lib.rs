//! Derives everything else in an order record from its facts: the target, the states of its notifications, whether it
//! needs attention, and when it expires.
//!
//! Pure: a record and bodies in, a record out. Dispatch and the sender's finish both use it; nothing else decides.

mod facts;
mod outlook;
mod target;
pub mod want;

use std::collections::BTreeSet;
use std::time::Duration;

use relay_types::call::Lane;
use relay_types::reason::Reason;
use relay_types::record::{Attempted, Bodies, Body, Entry, LaneFound, OrderRecord, Target};
use relay_types::time::EpochMillis;

/// How long after it was cut off a request may still reach TOP.
pub const QUIET: Duration = Duration::from_secs(120);
/// Dispatch renews the bodies and owners of an unfinished record if they expire within this time.
pub const RENEW_WITHIN: Duration = Duration::from_secs(30 * 24 * 3600);

/// Settings of a deployment.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Tells TOP why issuing failed if the link has no code.
    pub failed_code: Option<String>,
    /// How long a finished record stays.
    pub retention: Duration,
    /// How long after it was put a link without a notification needs attention; never, if `None`.
    pub unnotified_after: Option<Duration>,
}

/// The decision needs a body that was not passed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingBody;

/// The result of a decision, and what to write before and after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// The record to write.
    pub record: OrderRecord,
    /// The lane to take before the record is written.
    pub takes: Option<Lane>,
    /// JSON strings to store before the record is written.
    pub bodies: Vec<String>,
    /// Records to wake because this one gave up a lane.
    pub wakes: BTreeSet<String>,
}

/// Folds the facts into the record and derives everything else. A body that is not in `bodies` counts as lost, and the
/// order then needs attention.
#[must_use]
pub fn decide(
    read: &OrderRecord,
    found: &LaneFound,
    bodies: &Bodies,
    now: EpochMillis,
    settings: &Settings,
) -> Decided {
    let deciding = Deciding::new(read, Some(bodies), now, settings);
    // With bodies, none is missing: a lost body became a reason.
    deciding.whole(read, found).unwrap_or_else(|MissingBody| Decided {
        record: read.clone(),
        takes: None,
        bodies: Vec::new(),
        wakes: BTreeSet::new(),
    })
}

/// Folds the outcome of the current attempt into the record and derives everything else. Needs no bodies as long as no
/// other target follows.
///
/// # Errors
/// If another target follows and its request is not available. Dispatch must decide then.
pub fn finish(
    claimed: &OrderRecord,
    attempted: &Attempted,
    now: EpochMillis,
    settings: &Settings,
) -> Result<Decided, MissingBody> {
    // A fact arrived between a claim and the SDK's repeat of it. That fact may need a body.
    if !claimed.facts.is_empty() {
        return Err(MissingBody);
    }
    let mut deciding = Deciding::new(claimed, None, now, settings);
    deciding.ended(attempted, None, now);
    let decided = deciding.whole(claimed, &LaneFound::Free)?;
    // A finish has no time to take a lane, or to renew bodies and owners that the record needs for longer.
    let outlives = decided
        .record
        .expires_at
        .is_some_and(|at| EpochMillis(at * 1000) > claimed.kept_until_at_first(settings.retention));
    if decided.takes.is_some() || outlives { Err(MissingBody) } else { Ok(decided) }
}

struct Deciding<'a> {
    record: OrderRecord,
    /// `None` in a finish, which derives only what it can without bodies.
    bodies: Option<&'a Bodies>,
    stored: Vec<String>,
    now: EpochMillis,
    settings: &'a Settings,
    reasons: BTreeSet<Reason>,
}

impl<'a> Deciding<'a> {
    fn new(read: &OrderRecord, bodies: Option<&'a Bodies>, now: EpochMillis, settings: &'a Settings) -> Self {
        Self { record: read.clone(), bodies, stored: Vec::new(), now, settings, reasons: BTreeSet::new() }
    }

    fn whole(mut self, read: &OrderRecord, found: &LaneFound) -> Result<Decided, MissingBody> {
        self.fold();
        self.give_up_dead_sender();
        let slow = self.retarget(found)?;
        self.mark_notifications();
        self.note_decision(read);
        self.bound();
        self.outlook(slow);
        let held = |lane: &str| read.holds(lane);
        let takes = self.record.target.as_ref().map(Target::lane).filter(|lane| !held(&lane.to_string()));
        let takes = takes.filter(|lane| !self.record.is_its_own_lane(lane));
        let gave_up = read.target.as_ref().is_some_and(|target| !self.record.holds(&target.lane().to_string()));
        let wakes = if gave_up { std::mem::take(&mut self.record.waiting) } else { BTreeSet::new() };
        Ok(Decided { record: self.record, takes, bodies: self.stored, wakes })
    }

    /// The JSON of a body; `None` if it is lost.
    fn text<'t>(&'t self, body: &'t Body) -> Option<&'t str> {
        match body {
            Body::Inline(text) => Some(text),
            Body::Stored(digest) => self.bodies?.get(digest).map(String::as_str),
        }
    }

    fn note(&mut self, what: &str, entry: Entry) {
        self.record.entries += 1;
        let n = self.record.entries;
        self.record.history.push(Entry { n, what: what.to_owned(), ..entry });
    }

    fn entry(&self, at: EpochMillis) -> Entry {
        let target = self.record.target.as_ref();
        Entry {
            at,
            lane: target.map(|target| target.lane().to_string()),
            generation: target.map_or(0, |target| target.generation),
            attempt: self.record.attempt,
            ..Entry::default()
        }
    }
}
