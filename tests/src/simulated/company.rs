//! Members of one group in a simulated world.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use steadfast::exit::Exit;
use steadfast_core::ids::{Offset, Partition};
use steadfast_sim::faults::{Nodes, Old};
use steadfast_sim::group::GroupState;

use super::ear::Ear;
use super::stage::{LIMIT, Processed, RATE, Simulated, shift};
use super::world::{GROUP, Load, Manner, World, service_name};
use crate::scenarios::{Company, Member};

/// A topic, its load, and the members of one group.
#[derive(Debug)]
pub struct Members {
    world: World,
    processed: Processed,
    loads: Vec<Load>,
    /// How the lives of services ended that were not in order, by name of the service and when.
    parted: Vec<(Arc<str>, Duration, Parting)>,
    next: Cell<usize>,
}

/// How a member went that did not go in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parting {
    /// It could not commit: what it had been given may be given to another again.
    CutOff,
    /// Another took its place, and both were given records until it heard of that.
    Fenced,
}

/// One life of a service.
#[derive(Debug)]
pub struct One {
    number: usize,
    ear: Ear,
    settings: String,
}

impl Members {
    pub(super) fn gather(stage: &Simulated) -> Members {
        let (world, processed) = (stage.world.clone(), stage.processed.clone());
        let loads = vec![world.load(RATE)];
        Members { world, processed, loads, parted: Vec::new(), next: Cell::new(1) }
    }

    fn begin(&self, number: usize, settings: &str) -> One {
        let ear = Ear::new(self.world.now().since_start());
        let manner = Manner { settings: settings.to_owned(), ear: Some(ear.clone()), ..Manner::default() };
        self.world.start_service_as(number, &manner);
        One { number, ear, settings: settings.to_owned() }
    }

    /// What came again although whoever had been given it first could commit it.
    fn given_again(&self) -> Vec<(Partition, Offset)> {
        let mut first: BTreeMap<(Partition, Offset), Option<Parting>> = BTreeMap::new();
        let mut again = Vec::new();
        for record in &*self.processed.all() {
            let ends = |(service, at, _): &&(Arc<str>, Duration, Parting)| {
                *service == record.service && record.at <= *at
            };
            let parting = self.parted.iter().find(ends).map(|(_, _, parting)| *parting);
            let key = (record.partition.clone(), record.offset);
            match first.get(&key) {
                Some(None) if parting != Some(Parting::Fenced) => again.push(key),
                Some(_) => {}
                None => drop(first.insert(key, parting)),
            }
        }
        again
    }

    fn part(&mut self, member: &One, parting: Parting) {
        self.parted.push((member.name(), self.world.now().since_start(), parting));
    }
}

impl One {
    fn name(&self) -> Arc<str> {
        service_name(self.number).into()
    }
}

impl Company for Members {
    type Member = One;
    type Place = (usize, String);

    async fn joins(&mut self, settings: &str) -> One {
        let number = self.next.replace(self.next.get() + 1);
        self.begin(number, settings)
    }

    async fn joins_into_a_round(&mut self, settings: &str) -> One {
        let member = self.joins(settings).await;
        let world = self.world.clone();
        let begun = || {
            let group = world.cluster().with(|cluster| cluster.group(GROUP));
            group.filter(|group| group.state == GroupState::PreparingRebalance).map(drop)
        };
        self.until("round", begun).await;
        member
    }

    async fn rejoins(&mut self, (number, settings): (usize, String)) -> One {
        self.begin(number, &settings)
    }

    async fn retire(&mut self, member: One) -> (usize, String) {
        assert_eq!(self.world.stop_service(member.number).await, Some(Exit::Fine));
        let stopped = member.ear.events().pop().map(|(_, event)| event).unwrap_or_default();
        assert_eq!((&stopped["event.name"], &stopped["redelivered"]), (&"service.stopped".into(), &0.into()));
        (member.number, member.settings)
    }

    async fn crash(&mut self, member: One) {
        assert_eq!(self.world.crash_service(member.number).await, Some(Exit::Internal));
        self.part(&member, Parting::CutOff);
    }

    async fn fenced(&mut self, member: One) {
        // It has ended by itself: what remains is to hear how.
        assert_eq!(self.world.stop_service(member.number).await, Some(Exit::Denied));
        self.part(&member, Parting::Fenced);
    }

    /// A load is on all partitions that there are.
    async fn extend_load(&mut self, _: Range<usize>) {
        self.loads.push(self.world.load(RATE));
    }

    async fn shift(&mut self, old: Old) -> Duration {
        shift(&self.world, &Nodes::All, old).at
    }

    async fn until<T>(&self, wanted: &str, mut answer: impl FnMut() -> Option<T>) -> T {
        let mut found = None;
        let look = |_: &World| {
            found = answer();
            found.is_some()
        };
        self.world.until(LIMIT, look).await;
        found.unwrap_or_else(|| panic!("no {wanted} within {LIMIT:?}"))
    }

    async fn await_sharing(&self, members: &[(&One, usize)]) {
        let since = self.world.now().since_start();
        let mut given: Vec<BTreeSet<i32>> = Vec::new();
        let shared = |_: &World| {
            let of = |(member, _): &(&One, usize)| self.processed.since(since, Some(&member.name()));
            given = members.iter().map(of).collect();
            let as_wanted = given.iter().zip(members).all(|(given, (_, wanted))| given.len() == *wanted);
            let distinct: BTreeSet<&i32> = given.iter().flatten().collect();
            as_wanted && distinct.len() == members.iter().map(|(_, wanted)| *wanted).sum::<usize>()
        };
        let shared = self.world.until(LIMIT, shared).await;
        assert!(shared, "{given:?}");
    }

    async fn disband(mut self, last: Vec<One>) {
        self.loads.clear();
        let caught_up = self.world.caught_up(LIMIT).await;
        assert!(caught_up, "lost: {:?}", self.world.tally().missing());
        for member in last {
            self.retire(member).await;
        }
        assert_eq!(self.given_again(), Vec::new());
        let records = self.processed.all();
        let trespasses: Vec<_> = records.iter().filter(|record| !record.current).collect();
        assert!(trespasses.is_empty(), "processed under an ended lease: {trespasses:?}");
    }
}

impl Member for One {
    fn events(&self) -> Vec<Value> {
        self.ear.events().into_iter().map(|(_, event)| event).collect()
    }

    fn first_told(&self, name: &str, since: Duration) -> Option<Duration> {
        let mut events = self.ear.events().into_iter();
        events.find(|(at, event)| *at >= since && event["event.name"] == name).map(|(at, _)| at)
    }
}
