//! Signs of life: what each part of the service did last, and when.
//!
//! Whoever does something writes it down for the cost of an atomic store; whoever wants to know whether the service
//! is well reads all of it as one [`Reading`], each check with its evidence, the evidence's age and its limit. Nobody
//! asks an actor, so a stalled one cannot hold up the answer.

mod checks;
mod degraded;
mod durations;
mod moment;
mod needs;
mod reading;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use steadfast_core::group::standing::{Membership, Standing};
use steadfast_core::ids::Partition;
use steadfast_core::progress::Position;
use steadfast_core::tick::Tick;
use steadfast_kafka::fetch::memory::Memory;
use steadfast_watch as watch;

use crate::config::Config;
use crate::consume::progress::ProgressTable;
use crate::drift::published::Cluster;
use crate::drift::subscribed::Subscribed;
use crate::group::accounts::Accounts;
use crate::locked::locked;

use degraded::Degraded;
pub(crate) use degraded::Part;
pub(crate) use durations::{Counted, Durations};
pub(crate) use moment::Moment;
pub(crate) use reading::in_seconds;
pub use reading::{Check, LeaderReading, Reading};
use turns::Turn;
pub use turns::Turning;

/// The signs of life of one service. Cheap to clone; a clone is the same signs.
#[derive(Clone)]
pub struct Vitals(Arc<Signs>);

/// What actors share already: it is read, not written again.
pub(crate) struct Sources {
    /// The configuration at the start: what of it applies at start only is what is in force.
    pub(crate) started_with: Arc<Config>,
    pub(crate) config: watch::Receiver<Arc<Config>>,
    pub(crate) cluster: watch::Receiver<Arc<Cluster>>,
    pub(crate) subscribed: watch::Receiver<Subscribed>,
    pub(crate) membership: watch::Receiver<Option<Membership>>,
    pub(crate) standing: Arc<Mutex<Standing>>,
    pub(crate) table: Arc<ProgressTable>,
    pub(crate) memory: Memory,
    /// The account of rebalances, and of what goes to and from the coordinator; none in tests without a group.
    pub(crate) accounts: Option<Accounts>,
}

struct Signs {
    sources: Sources,
    metadata: Moment,
    metadata_answered: AtomicU64,
    metadata_failed: AtomicU64,
    was_settled: AtomicBool,
    unsettled: Moment,
    committed: Moment,
    uncommitted: Moment,
    degraded: Mutex<Degraded>,
    stalled: Mutex<BTreeMap<Partition, (Position, Tick)>>,
    draining: AtomicBool,
    turns: Mutex<Vec<Turn>>,
}

impl Vitals {
    /// The signs of a service that begins now.
    pub(crate) fn new(sources: Sources, now: Tick) -> Vitals {
        let signs = Signs {
            sources,
            metadata: Moment::default(),
            metadata_answered: AtomicU64::new(0),
            metadata_failed: AtomicU64::new(0),
            was_settled: AtomicBool::new(false),
            unsettled: Moment::default(),
            committed: Moment::default(),
            uncommitted: Moment::default(),
            degraded: Mutex::default(),
            stalled: Mutex::default(),
            draining: AtomicBool::new(false),
            turns: Mutex::default(),
        };
        signs.unsettled.mark(now);
        Vitals(Arc::new(signs))
    }

    /// A broker of our cluster said who is in it.
    pub(crate) fn metadata_answered(&self, now: Tick) {
        self.0.metadata.mark(now);
        self.0.metadata_answered.fetch_add(1, Ordering::Relaxed);
    }

    /// One that was asked gave no answer, or another cluster's.
    pub(crate) fn metadata_failed(&self) {
        self.0.metadata_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// The membership is complete from now on, or a round is under way.
    pub(crate) fn settled(&self, settled: bool, now: Tick) {
        if settled {
            self.0.was_settled.store(true, Ordering::Relaxed);
            self.0.unsettled.clear();
        } else {
            self.0.unsettled.begin(now);
        }
    }

    /// The coordinator stored offsets.
    pub(crate) fn committed(&self, now: Tick) {
        self.0.committed.mark(now);
        self.0.uncommitted.clear();
    }

    /// There was nothing to store.
    pub(crate) fn nothing_to_commit(&self) {
        self.0.uncommitted.clear();
    }

    /// Offsets could not be stored.
    pub(crate) fn commit_failed(&self, now: Tick) {
        self.0.uncommitted.begin(now);
    }

    /// Records wait, and the position has not moved for `stood`.
    pub(crate) fn stalled(&self, partition: &Partition, position: Position, stood: Duration, now: Tick) {
        let since = Tick::at(now.since_start().saturating_sub(stood));
        let mut stalled = locked(&self.0.stalled);
        match stalled.get(partition) {
            Some((at, _)) if *at == position => {}
            Some(_) | None => drop(stalled.insert(partition.clone(), (position, since))),
        }
    }

    /// The service ends: it is not ready from now on.
    pub(crate) fn drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    /// How many questions for metadata were answered, and how many were not.
    pub fn metadata_polls(&self) -> (u64, u64) {
        let counted = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (counted(&self.0.metadata_answered), counted(&self.0.metadata_failed))
    }

    /// When a broker said last who is in the cluster.
    pub(crate) fn last_metadata(&self) -> Option<Tick> {
        self.0.metadata.last()
    }

    /// When the coordinator stored offsets last.
    pub(crate) fn last_commit(&self) -> Option<Tick> {
        self.0.committed.last()
    }

    /// What the signs are read from besides what was written here.
    pub(crate) fn sources(&self) -> &Sources {
        &self.0.sources
    }

    /// Whether the service is well at `now`, and by what evidence.
    pub fn read(&self, now: Tick) -> Reading {
        reading::read(&self.0, now)
    }
}

impl std::fmt::Debug for Vitals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vitals")
    }
}
