//! Which brokers the service needs.

use steadfast_core::ids::{NodeId, Partition};
use steadfast_core::tick::Tick;

use super::{Vitals, locked};

impl Vitals {
    /// Whether the broker leads partitions that are owned, and none of its fetches was answered after `since`.
    pub(crate) fn lacks_leader(&self, node: NodeId, since: Tick) -> bool {
        let sources = self.sources();
        let cluster = sources.cluster.borrow();
        let owned = sources.table.owned().into_iter();
        let leads =
            |partition: &Partition| cluster.leader(partition).is_some_and(|(leader, _)| leader == node);
        let mut led = owned.filter(leads).peekable();
        let silent = |partition: Partition| sources.table.answered(&partition).is_none_or(|at| at <= since);
        led.peek().is_some() && led.all(silent)
    }

    /// The broker that coordinates the group, as far as it is known.
    pub(crate) fn coordinator(&self) -> Option<NodeId> {
        self.sources().membership.borrow().as_ref()?.coordinator
    }

    /// Whether the coordinator has answered nothing since then.
    pub(crate) fn lacks_coordinator(&self, since: Tick) -> bool {
        locked(&self.sources().standing).heard <= since
    }
}
