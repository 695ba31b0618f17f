//! What a million notifications cost at AWS, from what was measured and the public price list.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::contender::{Function, Kind};
use crate::report::Row;

/// When the prices were read off, for us-east-1, without any free tier.
pub const PRICES_OF: &str = "2026-11";
/// Lambda on x86, per GB and second (aws.amazon.com/lambda/pricing).
const GB_SECOND: f64 = 0.000_016_666_7;
/// Lambda, per request.
const INVOCATION: f64 = 0.20e-6;
/// SQS standard queues, per request (aws.amazon.com/sqs/pricing).
const SQS_REQUEST: f64 = 0.40e-6;
/// DynamoDB on demand, per write request unit of 1 KB (aws.amazon.com/dynamodb/pricing).
const WRITE_UNIT: f64 = 0.625e-6;
/// DynamoDB on demand, per read request unit of 4 KB, consistent.
const READ_UNIT: f64 = 0.125e-6;
/// API Gateway's REST API, per request (aws.amazon.com/api-gateway/pricing).
const API_REQUEST: f64 = 3.50e-6;

/// Memory of each function, in MB, as the template sets it.
const MEMORY_MB: f64 = 256.0;
/// Memory that comes with one whole processor (docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html).
const MB_PER_PROCESSOR: f64 = 1769.0;
/// How long AWS takes to answer one request, in seconds: assumed, the same for all.
const AWS_ANSWERS: f64 = 0.005;
/// How long TOP takes, likewise.
const TOP_ANSWERS: f64 = 0.100;

/// Of one million notifications, each of which leads to one call.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    /// Made with what.
    pub kind: Kind,
    /// Requests to AWS that the functions make, and SQS's event sources for them.
    pub aws_requests: f64,
    /// Lambda's.
    pub gb_seconds: f64,
    /// Dollars for invocations and GB-seconds.
    pub lambda: f64,
    /// Dollars for DynamoDB.
    pub dynamodb: f64,
    /// Dollars for SQS.
    pub sqs: f64,
    /// Dollars for API Gateway.
    pub api: f64,
    /// Dollars for all.
    pub total: f64,
}

/// What `kind` costs.
pub fn of(kind: Kind, rows: &[Row]) -> Option<Cost> {
    let chain = [Function::ScttVoucherPush, Function::Dispatch, Function::ShipNotify];
    let rows: Vec<_> = chain
        .iter()
        .filter_map(|function| rows.iter().find(|row| row.kind == kind && row.function == *function))
        .collect();
    if rows.len() < chain.len() {
        return None;
    }
    let million = 1e6;
    let (mut gb_seconds, mut requests, mut dynamodb, mut sqs) = (0.0, 0.0, 0.0, 0.0);
    for row in &rows {
        let made: f64 = row.aws_requests();
        let waiting = made * AWS_ANSWERS + row.requests.get("top").unwrap_or(&0.0) * TOP_ANSWERS;
        let computing = row.cpu_us / 1e6 * MB_PER_PROCESSOR / MEMORY_MB;
        // Lambda counts whole milliseconds.
        let billed = ((computing + waiting) * 1000.0).ceil() / 1000.0;
        gb_seconds += million * billed * MEMORY_MB / 1024.0;
        requests += million * made;
        let sends: f64 = sum(&row.requests, "sqs");
        sqs += million * sends;
        let (reads, writes) = row.requests.iter().filter(|(name, _)| name.starts_with("dynamodb")).fold(
            (0.0, 0.0),
            |(reads, writes), (name, count)| {
                let reading = ["Query", "GetItem", "BatchGetItem"].iter().any(|read| name.ends_with(read));
                if reading { (reads + count, writes) } else { (reads, writes + count) }
            },
        );
        dynamodb += million * (reads * READ_UNIT + writes * WRITE_UNIT);
    }
    // Each message is received and deleted once more, by Lambda: one by one, as it is when few come.
    let polled = 2.0 * sqs;
    requests += polled;
    if kind == Kind::Ours {
        // Five requests write 14 units, because a record is larger than 1 KB and is added to the index `unfinished` and
        // removed from it (counted in tests/tests/relay/wire_costs.rs).
        dynamodb += million * 9.0 * WRITE_UNIT;
    }
    let lambda = gb_seconds * GB_SECOND + 3.0 * million * INVOCATION;
    let (sqs, api) = ((sqs + polled) * SQS_REQUEST, million * API_REQUEST);
    let total = lambda + dynamodb + sqs + api;
    Some(Cost { kind, aws_requests: requests, gb_seconds, lambda, dynamodb, sqs, api, total })
}

fn sum(requests: &BTreeMap<String, f64>, service: &str) -> f64 {
    requests.iter().filter(|(name, _)| name.starts_with(service)).map(|(_, count)| count).sum()
}
