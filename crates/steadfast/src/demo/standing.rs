//! The producer's own way to the brokers: a second listener of each, which does not move.
//!
//! Clusters often have one for clients inside. Here it keeps the load flowing through the move, so that what is
//! measured is the consumer's pause and not the producer's.

use std::collections::BTreeMap;
use std::sync::Arc;

use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;
use steadfast_sim::embedded::{CommandError, Embedded};
use steadfast_sim::guise::Guise;
use steadfast_sim::network::{Door, Machine};
use steadfast_sim::tcp::Loopback;

/// Listeners that stay. They close with this.
#[derive(Debug)]
pub(crate) struct Standing {
    _ports: Loopback,
    endpoints: BTreeMap<NodeId, Address>,
}

impl Standing {
    /// Opens one for each broker. Whoever comes by it is told of these alone.
    pub(crate) fn open(cluster: &Embedded) -> Result<Standing, CommandError> {
        let ports = Loopback::default();
        let mut machines: BTreeMap<Address, Arc<Machine>> = BTreeMap::new();
        let mut endpoints = BTreeMap::new();
        for node in cluster.endpoints().into_keys() {
            let machine = cluster.machine(node)?;
            let address = ports.open(Door::Open(machine.clone(), None))?;
            machines.insert(address.clone(), machine);
            endpoints.insert(node, address);
        }
        let guise = Arc::new(Guise::Stale(endpoints.clone()));
        for (address, machine) in machines {
            ports.lead(&address, Door::Open(machine, Some(guise.clone())))?;
        }
        Ok(Standing { _ports: ports, endpoints })
    }

    /// Where to begin.
    pub(crate) fn bootstrap(&self) -> Vec<String> {
        self.endpoints.values().map(Address::to_string).collect()
    }
}
