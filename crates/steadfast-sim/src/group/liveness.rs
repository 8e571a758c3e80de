//! Heartbeats and commits: signs of life, taken only from members of this generation.

use kafka_protocol::ResponseError;
use steadfast_core::tick::Tick;

use super::{Group, GroupState};

impl Group {
    /// Takes a heartbeat.
    pub(crate) fn heartbeat(
        &mut self,
        member: &str,
        instance: Option<&str>,
        generation: i32,
        now: Tick,
    ) -> Result<(), ResponseError> {
        self.validate(member, instance)?;
        if generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        self.renew(member, now);
        match self.state {
            GroupState::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
            GroupState::Empty | GroupState::Dead => Err(ResponseError::UnknownMemberId),
        }
    }

    /// Whether this member may commit offsets now; if so, it is a sign of life.
    ///
    /// The coordinator does not ask who owns the partition. A consumer without membership (generation -1, no member
    /// id) commits to a group without members only.
    pub(crate) fn admit_commit(
        &mut self,
        member: &str,
        instance: Option<&str>,
        generation: i32,
        now: Tick,
    ) -> Result<(), ResponseError> {
        if generation < 0 && self.state == GroupState::Empty {
            return Ok(());
        }
        if generation < 0 && member.is_empty() && instance.is_none() {
            return Err(ResponseError::UnknownMemberId);
        }
        self.validate(member, instance)?;
        if generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        if self.state == GroupState::CompletingRebalance {
            return Err(ResponseError::RebalanceInProgress);
        }
        self.renew(member, now);
        Ok(())
    }

    /// Whether this member may commit offsets in a transaction now (KIP-447). One without membership always may, and
    /// the state is not asked for; it is no sign of life.
    pub(crate) fn admit_transactional_commit(
        &self,
        member: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<(), ResponseError> {
        if generation < 0 && (self.state == GroupState::Empty || (member.is_empty() && instance.is_none())) {
            return Ok(());
        }
        self.validate(member, instance)?;
        if generation == self.generation { Ok(()) } else { Err(ResponseError::IllegalGeneration) }
    }

    fn renew(&mut self, member: &str, now: Tick) {
        if let Some(member) = self.members.get_mut(member) {
            member.renew(now);
        }
    }
}
