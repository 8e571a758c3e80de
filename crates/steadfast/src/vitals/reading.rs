//! All signs of life at one moment.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ConsumerIncarnation, NodeId, Partition};
use steadfast_core::progress::{Progress, State};
use steadfast_core::tick::Tick;

use super::{Signs, checks, locked};

/// Whether the service is well, and by what evidence. Ages and limits are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reading {
    /// Every check is passed.
    pub ready: bool,
    /// The service is ending.
    pub draining: bool,
    /// The checks, always the same and in the same order.
    pub checks: Vec<Check>,
    /// The consumer that is in charge; 0 before the first.
    pub incarnation: ConsumerIncarnation,
    /// How many partitions are owned.
    pub partitions: usize,
    /// Those that are owned and not fetched, because what is in them cannot be processed.
    pub quarantined: Vec<Partition>,
    /// Those that stand still although records wait.
    pub stalled: Vec<Partition>,
    /// The brokers that lead owned partitions.
    pub leaders: Vec<LeaderReading>,
}

/// One check with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// What is checked: `service`, `cluster`, `metadata`, `membership`, `heartbeat`, `fetch`, `handlers`, `commit`,
    /// `target`, `quarantine` or `stall`.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// How old the evidence is, or for how long it has been so.
    #[serde(rename = "age_seconds", serialize_with = "seconds")]
    pub age: Option<Duration>,
    /// How old it may get.
    #[serde(rename = "limit_seconds", serialize_with = "seconds")]
    pub limit: Option<Duration>,
    /// The evidence in one sentence.
    pub message: String,
}

/// What was last heard of a broker that leads owned partitions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeaderReading {
    /// The broker.
    pub node: NodeId,
    /// Where it is reached; none while it is not verified.
    pub address: Option<Address>,
    /// How many owned partitions it leads.
    pub partitions: usize,
    /// How long ago it answered a fetch of one of these; none if it has not yet.
    #[serde(rename = "answered_seconds", serialize_with = "seconds")]
    pub answered: Option<Duration>,
}

impl Reading {
    /// The check of this name.
    pub fn check(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }

    /// The checks that are not passed.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| !check.ok)
    }
}

fn seconds<S: serde::Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    duration.map(in_seconds).serialize(to)
}

/// Writes a duration in seconds.
pub(super) fn duration<S: serde::Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    in_seconds(*duration).serialize(to)
}

/// Down to milliseconds: nobody reads the rest.
pub(crate) fn in_seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round() / 1e3
}

pub(super) fn read(signs: &Signs, now: Tick) -> Reading {
    let table = &signs.sources.table;
    let owned = table.owned();
    let is_quarantined =
        |partition: &&Partition| table.read(partition, Progress::state) == Some(State::Quarantined);
    let quarantined: Vec<Partition> = owned.iter().filter(is_quarantined).cloned().collect();
    let stalled = stalled(signs);
    let checks = checks::all(&checks::Facts {
        signs,
        now,
        owned: &owned,
        quarantined: &quarantined,
        stalled: &stalled,
    });
    Reading {
        ready: checks.iter().all(|check| check.ok),
        draining: signs.draining.load(Ordering::Relaxed),
        checks,
        incarnation: table.incarnation(),
        partitions: owned.len(),
        quarantined,
        stalled: stalled.into_keys().collect(),
        leaders: leaders(signs, &owned, now),
    }
}

/// Since when partitions stand still; one that has moved, or is not fetched any more, is forgotten.
fn stalled(signs: &Signs) -> BTreeMap<Partition, Tick> {
    let mut stalled = locked(&signs.stalled);
    stalled.retain(|partition, (position, _)| {
        let stands =
            |progress: &Progress| progress.state() == State::Running && progress.position() == *position;
        signs.sources.table.read(partition, stands) == Some(true)
    });
    stalled.iter().map(|(partition, (_, since))| (partition.clone(), *since)).collect()
}

fn leaders(signs: &Signs, owned: &[Partition], now: Tick) -> Vec<LeaderReading> {
    let cluster = signs.sources.cluster.borrow();
    let mut leaders: BTreeMap<NodeId, LeaderReading> = BTreeMap::new();
    for partition in owned {
        let Some((node, _)) = cluster.leader(partition) else { continue };
        let leader = leaders.entry(node).or_insert_with(|| LeaderReading {
            node,
            address: cluster.address(node).cloned(),
            partitions: 0,
            answered: None,
        });
        leader.partitions += 1;
        let ago = signs.sources.table.answered(partition).map(|at| now.since(at));
        leader.answered = leader.answered.into_iter().chain(ago).min();
    }
    leaders.into_values().collect()
}
