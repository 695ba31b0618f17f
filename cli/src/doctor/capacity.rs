//! Checks of quotas, and of the address that TOP sees.

use anyhow::{Context as _, Result, anyhow};

use crate::concurrency::{self, Account};
use crate::dead_letters;
use crate::deployment::Deployment;
use crate::findings::{Found, Problem};

/// Messages in flight that SQS allows per standard queue. Above it, nothing more is received.
///
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html>
const MAX_IN_FLIGHT: u64 = 120_000;
/// A queue with more messages in flight is a problem.
const MANY_IN_FLIGHT: u64 = 100_000;

/// Checks that the functions that read queues leave concurrency to the API's functions.
pub async fn concurrency(deployment: &Deployment) -> Found {
    let Account { quota, unreserved } = concurrency::of_account(&deployment.sdk).await?;
    let parameter = |name: &str| Some(deployment.parameter(name)).filter(|value| !value.is_empty());
    enough(quota, unreserved, concurrency::sum_of_limits(parameter))
}

fn enough(quota: u64, unreserved: u64, limits: Option<u64>) -> Found {
    let Some(limits) = limits else {
        return Ok(format!("{unreserved} of {quota} unreserved; no limits, since BoundConcurrency is false"));
    };
    match unreserved.checked_sub(limits).filter(|left| *left > 0) {
        Some(left) => {
            Ok(format!("{unreserved} of {quota} unreserved; the queues use at most {limits}, {left} are left"))
        }
        None => {
            let found = anyhow!(
                "{unreserved} of {quota} unreserved, and the queues may use {limits}: a backlog would block the API"
            );
            Err(Problem::new(found, concurrency::lower_the_limits()))
        }
    }
}

/// Checks that no queue is near SQS's limit of messages in flight.
pub async fn in_flight(deployment: &Deployment) -> Found {
    let queues = dead_letters::in_flight(deployment).await.context("the queues could not be read")?;
    Ok(below_the_limit(&queues)?)
}

fn below_the_limit(queues: &[(&str, u64)]) -> Result<String> {
    let shown = |queues: Vec<&(&str, u64)>| {
        let each = queues.into_iter().map(|(name, count)| format!("{count} of {name}"));
        format!("{}; SQS allows {MAX_IN_FLIGHT} per queue", each.collect::<Vec<_>>().join(", "))
    };
    let many: Vec<_> = queues.iter().filter(|(_, count)| *count > MANY_IN_FLIGHT).collect();
    if many.is_empty() { Ok(shown(queues.iter().collect())) } else { Err(anyhow!(shown(many))) }
}

/// Says which address TOP sees.
pub fn address(deployment: &Deployment) -> String {
    let subnets = deployment.parameter("VpcSubnetIds");
    if subnets.is_empty() {
        return "not fixed: Lambda's addresses change; set VpcSubnetIds if TOP's IP white-list is on".to_owned();
    }
    format!(
        "the Elastic IP of the NAT gateway behind {subnets}: output FixedAddress of network.yaml; add it to TOP's IP \
         white-list"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_leave_nothing_to_the_api_are_a_problem() {
        assert!(enough(1000, 1000, Some(40)).unwrap().ends_with("960 are left"));
        assert!(enough(10, 10, Some(8)).unwrap().ends_with("2 are left"));
        assert!(enough(10, 10, None).is_ok());
        for unreserved in [10, 40] {
            assert!(enough(1000, unreserved, Some(40)).is_err(), "{unreserved}");
        }
    }

    #[test]
    fn queue_near_the_limit_is_named_with_its_number() {
        assert!(
            below_the_limit(&[("notifications", 100_000), ("ship-notify", 3)]).unwrap().contains("3 of ship-notify")
        );
        let found = below_the_limit(&[("notifications", 1), ("ship-notify", 100_001)]).unwrap_err().to_string();
        assert!(found.starts_with("100001 of ship-notify;") && found.contains("120000"), "{found}");
    }
}
