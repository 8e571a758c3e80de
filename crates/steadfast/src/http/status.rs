//! /status: how each actor stands, by what it last published. docs/http.md has the schema with an example.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::Serialize;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ConsumerIncarnation, NodeId, Offset};
use steadfast_core::progress::State;
use steadfast_core::tick::Tick;

use super::scrape::Scrape;
use super::tally::LastRespawn;
use crate::consume::progress::Standing;
use crate::events::{Advised, Rebalance};
use crate::group::accounts::Accounts;
use crate::vitals::{LeaderReading, in_seconds};

/// Everything. Ages, intervals and durations are in seconds.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    time: String,
    service: Service,
    config_watcher: ConfigWatcher,
    metadata_poller: MetadataPoller,
    endpoint_differ: EndpointDiffer,
    supervisor: Supervisor,
    consumer: Consumer,
    member: Member,
    checkpointer: Checkpointer,
    handlers: Handlers,
}

#[derive(Debug, Serialize)]
struct Service {
    version: &'static str,
    instance: String,
    group: String,
    uptime_seconds: f64,
    ready: bool,
    draining: bool,
}

#[derive(Debug, Serialize)]
struct ConfigWatcher {
    up: bool,
    topics: BTreeSet<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topics_pattern: Option<Arc<str>>,
    rejected: Option<String>,
}

#[derive(Debug, Serialize)]
struct MetadataPoller {
    up: bool,
    interval_seconds: f64,
    answered: u64,
    failed: u64,
    answered_ago_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct EndpointDiffer {
    up: bool,
    cluster: Option<String>,
    generation: u64,
    missing: Vec<String>,
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Serialize)]
struct Endpoint {
    node: NodeId,
    address: Address,
    verified: bool,
}

#[derive(Debug, Serialize)]
struct Supervisor {
    up: bool,
    respawns: BTreeMap<&'static str, u64>,
    last_respawn: Option<Respawn>,
}

#[derive(Debug, Serialize)]
struct Respawn {
    ago_seconds: f64,
    reason: &'static str,
    took_seconds: f64,
    gap: i64,
    redelivered: u64,
}

#[derive(Debug, Serialize)]
struct Consumer {
    incarnation: ConsumerIncarnation,
    leaders: Vec<LeaderReading>,
    buffer_capacity_bytes: usize,
    buffer_used_bytes: usize,
}

#[derive(Debug, Serialize)]
struct Member {
    up: bool,
    id: Option<Arc<str>>,
    generation: Option<i32>,
    settled: bool,
    coordinator: Option<NodeId>,
    owned: usize,
    releasing: usize,
    heartbeat_ago_seconds: Option<f64>,
    rebalanced_ago_seconds: Option<f64>,
    rebalances_last_hour: usize,
    /// The last ones that are over, the latest first.
    rebalances: Vec<Over>,
    /// What those of the last hour advise.
    advice: Vec<Advised>,
}

#[derive(Debug, Serialize)]
struct Over {
    ago_seconds: f64,
    #[serde(flatten)]
    rebalance: Rebalance,
}

#[derive(Debug, Serialize)]
struct Checkpointer {
    up: bool,
    enabled: bool,
    interval_seconds: f64,
    committed_ago_seconds: Option<f64>,
    uncommitted: usize,
}

#[derive(Debug, Serialize)]
struct Handlers {
    up: bool,
    partitions: Vec<Partition>,
}

#[derive(Debug, Serialize)]
struct Partition {
    topic: Arc<str>,
    partition: i32,
    state: &'static str,
    position: Option<Offset>,
    acked: Option<Offset>,
    committed: Option<Offset>,
    log_end: Option<Offset>,
    held_bytes: u64,
    records: u64,
    fetched_ago_seconds: Option<f64>,
}

/// How everything stands at the moment of the scrape.
pub(super) fn of(scrape: &Scrape<'_>) -> Status {
    Status {
        time: scrape.site.wall_clock.rfc3339(),
        service: scrape.service(),
        config_watcher: scrape.config_watcher(),
        metadata_poller: scrape.metadata_poller(),
        endpoint_differ: scrape.endpoint_differ(),
        supervisor: scrape.supervisor(),
        consumer: scrape.consumer(),
        member: scrape.member(),
        checkpointer: scrape.checkpointer(),
        handlers: scrape.handlers(),
    }
}

impl Scrape<'_> {
    fn is_up(&self, actor: &str) -> bool {
        (self.site.is_up)(actor)
    }

    fn ago_seconds(&self, at: Option<Tick>) -> Option<f64> {
        at.map(|at| in_seconds(self.ago(at)))
    }

    fn service(&self) -> Service {
        Service {
            version: env!("CARGO_PKG_VERSION"),
            instance: self.site.config.instance().to_owned(),
            group: self.site.config.kafka.group_id.clone(),
            uptime_seconds: in_seconds(self.now.since_start()),
            ready: self.reading.ready,
            draining: self.reading.draining,
        }
    }

    fn config_watcher(&self) -> ConfigWatcher {
        let subscribed = self.site.vitals.sources().subscribed.borrow().clone().unwrap_or_default();
        ConfigWatcher {
            up: self.is_up("config_watcher"),
            topics: subscribed.topics.clone(),
            topics_pattern: subscribed.pattern.clone(),
            rejected: self.counts.rejected.clone(),
        }
    }

    fn metadata_poller(&self) -> MetadataPoller {
        let vitals = &self.site.vitals;
        let (answered, failed) = vitals.metadata_polls();
        MetadataPoller {
            up: self.is_up("metadata_poller"),
            interval_seconds: in_seconds(vitals.sources().config.borrow().drift.poll_interval),
            answered,
            failed,
            answered_ago_seconds: self.ago_seconds(vitals.last_metadata()),
        }
    }

    fn endpoint_differ(&self) -> EndpointDiffer {
        let cluster = Arc::clone(&self.site.vitals.sources().cluster.borrow());
        let endpoints = cluster.view.iter().flat_map(|view| &view.endpoints);
        let endpoint = |(node, endpoint): (&NodeId, &steadfast_core::endpoints::view::Endpoint)| Endpoint {
            node: *node,
            address: endpoint.address.clone(),
            verified: cluster.verified.contains(node),
        };
        EndpointDiffer {
            up: self.is_up("endpoint_differ"),
            cluster: cluster.pin.as_ref().map(ToString::to_string),
            generation: self.counts.generation,
            missing: self.site.vitals.missing(),
            endpoints: endpoints.map(endpoint).collect(),
        }
    }

    fn supervisor(&self) -> Supervisor {
        let last = |last: &LastRespawn| Respawn {
            ago_seconds: in_seconds(self.ago(last.at)),
            reason: last.reason,
            took_seconds: in_seconds(last.took),
            gap: last.gap,
            redelivered: last.redelivered,
        };
        Supervisor {
            up: self.is_up("supervisor"),
            respawns: self.counts.respawns.clone(),
            last_respawn: self.counts.last_respawn.as_ref().map(last),
        }
    }

    fn consumer(&self) -> Consumer {
        let memory = &self.site.vitals.sources().memory;
        Consumer {
            incarnation: self.reading.incarnation,
            leaders: self.reading.leaders.clone(),
            buffer_capacity_bytes: memory.capacity(),
            buffer_used_bytes: memory.capacity().saturating_sub(memory.free()),
        }
    }

    fn member(&self) -> Member {
        let sources = self.site.vitals.sources();
        let standing = sources.standing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let coordinator = sources.membership.borrow().as_ref().and_then(|membership| membership.coordinator);
        Member {
            up: self.is_up("member"),
            id: standing.member_id.map(|id| id.0),
            generation: standing.generation.map(|generation| generation.0),
            settled: standing.settled,
            coordinator,
            owned: standing.owned.len(),
            releasing: standing.releasing.len(),
            heartbeat_ago_seconds: self
                .ago_seconds(Some(standing.heard).filter(|heard| *heard != Tick::ZERO)),
            rebalanced_ago_seconds: self.ago_seconds(self.counts.last_rebalance),
            rebalances_last_hour: self.counts.rebalances_last_hour(),
            rebalances: self.counts.over.last.iter().rev().map(|(at, over)| self.over(*at, over)).collect(),
            advice: sources.accounts.as_ref().map(Accounts::advice).unwrap_or_default(),
        }
    }

    fn over(&self, at: Tick, rebalance: &Rebalance) -> Over {
        Over { ago_seconds: in_seconds(self.ago(at)), rebalance: rebalance.clone() }
    }

    fn checkpointer(&self) -> Checkpointer {
        let sources = self.site.vitals.sources();
        let interval: Duration = sources.config.borrow().checkpoint.interval;
        Checkpointer {
            up: self.is_up("checkpointer"),
            enabled: self.site.config.checkpoint.enabled,
            interval_seconds: in_seconds(interval),
            committed_ago_seconds: self.ago_seconds(self.site.vitals.last_commit()),
            uncommitted: sources.table.to_commit().len(),
        }
    }

    fn handlers(&self) -> Handlers {
        let partitions = self.partitions.iter().map(|of| self.partition(of)).collect();
        Handlers { up: self.is_up("handlers"), partitions }
    }

    fn partition(&self, of: &Standing) -> Partition {
        Partition {
            topic: Arc::clone(&of.partition.topic),
            partition: of.partition.index,
            state: name(of.state),
            position: of.position,
            acked: of.acked,
            committed: of.committed,
            log_end: of.end,
            held_bytes: of.held_bytes,
            records: of.records,
            fetched_ago_seconds: self.ago_seconds(of.answered),
        }
    }
}

fn name(state: State) -> &'static str {
    match state {
        State::Unowned => "unowned",
        State::Resolving => "resolving",
        State::Running => "running",
        State::Rewinding => "rewinding",
        State::Draining => "draining",
        State::Quarantined => "quarantined",
    }
}
