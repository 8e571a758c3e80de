//! What Kafka answers, stated once and asked twice: of the embedded cluster (`embedded::`), so that it cannot drift
//! into fantasy, and of a real Apache Kafka (`kafka::`). The latter needs JDK 17 and Maven; without these its trials
//! are reported as ignored, or, with CI=true, as failed.
#![expect(clippy::unwrap_used, reason = "what fails here fails its trial")]

mod commits;
mod coordinator;
mod fetch;
mod group;
mod metadata;
mod offsets;
mod produce;
mod records;
mod rounds;
mod statics;
mod topic;
mod transactions;
mod versions;

use std::process::ExitCode;

use steadfast_tests::either::{Either, Needs};

fn main() -> ExitCode {
    let either = Either::default();
    let wire = [
        versions::SCENES,
        metadata::SCENES,
        produce::SCENES,
        fetch::SCENES,
        offsets::SCENES,
        coordinator::SCENES,
        rounds::SCENES,
        statics::SCENES,
        commits::SCENES,
        transactions::SCENES,
    ];
    let wire = wire.into_iter().flatten().flat_map(|scene| either.trials(*scene, Needs::Nothing));
    let trials = wire.collect();
    either.run(trials).exit_code()
}
