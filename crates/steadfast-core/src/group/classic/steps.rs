//! The steps of a round, and its ends: what follows from what is so.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{ClassicMember, State};
use crate::group::actions::{Action, Gathered, LostReason, Reason, Rebalance, Trigger};
use crate::group::assign::{Assignments, Assignor, Candidate, PartitionCounts, Protocol};
use crate::group::coordinator::Sent;
use crate::group::errors::{Api, Cause, ErrorCode, Reaction, Refusal, react};
use crate::group::events::{JoinAnswer, LossReason};
use crate::group::pace::Signs;
use crate::group::round::Round;
use crate::group::subscription::{Assignment, Held};
use crate::group::trigger::Roster;
use crate::ids::{GroupGeneration, NodeId, Partition};
use crate::tick::Tick;

impl ClassicMember {
    /// Goes on from the standing that we were built with.
    pub(super) fn start(&mut self) {
        let unfinished = self.standing.rejoin || !self.standing.settled;
        match self.standing.generation {
            None => self.begin_round(Reason::Start),
            Some(_) if !self.standing.releasing.is_empty() => self.release_again(),
            Some(_) if unfinished => self.begin_round(Reason::Restarted),
            Some(_) => self.state = State::Stable,
        }
    }

    /// The crash may have come before the order to revoke was carried out.
    fn release_again(&mut self) {
        let limit = self.revoke(self.standing.releasing.clone());
        self.state = match self.settings.protocol() {
            Protocol::Eager => {
                self.open_round(Reason::Restarted);
                State::Draining { limit }
            }
            Protocol::Cooperative => State::Releasing { limit },
        };
    }

    pub(super) fn found(&mut self, coordinator: NodeId) {
        self.line.found(coordinator);
        self.signs.changed = Some(self.now);
        self.next_beat = match self.state {
            State::Joining => self.now + self.interval(),
            // show at once that we still live
            State::Idle
            | State::Draining { .. }
            | State::Counting { .. }
            | State::Syncing { .. }
            | State::Stable
            | State::Releasing { .. }
            | State::Leaving { .. }
            | State::Ended => self.now,
        };
    }

    /// Its connections are of no use any more. While it is being sought that says nothing new.
    pub(super) fn coordinator_lost(&mut self, reason: LossReason) {
        if self.line.coordinator().is_some() {
            self.lose_coordinator(reason);
        }
    }

    pub(super) fn lose_coordinator(&mut self, reason: LossReason) {
        if self.line.coordinator().is_some() {
            self.actions.push(Action::CoordinatorLost { reason });
        }
        self.line.lost(self.now);
    }

    /// The coordinator took us for a member when it answered this.
    pub(super) fn heard(&mut self, sent: Option<Sent>) {
        if let Some(sent) = sent {
            self.standing.heard = self.standing.heard.max(sent.at);
            self.line.thrives();
        }
    }

    /// Begins a round, or goes on with one that did not complete.
    pub(super) fn begin_round(&mut self, reason: Reason) {
        self.open_round(reason);
        let eager = self.settings.protocol() == Protocol::Eager;
        if eager && !self.standing.owned.is_empty() {
            let limit = self.revoke(self.standing.owned.clone());
            self.state = State::Draining { limit };
        } else {
            self.join();
        }
    }

    fn open_round(&mut self, reason: Reason) {
        self.signs.changed = Some(self.now);
        self.standing.rejoin = true;
        if self.round.is_none() {
            self.actions.push(Action::Rebalancing { reason });
        }
        self.round.get_or_insert(Round::new(reason, self.now)).latest = reason;
    }

    fn join(&mut self) {
        if let Some(round) = &mut self.round {
            round.drained(self.now);
        }
        self.line.abandon();
        self.state = State::Joining;
    }

    /// Asks for the release of `partitions`; the moment at which it has to be done.
    pub(super) fn revoke(&mut self, partitions: BTreeSet<Partition>) -> Tick {
        self.standing.releasing.extend(partitions.iter().cloned());
        self.actions.push(Action::Revoke { partitions, deadline: self.now + self.settings.drain() });
        self.now + self.settings.release()
    }

    pub(super) fn released(&mut self, partitions: &BTreeSet<Partition>) {
        for partition in partitions {
            if self.standing.releasing.remove(partition) {
                self.standing.owned.remove(partition);
            }
        }
    }

    /// A generation has begun; its assignment is to be made or fetched.
    pub(super) fn joined(&mut self, sent: Option<Sent>, answer: JoinAnswer) {
        let offered = |assignor: &Assignor| self.settings.assignors.contains(assignor);
        let Some(assignor) = Assignor::named(&answer.assignor).filter(offered) else {
            return self.fatal(Api::JoinGroup, ErrorCode::INCONSISTENT_GROUP_PROTOCOL, Cause::Inconsistent);
        };
        let leader = answer.leader == answer.member_id;
        let trigger = self.enrol(leader.then_some(answer.members.as_slice()));
        if let Some(round) = &mut self.round {
            round.joined(self.now);
            round.trigger = trigger;
            round.led_by = Some(answer.leader);
        }
        self.standing.member_id = Some(answer.member_id);
        self.standing.generation = Some(answer.generation);
        self.standing.settled = false;
        self.standing.led = None;
        self.hear_join(sent);
        self.line.abandon(); // a heartbeat that is out names the generation before
        self.next_beat = self.now + self.interval();
        if leader && !answer.skip_assignment {
            let limit = self.now + self.settings.rebalance_timeout;
            self.state = State::Counting { assignor, members: answer.members, again: self.now, limit };
        } else {
            self.standing.led = leader.then(|| self.counts_of(&wanted(&answer.members)));
            self.state = State::Syncing { assignor, assignments: Assignments::new() };
        }
    }

    /// As leader: takes down who is here; what changed since the round before, if we led that too.
    fn enrol(&mut self, members: Option<&[Candidate]>) -> Option<Trigger> {
        let roster = members.map(Roster::of);
        let recounted = self.recounted();
        let before = std::mem::replace(&mut self.standing.roster, roster);
        Some(before?.changed_to(self.standing.roster.as_ref()?, recounted))
    }

    /// The join may have been held back for longer than a session lasts. Who holds partitions was heard by
    /// heartbeats meanwhile; who holds none endangers nothing by counting from the answer.
    fn hear_join(&mut self, sent: Option<Sent>) {
        let since = sent.filter(|_| !self.standing.owned.is_empty()).map_or(self.now, |sent| sent.at);
        self.standing.heard = self.standing.heard.max(since);
    }

    /// What is known of the counts of `topics`.
    fn counts_of(&self, topics: &BTreeSet<Arc<str>>) -> PartitionCounts {
        let known = self.counts.iter().filter(|(topic, _)| topics.contains(*topic));
        known.map(|(topic, count)| (topic.clone(), *count)).collect()
    }

    /// Takes the steps that what we know by now allows.
    pub(super) fn follow(&mut self) {
        self.follow_farewell();
        match &self.state {
            State::Draining { .. } if self.standing.releasing.is_empty() => self.join(),
            State::Releasing { .. } if self.standing.releasing.is_empty() => {
                self.begin_round(Reason::Released)
            }
            State::Counting { .. } => self.count(),
            State::Stable => {
                if let Some(reason) = self.outdated() {
                    self.begin_round(reason);
                }
            }
            State::Draining { .. } | State::Releasing { .. } => {}
            State::Idle | State::Joining | State::Syncing { .. } | State::Leaving { .. } | State::Ended => {}
        }
    }

    /// Makes the assignment, or asks for what is missing. To make it without some topic's count would take
    /// that topic away from the whole group.
    fn count(&mut self) {
        let State::Counting { assignor, members, again, .. } = &mut self.state else { return };
        let topics = wanted(members);
        let missing: BTreeSet<_> =
            topics.iter().filter(|topic| !self.counts.contains_key(*topic)).cloned().collect();
        if missing.is_empty() {
            let assignor = *assignor;
            let assignments = assignor.assign(members, &self.counts);
            self.standing.led = Some(self.counts_of(&topics));
            self.state = State::Syncing { assignor, assignments };
        } else if *again <= self.now {
            *again = self.now + self.settings.answer_limit;
            self.actions.push(Action::CountPartitions { topics: missing });
        }
    }

    pub(super) fn resubscribe(&mut self, topics: BTreeSet<Arc<str>>, pattern: Option<Arc<str>>) {
        let same_pattern = pattern.is_some() && pattern == self.pattern;
        self.resubscribed = if same_pattern { Reason::MatchesChanged } else { Reason::SubscriptionChanged };
        (self.topics, self.pattern) = (topics, pattern);
    }

    /// Why the assignment that we have does not fit any more.
    fn outdated(&self) -> Option<Reason> {
        if self.standing.joined_with != self.topics {
            return Some(self.resubscribed);
        }
        self.recounted().then_some(Reason::PartitionsChanged)
    }

    /// Whether topics of the assignment that we made have other partition counts by now.
    fn recounted(&self) -> bool {
        let differs = |(topic, count)| self.counts.get(topic).is_some_and(|known| known != count);
        self.standing.led.as_ref().is_some_and(|led| led.iter().any(differs))
    }

    /// The round is complete: takes what came, gives up what did not come again.
    pub(super) fn synced(&mut self, sent: Option<Sent>, assignor: Assignor, assignment: Assignment) {
        let Some(generation) = self.standing.generation else { return };
        let ours = |partition: &Partition| self.topics.contains(&partition.topic);
        let assigned: BTreeSet<Partition> = assignment.partitions.into_iter().filter(ours).collect();
        let mut added: BTreeSet<Partition> = assigned.difference(&self.standing.owned).cloned().collect();
        if self.farewell.is_some() {
            added.clear(); // who leaves takes nothing up any more
        }
        let gone: BTreeSet<Partition> = self.standing.kept().difference(&assigned).cloned().collect();
        self.heard(sent);
        self.standing.settled = true;
        self.standing.rejoin = false;
        self.standing.owned.extend(added.iter().cloned());
        self.standing.assigned = Held { partitions: assigned.clone(), generation: Some(generation) };
        let unfinished = self.settings.protocol() == Protocol::Cooperative;
        self.signs = Signs { changed: Some(self.now), settled: Some(self.now), unfinished };
        self.next_beat = self.settings.pace.next(self.signs, self.now);
        let round = self.round.take().unwrap_or(Round::new(Reason::RoundBegan, self.now));
        self.actions.push(Action::Rebalanced(Rebalance {
            reason: round.reason,
            latest: round.latest,
            took: round.phases(self.now),
            trigger: round.trigger,
            generation,
            manner: self.settings.protocol().into(),
            assignor: Arc::from(assignor.name()),
            leader: self.standing.led.is_some(),
            led_by: round.led_by,
            gathered: self.gathered(),
            assigned,
            releasing: gone.clone(),
        }));
        if !added.is_empty() {
            let counted = |partition| {
                let losses = self.standing.losses_of(&partition);
                (partition, losses)
            };
            let partitions = added.into_iter().map(counted).collect();
            self.actions.push(Action::Assign { partitions, generation });
        }
        self.state = if gone.is_empty() {
            State::Stable
        } else {
            let limit = self.revoke(gone);
            State::Releasing { limit }
        };
    }

    /// As leader that has made the assignment: how many it was made for.
    fn gathered(&self) -> Option<Gathered> {
        let State::Syncing { assignments, .. } = &self.state else { return None };
        let idle = assignments.values().filter(|partitions| partitions.is_empty()).count();
        (!assignments.is_empty()).then_some(Gathered { members: assignments.len(), idle })
    }

    /// The commit's answer says that we are no member, or not of that generation.
    pub(super) fn commit_refused(&mut self, generation: GroupGeneration, code: ErrorCode) {
        if self.standing.generation != Some(generation) {
            return; // it was on its way when the generation changed
        }
        let reaction = react(Api::OffsetCommit, code);
        self.note(Api::OffsetCommit, code, reaction);
        match reaction {
            Reaction::RejoinLost => {
                self.lose_membership(LostReason::IllegalGeneration, Reason::IllegalGeneration);
            }
            Reaction::RejoinAnew => {
                self.standing.member_id = None;
                self.lose_membership(LostReason::UnknownMember, Reason::UnknownMember);
            }
            Reaction::Fatal(cause) => self.fatal(Api::OffsetCommit, code, cause),
            Reaction::FindCoordinator => self.lose_coordinator(LossReason::NotCoordinator),
            // the commit's own business
            Reaction::Accept | Reaction::Retry | Reaction::JoinWithGivenId | Reaction::Rejoin => {}
            Reaction::AfterRound | Reaction::GiveUp => {}
        }
    }

    /// We are out of the generation: what was ours may be another's. Joins again, unless we are leaving.
    pub(super) fn lose_membership(&mut self, lost: LostReason, reason: Reason) {
        self.lose(self.standing.owned.clone(), lost);
        self.standing.generation = None;
        self.standing.settled = false;
        self.standing.led = None;
        if !matches!(self.state, State::Leaving { .. }) {
            self.open_round(reason);
            self.join();
            self.line.pause_dropped(self.now);
        }
    }

    fn lose(&mut self, partitions: BTreeSet<Partition>, reason: LostReason) {
        for partition in &partitions {
            self.standing.owned.remove(partition);
            self.standing.releasing.remove(partition);
            *self.standing.losses.entry(partition.clone()).or_default() += 1;
        }
        if !partitions.is_empty() {
            self.actions.push(Action::Lost { partitions, reason });
        }
    }

    pub(super) fn fatal(&mut self, api: Api, code: ErrorCode, cause: Cause) {
        let group = self.settings.group.to_string();
        self.end(Action::Fatal(Refusal { group, api, code, cause }));
    }

    /// The machine's end, which `last` announces.
    pub(super) fn end(&mut self, last: Action) {
        self.lose(self.standing.owned.clone(), LostReason::Fatal);
        self.standing.generation = None;
        self.standing.settled = false;
        self.round = None;
        self.farewell = None;
        self.line.abandon();
        self.state = State::Ended;
        self.actions.push(last);
    }

    /// Ends what time has ended.
    pub(super) fn expire(&mut self) {
        while let Some(_silent) = self.line.overdue(self.now) {
            self.lose_coordinator(LossReason::Silent);
        }
        if self.standing.generation.is_some() && self.session_end() <= self.now {
            self.lose_membership(LostReason::SessionExpired, Reason::SessionExpired);
        }
        self.expire_farewell();
        match self.state {
            State::Draining { limit } | State::Releasing { limit } if limit <= self.now => {
                self.lose(self.standing.releasing.clone(), LostReason::DrainExpired);
            }
            State::Counting { limit, .. } if limit <= self.now => self.begin_round(Reason::RoundExpired),
            State::Leaving { ref mut limit, .. } if *limit <= self.now => {
                if self.standing.releasing.is_empty() {
                    return self.end(Action::Left);
                }
                *limit = self.now + self.settings.answer_limit;
                self.lose(self.standing.releasing.clone(), LostReason::DrainExpired);
            }
            State::Draining { .. } | State::Counting { .. } | State::Releasing { .. } => {}
            State::Idle | State::Joining | State::Syncing { .. } | State::Stable => {}
            State::Leaving { .. } | State::Ended => {}
        }
    }

    /// When the coordinator may have given our partitions away: counted from when we sent what it answered,
    /// so that it is never later than the coordinator's own count.
    pub(super) fn session_end(&self) -> Tick {
        self.standing.heard + self.settings.session_timeout
    }

    /// Tells the log, but for the answers that every round brings.
    pub(super) fn note(&mut self, api: Api, code: ErrorCode, reaction: Reaction) {
        let usual =
            reaction == Reaction::Rejoin || matches!(self.state, State::Joining) && api == Api::Heartbeat;
        if !usual {
            self.actions.push(Action::Noted { api, code, reaction });
        }
    }
}

/// The topics that any of `members` wants.
fn wanted(members: &[Candidate]) -> BTreeSet<Arc<str>> {
    members.iter().flat_map(|member| member.subscription.topics.iter().cloned()).collect()
}
