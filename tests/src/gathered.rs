//! Members of one group in processes of their own, as the scenarios of [`crate::scenarios::members`] see them. Whatever
//! waits here blocks: nothing else is to run meanwhile.
#![expect(clippy::unwrap_used, reason = "what fails here fails its trial")]

use std::ops::Range;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use steadfast_sim::faults::Old;
use steadfast_sim::proxy::{self, DriftProxy};
use tokio::runtime::Runtime;

use crate::brokers::Brokers;
use crate::company::{Company, LIMIT, Ours, await_sharing};
use crate::scenarios::{self, Endpoints};
use crate::service::Workplace;
use crate::within;

/// Where members gather whose brokers stay where they are.
pub struct Settled<'a>(pub &'a Brokers);

impl scenarios::Gathering for Settled<'_> {
    type Company = Gathered;

    async fn gather(&mut self, name: &str, endpoints: Endpoints) -> Gathered {
        assert_eq!(endpoints, Endpoints::Fixed, "these brokers cannot move");
        Gathered::at(Company::gather(self.0, name))
    }

    async fn add_partitions(&mut self, topic: &str, total: usize) {
        self.0.add_partitions(topic, i32::try_from(total).unwrap()).unwrap();
    }
}

/// A company, and the proxy between it and the brokers, if there is one.
pub struct Gathered {
    company: Company,
    moving: Option<(Runtime, DriftProxy)>,
}

impl Gathered {
    /// A company whose brokers stay where they are.
    pub fn at(company: Company) -> Gathered {
        Gathered { company, moving: None }
    }

    /// A company that comes through this proxy, and the runtime that it lives on.
    pub fn behind(company: Company, runtime: Runtime, proxy: DriftProxy) -> Gathered {
        Gathered { company: company.behind(&proxy), moving: Some((runtime, proxy)) }
    }
}

/// Moments are counted from 1970.
fn since_1970(at: SystemTime) -> Duration {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap()
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
        since_1970(runtime.block_on(proxy.move_endpoints(proxy::Nodes::All, old_of(end))).unwrap().at)
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
        let mut events = self.service.events_named(name).into_iter().map(|event| since_1970(event.at));
        events.find(|at| *at >= since)
    }
}

/// What becomes of old addresses, in the proxy's words.
pub fn old_of(old: Old) -> proxy::Old {
    match old {
        Old::Refuse => proxy::Old::Refuse,
        Old::BlackHole => proxy::Old::BlackHole,
        Old::Drop => proxy::Old::Drop,
        Old::Grace(time) => proxy::Old::Grace(time),
        Old::Stale(time) => proxy::Old::Stale(time),
    }
}
