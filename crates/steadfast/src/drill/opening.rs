//! How a world is before anything befalls it.

use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;

use super::world::World;

/// How a world is before anything befalls it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Opening {
    /// Brokers of the cluster.
    pub brokers: u16,
    /// Services, members of one group.
    pub services: usize,
    /// Partitions of the topic.
    pub partitions: usize,
    /// Records a second, over all partitions.
    pub rate: f64,
    /// Whether each service is a group of its own, and so reads everything.
    pub apart: bool,
    /// What brokers advertise.
    pub advertised: Advertised,
    /// What stands in the services' configuration.
    pub bootstrap: Bootstrap,
}

/// What brokers advertise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advertised {
    /// An IP address each.
    Hosts,
    /// A name each, which resolves to its IP address.
    Names,
    /// One host for all, a port each, as a load balancer or a tunnel does.
    OneHost,
}

/// What stands in the services' configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bootstrap {
    /// An address that leads to any broker that runs, wherever the brokers are.
    Stable,
    /// The brokers' addresses as they were at the start.
    Brokers,
    /// Both.
    Both,
}

impl Opening {
    /// Three brokers, one service, twelve partitions, a stable address.
    pub const USUAL: Opening = Opening {
        brokers: 3,
        services: 1,
        partitions: 12,
        rate: 24.0,
        apart: false,
        advertised: Advertised::Hosts,
        bootstrap: Bootstrap::Stable,
    };

    /// The same at a load that an hour of virtual time can bear.
    pub const AN_HOUR: Opening = Opening { partitions: 6, rate: 2.0, ..Opening::USUAL };
}

impl Advertised {
    /// Has the brokers advertise so.
    pub(super) fn arrange(self, world: &World) {
        let Some(network) = world.cluster().network() else { return };
        for (node, address) in world.cluster().endpoints() {
            let advertised = match self {
                Advertised::Hosts => continue,
                Advertised::Names => {
                    let name = name(node);
                    network.with_names(|names| names.set(name.clone(), [address.host.clone()]));
                    Address::new(name, address.port)
                }
                Advertised::OneHost => behind("balancer-1", node),
            };
            if self == Advertised::OneHost {
                network.lead(&advertised, network.door(&address));
            }
            world.cluster().with(|cluster| cluster.advertise(node, advertised));
        }
    }
}

/// The name under which a broker is known where it has one.
pub(super) fn name(node: NodeId) -> String {
    format!("kafka-{node}")
}

/// Where a broker is reached behind one host.
pub(super) fn behind(host: &str, node: NodeId) -> Address {
    Address::new(host, 9092 + u16::try_from(node.0).unwrap_or_default())
}

impl Bootstrap {
    /// The addresses, as the brokers are now.
    pub(super) fn addresses(self, world: &World) -> Vec<Address> {
        let stable = || std::iter::once(world.cluster().bootstrap());
        let brokers = || world.cluster().endpoints().into_values();
        match self {
            Bootstrap::Stable => stable().collect(),
            Bootstrap::Brokers => brokers().collect(),
            Bootstrap::Both => stable().chain(brokers()).collect(),
        }
    }
}
