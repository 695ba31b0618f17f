//! The domain types of the relay: orders, links, notifications, calls, records, and API bodies. No clients, no sockets.

pub mod account;
pub mod api;
pub mod attention;
pub mod breaker;
pub mod call;
pub mod difference;
pub mod digest;
pub mod error;
pub mod failure;
pub mod json;
pub mod link;
pub mod notification;
pub mod order;
pub mod partner;
pub mod reason;
pub mod record;
pub mod redact;
#[cfg(feature = "schema")]
pub mod schema;
pub mod time;
pub mod unfinished;
pub mod view;
