//! Checks of quotas, and of the address that TOP sees.

use anyhow::{Context as _, Result, anyhow};

use crate::concurrency;
use crate::dead_letters;
use crate::deployment::Deployment;
use crate::findings::Found;

/// Messages in flight that SQS allows per standard queue. Above it, nothing more is received.
///
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html>
const MAX_IN_FLIGHT: u64 = 120_000;
/// A queue with more messages in flight is a problem.
const MANY_IN_FLIGHT: u64 = 100_000;

/// Checks that the functions that read queues leave concurrency to the API's functions.
pub async fn concurrency(deployment: &Deployment) -> Found {
    let account = concurrency::of_account(&deployment.sdk).await?;
    let parameter = |name: &str| Some(deployment.parameter(name)).filter(|value| !value.is_empty());
    concurrency::enough(account, concurrency::sum_of_limits(parameter))
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
    fn queue_near_the_limit_is_named_with_its_number() {
        assert!(
            below_the_limit(&[("notifications", 100_000), ("ship-notify", 3)]).unwrap().contains("3 of ship-notify")
        );
        let found = below_the_limit(&[("notifications", 1), ("ship-notify", 100_001)]).unwrap_err().to_string();
        assert!(found.starts_with("100001 of ship-notify;") && found.contains("120000"), "{found}");
    }
}
