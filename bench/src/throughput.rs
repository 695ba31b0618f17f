//! Measures the throughput of the whole relay in one process: notifications pass endpoint, dispatch and call, over the
//! embedded services.

use std::time::{Duration, Instant};

use relay_tests::bodies;
use relay_tests::relay::Relay;
use serde::Serialize;

use crate::workload::TICKETS;

/// Notifications between two polls of the queues.
const AT_ONCE: usize = 10;

/// The result of a throughput run.
#[derive(Debug, Clone, Serialize)]
pub struct Throughput {
    /// Notifications received, decided and sent to TOP.
    pub notifications: usize,
    /// Threads, each with a separate relay and separate services.
    pub threads: usize,
    /// Duration of the slowest thread in seconds.
    pub seconds: f64,
    /// Notifications per second of all threads together.
    pub notifications_per_second: f64,
    /// Notifications per second of one thread.
    pub per_core: f64,
}

/// Sends `notifications` through the whole relay, on one thread for each core.
pub fn run(notifications: usize) -> Result<Throughput, String> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = notifications.div_ceil(threads);
    let running: Vec<_> = (0..threads).map(|_| std::thread::spawn(move || one_thread(share))).collect();
    let mut slowest = Duration::ZERO;
    for thread in running {
        slowest = slowest.max(thread.join().map_err(|_| "a thread of the throughput run panicked".to_owned())??);
    }
    let (seconds, notifications) = (slowest.as_secs_f64(), share * threads);
    let notifications_per_second = notifications as f64 / seconds;
    let per_core = notifications_per_second / threads as f64;
    Ok(Throughput { notifications, threads, seconds, notifications_per_second, per_core })
}

fn one_thread(notifications: usize) -> Result<Duration, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let relay = Relay::new().await;
        let order = |number: usize| format!("T-{number:08}");
        for number in 0..notifications {
            relay.put_order("sctt", &order(number), &bodies::ship(&order(number), TICKETS)).await;
        }
        relay.cloud.take_sent();
        let start = Instant::now();
        for first in (0..notifications).step_by(AT_ONCE) {
            for number in first..notifications.min(first + AT_ONCE) {
                let (status, body) = relay.post_sctt(&bodies::sctt(&order(number), 2, TICKETS).to_string()).await;
                if status != 200 {
                    return Err(format!("a notification got the answer {status} {body}"));
                }
            }
            relay.poll("notifications").await;
            relay.poll("ship-notify").await;
            relay.cloud.take_sent();
        }
        let took = start.elapsed();
        let effects = relay.effects();
        if effects == notifications {
            Ok(took)
        } else {
            Err(format!("{notifications} notifications led to {effects} effects at TOP"))
        }
    })
}
