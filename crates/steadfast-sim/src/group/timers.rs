//! What a group waits for, and what happens when it does not come.

use std::sync::Arc;
use std::time::Duration;

use steadfast_core::tick::Tick;

use super::{Group, GroupState};
use crate::notice::Removal;

/// Until when members may join the round under way.
#[derive(Debug, Clone, Copy)]
pub(super) enum JoinTimer {
    /// An empty group's first round waits for more members.
    Initial { at: Tick, delay: Duration, remaining: Duration },
    /// The round ends with whoever has joined.
    Deadline { at: Tick },
}

impl JoinTimer {
    fn at(self) -> Tick {
        match self {
            JoinTimer::Initial { at, .. } | JoinTimer::Deadline { at } => at,
        }
    }
}

impl Group {
    /// When something is due next.
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        let sessions = self.members.values().filter_map(|member| member.session_deadline);
        let timers = self.join_timer.map(JoinTimer::at).into_iter().chain(self.sync_deadline);
        timers.chain(sessions).chain(self.invited.values().copied()).min()
    }

    /// What is due by `now` happens, each thing at its own time.
    pub(crate) fn fire(&mut self, now: Tick) {
        while let Some(at) = self.next_deadline().filter(|at| *at <= now) {
            self.fire_one(at);
        }
    }

    fn fire_one(&mut self, at: Tick) {
        if let Some(timer) = self.join_timer.take_if(|timer| timer.at() <= at) {
            match timer {
                JoinTimer::Initial { delay, remaining, .. } => self.initial_delay_over(delay, remaining, at),
                JoinTimer::Deadline { .. } => self.complete(at),
            }
        } else if self.sync_deadline.take_if(|deadline| *deadline <= at).is_some() {
            self.sync_overdue(at);
        } else if let Some(id) = self.silent(at) {
            self.session_over(&id, at);
        } else {
            self.invited.retain(|_, deadline| *deadline > at);
            self.complete_if_nobody_is_awaited(at);
        }
    }

    fn sync_overdue(&mut self, at: Tick) {
        for id in std::mem::take(&mut self.unsynced) {
            self.remove(&id, Removal::NotSynced);
        }
        self.prepare(at);
    }

    fn silent(&self, at: Tick) -> Option<Arc<str>> {
        let due = |deadline: Option<Tick>| deadline.is_some_and(|deadline| deadline <= at);
        self.members.iter().find(|(_, member)| due(member.session_deadline)).map(|(id, _)| Arc::clone(id))
    }

    fn session_over(&mut self, id: &str, at: Tick) {
        let Some(member) = self.members.get_mut(id) else { return };
        // Whoever waits in a round is renewed when it is answered.
        member.session_deadline = None;
        if member.is_excused() {
            return;
        }
        self.expel(id, Removal::SessionExpired);
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare(at),
            GroupState::PreparingRebalance => self.complete_if_nobody_is_awaited(at),
            GroupState::Empty | GroupState::Dead => {}
        }
    }

    fn complete_if_nobody_is_awaited(&mut self, at: Tick) {
        if self.state == GroupState::PreparingRebalance && self.all_joined() {
            self.complete(at);
        }
    }
}
