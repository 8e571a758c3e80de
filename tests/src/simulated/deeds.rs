//! What a scenario does to its world, and when.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use steadfast_core::ids::NodeId;
use steadfast_sim::embedded::Embedded;
use steadfast_sim::faults::{Fault, Nodes, Old};
use steadfast_sim::guise::Guise;

use tokio::task::JoinHandle;

use super::world::World;

/// One deed, at its time since the world began.
#[derive(Debug, Clone)]
pub struct Step {
    /// When.
    pub at: Duration,
    /// What.
    pub deed: Deed,
}

/// What is done.
#[derive(Debug, Clone)]
pub enum Deed {
    /// From here on something is broken: the checker is told.
    Begin(String),
    /// It is healed.
    End(String),
    /// Something befalls the cluster.
    Fault(Fault),
    /// Every endpoint moves, and this broker goes on naming those of before.
    Lie(NodeId),
    /// A service is cut off from all brokers, or connected again.
    CutOff(usize, bool),
    /// A service begins.
    Join(usize),
    /// A service is ended in order.
    Leave(usize),
    /// A service dies, and says nothing.
    Kill(usize),
    /// A service is ended in order, and begins anew after this time.
    Restart(usize, Duration),
    /// An actor of a service panics: the n-th of those that it names.
    Crash(usize, usize),
}

impl Deed {
    /// Does it, or begins to.
    ///
    /// # Panics
    /// With the seed, if the fault cannot happen: schedules are drawn so that all can.
    pub(super) fn done(&self, world: &World) -> Option<JoinHandle<()>> {
        let said = self.to_string();
        match self {
            Deed::Begin(_) | Deed::End(_) => {}
            Deed::Fault(fault) => {
                if let Err(error) = world.inject(said, |cluster| cluster.inject(fault)) {
                    panic!("seed {}: {fault}: {error}", world.plan().seed);
                }
            }
            Deed::Lie(node) => world.inject(said, |cluster| lie(cluster, *node)),
            Deed::CutOff(number, cut) => {
                world.inject(said, |_| ());
                world.cut_off(*number, *cut);
            }
            Deed::Restart(number, away) => {
                let (world, number, away) = (world.clone(), *number, *away);
                return Some(tokio::task::spawn_local(async move {
                    world.stop_service(number).await;
                    world.elapse(away).await;
                    world.start_service(number);
                }));
            }
            Deed::Join(number) => {
                world.inject(said, |_| ());
                world.start_service(*number);
            }
            Deed::Leave(number) | Deed::Kill(number) => {
                let (world, number, dies) = (world.clone(), *number, matches!(self, Deed::Kill(_)));
                world.inject(said, |_| ());
                return Some(tokio::task::spawn_local(async move {
                    if dies {
                        world.crash_service(number).await;
                    } else {
                        world.stop_service(number).await;
                    }
                }));
            }
            Deed::Crash(number, which) => {
                world.inject(said, |_| ());
                let control = world.services().remove(number).flatten();
                if let Some(control) = control {
                    let actors = control.actors();
                    if let Some(actor) = actors.get(which % actors.len().max(1)) {
                        control.crash(actor);
                    }
                }
            }
        }
        None
    }
}

fn lie(cluster: &Embedded, node: NodeId) {
    let before = Arc::new(Guise::Stale(cluster.endpoints()));
    match cluster.inject(&Fault::MoveEndpoints { nodes: Nodes::All, old: Old::Refuse }) {
        Ok(()) => {
            if let Ok(machine) = cluster.machine(node) {
                machine.change_link(|link| link.guise = Some(before));
            }
        }
        Err(error) => tracing::debug!(%error, "endpoints cannot move now"),
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::Begin(what) => write!(f, "broken: {what}"),
            Deed::End(what) => write!(f, "healed: {what}"),
            Deed::Fault(fault) => fault.fmt(f),
            Deed::Lie(node) => write!(f, "all move, and broker {node} goes on naming the old endpoints"),
            Deed::CutOff(number, true) => write!(f, "service {number} is cut off"),
            Deed::CutOff(number, false) => write!(f, "service {number} is connected again"),
            Deed::Join(number) => write!(f, "service {number} begins"),
            Deed::Leave(number) => write!(f, "service {number} is ended"),
            Deed::Kill(number) => write!(f, "service {number} dies"),
            Deed::Restart(number, away) => {
                write!(f, "service {number} is ended, and begins anew after {} ms", away.as_millis())
            }
            Deed::Crash(number, which) => write!(f, "actor {which} of service {number} panics"),
        }
    }
}

/// When something is broken: from each fault that lasts to what ends it.
pub(super) fn broken(faults: &[(Duration, Fault)]) -> Vec<Step> {
    let end = faults.last().map_or(Duration::ZERO, |(at, _)| *at);
    let mut steps = Vec::new();
    for (place, (at, fault)) in faults.iter().enumerate() {
        let after = || faults[place..].iter();
        let ended = |ends: &dyn Fn(&Fault) -> bool| {
            Some(after().find(|(_, later)| ends(later)).map_or(end, |(at, _)| *at))
        };
        let until = match fault {
            Fault::Kill { node } => ended(&|later| *later == Fault::Restart { node: *node }),
            Fault::RemoveBroker { node } => ended(&|later| *later == Fault::AddBroker { node: *node }),
            Fault::Isolate { node, .. } | Fault::Slow { node, .. } | Fault::AnswerAsOtherCluster { node } => {
                ended(&|later| heals(later, &Nodes::one(*node)))
            }
            Fault::Throttle { nodes, .. }
            | Fault::LimitConnections { nodes, .. }
            | Fault::AnswerWithNoBrokers { nodes }
            | Fault::AnswerWithHalfOfTheBrokers { nodes } => ended(&|later| heals(later, nodes)),
            Fault::ChangeDns { .. } => ended(&|later| matches!(later, Fault::RestoreDns { .. })),
            Fault::CoordinatorUnavailable { during }
            | Fault::LagMetadata { during }
            | Fault::HangCommits { during, .. }
            | Fault::Pause { during, .. } => Some(*at + *during),
            Fault::MoveEndpoints { old: Old::Stale(time) | Old::Grace(time), .. } => Some(*at + *time),
            Fault::MoveEndpoints { .. }
            | Fault::SwapAddresses { .. }
            | Fault::Restart { .. }
            | Fault::Heal { .. }
            | Fault::MoveLeaders { .. }
            | Fault::AddBroker { .. }
            | Fault::SilenceConnections { .. }
            | Fault::MoveCoordinator
            | Fault::ResetMidFrame { .. }
            | Fault::TruncateFrame { .. }
            | Fault::CorruptFrame { .. }
            | Fault::WithholdAnswer { .. }
            | Fault::RestoreDns { .. }
            | Fault::AddressTakenByOtherCluster { .. } => Some(*at),
        };
        if let Some(until) = until {
            let what = format!("{fault} ({place})");
            steps.push(Step { at: *at, deed: Deed::Begin(what.clone()) });
            steps.push(Step { at: until, deed: Deed::End(what) });
        }
    }
    steps
}

fn heals(fault: &Fault, broken: &Nodes) -> bool {
    match (fault, broken) {
        (Fault::Heal { nodes: Nodes::All }, _) => true,
        (Fault::Heal { nodes }, broken) => nodes == broken,
        _ => false,
    }
}
