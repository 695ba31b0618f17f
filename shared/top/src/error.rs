//! Classifies TOP's errors by their effect on the call: rejected, not executed, configuration fault, or unknown.

use std::time::Duration;

use relay_types::failure::Failure;

/// The effect of a TOP error on the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// The request is at fault. TOP would refuse a retry as well.
    Rejected,
    /// TOP did not execute the call. Retry it, but not before the ban is over.
    NotExecuted {
        /// The ban that TOP named, if any.
        ban: Option<Ban>,
    },
    /// The deployment is at fault, not the order: credentials, permissions, or the IP white-list. It does not pass by
    /// itself. The call is retried at a slow pace, and an alarm fires.
    ConfigurationFault,
    /// The service behind TOP may have acted. The call's resend policy decides.
    Ambiguous,
    /// The service behind TOP may have acted, and TOP says never to retry. The order needs attention.
    AmbiguousForGood,
}

impl ErrorClass {
    /// The name in logs, metrics and histories.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::NotExecuted { .. } => "not_executed",
            Self::ConfigurationFault => "configuration_fault",
            Self::Ambiguous | Self::AmbiguousForGood => "unknown",
        }
    }
}

/// How long TOP refuses calls because of its rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ban {
    /// "This ban will last for N more seconds."
    For(Duration),
    /// The daily quota is used up and TOP named no time. The quota resets at midnight, GMT+8.
    UntilMidnight,
}

/// Maximum ban. No ban outlasts the daily quota, so a longer one is an error that must not strand the call.
const LONGEST_BAN: Duration = Duration::from_secs(24 * 3600);

/// Classifies an `error_response` according to TOP's page of error codes.
#[must_use]
pub fn classify(failure: &Failure) -> ErrorClass {
    let sub_code = failure.sub_code.as_deref().unwrap_or_default();
    match failure.code {
        // Rate limits.
        Some(4..=8) => ErrorClass::NotExecuted { ban: ban(failure) },
        // Time stamp. The next attempt has a new one.
        Some(30 | 31) => ErrorClass::NotExecuted { ban: None },
        // Permissions and white-lists (11, 12, 13, 42, 44, 53), signature and app key (24, 25, 28, 29), and session
        // (26, 27).
        Some(11..=13 | 24..=29 | 42 | 44 | 53) => ErrorClass::ConfigurationFault,
        // Malformed request.
        Some(9 | 21..=23 | 32..=34 | 40 | 41 | 43 | 47) => ErrorClass::Rejected,
        // Service unavailable (10; according to TOP's page mostly an unforeseen exception), remote service (15, 50),
        // and codes that no page lists. The sub-code says more.
        _ => classify_sub_code(sub_code, failure),
    }
}

/// Classifies by sub-code. Sub-codes may have a suffix after `:`, so only the prefix is compared.
fn classify_sub_code(sub_code: &str, failure: &Failure) -> ErrorClass {
    // No TOP page says that an isp error means "not executed". So isp errors are unknown: a call that may be repeated
    // is retried, any other is not. TOP says never to retry after these:
    const NEVER_AGAIN: [&str; 3] = ["isp.null-pointer-exception", "isp.top-parse-error", "isp.top-mapping-parse-error"];

    if sub_code.starts_with("accesscontrol.") {
        ErrorClass::NotExecuted { ban: ban(failure) }
    } else if sub_code.starts_with("isv.") {
        ErrorClass::Rejected
    } else if NEVER_AGAIN.iter().any(|beginning| sub_code.starts_with(beginning)) {
        // The service failed while it worked, or TOP failed to read its response. The service may well have acted.
        ErrorClass::AmbiguousForGood
    } else {
        // Nothing says that the service did not act.
        ErrorClass::Ambiguous
    }
}

fn ban(failure: &Failure) -> Option<Ban> {
    let message = failure.message.to_ascii_lowercase();
    let seconds = message.split_once("ban will last for").and_then(|(_, rest)| {
        let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    let is_day_quota =
        failure.sub_code.as_deref().is_some_and(|code| code.starts_with("accesscontrol.limited-by-app-access-count"));
    match seconds {
        Some(seconds) => Some(Ban::For(Duration::from_secs(seconds).min(LONGEST_BAN))),
        None if is_day_quota => Some(Ban::UntilMidnight),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i64, sub_code: &str, message: &str) -> Failure {
        Failure {
            code: Some(code),
            sub_code: (!sub_code.is_empty()).then(|| sub_code.to_owned()),
            message: message.to_owned(),
            request_id: None,
        }
    }

    const NOT_EXECUTED: ErrorClass = ErrorClass::NotExecuted { ban: None };

    #[test]
    fn every_listed_code_has_the_class_of_its_row() {
        let rows: [(&[i64], ErrorClass); 6] = [
            (&[4, 5, 6, 7, 8], NOT_EXECUTED),
            (&[9, 21, 22, 23, 32, 33, 34, 40, 41, 43, 47], ErrorClass::Rejected),
            (&[30, 31], NOT_EXECUTED),
            (&[11, 12, 13, 42, 44, 53], ErrorClass::ConfigurationFault),
            (&[24, 25, 26, 27, 28, 29], ErrorClass::ConfigurationFault),
            (&[10, 15, 50, 1, 999], ErrorClass::Ambiguous),
        ];
        for (codes, class) in rows {
            for code in codes {
                assert_eq!(classify(&failure(*code, "", "")), class, "code {code}");
            }
        }
    }

    #[test]
    fn remote_service_errors_are_classified_by_sub_code() {
        for (sub_code, class) in [
            ("isv.invalid-parameter", ErrorClass::Rejected),
            ("isv.invalid-parameter:order_id", ErrorClass::Rejected),
            ("isp.null-pointer-exception", ErrorClass::AmbiguousForGood),
            ("isp.top-parse-error:x", ErrorClass::AmbiguousForGood),
            ("isp.top-mapping-parse-error", ErrorClass::AmbiguousForGood),
            ("isp.top-remote-connection-timeout", ErrorClass::Ambiguous),
            ("isp.top-remote-service-timeout:x", ErrorClass::Ambiguous),
            ("isp.http-read-timeout", ErrorClass::Ambiguous),
            ("isp.remote-service-error", ErrorClass::Ambiguous),
            ("isp.service-unavailable", ErrorClass::Ambiguous),
            ("isp.unknown-error", ErrorClass::Ambiguous),
            ("accesscontrol.limited-by-api-access-count", NOT_EXECUTED),
            ("unheard-of", ErrorClass::Ambiguous),
        ] {
            for code in [15, 50] {
                assert_eq!(classify(&failure(code, sub_code, "")), class, "{code} {sub_code}");
            }
        }
    }

    #[test]
    fn ban_lasts_as_long_as_top_says() {
        for (sub_code, message, ban) in [
            (
                "accesscontrol.limited-by-api-access-count",
                "This ban will last for 1 more seconds",
                Some(Ban::For(Duration::from_secs(1))),
            ),
            (
                "accesscontrol.limited-by-app-access-count",
                "This ban will last for 31062 more seconds",
                Some(Ban::For(Duration::from_secs(31062))),
            ),
            ("", "This ban will last for 99999999 more seconds", Some(Ban::For(Duration::from_secs(86_400)))),
            ("accesscontrol.limited-by-app-access-count", "", Some(Ban::UntilMidnight)),
            ("accesscontrol.limited-by-app-api-access-count", "", None),
            ("", "This ban will last for ever", None),
        ] {
            assert_eq!(classify(&failure(7, sub_code, message)), ErrorClass::NotExecuted { ban });
        }
    }
}
