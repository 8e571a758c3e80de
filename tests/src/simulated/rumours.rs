//! What the brokers of a world say of their cluster: the truth, and whatever else may be believed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;
use steadfast_core::tick::Tick;
use steadfast_sim::checker::Happening;
use steadfast_sim::faults::{Fault, Old};
use steadfast_sim::guise::Guise;

use super::deeds::Deed;
use super::world::World;

/// A broker that is slower than this may be taken for a silent one.
const SLOW: Duration = Duration::from_millis(100);

type View = BTreeMap<NodeId, Address>;

/// What is said at addresses that brokers have left, until when.
#[derive(Debug, Default)]
pub(super) struct Rumours(Vec<(Arc<Guise>, Tick)>);

impl Rumours {
    /// This is about to be done.
    pub(super) fn before(&mut self, world: &World, deed: &Deed) {
        if let Deed::Fault(Fault::MoveEndpoints { old: Old::Stale(time), .. }) = deed {
            let stale = Guise::Stale(world.cluster().endpoints());
            self.0.push((Arc::new(stale), world.now() + *time));
        }
    }

    /// What may be believed now: of what is said by guises only if those that say the truth are no majority.
    pub(super) fn told(&mut self, world: &World) -> Happening {
        let cluster = world.cluster();
        self.0.retain(|(_, until)| world.now() <= *until);
        let truth: View = cluster.with(|cluster| {
            let alive = cluster.brokers().iter().filter(|(_, broker)| broker.alive);
            alive.map(|(node, broker)| (*node, broker.address.clone())).collect()
        });
        let links = truth.keys().filter_map(|node| cluster.machine(*node).ok()).map(|machine| machine.link());
        let (honest, others): (Vec<_>, Vec<_>) =
            links.partition(|link| link.up && link.passes() && link.guise.is_none() && link.latency < SLOW);
        let believed = honest.len() <= others.len();
        let guises = others.into_iter().filter(|_| believed).filter_map(|link| link.guise);
        let guises = guises.chain(self.0.iter().map(|(stale, _)| Arc::clone(stale)));
        let mut told: BTreeSet<View> = guises.map(|guise| guise.view(&truth)).collect();
        told.insert(truth);
        Happening::Told(told)
    }
}
