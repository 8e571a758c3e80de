//! One group's life: three members, a fourth joins, one leaves, again and again, under load.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant, SystemTime};

use steadfast_tests::checker::{Acked, Checker, Mark};
use steadfast_tests::kafka::Cluster;
use steadfast_tests::within;

use super::client::Client;
use super::group::{Group, STEADY};
use super::member::Place;
use super::window::{Cost, Window};
use crate::ground::Ground;
use crate::machine::load_average;

/// Before the changes.
const MEMBERS: usize = 3;
const BEGIN_LIMIT: Duration = Duration::from_secs(60);
/// What a member does around changes is over by then.
const CALM: Duration = Duration::from_secs(12);
/// Events fall on all phases of the longest interval that a client heartbeats at (KIP-848: 5 s).
const PHASES: Duration = Duration::from_secs(5);
/// The fractional part of the golden ratio: multiples of it spread evenly over the phases.
const SPREAD: f64 = 0.618_033_988_749_895;
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// What members ask of the coordinator for their membership's sake.
pub const REQUESTS: [(i16, &str); 6] = [
    (10, "FindCoordinator"),
    (11, "JoinGroup"),
    (12, "Heartbeat"),
    (13, "LeaveGroup"),
    (14, "SyncGroup"),
    (68, "ConsumerGroupHeartbeat"),
];

/// What happens to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A fourth member joins three.
    Join,
    /// One of four leaves in order.
    Leave,
}

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What happened.
    pub kind: Kind,
    /// What it cost.
    pub cost: Cost,
    /// Requests of the membership from the change until the group had been balanced for a while, by kind.
    pub requests: BTreeMap<&'static str, u64>,
    /// For how long these were counted.
    pub counted_for: Duration,
    /// The machine's load average.
    pub load: f64,
}

/// What one group went through.
#[derive(Debug, Clone, PartialEq)]
pub struct Life {
    /// Of whom.
    pub client: Client,
    /// From 1 on.
    pub number: usize,
    /// One after the other.
    pub changes: Vec<Change>,
    /// Requests of the membership in a second of one member of a group in which nothing happens.
    pub idle: f64,
    /// Records that the brokers acknowledged.
    pub acknowledged: usize,
    /// Acknowledged, and never delivered.
    pub lost: usize,
    /// Delivered again, in all.
    pub redelivered: usize,
}

/// How a life is played.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many times a member joins and another leaves.
    pub rounds: usize,
    /// How long a group may take until it is balanced.
    pub limit: Duration,
}

/// Plays one life on a proxy, topic and group of its own.
///
/// # Errors
/// A member does not do what it is told within the limits, or what it is measured with fails.
pub fn play(cluster: &Cluster, plan: Plan, client: Client, number: usize) -> io::Result<Life> {
    let name = format!("rebalance-{}-{number}", client.name());
    let ground = Ground::begin(cluster, &name)?;
    let bootstrap = ground.proxy.bootstrap().to_string();
    let place = Place { bootstrap, name, work: None, further: Vec::new() };
    let mut group = Group::new(client, place);
    for _ in 0..MEMBERS {
        let member = group.prepare()?;
        group.join(member)?;
    }
    group.await_balance(BEGIN_LIMIT)?;
    let mut stage = Stage { ground, group, plan, idle: Idle::default() };
    let mut changes = Vec::new();
    for round in 0..plan.rounds {
        for kind in [Kind::Join, Kind::Leave] {
            let phase = (number * 2 * plan.rounds + 2 * round + usize::from(kind == Kind::Leave)) as f64;
            stage.rest(PHASES.mul_f64((phase * SPREAD).fract()));
            changes.push(stage.change(kind)?);
        }
    }
    stage.finish(client, number, changes)
}

struct Stage {
    ground: Ground,
    group: Group,
    plan: Plan,
    idle: Idle,
}

#[derive(Default)]
struct Idle {
    requests: u64,
    /// Summed over members.
    member_seconds: f64,
}

impl Stage {
    /// Nothing happens; at its end it is counted what members ask for while it does not.
    fn rest(&mut self, phase: Duration) {
        std::thread::sleep(CALM.saturating_sub(STEADY));
        let (began, before) = (Instant::now(), self.requests());
        std::thread::sleep(STEADY + phase);
        self.idle.requests += self.requests().values().sum::<u64>() - before.values().sum::<u64>();
        self.idle.member_seconds += began.elapsed().as_secs_f64() * self.group.count() as f64;
    }

    fn change(&mut self, kind: Kind) -> io::Result<Change> {
        let (load, before, began) = (load_average(), self.requests(), Instant::now());
        let mut leaver = None;
        let from = match kind {
            Kind::Join => {
                let member = self.group.prepare()?;
                self.group.join(member)?
            }
            Kind::Leave => {
                let (at, leaving) = self.group.leave()?;
                leaver = Some(leaving);
                at
            }
        };
        self.group.await_balance(self.plan.limit)?;
        leaver.map_or(Ok(()), |leaver| self.group.dismiss(leaver))?;
        let (after, counted_for) = (self.requests(), began.elapsed());
        let until = SystemTime::now();
        let acked: Vec<(Mark, SystemTime)> = self.ground.load.acked_since(from - Duration::from_secs(2));
        let cost = Window { from, until, given: self.group.given(), acked: &acked }.cost();
        let requests = after.into_iter().map(|(name, count)| (name, count - before[name])).collect();
        Ok(Change { kind, cost, requests, counted_for, load })
    }

    fn requests(&self) -> BTreeMap<&'static str, u64> {
        REQUESTS.into_iter().map(|(api, name)| (name, self.ground.proxy.requests_of(api))).collect()
    }

    fn finish(mut self, client: Client, number: usize, changes: Vec<Change>) -> io::Result<Life> {
        let Ground { load, proxy, runtime } = self.ground;
        let acked = load.stop()?;
        // What does not come is lost: that is the verdict's to say.
        let _ =
            within(DRAIN_LIMIT, || if outstanding(&mut self.group, &acked) == 0 { Ok(()) } else { Err(()) });
        let given = self.group.disband()?;
        drop((proxy, runtime));
        let mut checker = Checker::default();
        given.into_iter().for_each(|(_, delivered)| checker.see(delivered));
        let verdict = checker.verdict(&acked);
        Ok(Life {
            client,
            number,
            changes,
            idle: self.idle.requests as f64 / self.idle.member_seconds.max(1e-9),
            acknowledged: acked.values().map(std::collections::BTreeSet::len).sum(),
            lost: verdict.lost.len(),
            redelivered: verdict.redelivered.len(),
        })
    }
}

fn outstanding(group: &mut Group, acked: &Acked) -> usize {
    let mut checker = Checker::default();
    group.given().iter().for_each(|(_, delivered)| checker.see(*delivered));
    checker.outstanding(acked).len()
}
