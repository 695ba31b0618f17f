//! Sets what operators and the sweep see of a record, and keeps the record small.

use std::collections::BTreeSet;
use std::time::Duration;

use relay_types::notification::{self, NotificationState, Says};
use relay_types::reason::Reason;
use relay_types::record::{
    Attention, Body, Entry, Fact, GRACE, MAX_HISTORY, MAX_INLINE_HISTORY, MAX_NOTIFICATIONS, OrderRecord, Wanted,
    next_look,
};
use relay_types::time::EpochMillis;

use crate::{Deciding, RENEW_WITHIN};

/// Maximum number of summarised notifications in a record.
const MAX_SUMMARISED: usize = 100;
/// Maximum number of submissions in a record, except for redemptions.
const MAX_SUBMISSIONS: usize = 10;

impl Deciding<'_> {
    pub(super) fn mark_notifications(&mut self) {
        let mut dismissed = self.record.dismissed.clone();
        // Other submissions wait for this one; a dismissal must not hide them.
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
            let reason = reason.map(|reason| reason.as_ref().to_owned());
            if one.state != Some(state) || one.reason != reason || one.lane != leads_to {
                (one.state, one.reason, one.lane) = (Some(state), reason, leads_to);
                one.decided = Some(self.now);
            }
        }
        self.reasons = reasons;
    }

    /// Adds the decision to the history if nothing is requested for other reasons than before. A request, what became of
    /// it, and an operator's request have their own entries.
    pub(super) fn note_decision(&mut self, read: &OrderRecord) {
        let has_own_entry = |reason: &Reason| {
            matches!(
                reason,
                Reason::NoFacts
                    | Reason::Refused
                    | Reason::Unknown
                    | Reason::AttemptOpen
                    | Reason::Closed
                    | Reason::Withdrawn
            )
        };
        let of = |wanted: &Option<Wanted>, waits: Option<Reason>, attention: &BTreeSet<Reason>| -> BTreeSet<Reason> {
            let nothing = match wanted {
                Some(Wanted::Nothing(reason)) => Some(*reason),
                _ => None,
            };
            let reasons = nothing.into_iter().chain(waits).chain(attention.iter().copied());
            reasons.filter(|reason| !has_own_entry(reason)).collect()
        };
        let none = BTreeSet::new();
        let before =
            of(&read.wanted, read.waits, read.attention.as_ref().map_or(&none, |attention| &attention.reasons));
        let reasons = of(&self.record.wanted, self.record.waits, &self.reasons);
        let is_new = read.current != self.record.current || before != reasons;
        if is_new && !reasons.is_empty() {
            let digest = self.record.current.clone();
            self.note("decided", Entry { at: self.now, digest, reasons, ..Entry::default() });
        }
    }

    /// Limits the size of the record: keeps the newest notifications in full, older ones summarised, and the newest
    /// history.
    pub(super) fn bound(&mut self) {
        // The newest entries always stay, because order events are made from them. Of the rest, operators' requests
        // stay longest.
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
        let is_inline = |entry: &&mut Entry| matches!(entry.body, Some(Body::Inline(_)));
        for entry in history.iter_mut().rev().filter(is_inline).skip(MAX_INLINE_HISTORY) {
            entry.body = None;
        }
        // Redemptions are limited on submission. For other calls, only the newest submission counts.
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
                if let Some(Body::Inline(json)) = &one.body {
                    one.status = notification::read(one.kind, json).status;
                }
                (one.body, one.lane) = (None, None);
            }
        }
    }

    /// Sets whether the record needs attention, when the sweep looks next, and when the record expires.
    pub(super) fn outlook(&mut self, slow: bool) {
        let now = self.now;
        let rings_at = self.rings_at().filter(|at| *at > now);
        let record = &mut self.record;
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
        } else if let Some(due) = due.filter(|due| due.plus(GRACE) >= now) {
            Some(due.max(now).plus(GRACE))
        } else if due.is_some() || slow {
            // The message of an overdue call waits, or was lost. Each look enqueues another one, so looks become rarer.
            Some(next_look(record.touched.map_or(Duration::ZERO, |touched| touched.until(now)), now))
        } else if rings_at.is_some() {
            rings_at
        } else if record.attention.is_some() {
            // Nothing continues by itself, but dispatch must renew bodies and owners in time.
            let until = record.kept_until_at_first(self.settings.retention);
            Some(EpochMillis(until.0 - i64::try_from(RENEW_WITHIN.as_millis()).unwrap_or(0)))
        } else {
            None
        };
        record.look_at = match (record.look_at, look_at) {
            // Keeping a look that is already set saves a write to the index.
            (Some(set), Some(look_at)) if set > now && (set <= look_at || slow) => Some(set),
            (_, look_at) => look_at,
        };
        let expires_at = || record.expires_at.unwrap_or_else(|| now.plus(self.settings.retention).epoch_seconds());
        record.expires_at = record.look_at.is_none().then(expires_at);
    }
}
