//! The one list of metrics. docs/metrics.md has the same list; a test holds the two together.
//!
//! Those named `messaging_…` follow OpenTelemetry's conventions for messaging, label names included. Every label has
//! one of few values; the series of a partition end when it is given up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use steadfast_core::group::account::Spent;
use steadfast_core::ids::Offset;

use super::metrics::{Family, Kind, Sample, Value};
use super::scrape::Scrape;
use crate::consume::progress::Standing;
use crate::vitals::Counted;

const PARTITION: &[&str] = &["messaging_destination_name", "messaging_destination_partition_id"];
const OPERATION: &[&str] = &["messaging_system", "messaging_operation_name", "messaging_consumer_group_name"];
const CONSUMED: &[&str] = &[
    "messaging_system",
    "messaging_operation_name",
    "messaging_consumer_group_name",
    "messaging_destination_name",
    "messaging_destination_partition_id",
];
const PROCESSED: &[&str] = &[
    "messaging_system",
    "messaging_operation_name",
    "messaging_consumer_group_name",
    "messaging_destination_name",
    "error_type",
];

/// Every metric.
pub(super) const FAMILIES: &[Family] = &[
    gauge("steadfast_build_info", &["version"], "Always 1; the version of steadfast is its label.", |_| {
        vec![level([env!("CARGO_PKG_VERSION").to_owned()], 1.0)]
    }),
    gauge("steadfast_uptime_seconds", &[], "Time since the process began to count.", |at| {
        vec![level([], at.now.since_start().as_secs_f64())]
    }),
    gauge("steadfast_ready", &[], "1 if /readyz says yes, else 0.", |at| {
        vec![level([], truth(at.reading.ready))]
    }),
    gauge("steadfast_check_passed", &["check"], "1 if this check of /readyz is passed, else 0.", |at| {
        at.reading.checks.iter().map(|check| level([check.name.to_owned()], truth(check.ok))).collect()
    }),
    gauge(
        "steadfast_check_age_seconds",
        &["check"],
        "How old the evidence of this check of /readyz is.",
        |at| {
            let aged = at.reading.checks.iter().filter_map(|check| Some((check, check.age?)));
            aged.map(|(check, age)| level([check.name.to_owned()], age.as_secs_f64())).collect()
        },
    ),
    counter(
        "steadfast_endpoint_drift",
        &["kind"],
        "Endpoints that differed between the view in use and an agreed one, by kind of difference.",
        |at| counted(&at.counts.drift),
    ),
    gauge("steadfast_endpoint_generation", &[], "How often another view of the cluster was agreed.", |at| {
        vec![level([], at.counts.generation as f64)]
    }),
    counter(
        "steadfast_connections_replaced",
        &[],
        "Connections that stood silent and were left for a fresh one to the same address.",
        |at| vec![count([], at.counts.replaced)],
    ),
    counter("steadfast_metadata_polls", &["outcome"], "Brokers asked who is in the cluster.", |at| {
        let (answered, failed) = at.site.vitals.metadata_polls();
        vec![count(["answered".to_owned()], answered), count(["failed".to_owned()], failed)]
    }),
    gauge("steadfast_consumer_incarnation", &[], "The consumer in charge, counted from 1; 0 before.", |at| {
        vec![level([], at.reading.incarnation.0 as f64)]
    }),
    counter("steadfast_consumer_respawns", &["reason"], "Consumers that took over.", |at| {
        counted(&at.counts.respawns)
    }),
    histogram(
        "steadfast_respawn_phase_duration_seconds",
        &["phase"],
        "How long the phases of respawns took.",
        |at| {
            let phases = at.counts.phases.iter();
            phases.map(|(phase, counted)| durations([(*phase).to_owned()], counted)).collect()
        },
    ),
    counter("steadfast_redelivered_records", &[], "Records that were delivered again.", |at| {
        vec![count([], shared(at).redelivered.load(Ordering::Relaxed))]
    }),
    counter("steadfast_delivered_bytes", &[], "Bytes of delivered batches, decompressed.", |at| {
        vec![count([], shared(at).bytes.load(Ordering::Relaxed))]
    }),
    counter("steadfast_checkpoint_commits", &["outcome"], "Commits of offsets to the group.", |at| {
        counted(&at.counts.commits)
    }),
    gauge(
        "steadfast_group_generation",
        &[],
        "The group's generation that this member last settled in.",
        |at| {
            let generation = at.counts.group_generation;
            generation.map(|generation| level([], f64::from(generation))).into_iter().collect()
        },
    ),
    counter(
        "steadfast_group_rebalances",
        &["reason"],
        "Rounds of the group that this member completed.",
        |at| counted(&at.counts.rebalances),
    ),
    histogram(
        "steadfast_group_rebalance_duration_seconds",
        &[],
        "From the first sign of a rebalance to the assignment.",
        |at| vec![durations([], &at.counts.rebalance_durations)],
    ),
    histogram(
        "steadfast_group_rebalance_phase_duration_seconds",
        &["phase"],
        "How long the phases of rebalances took that are over.",
        |at| {
            let phases = at.counts.over.phases.iter();
            phases.map(|(phase, counted)| durations([(*phase).to_owned()], counted)).collect()
        },
    ),
    counter(
        "steadfast_group_rebalanced_partitions",
        &["fate"],
        "Partitions of this member in rebalances that are over, by what became of them.",
        |at| counted(&at.counts.over.partitions),
    ),
    counter(
        "steadfast_group_unavailable_partition_seconds",
        &[],
        "How long partitions that are this member's waited in rebalances for their first fetch here, added up.",
        |at| vec![sum([], at.counts.over.unavailable_partition_seconds)],
    ),
    counter(
        "steadfast_group_handed_again_offsets",
        &["certainty"],
        "Offsets that former owners had been handed and had not committed, by how well that is known.",
        |at| counted(&at.counts.over.handed_again),
    ),
    counter("steadfast_coordinator_requests", &["api"], "Requests to the group's coordinator.", |at| {
        traffic(at, |spent| spent.requests)
    }),
    counter("steadfast_coordinator_bytes", &["api"], "Bytes of these requests and of their answers.", |at| {
        traffic(at, |spent| spent.bytes)
    }),
    gauge("steadfast_group_last_rebalance_age_seconds", &[], "Time since the last rebalance.", |at| {
        let age = at.counts.last_rebalance.map(|last| at.ago(last));
        age.map(|age| level([], age.as_secs_f64())).into_iter().collect()
    }),
    gauge("steadfast_group_rebalances_last_hour", &[], "Rebalances within the last hour.", |at| {
        vec![level([], at.counts.rebalances_last_hour() as f64)]
    }),
    counter(
        "steadfast_actor_restarts",
        &["actor", "reason"],
        "Actors that ended and were begun anew.",
        |at| {
            let restarts = at.counts.restarts.iter();
            restarts
                .map(|((actor, reason), restarts)| {
                    count([(*actor).to_owned(), (*reason).to_owned()], *restarts)
                })
                .collect()
        },
    ),
    counter("steadfast_events_dropped", &[], "Events that an observer was too slow for.", |at| {
        vec![count([], at.site.events.dropped())]
    }),
    gauge("steadfast_assigned_partitions", &[], "Partitions that this member owns.", |at| {
        vec![level([], at.reading.partitions as f64)]
    }),
    gauge("steadfast_quarantined_partitions", &[], "Owned partitions that are not fetched any more.", |at| {
        vec![level([], at.reading.quarantined.len() as f64)]
    }),
    gauge("steadfast_stalled_partitions", &[], "Partitions that stand still although records wait.", |at| {
        vec![level([], at.reading.stalled.len() as f64)]
    }),
    gauge(
        "steadfast_partition_lag_records",
        PARTITION,
        "From what the group has stored to the end of the log: the lag that Kafka's own tools show.",
        |at| by_partition(at, |of| distance(of.committed.or(of.acked)?, of.end?)),
    ),
    gauge(
        "steadfast_partition_unprocessed_records",
        PARTITION,
        "From what is processed without a gap to the end of the log.",
        |at| by_partition(at, |of| distance(of.acked?, of.end?)),
    ),
    gauge(
        "steadfast_partition_unfetched_records",
        PARTITION,
        "From the next offset to fetch to the end of the log.",
        |at| by_partition(at, |of| distance(of.position?, of.end?)),
    ),
    gauge(
        "steadfast_partition_held_bytes",
        PARTITION,
        "Bytes that the handler has and has not acked.",
        |at| by_partition(at, |of| Some(of.held_bytes as f64)),
    ),
    gauge(
        "steadfast_partition_fetch_age_seconds",
        PARTITION,
        "Time since the leader answered a fetch of the partition, with or without records.",
        |at| by_partition(at, |of| Some(at.ago(of.answered?).as_secs_f64())),
    ),
    gauge("steadfast_fetch_buffer_used_bytes", &[], "Fetched bytes in memory, and those asked for.", |at| {
        let memory = &at.site.vitals.sources().memory;
        vec![level([], memory.capacity().saturating_sub(memory.free()) as f64)]
    }),
    gauge("steadfast_fetch_buffer_capacity_bytes", &[], "What `fetch.buffer_bytes` allows.", |at| {
        vec![level([], at.site.vitals.sources().memory.capacity() as f64)]
    }),
    counter("messaging_client_consumed_messages", CONSUMED, "Records delivered to handlers.", |at| {
        let consumed = at.partitions.iter();
        consumed.map(|of| count(operation(at, "poll").chain(place(of)), of.records)).collect()
    }),
    histogram(
        "messaging_client_operation_duration_seconds",
        OPERATION,
        "How long the coordinator took for commits that it stored.",
        |at| vec![durations(operation(at, "commit"), &at.counts.commit_durations)],
    ),
    histogram(
        "messaging_process_duration_seconds",
        PROCESSED,
        "From the delivery of a batch to its end by the handler; `error_type` if it was not processed.",
        processing,
    ),
];

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Scrape<'_>) -> Vec<Sample>,
) -> Family {
    Family { name, kind: Kind::Counter, labels, help, read }
}

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Scrape<'_>) -> Vec<Sample>,
) -> Family {
    Family { name, kind: Kind::Gauge, labels, help, read }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Scrape<'_>) -> Vec<Sample>,
) -> Family {
    Family { name, kind: Kind::Histogram, labels, help, read }
}

fn count(labels: impl IntoIterator<Item = String>, count: u64) -> Sample {
    Sample { labels: labels.into_iter().collect(), value: Value::Count(count) }
}

fn level(labels: impl IntoIterator<Item = String>, level: f64) -> Sample {
    Sample { labels: labels.into_iter().collect(), value: Value::Level(level) }
}

fn sum(labels: impl IntoIterator<Item = String>, sum: f64) -> Sample {
    Sample { labels: labels.into_iter().collect(), value: Value::Sum(sum) }
}

fn durations(labels: impl IntoIterator<Item = String>, durations: &Counted) -> Sample {
    Sample { labels: labels.into_iter().collect(), value: Value::Durations(durations.clone()) }
}

fn counted(classes: &BTreeMap<&'static str, u64>) -> Vec<Sample> {
    classes.iter().map(|(class, counted)| count([(*class).to_owned()], *counted)).collect()
}

fn traffic(at: &Scrape<'_>, read: impl Fn(&Spent) -> u64) -> Vec<Sample> {
    let accounts = at.site.vitals.sources().accounts.as_ref();
    let by_api = accounts.map(|accounts| accounts.traffic().by_api()).unwrap_or_default();
    by_api.iter().map(|(api, spent)| count([(*api).to_owned()], read(spent))).collect()
}

fn truth(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

fn shared<'a>(at: &'a Scrape<'_>) -> &'a crate::consume::progress::Counts {
    &at.site.vitals.sources().table.counts
}

/// The first labels of every metric of an operation.
fn operation(at: &Scrape<'_>, name: &str) -> impl Iterator<Item = String> {
    ["kafka".to_owned(), name.to_owned(), at.site.config.kafka.group_id.clone()].into_iter()
}

fn place(of: &Standing) -> [String; 2] {
    [of.partition.topic.to_string(), of.partition.index.to_string()]
}

/// A level of each owned partition of which it is known.
fn by_partition(at: &Scrape<'_>, read: impl Fn(&Standing) -> Option<f64>) -> Vec<Sample> {
    at.partitions.iter().filter_map(|of| Some(level(place(of), read(of)?))).collect()
}

/// What was known of the end may be older than the offset.
fn distance(from: Offset, end: Offset) -> Option<f64> {
    Some(end.0.saturating_sub(from.0).max(0) as f64)
}

/// By topic, so that nothing is forgotten with a partition that is given up.
fn processing(at: &Scrape<'_>) -> Vec<Sample> {
    let mut topics: BTreeMap<Arc<str>, [Counted; 2]> = BTreeMap::new();
    for of in &at.processing {
        let [processed, returned] = topics.entry(Arc::clone(&of.partition.topic)).or_default();
        *processed = std::mem::take(processed).and(&of.processed);
        *returned = std::mem::take(returned).and(&of.returned);
    }
    let samples = |(topic, [processed, returned]): (Arc<str>, [Counted; 2])| {
        let labels = |error: &str| operation(at, "process").chain([topic.to_string(), error.to_owned()]);
        [durations(labels(""), &processed), durations(labels("returned"), &returned)]
    };
    topics.into_iter().flat_map(samples).collect()
}
