//! A simulator of the Taobao Open Platform (TOP), for tests and for development without an account.
//!
//! It validates requests by TOP's published protocol and the APIs' pages: signature, time stamp, session, fields
//! and types. It behaves as the pages say. A ledger records every request and whether it took effect. Tests can inject
//! faults. The simulator shares no code with the relay that it tests, so a mistake there is not repeated here.
//!
//! [`Simulator`] is the model: it is pure, and callers pass in the time. [`serve`] adds HTTP.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod answer;
mod effects;
mod faults;
mod form;
mod ledger;
mod multipart;
mod pages;
mod protocol;
#[cfg(test)]
mod published_pages;
#[cfg(test)]
mod request_forms;
mod server;
mod sign;
#[cfg(test)]
mod signed_request;
mod simulator;
mod validation;

pub use answer::Answer;
pub use faults::{Fault, FaultError, FaultKind};
pub use ledger::{LedgerEntry, Outcome};
pub use protocol::Credentials;
pub use server::serve;
pub use simulator::Simulator;
