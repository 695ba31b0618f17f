//! The account's Lambda concurrency, against the limits of the functions that read queues.

use anyhow::{Context as _, Result, anyhow};
use aws_config::SdkConfig;
use relay_types::call::CallKind;

use crate::aws;
use crate::findings::{Found, Problem};

/// The parameters that limit the functions that read queues.
pub fn parameters() -> impl Iterator<Item = String> {
    let calls = CallKind::ALL.into_iter().map(CallKind::logical_prefix);
    std::iter::once("Dispatch".to_owned()).chain(calls).map(|function| format!("{function}MaximumConcurrency"))
}
/// The default of each in template.yaml.
pub const DEFAULT: u64 = 10;
/// The lowest value of each. Lambda allows no lower one.
pub const LOWEST: u64 = 2;

/// Without limits, a backlog of the queues uses up less than this.
const MUCH: u64 = 100;

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
    Some(parameters().map(|name| parameter(&name).and_then(|text| text.parse().ok()).unwrap_or(DEFAULT)).sum())
}

/// Checks that the functions that read queues leave concurrency to the API's functions. `limits` is the sum of their limits.
pub fn enough(Account { quota, unreserved }: Account, limits: Option<u64>) -> Found {
    let found = format!("{unreserved} of {quota} unreserved");
    let (is_enough, found) = match limits {
        None => (unreserved >= MUCH, format!("{found}; no limits, since BoundConcurrency is false")),
        Some(limits) if unreserved > limits => {
            (true, format!("{found}; the queues use at most {limits}, {} are left", unreserved - limits))
        }
        Some(limits) => (false, format!("{found}, and the queues may use {limits}")),
    };
    if is_enough {
        return Ok(found);
    }
    Err(Problem::new(anyhow!("{found}: a backlog would block the API"), lower_the_limits()))
}

/// The advice to lower the limits.
fn lower_the_limits() -> String {
    let lowest = parameters().map(|name| format!("{name}={LOWEST}")).collect::<Vec<_>>().join(" ");
    format!(
        "deploy with BoundConcurrency=true {lowest}, or request a higher quota: \"Concurrent executions\" of AWS Lambda in Service Quotas"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_their_defaults_are_those_of_the_template() {
        let template = include_str!("../../template.yaml");
        for name in parameters() {
            let parameter = template.split(&format!("\n  {name}:\n")).nth(1).unwrap();
            assert!(
                parameter.starts_with(&format!("    Type: Number\n    Default: {DEFAULT}\n    MinValue: {LOWEST}\n"))
            );
        }
        assert_eq!(template.matches("MaximumConcurrency:\n    Type: Number").count(), parameters().count());
    }

    #[test]
    fn limits_add_up_unless_they_are_switched_off() {
        assert_eq!(sum_of_limits(|_| None), Some(60));
        assert_eq!(sum_of_limits(|name| (name == "ShipNotifyMaximumConcurrency").then_some("2")), Some(52));
        assert_eq!(sum_of_limits(|name| (name == "BoundConcurrency").then_some("false")), None);
        let advice = lower_the_limits();
        assert!(parameters().all(|name| advice.contains(&format!("{name}=2"))), "{advice}");
    }

    #[test]
    fn limits_that_leave_nothing_to_the_api_are_a_problem() {
        let account = |unreserved| Account { quota: 1000, unreserved };
        assert!(enough(account(1000), Some(40)).unwrap().ends_with("960 are left"));
        assert!(enough(account(10), Some(8)).unwrap().ends_with("2 are left"));
        assert!(enough(account(100), None).is_ok());
        for (unreserved, limits) in [(10, Some(40)), (40, Some(40)), (8, Some(8)), (99, None)] {
            let problem = format!("{:?}", enough(account(unreserved), limits).unwrap_err());
            assert!(problem.contains("ShipNotifyMaximumConcurrency=2"), "{problem}");
        }
    }
}
