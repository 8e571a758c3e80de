//! How a member leaves: at once, or after the round that it is in the midst of.

use std::sync::Arc;

use super::{ClassicMember, State};
use crate::tick::Tick;

/// Told to leave in the midst of a round, holding partitions.
#[derive(Debug, Clone)]
pub(super) struct Farewell {
    reason: Arc<str>,
    /// Until when the round is gone through at most.
    pub(super) limit: Tick,
}

impl ClassicMember {
    /// What is held can be committed by a member of the generation that the round makes, and only once its leader has
    /// made the assignment: so the round is gone through while handlers drain. A leader that went away instead would
    /// have everybody's commits refused.
    pub(super) fn leave_after_round(&mut self, reason: Arc<str>) {
        if self.farewell.is_some() {
            return;
        }
        let kept = self.standing.kept();
        if kept.is_empty() {
            return self.leave(reason);
        }
        let limit = self.revoke(kept);
        self.farewell = Some(Farewell { reason, limit });
    }

    /// Leaves once everything is given up, or the round is over.
    pub(super) fn follow_farewell(&mut self) {
        let in_round = matches!(self.state, State::Joining | State::Counting { .. } | State::Syncing { .. });
        if !in_round || self.standing.releasing.is_empty() {
            self.end_farewell();
        }
    }

    pub(super) fn expire_farewell(&mut self) {
        if self.farewell.as_ref().is_some_and(|farewell| farewell.limit <= self.now) {
            self.end_farewell();
        }
    }

    fn end_farewell(&mut self) {
        let Some(Farewell { reason, limit }) = self.farewell.take() else { return };
        self.leave(reason);
        if let State::Leaving { limit: last, .. } = &mut self.state
            && !self.standing.releasing.is_empty()
        {
            *last = limit;
        }
    }

    /// Gives up what is not being given up yet, so that LeaveGroup can follow.
    pub(super) fn leave(&mut self, reason: Arc<str>) {
        let kept = self.standing.kept();
        if !kept.is_empty() {
            self.revoke(kept);
        }
        let release = if self.standing.releasing.is_empty() {
            self.settings.answer_limit
        } else {
            self.settings.release()
        };
        self.round = None;
        self.standing.rejoin = true;
        self.line.abandon();
        self.next_beat = self.now;
        self.state = State::Leaving { reason, limit: self.now + release };
    }
}
