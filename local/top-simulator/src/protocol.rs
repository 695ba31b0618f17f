//! What the gateway itself judges before an API sees the request, in the
//! gateway's codes (error-code page, articleId 102707).

use jiff::tz;
use subtle::ConstantTimeEq;

use crate::answer::TopError;
use crate::form::Form;
use crate::pages::{Api, parse_date};
use crate::sign::{self, SignMethod};

/// What the simulator accepts: one application, authorised by one seller.
#[derive(Clone)]
pub struct Credentials {
    /// The application's public id, sent as `app_key`.
    pub app_key: String,
    /// The key of the signature; never sent.
    pub app_secret: String,
    /// The seller's authorisation, sent as `session` where an API needs it.
    pub session: String,
}

/// How far a `timestamp` may be from the gateway's clock: ten minutes.
const MAX_SKEW_MS: u64 = 10 * 60 * 1000;

/// TOP's clock stands at GMT+8, whatever the caller's zone.
const GATEWAY_OFFSET_HOURS: i8 = 8;

/// Judges the protocol parameters and tells which API is called.
///
/// # Errors
/// The gateway's own error, for the first thing that is wrong.
pub(crate) fn judge(credentials: &Credentials, now_ms: i64, form: &Form) -> Result<Api, TopError> {
    if let Some(name) = &form.repeated {
        // The table has no number for this; 43, "parameter error", is nearest.
        return Err(TopError::new(43, "Parameter error").because(format!("{name} came more than once")));
    }
    let present = |name: &str, code, msg| form.get(name).ok_or_else(|| TopError::new(code, msg));
    let method = present("method", 21, "Missing method")?;
    let app_key = present("app_key", 28, "Missing app key")?;
    let sign = present("sign", 24, "Missing signature")?;
    let timestamp = present("timestamp", 30, "Missing timestamp")?;
    let version = present("v", 32, "Missing version")?;
    // There is no number of its own for sign_method: 40 is "missing required
    // arguments", and an unknown one cannot give a valid signature (25).
    let sign_method = present("sign_method", 40, "Missing required arguments: sign_method")?;

    let api = Api::from_method(method).ok_or_else(|| TopError::new(22, "Invalid method"))?;
    if app_key != credentials.app_key {
        return Err(TopError::new(29, "Invalid app key"));
    }
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
    if form.get("format") != Some("json") {
        return Err(TopError::new(23, "Invalid format").because("this simulator answers JSON only"));
    }
    if version != "2.0" {
        return Err(TopError::new(33, "Invalid version"));
    }
    Ok(api)
}

fn is_recent(now_ms: i64, timestamp: &str) -> bool {
    parse_date(timestamp)
        .and_then(|date| tz::offset(GATEWAY_OFFSET_HOURS).to_timestamp(date).ok())
        .is_some_and(|stamp| stamp.as_millisecond().abs_diff(now_ms) <= MAX_SKEW_MS)
}
