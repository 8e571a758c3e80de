//! What a group waits for, who may commit, and what a move of the coordinator leaves.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use steadfast_core::tick::Tick;

use super::ConsumerGroup;
use super::member::{Member, Standing};
use crate::notice::Removal;
use crate::topics::Topics;

/// From this version on members of the consumer protocol may commit.
const MEMBER_EPOCHS: i16 = 9;

impl ConsumerGroup {
    /// When something is due next.
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        if !self.loaded {
            return None;
        }
        let members = self.members.values().flat_map(Member::deadlines).map(|(at, _)| at);
        members.chain(self.resolving).min()
    }

    /// What is due by `now` happens, each thing at its own time.
    pub(crate) fn fire(&mut self, topics: &Topics, now: Tick) {
        while let Some(at) = self.next_deadline().filter(|at| *at <= now) {
            if self.resolving.is_some_and(|due| due <= at) {
                self.resolve(topics, at);
                continue;
            }
            let due = |member: &Member| member.deadlines().find(|(due, _)| *due <= at).map(|(_, why)| why);
            let overdue = self.members.iter().find_map(|(id, member)| Some((Arc::clone(id), due(member)?)));
            let Some((id, reason)) = overdue else { return };
            self.fence(&id, reason);
        }
    }

    /// Whether this member may commit offsets now. Its epoch has to be the one that it was told last: it is no sign of
    /// life. Who is no member commits to a group without members only.
    pub(crate) fn admit_commit(&self, version: i16, member: &str, epoch: i32) -> Result<(), ResponseError> {
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        let known = self.members.get(member).ok_or(ResponseError::UnknownMemberId)?;
        if version < MEMBER_EPOCHS && known.classic.is_none() {
            return Err(ResponseError::UnsupportedVersion);
        }
        known.expect(epoch)
    }

    /// The same in a transaction, where no client knows of member epochs.
    pub(crate) fn admit_transactional_commit(&self, member: &str, epoch: i32) -> Result<(), ResponseError> {
        match self.admit_commit(MEMBER_EPOCHS, member, epoch) {
            Err(ResponseError::StaleMemberEpoch) => Err(ResponseError::IllegalGeneration),
            other => other,
        }
    }

    /// Whether this member may read what was committed. Who names no member always may.
    pub(crate) fn admit_fetch(&self, member: Option<&str>, epoch: i32) -> Result<(), ResponseError> {
        let Some(member) = member else { return Ok(()) };
        let known = self.members.get(member).ok_or(ResponseError::UnknownMemberId)?;
        known.expect(epoch)
    }

    /// The coordinator lost the group. All of it was written down; nothing is due until it is loaded.
    pub(crate) fn unload(&mut self) {
        self.loaded = false;
    }

    /// A coordinator has read the group: every member has a whole session to show itself, and a whole timeout to
    /// revoke.
    pub(crate) fn load(&mut self, now: Tick) {
        self.loaded = true;
        for member in self.members.values_mut() {
            member.session_deadline = Some(now + member.session(&self.settings));
            member.revoke_deadline = (member.standing == Standing::Unrevoked && member.classic.is_none())
                .then(|| now + member.rebalance_timeout);
            if let Some(classic) = &mut member.classic {
                (classic.join_deadline, classic.sync_deadline) = (None, None);
            }
        }
        self.resolving = self.resolving.map(|_| now + self.settings.regex_time);
    }
}

impl Member {
    /// What it is given until when, and what it is fenced for when it is over.
    fn deadlines(&self) -> impl Iterator<Item = (Tick, Removal)> {
        let classic = self.classic.as_ref();
        let deadlines = [
            (self.session_deadline, Removal::SessionExpired),
            (self.revoke_deadline, Removal::NotRevoked),
            (classic.and_then(|classic| classic.join_deadline), Removal::NotRejoined),
            (classic.and_then(|classic| classic.sync_deadline), Removal::NotSynced),
        ];
        deadlines.into_iter().filter_map(|(at, why)| Some((at?, why)))
    }

    fn expect(&self, epoch: i32) -> Result<(), ResponseError> {
        match &self.classic {
            _ if epoch == self.epoch => Ok(()),
            None => Err(ResponseError::StaleMemberEpoch),
            Some(_) => Err(ResponseError::IllegalGeneration),
        }
    }
}
