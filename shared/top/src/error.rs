//! Classifies TOP's errors by their effect on the call: rejected, not executed, configuration fault, or unknown.

use std::str::FromStr;
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

/// What is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The order: TOP would refuse its request again.
    Order,
    /// A limit, or a moment: a later attempt may succeed. TOP did not execute the call.
    Limit,
    /// The deployment: every order would meet it. TOP did not execute the call.
    Deployment,
    /// Nobody knows whether the service behind TOP acted.
    Unknown,
    /// As `Unknown`, and TOP says never to retry.
    UnknownForGood,
}

/// The codes whose sub-code does not matter. Source: TOP's page of error codes, <https://open.taobao.com/doc.htm?docId=102707>,
/// unless a row names another source.
const CODES: [(&[i64], Fault); 5] = [
    // Rate limits.
    (&[4, 5, 6, 7, 8], Fault::Limit),
    // The time stamp is missing or wrong. The next attempt has a new one.
    (&[30, 31], Fault::Limit),
    // Permissions and white-lists (11, 12, 13, 42, 44, 53), signature and app key (24, 25, 28, 29), session (26, 27).
    (&[11, 12, 13, 24, 25, 26, 27, 28, 29, 42, 44, 53], Fault::Deployment),
    // The parts of a request that are the same for every order: HTTP method (9), API method (21, 22), format (23), version
    // (32, 33, 34), encoding (43). TOP retires methods with some weeks' notice, and then answers 22.
    (&[9, 21, 22, 23, 32, 33, 34, 43], Fault::Deployment),
    // Missing (40) or invalid (41) parameters, and 47, an invalid encoding of one.
    (&[40, 41, 47], Fault::Order),
];

/// Words, in lower case, and the fault that they mean whatever the code is. Source: public reports of such answers
/// (`isv.access-limited` and `isv.invalid-sessionkey` under the codes 15 and 50, a bare number as sub-code); no page of TOP
/// lists them.
const WORDS: [(&[&str], Fault); 3] = [
    (&["session", "access token", "accesstoken", "授权", "会话"], Fault::Deployment),
    (
        &[
            "permission", "unauthorized", "not authorized", "privilege", "whitelist", "white-list", "权限", "白名单",
            "invalid-method", "invalid method", "method-not", "method not",
        ],
        Fault::Deployment,
    ),
    (
        &[
            "limit", "frequen", "busy", "flow", "qps", "throttl", "too-many", "too many", "频率", "频繁", "限流",
            "流控", "繁忙",
        ],
        Fault::Limit,
    ),
];

/// The words that count in a message even if nothing else says that the gateway refused the call. Others, such as "busy" and
/// "limit", also occur after the service behind TOP has acted ("time limit exceeded").
const PLAIN_WORDS: [(&[&str], Fault); 2] = [
    (&["invalid session", "session expired", "session key", "sessionkey"], Fault::Deployment),
    (&["too many requests", "too frequen", "throttl", "rate limit", "频率", "频繁", "限流", "流控"], Fault::Limit),
];

/// Prefixes of sub-codes, compared after the words. A sub-code may have a suffix after `:`.
const SUB_CODES: [(&str, Fault); 5] = [
    ("accesscontrol.", Fault::Limit),
    // TOP says never to retry after these. The service failed while it worked, or TOP failed to read its response.
    ("isp.null-pointer-exception", Fault::UnknownForGood),
    ("isp.top-parse-error", Fault::UnknownForGood),
    ("isp.top-mapping-parse-error", Fault::UnknownForGood),
    // "isv" is the caller.
    ("isv.", Fault::Order),
];

/// A deployment's own rows of the table, compared first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorClasses(Vec<(i64, String, Fault)>);

impl FromStr for ErrorClasses {
    type Err = String;

    /// Reads `CODE=FAULT` or `CODE:SUB_CODE=FAULT`, separated by commas. The sub-code may be a prefix; the fault is `order`,
    /// `limit`, `deployment` or `unknown`.
    fn from_str(text: &str) -> Result<Self, String> {
        let row = |row: &str| {
            let (error, fault) = row.trim().split_once('=')?;
            let (code, sub_code) = error.split_once(':').unwrap_or((error, ""));
            let fault = match fault.trim() {
                "order" => Fault::Order,
                "limit" => Fault::Limit,
                "deployment" => Fault::Deployment,
                "unknown" => Fault::Unknown,
                _ => return None,
            };
            Some((code.trim().parse().ok()?, sub_code.trim().to_owned(), fault))
        };
        let rows = text.split(',').filter(|text| !text.trim().is_empty());
        let rows = rows.map(|text| {
            row(text).ok_or_else(|| {
                format!("{text} is not CODE=FAULT or CODE:SUB_CODE=FAULT with order, limit, deployment or unknown")
            })
        });
        rows.collect::<Result<_, _>>().map(Self)
    }
}

/// Classifies an `error_response`. Also returns whether the error is known: an operator should look at others, and
/// `TopErrorClasses` can classify them.
#[must_use]
pub fn classify(failure: &Failure, own: &ErrorClasses) -> (ErrorClass, bool) {
    let known = fault(failure, own);
    let class = match known.unwrap_or(Fault::Unknown) {
        Fault::Order => ErrorClass::Rejected,
        Fault::Limit => ErrorClass::NotExecuted { ban: ban(failure) },
        Fault::Deployment => ErrorClass::ConfigurationFault,
        Fault::Unknown => ErrorClass::Ambiguous,
        Fault::UnknownForGood => ErrorClass::AmbiguousForGood,
    };
    (class, known.is_some())
}

/// Classifies a response that is not TOP's JSON. It comes from something in front of the gateway.
#[must_use]
pub const fn classify_status(http_status: u16) -> ErrorClass {
    match http_status {
        // A limit in front of the gateway, which did not pass the request on.
        429 => ErrorClass::NotExecuted { ban: None },
        // A redirection, a refusal, or a proxy that wants credentials: the URL or the network is wrong for every order.
        300..=399 | 401 | 403 | 404 | 405 | 407 | 410 => ErrorClass::ConfigurationFault,
        _ => ErrorClass::Ambiguous,
    }
}

/// The fault that the table finds; `None` for an error that it does not know.
fn fault(failure: &Failure, own: &ErrorClasses) -> Option<Fault> {
    let sub_code = failure.sub_code.as_deref().unwrap_or_default();
    let is_row =
        |(code, prefix, _): &&(i64, String, Fault)| failure.code == Some(*code) && sub_code.starts_with(prefix);
    if let Some((.., fault)) = own.0.iter().find(is_row) {
        return Some(*fault);
    }
    let code = failure.code.unwrap_or_default();
    let by_code = CODES.iter().find(|(codes, _)| codes.contains(&code)).map(|(_, fault)| *fault);
    let is_refused = by_code == Some(Fault::Order) || sub_code.starts_with("isv.");
    // A code that is nobody's fault but the order's may still speak of something else.
    by_code
        .filter(|fault| *fault != Fault::Order)
        .or_else(|| by_words(sub_code, &failure.message, is_refused))
        .or(by_code)
        .or_else(|| {
            let by_sub_code = SUB_CODES.iter().find(|(prefix, _)| sub_code.starts_with(prefix));
            // Service unavailable (10; according to TOP's page mostly an unforeseen exception) and remote service (15, 50): no
            // page says that an isp error means "not executed".
            let is_remote = matches!(code, 10 | 15 | 50) || sub_code.starts_with("isp.");
            by_sub_code.map(|(_, fault)| *fault).or_else(|| is_remote.then_some(Fault::Unknown))
        })
}

/// The fault that the words mean. `is_refused` says that the code or sub-code is the gateway's refusal, so the service behind
/// TOP did not act: then all words of the message count, except where it may quote a parameter's value.
fn by_words(sub_code: &str, message: &str, is_refused: bool) -> Option<Fault> {
    // The service behind TOP reports isp errors, so it may have acted.
    if sub_code.starts_with("isp.") {
        return None;
    }
    let names_parameter =
        sub_code.starts_with("isv.invalid-parameter") || sub_code.starts_with("isv.missing-parameter");
    let find = |text: &str, words: &[(&[&str], Fault)]| {
        let text = text.to_lowercase();
        words.iter().find(|(words, _)| words.iter().any(|word| text.contains(word))).map(|(_, fault)| *fault)
    };
    find(sub_code, &WORDS).or_else(|| match (names_parameter, is_refused) {
        (true, _) => None,
        (false, true) => find(message, &WORDS),
        (false, false) => find(message, &PLAIN_WORDS),
    })
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

    fn classify(failure: &Failure) -> ErrorClass {
        super::classify(failure, &ErrorClasses::default()).0
    }

    const NOT_EXECUTED: ErrorClass = ErrorClass::NotExecuted { ban: None };

    #[test]
    fn every_listed_code_has_the_class_of_its_row() {
        let rows: [(&[i64], ErrorClass); 7] = [
            (&[4, 5, 6, 7, 8], NOT_EXECUTED),
            (&[40, 41, 47], ErrorClass::Rejected),
            (&[9, 21, 22, 23, 32, 33, 34, 43], ErrorClass::ConfigurationFault),
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
    fn limits_sessions_and_methods_are_not_the_orders_fault_whatever_the_code() {
        for (sub_code, message, class) in [
            ("isv.access-limited", "", NOT_EXECUTED),
            ("isv.flow-control", "", NOT_EXECUTED),
            ("isv.system-busy", "", NOT_EXECUTED),
            ("9100", "请求过于频繁，请稍后再试", NOT_EXECUTED),
            ("9100", "Too many requests", NOT_EXECUTED),
            ("isv.invalid-sessionkey", "", ErrorClass::ConfigurationFault),
            ("isv.session-expired:x", "", ErrorClass::ConfigurationFault),
            ("isv.permission-denied", "", ErrorClass::ConfigurationFault),
            ("isv.invalid-method", "", ErrorClass::ConfigurationFault),
            ("isv.missing-parameter:session", "", ErrorClass::ConfigurationFault),
            // The message quotes a parameter.
            ("isv.invalid-parameter:total_price", "price is over the limit", ErrorClass::Rejected),
            ("isv.order-not-exist", "no such order", ErrorClass::Rejected),
        ] {
            for code in [15, 50, 40, 999] {
                assert_eq!(classify(&failure(code, sub_code, message)), class, "{code} {sub_code} {message}");
            }
        }
        // The service behind TOP may have acted before it failed.
        for (sub_code, message) in [
            ("", "系统繁忙，请稍后再试"),
            ("9100", "stack overflow"),
            ("9100", "time limit exceeded"),
            ("", "Hibernate session closed"),
            ("isp.unknown-error", "too many requests"),
        ] {
            for code in [10, 15, 50, 999] {
                assert_eq!(classify(&failure(code, sub_code, message)), ErrorClass::Ambiguous, "{code} {message}");
            }
        }
        for code in [10, 15, 50, 999] {
            assert_eq!(classify(&failure(code, "isp.remote-service-busy", "")), ErrorClass::Ambiguous);
        }
    }

    #[test]
    fn unlisted_errors_are_unknown_until_a_deployment_classifies_them() {
        let unlisted = failure(900, "9100", "x");
        assert_eq!(super::classify(&unlisted, &ErrorClasses::default()), (ErrorClass::Ambiguous, false));
        for (own, class) in [
            ("900=order", ErrorClass::Rejected),
            ("900:91=limit", NOT_EXECUTED),
            ("15=order, 900:9100=deployment", ErrorClass::ConfigurationFault),
            ("900:9100=unknown", ErrorClass::Ambiguous),
        ] {
            assert_eq!(super::classify(&unlisted, &own.parse().unwrap()), (class, true), "{own}");
        }
        assert_eq!(super::classify(&unlisted, &"900:8=order".parse().unwrap()), (ErrorClass::Ambiguous, false));
        for wrong in ["900", "x=limit", "900=whatever", "900:1"] {
            assert!(wrong.parse::<ErrorClasses>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn answers_from_in_front_of_the_gateway_are_classified_by_status() {
        for (status, class) in [
            (429, NOT_EXECUTED),
            (503, ErrorClass::Ambiguous),
            (403, ErrorClass::ConfigurationFault),
            (404, ErrorClass::ConfigurationFault),
            (302, ErrorClass::ConfigurationFault),
            (200, ErrorClass::Ambiguous),
            (500, ErrorClass::Ambiguous),
            (502, ErrorClass::Ambiguous),
            (504, ErrorClass::Ambiguous),
        ] {
            assert_eq!(classify_status(status), class, "{status}");
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
