//! The account's Lambda concurrency, against the limits of the functions that read queues.

use anyhow::{Context as _, Result};
use aws_config::SdkConfig;

use crate::aws;

/// The parameters that limit the functions that read queues.
pub const PARAMETERS: [&str; 4] = [
    "DispatchMaximumConcurrency",
    "ItineraryPostbackMaximumConcurrency",
    "TicketVerifyMaximumConcurrency",
    "ShipNotifyMaximumConcurrency",
];
/// The default of each in template.yaml.
pub const DEFAULT: u64 = 10;
/// The lowest value of each. Lambda allows no lower one.
pub const LOWEST: u64 = 2;

/// The account's concurrent executions in a region.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    /// The quota.
    pub quota: u64,
    /// The part that no function of the account reserves.
    pub unreserved: u64,
}

/// Asks Lambda for the account's concurrency.
pub async fn of_account(sdk: &SdkConfig) -> Result<Account> {
    let settings = aws::get(sdk, "lambda", "/2016-08-19/account-settings").await?;
    let limit = |name: &str| {
        let limit = settings["AccountLimit"][name].as_u64();
        limit.with_context(|| format!("lambda's account settings have no {name}"))
    };
    Ok(Account { quota: limit("ConcurrentExecutions")?, unreserved: limit("UnreservedConcurrentExecutions")? })
}

/// The sum of the limits, given each parameter's value; `None` if nothing limits the functions.
pub fn sum_of_limits<'a>(parameter: impl Fn(&str) -> Option<&'a str>) -> Option<u64> {
    if parameter("BoundConcurrency") == Some("false") {
        return None;
    }
    Some(PARAMETERS.iter().map(|name| parameter(name).and_then(|text| text.parse().ok()).unwrap_or(DEFAULT)).sum())
}

/// The advice to lower the limits.
pub fn lower_the_limits() -> String {
    format!(
        "deploy with {}={LOWEST}, or request a higher quota: \"Concurrent executions\" of AWS Lambda in Service Quotas",
        PARAMETERS.join(&format!("={LOWEST} "))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_their_defaults_are_those_of_the_template() {
        let template = include_str!("../../template.yaml");
        for name in PARAMETERS {
            let parameter = template.split(&format!("\n  {name}:\n")).nth(1).unwrap();
            assert!(
                parameter.starts_with(&format!("    Type: Number\n    Default: {DEFAULT}\n    MinValue: {LOWEST}\n"))
            );
        }
        assert_eq!(template.matches("MaximumConcurrency:\n    Type: Number").count(), PARAMETERS.len());
    }

    #[test]
    fn limits_add_up_unless_they_are_switched_off() {
        assert_eq!(sum_of_limits(|_| None), Some(40));
        assert_eq!(sum_of_limits(|name| (name == PARAMETERS[1]).then_some("2")), Some(32));
        assert_eq!(sum_of_limits(|name| (name == "BoundConcurrency").then_some("false")), None);
        let advice = lower_the_limits();
        assert!(PARAMETERS.iter().all(|name| advice.contains(&format!("{name}=2"))), "{advice}");
    }
}
