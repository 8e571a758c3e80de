//! Members of the classic protocol in a group of the consumer protocol: while a group is moved from one protocol to
//! the other, both kinds of members are in it. Each of their rounds is theirs alone: a join brings them a step
//! further, the sync tells what they have by now, and a heartbeat when to join again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse};
use steadfast_core::ids::Partition;
use steadfast_core::tick::Tick;

use super::member::{Member, Standing};
use super::{ConsumerGroup, Place};
use crate::call::Call;
use crate::group::blob::{self, Subscription};
use crate::group::{CONSUMER, MEMBER_ID_REQUIRED, text};
use crate::notice::{Notice, Removal};
use crate::topics::Topics;

/// What a member of the classic protocol has beside what all have.
#[derive(Debug, Clone)]
pub(super) struct Embedded {
    pub(super) session_timeout: Duration,
    /// What it can speak, the best first, each with its subscription as it came.
    pub(super) protocols: Vec<(Arc<str>, Bytes)>,
    /// Until when it has to join again, since it was told to.
    pub(super) join_deadline: Option<Tick>,
    /// Until when it has to ask for its assignment, since it joined.
    pub(super) sync_deadline: Option<Tick>,
}

impl Embedded {
    /// The protocol that it is told, and in which version its assignment is written.
    fn spoken(&self) -> (&str, i16) {
        let best = self.protocols.first();
        best.map_or(("", 0), |(name, blob)| (name, blob::subscription(blob).map_or(0, |it| it.version)))
    }
}

impl ConsumerGroup {
    /// Takes a JoinGroup request. `serial` makes the member id that it may be given. It is never parked.
    ///
    /// Errors: what it is refused with, and the member id that it is to join with, if that is why.
    pub(crate) fn join_embedded(
        &mut self,
        call: &Call,
        request: &JoinGroupRequest,
        topics: &Topics,
        serial: u64,
        now: Tick,
    ) -> Result<JoinGroupResponse, (ResponseError, Arc<str>)> {
        let known = request.member_id.as_str();
        let id: Arc<str> = if known.is_empty() {
            format!("00000000-0000-4000-8000-{serial:012x}").into()
        } else {
            known.into()
        };
        let refuse = |error| (error, Arc::from(known));
        self.has_room(&id).map_err(|refusal| refuse(refusal.error))?;
        let subscription = self.supported(request).ok_or(refuse(ResponseError::InconsistentGroupProtocol))?;
        let instance = request.group_instance_id.as_deref();
        if known.is_empty() && instance.is_none() && call.version >= MEMBER_ID_REQUIRED {
            return Err((ResponseError::MemberIdRequired, id));
        }
        let (replaced, before) = self.find_embedded(&id, instance, known.is_empty()).map_err(refuse)?;
        let mut member = before.clone();
        member.update_embedded(call, request, &subscription);
        let (session, sync) = (member.session(&self.settings), now + member.rebalance_timeout);
        if let Some(old) = replaced {
            self.replace(&old, &id);
        }
        self.members.insert(Arc::clone(&id), member);
        self.forget_patterns();
        self.follow_topics(before.topics != subscription.topics, topics);
        let owned = places(&subscription.owned, topics);
        self.reconcile(&id, Some(&owned), now);
        if let Some(member) = self.members.get_mut(&id) {
            member.session_deadline = Some(now + session);
            member.revoke_deadline = None;
            if let Some(embedded) = &mut member.classic {
                (embedded.join_deadline, embedded.sync_deadline) = (None, Some(sync));
            }
        }
        self.tell_held(&id, topics);
        Ok(self.joined(&id))
    }

    /// What the member subscribes to, if it speaks what all members of its protocol speak.
    fn supported(&self, request: &JoinGroupRequest) -> Option<Subscription> {
        let speaks =
            |name: &str, member: &Embedded| member.protocols.iter().any(|(other, _)| &**other == name);
        let mut classic = self.members.values().filter_map(|member| member.classic.as_ref());
        let shared =
            request.protocols.iter().any(|protocol| classic.clone().all(|it| speaks(&protocol.name, it)));
        let speakable = request.protocol_type.as_str() == CONSUMER && (shared || classic.next().is_none());
        let first = request.protocols.first().filter(|_| speakable)?;
        blob::subscription(&first.metadata)
    }

    fn find_embedded(
        &self,
        id: &Arc<str>,
        instance: Option<&str>,
        nameless: bool,
    ) -> Result<(Option<Arc<str>>, Member), ResponseError> {
        let Some(instance) = instance else {
            return Ok((None, self.members.get(id).cloned().unwrap_or_else(Member::new)));
        };
        let owner = self.static_member(instance);
        match owner.and_then(|owner| Some((self.members.get(&owner)?.clone(), owner))) {
            None if nameless => Ok((None, Member::new())),
            None => Err(ResponseError::UnknownMemberId),
            // Unlike a member of the consumer protocol, it need not wait until the other has left.
            Some((member, owner)) if nameless => {
                Ok((Some(owner), Member { epoch: 0, previous_epoch: 0, ..member }))
            }
            Some((_, owner)) if owner != *id => Err(ResponseError::FencedInstanceId),
            Some((member, _)) => Ok((None, member)),
        }
    }

    fn joined(&self, id: &Arc<str>) -> JoinGroupResponse {
        let member = self.members.get(id);
        let name = member.and_then(|member| member.classic.as_ref()).map_or("", |it| it.spoken().0);
        JoinGroupResponse::default()
            .with_member_id(text(id))
            .with_generation_id(member.map_or(-1, |member| member.epoch))
            .with_protocol_type(Some(text(CONSUMER)))
            .with_protocol_name(Some(text(name)))
    }

    /// Takes a SyncGroup request: what the member has by now.
    pub(crate) fn sync_embedded(
        &mut self,
        request: &SyncGroupRequest,
        topics: &Topics,
        now: Tick,
    ) -> Result<SyncGroupResponse, ResponseError> {
        let instance = request.group_instance_id.as_deref();
        let (epoch, settings) = (self.epoch, self.settings);
        let member = self.embedded(request.member_id.as_str(), instance, request.generation_id)?;
        let Some(embedded) = &mut member.classic else { return Err(ResponseError::UnknownMemberId) };
        let (name, version) = embedded.spoken();
        let differs = |asked: Option<&str>, known: &str| asked.is_some_and(|asked| asked != known);
        if differs(request.protocol_type.as_deref(), CONSUMER)
            || differs(request.protocol_name.as_deref(), name)
        {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        if epoch > member.epoch && member.standing != Standing::Unrevoked {
            embedded.join_deadline.get_or_insert(now + member.rebalance_timeout);
            return Err(ResponseError::RebalanceInProgress);
        }
        embedded.sync_deadline = None;
        let session = member.session(&settings);
        member.session_deadline = Some(now + session);
        let partitions = named(&member.assigned, topics);
        Ok(SyncGroupResponse::default()
            .with_protocol_type(request.protocol_type.clone())
            .with_protocol_name(request.protocol_name.clone())
            .with_assignment(blob::assignment(version, &partitions)))
    }

    /// Takes a heartbeat of the classic protocol. The member has to join again when the group went on, when it is to
    /// give something up, and when what it waits for has been given up by others.
    pub(crate) fn heartbeat_embedded(
        &mut self,
        id: &str,
        instance: Option<&str>,
        generation: i32,
        now: Tick,
    ) -> Result<(), ResponseError> {
        let (epoch, settings) = (self.epoch, self.settings);
        let waits = self.waits_for_others(id);
        let member = self.embedded(id, instance, generation)?;
        let session = member.session(&settings);
        member.session_deadline = Some(now + session);
        let again = member.epoch < epoch
            || member.standing == Standing::Unrevoked
            || member.standing == Standing::Unreleased && !waits;
        let timeout = member.rebalance_timeout;
        match &mut member.classic {
            Some(embedded) if again => {
                embedded.join_deadline.get_or_insert(now + timeout);
                Err(ResponseError::RebalanceInProgress)
            }
            _ => Ok(()),
        }
    }

    fn waits_for_others(&self, id: &str) -> bool {
        let (Some(member), Some(target)) = (self.members.get(id), self.target.get(id)) else { return false };
        let held: BTreeSet<Place> = self.members.values().flat_map(Member::holds).collect();
        target.difference(&member.assigned).any(|place| held.contains(place))
    }

    /// The member of the classic protocol in its generation.
    fn embedded(
        &mut self,
        id: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<&mut Member, ResponseError> {
        if let Some(instance) = instance {
            let owner = self.static_member(instance).ok_or(ResponseError::UnknownMemberId)?;
            if &*owner != id {
                return Err(ResponseError::FencedInstanceId);
            }
        }
        let member = self.members.get_mut(id).filter(|member| member.classic.is_some());
        let member = member.ok_or(ResponseError::UnknownMemberId)?;
        if generation == member.epoch { Ok(member) } else { Err(ResponseError::IllegalGeneration) }
    }

    /// Members of the classic protocol go. Gives each one's error.
    pub(crate) fn leave_embedded(&mut self, leavers: &[MemberIdentity]) -> Vec<Result<(), ResponseError>> {
        let before = self.epoch;
        let answers: Vec<_> = leavers.iter().map(|leaver| self.leave_one_embedded(leaver)).collect();
        // All together are one change.
        self.epoch = self.epoch.min(before + 1);
        answers
    }

    fn leave_one_embedded(&mut self, leaver: &MemberIdentity) -> Result<(), ResponseError> {
        let mut id: Arc<str> = leaver.member_id.as_str().into();
        if let Some(instance) = leaver.group_instance_id.as_deref() {
            let owner = self.static_member(instance).ok_or(ResponseError::UnknownMemberId)?;
            if !id.is_empty() && owner != id {
                return Err(ResponseError::FencedInstanceId);
            }
            id = owner;
        }
        if self.members.get(&id).is_none_or(|member| member.classic.is_none()) {
            return Err(ResponseError::UnknownMemberId);
        }
        self.fence(&id, Removal::Left(leaver.reason.as_deref().map(Arc::from)));
        Ok(())
    }

    /// Tells which partitions the member has by now, those that it is to give up too.
    pub(super) fn tell_held(&mut self, id: &Arc<str>, topics: &Topics) {
        let Some(member) = self.members.get(id) else { return };
        self.notices.push(Notice::Reconciled {
            group: Arc::clone(&self.name),
            member: Arc::clone(id),
            client: Arc::clone(&member.client_id),
            epoch: member.epoch,
            assigned: named(&member.assigned, topics),
            revoking: named(&member.revoking, topics),
        });
    }
}

impl Member {
    fn update_embedded(&mut self, call: &Call, request: &JoinGroupRequest, subscription: &Subscription) {
        let millis = |millis: i32| Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        self.client_id = Arc::clone(&call.client_id);
        self.client_host = Arc::clone(&call.client_host);
        self.instance = request.group_instance_id.as_deref().map(Arc::from).or(self.instance.take());
        self.rack = subscription.rack.clone().or(self.rack.take());
        self.topics = subscription.topics.clone();
        let session_timeout = millis(request.session_timeout_ms);
        // Version 0 has no timeout of its own for rounds.
        let of_round = if call.version == 0 { session_timeout } else { millis(request.rebalance_timeout_ms) };
        self.rebalance_timeout = of_round;
        let protocols = request.protocols.iter();
        self.classic = Some(Embedded {
            session_timeout,
            protocols: protocols.map(|it| (it.name.as_str().into(), it.metadata.clone())).collect(),
            join_deadline: None,
            sync_deadline: None,
        });
    }
}

/// The partitions of topics that exist, as the group names them.
pub(super) fn places(partitions: &BTreeSet<Partition>, topics: &Topics) -> BTreeSet<Place> {
    let place = |at: &Partition| Some((topics.by_name(&at.topic)?.id, at.index));
    partitions.iter().filter_map(place).collect()
}

/// The partitions of topics that exist, by name.
pub(super) fn named(places: &BTreeSet<Place>, topics: &Topics) -> BTreeSet<Partition> {
    let name = |(topic, index): &Place| Some(Partition::new(Arc::clone(topics.name(*topic)?), *index));
    places.iter().filter_map(name).collect()
}
