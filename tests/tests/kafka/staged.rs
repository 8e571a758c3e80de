//! A real Kafka behind the drift proxy as a stage for the scenarios that are played under virtual time too. Whatever
//! waits here blocks: nothing else is to run meanwhile.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use futures::executor::block_on;
use libtest_mimic::Trial;
use serde_json::Value;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;
use steadfast_sim::proxy::{self, DriftProxy, Moved};
use steadfast_sim::{faults, faults::Nodes, faults::Old};
use steadfast_tests::kafka::{Cluster, Signal};
use steadfast_tests::scenarios::{self, Endpoints, Shifted};
use steadfast_tests::service::Workplace;
use steadfast_tests::stage::Stage;
use steadfast_tests::within;
use tokio::runtime::Runtime;

use crate::company::{Company, Ours, await_sharing};
use crate::rehearsal::{LIMIT, Opening, Rehearsal, expect_clean, proxied};

/// A trial that plays this scenario.
fn play(stage: &Stage, name: &str, scenario: impl AsyncFnOnce(&mut Staged<'_>) + Send + 'static) -> Trial {
    stage.trial(name, |cluster| block_on(scenario(&mut Staged(cluster))))
}

macro_rules! play_each {
    ($room:ident: $($scenario:ident),+ $(,)?) => {
        pub(crate) mod $room {
            use steadfast_tests::scenarios::$room as scenarios;

            /// The trials that play the scenarios of this room.
            pub(crate) fn trials(stage: &super::Stage) -> Vec<super::Trial> {
                vec![$(super::play(
                    stage,
                    concat!(stringify!($room), "::", stringify!($scenario)),
                    async |stage| scenarios::$scenario(stage).await,
                )),+]
            }
        }
    };
}

steadfast_tests::recovery_scenarios!(play_each);
steadfast_tests::members_scenarios!(play_each);

/// The cluster of all trials.
pub(crate) struct Staged<'a>(&'a mut Cluster);

impl scenarios::Stage for Staged<'_> {
    type Rehearsal = Rehearsal;
    type Company = Gathered;

    async fn open(&mut self, opening: scenarios::Opening<'_>) -> Rehearsal {
        let begin = Opening::new(opening.name);
        let begin = if opening.stable_bootstrap { begin } else { begin.only_old_addresses() };
        begin.begin(self.0)
    }

    async fn gather(&mut self, name: &str, endpoints: Endpoints) -> Gathered {
        match endpoints {
            Endpoints::Fixed => Gathered { company: Company::gather(self.0, name), moving: None },
            Endpoints::Movable => {
                let (runtime, proxy) = proxied(self.0);
                let company = Company::gather(self.0, name).behind(&proxy);
                Gathered { company, moving: Some((runtime, proxy)) }
            }
        }
    }

    async fn add_partitions(&mut self, topic: &str, total: usize) {
        let (bootstrap, total) = (self.0.bootstrap(), total.to_string());
        let alter = ["--bootstrap-server", &bootstrap, "--alter", "--topic", topic, "--partitions", &total];
        self.0.tool("org.apache.kafka.tools.TopicCommand", &alter).unwrap();
    }

    async fn stop_broker(&mut self, node: NodeId) {
        self.0.kill(node.0, Signal::Term).unwrap();
    }

    async fn restart_broker(&mut self, node: NodeId) {
        self.0.restart(node.0).unwrap();
        self.0.heal().unwrap();
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

fn old(old: Old) -> proxy::Old {
    match old {
        Old::Refuse => proxy::Old::Refuse,
        Old::BlackHole => proxy::Old::BlackHole,
        Old::Grace(time) => proxy::Old::Grace(time),
        Old::Drop | Old::Stale(_) => panic!("the drift proxy cannot do this: {old}"),
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
        shifted(Rehearsal::shift(self, nodes(moving), old(end)))
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

/// A company, and the proxy between it and the brokers, if there is one.
pub(crate) struct Gathered {
    company: Company,
    moving: Option<(Runtime, DriftProxy)>,
}

const JOIN_GROUP: i16 = 11;

impl scenarios::Company for Gathered {
    type Member = Ours;
    type Place = Workplace;

    async fn joins(&mut self, settings: &str) -> Ours {
        self.company.ours(settings)
    }

    async fn joins_into_a_round(&mut self, settings: &str) -> Ours {
        let (_, proxy) = self.moving.as_ref().unwrap();
        let joins = proxy.requests_of(JOIN_GROUP);
        let member = self.company.ours(settings);
        // The first of them is answered with a member id.
        let parked = || (proxy.requests_of(JOIN_GROUP) >= joins + 2).then_some(()).ok_or(());
        within(LIMIT, parked).unwrap();
        member
    }

    async fn rejoins(&mut self, place: Workplace) -> Ours {
        Ours::at(place)
    }

    async fn retire(&mut self, member: Ours) -> Workplace {
        self.company.retire(member)
    }

    async fn crash(&mut self, member: Ours) {
        self.company.cut_off(member);
    }

    async fn fenced(&mut self, member: Ours) {
        self.company.fenced(member);
    }

    async fn extend_load(&mut self, partitions: Range<usize>) {
        let number = |partition: usize| i32::try_from(partition).unwrap();
        self.company.extend_load(number(partitions.start)..number(partitions.end));
    }

    async fn shift(&mut self, end: Old) -> Duration {
        let (runtime, proxy) = self.moving.as_ref().unwrap();
        moment(runtime.block_on(proxy.move_endpoints(proxy::Nodes::All, old(end))).unwrap().at)
    }

    async fn until<T>(&self, wanted: &str, mut answer: impl FnMut() -> Option<T>) -> T {
        within(LIMIT, || answer().ok_or(())).unwrap_or_else(|()| panic!("no {wanted}"))
    }

    async fn await_sharing(&self, members: &[(&Ours, usize)]) {
        let members: Vec<(&dyn crate::company::Member, usize)> = members
            .iter()
            .map(|(member, wanted)| (*member as &dyn crate::company::Member, *wanted))
            .collect();
        await_sharing(&members);
    }

    async fn disband(self, last: Vec<Ours>) {
        self.company.disband(last);
    }
}

impl scenarios::Member for Ours {
    fn events(&self) -> Vec<Value> {
        self.service.events().into_iter().map(|event| event.json).collect()
    }

    fn first_told(&self, name: &str, since: Duration) -> Option<Duration> {
        let mut events = self.service.events_named(name).into_iter().map(|event| moment(event.at));
        events.find(|at| *at >= since)
    }
}
