//! What Kafka answers, stated once and asked twice: of the embedded cluster (`embedded::`), so that it cannot drift
//! into fantasy, and of a real Apache Kafka (`kafka::`). The latter needs JDK 17 and Maven; without these its trials
//! are reported as ignored, or, with CI=true, as failed. Those with librdkafka need the feature `librdkafka`.
#![expect(clippy::unwrap_used, reason = "what fails here fails its trial")]
#![expect(clippy::disallowed_methods, reason = "records have the time of the real brokers' clock")]

#[cfg(feature = "librdkafka")]
mod clients;
#[cfg(feature = "librdkafka")]
mod codecs;
mod commits;
mod consumers;
mod content;
mod coordinator;
mod descriptions;
mod epochs;
mod fetch;
#[cfg(feature = "librdkafka")]
mod foreign_consumers;
#[cfg(feature = "librdkafka")]
mod foreigners;
mod group;
mod members;
mod metadata;
mod migration;
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
use steadfast_tests::stage::left_out;

/// Both halves with nothing but the cluster.
const SCENES: &[&[Scene]] = &[
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
    content::SCENES,
    members::OF_OURS,
    #[cfg(feature = "librdkafka")]
    clients::SCENES,
    #[cfg(feature = "librdkafka")]
    foreigners::SCENES,
];
/// Both halves with nothing but the cluster, which speaks the consumer protocol: Kafka since 4.0.
const OF_CONSUMERS: &[&[Scene]] = &[epochs::SCENES, descriptions::SCENES, migration::SCENES];
/// Both halves with Java programs beside the cluster.
const WITH_JAVA: &[&[Scene]] = &[
    content::WITH_JAVA,
    members::WITH_JAVA,
    #[cfg(feature = "librdkafka")]
    clients::WITH_JAVA,
    #[cfg(feature = "librdkafka")]
    codecs::WITH_JAVA,
    #[cfg(feature = "librdkafka")]
    foreigners::WITH_JAVA,
];

/// The same, where it speaks the consumer protocol.
const OF_CONSUMERS_WITH_JAVA: &[&[Scene]] = &[
    #[cfg(feature = "librdkafka")]
    foreign_consumers::WITH_JAVA,
];

fn main() -> ExitCode {
    let either = Either::default();
    let alone = SCENES.iter().copied().flatten().flat_map(|scene| either.trials(*scene, Needs::Nothing));
    let consumers = OF_CONSUMERS.iter().copied().flatten();
    let consumers = consumers.flat_map(|scene| either.trials_since((4, 0), *scene, Needs::Nothing));
    let foreign = OF_CONSUMERS_WITH_JAVA.iter().copied().flatten();
    let foreign = foreign.flat_map(|scene| either.trials_since((4, 0), *scene, Needs::Java));
    let with_java = WITH_JAVA.iter().copied().flatten().flat_map(|scene| either.trials(*scene, Needs::Java));
    let on_kafka = content::ON_KAFKA.iter().map(|scene| either.on_kafka(*scene));
    let trials = alone
        .chain(consumers)
        .chain(with_java)
        .chain(foreign)
        .chain(on_kafka)
        .chain(left_out("librdkafka::clients_members_and_codecs"))
        .collect();
    either.run(trials).exit_code()
}
