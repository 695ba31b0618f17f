//! Circuit breakers: why calls to TOP are held back, and until when.
//!
//! There is one breaker for each TOP account and call, because TOP's limits, sessions and permissions apply to that
//! pair. A breaker trips when TOP bans the call or blames the deployment. While it is tripped nothing is sent. After
//! `until`, one call is sent as a trial: its success resets the breaker, and another failure trips it again.
//!
//! A pause is a breaker, too: an operator trips it for all accounts of a call, and only an operator resets it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_with_macros::skip_serializing_none;
use strum::{AsRefStr, EnumString};

use crate::call::CallKind;
use crate::time::EpochMillis;

/// A waiting call asks at least this often whether it may be sent. A breaker for which nobody has asked since its last
/// trial was allowed holds nothing back.
const ASKED_WITHIN: Duration = Duration::from_secs(20 * 60);

/// The account of a pause: all accounts. No account can have this name.
pub const ALL_ACCOUNTS: &str = "*";

/// Until when a call is paused: until somebody resumes it. The end of the year 9999.
pub const UNTIL_RESUMED: EpochMillis = EpochMillis(253_402_300_799_000);

/// Why a breaker tripped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, AsRefStr, EnumString)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Cause {
    /// TOP's limit on the number of calls.
    Limit,
    /// The deployment is at fault: credentials, session, permissions, the IP white-list, or an unknown method.
    ConfigurationFault,
    /// An operator paused the call.
    Paused,
}

/// A tripped breaker.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// The TOP account.
    pub account: String,
    /// The call.
    pub call: CallKind,
    /// Why it tripped last.
    pub cause: Cause,
    /// When it tripped first since the last success.
    pub since: EpochMillis,
    /// When the next trial is allowed.
    pub until: EpochMillis,
    /// Identifies the trial in progress, if any.
    pub trial: Option<String>,
    /// TOP's `code`, if TOP answered.
    pub code: Option<i64>,
    /// TOP's `sub_code`, if it has one.
    pub sub_code: Option<String>,
    /// Whether the account also sends the calls that name none.
    #[serde(default)]
    pub is_default: bool,
    /// For a pause: who paused the call.
    pub by: Option<String>,
    /// For a pause: why.
    pub note: Option<String>,
    /// For a pause: when an alarm reminds of it.
    pub remind_at: Option<EpochMillis>,
}

impl Breaker {
    /// Whether nothing may be sent at `now`. If not, one call may be sent as a trial.
    #[must_use]
    pub fn blocks(&self, now: EpochMillis) -> bool {
        now < self.until
    }

    /// Whether calls may be waiting for it at `now`.
    #[must_use]
    pub fn is_in_use(&self, now: EpochMillis) -> bool {
        now < self.until.plus(ASKED_WITHIN)
    }

    /// Whether an operator paused the call.
    #[must_use]
    pub fn is_pause(&self) -> bool {
        self.account == ALL_ACCOUNTS
    }

    /// Whether it holds back a call for which the facts name `account`.
    #[must_use]
    pub fn holds(&self, call: CallKind, account: Option<&str>) -> bool {
        let is_its_account = self.is_pause() || account.map_or(self.is_default, |account| self.account == account);
        self.call == call && is_its_account
    }
}
