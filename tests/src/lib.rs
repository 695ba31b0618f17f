//! Runs the shipped handlers over an embedded DynamoDB, an in-process SQS and Secrets Manager, and the TOP simulator.
//!
//! SDK clients and condition expressions are real. There are no sockets, and the test controls the clock.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this crate holds tests and their support code")]

pub mod bodies;
pub mod cloud;
pub mod events;
pub mod log;
pub mod recording;
pub mod relay;
pub mod units;
