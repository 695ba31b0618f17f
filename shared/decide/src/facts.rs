//! Folds undecided facts into the record.

use relay_types::call::Resend;
use relay_types::failure::{Failure, Reply};
use relay_types::notification::{self, Says};
use relay_types::reason::Reason;
use relay_types::record::{
    Attempted, Body, End, Entry, Fact, Instruction, Outcome, ReplacedLink, Resolution, Stopped, Submission, Target,
    Told,
};
use relay_types::time::EpochMillis;

use crate::{Deciding, QUIET};

/// Maximum number of facts that one decision folds. It limits the size of each write.
const MAX_FOLDED: usize = 30;
/// Number of deliveries of one notification whose tokens are kept. The SDK's retry of a write can arrive minutes later;
/// it counts as another delivery only if more equal bodies than this arrived in between.
const MAX_TOKENS: usize = 20;

impl Deciding<'_> {
    pub(super) fn fold(&mut self) {
        let mut facts = std::mem::take(&mut self.record.facts);
        let rest = facts.split_off(facts.len().min(MAX_FOLDED));
        self.record.facts = rest;
        for fact in facts {
            match fact {
                Fact::Delivery { digest, at, time, token } => self.delivered(digest, at, time, token),
                Fact::Linked { was } => self.linked(was),
                Fact::Instructed { instruction, by, note, at, token } => {
                    self.instructed(instruction, by, note, at, token)
                }
                Fact::Ended { attempted, at, began, .. } => self.ended(&attempted, began, at),
            }
        }
    }

    fn delivered(&mut self, digest: String, at: EpochMillis, time: Option<String>, token: String) {
        let number = self.record.notifications.values().map(|one| one.number).max().unwrap_or(0) + 1;
        let Some(mut one) = self.record.notifications.remove(&digest) else { return };
        // The SDK repeated one write because the first response was lost.
        if one.tokens.contains(&token) {
            self.record.notifications.insert(digest, one);
            return;
        }
        one.tokens.push(token);
        let forgotten = one.tokens.len().saturating_sub(MAX_TOKENS);
        one.tokens.drain(..forgotten);
        one.deliveries += 1;
        one.last = Some(at);
        let is_first = one.says.is_none();
        if is_first {
            let text = one.body.as_ref().and_then(|body| self.text(body));
            let read = text.map(|text| notification::read(one.kind, text));
            one.number = number;
            one.says = Some(read.as_ref().map_or(Says::Odd(Reason::Unreadable), |read| read.says));
            // A short body is read with the record, so its status need not be in the record twice.
            let is_apart = matches!(one.body, Some(Body::Stored(_)));
            one.status = read.and_then(|read| read.status).filter(|_| is_apart);
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
                // A late copy of a notification from before the newer one changes nothing.
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

    /// A new fact cancels earlier operators' requests to dismiss, withdraw or close.
    fn fresh_start(&mut self) {
        self.record.dismissed.clear();
        self.record.stopped = None;
    }

    fn linked(&mut self, was: Option<ReplacedLink>) {
        self.fresh_start();
        if let Some(was) = was {
            let ReplacedLink { version, at, by, body } = was;
            self.note("link_replaced", Entry { at, by: Some(by), version, body, ..Entry::default() });
        }
    }

    fn instructed(&mut self, instruction: Instruction, by: String, note: String, at: EpochMillis, token: String) {
        let entry = Entry {
            by: Some(by),
            token: Some(token),
            note: Some(note).filter(|note| !note.is_empty()),
            ..self.entry(at)
        };
        self.note(instruction.as_str(), entry);
        match instruction {
            Instruction::Replay => {
                self.fresh_start();
                if let Some(repeat) = self.record.repeat.take() {
                    self.record.current = Some(repeat);
                }
                if self.record.target.as_ref().is_some_and(|target| target.end == Some(End::Refused)) {
                    self.send_again();
                }
            }
            Instruction::Dismiss(reasons) => self.record.dismissed.extend(reasons),
            Instruction::Withdraw => self.record.stopped = Some(Stopped::Withdrawn),
            Instruction::Close => self.record.stopped = Some(Stopped::Closed),
            Instruction::RetryNow => {
                // The request was written while the target waited, with no other fact before it.
                if let Some(target) = self.record.target.as_mut().filter(|target| target.end.is_none()) {
                    target.due = Some(self.now);
                }
            }
            Instruction::Resolve(outcome) => {
                // The request was written at the revision that the operator saw, with no other fact before it, so it is
                // about this target. Its result must not be hidden by an earlier dismissal.
                self.record.dismissed.clear();
                self.resolve(outcome, at);
            }
            Instruction::Submit(submission) => {
                self.fresh_start();
                self.record.submissions.push(*submission);
            }
        }
    }

    fn resolve(&mut self, outcome: Resolution, at: EpochMillis) {
        match outcome {
            Resolution::Succeeded => self.tell(Outcome::ResolvedSucceeded, None, None, at),
            Resolution::Rejected => self.tell(Outcome::ResolvedRejected, None, None, at),
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

    /// Ends the target and records the outcome for its lane.
    fn tell(&mut self, outcome: Outcome, reply: Option<Reply>, began: Option<EpochMillis>, at: EpochMillis) {
        // An earlier attempt may still be in flight.
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
            account: target.account.clone(),
            digest: target.digest.clone(),
            outcome,
            began,
            at,
            attempts: self.record.attempt,
            issued: target.issued,
            reply,
            request: Some(target.request.clone()),
            since: target.since,
        };
        self.record.told.insert(lane.clone(), told);
        // The timeline keeps what the lane was told before.
        if let Some(before) = before {
            let Told { generation, attempts: attempt, began, at, reply, .. } = before;
            let entry = Entry { lane: Some(lane), generation, attempt, began, reply, ..self.entry(at) };
            self.note(before.outcome.as_ref(), entry);
            self.keep_request(before.generation, before.request, before.since);
        }
        (self.record.attempt, self.record.unsettled) = (0, 0);
    }

    /// Keeps when a call was requested that another one replaces, and its request, with its last entry.
    pub(super) fn keep_request(&mut self, generation: u32, request: Option<Body>, since: EpochMillis) {
        // A submission keeps its own request.
        if !self.record.submissions.is_empty() {
            return;
        }
        let Some(last) = self.record.history.iter_mut().rfind(|entry| entry.generation == generation) else { return };
        last.body = request;
        let lane = last.lane.clone();
        self.note("requested", Entry { at: since, lane, generation, ..Entry::default() });
    }

    pub(super) fn ended(&mut self, attempted: &Attempted, began: Option<EpochMillis>, at: EpochMillis) {
        self.record.sending = None;
        let began = began.or(self.record.began.take());
        self.record.began = None;
        if let Attempted::Succeeded(reply) = attempted {
            self.tell(Outcome::Succeeded, Some(reply.clone()), began, at);
            return;
        }
        // The claim counted this attempt. A refusal says nothing about an earlier attempt.
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
        self.note(what, Entry { began, failure: attempted.failure().cloned(), ..self.entry(at) });
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

    /// Ends an attempt as unknown if its sender died and the call must not be sent again. Another sender claims a call
    /// that may be sent again.
    pub(super) fn give_up_dead_sender(&mut self) {
        let is_dead = self.record.sending.as_ref().is_some_and(|sending| sending.until < self.now);
        let never = self.record.target.as_ref().is_some_and(|target| target.resend == Resend::Never);
        if is_dead && never {
            let message = "the sender of this call stopped before it finished; the call may have taken effect";
            self.ended(&Attempted::Unknown(Failure::of(message)), None, self.now);
        }
    }
}

/// The open submissions that ask for this target. The same call submitted again is one call.
fn submissions_of<'a>(
    submissions: &'a mut [Submission],
    target: &'a Target,
) -> impl Iterator<Item = &'a mut Submission> {
    submissions.iter_mut().filter(|one| one.outcome.is_none() && one.asks_for(target))
}
