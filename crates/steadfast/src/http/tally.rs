//! What events add up to.
//!
//! Every label has one of few values, whatever happens: what is free text in an event is a class here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use steadfast_core::group::actions::Reason;
use steadfast_core::tick::Tick;

use super::rebalances::{Rebalances, Sums};
use crate::env::Env;
use crate::events::Event;
use crate::observers::Listener;
use crate::vitals::{Counted, Durations};

/// Counts events as they are emitted. Cheap: a lock that is held for a few additions.
pub(crate) struct Tally {
    now: Box<dyn Fn() -> Tick + Send + Sync>,
    counts: Mutex<Counts>,
    phases: [Durations; PHASES.len()],
    rebalances: Durations,
    over: Rebalances,
    commits: Durations,
}

/// What was counted so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub(super) drift: BTreeMap<&'static str, u64>,
    /// How often another view was agreed.
    pub(super) generation: u64,
    pub(super) replaced: u64,
    pub(super) respawns: BTreeMap<&'static str, u64>,
    pub(super) commits: BTreeMap<&'static str, u64>,
    pub(super) rebalances: BTreeMap<&'static str, u64>,
    /// By actor and reason.
    pub(super) restarts: BTreeMap<(&'static str, &'static str), u64>,
    pub(super) last_respawn: Option<LastRespawn>,
    pub(super) group_generation: Option<i32>,
    /// Why the configuration file was refused last, if it has not been taken since.
    pub(super) rejected: Option<String>,
    /// The rebalances of the last hour.
    rebalanced: VecDeque<Tick>,
    pub(super) last_rebalance: Option<Tick>,
    pub(super) phases: BTreeMap<&'static str, Counted>,
    pub(super) rebalance_durations: Counted,
    /// Rebalances that are over.
    pub(super) over: Sums,
    pub(super) commit_durations: Counted,
}

/// The respawn that was over last.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LastRespawn {
    pub(super) at: Tick,
    pub(super) reason: &'static str,
    pub(super) took: Duration,
    pub(super) gap: i64,
    pub(super) redelivered: u64,
}

pub(super) const KINDS: [&str; 4] = ["moved", "gone", "added", "resolved"];
pub(super) const PHASES: [&str; 5] = ["detect", "discover", "verify", "handover", "first_record"];
pub(super) const RESPAWNS: [&str; 4] = ["drift", "credentials", "crash", "start"];
pub(super) const COMMITS: [&str; 2] = ["committed", "failed"];
const ACTORS: [&str; 10] = [
    "handlers",
    "checkpointer",
    "supervisor",
    "endpoint_differ",
    "metadata_poller",
    "member",
    "config_watcher",
    "consumer",
    "handler",
    "observer",
];
const EXITS: [&str; 5] = ["panicked", "arbiter_gone", "abandoned", "escalated", "stopped"];
const OTHER: &str = "other";
/// Rebalances that are remembered for the last hour: more say the same.
const REMEMBERED: usize = 3600;
const HOUR: Duration = Duration::from_secs(3600);

impl Tally {
    /// Nothing is counted yet.
    pub(crate) fn new(now: impl Fn() -> Tick + Send + Sync + 'static) -> Tally {
        let mut counts = Counts::default();
        counts.drift.extend(KINDS.map(|kind| (kind, 0)));
        counts.respawns.extend(RESPAWNS.map(|reason| (reason, 0)));
        counts.commits.extend(COMMITS.map(|outcome| (outcome, 0)));
        let classes = Reason::ALL.into_iter().map(Reason::class).chain([OTHER]);
        counts.rebalances.extend(classes.map(|reason| (reason, 0)));
        Tally {
            now: Box::new(now),
            counts: Mutex::new(counts),
            phases: Default::default(),
            rebalances: Durations::default(),
            over: Rebalances::default(),
            commits: Durations::default(),
        }
    }

    /// Nothing is counted yet, by the service's own clock.
    pub(crate) fn over(env: &Env) -> Arc<Tally> {
        let clock = env.clone();
        Arc::new(Tally::new(move || clock.now()))
    }

    /// What counts each event that it is called with.
    pub(crate) fn listener(self: &Arc<Tally>) -> Listener {
        let tally = Arc::clone(self);
        Box::new(move |event| tally.hear(event))
    }

    /// An event was emitted.
    pub(crate) fn hear(&self, event: &Event) {
        let now = (self.now)();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::ViewAgreed { .. } => counts.generation += 1,
            Event::ConnectionReplaced { .. } => counts.replaced += 1,
            Event::EndpointDrifted { changes, .. } => {
                for change in changes {
                    add(&mut counts.drift, change.kind());
                }
            }
            Event::ConsumerRespawned { reason, gap, redelivered, .. } => {
                add(&mut counts.respawns, reason);
                let took = self.respawned(event);
                let (gap, redelivered) = (*gap, *redelivered);
                counts.last_respawn = Some(LastRespawn { at: now, reason, took, gap, redelivered });
            }
            Event::CheckpointCommitted { took_ms, .. } => {
                add(&mut counts.commits, "committed");
                self.commits.add(millis(*took_ms));
            }
            Event::CheckpointFailed { .. } => add(&mut counts.commits, "failed"),
            Event::GroupRebalanced { reason, took_ms, generation, .. } => {
                add(&mut counts.rebalances, class_of_round(reason));
                counts.rebalanced(now);
                counts.group_generation = Some(*generation);
                self.rebalances.add(millis(*took_ms));
            }
            Event::GroupRebalanceCompleted { rebalance } => self.over.count(rebalance, now),
            Event::ActorRestarted { actor, failure, .. } => {
                let classes = (known(&ACTORS, first_word(actor)), known(&EXITS, &failure.class));
                *counts.restarts.entry(classes).or_default() += 1;
            }
            Event::ConfigRejected { reason } => counts.rejected = Some(reason.clone()),
            Event::ConfigReloaded { .. } => counts.rejected = None,
            _ => {}
        }
    }

    /// Counts the phases of a respawn; says how long all of them took.
    fn respawned(&self, event: &Event) -> Duration {
        let Event::ConsumerRespawned {
            detect_ms, discover_ms, verify_ms, handover_ms, first_record_ms, ..
        } = event
        else {
            return Duration::ZERO;
        };
        let known =
            [Some(*detect_ms), Some(*discover_ms), Some(*verify_ms), Some(*handover_ms), *first_record_ms];
        let phases = self.phases.iter().zip(known);
        let took = phases.filter_map(|(durations, took_ms)| {
            let took = millis(took_ms?);
            durations.add(took);
            Some(took)
        });
        took.sum()
    }

    /// What was counted so far.
    pub(super) fn counts(&self) -> Counts {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        counts.forget((self.now)());
        counts.phases = PHASES.iter().copied().zip(self.phases.iter().map(Durations::counted)).collect();
        counts.rebalance_durations = self.rebalances.counted();
        counts.over = self.over.sums();
        counts.commit_durations = self.commits.counted();
        counts
    }
}

impl Counts {
    fn rebalanced(&mut self, now: Tick) {
        self.last_rebalance = Some(now);
        self.rebalanced.push_back(now);
        if self.rebalanced.len() > REMEMBERED {
            self.rebalanced.pop_front();
        }
        self.forget(now);
    }

    fn forget(&mut self, now: Tick) {
        self.rebalanced.retain(|at| now.since(*at) <= HOUR);
    }

    /// How many rebalances the last hour had.
    pub(super) fn rebalances_last_hour(&self) -> usize {
        self.rebalanced.len()
    }
}

fn add(counts: &mut BTreeMap<&'static str, u64>, class: &'static str) {
    *counts.entry(class).or_default() += 1;
}

fn millis(millis: f64) -> Duration {
    Duration::try_from_secs_f64(millis / 1e3).unwrap_or_default()
}

/// A handler's name has its partition in it, an observer's its number.
fn first_word(actor: &str) -> &str {
    actor.split(' ').next().unwrap_or_default()
}

fn known(classes: &[&'static str], word: &str) -> &'static str {
    classes.iter().copied().find(|class| *class == word).unwrap_or(OTHER)
}

/// Why this member took part in a round, as core's `Reason` says it.
fn class_of_round(reason: &str) -> &'static str {
    Reason::ALL.into_iter().find(|known| known.to_string() == reason).map_or(OTHER, Reason::class)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::events::Failure;

    #[test]
    fn a_reason_that_core_does_not_have_is_another_one() {
        assert_eq!(class_of_round("the group is rebalancing"), "round_began");
        assert_eq!(class_of_round("moonlight"), "other");
    }

    #[test]
    fn names_with_numbers_in_them_are_one_label() {
        let tally = Tally::new(|| Tick::ZERO);
        for actor in ["handler orders-3", "handler orders-4", "observer 2", "member", "intruder"] {
            let failure = Failure::new("panicked", "index 7 out of bounds");
            tally.hear(&Event::ActorRestarted { actor: actor.to_owned(), incarnation: 1, failure });
        }
        let restarts = tally.counts().restarts;
        let actors: Vec<(&str, u64)> = restarts.iter().map(|((actor, _), count)| (*actor, *count)).collect();
        assert_eq!(actors, [("handler", 2), ("member", 1), ("observer", 1), ("other", 1)]);
        assert!(restarts.keys().all(|(_, reason)| *reason == "panicked"), "{restarts:?}");
    }

    #[test]
    fn rebalances_are_counted_for_an_hour() {
        let clock = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&clock);
        let tally = Tally::new(move || Tick::at(Duration::from_secs(shown.load(Ordering::Relaxed))));
        let rebalanced = |at: u64| {
            clock.store(at, Ordering::Relaxed);
            tally.hear(&Event::GroupRebalanced {
                generation: 4,
                reason: "first join".into(),
                assignor: "range".into(),
                led: true,
                took_ms: 30.0,
            });
            tally.counts().rebalances_last_hour()
        };
        assert_eq!([0, 10, 3600, 3601, 7300].map(rebalanced), [1, 2, 3, 3, 1]);
        assert_eq!(tally.counts().rebalances["start"], 5);
        assert_eq!(tally.counts().rebalance_durations.count(), 5);
    }
}
