//! A real Kafka behind the drift proxy as a stage for the scenarios that are played under virtual time too. Whatever
//! waits here blocks: nothing else is to run meanwhile.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use futures::executor::block_on;
use libtest_mimic::Trial;
use serde_json::Value;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;
use steadfast_sim::proxy::{self, Moved};
use steadfast_sim::{faults, faults::Nodes, faults::Old};
use steadfast_tests::company::Company;
use steadfast_tests::gathered::{Gathered, old_of};
use steadfast_tests::kafka::{Cluster, Signal};
use steadfast_tests::scenarios::{self, Endpoints, Shifted};
use steadfast_tests::stage::Stage;
use steadfast_tests::within;

use crate::rehearsal::{LIMIT, Opening, Rehearsal, expect_clean, proxied};

/// A trial that plays this scenario on brokers of this version and newer.
fn play(
    stage: &Stage,
    since: (u32, u32),
    name: &str,
    scenario: impl AsyncFnOnce(&mut Staged<'_>) + Send + 'static,
) -> Trial {
    stage.trial_since(since, name, |cluster| block_on(scenario(&mut Staged(cluster))))
}

macro_rules! play_each {
    ($room:ident: $($scenario:ident),+ $(,)?) => {
        pub(crate) mod $room {
            use steadfast_tests::scenarios::$room as scenarios;

            /// The trials that play the scenarios of this room.
            pub(crate) fn trials(stage: &super::Stage) -> Vec<super::Trial> {
                vec![$(super::play(
                    stage,
                    super::since(stringify!($room)),
                    concat!(stringify!($room), "::", stringify!($scenario)),
                    async |stage| scenarios::$scenario(stage).await,
                )),+]
            }
        }
    };
}

steadfast_tests::recovery_scenarios!(play_each);
steadfast_tests::moved_members_scenarios!(play_each);
steadfast_tests::consumer_protocol_scenarios!(play_each);

/// The first version of Kafka that has what this room is about.
fn since(room: &str) -> (u32, u32) {
    if room == "consumer_protocol" { (4, 0) } else { (0, 0) }
}

/// The cluster of all trials.
pub(crate) struct Staged<'a>(&'a mut Cluster);

impl scenarios::Stage for Staged<'_> {
    type Rehearsal = Rehearsal;

    async fn open(&mut self, opening: scenarios::Opening<'_>) -> Rehearsal {
        let begin = Opening::new(opening.name);
        let begin = if opening.stable_bootstrap { begin } else { begin.only_old_addresses() };
        begin.begin(self.0)
    }

    async fn stop_broker(&mut self, node: NodeId) {
        self.0.kill(node.0, Signal::Term).unwrap();
    }

    async fn restart_broker(&mut self, node: NodeId) {
        self.0.restart(node.0).unwrap();
        self.0.heal().unwrap();
    }
}

impl scenarios::Gathering for Staged<'_> {
    type Company = Gathered;

    async fn gather(&mut self, name: &str, endpoints: Endpoints) -> Gathered {
        let company = Company::gather(&self.0.brokers(), name);
        match endpoints {
            Endpoints::Fixed => Gathered::at(company),
            Endpoints::Movable => {
                let (runtime, proxy) = proxied(self.0);
                Gathered::behind(company, runtime, proxy)
            }
        }
    }

    async fn add_partitions(&mut self, topic: &str, total: usize) {
        self.0.brokers().add_partitions(topic, i32::try_from(total).unwrap()).unwrap();
    }
}

/// Moments are counted from 1970.
fn moment(at: SystemTime) -> Duration {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

fn nodes(nodes: &Nodes) -> proxy::Nodes {
    match nodes {
        Nodes::All => proxy::Nodes::All,
        Nodes::Some(nodes) => proxy::Nodes::Some(nodes.iter().map(|node| node.0).collect()),
    }
}

fn shifted(moved: Moved) -> Shifted {
    let addresses = |places: BTreeMap<i32, std::net::SocketAddr>| {
        let places = places.into_iter();
        places.map(|(node, at)| (NodeId(node), Address::new(at.ip().to_string(), at.port()))).collect()
    };
    Shifted { at: moment(moved.at), from: addresses(moved.from), to: addresses(moved.to) }
}

impl scenarios::Rehearsal for Rehearsal {
    fn now(&self) -> Duration {
        moment(SystemTime::now())
    }

    async fn shift(&mut self, moving: &faults::Nodes, end: Old) -> Shifted {
        shifted(Rehearsal::shift(self, nodes(moving), old_of(end)))
    }

    async fn reconfigure(&mut self, bootstrap: &[Address]) -> Duration {
        let bootstrap: Vec<String> = bootstrap.iter().map(ToString::to_string).collect();
        moment(Rehearsal::reconfigure(self, &bootstrap.join(",")))
    }

    async fn until<T>(&self, wanted: &str, mut answer: impl FnMut(&Self) -> Option<T>) -> T {
        let found = within(LIMIT, || answer(self).ok_or(()));
        found.unwrap_or_else(|()| panic!("no {wanted}\n{}", self.service.story()))
    }

    fn flowing_since(&self, since: Duration) -> usize {
        self.service.checker().first_after(SystemTime::UNIX_EPOCH + since).len()
    }

    fn events(&self) -> Vec<Value> {
        self.service.events().into_iter().map(|event| event.json).collect()
    }

    async fn finish(self) {
        let (verdict, service) = Rehearsal::finish(self);
        expect_clean(&verdict, &service);
    }
}
