//! A group's coordinator by the rules of Kafka's classic protocol, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use steadfast_core::group::MemberId;
use steadfast_core::group::actions::{Heartbeat, JoinGroup, LeaveGroup, SyncGroup};
use steadfast_core::group::assign::Candidate;
use steadfast_core::group::errors::ErrorCode;
use steadfast_core::group::events::{Event, JoinAnswer, RequestId};
use steadfast_core::group::subscription::{Assignment, Subscription};
use steadfast_core::ids::{GroupGeneration, Partition};
use steadfast_core::tick::Tick;

/// What arrives from a member.
pub(crate) enum Request {
    Join(JoinGroup),
    Sync(SyncGroup),
    Heartbeat(Heartbeat),
    Leave(LeaveGroup),
}

/// Who sent it: a member, and its actor's life.
pub(crate) type Sender = (usize, u32);

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Empty,
    Preparing { until: Tick },
    Completing,
    Stable,
}

struct Seat {
    subscription: Subscription,
    assignor: String,
    session_end: Tick,
    join: Option<(Sender, RequestId)>,
    sync: Option<(Sender, RequestId)>,
    assignment: BTreeSet<Partition>,
}

pub(crate) struct Coordinator {
    session: Duration,
    rebalance: Duration,
    phase: Phase,
    generation: i32,
    leader: Option<MemberId>,
    seats: BTreeMap<MemberId, Seat>,
    pending: BTreeSet<MemberId>,
    ids: u32,
    answers: Vec<(Sender, Event)>,
}

impl Coordinator {
    pub(crate) fn new(session: Duration, rebalance: Duration) -> Coordinator {
        Coordinator {
            session,
            rebalance,
            phase: Phase::Empty,
            generation: 0,
            leader: None,
            seats: BTreeMap::new(),
            pending: BTreeSet::new(),
            ids: 0,
            answers: Vec::new(),
        }
    }

    pub(crate) fn generation(&self) -> i32 {
        self.generation
    }

    pub(crate) fn answers(&mut self) -> Vec<(Sender, Event)> {
        std::mem::take(&mut self.answers)
    }

    pub(crate) fn take(&mut self, sender: Sender, request: Request, now: Tick) {
        match request {
            Request::Join(join) => self.join(sender, join, now),
            Request::Sync(sync) => self.sync(sender, sync, now),
            Request::Heartbeat(beat) => self.heartbeat(sender, beat, now),
            Request::Leave(leave) => {
                self.remove(&leave.member_id, now);
                self.answers.push((sender, Event::LeaveAccepted { request: leave.request }));
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        let idle = self.seats.values().filter(|seat| seat.join.is_none() && seat.sync.is_none());
        let round = match self.phase {
            Phase::Preparing { until } => Some(until),
            Phase::Empty | Phase::Completing | Phase::Stable => None,
        };
        idle.map(|seat| seat.session_end).chain(round).min()
    }

    pub(crate) fn expire(&mut self, now: Tick) {
        let over = |seat: &Seat| seat.join.is_none() && seat.sync.is_none() && seat.session_end <= now;
        let dead: Vec<MemberId> =
            self.seats.iter().filter(|(_, seat)| over(seat)).map(|(id, _)| id.clone()).collect();
        for id in dead {
            self.remove(&id, now);
        }
        if matches!(self.phase, Phase::Preparing { until } if until <= now) {
            self.seats.retain(|_, seat| seat.join.is_some());
            self.complete_join(now);
        }
    }

    fn join(&mut self, sender: Sender, join: JoinGroup, now: Tick) {
        let Some(id) = join.member_id else {
            self.ids += 1;
            let member_id = MemberId(format!("m-{}", self.ids).into());
            self.pending.insert(member_id.clone());
            return self.answers.push((sender, Event::MemberIdRequired { request: join.request, member_id }));
        };
        let known = self.seats.get(&id).map(|seat| seat.subscription.clone());
        if known.is_none() && !self.pending.remove(&id) {
            return self.refuse(sender, join.request, ErrorCode::UNKNOWN_MEMBER_ID);
        }
        let same = known.as_ref() == Some(&join.subscription);
        let seat = self.seats.entry(id.clone()).or_insert_with(|| Seat {
            subscription: Subscription::default(),
            assignor: String::new(),
            session_end: now,
            join: None,
            sync: None,
            assignment: BTreeSet::new(),
        });
        seat.session_end = now + self.session;
        seat.subscription = join.subscription;
        seat.assignor = join.assignors[0].name().to_owned();
        seat.join = Some((sender, join.request));
        match self.phase {
            Phase::Completing if same => self.answer_join(&id),
            Phase::Stable if same && self.leader.as_ref() != Some(&id) => self.answer_join(&id),
            Phase::Empty | Phase::Completing | Phase::Stable => self.prepare(now),
            Phase::Preparing { .. } => self.complete_join_if_all_are_here(now),
        }
    }

    fn prepare(&mut self, now: Tick) {
        self.phase = Phase::Preparing { until: now + self.rebalance };
        let parked: Vec<_> = self.seats.values_mut().filter_map(|seat| seat.sync.take()).collect();
        for (sender, request) in parked {
            self.refuse(sender, request, ErrorCode::REBALANCE_IN_PROGRESS);
        }
        self.complete_join_if_all_are_here(now);
    }

    fn complete_join_if_all_are_here(&mut self, now: Tick) {
        if self.seats.values().all(|seat| seat.join.is_some()) {
            self.complete_join(now);
        }
    }

    fn complete_join(&mut self, now: Tick) {
        self.generation += 1;
        self.phase = if self.seats.is_empty() { Phase::Empty } else { Phase::Completing };
        if !self.leader.as_ref().is_some_and(|leader| self.seats.contains_key(leader)) {
            self.leader = self.seats.keys().next().cloned();
        }
        for id in self.seats.keys().cloned().collect::<Vec<_>>() {
            if let Some(seat) = self.seats.get_mut(&id) {
                seat.session_end = now + self.session;
                seat.assignment.clear();
            }
            self.answer_join(&id);
        }
    }

    fn answer_join(&mut self, id: &MemberId) {
        let leader = self.leader.clone().expect("a group with members has a leader");
        let members = if leader == *id { self.candidates() } else { Vec::new() };
        let Some(seat) = self.seats.get_mut(id) else { return };
        let Some((sender, request)) = seat.join.take() else { return };
        let answer = JoinAnswer {
            generation: GroupGeneration(self.generation),
            member_id: id.clone(),
            assignor: seat.assignor.clone(),
            leader,
            members,
            skip_assignment: false,
        };
        self.answers.push((sender, Event::Joined { request, answer }));
    }

    fn candidates(&self) -> Vec<Candidate> {
        let candidate = |(id, seat): (&MemberId, &Seat)| Candidate {
            id: id.clone(),
            instance: None,
            subscription: seat.subscription.clone(),
        };
        self.seats.iter().map(candidate).collect()
    }

    fn sync(&mut self, sender: Sender, sync: SyncGroup, now: Tick) {
        if let Some(code) = self.objection(Some(&sync.member_id), Some(sync.generation)) {
            return self.refuse(sender, sync.request, code);
        }
        if matches!(self.phase, Phase::Preparing { .. }) {
            return self.refuse(sender, sync.request, ErrorCode::REBALANCE_IN_PROGRESS);
        }
        if let Some(seat) = self.seats.get_mut(&sync.member_id) {
            seat.sync = Some((sender, sync.request));
            seat.session_end = now + self.session;
        }
        if self.phase == Phase::Completing && self.leader.as_ref() == Some(&sync.member_id) {
            for (id, partitions) in sync.assignments {
                if let Some(seat) = self.seats.get_mut(&id) {
                    seat.assignment = partitions;
                }
            }
            self.phase = Phase::Stable;
        }
        if self.phase == Phase::Stable {
            self.answer_syncs(now);
        }
    }

    fn answer_syncs(&mut self, now: Tick) {
        for seat in self.seats.values_mut() {
            if let Some((sender, request)) = seat.sync.take() {
                seat.session_end = now + self.session;
                let assignment = Assignment { partitions: seat.assignment.clone(), user_data: Vec::new() };
                self.answers.push((sender, Event::Synced { request, assignment }));
            }
        }
    }

    fn heartbeat(&mut self, sender: Sender, beat: Heartbeat, now: Tick) {
        if let Some(code) = self.objection(beat.member_id.as_ref(), beat.generation) {
            return self.refuse(sender, beat.request, code);
        }
        if let Some(seat) = beat.member_id.and_then(|id| self.seats.get_mut(&id)) {
            seat.session_end = now + self.session;
        }
        match self.phase {
            Phase::Preparing { .. } => self.refuse(sender, beat.request, ErrorCode::REBALANCE_IN_PROGRESS),
            Phase::Empty | Phase::Completing | Phase::Stable => {
                self.answers.push((sender, Event::HeartbeatAccepted { request: beat.request }));
            }
        }
    }

    fn objection(&self, id: Option<&MemberId>, generation: Option<GroupGeneration>) -> Option<ErrorCode> {
        if !id.is_some_and(|id| self.seats.contains_key(id)) {
            Some(ErrorCode::UNKNOWN_MEMBER_ID)
        } else if generation != Some(GroupGeneration(self.generation)) {
            Some(ErrorCode::ILLEGAL_GENERATION)
        } else {
            None
        }
    }

    fn remove(&mut self, id: &MemberId, now: Tick) {
        self.pending.remove(id);
        if self.seats.remove(id).is_some() {
            match self.phase {
                Phase::Preparing { .. } => self.complete_join_if_all_are_here(now),
                Phase::Empty | Phase::Completing | Phase::Stable => self.prepare(now),
            }
        }
    }

    fn refuse(&mut self, sender: Sender, request: RequestId, code: ErrorCode) {
        self.answers.push((sender, Event::Refused { request, code }));
    }
}
