//! Derives the target from what the facts want TOP to know.

use relay_types::call::{CallKind, CallRequest, Lane, Resend};
use relay_types::json;
use relay_types::link::Link;
use relay_types::notification::Notification;
use relay_types::reason::Reason;
use relay_types::record::{Body, End, Entry, LaneFound, RecordKey, Stopped, Target, Wanted, digest_of_request};
use relay_types::time::EpochMillis;

use crate::want::{self, Want};
use crate::{Deciding, MissingBody};

/// Maximum size of a request, in bytes. A DynamoDB item holds 400 KB.
const MAX_REQUEST_BYTES: usize = 256 * 1024;

impl Deciding<'_> {
    /// Sets what the facts want and returns the request for it. Without bodies, the last decision still applies.
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
            Want::Tell(request, account) => {
                let json = request.to_json();
                if json.len() > MAX_REQUEST_BYTES {
                    (Wanted::Person(Reason::TooLarge), None)
                } else {
                    let candidate = Candidate::of(&request, &json, account);
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
        let read = |body: &Body| json::parse_object(self.text(body)?.as_bytes()).ok();
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

    /// A redemption's record sends its submissions one after another. Other records send the newest.
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
        // When all have ended, the last one is what TOP should know. If it was refused, it needs attention until
        // another one follows.
        let next = next.or_else(|| self.record.submissions.last());
        match next {
            None => (Wanted::Nothing(Reason::NoFacts), None),
            Some(one) => {
                let candidate = Candidate {
                    lane: lane.clone(),
                    request: one.request.clone(),
                    account: one.account.clone(),
                    digest: one.digest.clone(),
                    resend: one.resend,
                    issued: one.issued,
                    key: Some(one.key.clone()),
                };
                (Wanted::Tell { lane: lane.to_string(), digest: one.digest.clone() }, Some(candidate))
            }
        }
    }

    /// Aligns the target with what the facts want. Returns whether the sweep should look at the record at a slow pace,
    /// because the record waits for something else.
    pub(super) fn retarget(&mut self, found: &LaneFound) -> Result<bool, MissingBody> {
        let candidate = self.wanted();
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
        if self.rings_at().is_some_and(|at| at <= self.now) {
            self.reasons.insert(Reason::NotNotified);
        }
        Ok(slow)
    }

    /// When the order needs attention because it is linked and no partner has sent a notification.
    pub(super) fn rings_at(&self) -> Option<EpochMillis> {
        let record = &self.record;
        let link = record.link.as_ref().filter(|_| record.notifications.is_empty() && record.stopped.is_none())?;
        Some(link.at.plus(self.settings.unnotified_after?))
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
                // The holder, a submission or an order, told TOP the same, so nothing is left to do.
                if told.as_deref() != Some(digest) {
                    self.reasons.insert(Reason::LaneTaken);
                    // After a dismissal, the record continues only if the holder gives up the lane.
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
        let is_ship = lane.starts_with(CallKind::ShipNotify.as_ref());
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

    /// Whether the submission behind a candidate has ended. For an order, what its lane was told is enough.
    fn is_done(&self, candidate: &Candidate) -> bool {
        let Some(key) = &candidate.key else { return true };
        let mut same = self.record.submissions.iter().filter(|one| one.key == *key && one.digest == candidate.digest);
        same.all(|one| one.outcome.is_some())
    }

    fn replace(&mut self, candidate: Candidate) {
        // The pause after a failure applies to the lane's call, whatever its content.
        let paused = self.record.target.as_ref().and_then(|target| target.due.filter(|_| target.failure.is_some()));
        self.withdraw();
        self.record.generation += 1;
        let due = [Some(self.now), paused, self.record.quiet].into_iter().flatten().max();
        self.record.target = Some(Target {
            call: candidate.lane.call,
            id: candidate.lane.id,
            request: candidate.request,
            account: candidate.account,
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

    /// Removes a target that TOP certainly does not have.
    fn withdraw(&mut self) {
        let entry = self.entry(self.now);
        if let Some(target) = self.record.target.take() {
            if target.end.is_none() {
                self.note("withdrawn_before_sent", Entry { failure: target.failure, ..entry });
            }
            self.keep_request(target.generation, Some(target.request), target.since);
            self.record.attempt = 0;
        }
    }
}

/// A request that could become the target.
struct Candidate {
    lane: Lane,
    request: Body,
    account: Option<String>,
    digest: String,
    resend: Resend,
    issued: bool,
    key: Option<String>,
}

impl Candidate {
    fn of(request: &CallRequest, json: &str, account: Option<String>) -> Self {
        let issued = request.reports_success();
        let (lane, resend) = (request.lane(""), request.resend());
        let digest = digest_of_request(json, account.as_deref());
        Self { lane, request: Body::of(json), account, digest, resend, issued, key: None }
    }
}
