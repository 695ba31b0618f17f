//! When to try again. Pure: the attempt and the randomness are passed in.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};

/// The first pause, before jitter.
const FIRST: Duration = Duration::from_secs(2);
/// The longest pause.
pub const LONGEST: Duration = Duration::from_secs(15 * 60);
/// The pace of what only a person can mend: credentials, permissions, the IP white-list.
pub const SLOW_PACE: Duration = LONGEST;
/// Beyond this attempt the pause grows no more.
const STEPS: u32 = 10;

/// How long to wait after the `attempt`-th attempt (from 1) failed: doubling from 2 s, at most 15 min, with
/// jitter, so that what failed together does not come back together.
#[must_use]
pub fn pause(attempt: u32, random: u64) -> Duration {
    let schedule = ExponentialBuilder::new()
        .with_min_delay(FIRST)
        // Jitter adds up to as much again, so that even the longest pauses differ.
        .with_max_delay(LONGEST / 2)
        .without_max_times()
        .with_jitter()
        .with_jitter_seed(random);
    let step = attempt.clamp(1, STEPS) - 1;
    schedule.build().nth(step as usize).unwrap_or(LONGEST)
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
