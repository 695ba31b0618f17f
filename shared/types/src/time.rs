//! Points in time, the clock, and TOP's GMT+8 format. Clock and randomness are passed in, so tests can control them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The format of TOP's and SCTT's times: `yyyy-MM-dd HH:mm:ss`.
const CHINA_NOTATION: &str = "%Y-%m-%d %H:%M:%S";

/// A point in time in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EpochMillis(pub i64);

impl EpochMillis {
    /// Adds `duration`. Saturates at the maximum.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// Subtracts `duration`. Saturates at the minimum.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(millis))
    }

    /// The duration until `later`; zero if `later` is not later.
    #[must_use]
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }

    /// Whole seconds since the Unix epoch, the unit of DynamoDB's time to live.
    #[must_use]
    pub fn epoch_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Formats the time for TOP: `yyyy-MM-dd HH:mm:ss` in GMT+8, independent of the machine's time zone.
    #[must_use]
    pub fn china_time(self) -> String {
        self.timestamp().to_zoned(china()).strftime(CHINA_NOTATION).to_string()
    }

    /// Parses `yyyy-MM-dd HH:mm:ss` in GMT+8; `None` if `text` is not such a time.
    #[must_use]
    pub fn from_china_time(text: &str) -> Option<Self> {
        let time = DateTime::strptime(CHINA_NOTATION, text).ok()?;
        Some(Self(time.to_zoned(china()).ok()?.timestamp().as_millisecond()))
    }

    /// Parses RFC 3339; `None` if `text` is not such a time.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        text.parse().ok().map(|time: Timestamp| Self(time.as_millisecond()))
    }

    /// The next midnight in GMT+8, when TOP's daily quotas reset.
    #[must_use]
    pub fn next_china_midnight(self) -> Self {
        let tomorrow = self.timestamp().to_zoned(china()).date().tomorrow();
        tomorrow.and_then(|date| date.to_zoned(china())).map_or_else(
            |_| self.plus(Duration::from_secs(24 * 3600)),
            |zoned| Self(zoned.timestamp().as_millisecond()),
        )
    }

    /// Clamps a time outside the calendar (years beyond ±9999) to the nearest end of the calendar.
    fn timestamp(self) -> Timestamp {
        Timestamp::from_millisecond(self.0).unwrap_or(if self.0 < 0 { Timestamp::MIN } else { Timestamp::MAX })
    }
}

/// RFC 3339 in UTC with milliseconds, for operators and logs.
impl fmt::Display for EpochMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.timestamp())
    }
}

fn china() -> TimeZone {
    TimeZone::fixed(Offset::constant(8))
}

/// Whether `text` is a time in the format of TOP's `Date` fields.
#[must_use]
pub fn is_china_time(text: &str) -> bool {
    EpochMillis::from_china_time(text).is_some()
}

/// The absolute difference between two points in time.
#[must_use]
pub fn distance(a: EpochMillis, b: EpochMillis) -> Duration {
    SignedDuration::from_millis(a.0.saturating_sub(b.0)).unsigned_abs()
}

/// A source of the current time: the system clock in functions, a virtual clock in tests.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The current time.
    fn now(&self) -> EpochMillis;
}

/// A clock that all parts of one function share.
pub type SharedClock = Arc<dyn Clock>;

/// The system clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> EpochMillis {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        EpochMillis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A source of randomness for jitter and owner tokens. It is passed in, so a test can repeat a run.
pub type SharedRandom = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Randomness from the process's generator, which the operating system seeds.
#[must_use]
pub fn system_random() -> SharedRandom {
    Arc::new(|| fastrand::u64(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stamp_is_in_gmt_plus_8() {
        // 2026-01-01 04:00:00 UTC
        assert_eq!(EpochMillis(1_767_240_000_000).china_time(), "2026-01-01 12:00:00");
        assert_eq!(EpochMillis(1_767_240_000_000).to_string(), "2026-01-01T04:00:00.000Z");
    }

    #[test]
    fn china_time_is_parsed_strictly() {
        let time = EpochMillis::from_china_time("2026-01-01 12:00:00").unwrap();
        assert_eq!(time, EpochMillis(1_767_240_000_000));
        for bad in [
            "2026-01-01",
            "2026-13-01 12:00:00",
            "2026-02-30 12:00:00",
            "",
            "2026-01-01T12:00:00",
            "2026-01-01 12:00:00 x",
        ] {
            assert!(!is_china_time(bad), "{bad}");
        }
    }

    #[test]
    fn daily_quota_resets_at_midnight_in_china() {
        let noon = EpochMillis(1_767_240_000_000);
        assert_eq!(noon.next_china_midnight().china_time(), "2026-01-02 00:00:00");
    }

    #[test]
    fn system_clock_tells_the_time() {
        let written = EpochMillis::from_rfc3339("2026-01-01T00:00:00Z").unwrap();
        assert!(SystemClock.now() > written, "this test was written later");
    }

    #[test]
    fn times_beyond_the_calendar_do_not_panic() {
        for extreme in [i64::MIN, i64::MAX] {
            let _ = EpochMillis(extreme).china_time();
            let _ = EpochMillis(extreme).to_string();
            let _ = EpochMillis(extreme).next_china_midnight();
            let _ = EpochMillis(extreme).plus(Duration::MAX);
        }
    }
}
