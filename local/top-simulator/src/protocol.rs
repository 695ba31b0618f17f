//! The gateway's checks before an API sees the request, with the gateway's error codes (page articleId 102707).

use jiff::tz;
use subtle::ConstantTimeEq;

use crate::answer::TopError;
use crate::form::Form;
use crate::pages::Api;
use crate::sign::{self, SignMethod};
use crate::validation::parse_date;

/// Credentials that the simulator accepts: an application, authorised by a seller.
#[derive(Clone)]
pub struct Credentials {
    /// The application's public id, sent as `app_key`.
    pub app_key: String,
    /// The signing key; never sent.
    pub app_secret: String,
    /// The seller's authorisation, sent as `session` if an API needs it.
    pub session: String,
}

/// Maximum difference between `timestamp` and the gateway's clock: ten minutes.
const MAX_SKEW_MS: u64 = 10 * 60 * 1000;

/// TOP's time zone is GMT+8, whatever the caller's.
const GATEWAY_OFFSET_HOURS: i8 = 8;

/// Checks the protocol parameters and returns the called API.
///
/// # Errors
/// The gateway's error for the first check that fails.
pub(crate) fn judge(accounts: &[Credentials], now_ms: i64, form: &Form) -> Result<Api, TopError> {
    if let Some(name) = &form.repeated {
        // The error page has no code for this; 43, "parameter error", is the nearest.
        return Err(TopError::new(43, "Parameter error").because(format!("{name} was sent more than once")));
    }
    let present = |name: &str, code, msg| form.get(name).ok_or_else(|| TopError::new(code, msg));
    let method = present("method", 21, "Missing method")?;
    let app_key = present("app_key", 28, "Missing app key")?;
    let sign = present("sign", 24, "Missing signature")?;
    let timestamp = present("timestamp", 30, "Missing timestamp")?;
    let version = present("v", 32, "Missing version")?;
    // sign_method has no code of its own. A missing one is 40, "missing required arguments". With an unknown one, no
    // signature is valid (25).
    let sign_method = form.get("sign_method").ok_or_else(|| TopError::missing_argument("sign_method"))?;

    let api = Api::from_method(method).ok_or_else(|| TopError::new(22, "Invalid method"))?;
    let account = accounts.iter().find(|account| account.app_key == app_key);
    let credentials = account.ok_or_else(|| TopError::new(29, "Invalid app key"))?;
    if !is_recent(now_ms, timestamp) {
        return Err(TopError::new(31, "Invalid timestamp"));
    }
    let sign_method = SignMethod::from_parameter(sign_method)
        .ok_or_else(|| TopError::new(25, "Invalid signature").because("sign_method is unknown"))?;
    if !sign::is_valid(sign_method, &credentials.app_secret, &form.params, sign) {
        return Err(TopError::new(25, "Invalid signature"));
    }
    match form.get("session") {
        None if api.needs_session() => return Err(TopError::new(26, "Missing session")),
        Some(session) if !bool::from(session.as_bytes().ct_eq(credentials.session.as_bytes())) => {
            return Err(TopError {
                sub_code: Some("invalid-sessionkey".to_owned()),
                ..TopError::new(27, "Invalid session").because("SessionKey非法")
            });
        }
        _ => {}
    }
    if !matches!(form.get("format"), None | Some("json" | "xml")) {
        return Err(TopError::new(23, "Invalid format"));
    }
    if version != "2.0" {
        return Err(TopError::new(33, "Invalid version"));
    }
    Ok(api)
}

fn is_recent(now_ms: i64, timestamp: &str) -> bool {
    epoch_ms(timestamp).is_some_and(|stamp_ms| stamp_ms.abs_diff(now_ms) <= MAX_SKEW_MS)
}

/// Parses a time stamp: a date in the gateway's time zone, or Unix epoch milliseconds as some of TOP's SDKs send them.
fn epoch_ms(timestamp: &str) -> Option<i64> {
    if timestamp.bytes().all(|byte| byte.is_ascii_digit()) {
        return timestamp.parse().ok();
    }
    let stamp = tz::offset(GATEWAY_OFFSET_HOURS).to_timestamp(parse_date(timestamp)?).ok()?;
    Some(stamp.as_millisecond())
}
