//! Estimates the AWS cost of a million notifications from the measured figures and the public price list.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::contender::{Function, Kind};
use crate::report::Row;

/// Month of the prices, which are for us-east-1 without a free tier.
pub const PRICES_OF: &str = "2026-11";
/// Dollars per GB-second of Lambda on x86 (aws.amazon.com/lambda/pricing).
const GB_SECOND: f64 = 0.000_016_666_7;
/// Dollars per Lambda request.
const INVOCATION: f64 = 0.20e-6;
/// Dollars per request to an SQS standard queue (aws.amazon.com/sqs/pricing).
const SQS_REQUEST: f64 = 0.40e-6;
/// Dollars per write request unit of 1 KB in DynamoDB on demand (aws.amazon.com/dynamodb/pricing).
const WRITE_UNIT: f64 = 0.625e-6;
/// Dollars per consistent read request unit of 4 KB in DynamoDB on demand.
const READ_UNIT: f64 = 0.125e-6;
/// Dollars per request to API Gateway's REST API (aws.amazon.com/api-gateway/pricing).
const API_REQUEST: f64 = 3.50e-6;

/// Memory of each function in MB, as in the template.
const MEMORY_MB: f64 = 256.0;
/// Memory in MB that corresponds to one vCPU (docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html).
const MB_PER_PROCESSOR: f64 = 1769.0;
/// Assumed latency of one AWS request in seconds, the same for all contenders.
const AWS_ANSWERS: f64 = 0.005;
/// Assumed latency of one TOP request in seconds, the same for all contenders.
const TOP_ANSWERS: f64 = 0.100;

/// The cost of one million notifications that lead to one call each.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    /// The contender's tools.
    pub kind: Kind,
    /// AWS requests of the functions and of their SQS event sources.
    pub aws_requests: f64,
    /// GB-seconds of Lambda.
    pub gb_seconds: f64,
    /// Dollars for invocations and GB-seconds.
    pub lambda: f64,
    /// Dollars for DynamoDB.
    pub dynamodb: f64,
    /// Dollars for SQS.
    pub sqs: f64,
    /// Dollars for API Gateway.
    pub api: f64,
    /// Dollars in total.
    pub total: f64,
}

/// Calculates the cost of `kind`; `None` if one of its functions was not measured.
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
        // Lambda bills whole milliseconds.
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
    // Lambda also receives and deletes each message. Assume one message at a time, as with little traffic.
    let polled = 2.0 * sqs;
    requests += polled;
    if kind == Kind::Ours {
        // Five requests write 14 units. A record is larger than 1 KB, and it enters and leaves the index `unfinished`
        // (counted in tests/tests/relay/wire_costs.rs).
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
