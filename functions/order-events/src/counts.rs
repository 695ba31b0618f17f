//! CloudWatch metrics of the published events.

use metrics::{Unit, counter, describe_histogram, histogram};

use crate::event::{OrderEvent, Outcome};

/// Seconds from the first delivery of a notification to TOP's success for the resulting call.
const SECONDS_TO_SUCCESS: &str = "SecondsToSuccess";

/// Declares the units of the metrics.
pub fn describe() {
    describe_histogram!(SECONDS_TO_SUCCESS, Unit::Seconds, "time from a notification to TOP's success");
}

/// Counts published events: each outcome by the kind of notification or by the call. An operator's resolution of a call
/// is not an answer of TOP, so it is not counted.
pub fn count(events: &[OrderEvent]) {
    for event in events.iter().filter(|event| event.data.kind == "order" || !event.data.said_by_person) {
        let data = &event.data;
        let (name, by) = match data.outcome {
            Outcome::Received => ("Received", "Notification"),
            Outcome::Replayed => ("Replayed", "Order"),
            Outcome::Dispatched => ("Dispatched", "Notification"),
            Outcome::Waiting => ("Waiting", "Notification"),
            Outcome::Attention => ("Attention", "Notification"),
            Outcome::Succeeded => ("Succeeded", "Call"),
            Outcome::Dismissed => ("Dismissed", "Order"),
            Outcome::Closed => ("Closed", "Order"),
            Outcome::Refused => ("Refused", "Call"),
            Outcome::Unknown => ("Unknown", "Call"),
            Outcome::Withdrawn => ("Withdrawn", "Call"),
        };
        counter!(name, by => data.kind).increment(1);
        if let Some(seconds) = data.seconds_from_notification {
            histogram!(SECONDS_TO_SUCCESS, by => data.kind).record(seconds);
        }
    }
}
