//! Our assignors against Java's own, on thousands of drawn groups: what Java decides without chance is equal, what it
//! leaves to chance is no less even and moves no more. Java comes from the jar of Kafka's clients; without JDK 17 and
//! Maven the trials are reported as ignored, or, with CI=true, as failed.
#![expect(clippy::unwrap_used, reason = "what fails here fails its trial")]

mod bytes;
mod compared;
mod groups;

use std::process::ExitCode;

use libtest_mimic::{Arguments, run};
use steadfast_tests::stage::trial_of_java;

fn main() -> ExitCode {
    let trials = vec![
        trial_of_java("java::what_java_decides_without_chance_is_equal", compared::equal),
        trial_of_java("java::sticky_ones_are_no_less_even_and_move_no_more", compared::sticky),
        trial_of_java("java::what_java_writes_is_read", bytes::read),
    ];
    run(&Arguments::from_args(), trials).exit_code()
}
