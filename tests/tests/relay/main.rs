//! Tests of the shipped handlers over an embedded DynamoDB, an in-process SQS and the TOP simulator.
//!
//! All tests are one binary, because linking the AWS SDK once per file took longer than the tests.

#![allow(clippy::unwrap_used, reason = "a test stops at the first unexpected value")]

mod accounts;
mod alarms;
mod answers;
mod batch;
mod breakers;
mod concurrent_links;
mod connections;
mod contract;
mod counts;
mod decisions;
mod documents;
mod events;
mod field_tables;
mod flows;
mod heal;
mod held;
mod history;
mod kept;
mod layout;
mod openapi;
mod order_events;
mod orders;
mod ownership;
mod pauses;
mod properties;
mod pushes;
mod rare_writes;
mod recording;
mod refunds;
mod secrets;
mod strict_bodies;
mod tolerance;
mod top_client;
mod top_faults;
mod traces;
mod unfinished;
mod unreadable;
mod wire_costs;
