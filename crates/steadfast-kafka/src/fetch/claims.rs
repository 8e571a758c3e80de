//! Records that were claimed and are not delivered yet.

use std::collections::VecDeque;
use std::sync::Arc;

use steadfast_core::acked::Span;
use steadfast_core::ids::{NodeId, Partition};
use steadfast_core::progress::{Claim, Grant, Position};

use super::answer::Fetched;
use super::intake::{Delivery, Intake, Note};
use super::memory::Memory;
use crate::records::compression::Compression;
use crate::records::lazy::PlainBatch;

/// What a loop claimed, in the order in which it did.
///
/// A claim moves the partition's position, so nobody fetches these records again: whoever holds claims delivers
/// them before anything is awaited. What is dropped in here all the same, by a panic for instance, is given back.
pub(super) struct Claims<I: Intake> {
    leader: NodeId,
    intake: Arc<I>,
    memory: Memory,
    decompressed_limit: usize,
    claimed: VecDeque<Claimed>,
}

struct Claimed {
    partition: Partition,
    span: Span,
    grant: Grant,
    fetched: Fetched,
}

impl<I: Intake> Claims<I> {
    pub(super) fn new(
        leader: NodeId,
        intake: Arc<I>,
        memory: Memory,
        decompressed_limit: usize,
    ) -> Claims<I> {
        Claims { leader, intake, memory, decompressed_limit, claimed: VecDeque::new() }
    }

    /// Claims what was fetched, if it is still ours to deliver.
    pub(super) fn claim(&mut self, partition: Partition, from: Position, fetched: Fetched) {
        match self.intake.claim(&partition, from, fetched.next, fetched.last_epoch) {
            Claim::Granted(grant) => {
                let span = Span::new(from.offset, fetched.next);
                self.claimed.push_back(Claimed { partition, span, grant, fetched });
            }
            Claim::FetchFrom(_) | Claim::Paused | Claim::Superseded => {}
        }
    }

    /// Decompresses and delivers everything.
    pub(super) fn deliver(&mut self) {
        while let Some(first) = self.claimed.front() {
            let parts = self.plain(&first.fetched);
            let Some(Claimed { partition, span, grant, .. }) = self.claimed.pop_front() else { return };
            match parts {
                Ok(parts) => {
                    self.intake.deliver(Delivery { partition, leader: self.leader, span, grant, parts });
                }
                Err(error) => {
                    self.intake.undeliverable(&partition, &grant);
                    self.intake.note(Note::Undecodable { partition, position: span.from, error });
                }
            }
        }
    }

    fn plain(&self, fetched: &Fetched) -> Result<Vec<PlainBatch>, String> {
        let plain = |batch: &crate::records::batch::RecordBatch| {
            let plain = batch.decompress(self.decompressed_limit);
            plain.map(|plain| self.held(plain)).map_err(|error| error.to_string())
        };
        fetched.batches.iter().map(plain).collect()
    }

    /// A batch that was compressed has bytes of its own, which count too; another one borrows from its frame.
    fn held(&self, plain: PlainBatch) -> PlainBatch {
        match plain.header().compression {
            Compression::None => plain,
            Compression::Gzip | Compression::Snappy | Compression::Lz4 | Compression::Zstd => {
                PlainBatch::new(*plain.header(), self.memory.hold(plain.plain().clone()))
            }
        }
    }
}

impl<I: Intake> Drop for Claims<I> {
    fn drop(&mut self) {
        for Claimed { partition, grant, .. } in self.claimed.drain(..) {
            self.intake.undeliverable(&partition, &grant);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use steadfast_core::ids::{
        AssignmentEpoch, FetchGeneration, HandlerIncarnation, LeaderEpoch, Offset, TopicId,
    };
    use steadfast_core::progress::Lease;
    use tokio::sync::watch;

    use super::super::intake::Want;
    use super::*;
    use crate::api::list_offsets::LogEnd;

    /// Grants every claim, and notes what becomes of it.
    #[derive(Default)]
    struct Ledger(Mutex<Vec<(&'static str, i32)>>);

    impl Intake for Ledger {
        fn want(&self, _: &Partition) -> Want {
            Want::Nothing
        }

        fn changes(&self) -> watch::Receiver<u64> {
            watch::channel(0).1
        }

        fn claim(&self, _: &Partition, _: Position, _: Offset, _: LeaderEpoch) -> Claim {
            let lease = Lease {
                assignment: AssignmentEpoch(1),
                handler: HandlerIncarnation(1),
                generation: FetchGeneration(1),
            };
            let (skip, none) = (Vec::new(), Offset(0));
            Claim::Granted(Grant { lease, skip, redelivered_below: none, handed_again_below: none })
        }

        fn deliver(&self, delivery: Delivery) {
            self.0.lock().unwrap().push(("delivered", delivery.partition.index));
        }

        fn undeliverable(&self, partition: &Partition, _: &Grant) {
            self.0.lock().unwrap().push(("given back", partition.index));
        }

        fn placed(&self, _: &Partition, _: LogEnd, _: Offset, _: LeaderEpoch) {}

        fn saw_end(&self, _: &Partition, _: Offset) {}

        fn note(&self, _: Note) {}
    }

    fn claimed(partitions: &[i32]) -> (Claims<Ledger>, Arc<Ledger>) {
        let ledger = Arc::new(Ledger::default());
        let mut claims = Claims::new(NodeId(1), Arc::clone(&ledger), Memory::new(1), 1);
        for index in partitions {
            let from = Position {
                topic: TopicId::UNKNOWN,
                generation: FetchGeneration(1),
                offset: Offset(0),
                leader_epoch: LeaderEpoch::UNKNOWN,
            };
            let next = Fetched { next: Offset(1), last_epoch: LeaderEpoch::UNKNOWN, batches: Vec::new() };
            claims.claim(Partition { topic: "t".into(), index: *index }, from, next);
        }
        (claims, ledger)
    }

    #[test]
    fn what_is_claimed_is_delivered_once_and_in_order() {
        let (mut claims, ledger) = claimed(&[2, 1]);
        claims.deliver();
        drop(claims);
        assert_eq!(*ledger.0.lock().unwrap(), [("delivered", 2), ("delivered", 1)]);
    }

    #[test]
    fn a_claim_that_is_dropped_is_given_back() {
        let (claims, ledger) = claimed(&[2, 1]);
        drop(claims);
        assert_eq!(*ledger.0.lock().unwrap(), [("given back", 2), ("given back", 1)]);
    }
}
