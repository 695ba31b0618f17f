//! Seeds in which a bug that the simulation found shows itself when it is put back. What a seed brings about changes
//! with the simulation, so each bug also has a test of its own that does not.

use relay_simulation::run::run;

/// Runs a seed, which must hold all that is promised, and do so again in the same way.
fn holds(seed: u64) {
    let report = run(seed, false);
    assert_eq!(report.violations, Vec::<String>::new(), "make simulate SEED={seed} tells what happened");
    assert_eq!(run(seed, false).digest, report.digest, "seed {seed} ran otherwise the second time");
}

#[test]
fn a_call_was_made_and_not_marked_and_its_order_was_linked_anew() {
    holds(175);
}

#[test]
fn top_refused_a_call_after_an_attempt_that_took_effect() {
    holds(327);
}

#[test]
fn the_only_instance_of_a_function_had_a_clock_that_was_far_ahead() {
    holds(22);
}

#[test]
fn an_itinerary_of_an_older_link_was_still_to_be_sent() {
    holds(2037);
}
