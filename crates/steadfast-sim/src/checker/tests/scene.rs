//! One partition, one service that was given it, and another that was not.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use steadfast_core::acked::Span;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{
    AssignmentEpoch, ConsumerIncarnation, FetchGeneration, GroupGeneration, HandlerIncarnation, NodeId,
    Offset, Partition,
};
use steadfast_core::progress::{Lease, State};
use steadfast_core::tick::Tick;

use crate::call::{ConnectionId, Ticket};
use crate::checker::*;

pub(super) const ONE: Service = Service(1);
pub(super) const OTHER: Service = Service(2);
const GENERATION: GroupGeneration = GroupGeneration(1);
pub(super) const GENERATION_AFTER: GroupGeneration = GroupGeneration(2);
pub(super) const CATCH_UP: Duration = Duration::from_secs(600);
pub(super) const MEND: Duration = Duration::from_secs(300);
pub(super) const DRAIN: Duration = Duration::from_secs(1);
pub(super) const WINDOW: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(super) struct Scene {
    /// All that was told, so that a copy can be made of what is being checked.
    told: Vec<(Tick, Happening)>,
    now: Tick,
    pub(super) lease: Lease,
    pub(super) standing: Standing,
}

pub(super) fn orders() -> Partition {
    Partition::new("orders", 0)
}

pub(super) fn only(partition: Partition) -> BTreeSet<Partition> {
    BTreeSet::from([partition])
}

fn span(offsets: &Range<i64>) -> Span {
    Span::new(Offset(offsets.start), Offset(offsets.end))
}

impl Scene {
    /// The service runs and was given the partition.
    pub(super) fn begun() -> Scene {
        let (assignment, generation) = (AssignmentEpoch(1), FetchGeneration(1));
        let lease = Lease { assignment, handler: HandlerIncarnation(1), generation };
        let mut scene = Scene {
            told: Vec::new(),
            now: Tick::ZERO,
            lease,
            standing: Standing {
                assignment,
                incarnation: ConsumerIncarnation(1),
                generation,
                position: Offset(0),
                acked: Offset(0),
                committed: None,
                state: State::Running,
                lease: Some(lease),
            },
        };
        scene.sees(ServiceSide::Began);
        scene.tell(Happening::Broker(BrokerSide::GenerationBegan(GENERATION)));
        scene.tell(Happening::Broker(BrokerSide::Assigned { service: ONE, partitions: only(orders()) }));
        scene
    }

    fn checker(&self) -> Checker {
        let mut checker = Checker::new(Limits {
            connect_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(30),
            rebalance_timeout: Duration::from_secs(60),
            respawn_budget: 2,
            respawn_window: WINDOW,
            respawn_drain: DRAIN,
            settle: Duration::from_secs(2),
            commits: true,
            catch_up: CATCH_UP,
            mend: MEND,
        });
        for (at, happening) in &self.told {
            checker.see(*at, happening.clone()).unwrap();
        }
        checker
    }

    pub(super) fn try_tell(&mut self, happening: Happening) -> Result<(), Violation> {
        self.checker().see(self.now, happening.clone())?;
        self.told.push((self.now, happening));
        Ok(())
    }

    pub(super) fn tell(&mut self, happening: Happening) {
        self.try_tell(happening).unwrap();
    }

    pub(super) fn violates<T: std::fmt::Debug>(
        &mut self,
        invariant: Invariant,
        by: impl FnOnce(&mut Scene) -> Result<T, Violation>,
    ) {
        assert_eq!(by(self).unwrap_err().invariant, invariant);
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Something harmless happens so much later.
    pub(super) fn later(&mut self, millis: u64) -> Result<(), Violation> {
        self.wait(Duration::from_millis(millis));
        self.try_tell(Happening::Broker(BrokerSide::GenerationBegan(GENERATION)))
    }

    pub(super) fn finish(&mut self) -> Result<Summary, Violation> {
        self.checker().finish(self.now)
    }

    pub(super) fn service(&mut self, event: ServiceSide) -> Result<(), Violation> {
        self.try_tell(Happening::Service { service: ONE, event })
    }

    pub(super) fn sees(&mut self, event: ServiceSide) {
        self.service(event).unwrap();
    }

    pub(super) fn append(&mut self, offsets: Range<i64>) {
        for offset in offsets {
            let change = LogChange::Appended(Offset(offset), content(offset));
            self.tell(Happening::Log { partition: orders(), change });
        }
    }

    /// A batch under the living lease with all records that were appended in these offsets.
    pub(super) fn delivery(&self, offsets: Range<i64>) -> Delivery {
        let appended = |(_, happening): &(Tick, Happening)| match happening {
            Happening::Log { change: LogChange::Appended(offset, _), .. } => Some(offset.0),
            _ => None,
        };
        let records = self.told.iter().filter_map(appended).filter(|offset| offsets.contains(offset));
        Delivery {
            partition: orders(),
            span: span(&offsets),
            lease: self.lease,
            live: Some(self.lease),
            records: records.map(|offset| (Offset(offset), content(offset))).collect(),
        }
    }

    pub(super) fn try_deliver(&mut self, offsets: Range<i64>) -> Result<(), Violation> {
        self.standing.position = Offset(offsets.end);
        self.service(ServiceSide::Delivered(self.delivery(offsets)))
    }

    pub(super) fn deliver(&mut self, offsets: Range<i64>) {
        self.try_deliver(offsets).unwrap();
        self.stand().unwrap();
    }

    pub(super) fn ack(&mut self, offsets: Range<i64>) {
        let (partition, lease) = (orders(), self.lease);
        self.sees(ServiceSide::Acked { partition, span: span(&offsets), lease, live: Some(lease) });
    }

    /// Delivers and acks.
    pub(super) fn process(&mut self, offsets: Range<i64>) {
        self.deliver(offsets.clone());
        self.ack(offsets.clone());
        self.standing.acked = Offset(offsets.end);
        self.stand().unwrap();
    }

    /// The handler fails a batch: the lease ends, and what is not acked is fetched again.
    pub(super) fn fail(&mut self) {
        self.sees(ServiceSide::Returned { partition: orders() });
        self.lease.generation.0 += 1;
        self.standing.generation = self.lease.generation;
        self.standing.lease = Some(self.lease);
        self.standing.position = self.standing.acked;
    }

    pub(super) fn stand(&mut self) -> Result<(), Violation> {
        self.service(ServiceSide::Progress(BTreeMap::from([(orders(), self.standing)])))
    }

    /// Asks for a commit, and it arrives at once.
    pub(super) fn try_commit(&mut self, offset: i64) -> Result<(), Violation> {
        self.ask_to_commit(offset);
        self.commit_arrives(offset)
    }

    pub(super) fn ask_to_commit(&mut self, offset: i64) {
        self.sees(ServiceSide::Commits { partition: orders(), offset: Offset(offset) });
    }

    pub(super) fn commit_arrives(&mut self, offset: i64) -> Result<(), Violation> {
        let stored = |(_, happening): &(Tick, Happening)| match happening {
            Happening::Broker(BrokerSide::Committed { offset, .. }) => Some(*offset),
            _ => None,
        };
        let before = self.told.iter().filter_map(stored).next_back();
        self.try_tell(Happening::Broker(BrokerSide::Committed {
            service: ONE,
            generation: GENERATION,
            partition: orders(),
            offset: Offset(offset),
            before,
        }))
    }

    pub(super) fn commit(&mut self, offset: i64) {
        self.try_commit(offset).unwrap();
    }

    pub(super) fn revoke_and_assign_again(&mut self) {
        for partitions in [BTreeSet::new(), only(orders())] {
            self.tell(Happening::Broker(BrokerSide::Assigned { service: ONE, partitions }));
        }
    }

    pub(super) fn connection(&mut self, number: u64, event: ConnectionEvent) -> Result<(), Violation> {
        self.try_tell(Happening::Connection { connection: ConnectionId(number), event })
    }

    pub(super) fn dial(&mut self, number: i32) {
        self.connection(id(number), ConnectionEvent::Dialled(ONE)).unwrap();
    }

    pub(super) fn open(&mut self, number: i32) {
        self.connection(id(number), ConnectionEvent::Opened(ONE, broker(number))).unwrap();
    }

    /// The broker of this number answers what the cluster is.
    pub(super) fn hear(&mut self, number: i32) {
        self.open(number);
        self.ask(id(number), 0, Api::METADATA).unwrap();
        self.connection(id(number), ConnectionEvent::Answered(Ticket(0))).unwrap();
        self.connection(id(number), ConnectionEvent::Closed).unwrap();
    }

    pub(super) fn ask(&mut self, connection: u64, ticket: u64, api: Api) -> Result<(), Violation> {
        self.connection(connection, ConnectionEvent::Asked(Ticket(ticket), api))
    }

    pub(super) fn fetch(&mut self, connection: i32, node: NodeId) -> Result<(), Violation> {
        let (connection, partitions) = (ConnectionId(id(connection)), vec![orders()]);
        self.try_tell(Happening::Broker(BrokerSide::Fetched { connection, node, partitions }))
    }
}

/// Where the broker of this number is.
pub(super) fn broker(number: i32) -> Address {
    Address::new("broker", u16::try_from(number).unwrap())
}

fn content(offset: i64) -> Content {
    Content(id(i32::try_from(offset).unwrap()))
}

fn id(number: i32) -> u64 {
    u64::try_from(number).unwrap()
}
