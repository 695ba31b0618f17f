//! The list of everything unfinished: each record's state, why it is in it, and what happens next.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_with_macros::skip_serializing_none;
use strum::{AsRefStr, EnumString};

use crate::account::DEFAULT_ACCOUNT;
use crate::api::{HeldBack, ReasonText};
use crate::attention::{NeedsPerson, What};
use crate::breaker::{Breaker, UNTIL_RESUMED};
use crate::call::CallKind;
use crate::failure::Failure;
use crate::notification::NotificationKind;
use crate::order::Partner;
use crate::reason::Reason;
use crate::record::{OrderRecord, RecordKey, Target};
use crate::time::EpochMillis;
use crate::view;

/// The state of something unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, AsRefStr, EnumString)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// Needs a person, for the reasons given.
    Attention,
    /// TOP refused the call. Needs a person.
    Refused,
    /// It is unknown whether the call took effect. Needs a person.
    Unknown,
    /// A body that could not be read. Needs a person.
    Unreadable,
    /// Waits for the booking system, or for another order.
    Waiting,
    /// Linked, but no partner has sent a notification.
    Unnotified,
    /// A call that is held back, because TOP would refuse all of its kind.
    Held,
    /// Waits to be decided or sent.
    Pending,
    /// A call that is being sent.
    InProgress,
}

impl State {
    /// All states.
    pub const ALL: [Self; 9] = [
        Self::Attention,
        Self::Refused,
        Self::Unknown,
        Self::Unreadable,
        Self::Waiting,
        Self::Unnotified,
        Self::Held,
        Self::Pending,
        Self::InProgress,
    ];
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, AsRefStr)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Step {
    /// A person handles it.
    Person,
    /// The booking system links the order, or corrects its link.
    Link,
    /// The partner sends a notification.
    Notification,
    /// The relay decides it.
    Decision,
    /// The relay sends the call.
    Attempt,
    /// An operator resumes the call.
    Resume,
    /// The attempt in progress ends.
    Outcome,
}

/// The next step, and its time.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Next {
    /// What happens next.
    pub step: Step,
    /// When, if the relay knows. For a link or notification: when the relay looks again.
    pub at: Option<String>,
}

/// An order, submitted call or body that is unfinished. Holds no personal data, except that TOP's message may quote the
/// request.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Unfinished {
    /// Its state.
    pub state: State,
    /// Why: the reasons of the state, as code and sentence.
    pub reasons: Vec<ReasonText>,
    /// Since when it has been in this state.
    pub since: String,
    /// What happens next.
    pub next: Next,
    /// For an order or a body: the partner.
    pub partner: Option<Partner>,
    /// For an order: its id.
    pub order_id: Option<String>,
    /// For an order: the kind of its deciding notification, or else of the last one. For a body: its endpoint.
    pub notification: Option<NotificationKind>,
    /// For a body: its SHA-256.
    pub digest: Option<String>,
    /// The call, if there is one.
    pub call: Option<CallKind>,
    /// The key of that call.
    pub key: Option<String>,
    /// The TOP account that the facts name, if they name one.
    pub account: Option<String>,
    /// Number of attempts of that call.
    pub attempts: u32,
    /// What holds the call back. Only with the state `held`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_back: Vec<HeldBack>,
    /// The call's last failure.
    pub last_error: Option<Failure>,
    /// The revision of the record. Send it with a request that is valid only for the state that you saw.
    pub revision: Option<i64>,
}

/// A page of the list.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UnfinishedPage {
    /// The unfinished items, oldest first.
    pub items: Vec<Unfinished>,
    /// The cursor to pass as `after` for the next page. Absent on the last page.
    pub next: Option<String>,
    /// Number of items that match the filters, on all pages.
    pub total: usize,
    /// Number of items by state that match all filters but `state` and `reason`.
    pub states: BTreeMap<String, usize>,
    /// Number of items by reason that match all filters but `reason`.
    pub reasons: BTreeMap<String, usize>,
    /// `false` if something is missing: there is more than the relay counts, and the longest unfinished may be missing,
    /// or a record is in the format of another version.
    pub complete: bool,
}

/// The filters of the list. An item must match all that are set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// One of these states; any, if it is empty.
    pub states: BTreeSet<State>,
    /// The partner.
    pub partner: Option<Partner>,
    /// The kind of notification.
    pub notification: Option<NotificationKind>,
    /// The call.
    pub call: Option<CallKind>,
    /// The TOP account. `default` also matches calls that name none.
    pub account: Option<String>,
    /// The code of a reason or of a breaker's cause.
    pub reason: Option<String>,
    /// Unfinished since this time or later.
    pub since: Option<EpochMillis>,
    /// Unfinished since before this time.
    pub until: Option<EpochMillis>,
}

/// A row of the list before it is shown: what is needed to filter, count and sort it.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The item.
    pub item: Unfinished,
    /// Since when.
    pub since: EpochMillis,
    /// Its key in the table: sorts items of the same time.
    pub key: String,
}

impl Row {
    /// The codes of the reasons, and the causes of what holds the call back.
    pub fn codes(&self) -> impl Iterator<Item = &str> {
        let reasons = self.item.reasons.iter().map(|reason| reason.code.as_ref());
        reasons.chain(self.item.held_back.iter().map(|held| held.cause.as_ref()))
    }

    /// The row of an unreadable body; `None` for a record, which must be read first.
    #[must_use]
    pub fn of_body(needs: &NeedsPerson) -> Option<Self> {
        let What::Unreadable(unreadable) = &needs.what else { return None };
        let reason = ReasonText { code: Reason::Unreadable, text: unreadable.problem.clone() };
        let item = Unfinished {
            reasons: vec![reason],
            partner: Some(unreadable.endpoint.partner()),
            notification: Some(unreadable.endpoint),
            digest: Some(unreadable.digest.clone()),
            ..Unfinished::new(State::Unreadable, needs.since, Step::Person, None)
        };
        Some(Self { item, since: needs.since, key: format!("{}#{}", unreadable.endpoint, unreadable.digest) })
    }

    /// The row of a record; `None` if everything in it is finished.
    #[must_use]
    pub fn of_record(record: &OrderRecord, breakers: &[Breaker], now: EpochMillis) -> Option<Self> {
        let (state, since, step, at) = position(record, breakers, now)?;
        let target = record.target.as_ref();
        let open = target.filter(|target| target.end.is_none());
        let reasons: Vec<Reason> = match (state, &record.attention) {
            (State::Waiting, _) => record.waits.into_iter().collect(),
            (_, Some(attention)) => attention.reasons.iter().copied().collect(),
            _ => Vec::new(),
        };
        let held = open.filter(|_| state == State::Held).map(|target| holding(target, breakers));
        let mut item = Unfinished {
            reasons: reasons.into_iter().map(view::reason_text).collect(),
            notification: notification(record),
            call: target.map(|target| target.call),
            key: target.map(|target| target.key.clone().unwrap_or_else(|| target.id.clone())),
            account: target.and_then(|target| target.account.clone()),
            attempts: target.map_or(0, |_| record.attempt),
            held_back: held.into_iter().flatten().map(view::held_back).collect(),
            last_error: target.and_then(|target| target.failure.clone()),
            revision: Some(record.revision),
            ..Unfinished::new(state, since, step, at)
        };
        match &record.key {
            RecordKey::Order(order) => {
                (item.partner, item.order_id) = (Some(order.partner), Some(order.order_id.to_string()));
            }
            RecordKey::Submission(lane) => {
                item.call = Some(lane.call);
                item.key = Some(item.key.take().unwrap_or_else(|| lane.key().to_owned()));
            }
        }
        Some(Self { item, since, key: record.key.pk() })
    }
}

impl Unfinished {
    fn new(state: State, since: EpochMillis, step: Step, at: Option<EpochMillis>) -> Self {
        Self {
            state,
            reasons: Vec::new(),
            since: since.to_string(),
            next: Next { step, at: at.map(|at| at.to_string()) },
            partner: None,
            order_id: None,
            notification: None,
            digest: None,
            call: None,
            key: None,
            account: None,
            attempts: 0,
            held_back: Vec::new(),
            last_error: None,
            revision: None,
        }
    }
}

/// The state of a record, since when, what happens next, and when.
fn position(
    record: &OrderRecord,
    breakers: &[Breaker],
    now: EpochMillis,
) -> Option<(State, EpochMillis, Step, Option<EpochMillis>)> {
    let target = record.target.as_ref().filter(|target| target.end.is_none());
    let undecided = !record.facts.is_empty();
    let touched = record.touched.unwrap_or_default();
    if let Some(attention) = &record.attention {
        let has = |reason| attention.reasons.contains(&reason);
        let state = match () {
            () if has(Reason::Unknown) => State::Unknown,
            () if has(Reason::Refused) => State::Refused,
            () => State::Attention,
        };
        let step = if undecided { Step::Decision } else { Step::Person };
        return Some((state, attention.since, step, record.look_at.filter(|_| undecided)));
    }
    if let (Some(sending), Some(target)) = (&record.sending, target) {
        return Some((State::InProgress, target.since, Step::Outcome, Some(sending.until)));
    }
    if undecided {
        return Some((State::Pending, touched, Step::Decision, record.look_at));
    }
    if let Some((target, due)) = target.and_then(|target| target.due.map(|due| (target, due))) {
        let held = holding(target, breakers).map(|breaker| breaker.until).max();
        let state = if held.is_some() { State::Held } else { State::Pending };
        if held == Some(UNTIL_RESUMED) {
            return Some((state, target.since, Step::Resume, None));
        }
        let at = held.map_or(due, |until| until.max(due)).max(now);
        return Some((state, target.since, Step::Attempt, Some(at)));
    }
    if let Some(reason) = record.waits {
        let current = record.current.as_ref().and_then(|digest| record.notifications.get(digest));
        let since = current.map_or(touched, |one| one.first);
        let step = match reason {
            Reason::NoLink | Reason::NoTickets => Step::Link,
            _ => Step::Decision,
        };
        return Some((State::Waiting, since, step, record.look_at));
    }
    let look_at = record.look_at?;
    match &record.link {
        Some(link) if record.notifications.is_empty() => {
            Some((State::Unnotified, link.at, Step::Notification, Some(look_at)))
        }
        _ => Some((State::Pending, touched, Step::Decision, Some(look_at))),
    }
}

fn holding<'a>(target: &'a Target, breakers: &'a [Breaker]) -> impl Iterator<Item = &'a Breaker> {
    breakers.iter().filter(|breaker| breaker.holds(target.call, target.account.as_deref()))
}

/// The kind of the deciding notification, or else of the last one.
fn notification(record: &OrderRecord) -> Option<NotificationKind> {
    let current = record.current.as_ref().and_then(|digest| record.notifications.get(digest));
    current.or_else(|| record.notifications.values().max_by_key(|one| (one.first, one.number))).map(|one| one.kind)
}

impl Filter {
    /// Whether a row matches all filters but those of state and reason.
    fn matches_otherwise(&self, row: &Row) -> bool {
        let item = &row.item;
        let account = || item.account.as_deref().unwrap_or(DEFAULT_ACCOUNT);
        self.partner.is_none_or(|partner| item.partner == Some(partner))
            && self.notification.is_none_or(|kind| item.notification == Some(kind))
            && self.call.is_none_or(|call| item.call == Some(call))
            && self.account.as_ref().is_none_or(|named| item.call.is_some() && account() == named)
            && self.since.is_none_or(|since| row.since >= since)
            && self.until.is_none_or(|until| row.since < until)
    }

    fn matches_state(&self, row: &Row) -> bool {
        self.states.is_empty() || self.states.contains(&row.item.state)
    }

    fn matches_reason(&self, row: &Row) -> bool {
        self.reason.as_ref().is_none_or(|reason| row.codes().any(|code| code == reason))
    }
}

/// Counts, filters and sorts rows.
#[derive(Debug, Default)]
pub struct List {
    filter: Filter,
    rows: Vec<Row>,
    states: BTreeMap<String, usize>,
    reasons: BTreeMap<String, usize>,
}

impl List {
    /// An empty list.
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        Self { filter, ..Self::default() }
    }

    /// Adds a row, if it matches.
    pub fn add(&mut self, row: Row) {
        if !self.filter.matches_otherwise(&row) {
            return;
        }
        *self.states.entry(row.item.state.as_ref().to_owned()).or_default() += 1;
        if !self.filter.matches_state(&row) {
            return;
        }
        for code in row.codes().collect::<BTreeSet<_>>() {
            *self.reasons.entry(code.to_owned()).or_default() += 1;
        }
        if self.filter.matches_reason(&row) {
            self.rows.push(row);
        }
    }

    /// The page of at most `limit` rows after the position `after`, and the position of its last row if there are more.
    #[must_use]
    pub fn page(
        mut self,
        limit: usize,
        after: Option<&(EpochMillis, String)>,
        complete: bool,
    ) -> (UnfinishedPage, Option<(EpochMillis, String)>) {
        let position = |row: &Row| (row.since, row.key.clone());
        self.rows.sort_by_cached_key(position);
        let total = self.rows.len();
        let mut rows = self.rows;
        rows.retain(|row| after.is_none_or(|(since, key)| (row.since, &row.key) > (*since, key)));
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| has_more).map(position);
        let items = rows.into_iter().map(|row| row.item).collect();
        let (states, reasons) = (self.states, self.reasons);
        (UnfinishedPage { items, next: None, total, states, reasons, complete }, next)
    }
}
