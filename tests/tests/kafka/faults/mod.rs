//! Brokers die, the service dies, its actors panic: nothing is lost, and what came twice is what was reported.

pub(crate) mod brokers;
pub(crate) mod lives;
mod panics;
mod recoveries;
mod service;

use libtest_mimic::Trial;
use steadfast_tests::stage::Stage;

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    let rooms =
        [brokers::trials(stage), service::trials(stage), panics::trials(stage), recoveries::trials(stage)];
    rooms.into_iter().flatten().collect()
}

/// A steadfast whose parts fail on command.
const DRILLED: &str = env!("CARGO_BIN_EXE_drilled");
