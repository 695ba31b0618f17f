//! Counts how often runs exercised each fault at each request of each function, and each other event.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::network::Fault;

/// The names of the events that a long enough soak must produce, besides the faults of requests.
pub const EVENTS: &[&str] = &[
    "a function timed out",
    "a message was delivered twice",
    "a message was delivered after its deletion",
    "a message was lost",
    "a message moved to the dead-letter queue",
    "a message was not a key",
    "a batch had several messages",
    "a sweep enqueued keys",
    "two sweeps overlapped",
    "a partner retried",
    "a partner gave up",
    "an answer to a caller was lost",
    "a link came before all notifications",
    "a link came between notifications",
    "a link came after all notifications",
    "a link was replaced",
    "a call was submitted",
    "an operator had banned calls tried",
    "an operator replayed an order",
    "an operator resolved a call",
    "TOP banned an API for seconds",
    "TOP banned an API for the day",
    "TOP refused a call",
    "TOP executed a call and did not answer",
    "TOP neither executed a call nor answered",
    "TOP rejected the credentials",
    "a request arrived after its sender had given up",
    "an operator dismissed an order",
    "an operator withdrew or closed an order",
    "two orders were linked to the same lane",
    "an order was linked to another lane",
    "a request arrived minutes after its sender had died",
    "a read returned stale data",
    "an order still waited at rest",
    "an order needed attention",
];

/// Counters of requests, faults and events.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    /// Requests, by function and operation.
    requests: BTreeMap<(&'static str, &'static str), u64>,
    /// Faults, by function, operation and fault.
    faults: BTreeMap<(&'static str, &'static str, Fault), u64>,
    events: BTreeMap<&'static str, u64>,
}

impl Coverage {
    /// Counts a request, and the fault that it met.
    pub fn request(&mut self, function: &'static str, operation: &'static str, fault: Option<Fault>) {
        *self.requests.entry((function, operation)).or_default() += 1;
        if let Some(fault) = fault {
            *self.faults.entry((function, operation, fault)).or_default() += 1;
        }
    }

    /// Counts an event.
    pub fn saw(&mut self, what: &'static str) {
        *self.events.entry(what).or_default() += 1;
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        for (key, count) in &other.requests {
            *self.requests.entry(*key).or_default() += count;
        }
        for (key, count) in &other.faults {
            *self.faults.entry(*key).or_default() += count;
        }
        for (key, count) in &other.events {
            *self.events.entry(key).or_default() += count;
        }
    }

    /// The number of requests.
    pub fn requests(&self) -> u64 {
        self.requests.values().sum()
    }

    /// Lists everything that was never exercised: faults of requests that occurred, and events.
    pub fn gaps(&self) -> Vec<String> {
        let faults = self.requests.keys().flat_map(|(function, operation)| {
            Fault::of(operation).filter_map(move |fault| {
                let missing = !self.faults.contains_key(&(*function, *operation, fault));
                missing.then(|| format!("{function} {operation}: {}", fault.name()))
            })
        });
        let events = EVENTS.iter().filter(|event| !self.events.contains_key(*event)).map(|event| (*event).to_owned());
        faults.chain(events).collect()
    }

    /// Formats all counters as a table.
    pub fn table(&self) -> String {
        let mut text = format!("{:<20} {:<32} {:>9}", "function", "request", "sent");
        for fault in Fault::ALL {
            let _ = write!(text, " {:>9}", fault.name());
        }
        text.push('\n');
        for ((function, operation), sent) in &self.requests {
            let _ = write!(text, "{function:<20} {operation:<32} {sent:>9}");
            for fault in Fault::ALL {
                match self.faults.get(&(*function, *operation, *fault)) {
                    Some(count) => {
                        let _ = write!(text, " {count:>9}");
                    }
                    None if Fault::of(operation).any(|possible| possible == *fault) => text.push_str("         0"),
                    None => text.push_str("         -"),
                }
            }
            text.push('\n');
        }
        text.push('\n');
        for event in EVENTS {
            let _ = writeln!(text, "{event:<62} {:>9}", self.events.get(event).copied().unwrap_or_default());
        }
        text
    }
}
