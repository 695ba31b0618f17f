//! When to retry. Pure functions: the caller passes in the attempt and the random number.

use std::time::Duration;

/// The first pause, before jitter.
const FIRST: Duration = Duration::from_secs(2);
/// The longest pause.
pub const LONGEST: Duration = Duration::from_secs(15 * 60);
/// The pause after faults that only an operator can fix: credentials, permissions, the IP white-list.
pub const SLOW_PACE: Duration = LONGEST;
/// The pause stops growing at this attempt.
const STEPS: u32 = 10;

/// The pause after attempt number `attempt` (from 1) failed. It doubles from 2 s, is at most 15 min, and has jitter:
/// messages that failed together must not come back together.
#[must_use]
pub fn pause(attempt: u32, random: u64) -> Duration {
    // Jitter can double the pause, so even the longest pauses differ.
    let least = (FIRST * 2_u32.pow(attempt.clamp(1, STEPS) - 1)).min(LONGEST / 2);
    let millis = u64::try_from(least.as_millis()).unwrap_or(u64::MAX);
    least + Duration::from_millis(random % millis)
}

/// A pause of at least `least`, plus jitter: up to a tenth of it (at most a minute) and a second. For bans, which must
/// end before a retry.
#[must_use]
pub fn at_least(least: Duration, random: u64) -> Duration {
    let spread = u64::try_from((least / 10).as_millis()).unwrap_or(u64::MAX).min(60_000) + 1000;
    least + Duration::from_millis(random % spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_two_seconds_to_fifteen_minutes() {
        for seed in 0..200 {
            for (attempt, least) in
                [(0, 2), (1, 2), (2, 4), (3, 8), (6, 64), (8, 256), (9, 450), (10, 450), (1000, 450)]
            {
                let pause = pause(attempt, seed);
                assert!((least..=2 * least).contains(&pause.as_secs()), "attempt {attempt}: {pause:?}");
            }
        }
    }

    #[test]
    fn pauses_differ_from_one_record_to_the_next() {
        let pauses: std::collections::BTreeSet<_> = (0..20).map(|seed| pause(3, seed)).collect();
        assert!(pauses.len() > 10);
    }

    #[test]
    fn pause_covers_the_whole_ban() {
        for random in [0, 1, u64::MAX] {
            let pause = at_least(Duration::from_secs(31062), random);
            assert!((31062..31062 + 61).contains(&pause.as_secs()));
        }
    }
}
