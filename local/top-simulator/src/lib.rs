//! A stand-in for the Taobao Open Platform (TOP), for tests and for
//! development without an account.
//!
//! It judges what it is sent by TOP's published protocol and the three APIs'
//! pages: signature, time stamp, session, fields and types. It behaves as the
//! pages say, keeps a ledger of every request and of whether it took effect,
//! and fails when told to. It shares no code with the relay that it tests, so
//! a mistake there is not repeated here.
//!
//! [`Simulator`] is the model: pure, its clock passed in. [`serve`] puts HTTP
//! in front of it.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod answer;
mod effects;
mod faults;
mod form;
mod ledger;
mod pages;
mod protocol;
mod server;
mod sign;
#[cfg(test)]
mod signed_request;
mod simulator;

pub use answer::Answer;
pub use faults::{Fault, FaultError, FaultKind};
pub use ledger::{LedgerEntry, Outcome};
pub use protocol::Credentials;
pub use server::serve;
pub use simulator::Simulator;
