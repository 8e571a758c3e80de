//! Suites on a real Apache Kafka. They need JDK 17 and Maven; without these they are reported as ignored, or,
//! with CI=true, as failed.
#![expect(clippy::unwrap_used, reason = "what fails here fails its trial")]

mod fixture;
mod proxy;

use std::process::ExitCode;

use steadfast_tests::stage::Stage;

fn main() -> ExitCode {
    let stage = Stage::default();
    let trials = [fixture::trials(&stage), proxy::trials(&stage)].into_iter().flatten().collect();
    stage.run(trials).exit_code()
}
