//! The whole relay in one process on a virtual clock. Production handlers and real AWS SDK clients run over an embedded
//! DynamoDB, a model of SQS and the TOP simulator. One seed decides what is pushed, linked, submitted and replayed, and
//! which faults occur. Any request may be dropped, performed without an answer, delayed, throttled or refused, or be
//! the last one before its function dies. When everything has come to rest, a judge without any code of the relay
//! decides whether the promise holds.

#![allow(clippy::expect_used, clippy::panic, reason = "an error in the simulation itself ends the run")]

mod bans;
mod callers;
pub mod coverage;
mod desire;
mod events;
mod execution;
pub mod explore;
mod facts;
mod gate;
mod judge;
mod lambda;
mod network;
mod queues;
mod request;
pub mod run;
mod scenarios;
mod search;
mod services;
mod story;
mod table;
mod top_says;
mod world;
