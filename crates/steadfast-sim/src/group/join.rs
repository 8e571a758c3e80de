//! JoinGroup: who comes in, and under which id.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse, ResponseKind};
use steadfast_core::tick::Tick;

use super::member::{Member, Parked};
use super::{Group, GroupState, text};
use crate::call::Call;
use crate::notice::{Notice, Removal};

/// How long a new member may be parked: it cannot heartbeat, and a dead connection shows nowhere else.
const NEW_MEMBER_TIMEOUT: Duration = Duration::from_secs(300);
/// From this version on a dynamic member joins only with an id that it was given (KIP-394).
pub(crate) const MEMBER_ID_REQUIRED: i16 = 4;
/// From this version on the leader can be told to keep the assignment (KIP-814).
const SKIP_ASSIGNMENT: i16 = 9;
/// From this version on the protocol's name may be null.
const NULLABLE_PROTOCOL: i16 = 7;

/// A JoinGroup request, its texts owned.
struct Joining {
    parked: Parked,
    member: Arc<str>,
    instance: Option<Arc<str>>,
    client_id: Arc<str>,
    client_host: Arc<str>,
    protocol_type: Arc<str>,
    protocols: Vec<(Arc<str>, Bytes)>,
    session_timeout: Duration,
    rebalance_timeout: Duration,
}

impl Group {
    /// Takes a JoinGroup request. `serial` makes the member id that it may be given.
    pub(crate) fn join(&mut self, call: &Call, request: &JoinGroupRequest, serial: u64, now: Tick) {
        let joining = Joining::new(call, request);
        if !self.has_room(&joining.member) {
            self.remove(&joining.member, Removal::GroupFull);
            self.refuse_join(joining.parked, "", ResponseError::GroupMaxSizeReached);
        } else if !self.supports(&joining) {
            self.refuse_join(joining.parked, &joining.member, ResponseError::InconsistentGroupProtocol);
        } else if joining.member.is_empty() {
            self.join_without_id(joining, serial, now);
        } else if self.invited.contains_key(&joining.member) {
            self.join_invited(joining, now);
        } else {
            self.join_again(joining, now);
        }
    }

    fn has_room(&self, member: &str) -> bool {
        match self.state {
            GroupState::Empty | GroupState::Dead => true,
            GroupState::PreparingRebalance => {
                let waits = self.members.get(member).is_some_and(|member| member.joining.is_some());
                waits || self.awaiting_join() < self.settings.max_size
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.members.contains_key(member) || self.members.len() < self.settings.max_size
            }
        }
    }

    /// Whether it speaks one of the protocols that every member speaks.
    fn supports(&self, joining: &Joining) -> bool {
        if self.state == GroupState::Empty {
            return !joining.protocol_type.is_empty() && !joining.protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(&*joining.protocol_type)
            && joining
                .protocols
                .iter()
                .any(|(name, _)| self.members.values().all(|member| member.speaks(name)))
    }

    fn join_without_id(&mut self, joining: Joining, serial: u64, now: Tick) {
        let stem = joining.instance.as_deref().unwrap_or(&joining.client_id);
        let id: Arc<str> = format!("{stem}-00000000-0000-4000-8000-{serial:012x}").into();
        match joining.instance.as_deref().and_then(|instance| self.static_member(instance)) {
            Some(old) => self.replace_static(joining, old, id, now),
            None if joining.instance.is_none() && joining.parked.version >= MEMBER_ID_REQUIRED => {
                self.invited.insert(Arc::clone(&id), now + joining.session_timeout);
                self.refuse_join(joining.parked, &id, ResponseError::MemberIdRequired);
            }
            None => self.add(joining, id, now),
        }
    }

    fn join_invited(&mut self, joining: Joining, now: Tick) {
        if joining.instance.is_some() {
            // An id is invited only without an instance; Kafka fails on the contradiction.
            return self.refuse_join(joining.parked, &joining.member, ResponseError::UnknownServerError);
        }
        let id = Arc::clone(&joining.member);
        self.add(joining, id, now);
    }

    fn add(&mut self, joining: Joining, id: Arc<str>, now: Tick) {
        if self.state == GroupState::PreparingRebalance && self.previous == GroupState::Empty {
            self.newcomer = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(Arc::clone(&joining.protocol_type));
        }
        self.leader.get_or_insert_with(|| Arc::clone(&id));
        self.invited.remove(&id);
        self.members.insert(id, joining.into_member(now));
        self.prepare_or_complete(now);
    }

    /// A member that the group knows, or has forgotten, joins (again).
    fn join_again(&mut self, joining: Joining, now: Tick) {
        if let Err(error) = self.validate(&joining.member, joining.instance.as_deref()) {
            return self.refuse_join(joining.parked, &joining.member, error);
        }
        let same =
            self.members.get(&joining.member).is_some_and(|member| member.protocols == joining.protocols);
        match self.state {
            GroupState::PreparingRebalance => self.update(joining, now),
            // It may not have received the first answer.
            GroupState::CompletingRebalance if same => self.repeat_join(joining),
            // A leader that joins asks for a round: it may have seen partitions that its subscription does not tell of.
            GroupState::Stable if same && !self.is_leader(&joining.member) => self.repeat_join(joining),
            GroupState::CompletingRebalance | GroupState::Stable => self.update(joining, now),
            GroupState::Empty | GroupState::Dead => {
                self.refuse_join(joining.parked, &joining.member, ResponseError::UnknownMemberId);
            }
        }
    }

    fn update(&mut self, joining: Joining, now: Tick) {
        if let Some(member) = self.members.get_mut(&joining.member) {
            member.protocols = joining.protocols;
            member.session_timeout = joining.session_timeout;
            member.rebalance_timeout = joining.rebalance_timeout;
            // An earlier request that is parked still is never answered, in Kafka too: its client has given it up.
            member.joining = Some(joining.parked);
        }
        self.prepare_or_complete(now);
    }

    fn repeat_join(&mut self, joining: Joining) {
        let members = if self.is_leader(&joining.member) { self.listing() } else { Vec::new() };
        let answer = self.joined(&joining.member).with_members(members);
        self.answers.push((joining.parked.ticket, ResponseKind::JoinGroup(answer)));
    }

    /// A process came back under its instance id: it takes the old member's place (KIP-345).
    fn replace_static(&mut self, joining: Joining, old: Arc<str>, id: Arc<str>, now: Tick) {
        let Some(mut member) = self.members.remove(&old) else { return };
        self.fence(&old, &mut member);
        let old_leader = self.leader.clone();
        if self.is_leader(&old) {
            self.leader = Some(Arc::clone(&id));
        }
        let parked = joining.parked;
        member.protocols = joining.protocols;
        member.session_timeout = joining.session_timeout;
        member.rebalance_timeout = joining.rebalance_timeout;
        member.new = false;
        member.joining = Some(parked);
        member.renew(now);
        self.members.insert(Arc::clone(&id), member);
        let reason = Removal::Replaced(Arc::clone(&id));
        self.notices.push(Notice::MemberRemoved { group: Arc::clone(&self.name), member: old, reason });
        match self.state {
            GroupState::Stable if self.protocol == self.vote() => self.take_over(parked, &id, old_leader),
            // The old id may be on its way to the leader: the round begins anew.
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare(now),
            GroupState::PreparingRebalance | GroupState::Empty | GroupState::Dead => {
                self.complete_if_ready(now)
            }
        }
    }

    fn fence(&mut self, id: &str, member: &mut Member) {
        self.unsynced.remove(id);
        if let Some(parked) = member.joining.take() {
            self.refuse_join(parked, id, ResponseError::FencedInstanceId);
        }
        if let Some(parked) = member.syncing.take() {
            self.refuse_sync(parked, ResponseError::FencedInstanceId);
        }
    }

    /// The group goes on without a round: the new process gets the old one's assignment.
    fn take_over(&mut self, parked: Parked, id: &str, old_leader: Option<Arc<str>>) {
        if let Some(member) = self.members.get_mut(id) {
            member.joining = None;
        }
        let leads = self.is_leader(id);
        let answer = self.joined(id);
        let answer = match (parked.version >= SKIP_ASSIGNMENT, leads) {
            (true, true) => answer.with_members(self.listing()).with_skip_assignment(true),
            (true, false) => answer,
            // An older leader would compute a new assignment: it is told that the old id leads.
            (false, _) => answer.with_leader(text(old_leader.as_deref().unwrap_or_default())),
        };
        self.answers.push((parked.ticket, ResponseKind::JoinGroup(answer)));
        self.keep();
    }

    /// The answer to a member of this generation, without the others' subscriptions.
    pub(super) fn joined(&self, member: &str) -> JoinGroupResponse {
        JoinGroupResponse::default()
            .with_generation_id(self.generation)
            .with_protocol_type(self.protocol_type.as_deref().map(text))
            .with_protocol_name(self.protocol.as_deref().map(text))
            .with_leader(text(self.leader.as_deref().unwrap_or_default()))
            .with_member_id(text(member))
    }

    pub(super) fn refuse_join(&mut self, parked: Parked, member: &str, error: ResponseError) {
        self.answers.push((parked.ticket, ResponseKind::JoinGroup(refusal(parked.version, member, error))));
    }

    /// What the leader is told: every member with its subscription, untouched.
    pub(super) fn listing(&self) -> Vec<JoinGroupResponseMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        self.members
            .iter()
            .map(|(id, member)| {
                JoinGroupResponseMember::default()
                    .with_member_id(text(id))
                    .with_group_instance_id(member.instance.as_deref().map(text))
                    .with_metadata(member.metadata(protocol))
            })
            .collect()
    }
}

/// A JoinGroup answer that says no.
pub(crate) fn refusal(version: i16, member: &str, error: ResponseError) -> JoinGroupResponse {
    let name = (version < NULLABLE_PROTOCOL).then(|| text(""));
    JoinGroupResponse::default()
        .with_error_code(error.code())
        .with_generation_id(-1)
        .with_protocol_name(name)
        .with_member_id(text(member))
}

impl Joining {
    fn new(call: &Call, request: &JoinGroupRequest) -> Joining {
        let session_timeout = millis(request.session_timeout_ms);
        let mut seen = BTreeSet::new();
        let protocols = request.protocols.iter().filter(|protocol| seen.insert(protocol.name.as_str()));
        Joining {
            parked: Parked { ticket: call.ticket, version: call.version },
            member: request.member_id.as_str().into(),
            instance: request.group_instance_id.as_ref().map(|id| id.as_str().into()),
            client_id: Arc::clone(&call.client_id),
            client_host: Arc::clone(&call.client_host),
            protocol_type: request.protocol_type.as_str().into(),
            protocols: protocols.map(|it| (it.name.as_str().into(), it.metadata.clone())).collect(),
            session_timeout,
            // Version 0 has no timeout of its own for rounds.
            rebalance_timeout: if call.version == 0 {
                session_timeout
            } else {
                millis(request.rebalance_timeout_ms)
            },
        }
    }

    fn into_member(self, now: Tick) -> Member {
        Member {
            instance: self.instance,
            client_id: self.client_id,
            client_host: self.client_host,
            session_timeout: self.session_timeout,
            rebalance_timeout: self.rebalance_timeout,
            protocols: self.protocols,
            assignment: Bytes::new(),
            new: true,
            joining: Some(self.parked),
            syncing: None,
            session_deadline: Some(now + NEW_MEMBER_TIMEOUT),
        }
    }
}

/// At least one, so that no timer is due again at the moment it fires.
fn millis(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0).max(1))
}
