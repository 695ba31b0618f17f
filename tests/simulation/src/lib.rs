//! The whole relay in one process on a virtual clock: the handlers as they are shipped and real AWS SDK clients, over
//! an embedded DynamoDB, a model of SQS and the TOP simulator. One seed decides what is pushed, linked, submitted and
//! replayed, and what goes wrong: any request may be dropped, performed without an answer, delayed, throttled, refused,
//! or be the last that its function lived to send. When everything has come to rest, a judge that knows nothing of the
//! relay's code says whether what is promised holds.

#![allow(clippy::expect_used, clippy::panic, reason = "a run stops where the simulation itself is wrong")]

mod callers;
pub mod coverage;
mod events;
pub mod explore;
mod facts;
mod gate;
mod judge;
mod lambda;
mod network;
mod queues;
pub mod run;
mod scenarios;
mod story;
mod table;
mod top_says;
mod world;
