//! Tracing across the queues: a notification's trace goes with its keys, as a message's `AWSTraceHeader`, and the request
//! to TOP that it leads to is told to X-Ray as a part of it.
//!
//! Lambda traces its own invocations, and links them where a batch has messages of several traces. What it cannot know is
//! which request to TOP belongs to which message; so that is told here, to the daemon that Lambda runs beside a function.
//!
//! <https://docs.aws.amazon.com/xray/latest/devguide/xray-services-sqs.html>,
//! <https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html>

use std::net::{SocketAddr, UdpSocket};

use relay_types::time::EpochMillis;
use serde_json::json;

use crate::environment::Lookup;

/// The message attribute that a trace travels in. SQS takes it for its own.
pub const ATTRIBUTE: &str = "AWSTraceHeader";

/// The header of a request that says which trace it belongs to.
pub const HEADER: &str = "x-amzn-trace-id";

/// Where in which trace something belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place<'a> {
    trace_id: &'a str,
    parent_id: &'a str,
}

/// Reads `Root=…;Parent=…;Sampled=1`; nothing if it is not to be traced.
fn place(header: &str) -> Option<Place<'_>> {
    let part = |name: &str| header.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    (part("Sampled") == Some("1")).then_some(())?;
    Some(Place { trace_id: part("Root")?, parent_id: part("Parent")? })
}

/// A request to TOP, as it went.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// Which call.
    pub call: &'a str,
    /// Its id at TOP.
    pub key: &'a str,
    /// When it was sent.
    pub from: EpochMillis,
    /// When it was answered, or given up.
    pub to: EpochMillis,
    /// The HTTP status of the answer, if there was one.
    pub status: Option<u16>,
    /// Any number, to tell it from others of the trace.
    pub id: u64,
}

/// X-Ray's daemon, where there is one.
#[derive(Debug, Default)]
pub struct Daemon(Option<(UdpSocket, SocketAddr)>);

impl Daemon {
    /// The daemon that `AWS_XRAY_DAEMON_ADDRESS` names, as Lambda does where tracing is on.
    #[must_use]
    pub fn of(lookup: Lookup<'_>) -> Self {
        let address = || -> Option<_> {
            let address: SocketAddr = lookup("AWS_XRAY_DAEMON_ADDRESS")?.parse().ok()?;
            let socket = UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).ok()?;
            // A full buffer must not hold up a call.
            socket.set_nonblocking(true).ok()?;
            Some((socket, address))
        };
        Self(address())
    }

    /// Tells of a request to TOP that belongs to the trace of `header`. A datagram that gets lost is not told again.
    pub fn tell(&self, header: Option<&str>, sent: Sent<'_>) {
        let (Some((socket, address)), Some(place)) = (&self.0, header.and_then(place)) else { return };
        let seconds = |at: EpochMillis| json!(std::time::Duration::from_millis(at.0.unsigned_abs()).as_secs_f64());
        let mut subsegment = json!({
            "name": "TOP",
            "type": "subsegment",
            "namespace": "remote",
            "id": format!("{:016x}", sent.id),
            "trace_id": place.trace_id,
            "parent_id": place.parent_id,
            "start_time": seconds(sent.from),
            "end_time": seconds(sent.to),
            "annotations": {"call": sent.call, "key": sent.key},
        });
        match sent.status {
            Some(status) => subsegment["http"] = json!({"response": {"status": status}}),
            None => subsegment["fault"] = json!(true),
        }
        let _ = socket.send_to(format!("{{\"format\": \"json\", \"version\": 1}}\n{subsegment}").as_bytes(), address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_if_it_is_to_be_traced() {
        let header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=a:1";
        let expected = Place { trace_id: "1-5759e988-bd862e3fe1be46a994272793", parent_id: "53995c3f42cd8ad8" };
        assert_eq!(place(header), Some(expected));
        for header in [&header.replace("Sampled=1", "Sampled=0"), "Root=1-2-3;Sampled=1", "Sampled=1", ""] {
            assert_eq!(place(header), None, "{header}");
        }
    }
}
