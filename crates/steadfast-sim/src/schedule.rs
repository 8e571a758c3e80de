//! Schedules of faults, drawn at random from a seed.
//!
//! A schedule is made of incidents: a fault and what ends it. All have ended when the schedule has, so that a run can
//! be judged: brokers that were there are there again, links are sound, and all say the truth. What is drawn depends on
//! the seed, the length, the intensity and the schedule's settings, and on nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use steadfast_core::ids::NodeId;

use crate::faults::{Fault, Nodes, Old, Way};

/// The shortest and the longest time that an incident lasts.
const LASTS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(20));

/// How often another incident is tried when one finds no broker that is free.
const TRIES: usize = 8;

/// The APIs whose answers are damaged.
const DAMAGED: [ApiKey; 10] = [
    ApiKey::ApiVersions,
    ApiKey::Metadata,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::FindCoordinator,
    ApiKey::JoinGroup,
    ApiKey::SyncGroup,
    ApiKey::Heartbeat,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
];

/// A kind of incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Incident {
    /// Some or all brokers move.
    Move,
    /// Two brokers swap addresses.
    Swap,
    /// A broker is killed, and restarted later.
    Outage,
    /// A broker is isolated for a time, one way or both.
    Isolation,
    /// A broker is slow for a time.
    Slowness,
    /// Connections to one or all brokers that stand fall silent.
    Silence,
    /// A broker loses its leaders.
    Election,
    /// A broker is added, and removed later.
    Growth,
    /// A broker is removed, and added again later at another address.
    Shrinkage,
    /// A broker names another cluster id for a time.
    OtherCluster,
    /// One or all brokers name no brokers for a time.
    NoBrokers,
    /// One or all brokers name half of the brokers for a time.
    HalfOfTheBrokers,
    /// Metadata lags for a time.
    Lag,
    /// There is no coordinator for a time.
    NoCoordinator,
    /// The coordinators move.
    CoordinatorMove,
    /// Commits are not answered for a time.
    HungCommits,
    /// An answer is damaged.
    Damage,
    /// The bootstrap name leads nowhere for a time.
    Dns,
    /// A broker moves and another cluster takes its old address.
    AddressTaken,
}

/// How often each kind of incident is drawn, by default.
const USUAL: [(Incident, u32); 19] = [
    (Incident::Move, 8),
    (Incident::Swap, 2),
    (Incident::Outage, 4),
    (Incident::Isolation, 4),
    (Incident::Slowness, 3),
    (Incident::Silence, 2),
    (Incident::Election, 4),
    (Incident::Growth, 1),
    (Incident::Shrinkage, 1),
    (Incident::OtherCluster, 1),
    (Incident::NoBrokers, 1),
    (Incident::HalfOfTheBrokers, 1),
    (Incident::Lag, 1),
    (Incident::NoCoordinator, 2),
    (Incident::CoordinatorMove, 2),
    (Incident::HungCommits, 2),
    (Incident::Damage, 6),
    (Incident::Dns, 1),
    (Incident::AddressTaken, 1),
];

/// What schedules are drawn for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// How many brokers the cluster has, numbered from 1.
    pub brokers: u16,
    /// Whether the cluster is on loopback TCP, where no packet is dropped and no name changed.
    pub tcp: bool,
    /// The name that [`Incident::Dns`] changes.
    pub bootstrap: String,
    /// How often each kind of incident is drawn, in proportion to the others.
    pub weights: BTreeMap<Incident, u32>,
}

impl Default for Schedule {
    /// For three brokers in memory, with all kinds of incidents.
    fn default() -> Schedule {
        Schedule { brokers: 3, tcp: false, bootstrap: "bootstrap".to_owned(), weights: BTreeMap::from(USUAL) }
    }
}

impl Schedule {
    /// Draws the faults of `length`, in order, each with its time since the beginning: `intensity` incidents a minute
    /// on average. At the end of `length` all have ended, and the last entry heals all.
    pub fn draw(&self, seed: u64, length: Duration, intensity: f64) -> Vec<(Duration, Fault)> {
        let mut dice = StdRng::seed_from_u64(seed);
        let count = (length.as_secs_f64() / 60.0 * intensity).round().max(0.0) as usize;
        let mut begins: Vec<Duration> =
            (0..count).map(|_| whole(length.mul_f64(dice.random::<f64>() * 0.9))).collect();
        begins.sort();
        let mut draw = Draw { of: self, dice, length, faults: Vec::new(), busy: BTreeMap::new() };
        for at in begins {
            draw.incident(at);
        }
        let mut faults = draw.faults;
        faults.push((length, Fault::Heal { nodes: Nodes::All }));
        faults.sort_by_key(|(at, _)| *at);
        faults
    }
}

/// Timers know nothing finer than a millisecond.
fn whole(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// A schedule that is being drawn.
struct Draw<'a> {
    of: &'a Schedule,
    dice: StdRng,
    length: Duration,
    faults: Vec<(Duration, Fault)>,
    /// Until when each broker has an incident of its own.
    busy: BTreeMap<NodeId, Duration>,
}

impl Draw<'_> {
    fn incident(&mut self, at: Duration) {
        for _ in 0..TRIES {
            let Some(kind) = self.kind() else { return };
            if self.happen(kind, at).is_some() {
                return;
            }
        }
    }

    fn kind(&mut self) -> Option<Incident> {
        let sum: u32 = self.of.weights.values().sum();
        let mut drawn = self.dice.random_range(0..sum.max(1));
        self.of.weights.iter().find_map(|(kind, weight)| {
            let hit = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            hit.then_some(*kind)
        })
    }

    /// Writes one incident down; none when it cannot happen now.
    fn happen(&mut self, kind: Incident, at: Duration) -> Option<()> {
        match kind {
            Incident::Move => self.moves(at),
            Incident::Swap => self.swap(at),
            Incident::Outage => self.lasting(at, |_, node| (Fault::Kill { node }, Fault::Restart { node })),
            Incident::Isolation => self.lasting(at, |dice, node| {
                let way = [Way::Both, Way::Requests, Way::Answers][dice.random_range(0..3)];
                (Fault::Isolate { node, way }, Fault::Heal { nodes: Nodes::one(node) })
            }),
            Incident::Slowness => self.lasting(at, |dice, node| {
                let by = Duration::from_millis(dice.random_range(5..2_000));
                (Fault::Slow { node, by }, Fault::Heal { nodes: Nodes::one(node) })
            }),
            Incident::Silence => {
                let nodes = if self.dice.random_bool(0.5) { Nodes::All } else { Nodes::one(self.idle(at)?) };
                self.add(at, Fault::SilenceConnections { nodes })
            }
            Incident::Election => {
                let from = self.idle(at)?;
                self.add(at, Fault::MoveLeaders { from })
            }
            Incident::Growth => self.growth(at),
            Incident::Shrinkage => {
                self.lasting(at, |_, node| (Fault::RemoveBroker { node }, Fault::AddBroker { node }))
            }
            Incident::OtherCluster => self.lasting(at, |_, node| {
                (Fault::AnswerAsOtherCluster { node }, Fault::Heal { nodes: Nodes::one(node) })
            }),
            Incident::NoBrokers => self.disguise(at, |nodes| Fault::AnswerWithNoBrokers { nodes }),
            Incident::HalfOfTheBrokers => {
                self.disguise(at, |nodes| Fault::AnswerWithHalfOfTheBrokers { nodes })
            }
            Incident::Lag => {
                let during = self.lasts(at);
                self.add(at, Fault::LagMetadata { during })
            }
            Incident::NoCoordinator => {
                let during = self.lasts(at);
                self.add(at, Fault::CoordinatorUnavailable { during })
            }
            Incident::CoordinatorMove => self.add(at, Fault::MoveCoordinator),
            Incident::HungCommits => {
                let (during, stored) = (self.lasts(at), self.dice.random());
                self.add(at, Fault::HangCommits { during, stored })
            }
            Incident::Damage => self.damage(at),
            Incident::Dns => self.dns(at),
            Incident::AddressTaken => self.address_taken(at),
        }
    }

    fn moves(&mut self, at: Duration) -> Option<()> {
        let nodes = if self.dice.random_bool(0.5) { Nodes::All } else { Nodes::one(self.idle(at)?) };
        let time = self.lasts(at);
        let old = match self.dice.random_range(0..11) {
            0..4 => Old::Refuse,
            4..7 => Old::BlackHole,
            7..9 if !self.of.tcp => Old::Drop,
            9 => Old::Stale(time),
            _ => Old::Grace(time),
        };
        self.add(at, Fault::MoveEndpoints { nodes, old })
    }

    fn swap(&mut self, at: Duration) -> Option<()> {
        let a = self.idle(at)?;
        self.busy.insert(a, at + LASTS.0);
        let b = self.idle(at)?;
        self.add(at, Fault::SwapAddresses { a, b })
    }

    fn growth(&mut self, at: Duration) -> Option<()> {
        let node = NodeId(i32::from(self.of.brokers) + 1);
        if self.busy.get(&node).is_some_and(|until| *until >= at) {
            return None;
        }
        let end = at + self.lasts(at);
        self.busy.insert(node, end);
        self.add(at, Fault::AddBroker { node })?;
        self.add(end, Fault::RemoveBroker { node })
    }

    fn disguise(&mut self, at: Duration, fault: impl FnOnce(Nodes) -> Fault) -> Option<()> {
        let nodes = if self.dice.random_bool(0.3) { Nodes::All } else { Nodes::one(self.idle(at)?) };
        let end = at + self.lasts(at);
        if let Nodes::Some(nodes) = &nodes {
            self.busy.extend(nodes.iter().map(|node| (*node, end)));
        }
        self.add(at, fault(nodes.clone()))?;
        self.add(end, Fault::Heal { nodes })
    }

    fn damage(&mut self, at: Duration) -> Option<()> {
        let node = self.idle(at)?;
        let api = DAMAGED[self.dice.random_range(0..DAMAGED.len())];
        let fault = match self.dice.random_range(0..4) {
            0 => Fault::ResetMidFrame { node, api },
            1 => Fault::TruncateFrame { node, api },
            2 => Fault::CorruptFrame { node, api },
            _ => Fault::WithholdAnswer { node, api },
        };
        self.add(at, fault)
    }

    fn dns(&mut self, at: Duration) -> Option<()> {
        let name = self.of.bootstrap.clone();
        let known = NodeId(-1);
        if self.of.tcp || self.busy.get(&known).is_some_and(|until| *until >= at) {
            return None;
        }
        let end = at + self.lasts(at);
        self.busy.insert(known, end);
        let hosts = if self.dice.random() { Vec::new() } else { vec!["10.255.255.254".to_owned()] };
        self.add(at, Fault::ChangeDns { name: name.clone(), hosts })?;
        self.add(end, Fault::RestoreDns { name })
    }

    fn address_taken(&mut self, at: Duration) -> Option<()> {
        let node = self.idle(at)?;
        let taken = at + self.lasts(at) / 4;
        self.busy.insert(node, taken);
        self.add(at, Fault::MoveEndpoints { nodes: Nodes::one(node), old: Old::Refuse })?;
        self.add(taken, Fault::AddressTakenByOtherCluster { node })
    }

    /// An incident of one broker that nothing else befalls meanwhile.
    fn lasting(
        &mut self,
        at: Duration,
        make: impl FnOnce(&mut StdRng, NodeId) -> (Fault, Fault),
    ) -> Option<()> {
        let node = self.idle(at)?;
        let (begin, end) = make(&mut self.dice, node);
        let over = at + self.lasts(at);
        self.busy.insert(node, over);
        self.add(at, begin)?;
        self.add(over, end)
    }

    fn add(&mut self, at: Duration, fault: Fault) -> Option<()> {
        self.faults.push((at, fault));
        Some(())
    }

    /// How long something lasts that begins at `at`: it is over before the end.
    fn lasts(&mut self, at: Duration) -> Duration {
        let most = LASTS.1.min(self.length.saturating_sub(at));
        let least = LASTS.0.min(most);
        whole(least + (most - least).mul_f64(self.dice.random()))
    }

    /// A broker that nothing lasting befalls now, if another one is left beside it.
    fn idle(&mut self, at: Duration) -> Option<NodeId> {
        let free = |node: &NodeId| self.busy.get(node).is_none_or(|until| *until < at);
        let idle: Vec<NodeId> = (1..=i32::from(self.of.brokers)).map(NodeId).filter(free).collect();
        if idle.len() < 2 { None } else { idle.get(self.dice.random_range(0..idle.len())).copied() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn hour(seed: u64) -> Vec<(Duration, Fault)> {
        Schedule::default().draw(seed, HOUR, 4.0)
    }

    #[test]
    fn the_same_seed_draws_the_same_and_another_seed_something_else() {
        assert_eq!(hour(1), hour(1));
        assert_ne!(hour(1), hour(2));
    }

    #[test]
    fn what_is_drawn_is_in_order_within_the_length_and_about_as_much_as_was_wanted() {
        let faults = hour(3);
        assert!(faults.is_sorted_by_key(|(at, _)| *at));
        assert_eq!(faults.last(), Some(&(HOUR, Fault::Heal { nodes: Nodes::All })));
        assert!((240..=480).contains(&faults.len()), "{}", faults.len());
        assert_eq!(Schedule::default().draw(1, Duration::ZERO, 9.0).len(), 1);
    }

    #[test]
    fn every_kind_of_fault_is_drawn_by_some_seed() {
        let drawn: BTreeSet<&str> = (0..20).flat_map(hour).map(|(_, fault)| fault.name()).collect();
        assert_eq!(drawn.len(), 25, "{drawn:?}");
    }

    #[test]
    fn at_the_end_every_fault_has_ended() {
        for seed in 0..200 {
            let (mut dead, mut gone, mut renamed) = (BTreeSet::new(), BTreeSet::new(), false);
            for (at, fault) in Schedule::default().draw(seed, Duration::from_secs(90), 20.0) {
                match fault {
                    Fault::Kill { node } => assert!(dead.insert(node)),
                    Fault::Restart { node } => assert!(dead.remove(&node)),
                    Fault::RemoveBroker { node } if node.0 <= 3 => assert!(gone.insert(node)),
                    Fault::AddBroker { node } if node.0 <= 3 => assert!(gone.remove(&node)),
                    Fault::AddBroker { node } => assert!(gone.insert(node)),
                    Fault::RemoveBroker { node } => assert!(gone.remove(&node)),
                    Fault::ChangeDns { .. } => renamed = true,
                    Fault::RestoreDns { .. } => renamed = false,
                    Fault::CoordinatorUnavailable { during }
                    | Fault::LagMetadata { during }
                    | Fault::HangCommits { during, .. } => {
                        assert!(at + during <= Duration::from_secs(90));
                    }
                    _ => {}
                }
                assert!(
                    dead.len() + gone.iter().filter(|node| node.0 <= 3).count() < 3,
                    "one is always there"
                );
            }
            assert!(dead.is_empty() && gone.is_empty() && !renamed, "seed {seed}");
        }
    }

    #[test]
    fn kinds_without_weight_and_those_that_tcp_has_not_are_never_drawn() {
        let weights = BTreeMap::from([(Incident::Move, 1), (Incident::Dns, 1)]);
        let schedule = Schedule { tcp: true, weights, ..Schedule::default() };
        let faults = schedule.draw(5, HOUR, 4.0);
        assert!(faults.len() > 100);
        for (_, fault) in faults {
            assert!(matches!(fault, Fault::MoveEndpoints { .. } | Fault::Heal { .. }), "{fault}");
            assert!(!matches!(fault, Fault::MoveEndpoints { old: Old::Drop, .. }));
        }
        let nothing = Schedule { weights: BTreeMap::new(), ..Schedule::default() };
        assert_eq!(nothing.draw(5, HOUR, 4.0).len(), 1);
    }

    #[test]
    fn a_schedule_survives_being_written_down() {
        for (_, fault) in hour(9) {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
    }
}
