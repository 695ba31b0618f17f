//! The gate at which the requests of running functions stop. A scheduler chooses which of them is performed next.
//!
//! While the gate is open, requests pass. While it is closed, each request waits for the scheduler's decision. It
//! leaves its footprint: everything that it read and changed. Two requests whose footprints do not conflict commute.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Mutex;

use serde_json::Value;
use tokio::sync::oneshot;

use crate::services::Far;
use crate::world::lock;
use crate::{lambda, table};

/// A fault that the scheduler gives to a request at the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GateFault {
    /// The request is not performed. The sender gets an error that it does not retry; from TOP, it gets no answer.
    NotPerformed,
    /// The request is performed, and its answer is lost. The SDK retries it.
    AnswerLost,
    /// The sender gets no answer, and the request is performed after all runs have ended.
    Late,
    /// The request is performed, and the function is killed before the answer.
    Killed,
    /// The function is killed after it sent the request, which is performed a minute later.
    KilledAndLate,
}

impl GateFault {
    /// The name in lists of steps.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotPerformed => "not performed",
            Self::AnswerLost => "answer lost",
            Self::Late => "performed late",
            Self::Killed => "performed, process killed",
            Self::KilledAndLate => "process killed, performed late",
        }
    }

    /// The faults that make a difference to a request of this operation.
    ///
    /// A read changes nothing, so only its failure counts. A death before a request is the same as a death after the
    /// previous write, so deaths after writes cover all deaths. A message that reaches its queue late is like one whose
    /// sender is slow. That is an interleaving without a fault.
    pub fn of(operation: &str) -> &'static [Self] {
        match operation {
            "dynamodb GetItem" | "dynamodb Query" | "dynamodb BatchGetItem" => &[Self::NotPerformed],
            "sqs ChangeMessageVisibilityBatch" => &[Self::NotPerformed],
            TIME => &[],
            _ if operation.starts_with("sqs") => &[Self::NotPerformed, Self::AnswerLost, Self::Killed],
            _ => &[Self::NotPerformed, Self::AnswerLost, Self::Late, Self::Killed, Self::KilledAndLate],
        }
    }
}

/// The operation that waits at the gate in place of a request when time must pass.
pub const TIME: &str = "time";

/// Identifies a request in every interleaving: the run that sends it, its subject, and its number among the run's
/// requests of that subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The run.
    pub run: usize,
    subject: u64,
    occurrence: u32,
}

/// How a request uses a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads it.
    Read,
    /// Changes a part that other parts do not depend on: an item of a partition.
    Touch,
    /// Changes it.
    Write,
}

/// Everything that a request read and changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footprint(Vec<(u64, Access)>);

impl Footprint {
    /// Adds a resource.
    pub fn add(&mut self, resource: impl Hash, access: Access) {
        self.0.push((hash_of(resource), access));
    }

    /// The footprint of passing time, which conflicts with everything.
    pub fn of_time() -> Self {
        let mut footprint = Self::default();
        footprint.add(TIME, Access::Write);
        footprint
    }

    /// Whether the order of the two requests may matter.
    pub fn conflicts(&self, other: &Self) -> bool {
        self.0.iter().any(|(resource, access)| {
            let same = other.0.iter().filter(|(other, _)| other == resource);
            same.into_iter().any(|(_, other)| {
                !matches!((access, other), (Access::Read, Access::Read) | (Access::Touch, Access::Touch))
            })
        })
    }
}

/// Hashes a value, with the same result in every run.
pub fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A request that waits at the gate.
pub struct Waiting {
    /// Its id.
    pub id: EventId,
    /// Its operation.
    pub operation: &'static str,
    /// A readable description.
    pub description: String,
    /// The number of requests performed before it came.
    pub came_after: usize,
    /// The number of requests performed when time last passed before it came.
    pub paused_after: usize,
    go: oneshot::Sender<Option<GateFault>>,
}

#[derive(Default)]
struct Inner {
    closed: bool,
    time_passes: bool,
    running: usize,
    counts: BTreeMap<(usize, u64), u32>,
    waiting: Vec<Waiting>,
    performed: usize,
    paused_after: usize,
    footprint: Footprint,
    late: Vec<Far>,
    later: Vec<Far>,
}

/// The gate.
#[derive(Default)]
pub struct Gate(Mutex<Inner>);

impl Gate {
    /// Closes the gate: requests wait from now on.
    pub fn close(&self) {
        lambda::skip_pauses(true);
        *lock(&self.0) = Inner { closed: true, ..Inner::default() };
    }

    /// Opens the gate and returns the late requests: those that arrive now, and those that arrive a minute later.
    pub fn open(&self) -> (Vec<Far>, Vec<Far>) {
        lambda::skip_pauses(false);
        let inner = std::mem::take(&mut *lock(&self.0));
        (inner.late, inner.later)
    }

    /// Sets the run that makes its steps from now on.
    pub fn runs(&self, run: usize) {
        lock(&self.0).running = run;
    }

    /// Whether the gate is closed.
    pub fn is_closed(&self) -> bool {
        lock(&self.0).closed
    }

    /// Lets time pass although requests wait, because the scheduler chose it. Their senders may give up or die
    /// meanwhile.
    pub fn begin_passing_time(&self) {
        let inner = &mut *lock(&self.0);
        (inner.time_passes, inner.footprint) = (true, Footprint::of_time());
    }

    /// Ends the period that [`Self::begin_passing_time`] began.
    pub fn end_passing_time(&self) {
        lock(&self.0).time_passes = false;
    }

    /// Whether time must pass although requests wait.
    pub fn time_passes(&self) -> bool {
        lock(&self.0).time_passes
    }

    /// Records that time has passed since the last released request.
    pub fn time_passed(&self) {
        let inner = &mut *lock(&self.0);
        inner.paused_after = inner.performed;
    }

    /// Adds a request. The receiver gets the scheduler's decision. Returns `None` if the gate is open.
    pub fn arrive(
        &self,
        operation: &'static str,
        subject: impl FnOnce() -> String,
        description: impl FnOnce() -> String,
    ) -> Option<oneshot::Receiver<Option<GateFault>>> {
        let inner = &mut *lock(&self.0);
        if !inner.closed {
            return None;
        }
        let (go, decision) = oneshot::channel();
        let subject = hash_of((operation, subject().as_str()));
        let count = inner.counts.entry((inner.running, subject)).or_default();
        *count += 1;
        let id = EventId { run: inner.running, subject, occurrence: *count };
        let (came_after, paused_after) = (inner.performed, inner.paused_after);
        let description = description();
        inner.waiting.push(Waiting { id, operation, description, came_after, paused_after, go });
        Some(decision)
    }

    /// Shows the waiting requests in the order of their ids: the order in which runs are polled must not matter.
    pub fn waiting<T>(&self, look: impl FnOnce(&[Waiting]) -> T) -> T {
        let inner = &mut *lock(&self.0);
        // The requests of a killed run wait for nothing.
        inner.waiting.retain(|waiting| !waiting.go.is_closed());
        inner.waiting.sort_by_key(|waiting| waiting.id);
        look(&inner.waiting)
    }

    /// Releases the request with that id. Returns `false` if it does not wait.
    pub fn release(&self, id: EventId, fault: Option<GateFault>) -> bool {
        let inner = &mut *lock(&self.0);
        let Some(position) = inner.waiting.iter().position(|waiting| waiting.id == id) else { return false };
        let waiting = inner.waiting.remove(position);
        inner.performed += 1;
        inner.footprint = Footprint::default();
        waiting.go.send(fault).is_ok()
    }

    /// Records the footprint of the last released request.
    pub fn leave_footprint(&self, mut footprint: Footprint) {
        footprint.add(TIME, Access::Read);
        lock(&self.0).footprint = footprint;
    }

    /// The footprint of the last released request.
    pub fn footprint(&self) -> Footprint {
        lock(&self.0).footprint.clone()
    }

    /// Keeps a request to perform after all runs have ended, or a minute after that.
    pub fn keep_late(&self, far: Far, a_minute_later: bool) {
        let inner = &mut *lock(&self.0);
        if a_minute_later { inner.later.push(far) } else { inner.late.push(far) }
    }
}

/// Returns the footprint of a request to DynamoDB. `before` and `after` are the item that it may have written.
///
/// A Query reads every item of its partition of the table or the index. All strings among its values count as
/// partitions. A wrong one makes requests conflict that commute, which costs time and hides nothing. A write whose
/// condition failed only read the item.
pub fn footprint_of_dynamodb(body: &Value, before: &Value, after: &Value, succeeded: bool) -> Footprint {
    let mut footprint = Footprint::default();
    let name = |key: &Value| format!("{} {}", key["pk"]["S"], key["sk"]["S"]);
    let values = || body["ExpressionAttributeValues"].as_object().into_iter().flatten().map(|(_, value)| value);
    if let Some(condition) = body["KeyConditionExpression"].as_str() {
        let index = body["IndexName"].as_str().unwrap_or_default();
        let texts: Vec<_> = values().filter_map(|value| value["S"].as_str()).collect();
        assert!(!texts.is_empty(), "Query without a partition: {condition}");
        for text in texts {
            footprint.add(("partition", index, text), Access::Read);
        }
    } else if let Some(tables) = body["RequestItems"].as_object() {
        for key in tables.values().flat_map(|table| table["Keys"].as_array().into_iter().flatten()) {
            footprint.add(("item", name(key)), Access::Read);
        }
    } else {
        let is_write = body["Item"].is_object() || body["UpdateExpression"].is_string();
        let key = table::key_of(body);
        if !(is_write && succeeded) {
            footprint.add(("item", name(key)), Access::Read);
            return footprint;
        }
        footprint.add(("item", name(key)), Access::Write);
        footprint.add(("partition", "", key["pk"]["S"].as_str().unwrap_or_default()), Access::Touch);
        for (index, attribute) in table::INDEXES {
            for item in [before, after] {
                if let Some(partition) = item[*attribute]["S"].as_str() {
                    footprint.add(("partition", *index, partition), Access::Touch);
                }
            }
        }
    }
    footprint
}

/// Returns the subject of a request to DynamoDB. It is the same in every interleaving, so it has no times or tokens.
pub fn subject_of_dynamodb(body: &Value) -> String {
    let name = |key: &Value| format!("{} {}", key["pk"]["S"], key["sk"]["S"]);
    if let Some(tables) = body["RequestItems"].as_object() {
        let keys = tables.values().flat_map(|table| table["Keys"].as_array().into_iter().flatten());
        return keys.map(name).collect::<Vec<_>>().join(", ");
    }
    if body["KeyConditionExpression"].is_string() {
        let values = body["ExpressionAttributeValues"].as_object().into_iter().flatten();
        let mut texts: Vec<_> = values.filter_map(|(_, value)| value["S"].as_str()).collect();
        // The SDK serializes the values in any order.
        texts.sort_unstable();
        return format!("{} {}", body["IndexName"].as_str().unwrap_or("table"), texts.join(" "));
    }
    name(table::key_of(body))
}
