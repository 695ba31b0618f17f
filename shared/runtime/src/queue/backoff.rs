//! When to try again. Pure: the attempt and the randomness are passed in.

use std::time::Duration;

/// The first pause, before jitter.
const FIRST: Duration = Duration::from_secs(2);
/// The longest pause.
pub const LONGEST: Duration = Duration::from_secs(15 * 60);
/// The pace of what only a person can fix: credentials, permissions, the IP white-list.
pub const SLOW_PACE: Duration = LONGEST;
/// Beyond this attempt the pause grows no more.
const STEPS: u32 = 10;

/// How long to wait after the `attempt`-th attempt (from 1) failed: doubling from 2 s, at most 15 min, with
/// jitter: what failed together must not come back together.
#[must_use]
pub fn pause(attempt: u32, random: u64) -> Duration {
    // Jitter adds up to as much again, so even the longest pauses differ.
    let least = (FIRST * 2_u32.pow(attempt.clamp(1, STEPS) - 1)).min(LONGEST / 2);
    let millis = u64::try_from(least.as_millis()).unwrap_or(u64::MAX);
    least + Duration::from_millis(random % millis)
}

/// A pause of `least`, and up to a tenth and a second more: for bans, which must be waited out whole.
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
    fn a_ban_is_waited_out_whole() {
        for random in [0, 1, u64::MAX] {
            let pause = at_least(Duration::from_secs(31062), random);
            assert!((31062..31062 + 61).contains(&pause.as_secs()));
        }
    }
}
