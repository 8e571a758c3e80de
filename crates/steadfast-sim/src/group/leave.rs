//! LeaveGroup: members go, by themselves or sent by an administrator.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use steadfast_core::tick::Tick;

use super::Group;
use crate::notice::Removal;

impl Group {
    /// Takes these members out, then begins a round, or completes the one that waited for them.
    pub(crate) fn leave(&mut self, leavers: &[MemberIdentity], now: Tick) -> Vec<MemberResponse> {
        let answers: Vec<MemberResponse> = leavers
            .iter()
            .map(|leaver| {
                let error = self.leave_one(leaver).err().map_or(0, |error| error.code());
                MemberResponse::default()
                    .with_member_id(leaver.member_id.clone())
                    .with_group_instance_id(leaver.group_instance_id.clone())
                    .with_error_code(error)
            })
            .collect();
        if answers.iter().any(|answer| answer.error_code == 0) && !self.is_vacant() {
            self.prepare_or_complete(now);
        }
        answers
    }

    fn leave_one(&mut self, leaver: &MemberIdentity) -> Result<(), ResponseError> {
        let id = leaver.member_id.as_str();
        let instance = leaver.group_instance_id.as_ref().map(|id| id.as_str());
        let reason = Removal::Left(leaver.reason.as_ref().map(|reason| Arc::from(reason.as_str())));
        if id.is_empty() {
            // An administrator names the instance alone (KIP-345).
            let current = instance.and_then(|instance| self.static_member(instance));
            let current = current.ok_or(ResponseError::UnknownMemberId)?;
            self.expel(&current, reason);
            return Ok(());
        }
        if self.invited.remove(id).is_some() {
            return Ok(());
        }
        self.validate(id, instance)?;
        self.expel(id, reason);
        Ok(())
    }
}
