//! What every function of ticket-relay is made of.
//!
//! The way of a notification: [`partner`] reads and authenticates it, [`record`] keeps it under its
//! [`order`], [`decide`] says which [`call`] it leads to, [`top`] makes that call, and [`queue`] carries the
//! keys between them. Nothing here opens a socket at import; only [`config`] reads the environment.

pub mod answer;
pub mod aws;
pub mod call;
pub mod clock;
pub mod config;
pub mod decide;
pub mod digest;
pub mod endpoint;
pub mod http;
pub mod intake;
pub mod metrics;
pub mod notification;
pub mod order;
pub mod partner;
pub mod queue;
pub mod record;
pub mod redact;
#[cfg(feature = "schema")]
pub mod schema;
pub mod secret;
pub mod sender;
pub mod telemetry;
pub mod top;
pub mod trace;
pub mod view;
pub mod wire;
