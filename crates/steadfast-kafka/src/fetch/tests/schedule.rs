//! Any schedule of answers, handovers, rewinds and pauses, against a model of the log.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_response::PartitionData;
use proptest::prelude::*;
use steadfast_core::acked::Span;
use steadfast_core::ids::{ConsumerIncarnation, HandlerIncarnation, Offset};
use steadfast_core::progress::Lease;
use tokio::time::timeout;

use super::broker::{Asked, BY_NAME, Wire, batch_of, brought, part, refusal};
use super::paused;
use super::stage::{Setting, Stage, offsets};
use crate::records::compression::Compression;
use crate::records::write::BatchSpec;

const PARTITIONS: i32 = 2;

/// One batch of the model's log.
#[derive(Debug, Clone)]
struct Logged {
    next: i64,
    offsets: Vec<i64>,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Step {
    /// A loop's next fetch arrives, and is left unanswered.
    Hear(prop::sample::Index),
    /// A loop's fetch is answered with at most so many batches of each partition.
    Answer {
        which: prop::sample::Index,
        batches: usize,
        early: bool,
        damage: Option<prop::sample::Index>,
    },
    /// A loop's fetch is answered, for one partition with a refusal.
    Refuse(prop::sample::Index, i32),
    /// A loop's connection breaks.
    Break(prop::sample::Index),
    HandOver,
    /// A batch comes back unprocessed.
    Return(i32),
    /// The handler's next life begins.
    HandlerUp(i32),
    /// A batch that was delivered is acked, in any order.
    Ack(prop::sample::Index),
    HoldBack(i32, bool),
}

fn any_step() -> impl Strategy<Value = Step> {
    let of = || 0..PARTITIONS;
    let damage = prop::option::weighted(0.1, any::<prop::sample::Index>());
    prop_oneof![
        2 => any::<prop::sample::Index>().prop_map(Step::Hear),
        8 => (any::<prop::sample::Index>(), 0..4_usize, any::<bool>(), damage)
            .prop_map(|(which, batches, early, damage)| Step::Answer { which, batches, early, damage }),
        1 => (any::<prop::sample::Index>(), of()).prop_map(|(which, index)| Step::Refuse(which, index)),
        1 => any::<prop::sample::Index>().prop_map(Step::Break),
        1 => Just(Step::HandOver),
        1 => of().prop_map(Step::Return),
        1 => of().prop_map(Step::HandlerUp),
        4 => any::<prop::sample::Index>().prop_map(Step::Ack),
        2 => (of(), any::<bool>()).prop_map(|(index, held)| Step::HoldBack(index, held)),
    ]
}

/// Batches with holes before, in and behind them, compressed or not, and some without records for anybody.
fn any_log() -> impl Strategy<Value = Vec<Logged>> {
    let one = (0..3_i64, 1..4_i64, 0..3_i64, any::<bool>(), prop::bool::weighted(0.2));
    prop::collection::vec(one, 1..12).prop_map(|all| {
        let mut next = 0;
        let batch = |(before, count, behind, compressed, control)| {
            let from: i64 = next + before;
            next = from + count + behind;
            let spec = BatchSpec {
                last_offset: Some(Offset(next - 1)),
                compression: if compressed { Compression::Lz4 } else { Compression::None },
                control,
                ..BatchSpec::at(Offset(from))
            };
            let offsets = if control { Vec::new() } else { (from..from + count).collect() };
            Logged { next, offsets, bytes: batch_of(spec, count).to_vec() }
        };
        all.into_iter().map(batch).collect()
    })
}

/// A loop's connection, and its fetch that is not answered yet.
struct Line {
    wire: Wire,
    asked: Option<Asked<FetchRequest>>,
}

impl Line {
    async fn hear(&mut self) {
        if self.asked.is_none() {
            self.asked = self.wire.fetch_within(Duration::from_secs(2)).await;
        }
    }
}

/// What was delivered.
struct Delivered {
    index: i32,
    lease: Lease,
    span: Span,
    offsets: Vec<i64>,
    skip: Vec<Span>,
}

struct Model {
    logs: Vec<Vec<Logged>>,
    stage: Stage,
    lines: Vec<Line>,
    incarnation: u64,
    handlers: u64,
    delivered: Vec<Delivered>,
}

impl Model {
    async fn new(logs: Vec<Vec<Logged>>) -> Model {
        let (stage, wire) = Setting::of(PARTITIONS).open().await;
        let lines = vec![Line { wire, asked: None }];
        Model { logs, stage, lines, incarnation: 1, handlers: 1, delivered: Vec::new() }
    }

    async fn step(&mut self, step: Step) {
        self.welcome(Duration::ZERO).await;
        match step {
            Step::Hear(which) => self.line(which).hear().await,
            Step::Answer { which, batches, early, damage } => {
                let line = which.index(self.lines.len());
                self.answer(line, |model, index, from| model.records(index, from, batches, early, damage))
                    .await;
            }
            Step::Refuse(which, refused) => {
                let line = which.index(self.lines.len());
                let part = |model: &Model, index, from| match index == refused {
                    true => refusal(index, 6),
                    false => model.records(index, from, 2, false, None),
                };
                self.answer(line, part).await;
            }
            Step::Break(which) => {
                let line = which.index(self.lines.len());
                drop(self.lines.remove(line));
                // Whoever still used it dials again.
                self.welcome(Duration::from_secs(2)).await;
            }
            Step::HandOver => {
                self.incarnation += 1;
                let to = ConsumerIncarnation(self.incarnation);
                for index in 0..PARTITIONS {
                    self.stage.table.on(index, |progress| progress.hand_over(to));
                }
                self.stage.start_loop(to);
                let wire = self.stage.accept().await;
                self.lines.push(Line { wire, asked: None });
            }
            Step::Return(index) => {
                self.stage.table.on(index, |progress| progress.lease().map(|lease| progress.returned(lease)));
            }
            Step::HandlerUp(index) => {
                self.handlers += 1;
                self.stage.table.on(index, |progress| progress.handler_up(HandlerIncarnation(self.handlers)));
            }
            Step::Ack(which) if !self.delivered.is_empty() => self.ack(which.index(self.delivered.len())),
            Step::Ack(_) => {}
            Step::HoldBack(index, held) => self.stage.table.hold_back(index, held),
        }
        super::stage::settle().await;
        self.take_deliveries();
    }

    /// Lets in who dials, as long as somebody does within `wait`: also beside a line that owes an answer, which hears
    /// nothing any more then.
    async fn welcome(&mut self, wait: Duration) {
        while let Ok(Some(dialled)) = timeout(wait, self.stage.listener.accept()).await {
            let wire = Wire::over(dialled, BY_NAME).await;
            self.lines.extend(wire.map(|wire| Line { wire, asked: None }));
        }
    }

    fn line(&mut self, which: prop::sample::Index) -> &mut Line {
        let line = which.index(self.lines.len());
        &mut self.lines[line]
    }

    async fn answer(&mut self, line: usize, part: impl Fn(&Model, i32, i64) -> PartitionData) {
        self.lines[line].hear().await;
        let Some(asked) = self.lines[line].asked.take() else { return };
        let parts: Vec<_> =
            asked.offsets().into_iter().map(|(index, from)| part(self, index, from)).collect();
        self.lines[line].wire.try_answer(&asked, &brought(parts)).await;
    }

    /// At most `most` batches that reach past `from`, behind one that does not if the broker begins `early`; one
    /// byte that the checksum of the first covers is wrong where there is `damage`.
    fn records(
        &self,
        index: i32,
        from: i64,
        most: usize,
        early: bool,
        damage: Option<prop::sample::Index>,
    ) -> PartitionData {
        let log = &self.logs[index as usize];
        let reaches = log.iter().position(|batch| batch.next > from).unwrap_or(log.len());
        let first = if early { reaches.saturating_sub(1) } else { reaches };
        let chosen = &log[first..log.len().min(reaches + most)];
        let mut bytes: Vec<u8> = chosen.iter().flat_map(|batch| batch.bytes.clone()).collect();
        if let (Some(at), Some(first)) = (damage, chosen.first()) {
            bytes[21 + at.index(first.bytes.len() - 21)] ^= 1;
        }
        part(index, bytes)
    }

    fn ack(&self, which: usize) {
        let one = &self.delivered[which];
        self.stage.table.on(one.index, |progress| progress.ack(one.lease, one.span));
    }

    fn take_deliveries(&mut self) {
        self.delivered.extend(self.stage.table.take_deliveries().into_iter().map(|one| Delivered {
            index: one.partition.index,
            lease: one.grant.lease,
            span: one.span,
            offsets: offsets(&one),
            skip: one.grant.skip,
        }));
    }

    fn end(&self, index: i32) -> Offset {
        Offset(self.logs[index as usize].last().map_or(0, |batch| batch.next))
    }

    fn is_done(&self) -> bool {
        (0..PARTITIONS)
            .all(|index| self.stage.table.on(index, |progress| progress.acked()) == self.end(index))
    }

    /// Nothing disturbs any more: the newest loop must bring everything to its end, over whichever line is its own.
    async fn finish(&mut self) {
        (0..PARTITIONS).for_each(|index| self.stage.table.hold_back(index, false));
        for _ in 0..100 {
            (0..self.delivered.len()).for_each(|which| self.ack(which));
            if self.is_done() {
                return;
            }
            self.welcome(Duration::ZERO).await;
            for line in 0..self.lines.len() {
                self.answer(line, |model, index, from| model.records(index, from, 3, false, None)).await;
            }
            super::stage::settle().await;
            self.take_deliveries();
        }
        panic!("expected every partition to be acked to its end");
    }

    /// Each delivery has exactly the records of its span that were not acked before, and under one lease the
    /// spans join without a gap.
    fn check(&self) {
        let mut reached: BTreeMap<(i32, u64), Offset> = BTreeMap::new();
        for one in &self.delivered {
            let skipped = |offset: &i64| one.skip.iter().any(|span| span.contains(Offset(*offset)));
            let all = self.logs[one.index as usize].iter().flat_map(|batch| batch.offsets.clone());
            let expected: Vec<i64> =
                all.filter(|offset| one.span.contains(Offset(*offset)) && !skipped(offset)).collect();
            assert_eq!(one.offsets, expected, "partition {}, {:?}", one.index, one.span);
            // A new handler or a rewind begins a new fetch generation: it stands for the lease.
            let lease = (one.index, one.lease.generation.0);
            if let Some(reached) = reached.insert(lease, one.span.next) {
                assert_eq!(one.span.from, reached, "partition {} under {:?}", one.index, one.lease);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_happens_every_record_is_delivered_in_order_and_once_per_lease(
        logs in prop::collection::vec(any_log(), PARTITIONS as usize),
        steps in prop::collection::vec(any_step(), 0..40),
    ) {
        paused(async {
            let mut model = Model::new(logs).await;
            for step in steps {
                model.step(step).await;
            }
            model.finish().await;
            model.check();
        });
    }
}
