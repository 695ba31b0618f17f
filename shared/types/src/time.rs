//! Time, passed in: points in time, the clock that tells them, and TOP's GMT+8 notation.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The notation of TOP's and SCTT's times: `yyyy-MM-dd HH:mm:ss`.
const CHINA_NOTATION: &str = "%Y-%m-%d %H:%M:%S";

/// A point in time: milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EpochMillis(pub i64);

impl EpochMillis {
    /// This point moved into the future by `duration`.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// How long it is from this point until `later`; zero if `later` is not later.
    #[must_use]
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }

    /// Whole seconds since the Unix epoch, as DynamoDB's time to live wants them.
    #[must_use]
    pub fn epoch_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The point in TOP's notation: `yyyy-MM-dd HH:mm:ss` in GMT+8, whatever the machine's zone.
    #[must_use]
    pub fn china_time(self) -> String {
        self.timestamp().to_zoned(china()).strftime(CHINA_NOTATION).to_string()
    }

    /// Reads `yyyy-MM-dd HH:mm:ss` in GMT+8; `None` if `text` is no such time.
    #[must_use]
    pub fn from_china_time(text: &str) -> Option<Self> {
        let time = DateTime::strptime(CHINA_NOTATION, text).ok()?;
        Some(Self(time.to_zoned(china()).ok()?.timestamp().as_millisecond()))
    }

    /// The next midnight in GMT+8, when TOP's daily quotas start anew.
    #[must_use]
    pub fn next_china_midnight(self) -> Self {
        let tomorrow = self.timestamp().to_zoned(china()).date().tomorrow();
        tomorrow.and_then(|date| date.to_zoned(china())).map_or_else(
            |_| self.plus(Duration::from_secs(24 * 3600)),
            |zoned| Self(zoned.timestamp().as_millisecond()),
        )
    }

    /// A time outside the calendar (years beyond ±9999) is shown as the calendar's nearest end.
    fn timestamp(self) -> Timestamp {
        Timestamp::from_millisecond(self.0).unwrap_or(if self.0 < 0 { Timestamp::MIN } else { Timestamp::MAX })
    }
}

/// RFC 3339 in UTC with milliseconds, as people and logs read it.
impl fmt::Display for EpochMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.timestamp())
    }
}

fn china() -> TimeZone {
    TimeZone::fixed(Offset::constant(8))
}

/// Whether `text` is a time in the notation of TOP's `Date` fields.
#[must_use]
pub fn is_china_time(text: &str) -> bool {
    EpochMillis::from_china_time(text).is_some()
}

/// How far two points lie apart, whichever is first.
#[must_use]
pub fn distance(a: EpochMillis, b: EpochMillis) -> Duration {
    SignedDuration::from_millis(a.0.saturating_sub(b.0)).unsigned_abs()
}

/// Tells the time. The system's clock in the functions, a clock of its own in a test.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The present time.
    fn now(&self) -> EpochMillis;
}

/// A clock shared by everything one function does.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> EpochMillis {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        EpochMillis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Where randomness comes from (jitter, owner tokens): passed in, so that a test can repeat a run.
pub type SharedRandom = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Randomness from the process's generator, which is seeded by the operating system.
#[must_use]
pub fn system_random() -> SharedRandom {
    Arc::new(|| fastrand::u64(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_stamp_is_gmt_plus_8_whatever_the_machines_zone() {
        // 2026-01-01 04:00:00 UTC
        assert_eq!(EpochMillis(1_767_240_000_000).china_time(), "2026-01-01 12:00:00");
        assert_eq!(EpochMillis(1_767_240_000_000).to_string(), "2026-01-01T04:00:00.000Z");
    }

    #[test]
    fn a_china_time_reads_back() {
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
    fn a_daily_quota_ends_at_midnight_in_china() {
        let noon = EpochMillis(1_767_240_000_000);
        assert_eq!(noon.next_china_midnight().china_time(), "2026-01-02 00:00:00");
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
