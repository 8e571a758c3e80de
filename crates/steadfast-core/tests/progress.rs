//! Random schedules of fetches, acks, crashes, handovers and revocations against a model of the log.

use std::collections::BTreeSet;

use proptest::prelude::*;
use steadfast_core::acked::Span;
use steadfast_core::ids::*;
use steadfast_core::progress::*;

#[derive(Debug, Clone)]
enum Step {
    Fetch { incarnation: u64 },
    Answer { which: usize, length: i64 },
    Done { which: usize },
    Returned { which: usize },
    HandlerDown,
    HandlerUp,
    HandOver,
    Commit,
    CommitAnswered,
    Revoke,
    Release,
    Lost,
    Assign,
    Quarantine,
    Resume,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1u64..4).prop_map(|incarnation| Step::Fetch { incarnation }),
        8 => (0usize..4, 0i64..9).prop_map(|(which, length)| Step::Answer { which, length }),
        6 => (0usize..4).prop_map(|which| Step::Done { which }),
        1 => (0usize..4).prop_map(|which| Step::Returned { which }),
        1 => Just(Step::HandlerDown),
        2 => Just(Step::HandlerUp),
        1 => Just(Step::HandOver),
        2 => Just(Step::Commit),
        2 => Just(Step::CommitAnswered),
        1 => Just(Step::Revoke),
        1 => Just(Step::Release),
        1 => Just(Step::Lost),
        2 => Just(Step::Assign),
        1 => Just(Step::Quarantine),
        1 => Just(Step::Resume),
    ];
    prop::collection::vec(step, 0..200)
}

/// The world around one partition: a group with one member, a broker, a handler.
struct World {
    progress: Progress,
    incarnation: u64,
    handler: u64,
    fetches: Vec<(ConsumerIncarnation, Position)>,
    batches: Vec<(Lease, Span, Vec<Span>)>,
    commits: Vec<Commit>,
    stored: Offset,
    /// Offsets processed, by whom: an offset acked twice under assignments of ours must never happen.
    counted: BTreeSet<i64>,
    delivered: BTreeSet<(u64, u64, u64, i64)>,
}

impl World {
    fn new() -> World {
        let mut world = World {
            progress: Progress::unowned(ConsumerIncarnation(1)),
            incarnation: 1,
            handler: 1,
            fetches: Vec::new(),
            batches: Vec::new(),
            commits: Vec::new(),
            stored: Offset(0),
            counted: BTreeSet::new(),
            delivered: BTreeSet::new(),
        };
        world.assign();
        world.progress.handler_up(HandlerIncarnation(1));
        world
    }

    fn assign(&mut self) {
        if self.progress.state() != State::Unowned {
            return;
        }
        let epoch = self.progress.assign();
        // What is processed again from the committed offset on is a new life of those records.
        self.counted.retain(|offset| *offset < self.stored.0);
        let start = Start {
            topic: TopicId(1),
            offset: self.stored,
            leader_epoch: LeaderEpoch(0),
            committed: Some(self.stored),
            handed_again_below: Offset(0),
        };
        assert!(self.progress.start(epoch, start));
    }

    fn answer(&mut self, which: usize, length: i64) {
        if self.fetches.is_empty() {
            return;
        }
        let (incarnation, from) = self.fetches.remove(which % self.fetches.len());
        let next = Offset(from.offset.0 + length);
        let before = self.progress.position();
        match self.progress.claim(incarnation, from, next, LeaderEpoch(0)) {
            Claim::Granted(grant) => {
                assert_eq!(before.offset, from.offset, "nothing is skipped");
                let lease = grant.lease;
                for offset in from.offset.0..next.0 {
                    if grant.skip.iter().any(|span| span.contains(Offset(offset))) {
                        assert!(self.counted.contains(&offset), "only what was processed is skipped");
                        continue;
                    }
                    let key = (lease.assignment.0, lease.handler.0, lease.generation.0, offset);
                    assert!(self.delivered.insert(key), "delivered twice under one lease");
                }
                self.batches.push((lease, Span::new(from.offset, next), grant.skip));
            }
            Claim::FetchFrom(position) => assert_ne!(
                (position.generation, position.offset),
                (from.generation, from.offset),
                "a claim from the position is granted"
            ),
            Claim::Paused => assert!(self.progress.fetch_from(incarnation).is_none()),
            Claim::Superseded => assert_ne!(incarnation.0, self.incarnation),
        }
    }

    fn done(&mut self, which: usize) {
        if self.batches.is_empty() {
            return;
        }
        let (lease, span, skip) = self.batches.remove(which % self.batches.len());
        if self.progress.ack(lease, span) == Ack::Counted {
            for offset in span.from.0..span.next.0 {
                let fresh = self.counted.insert(offset);
                let skipped = skip.iter().any(|span| span.contains(Offset(offset)));
                assert!(fresh || skipped, "an offset counts once");
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Fetch { incarnation } => {
                // A superseded incarnation may still fetch from what it knew.
                self.fetches.push((ConsumerIncarnation(incarnation), self.progress.position()));
            }
            Step::Answer { which, length } => self.answer(which, length),
            Step::Done { which } => self.done(which),
            Step::Returned { which } if !self.batches.is_empty() => {
                let (lease, ..) = self.batches.remove(which % self.batches.len());
                self.progress.returned(lease);
            }
            Step::Returned { .. } => {}
            Step::HandlerDown => self.progress.handler_down(HandlerIncarnation(self.handler)),
            Step::HandlerUp => {
                self.handler += 1;
                self.progress.handler_up(HandlerIncarnation(self.handler));
            }
            Step::HandOver => {
                self.incarnation += 1;
                let before = self.progress.position();
                assert_eq!(self.progress.hand_over(ConsumerIncarnation(self.incarnation)), before);
            }
            Step::Commit => self.commits.extend(self.progress.to_commit()),
            Step::CommitAnswered if !self.commits.is_empty() => {
                let commit = self.commits.remove(0);
                if commit.assignment == self.progress.assignment() {
                    self.stored = commit.offset;
                }
                self.progress.record_commit(&commit);
            }
            Step::CommitAnswered => {}
            Step::Revoke => self.progress.drain(),
            Step::Release => {
                self.progress.release();
                self.commits.clear();
            }
            Step::Lost => {
                self.progress.release();
                self.commits.clear();
            }
            Step::Assign => {
                self.assign();
                self.handler += 1;
                self.progress.handler_up(HandlerIncarnation(self.handler));
            }
            Step::Quarantine => self.progress.quarantine(),
            Step::Resume => self.progress.resume(),
        }
        self.check();
    }

    fn check(&self) {
        let progress = &self.progress;
        if matches!(progress.state(), State::Unowned | State::Resolving) {
            return;
        }
        assert!(progress.acked() <= progress.position().offset, "acked <= position");
        assert!(progress.committed().is_none_or(|at| at <= progress.acked()), "committed <= acked");
        assert!((0..progress.acked().0).all(|offset| self.counted.contains(&offset)), "acked was processed");
        assert!(self.stored <= progress.acked(), "what Kafka has stored was processed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_races_nothing_is_skipped_and_nothing_counts_twice(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
    }
}

fn running() -> Progress {
    let mut progress = Progress::unowned(ConsumerIncarnation(1));
    let epoch = progress.assign();
    progress.handler_up(HandlerIncarnation(1));
    let start = Start {
        topic: TopicId(1),
        offset: Offset(0),
        leader_epoch: LeaderEpoch(3),
        committed: None,
        handed_again_below: Offset(0),
    };
    assert!(progress.start(epoch, start));
    progress
}

fn granted(claim: Claim) -> Grant {
    match claim {
        Claim::Granted(grant) => grant,
        other => panic!("expected a grant, found {other:?}"),
    }
}

#[test]
fn a_late_fetch_of_the_old_incarnation_is_refused() {
    let mut progress = running();
    let from = progress.position();
    let at = progress.hand_over(ConsumerIncarnation(2));
    assert_eq!(progress.claim(ConsumerIncarnation(1), from, Offset(5), LeaderEpoch(3)), Claim::Superseded);
    granted(progress.claim(ConsumerIncarnation(2), at, Offset(5), LeaderEpoch(3)));
}

#[test]
fn a_batch_delivered_before_the_handover_is_acked_after_it() {
    let mut progress = running();
    let from = progress.position();
    let grant = granted(progress.claim(ConsumerIncarnation(1), from, Offset(5), LeaderEpoch(3)));
    progress.hand_over(ConsumerIncarnation(2));
    assert_eq!(progress.ack(grant.lease, Span::new(Offset(0), Offset(5))), Ack::Counted);
    assert_eq!(progress.acked(), Offset(5));
}

#[test]
fn after_a_crash_of_the_handler_only_what_was_not_acked_is_fetched_again() {
    let mut progress = running();
    let one = ConsumerIncarnation(1);
    let from = progress.position();
    let first = granted(progress.claim(one, from, Offset(5), LeaderEpoch(3)));
    let from = progress.position();
    let second = granted(progress.claim(one, from, Offset(9), LeaderEpoch(4)));
    assert_eq!(progress.ack(second.lease, Span::new(Offset(5), Offset(9))), Ack::Counted);
    progress.handler_down(HandlerIncarnation(1));
    assert_eq!(progress.ack(first.lease, Span::new(Offset(0), Offset(5))), Ack::Ended);
    assert_eq!(progress.fetch_from(one), None, "nothing is fetched while no handler lives");
    progress.handler_up(HandlerIncarnation(2));
    let from = progress.position();
    assert_eq!(from.offset, Offset(0));
    let again = granted(progress.claim(one, from, Offset(12), LeaderEpoch(4)));
    assert_eq!(again.skip, [Span::new(Offset(5), Offset(9))]);
    assert_eq!(again.redelivered_below, Offset(9));
}

#[test]
fn what_was_acked_beyond_the_position_counts_when_it_is_claimed_again() {
    let mut progress = running();
    let one = ConsumerIncarnation(1);
    granted(progress.claim(one, progress.position(), Offset(5), LeaderEpoch(3)));
    let second = granted(progress.claim(one, progress.position(), Offset(9), LeaderEpoch(4)));
    progress.ack(second.lease, Span::new(Offset(5), Offset(9)));
    progress.returned(second.lease);
    let shorter = granted(progress.claim(one, progress.position(), Offset(5), LeaderEpoch(3)));
    progress.ack(shorter.lease, Span::new(Offset(0), Offset(5)));
    assert_eq!((progress.acked(), progress.position().offset), (Offset(5), Offset(5)));
    let skipped = granted(progress.claim(one, progress.position(), Offset(7), LeaderEpoch(4)));
    assert_eq!(skipped.skip, [Span::new(Offset(5), Offset(7))]);
    progress.ack(skipped.lease, Span::new(Offset(5), Offset(7)));
    assert_eq!((progress.acked(), progress.position().offset), (Offset(7), Offset(7)));
}

#[test]
fn a_commit_carries_the_leader_epoch_of_the_last_acked_record() {
    let mut progress = running();
    let one = ConsumerIncarnation(1);
    let from = progress.position();
    let first = granted(progress.claim(one, from, Offset(5), LeaderEpoch(3)));
    let from = progress.position();
    granted(progress.claim(one, from, Offset(9), LeaderEpoch(7)));
    progress.ack(first.lease, Span::new(Offset(0), Offset(5)));
    let commit = progress.to_commit().unwrap();
    assert_eq!(
        (commit.offset, commit.leader_epoch, commit.delivered),
        (Offset(5), LeaderEpoch(3), Offset(9))
    );
}

#[test]
fn an_ack_after_the_release_changes_nothing() {
    let mut progress = running();
    let from = progress.position();
    let grant = granted(progress.claim(ConsumerIncarnation(1), from, Offset(5), LeaderEpoch(3)));
    progress.drain();
    assert!(!progress.is_drained());
    progress.release();
    assert_eq!(progress.ack(grant.lease, Span::new(Offset(0), Offset(5))), Ack::Ended);
    assert_eq!(progress.to_commit(), None);
}

#[test]
fn a_reset_applies_only_while_the_position_is_the_one_that_was_refused() {
    let mut progress = running();
    let refused = progress.position();
    granted(progress.claim(ConsumerIncarnation(1), refused, Offset(5), LeaderEpoch(3)));
    assert!(!progress.reset(refused, Offset(50), LeaderEpoch(4)), "the position has moved on");
    let refused = progress.position();
    assert!(progress.reset(refused, Offset(2), LeaderEpoch(4)));
    assert_eq!((progress.position().offset, progress.acked()), (Offset(2), Offset(2)));
}

#[test]
fn a_partition_that_is_quarantined_before_its_place_is_known_stays_so() {
    let mut progress = Progress::unowned(ConsumerIncarnation(1));
    let epoch = progress.assign();
    progress.quarantine();
    let start = Start {
        topic: TopicId(1),
        offset: Offset(7),
        leader_epoch: LeaderEpoch(0),
        committed: Some(Offset(7)),
        handed_again_below: Offset(7),
    };
    assert!(progress.start(epoch, start));
    assert_eq!(progress.state(), State::Quarantined);
    progress.release();
    let epoch = progress.assign();
    assert!(progress.start(epoch, start));
    assert_eq!(progress.state(), State::Rewinding, "another assignment begins anew");
}

#[test]
fn an_answer_for_an_earlier_assignment_places_nothing() {
    let mut progress = Progress::unowned(ConsumerIncarnation(1));
    let earlier = progress.assign();
    progress.release();
    progress.assign();
    let start = Start {
        topic: TopicId(1),
        offset: Offset(100),
        leader_epoch: LeaderEpoch(0),
        committed: None,
        handed_again_below: Offset(100),
    };
    assert!(!progress.start(earlier, start));
    assert_eq!(progress.state(), State::Resolving);
}

#[test]
fn what_was_handed_out_before_a_partition_was_lost_is_known_when_it_comes_back() {
    let mut progress = running();
    let one = ConsumerIncarnation(1);
    granted(progress.claim(one, progress.position(), Offset(9), LeaderEpoch(3)));
    progress.release();
    let start = |topic, offset| Start {
        topic: TopicId(topic),
        offset: Offset(offset),
        leader_epoch: LeaderEpoch(3),
        committed: Some(Offset(offset)),
        handed_again_below: Offset(offset),
    };
    let epoch = progress.assign();
    assert!(progress.start(epoch, start(1, 4)));
    assert_eq!(progress.handed_again_below(), Offset(9), "the last commit came before most of it");
    progress.release();
    let epoch = progress.assign();
    assert!(progress.start(epoch, start(1, 4)));
    assert_eq!(progress.handed_again_below(), Offset(9), "nothing was handed out between two losses");
    progress.release();
    let epoch = progress.assign();
    assert!(progress.start(epoch, start(1, 20)));
    assert_eq!(progress.handed_again_below(), Offset(20), "another owner went on from there");
    progress.release();
    let epoch = progress.assign();
    assert!(progress.start(epoch, start(2, 0)));
    assert_eq!(progress.handed_again_below(), Offset(0), "offsets of another topic say nothing");
}

#[test]
fn nothing_is_committed_of_a_topic_that_is_gone() {
    let mut progress = running();
    let one = ConsumerIncarnation(1);
    let grant = granted(progress.claim(one, progress.position(), Offset(9), LeaderEpoch(3)));
    progress.ack(grant.lease, Span::new(Offset(0), Offset(9)));
    assert_eq!(progress.to_commit().map(|commit| commit.topic), Some(TopicId(1)));
    progress.disown();
    assert_eq!((progress.to_commit(), progress.commit()), (None, None));
    progress.quarantine();
    progress.resume_anew();
    assert_eq!((progress.state(), progress.fetch_from(one)), (State::Resolving, None));
    let start = Start {
        topic: TopicId(2),
        offset: Offset(0),
        leader_epoch: LeaderEpoch::UNKNOWN,
        committed: None,
        handed_again_below: Offset(0),
    };
    assert!(progress.start(progress.assignment(), start));
    assert_eq!(progress.handed_again_below(), Offset(0));
    assert_eq!(
        progress.to_commit().map(|commit| (commit.topic, commit.offset)),
        Some((TopicId(2), Offset(0)))
    );
}
