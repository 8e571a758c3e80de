//! The machines of one cluster.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use steadfast_core::ids::NodeId;

use super::machine::Machine;

/// The machines of one cluster, which come and go.
#[derive(Debug, Default)]
pub struct Machines(Mutex<Racked>);

#[derive(Debug, Default)]
struct Racked {
    machines: BTreeMap<NodeId, Arc<Machine>>,
    chosen: usize,
}

impl Machines {
    /// Adds a machine, or replaces the one of the same broker.
    pub fn add(&self, machine: Arc<Machine>) {
        self.racked().machines.insert(machine.node(), machine);
    }

    /// Takes a machine away.
    pub fn remove(&self, node: NodeId) -> Option<Arc<Machine>> {
        self.racked().machines.remove(&node)
    }

    /// The machine of this broker.
    pub fn get(&self, node: NodeId) -> Option<Arc<Machine>> {
        self.racked().machines.get(&node).cloned()
    }

    /// All of them, by broker.
    pub fn all(&self) -> Vec<Arc<Machine>> {
        self.racked().machines.values().cloned().collect()
    }

    /// The next one in turn that runs and can be reached; if none can, one that runs.
    pub fn choose(&self) -> Option<Arc<Machine>> {
        let mut racked = self.racked();
        let running: Vec<_> = racked.machines.values().filter(|machine| machine.link().up).cloned().collect();
        let reached: Vec<_> = running.iter().filter(|machine| machine.link().passes()).cloned().collect();
        let among = if reached.is_empty() { running } else { reached };
        let chosen = racked.chosen.checked_rem(among.len()).and_then(|at| among.get(at).cloned());
        racked.chosen = racked.chosen.wrapping_add(1);
        chosen
    }

    fn racked(&self) -> MutexGuard<'_, Racked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
