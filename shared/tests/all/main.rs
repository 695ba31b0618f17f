//! What `shared` does over real sockets and for every input: one binary, linked once.

#![allow(clippy::unwrap_used, reason = "a test stops at the first unexpected value")]

mod http;
mod properties;
mod top_client;
