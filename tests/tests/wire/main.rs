//! What Kafka answers, stated once and asked twice: of the embedded cluster (`embedded::`), so that it cannot drift
//! into fantasy, and of a real Apache Kafka (`kafka::`). The latter needs JDK 17 and Maven; without these its trials
//! are reported as ignored, or, with CI=true, as failed.
#![expect(clippy::unwrap_used, reason = "what fails here fails its trial")]
#![expect(clippy::disallowed_methods, reason = "records have the time of the real brokers' clock")]

mod clients;
mod commits;
mod content;
mod coordinator;
mod fetch;
mod group;
mod members;
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

use steadfast_tests::either::{Either, Needs, Scene};

/// Both halves with nothing but the cluster.
const SCENES: [&[Scene]; 14] = [
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
    clients::SCENES,
    content::SCENES,
    members::SCENES,
    members::OF_OURS,
];
/// Both halves with Java programs beside the cluster.
const WITH_JAVA: [&[Scene]; 3] = [clients::WITH_JAVA, content::WITH_JAVA, members::WITH_JAVA];

fn main() -> ExitCode {
    let either = Either::default();
    let alone = SCENES.into_iter().flatten().flat_map(|scene| either.trials(*scene, Needs::Nothing));
    let with_java = WITH_JAVA.into_iter().flatten().flat_map(|scene| either.trials(*scene, Needs::Java));
    let on_kafka = content::ON_KAFKA.iter().map(|scene| either.on_kafka(*scene));
    let trials = alone.chain(with_java).chain(on_kafka).collect();
    either.run(trials).exit_code()
}
