//! How a membership ends: lost, left, or refused.

use std::collections::BTreeSet;

use super::{ConsumerMember, State};
use crate::group::actions::{Action, LostReason, Reason};
use crate::group::errors::{Api, Cause, ErrorCode, Reaction, Refusal};
use crate::group::events::LossReason;
use crate::ids::Partition;

impl ConsumerMember {
    /// We are out of the epoch, or out of the group.
    pub(super) fn lose_as(&mut self, reaction: Reaction) {
        if reaction == Reaction::RejoinLost {
            self.lose_membership(LostReason::FencedEpoch, Reason::FencedEpoch);
        } else {
            self.known = false;
            self.lose_membership(LostReason::UnknownMember, Reason::UnknownMember);
        }
    }

    /// What was ours may be another's. Joins again under the same id, unless we are leaving.
    pub(super) fn lose_membership(&mut self, lost: LostReason, reason: Reason) {
        self.lose(self.standing.owned.clone(), lost);
        self.standing.generation = None;
        self.standing.settled = false;
        self.assignment = None;
        self.told = None;
        self.parting = None;
        // of what is out the answer speaks of the membership before
        self.line.abandon();
        self.line.pause_dropped(self.now);
        if !matches!(self.state, State::Leaving { .. }) {
            self.join(reason);
        }
    }

    fn lose(&mut self, partitions: BTreeSet<Partition>, reason: LostReason) {
        for partition in &partitions {
            self.standing.owned.remove(partition);
            self.standing.releasing.remove(partition);
            *self.standing.losses.entry(partition.clone()).or_default() += 1;
        }
        self.forget_topics();
        if !partitions.is_empty() {
            self.actions.push(Action::Lost { partitions, reason });
        }
    }

    /// Gives up what is not being given up yet, so that the last heartbeat can follow.
    pub(super) fn leave(&mut self) {
        let kept = self.standing.kept();
        if !kept.is_empty() {
            self.revoke(kept);
        }
        let nothing = self.standing.releasing.is_empty();
        let limit = if nothing { self.settings.answer_limit } else { self.settings.release() };
        self.round = None;
        self.state = State::Leaving { limit: self.now + limit };
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
        match self.state {
            State::Reconciling { limit } if limit <= self.now => {
                self.lose(self.standing.releasing.clone(), LostReason::DrainExpired);
            }
            State::Leaving { ref mut limit } if *limit <= self.now => {
                if self.standing.releasing.is_empty() {
                    return self.end(Action::Left);
                }
                *limit = self.now + self.settings.answer_limit;
                self.lose(self.standing.releasing.clone(), LostReason::DrainExpired);
            }
            State::Reconciling { .. } | State::Leaving { .. } => {}
            State::Idle | State::Joining { .. } | State::Stable | State::Ended => {}
        }
    }
}
