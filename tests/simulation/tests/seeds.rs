//! Seeds that once failed. A seed's run changes with the simulation. The bugs themselves are therefore in
//! `mutations.toml`, and each race is a scenario of `make explore`.

use relay_simulation::run::run;

#[test]
fn seeds_keep_every_promise_and_repeat_exactly() {
    for seed in [22, 175, 327, 2_037, 7_003_541, 7_018_164, 7_088_323] {
        let report = run(seed, false);
        assert_eq!(
            report.violations,
            Vec::<String>::new(),
            "seed {seed} failed; run `make simulate SEED={seed}` for its trace"
        );
        assert_eq!(run(seed, false).digest, report.digest, "seed {seed} ran differently the second time");
    }
}
