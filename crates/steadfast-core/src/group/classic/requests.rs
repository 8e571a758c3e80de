//! What goes out, and when the next thing is due.

use super::{ClassicMember, State};
use crate::group::actions::{Action, Heartbeat, JoinGroup, LeaveGroup, SyncGroup};
use crate::group::errors::Api;
use crate::group::subscription::Subscription;
use crate::tick::Tick;

impl ClassicMember {
    /// Sends what is due.
    pub(super) fn send(&mut self) {
        if self.leaves_silently() {
            return self.end(Action::Left);
        }
        if self.wants_to_ask() && self.line.free(self.now) {
            if self.line.coordinator().is_none() {
                let sent = self.line.send(Api::FindCoordinator, self.now, self.settings.answer_limit);
                let (request, deadline) = (sent.request, sent.limit);
                self.actions.push(Action::FindCoordinator { request, deadline });
            } else {
                self.send_main();
            }
        }
        if self.wants_to_beat() && self.next_beat <= self.now {
            self.send_heartbeat();
        }
    }

    /// A static member stays one while it is away (KIP-345) unless it is told otherwise, and who was given no id is none.
    fn leaves_silently(&self) -> bool {
        let silent = !self.settings.leaves() || self.standing.member_id.is_none();
        silent && self.has_left_partitions()
    }

    fn has_left_partitions(&self) -> bool {
        matches!(self.state, State::Leaving { .. }) && self.standing.releasing.is_empty()
    }

    /// Whether a request other than a heartbeat is due, out, or held back by a pause.
    fn wants_to_ask(&self) -> bool {
        match self.state {
            State::Idle | State::Ended => false,
            State::Joining | State::Syncing { .. } => true,
            State::Draining { .. } | State::Counting { .. } | State::Stable | State::Releasing { .. } => {
                self.line.coordinator().is_none()
            }
            State::Leaving { .. } => self.line.coordinator().is_none() || self.has_left_partitions(),
        }
    }

    fn wants_to_beat(&self) -> bool {
        let member = match self.state {
            State::Idle | State::Ended => false,
            State::Draining { .. } | State::Joining | State::Counting { .. } => true,
            State::Syncing { .. } | State::Stable | State::Releasing { .. } => true,
            State::Leaving { .. } => !self.has_left_partitions(),
        };
        member && self.line.coordinator().is_some() && !self.line.waits_for_heartbeat()
    }

    fn send_main(&mut self) {
        match &self.state {
            State::Joining => self.send_join(),
            State::Syncing { .. } => self.send_sync(),
            State::Leaving { .. } => self.send_leave(),
            State::Draining { .. } | State::Counting { .. } | State::Stable | State::Releasing { .. } => {}
            State::Idle | State::Ended => {}
        }
    }

    fn send_join(&mut self) {
        let Some(reason) = self.round.as_ref().map(|round| round.latest) else { return };
        let sent = self.line.send(Api::JoinGroup, self.now, self.settings.parked());
        self.park();
        self.standing.joined_with = self.topics.clone();
        self.actions.push(Action::Join(JoinGroup {
            request: sent.request,
            deadline: sent.limit,
            member_id: self.standing.member_id.clone(),
            assignors: self.settings.assignors.clone(),
            subscription: Subscription {
                topics: self.topics.clone(),
                owned: self.standing.owned.clone(),
                generation: self.standing.generation,
                rack: self.settings.rack.clone(),
                previous: self.standing.assigned.clone(),
                user_data: Vec::new(),
            },
            reason,
        }));
    }

    fn send_sync(&mut self) {
        let State::Syncing { assignor, assignments } = &self.state else { return };
        let (Some(member_id), Some(generation)) = (self.standing.member_id.clone(), self.standing.generation)
        else {
            return;
        };
        let sent = self.line.send(Api::SyncGroup, self.now, self.settings.parked());
        self.actions.push(Action::Sync(SyncGroup {
            request: sent.request,
            deadline: sent.limit,
            member_id,
            generation,
            assignor: *assignor,
            assignments: assignments.clone(),
        }));
        self.park();
    }

    fn send_leave(&mut self) {
        let State::Leaving { reason, .. } = &self.state else { return };
        let Some(member_id) = self.standing.member_id.clone() else { return };
        let reason = reason.clone();
        let sent = self.line.send(Api::LeaveGroup, self.now, self.settings.answer_limit);
        let (request, deadline) = (sent.request, sent.limit);
        self.actions.push(Action::Leave(LeaveGroup { request, deadline, member_id, reason }));
    }

    fn send_heartbeat(&mut self) {
        self.next_beat = self.beat_after();
        let sent = self.line.send(Api::Heartbeat, self.now, self.probe_limit());
        self.actions.push(Action::Heartbeat(Heartbeat {
            request: sent.request,
            deadline: sent.limit,
            member_id: self.standing.member_id.clone(),
            generation: self.standing.generation,
        }));
    }

    /// What is due in every state between start and end.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = Tick> {
        let line = self.line.next_deadline(self.wants_to_ask());
        let beat = self.wants_to_beat().then_some(self.next_beat);
        let session = self.standing.generation.map(|_| self.session_end());
        let farewell = self.farewell.as_ref().map(|farewell| farewell.limit);
        [line, beat, session, farewell, self.asks_again_at()].into_iter().flatten()
    }
}
