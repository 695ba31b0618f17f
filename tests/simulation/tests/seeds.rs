//! Seeds that once failed, or that nobody had run before they failed. What a seed brings about changes with the
//! simulation: the bugs themselves are in `mutations.toml`, and each race is a scenario of `make explore`.

use relay_simulation::run::run;

#[test]
fn a_seed_keeps_every_promise_and_repeats() {
    for seed in [22, 175, 327, 2_037, 7_003_541, 7_018_164, 7_088_323] {
        let report = run(seed, false);
        assert_eq!(report.violations, Vec::<String>::new(), "`make simulate SEED={seed}` tells what happened");
        assert_eq!(run(seed, false).digest, report.digest, "seed {seed} ran differently the second time");
    }
}
