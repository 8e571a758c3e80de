//! Names and balancers stay, and lead elsewhere.

use futures::FutureExt;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;
use steadfast_sim::embedded::CommandError;
use steadfast_sim::faults::{Fault, Old};
use steadfast_sim::network::Door;

use crate::drill::expected::Expected;
use crate::drill::opening::{Advertised, Bootstrap, Opening, behind, name};
use crate::drill::rehearsal::Rehearsal;
use crate::drill::scenario::Scenario;

pub(super) const DNS_NEW_ADDRESSES: Scenario = Scenario {
    number: 3,
    name: "dns-new-addresses",
    happens: "Brokers keep their names, which resolve to other addresses; the old ones refuse, then fall silent.",
    opening: Opening { advertised: Advertised::Names, bootstrap: Bootstrap::Brokers, ..Opening::USUAL },
    play: |drill| {
        async {
            for (subnet, old) in [(1, Door::Refuse), (2, Door::Drop)] {
                readdress(drill, subnet, &old);
                drill.mark();
                drill.seconds(30).await;
            }
        }
        .boxed_local()
    },
    expected: |policy| Expected::within(policy.silent()).adaptations(0),
};

/// Every broker's name resolves to another host, and the one before leads to `old`.
fn readdress(drill: &Rehearsal, subnet: u8, old: &Door) {
    drill.deed("every broker's name resolves to another address", |cluster| {
        let Some(network) = cluster.network() else { return };
        for (node, advertised) in cluster.endpoints() {
            let hosts = network.with_names(|names| names.resolve(&name(node)));
            let new = format!("10.77.{subnet}.{node}");
            for host in hosts {
                let (before, after) =
                    (Address::new(host, advertised.port), Address::new(&*new, advertised.port));
                network.lead(&after, network.door(&before));
                network.lead(&before, old.clone());
            }
            network.with_names(|names| names.set(name(node), [new]));
        }
    });
}

pub(super) const STABLE_NAME: Scenario = Scenario {
    number: 4,
    name: "stable-name",
    happens: "Brokers advertise IP addresses behind one stable name; all of them change, and the name follows.",
    opening: Opening::USUAL,
    play: |drill| {
        async {
            follow(drill);
            drill.seconds(10).await;
            drill.move_all(Old::Drop);
            follow(drill);
            drill.mark();
            drill.seconds(20).await;
        }
        .boxed_local()
    },
    expected: |policy| Expected::within(policy.silent()).respawns(policy.respawns(1, 1.0)),
};

/// The stable name resolves to the hosts of the brokers.
fn follow(drill: &Rehearsal) {
    drill.deed("the stable name resolves to the brokers' hosts", |cluster| {
        let hosts: Vec<String> = cluster.endpoints().into_values().map(|at| at.host).collect();
        if let Some(network) = cluster.network() {
            network.with_names(|names| names.set(cluster.bootstrap().host, hosts));
        }
    });
}

pub(super) const LOAD_BALANCER: Scenario = Scenario {
    number: 8,
    name: "load-balancer",
    happens: "A balancer's ports lead to other brokers, which take over; later another balancer takes its place.",
    opening: Opening { advertised: Advertised::OneHost, bootstrap: Bootstrap::Both, ..Opening::USUAL },
    play: |drill| {
        async {
            repoint(drill);
            drill.mark();
            drill.seconds(30).await;
            let to = |node: NodeId| behind("balancer-2", node);
            drill.relocate("another balancer takes over", to, |door| door, &Door::BlackHole);
            drill.mark();
            drill.seconds(20).await;
        }
        .boxed_local()
    },
    // Who was asked at an address as one broker is not asked there as another at once.
    expected: |policy| Expected::within(policy.settled()).respawns(policy.respawns(2, 1.0)),
};

/// Three brokers take the place of the three that there were, behind the same ports.
fn repoint(drill: &Rehearsal) {
    const BEFORE: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
    const AFTER: [NodeId; 3] = [NodeId(4), NodeId(5), NodeId(6)];
    AFTER.into_iter().for_each(|node| drill.befall(Fault::AddBroker { node }));
    for (turn, partition) in drill.world().partitions().iter().enumerate() {
        let mut on = AFTER.to_vec();
        on.rotate_left(turn % AFTER.len());
        let what = format!("{partition} moves to the new brokers");
        drill.command(&what, |cluster| cluster.with(|cluster| cluster.reassign(partition, on)));
    }
    BEFORE.into_iter().for_each(|node| drill.befall(Fault::RemoveBroker { node }));
    for (before, after) in BEFORE.into_iter().zip(AFTER) {
        let port = behind("balancer-1", before);
        drill.command(&format!("{port} leads to broker {after}"), |cluster| {
            let machine = cluster.machine(after)?;
            if let Some(network) = cluster.network() {
                network.lead(&port, Door::Open(machine, None));
            }
            cluster.with(|cluster| cluster.advertise(after, port.clone()));
            Ok::<_, CommandError>(())
        });
    }
}
