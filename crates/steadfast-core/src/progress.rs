//! The progress of one partition, and the compare-and-set on which everything rests.
//!
//! Within a fetch generation `committed <= acked <= position` holds, nothing is skipped, and nothing is
//! delivered twice under one lease, whatever races: a late fetch of an old incarnation, a rewind, a handover,
//! a revocation.

use crate::acked::{Acked, Span};
use crate::ids::{
    AssignmentEpoch, ConsumerIncarnation, FetchGeneration, HandlerIncarnation, LeaderEpoch, Offset, TopicId,
};

/// Where a partition is fetched next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The topic that the offset belongs to: one created again under the same name is another.
    pub topic: TopicId,
    /// Offsets are ordered only within one generation: a rewind, a reset or a truncation begins a new one.
    pub generation: FetchGeneration,
    /// The next offset to fetch.
    pub offset: Offset,
    /// The leader epoch of the last record before it (KIP-320).
    pub leader_epoch: LeaderEpoch,
}

/// The right to process and commit a partition. An ack under a lease that has ended changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The assignment to this process under which it was given.
    pub assignment: AssignmentEpoch,
    /// The handler's life that may use it.
    pub handler: HandlerIncarnation,
    /// The fetch generation of the offsets that it covers.
    pub generation: FetchGeneration,
}

/// What one partition is doing.
///
/// ```text
/// Unowned ─assign─► Resolving ─start─► Running ─drain─► Draining ─release─► Unowned
///                       ▲               │  ▲ │
///                       │   rewind, ────┘  │ └─quarantine─► Quarantined ─resume─► Rewinding
///                       │   handler down   └─handler up── Rewinding │
///                       └──────────────── resume anew ──────────────┘
/// any state ─lost─► Unowned
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not assigned to this process.
    Unowned,
    /// Assigned; where to begin is not known yet.
    Resolving,
    /// Fetched and processed.
    Running,
    /// Assigned, and the position is known; the handler's next life has not begun.
    Rewinding,
    /// To be given up: nothing more is delivered, what was delivered may still be acked.
    Draining,
    /// Owned, not fetched: its handler failed too often.
    Quarantined,
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The span is the claimant's: deliver it under this lease.
    Granted(Grant),
    /// The position is another one: drop what was fetched, fetch from here.
    FetchFrom(Position),
    /// The partition is not to be fetched now.
    Paused,
    /// Another incarnation fetches this partition.
    Superseded,
}

/// What was granted with a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The lease to deliver under.
    pub lease: Lease,
    /// The end of the span that is granted: at most what was claimed.
    pub next: Offset,
    /// Parts of the span that were acked before a rewind: not to be delivered again.
    pub skip: Vec<Span>,
    /// Records below this offset (and not in `skip`) were delivered before, under a lease that has ended.
    pub redelivered_below: Offset,
    /// Records below this offset (and not in `skip`) were delivered under an earlier assignment, here or to a former
    /// owner of the partition, and not committed.
    pub handed_again_below: Offset,
}

/// What became of an ack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// It counts.
    Counted,
    /// Its lease has ended: it changed nothing.
    Ended,
}

/// What a commit would store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// The assignment it speaks for.
    pub assignment: AssignmentEpoch,
    /// The fetch generation it speaks for.
    pub generation: FetchGeneration,
    /// The end of the contiguous processed prefix.
    pub offset: Offset,
    /// The leader epoch of the last acked record.
    pub leader_epoch: LeaderEpoch,
    /// The end of what was delivered: the next owner can tell what it was handed again.
    pub delivered: Offset,
    /// The topic that the offset belongs to.
    pub topic: TopicId,
}

/// Where a partition begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The topic's identity.
    pub topic: TopicId,
    /// The first offset to fetch.
    pub offset: Offset,
    /// The leader epoch of the record before it.
    pub leader_epoch: LeaderEpoch,
    /// What Kafka has stored, if anything.
    pub committed: Option<Offset>,
    /// The end of what a former owner had been handed, as its last commit says.
    pub handed_again_below: Offset,
}

/// The progress of one partition.
#[derive(Debug, Clone)]
pub struct Progress {
    state: State,
    assignment: AssignmentEpoch,
    incarnation: ConsumerIncarnation,
    handler: Option<HandlerIncarnation>,
    position: Position,
    acked: Acked,
    committed: Option<Offset>,
    /// The end of what was ever delivered under this assignment, in this history of the log.
    delivered: Offset,
    handed_again_below: Offset,
    /// Quarantined before its first offset was known.
    barred: bool,
    /// The topic of the position is gone: nothing is committed of it any more.
    disowned: bool,
    /// From which offset on which leader epoch wrote: the first entry at or below acked, and all later ones.
    epochs: Vec<(Offset, LeaderEpoch)>,
}

impl Progress {
    /// A partition that is not assigned, to be fetched by `incarnation` once it is.
    pub fn unowned(incarnation: ConsumerIncarnation) -> Progress {
        Progress {
            state: State::Unowned,
            assignment: AssignmentEpoch(0),
            incarnation,
            handler: None,
            position: Position {
                topic: TopicId::UNKNOWN,
                generation: FetchGeneration(0),
                offset: Offset(0),
                leader_epoch: LeaderEpoch::UNKNOWN,
            },
            acked: Acked::below(Offset(0)),
            committed: None,
            delivered: Offset(0),
            handed_again_below: Offset(0),
            barred: false,
            disowned: false,
            epochs: Vec::new(),
        }
    }

    /// What the partition is doing.
    pub fn state(&self) -> State {
        self.state
    }

    /// The current assignment's epoch.
    pub fn assignment(&self) -> AssignmentEpoch {
        self.assignment
    }

    /// The incarnation of the consumer that may claim.
    pub fn incarnation(&self) -> ConsumerIncarnation {
        self.incarnation
    }

    /// The next offset to fetch.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Whether the partition is owned and its position known.
    pub fn is_placed(&self) -> bool {
        !matches!(self.state, State::Unowned | State::Resolving)
    }

    /// The end of the contiguous processed prefix.
    pub fn acked(&self) -> Offset {
        self.acked.prefix()
    }

    /// What Kafka has stored, as far as this process knows.
    pub fn committed(&self) -> Option<Offset> {
        self.committed
    }

    /// The end of what was delivered under this assignment.
    pub fn delivered(&self) -> Offset {
        self.delivered
    }

    /// Below this offset, records were delivered under an earlier assignment: at least what this assignment began with.
    pub fn handed_again_below(&self) -> Offset {
        self.handed_again_below
    }

    /// Where `incarnation` should fetch now; none when it should not.
    pub fn fetch_from(&self, incarnation: ConsumerIncarnation) -> Option<Position> {
        (self.state == State::Running && self.incarnation == incarnation).then_some(self.position)
    }

    /// The partition was assigned to this process. An assignment that is still owned is not changed.
    pub fn assign(&mut self) -> AssignmentEpoch {
        if self.state == State::Unowned {
            self.assignment.0 += 1;
            self.barred = false;
            self.state = State::Resolving;
        }
        self.assignment
    }

    /// The place to begin is known. Says whether it applied: not when the assignment is another one by now.
    pub fn start(&mut self, assignment: AssignmentEpoch, start: Start) -> bool {
        if self.state != State::Resolving || self.assignment != assignment {
            return false;
        }
        // Who loses a partition and gets it back knows what it was handed, whatever the last commit says.
        let other = self.position.topic.differs(start.topic);
        let handed = if other { start.offset } else { self.delivered.max(self.handed_again_below) };
        self.disowned = false;
        self.begin_generation(start.topic, start.offset, start.leader_epoch);
        self.acked = Acked::below(start.offset);
        self.committed = start.committed;
        self.delivered = start.offset;
        self.handed_again_below = start.handed_again_below.max(handed).max(start.offset);
        self.epochs = vec![(start.offset, start.leader_epoch)];
        self.state = match (self.barred, self.handler.is_some()) {
            (true, _) => State::Quarantined,
            (false, true) => State::Running,
            (false, false) => State::Rewinding,
        };
        true
    }

    /// The handler's next life has begun: it may be delivered to.
    pub fn handler_up(&mut self, handler: HandlerIncarnation) {
        if self.handler.is_some() {
            self.rewind();
        }
        self.handler = Some(handler);
        if self.state == State::Rewinding {
            self.state = State::Running;
        }
    }

    /// The handler's life `handler` is over: its lease ends, and what it had not acked is to be fetched again.
    pub fn handler_down(&mut self, handler: HandlerIncarnation) {
        if self.handler != Some(handler) {
            return;
        }
        self.handler = None;
        self.rewind();
        if self.state == State::Running {
            self.state = State::Rewinding;
        }
    }

    /// A batch came back unprocessed: its lease ends, and the partition goes back to acked. Says whether the
    /// lease was alive.
    pub fn returned(&mut self, lease: Lease) -> bool {
        let alive = self.lease() == Some(lease);
        if alive {
            self.rewind();
        }
        alive
    }

    /// Goes back to acked in a new fetch generation. While draining nothing is fetched again, but leases end.
    fn rewind(&mut self) {
        match self.state {
            State::Running | State::Rewinding | State::Draining | State::Quarantined => {
                let (topic, acked) = (self.position.topic, self.acked.prefix());
                self.epochs.retain(|(from, _)| *from <= acked);
                self.begin_generation(topic, acked, self.epoch_before(acked));
            }
            State::Unowned | State::Resolving => {}
        }
    }

    /// The log no longer has the position (or has another history there): begin at `to`. Acked and committed
    /// follow it; the next commit may be lower than what Kafka has stored. Applied only while the position is
    /// still `from`.
    pub fn reset(&mut self, from: Position, to: Offset, epoch: LeaderEpoch) -> bool {
        if self.position != from || !self.is_placed() {
            return false;
        }
        self.begin_generation(from.topic, to, epoch);
        self.acked = Acked::below(to);
        self.committed = None;
        self.delivered = to;
        self.handed_again_below = Offset(0);
        self.epochs = vec![(to, epoch)];
        true
    }

    fn begin_generation(&mut self, topic: TopicId, offset: Offset, leader_epoch: LeaderEpoch) {
        let generation = FetchGeneration(self.position.generation.0 + 1);
        self.position = Position { topic, generation, offset, leader_epoch };
    }

    /// Another incarnation of the consumer takes the partition over; it fetches from the position returned.
    pub fn hand_over(&mut self, to: ConsumerIncarnation) -> Position {
        self.incarnation = to;
        self.position
    }

    /// The compare-and-set: `incarnation` has fetched the span from `from` up to `next`, whose last record was
    /// written in `last_epoch`. Granted only if the incarnation is the current one, the lease lives, and
    /// generation and offset equal the position; then the position becomes `next`.
    pub fn claim(
        &mut self,
        incarnation: ConsumerIncarnation,
        from: Position,
        next: Offset,
        last_epoch: LeaderEpoch,
    ) -> Claim {
        if self.incarnation != incarnation {
            return Claim::Superseded;
        }
        let Some(lease) = self.lease().filter(|_| self.state == State::Running) else {
            return Claim::Paused;
        };
        let current = self.position;
        if (from.generation, from.offset) != (current.generation, current.offset) || next < current.offset {
            return Claim::FetchFrom(current);
        }
        let grant = Grant {
            lease,
            next,
            skip: self.acked.within(Span::new(from.offset, next)),
            redelivered_below: self.delivered,
            handed_again_below: self.handed_again_below,
        };
        self.advance(next, last_epoch);
        Claim::Granted(grant)
    }

    fn advance(&mut self, next: Offset, epoch: LeaderEpoch) {
        let from = self.position.offset;
        if epoch.known().is_some() && self.epochs.last().map(|(_, last)| *last) != Some(epoch) {
            self.epochs.push((from.next(), epoch));
        }
        self.position.offset = next;
        self.position.leader_epoch = epoch.known().unwrap_or(self.position.leader_epoch);
        self.delivered = self.delivered.max(next);
    }

    /// The lease that is alive, if one is.
    pub fn lease(&self) -> Option<Lease> {
        let handler = self.handler?;
        match self.state {
            State::Running | State::Draining => {
                Some(Lease { assignment: self.assignment, handler, generation: self.position.generation })
            }
            State::Unowned | State::Resolving | State::Rewinding | State::Quarantined => None,
        }
    }

    /// The span was processed under `lease`.
    pub fn ack(&mut self, lease: Lease, span: Span) -> Ack {
        if self.lease() != Some(lease) || span.next > self.position.offset {
            return Ack::Ended;
        }
        self.acked.add(span, self.position.offset);
        let acked = self.acked.prefix();
        let first = self.epochs.iter().rposition(|(from, _)| *from <= acked).unwrap_or(0);
        self.epochs.drain(..first);
        Ack::Counted
    }

    /// The partition is to be given up: nothing more is delivered; acks still count until [`Progress::release`].
    pub fn drain(&mut self) {
        self.state = match self.state {
            State::Running | State::Draining => State::Draining,
            State::Rewinding | State::Quarantined => State::Draining,
            State::Resolving => State::Unowned,
            State::Unowned => State::Unowned,
        };
    }

    /// Whether nothing that was delivered awaits its ack.
    pub fn is_drained(&self) -> bool {
        match self.state {
            State::Unowned | State::Resolving => true,
            State::Running | State::Rewinding | State::Draining | State::Quarantined => {
                self.handler.is_none() || self.acked.prefix() == self.position.offset
            }
        }
    }

    /// The partition is given up: its lease ends. What is known of commits is forgotten with it.
    pub fn release(&mut self) {
        self.state = State::Unowned;
        self.handler = None;
        self.position.generation.0 += 1;
    }

    /// The handler failed too often: keep the partition, fetch nothing, end the lease.
    pub fn quarantine(&mut self) {
        match self.state {
            State::Running | State::Rewinding => {
                self.rewind();
                self.state = State::Quarantined;
            }
            // Where it begins is not known yet: it is quarantined as soon as it is.
            State::Resolving => self.barred = true,
            State::Unowned | State::Draining | State::Quarantined => {}
        }
    }

    /// A quarantined partition is tried again, with a handler that is yet to begin.
    pub fn resume(&mut self) {
        if self.state == State::Quarantined {
            (self.handler, self.disowned) = (None, false);
            self.state = State::Rewinding;
        }
    }

    /// The same where the position's topic is gone: where to begin in the one that has its name now is to be found.
    pub fn resume_anew(&mut self) {
        if self.state == State::Quarantined {
            self.handler = None;
            self.disowned = true;
            self.state = State::Resolving;
        }
    }

    /// The position's topic is gone. An offset of it means nothing in the one that has its name now: nothing is
    /// committed until the partition has begun there.
    pub fn disown(&mut self) {
        self.disowned = true;
    }

    /// What a commit would store now, if that is not what Kafka has already.
    pub fn to_commit(&self) -> Option<Commit> {
        self.commit().filter(|commit| self.committed != Some(commit.offset))
    }

    /// What a commit would store now, whether or not Kafka has it already; none when nothing is owned.
    pub fn commit(&self) -> Option<Commit> {
        let acked = self.acked.prefix();
        let owned = !matches!(self.state, State::Unowned | State::Resolving) && !self.disowned;
        owned.then(|| Commit {
            assignment: self.assignment,
            generation: self.position.generation,
            offset: acked,
            leader_epoch: self.epoch_before(acked),
            delivered: self.delivered,
            topic: self.position.topic,
        })
    }

    /// The coordinator has stored `commit`.
    pub fn record_commit(&mut self, commit: &Commit) {
        let current = self.assignment == commit.assignment && self.acked.prefix() >= commit.offset;
        if current && self.committed.is_none_or(|committed| committed <= commit.offset) {
            self.committed = Some(commit.offset);
        }
    }

    /// The leader epoch of the last record before `offset`, as far as it is remembered.
    fn epoch_before(&self, offset: Offset) -> LeaderEpoch {
        let known = self.epochs.iter().rev().find(|(from, _)| *from <= offset);
        known.map_or(LeaderEpoch::UNKNOWN, |(_, epoch)| *epoch)
    }
}
