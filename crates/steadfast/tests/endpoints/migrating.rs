//! The operator's walk through two changes of listeners. The third, that of the security protocol, takes brokers that speak
//! TLS: it is played on a real Kafka.

use std::net::TcpListener;

use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;
use steadfast_sim::embedded::{Nodes, Old};

use crate::place::{LIMIT, Place};
use crate::walk::Walk;

#[test]
fn every_command_of_the_walk_ends_as_the_document_says() {
    let (walk, place, http) = (Walk::read(), Place::new(), free_address());
    place.configure_http(&http);
    let service = place.run();
    let play = |heading| walk.play(heading, &http, |arguments| place.command(arguments).output().unwrap());
    let before = place.cluster.endpoints();
    let advertise = |endpoints: &dyn Fn(NodeId) -> Address| {
        for node in before.keys() {
            place.cluster.with(|cluster| cluster.advertise(*node, endpoints(*node)));
        }
    };

    // Addresses: the same ports, by another name.
    play("Before");
    advertise(&|node| Address::new("localhost", before[&node].port));
    play("Meanwhile");
    play("After");
    advertise(&|node| before[&node].clone());
    play("Back");

    // Ports: the old ones go on until nobody uses them.
    play("Before");
    place.end_old(&Nodes::All, Old::Grace(LIMIT * 10));
    play("Meanwhile");
    play("After");
    advertise(&|node| before[&node].clone());
    play("Back");
    service.stop();
}

/// A port that was free a moment ago.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
