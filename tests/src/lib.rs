//! The handlers as they are shipped, over an embedded DynamoDB, an in-process SQS and Secrets Manager, and the
//! TOP simulator: real SDK clients and real condition expressions, no sockets, and a clock of the test's own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this crate holds tests and what they stand on")]

pub mod bodies;
pub mod cloud;
pub mod events;
pub mod log;
pub mod relay;
pub mod units;
