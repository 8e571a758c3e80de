//! Members that go: for good, or, if they are static, for a while.

use std::collections::BTreeSet;
use std::sync::Arc;

use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::member::AWAY;
use super::{ConsumerGroup, Refusal};
use crate::notice::Removal;

impl ConsumerGroup {
    /// The member goes. The others hear of it with their next heartbeats.
    pub(super) fn leave(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let id = self.leaver(request)?;
        if request.member_epoch == AWAY && request.instance_id.is_some() {
            self.go_away(&id);
        } else {
            self.fence(&id, Removal::Left(None));
        }
        let answer = ConsumerGroupHeartbeatResponse::default();
        Ok(answer.with_member_id(Some(request.member_id.clone())).with_member_epoch(request.member_epoch))
    }

    fn leaver(&self, request: &ConsumerGroupHeartbeatRequest) -> Result<Arc<str>, Refusal> {
        let id = request.member_id.as_str();
        match request.instance_id.as_deref() {
            None => match self.members.get_key_value(id) {
                Some((id, _)) => Ok(Arc::clone(id)),
                None => Err(Refusal::unknown(id)),
            },
            Some(instance) => match self.static_member(instance) {
                None => Err(Refusal::unknown(instance)),
                Some(owner) if &*owner != id => Err(Refusal::fenced_instance(instance, &owner)),
                Some(owner) => Ok(owner),
            },
        }
    }

    /// What a static member has is kept for it until its session ends.
    fn go_away(&mut self, id: &str) {
        if let Some(member) = self.members.get_mut(id) {
            member.epoch = AWAY;
            member.revoking = BTreeSet::new();
        }
    }
}
