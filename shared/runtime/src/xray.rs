//! Tracing across the queues. A notification's trace travels with its keys, as the `AWSTraceHeader` of each message.
//! The resulting request to TOP is reported to X-Ray as a part of that trace.
//!
//! Lambda traces its own invocations, and links them if a batch has messages of several traces. It cannot know which
//! request to TOP belongs to which message. This module reports that to the daemon that Lambda runs next to a function.
//!
//! <https://docs.aws.amazon.com/xray/latest/devguide/xray-services-sqs.html>,
//! <https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html>

use std::net::{SocketAddr, UdpSocket};

use relay_types::time::EpochMillis;
use serde_json::json;

use crate::environment::Lookup;

/// The message attribute that carries a trace: a system attribute of SQS.
pub const ATTRIBUTE: &str = "AWSTraceHeader";

/// The request header that carries a trace.
pub const HEADER: &str = "x-amzn-trace-id";

/// A position in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place<'a> {
    trace_id: &'a str,
    parent_id: &'a str,
}

/// Parses `Root=…;Parent=…;Sampled=1`. `None` if the trace is not sampled.
fn place(header: &str) -> Option<Place<'_>> {
    let part = |name: &str| header.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    (part("Sampled") == Some("1")).then_some(())?;
    Some(Place { trace_id: part("Root")?, parent_id: part("Parent")? })
}

/// A completed request to TOP.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// The call's name.
    pub call: &'a str,
    /// The call's id at TOP.
    pub key: &'a str,
    /// When the request was sent.
    pub from: EpochMillis,
    /// When TOP answered, or the sender gave up.
    pub to: EpochMillis,
    /// The HTTP status, if TOP answered.
    pub status: Option<u16>,
    /// A random number that identifies the request within the trace.
    pub id: u64,
}

/// The X-Ray daemon, if there is one.
#[derive(Debug, Default)]
pub struct Daemon(Option<(UdpSocket, SocketAddr)>);

impl Daemon {
    /// The daemon at `AWS_XRAY_DAEMON_ADDRESS`, which Lambda sets when tracing is on.
    #[must_use]
    pub fn of(lookup: Lookup<'_>) -> Self {
        let address = || -> Option<_> {
            let address: SocketAddr = lookup("AWS_XRAY_DAEMON_ADDRESS")?.parse().ok()?;
            let socket = UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).ok()?;
            // A full buffer must not delay a call.
            socket.set_nonblocking(true).ok()?;
            Some((socket, address))
        };
        Self(address())
    }

    /// Reports a request to TOP as part of the trace in `header`. A lost datagram is not sent again.
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
    fn only_sampled_headers_are_parsed() {
        let header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=a:1";
        let expected = Place { trace_id: "1-5759e988-bd862e3fe1be46a994272793", parent_id: "53995c3f42cd8ad8" };
        assert_eq!(place(header), Some(expected));
        for header in [&header.replace("Sampled=1", "Sampled=0"), "Root=1-2-3;Sampled=1", "Sampled=1", ""] {
            assert_eq!(place(header), None, "{header}");
        }
    }
}
