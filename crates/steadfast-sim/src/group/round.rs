//! A round: from the first sign of change until every member is told the new generation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ResponseKind;
use steadfast_core::ids::GroupGeneration;
use steadfast_core::tick::Tick;

use super::timers::JoinTimer;
use super::{Group, GroupState};
use crate::notice::{Notice, Removal};

impl Group {
    /// Membership or a subscription changed: a round begins, or the one under way may be complete.
    pub(super) fn prepare_or_complete(&mut self, now: Tick) {
        match self.state {
            GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable => self.prepare(now),
            GroupState::PreparingRebalance => self.complete_if_ready(now),
            GroupState::Dead => {}
        }
    }

    /// Begins a round. Whoever waits for an assignment is told to join again.
    pub(super) fn prepare(&mut self, now: Tick) {
        if self.state == GroupState::CompletingRebalance {
            self.propagate(Some(ResponseError::RebalanceInProgress), now);
        }
        self.unsynced.clear();
        self.sync_deadline = None;
        self.transition(GroupState::PreparingRebalance);
        if self.previous == GroupState::Empty {
            let delay = self.settings.initial_delay;
            let remaining = self.rebalance_timeout().saturating_sub(delay);
            self.join_timer = Some(JoinTimer::Initial { at: now + delay, delay, remaining });
        } else if self.all_joined() {
            self.complete(now);
        } else {
            self.join_timer = Some(JoinTimer::Deadline { at: now + self.rebalance_timeout() });
        }
    }

    /// Ends the join phase if nobody is awaited any more. A group's first round always waits its delay out.
    pub(super) fn complete_if_ready(&mut self, now: Tick) {
        let preparing = self.state == GroupState::PreparingRebalance;
        if preparing && self.previous != GroupState::Empty && self.all_joined() {
            self.complete(now);
        }
    }

    /// The first round's delay is over: it is extended while members keep coming.
    pub(super) fn initial_delay_over(&mut self, delay: Duration, remaining: Duration, now: Tick) {
        if !std::mem::take(&mut self.newcomer) || remaining.is_zero() {
            return self.complete(now);
        }
        let next = self.settings.initial_delay.min(remaining);
        let remaining = remaining.saturating_sub(delay);
        self.join_timer = Some(JoinTimer::Initial { at: now + next, delay: next, remaining });
    }

    /// Ends the join phase: who did not join is out, unless it is static.
    pub(super) fn complete(&mut self, now: Tick) {
        self.join_timer = None;
        for id in self.missing() {
            self.remove(&id, Removal::NotRejoined);
        }
        if !self.elect_leader() && !self.members.is_empty() {
            // Only static members are left and none has joined: wait until one does or its session ends.
            self.join_timer = Some(JoinTimer::Deadline { at: now + self.rebalance_timeout() });
            return;
        }
        self.generation = self.generation.wrapping_add(1).max(0);
        self.unsynced.clear();
        self.protocol = self.vote();
        if self.members.is_empty() {
            self.transition(GroupState::Empty);
            self.keep();
        } else {
            self.transition(GroupState::CompletingRebalance);
            self.announce(now);
        }
    }

    /// Tells every member the new generation, and the leader who the others are.
    fn announce(&mut self, now: Tick) {
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        let mut listing = self.listing();
        for id in &ids {
            let mut answer = self.joined(id);
            if self.is_leader(id) {
                answer = answer.with_members(std::mem::take(&mut listing));
            }
            let Some(member) = self.members.get_mut(id) else { continue };
            member.new = false;
            member.renew(now);
            if let Some(parked) = member.joining.take() {
                self.answers.push((parked.ticket, ResponseKind::JoinGroup(answer)));
            }
        }
        self.unsynced = ids.into_iter().collect();
        self.sync_deadline = Some(now + self.rebalance_timeout());
        self.notices.push(Notice::RoundCompleted {
            group: Arc::clone(&self.name),
            generation: GroupGeneration(self.generation),
            members: self.members.iter().map(|(id, it)| (Arc::clone(id), it.instance.clone())).collect(),
        });
    }

    /// The dynamic members that have not joined this round.
    fn missing(&self) -> Vec<Arc<str>> {
        let missing = self.members.iter().filter(|(_, it)| it.instance.is_none() && it.joining.is_none());
        missing.map(|(id, _)| Arc::clone(id)).collect()
    }

    /// The leader stays if it has joined; else the first that has. False if nobody has.
    fn elect_leader(&mut self) -> bool {
        let joined = |id: &Arc<str>| self.members.get(id).is_some_and(|member| member.joining.is_some());
        if !self.leader.as_ref().is_some_and(joined) {
            let Some(first) = self.members.keys().find(|id| joined(id)).cloned() else { return false };
            self.leader = Some(first);
        }
        true
    }

    /// The protocol that all speak and most prefer; among equals the first by name.
    pub(super) fn vote(&self) -> Option<Arc<str>> {
        let mut votes: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for member in self.members.values() {
            let shared = |name: &str| self.members.values().all(|other| other.speaks(name));
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| shared(name)) {
                *votes.entry(Arc::clone(name)).or_default() += 1;
            }
        }
        let most = votes.values().copied().max();
        votes.into_iter().find(|(_, count)| Some(*count) == most).map(|(name, _)| name)
    }

    pub(super) fn awaiting_join(&self) -> usize {
        self.members.values().filter(|member| member.joining.is_some()).count()
    }

    /// Nobody is awaited: neither a member nor somebody who was given an id.
    pub(super) fn all_joined(&self) -> bool {
        self.invited.is_empty() && self.members.values().all(|member| member.joining.is_some())
    }

    /// The longest that any member asks for.
    fn rebalance_timeout(&self) -> Duration {
        let longest = self.members.values().map(|member| member.rebalance_timeout).max();
        longest.unwrap_or_default().max(Duration::from_millis(1))
    }
}
