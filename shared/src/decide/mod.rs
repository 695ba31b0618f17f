//! What follows from an order's facts: the target, the states of its notifications, who must look, and when the record
//! expires. Pure: a record and bodies in, a record out. Dispatch and the sender's finish both use it, and nothing else
//! decides anything.

pub mod reason;
pub mod want;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::call::{CallKind, CallRequest, Resend};
use crate::clock::EpochMillis;
use crate::decide::reason::Reason;
use crate::decide::want::Want;
use crate::notification::{self, Notification, NotificationState, Says};
use crate::order::Link;
use crate::record::RecordKey;
use crate::record::order::{
    Attempted, Attention, Body, End, Entry, Fact, Lane, MAX_HISTORY, MAX_NOTIFICATIONS, OrderRecord, Outcome,
    ReplacedLink, Resolution, Stopped, Submission, Target, Told, Wanted, Word, digest_of,
};
use crate::wire;

/// How long a request that was cut off may still reach TOP.
pub const QUIET: Duration = Duration::from_secs(120);
/// How long after something should have happened by itself the sweep looks.
pub const GRACE: Duration = Duration::from_secs(5 * 60);
/// The shortest and the longest time between two looks at a record that waits.
const PACE: (Duration, Duration) = (Duration::from_secs(15 * 60), Duration::from_secs(6 * 3600));
/// Bodies and owners are kept this much longer than the record.
pub const SPARE: Duration = Duration::from_secs(60 * 24 * 3600);
/// Bodies and owners of an unfinished record are renewed when they expire within this.
pub const RENEW_WITHIN: Duration = Duration::from_secs(30 * 24 * 3600);
/// Most facts that one decision folds, so that each write is bounded.
const MAX_FOLDED: usize = 30;
/// Most notifications that are kept after they were summarised.
const MAX_SUMMARISED: usize = 100;
/// Most submissions of a call that is no redemption.
const MAX_SUBMISSIONS: usize = 10;
/// Largest request, in bytes: a DynamoDB item holds 400 KB.
const MAX_REQUEST_BYTES: usize = 256 * 1024;

/// What a deployment sets.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Tells TOP why issuing failed where the link does not.
    pub failed_code: Option<String>,
    /// How long a finished record is kept.
    pub retention: Duration,
}

/// Texts that records name, by digest.
pub type Bodies = HashMap<String, String>;

/// A body that a decision needs and was not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingBody;

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

/// A decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// The record as it should be.
    pub record: OrderRecord,
    /// The lane whose owner must be taken before the record is written.
    pub takes: Option<Lane>,
    /// Texts that must be stored before the record is written.
    pub bodies: Vec<String>,
    /// Records to wake, because a lane was given up.
    pub wakes: BTreeSet<String>,
}

/// When the sweep looks again at a record to which nothing has happened for `idle`.
#[must_use]
pub fn next_look(idle: Duration, now: EpochMillis) -> EpochMillis {
    now.plus(idle.clamp(PACE.0, PACE.1))
}

/// Decides: folds the facts into the record, and derives everything else from it. A body that is not among `bodies`
/// is lost, and leaves the order to a person.
#[must_use]
pub fn decide(
    read: &OrderRecord,
    found: &LaneFound,
    bodies: &Bodies,
    now: EpochMillis,
    settings: &Settings,
) -> Decided {
    let deciding = Deciding::new(read, Some(bodies), now, settings);
    // With bodies, nothing is missing: what is lost was made a reason.
    deciding.whole(read, found).unwrap_or_else(|MissingBody| Decided {
        record: read.clone(),
        takes: None,
        bodies: Vec::new(),
        wakes: BTreeSet::new(),
    })
}

/// Folds the outcome of the attempt under way in, and derives everything else. Needs no bodies as long as no other
/// target follows.
///
/// # Errors
/// If another target follows whose request is not at hand: then dispatch must decide.
pub fn finish(
    claimed: &OrderRecord,
    attempted: &Attempted,
    now: EpochMillis,
    settings: &Settings,
) -> Result<Decided, MissingBody> {
    // A fact came between a claim and the SDK's repeat of it: it may need a body.
    if !claimed.facts.is_empty() {
        return Err(MissingBody);
    }
    let mut deciding = Deciding::new(claimed, None, now, settings);
    deciding.ended(attempted, now);
    let decided = deciding.whole(claimed, &LaneFound::Free)?;
    // A finish has no time to take a lane, or to renew what the record needs for longer.
    let outlives =
        decided.record.expires_at.is_some_and(|at| EpochMillis(at * 1000) > claimed.kept_until_at_first(settings));
    if decided.takes.is_some() || outlives { Err(MissingBody) } else { Ok(decided) }
}

struct Deciding<'a> {
    record: OrderRecord,
    /// None in a finish, which derives only what follows without them.
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
        let candidate = self.wanted();
        let slow = self.settle(candidate, found)?;
        self.mark_notifications();
        self.bound();
        self.outlook(slow);
        let held = |lane: &str| read.holds(lane);
        let takes = self.record.target.as_ref().map(Target::lane).filter(|lane| !held(&lane.to_string()));
        let takes = takes.filter(|lane| !self.record.is_its_own_lane(lane));
        let gave_up = read.target.as_ref().is_some_and(|target| !self.record.holds(&target.lane().to_string()));
        let wakes = if gave_up { std::mem::take(&mut self.record.waiting) } else { BTreeSet::new() };
        Ok(Decided { record: self.record, takes, bodies: self.stored, wakes })
    }

    /// The text of a body; none where it is lost.
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

    // Facts

    fn fold(&mut self) {
        let mut facts = std::mem::take(&mut self.record.facts);
        let rest = facts.split_off(facts.len().min(MAX_FOLDED));
        self.record.facts = rest;
        for fact in facts {
            match fact {
                Fact::Delivery { digest, at, time, token } => self.delivered(digest, at, time, token),
                Fact::Linked { was } => self.linked(was),
                Fact::Said { word, by, note, at, token } => self.said(word, by, note, at, token),
                Fact::Ended { attempted, at, .. } => self.ended(&attempted, at),
            }
        }
    }

    fn delivered(&mut self, digest: String, at: EpochMillis, time: Option<String>, token: String) {
        let number = self.record.notifications.values().map(|one| one.number).max().unwrap_or(0) + 1;
        let Some(mut one) = self.record.notifications.remove(&digest) else { return };
        // The SDK sent one write twice, because its first answer was lost.
        if one.tokens.contains(&token) {
            self.record.notifications.insert(digest, one);
            return;
        }
        one.tokens.push(token);
        if one.tokens.len() > 2 {
            one.tokens.remove(0);
        }
        one.deliveries += 1;
        one.last = Some(at);
        let is_first = one.says.is_none();
        if is_first {
            let text = one.body.as_ref().and_then(|body| self.text(body));
            let says = text.map_or(Says::Odd(Reason::Unreadable), |text| notification::says(one.kind, text));
            (one.number, one.says) = (number, Some(says));
        }
        let says = one.says.unwrap_or(Says::Nothing(Reason::NoFacts));
        let current = self.record.current.as_ref().filter(|current| **current != digest);
        let current_time = current.and_then(|current| self.record.notifications.get(current)?.request_time.clone());
        match says {
            Says::Nothing(_) => {}
            Says::Odd(reason) => {
                one.state = None;
                self.record.dismissed.remove(&reason);
            }
            Says::Decisive if is_first => {
                self.record.current = Some(digest.clone());
                self.record.repeat = None;
                self.fresh_start();
            }
            Says::Decisive if current.is_some() => {
                // A late copy of what was said before the newer notification changes nothing.
                let is_late_copy = matches!((&time, &current_time), (Some(time), Some(newer)) if time <= newer);
                if !is_late_copy {
                    self.record.repeat = Some(digest.clone());
                    self.record.dismissed.remove(&Reason::CameAgain);
                    let (digest, attempt) = (Some(digest.clone()), one.deliveries);
                    self.note("repeated", Entry { at, digest, attempt, ..Entry::default() });
                }
            }
            Says::Decisive => {
                self.record.dismissed.clear();
            }
        }
        one.request_time = one.request_time.take().max(time);
        self.record.notifications.insert(digest, one);
    }

    /// A new fact puts aside what people said before it.
    fn fresh_start(&mut self) {
        self.record.dismissed.clear();
        self.record.stopped = None;
    }

    fn linked(&mut self, was: Option<ReplacedLink>) {
        self.fresh_start();
        if let Some(was) = was {
            let note = Some(format!("version {}", was.version));
            self.note("link_replaced", Entry { at: was.at, by: Some(was.by), note, ..Entry::default() });
        }
    }

    fn said(&mut self, word: Word, by: String, note: String, at: EpochMillis, token: String) {
        let entry = Entry {
            by: Some(by),
            token: Some(token),
            note: Some(note).filter(|note| !note.is_empty()),
            ..self.entry(at)
        };
        self.note(word.as_str(), entry);
        match word {
            Word::Replay => {
                self.fresh_start();
                if let Some(repeat) = self.record.repeat.take() {
                    self.record.current = Some(repeat);
                }
                if self.record.target.as_ref().is_some_and(|target| target.end == Some(End::Refused)) {
                    self.send_again();
                }
            }
            Word::Dismiss(reasons) => self.record.dismissed.extend(reasons),
            Word::Withdraw => self.record.stopped = Some(Stopped::Withdrawn),
            Word::Close => self.record.stopped = Some(Stopped::Closed),
            Word::Resolve(outcome) => {
                // It was written at the revision that the person saw, with no other fact before it: it is about this
                // target. What comes of it is news.
                self.record.dismissed.clear();
                self.resolve(outcome, at);
            }
            Word::Submit(submission) => {
                self.fresh_start();
                self.record.submissions.push(*submission);
            }
        }
    }

    fn resolve(&mut self, outcome: Resolution, at: EpochMillis) {
        match outcome {
            Resolution::Succeeded => self.tell(Outcome::ResolvedSucceeded, None, at),
            Resolution::Rejected => self.tell(Outcome::ResolvedRejected, None, at),
            Resolution::Retry => {
                self.record.unsettled = 0;
                self.send_again();
            }
        }
    }

    fn send_again(&mut self) {
        let Some(target) = &mut self.record.target else { return };
        (target.end, target.due) = (None, Some(self.now));
        for one in submissions_of(&mut self.record.submissions, target) {
            one.refused = false;
        }
    }

    /// The target has ended: its lane remembers how.
    fn tell(&mut self, outcome: Outcome, reply: Option<crate::top::response::Reply>, at: EpochMillis) {
        // An attempt before this one may still be on its way.
        if self.record.unsettled > 1 {
            self.record.quiet = self.record.quiet.max(Some(self.now.plus(QUIET)));
        }
        let Some(target) = self.record.target.take() else { return };
        for one in submissions_of(&mut self.record.submissions, &target) {
            (one.outcome, one.ended) = (Some(outcome), Some(at));
        }
        let lane = target.lane().to_string();
        let before = self.record.told.remove(&lane);
        let told = Told {
            earlier: before.as_ref().is_some_and(Told::has_effect),
            generation: target.generation,
            digest: target.digest.clone(),
            outcome,
            at,
            attempts: self.record.attempt,
            issued: target.issued,
            reply,
            request: Some(target.request.clone()),
            since: target.since,
        };
        self.record.told.insert(lane.clone(), told);
        // What the lane was told before stays in the timeline.
        if let Some(before) = before {
            let (generation, attempt) = (before.generation, before.attempts);
            let entry = Entry { lane: Some(lane), generation, attempt, ..self.entry(before.at) };
            self.note(before.outcome.as_str(), entry);
        }
        (self.record.attempt, self.record.unsettled) = (0, 0);
    }

    fn ended(&mut self, attempted: &Attempted, at: EpochMillis) {
        self.record.sending = None;
        if let Attempted::Succeeded(reply) = attempted {
            self.tell(Outcome::Succeeded, Some(reply.clone()), at);
            return;
        }
        // The claim counted this attempt. A refusal says nothing of an earlier one.
        let earlier_may_have_taken_effect = self.record.unsettled > 1;
        let settled = matches!(attempted, Attempted::Refused(_) | Attempted::NotExecuted(..));
        self.record.unsettled = self.record.unsettled.saturating_sub(u32::from(settled));
        let (due, end, what) = match attempted {
            Attempted::Refused(_) if !earlier_may_have_taken_effect => (None, Some(End::Refused), "refused"),
            Attempted::Refused(_) | Attempted::Unknown(_) | Attempted::Succeeded(_) => {
                (None, Some(End::Unknown), "unknown")
            }
            Attempted::NotExecuted(due, _) => (Some(*due), None, "not_executed"),
            Attempted::Resend(due, _) => (Some(*due), None, "no_answer"),
        };
        self.note(what, Entry { failure: attempted.failure().cloned(), ..self.entry(at) });
        if self.record.unsettled > 0 {
            self.record.quiet = self.record.quiet.max(Some(self.now.plus(QUIET)));
        }
        let Some(target) = &mut self.record.target else { return };
        (target.due, target.end, target.failure) = (due, end, attempted.failure().cloned());
        if end == Some(End::Refused) {
            for one in submissions_of(&mut self.record.submissions, target) {
                one.refused = true;
            }
        }
    }

    /// A sender died with a call that must not be sent again. One that may be is claimed by another sender.
    fn give_up_dead_sender(&mut self) {
        let is_dead = self.record.sending.as_ref().is_some_and(|sending| sending.until < self.now);
        let never = self.record.target.as_ref().is_some_and(|target| target.resend == Resend::Never);
        if is_dead && never {
            let message = "the function that was sending this call did not finish; it may have taken effect";
            self.ended(&Attempted::Unknown(crate::top::error::Failure::of(message)), self.now);
        }
    }

    // What is wanted

    /// Works out what the facts want, and the request for it. Without bodies the facts are as they were decided last.
    fn wanted(&mut self) -> Option<Candidate> {
        if !self.record.submissions.is_empty() || matches!(self.record.key, RecordKey::Submission(_)) {
            let (wanted, candidate) = self.submitted();
            self.record.wanted = Some(wanted);
            return candidate;
        }
        self.bodies?;
        let (wanted, candidate) = match self.want() {
            Want::Wait(reason) => (Wanted::Wait(reason), None),
            Want::Person(reason) => (Wanted::Person(reason), None),
            Want::Nothing(reason) => (Wanted::Nothing(reason), None),
            Want::Tell(request) => {
                let json = request.to_json();
                if json.len() > MAX_REQUEST_BYTES {
                    (Wanted::Person(Reason::TooLarge), None)
                } else {
                    let candidate = Candidate::of(&request, &json);
                    if matches!(candidate.request, Body::Stored(_)) {
                        self.stored.push(json);
                    }
                    let (lane, digest) = (candidate.lane.to_string(), candidate.digest.clone());
                    (Wanted::Tell { lane, digest }, Some(candidate))
                }
            }
        };
        self.record.wanted = Some(wanted);
        candidate
    }

    fn want(&self) -> Want {
        match self.record.stopped {
            Some(Stopped::Withdrawn) => return Want::Nothing(Reason::Withdrawn),
            Some(Stopped::Closed) => return Want::Nothing(Reason::Closed),
            None => {}
        }
        let current = self.record.current.as_ref().and_then(|digest| self.record.notifications.get(digest));
        let (Some(current), RecordKey::Order(order)) = (current, &self.record.key) else {
            return Want::Nothing(Reason::NoFacts);
        };
        let read = |body: &Body| wire::parse_object(self.text(body)?.as_bytes()).ok();
        let link = match &self.record.link {
            None => None,
            Some(link) => match read(&link.body).and_then(|json| Link::from_json(order.partner, &json).ok()) {
                Some(link) => Some(link),
                None => return Want::Person(Reason::Unreadable),
            },
        };
        let payload = current.body.as_ref().and_then(read);
        match payload.and_then(|payload| Notification::from_payload(current.kind, &payload).ok()) {
            Some(notification) => {
                want::want(&order.order_id, &notification, link.as_ref(), self.settings.failed_code.as_deref())
            }
            None => Want::Person(Reason::Unreadable),
        }
    }

    /// A redemption's record tells its submissions one after the other; the others tell the newest.
    fn submitted(&self) -> (Wanted, Option<Candidate>) {
        let RecordKey::Submission(lane) = &self.record.key else { return (Wanted::Nothing(Reason::NoFacts), None) };
        if self.record.stopped.is_some() {
            return (Wanted::Nothing(Reason::Withdrawn), None);
        }
        let mut submissions = self.record.submissions.iter();
        let next = if lane.call == CallKind::TicketVerify {
            submissions.find(|one| one.is_open())
        } else {
            submissions.next_back()
        };
        // When all have ended, the last one is what TOP should know: a refused one is for a person as long as none follows.
        let next = next.or_else(|| self.record.submissions.last());
        match next {
            None => (Wanted::Nothing(Reason::NoFacts), None),
            Some(one) => {
                let candidate = Candidate {
                    lane: lane.clone(),
                    request: one.request.clone(),
                    digest: one.digest.clone(),
                    resend: one.resend,
                    issued: one.issued,
                    key: Some(one.key.clone()),
                };
                (Wanted::Tell { lane: lane.to_string(), digest: one.digest.clone() }, Some(candidate))
            }
        }
    }

    // The target

    /// Brings the target in line with what is wanted. Says whether the record waits for another one, to be looked at
    /// again slowly.
    fn settle(&mut self, candidate: Option<Candidate>, found: &LaneFound) -> Result<bool, MissingBody> {
        let wanted = self.record.wanted.clone().unwrap_or(Wanted::Nothing(Reason::NoFacts));
        let lane = match &wanted {
            Wanted::Tell { lane, .. } => Some(lane.clone()),
            _ => None,
        };
        let is_open = self.record.sending.is_some() || self.record.unsettled > 0;
        let (mut is_elsewhere, mut waits_for_attempt) = (false, false);
        if let Some(target) = &self.record.target
            && Some(target.lane().to_string()) != lane
        {
            if !is_open {
                self.withdraw();
            } else if self.record.sending.is_none() && target.end.is_some() {
                self.reasons.insert(Reason::Unknown);
                is_elsewhere = true;
            } else {
                waits_for_attempt = true;
            }
        }
        is_elsewhere |= self.record.told.iter().any(|(other, told)| Some(other) != lane.as_ref() && told.has_effect());
        self.record.waits = None;
        let mut slow = false;
        match wanted {
            Wanted::Nothing(_) if is_elsewhere => drop(self.reasons.insert(Reason::Opposite)),
            Wanted::Nothing(_) => {}
            Wanted::Wait(reason) => {
                self.record.waits = Some(reason);
                slow = true;
            }
            Wanted::Person(reason) => drop(self.reasons.insert(reason)),
            Wanted::Tell { .. } if is_elsewhere => drop(self.reasons.insert(Reason::OtherLane)),
            Wanted::Tell { .. } if waits_for_attempt => self.record.waits = Some(Reason::AttemptOpen),
            Wanted::Tell { lane, digest } => slow = self.aim(&lane, &digest, candidate, found, is_open)?,
        }
        if self.record.repeat.is_some() {
            self.reasons.insert(Reason::CameAgain);
        }
        Ok(slow)
    }

    fn aim(
        &mut self,
        lane: &str,
        digest: &str,
        candidate: Option<Candidate>,
        found: &LaneFound,
        is_open: bool,
    ) -> Result<bool, MissingBody> {
        match found {
            LaneFound::Free => {}
            LaneFound::Held(told) => {
                // A submission, or an order, that told TOP the same has done it for this one.
                if told.as_deref() != Some(digest) {
                    self.reasons.insert(Reason::LaneTaken);
                    // Once a person has handled it, only the holder's giving up brings it back.
                    return Ok(!self.record.dismissed.contains(&Reason::LaneTaken));
                }
                self.record.wanted = Some(Wanted::Nothing(Reason::ToldBySubmission));
                return Ok(false);
            }
            LaneFound::Undecided => {
                self.record.waits = Some(Reason::LaneUndecided);
                return Ok(true);
            }
        }
        let target = self.record.target.as_ref();
        let is_target = target.is_some_and(|target| target.digest == digest);
        let end = target.and_then(|target| target.end);
        if is_open && target.is_some() {
            if self.record.sending.is_none() && end.is_some() {
                self.reasons.insert(Reason::Unknown);
            } else if !is_target {
                self.record.waits = Some(Reason::AttemptOpen);
            }
            return Ok(false);
        }
        let told = self.record.told.get(lane);
        let is_ship = lane.starts_with(CallKind::ShipNotify.as_str());
        if told.is_some_and(|told| is_ship && told.issued && told.outcome.has_effect() && told.digest != digest) {
            self.withdraw();
            self.reasons.insert(Reason::KeepsFirst);
            return Ok(false);
        }
        let is_told =
            told.is_some_and(|told| told.digest == digest) && candidate.as_ref().is_none_or(|one| self.is_done(one));
        if is_told {
            self.withdraw();
        } else if !is_target || candidate.as_ref().is_some_and(|one| target.is_some_and(|target| target.key != one.key))
        {
            self.replace(candidate.ok_or(MissingBody)?);
        } else if end == Some(End::Refused) {
            self.reasons.insert(Reason::Refused);
        }
        Ok(false)
    }

    /// Whether the submission behind a candidate has ended; the facts of an order are always told by their lane.
    fn is_done(&self, candidate: &Candidate) -> bool {
        let Some(key) = &candidate.key else { return true };
        let mut same = self.record.submissions.iter().filter(|one| one.key == *key && one.digest == candidate.digest);
        same.all(|one| one.outcome.is_some())
    }

    fn replace(&mut self, candidate: Candidate) {
        // A ban, or a pause that TOP asked for, is about the lane's call, not about what it says.
        let paused = self.record.target.as_ref().and_then(|target| target.due.filter(|_| target.failure.is_some()));
        self.withdraw();
        self.record.generation += 1;
        let due = [Some(self.now), paused, self.record.quiet].into_iter().flatten().max();
        self.record.target = Some(Target {
            call: candidate.lane.call,
            id: candidate.lane.id,
            request: candidate.request,
            digest: candidate.digest,
            generation: self.record.generation,
            due,
            resend: candidate.resend,
            issued: candidate.issued,
            since: self.now,
            end: None,
            failure: None,
            key: candidate.key,
        });
        self.record.attempt = 0;
    }

    /// Drops a target that TOP certainly does not have.
    fn withdraw(&mut self) {
        if let Some(target) = &self.record.target {
            if target.end.is_none() {
                let entry = Entry { failure: target.failure.clone(), ..self.entry(self.now) };
                self.note("withdrawn_before_sent", entry);
            }
            self.record.target = None;
            self.record.attempt = 0;
        }
    }

    // What people and the sweep see

    fn mark_notifications(&mut self) {
        let mut dismissed = self.record.dismissed.clone();
        // Others wait behind it: they must not be forgotten with it.
        if self.record.submissions.iter().filter(|one| one.is_open()).count() > 1 {
            dismissed.remove(&Reason::Unknown);
        }
        for one in self.record.notifications.values() {
            if let Some(Says::Odd(reason)) = one.says {
                self.reasons.insert(reason);
            }
        }
        let reasons: BTreeSet<_> = self.reasons.difference(&dismissed).copied().collect();
        let was_dismissed = self.reasons.intersection(&dismissed).next().is_some();
        let wanted = self.record.wanted.clone();
        let lane = match &wanted {
            Some(Wanted::Tell { lane, .. }) => Some(lane.clone()),
            _ => None,
        };
        let first = reasons.iter().copied().find(|reason| !matches!(reason, Reason::OddStatus | Reason::CameAgain));
        let of_current = match (first, self.record.waits, &wanted) {
            (Some(reason), ..) => (NotificationState::Attention, Some(reason)),
            (None, Some(reason), _) => (NotificationState::Waiting, Some(reason)),
            (None, None, Some(Wanted::Nothing(reason))) => (NotificationState::Dispatched, Some(*reason)),
            (None, None, _) => (NotificationState::Dispatched, was_dismissed.then_some(Reason::Dismissed)),
        };
        let of_reason = |reason| {
            if dismissed.contains(&reason) {
                (NotificationState::Dispatched, Some(Reason::Dismissed))
            } else {
                (NotificationState::Attention, Some(reason))
            }
        };
        for (digest, one) in &mut self.record.notifications {
            let Some(says) = one.says else { continue };
            let is_current = self.record.current.as_ref() == Some(digest);
            let (state, reason) = match says {
                Says::Nothing(reason) => (NotificationState::Dispatched, Some(reason)),
                Says::Odd(reason) => of_reason(reason),
                Says::Decisive if is_current => of_current,
                Says::Decisive if self.record.repeat.as_ref() == Some(digest) => of_reason(Reason::CameAgain),
                Says::Decisive => (NotificationState::Dispatched, Some(Reason::Superseded)),
            };
            let leads_to = if is_current && (state, reason) == (NotificationState::Dispatched, None) {
                lane.clone()
            } else {
                one.lane.clone()
            };
            let reason = reason.map(Reason::code);
            if one.state != Some(state) || one.reason != reason || one.lane != leads_to {
                (one.state, one.reason, one.lane) = (Some(state), reason, leads_to);
                one.decided = Some(self.now);
            }
        }
        self.reasons = reasons;
    }

    /// Keeps the record small: the newest notifications whole, the others in short, the newest history.
    fn bound(&mut self) {
        // What is newest stays, whatever it is: events are made from it. Of the rest, what people said stays longest.
        let history = &mut self.record.history;
        let newest = history.split_off(history.len().saturating_sub(MAX_HISTORY / 2));
        let mut excess = (history.len() + newest.len()).saturating_sub(MAX_HISTORY);
        history.retain(|entry| {
            let goes = excess > 0 && entry.by.is_none();
            excess -= usize::from(goes);
            !goes
        });
        history.drain(..excess);
        history.extend(newest);
        // Redemptions are bounded when they are submitted. Of other calls, only the newest submission counts.
        if !self.record.key.is_redemption() {
            let excess = self.record.submissions.len().saturating_sub(MAX_SUBMISSIONS);
            self.record.submissions.drain(..excess);
        }
        let mut by_age: Vec<_> = self
            .record
            .notifications
            .iter()
            .filter(|(_, one)| one.says.is_some())
            .map(|(digest, one)| (one.number, digest.clone()))
            .collect();
        by_age.sort_unstable_by(|a, b| b.cmp(a));
        let keeps = [self.record.current.clone(), self.record.repeat.clone()];
        for (_, digest) in by_age.iter().skip(MAX_NOTIFICATIONS + MAX_SUMMARISED) {
            let is_named = |fact: &Fact| matches!(fact, Fact::Delivery { digest: named, .. } if named == digest);
            if !keeps.contains(&Some(digest.clone())) && !self.record.facts.iter().any(is_named) {
                self.record.notifications.remove(digest);
                self.record.summarised += 1;
            }
        }
        for (_, digest) in by_age.iter().skip(MAX_NOTIFICATIONS) {
            if let Some(one) =
                self.record.notifications.get_mut(digest).filter(|_| !keeps.contains(&Some(digest.clone())))
            {
                (one.body, one.lane) = (None, None);
                one.tokens.clear();
            }
        }
    }

    /// Whether the sweep or a person must look, and when the record expires.
    fn outlook(&mut self, slow: bool) {
        let record = &mut self.record;
        let now = self.now;
        record.attention = if self.reasons.is_empty() {
            None
        } else {
            let since = record.attention.as_ref().map_or(now, |attention| attention.since);
            Some(Attention { since, reasons: std::mem::take(&mut self.reasons) })
        };
        let target = record.target.as_ref().filter(|target| target.end.is_none());
        let due = target.and_then(|target| target.due);
        let look_at = if !record.facts.is_empty() {
            Some(now.plus(GRACE))
        } else if let Some(sending) = &record.sending {
            Some(sending.until.plus(Duration::from_secs(1)))
        } else if let Some(due) = due {
            Some(due.max(now).plus(GRACE))
        } else if slow {
            Some(next_look(record.touched.map_or(Duration::ZERO, |touched| touched.until(now)), now))
        } else if record.attention.is_some() {
            // Nothing goes on by itself, but bodies and owners must be renewed in time.
            let until = record.kept_until_at_first(self.settings);
            Some(EpochMillis(until.0 - i64::try_from(RENEW_WITHIN.as_millis()).unwrap_or(0)))
        } else {
            None
        };
        record.look_at = match (record.look_at, look_at) {
            // A look that is set already costs no write of the index.
            (Some(set), Some(look_at)) if set > now && (set <= look_at || slow) => Some(set),
            (_, look_at) => look_at,
        };
        let expires_at = || record.expires_at.unwrap_or_else(|| now.plus(self.settings.retention).epoch_seconds());
        record.expires_at = record.look_at.is_none().then(expires_at);
    }
}

/// The submissions that have not ended and ask for just this target: the same call submitted again is one call.
fn submissions_of<'a>(
    submissions: &'a mut [Submission],
    target: &'a Target,
) -> impl Iterator<Item = &'a mut Submission> {
    submissions.iter_mut().filter(|one| one.outcome.is_none() && one.asks_for(target))
}

/// A request that could become the target.
struct Candidate {
    lane: Lane,
    request: Body,
    digest: String,
    resend: Resend,
    issued: bool,
    key: Option<String>,
}

impl Candidate {
    fn of(request: &CallRequest, json: &str) -> Self {
        let issued = matches!(request, CallRequest::ShipNotify(ship) if ship.success);
        let (lane, resend) = (request.lane(""), request.resend());
        Self { lane, request: Body::of(json), digest: digest_of(json), resend, issued, key: None }
    }
}
