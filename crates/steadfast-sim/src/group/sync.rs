//! SyncGroup: the leader's assignment on its way to the members.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ResponseKind, SyncGroupRequest, SyncGroupResponse};
use steadfast_core::ids::GroupGeneration;
use steadfast_core::tick::Tick;

use super::blob;
use super::member::Parked;
use super::{Group, GroupState, text};
use crate::call::Call;
use crate::notice::Notice;

impl Group {
    /// Takes a SyncGroup request.
    pub(crate) fn sync(&mut self, call: &Call, request: &SyncGroupRequest, now: Tick) {
        let parked = Parked { ticket: call.ticket, version: call.version };
        if let Err(error) = self.validate_sync(request) {
            return self.refuse_sync(parked, error);
        }
        let member = request.member_id.as_str();
        match self.state {
            GroupState::Empty | GroupState::Dead => self.refuse_sync(parked, ResponseError::UnknownMemberId),
            GroupState::PreparingRebalance => self.refuse_sync(parked, ResponseError::RebalanceInProgress),
            GroupState::CompletingRebalance => {
                self.note_sync(member);
                if let Some(member) = self.members.get_mut(member) {
                    member.syncing = Some(parked);
                }
                if self.is_leader(member) {
                    self.assign(request, now);
                }
            }
            GroupState::Stable => {
                self.note_sync(member);
                let assignment = self.members.get(member).map(|it| it.assignment.clone()).unwrap_or_default();
                let answer = self.synced(assignment);
                self.answers.push((parked.ticket, ResponseKind::SyncGroup(answer)));
            }
        }
    }

    fn validate_sync(&self, request: &SyncGroupRequest) -> Result<(), ResponseError> {
        let instance = request.group_instance_id.as_ref().map(|id| id.as_str());
        self.validate(request.member_id.as_str(), instance)?;
        if request.generation_id != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        let differs = |asked: &Option<_>, known: &Option<Arc<str>>| match (asked, known) {
            (Some(asked), Some(known)) => *asked != text(known),
            (None, _) | (_, None) => false,
        };
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol)
        {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn note_sync(&mut self, member: &str) {
        self.unsynced.remove(member);
        if self.unsynced.is_empty() {
            self.sync_deadline = None;
        }
    }

    /// The leader has spoken: who is not named gets nothing.
    fn assign(&mut self, request: &SyncGroupRequest, now: Tick) {
        let mut given: BTreeMap<&str, &Bytes> =
            request.assignments.iter().map(|it| (it.member_id.as_str(), &it.assignment)).collect();
        for (id, member) in &mut self.members {
            member.assignment = given.remove(&**id).cloned().unwrap_or_default();
            self.notices.push(Notice::AssignmentGiven {
                group: Arc::clone(&self.name),
                generation: GroupGeneration(self.generation),
                member: Arc::clone(id),
                partitions: blob::assigned(&member.assignment),
            });
        }
        self.propagate(None, now);
        self.transition(GroupState::Stable);
        self.keep();
    }

    /// Answers all that wait for an assignment. With an error the assignment is void.
    pub(super) fn propagate(&mut self, error: Option<ResponseError>, now: Tick) {
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            let Some(member) = self.members.get_mut(&id) else { continue };
            if error.is_some() {
                member.assignment = Bytes::new();
            }
            let Some(parked) = member.syncing.take() else { continue };
            member.renew(now);
            let assignment = member.assignment.clone();
            match error {
                Some(error) => self.refuse_sync(parked, error),
                None => {
                    let answer = self.synced(assignment);
                    self.answers.push((parked.ticket, ResponseKind::SyncGroup(answer)));
                }
            }
        }
    }

    fn synced(&self, assignment: Bytes) -> SyncGroupResponse {
        SyncGroupResponse::default()
            .with_protocol_type(self.protocol_type.as_deref().map(text))
            .with_protocol_name(self.protocol.as_deref().map(text))
            .with_assignment(assignment)
    }

    pub(super) fn refuse_sync(&mut self, parked: Parked, error: ResponseError) {
        let answer = SyncGroupResponse::default().with_error_code(error.code());
        self.answers.push((parked.ticket, ResponseKind::SyncGroup(answer)));
    }
}
