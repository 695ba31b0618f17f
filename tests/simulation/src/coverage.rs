//! What was exercised how often: each fault at each request of each function, and the rest.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::network::Fault;

/// What must happen in a long enough soak besides the faults of requests, each by its name.
pub const EVENTS: &[&str] = &[
    "a function ran into its time-out",
    "a message came twice",
    "a message came again after it was handled",
    "a message was lost",
    "a message went to the dead letters",
    "a message was no key",
    "a batch had more than one message",
    "a sweep enqueued something",
    "two sweeps ran at once",
    "a partner sent again",
    "a partner gave up",
    "an answer to a caller was lost",
    "a link came before every notification",
    "a link came between notifications",
    "a link came after every notification",
    "a link was replaced",
    "a call was submitted",
    "an operator replayed an order",
    "an operator resolved a call",
    "TOP banned an API for seconds",
    "TOP banned an API for the day",
    "TOP refused a call",
    "TOP acted and did not answer",
    "TOP did neither",
    "TOP found the credentials wrong",
    "a request arrived after its sender had given up",
    "an operator dismissed an order",
    "an operator withdrew or closed an order",
    "two orders were linked to one lane",
    "an order was linked to another lane",
    "a request arrived minutes after its sender had died",
    "a read saw the table as it was",
    "a notification waited to the end",
    "a notification was for a person",
];

/// Counts.
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

    /// Counts something else.
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

    /// How many requests there were.
    pub fn requests(&self) -> u64 {
        self.requests.values().sum()
    }

    /// What was never exercised: faults of requests that occur, and events.
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

    /// A table of it all.
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
