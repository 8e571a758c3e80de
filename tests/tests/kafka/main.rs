//! Suites on a real Apache Kafka. They need JDK 17 and Maven; without these they are reported as ignored, or,
//! with CI=true, as failed. Those with librdkafka need the feature `librdkafka`.
#![expect(clippy::unwrap_used, reason = "what fails here fails its trial")]
#![expect(clippy::disallowed_methods, reason = "real processes are measured by the real clock")]

mod bad_records;
mod cli;
mod consumer_protocol;
mod drift;
mod endpoints;
mod faults;
mod fixture;
mod groups;
mod http;
mod members;
mod mixed;
mod offsets;
mod own_actors;
#[cfg(feature = "librdkafka")]
mod proxied_librdkafka;
mod proxy;
mod recovery;
mod rehearsal;
mod secured;
mod sinks;
mod staged;
mod triggers;

use std::process::ExitCode;

use steadfast_tests::stage::{Stage, left_out};

fn main() -> ExitCode {
    let stage = Stage::default();
    // Those that play beside others come first: while one has the cluster to itself, nobody else plays.
    let trials = [
        fixture::trials(&stage),
        secured::trials(&stage),
        sinks::trials(&stage),
        bad_records::trials(&stage),
        cli::trials(&stage),
        endpoints::trials(&stage),
        http::trials(&stage),
        own_actors::trials(&stage),
        groups::trials(&stage),
        offsets::trials(&stage),
        members::trials(&stage),
        triggers::trials(&stage),
        mixed::trials(&stage),
        consumer_protocol::trials(&stage),
        proxy::trials(&stage),
        recovery::trials(&stage),
        drift::trials(&stage),
        faults::trials(&stage),
        #[cfg(feature = "librdkafka")]
        proxied_librdkafka::trials(&stage),
        left_out("librdkafka::behind_the_proxy").into_iter().collect(),
    ];
    stage.run(trials.into_iter().flatten().collect()).exit_code()
}
