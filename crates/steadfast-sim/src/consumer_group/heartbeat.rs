//! ConsumerGroupHeartbeat: who comes in, who is fenced, and what a member is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use steadfast_core::ids::TopicId;
use steadfast_core::tick::Tick;
use uuid::Uuid;

use super::assign::ServerAssignor;
use super::member::{AWAY, Member, Target};
use super::subscribed::Repatterned;
use super::{ConsumerGroup, Place, Refusal};
use crate::call::Call;
use crate::group::text;
use crate::notice::{Notice, Removal};
use crate::topics::Topics;

/// The epoch of a member that joins.
const JOINING: i32 = 0;
/// From this version on members make their ids themselves.
const OWN_MEMBER_ID: i16 = 1;

/// Whether the request makes sense, whatever group it is for.
pub(crate) fn check(version: i16, request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refusal> {
    let expect = |holds: bool, words: &str| if holds { Ok(()) } else { Err(Refusal::invalid(words)) };
    let said = |text: &Option<kafka_protocol::protocol::StrBytes>| {
        text.as_ref().is_none_or(|text| !text.trim().is_empty())
    };
    let epoch = request.member_epoch;
    let needs_id = version >= OWN_MEMBER_ID || epoch != JOINING;
    expect(!needs_id || !request.member_id.trim().is_empty(), "expected a member id, found none")?;
    expect(!request.group_id.trim().is_empty(), "expected a group, found none")?;
    expect(said(&request.instance_id), "expected an instance id or null, found no letters")?;
    expect(said(&request.rack_id), "expected a rack or null, found no letters")?;
    if epoch == JOINING {
        let nothing = request.topic_partitions.as_ref().is_some_and(Vec::is_empty);
        let subscribes = request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some();
        expect(request.rebalance_timeout_ms != -1, "expected a rebalance timeout of who joins, found none")?;
        expect(nothing, "expected that who joins owns nothing, found partitions or null")?;
        expect(subscribes, "expected topics or a regular expression of who joins, found neither")?;
    }
    expect(epoch != AWAY || request.instance_id.is_some(), "expected an instance id of a static member")?;
    expect(epoch >= AWAY, "expected a member epoch of -2 or more")?;
    match request.server_assignor.as_deref() {
        Some(name) if ServerAssignor::named(name).is_none() => Err(Refusal {
            error: ResponseError::UnsupportedAssignor,
            message: format!("expected uniform or range, found {name}"),
        }),
        _ => Ok(()),
    }
}

impl ConsumerGroup {
    /// Takes a heartbeat that makes sense. `serial` makes the member id that it may be given.
    pub(crate) fn heartbeat(
        &mut self,
        call: &Call,
        request: &ConsumerGroupHeartbeatRequest,
        topics: &Topics,
        serial: u64,
        now: Tick,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        if request.member_epoch < JOINING {
            return self.leave(request);
        }
        let owned = request.topic_partitions.as_ref().map(|topics| owned(topics));
        let id: Arc<str> = match request.member_id.as_str() {
            "" => format!("00000000-0000-4000-8000-{serial:012x}").into(),
            id => id.into(),
        };
        self.has_room(&id)?;
        let (replaced, before) = self.find(&id, request, owned.as_ref())?;
        let mut member = before.clone();
        member.update(call, request);
        let (old, new) = (before.regex.as_deref(), member.regex.as_deref());
        let repatterned = self.repattern(old, new, now)?;
        let renamed = before.topics != member.topics;
        if let Some(old) = replaced {
            self.replace(&old, &id);
        }
        self.members.insert(Arc::clone(&id), member);
        self.forget_patterns();
        self.follow_topics(renamed || repatterned == Repatterned::Resolved, topics);
        self.refresh_patterns(topics, now);
        self.reconcile(&id, owned.as_ref(), now);
        let changed = self.members.get(&id).is_some_and(|member| member.assigned != before.assigned);
        if changed || self.members.get(&id).is_some_and(|member| member.epoch != before.epoch) {
            self.tell_held(&id, topics);
        }
        Ok(self.answer(&id, is_full(request) || changed))
    }

    pub(super) fn has_room(&self, member: &str) -> Result<(), Refusal> {
        if self.members.len() < self.settings.max_size || self.members.contains_key(member) {
            return Ok(());
        }
        let message = format!("expected at most {} members", self.settings.max_size);
        Err(Refusal { error: ResponseError::GroupMaxSizeReached, message })
    }

    /// The member as it is known, or a new one; and the id that it had before, if it comes back under another.
    fn find(
        &self,
        id: &Arc<str>,
        request: &ConsumerGroupHeartbeatRequest,
        owned: Option<&BTreeSet<Place>>,
    ) -> Result<(Option<Arc<str>>, Member), Refusal> {
        let epoch = request.member_epoch;
        let known = match request.instance_id.as_deref() {
            None => self.members.get(id),
            Some(instance) => match self.static_member(instance) {
                Some(owner) if epoch == JOINING => return self.come_back(id, instance, owner),
                None if epoch == JOINING => self.members.get(id),
                None => return Err(Refusal::unknown(instance)),
                Some(owner) if owner != *id => return Err(Refusal::fenced_instance(instance, &owner)),
                Some(owner) => self.members.get(&owner),
            },
        };
        match known {
            None if epoch == JOINING => Ok((None, Member::new())),
            None => Err(Refusal::unknown(id)),
            Some(member) => member.admit(epoch, owned).map(|()| (None, member.clone())),
        }
    }

    /// A static member comes back under an id of its new life: what it had is kept for it.
    fn come_back(
        &self,
        id: &Arc<str>,
        instance: &str,
        owner: Arc<str>,
    ) -> Result<(Option<Arc<str>>, Member), Refusal> {
        let Some(member) = self.members.get(&owner) else { return Err(Refusal::unknown(id)) };
        if member.epoch != AWAY && member.classic.is_none() {
            let message = format!("instance {instance} is member {owner}, which has not left");
            return Err(Refusal { error: ResponseError::UnreleasedInstanceId, message });
        }
        Ok((Some(owner), Member { epoch: 0, previous_epoch: 0, ..member.clone() }))
    }

    pub(super) fn replace(&mut self, old: &Arc<str>, id: &Arc<str>) {
        self.members.remove(old);
        if let Some(target) = self.target.remove(old) {
            self.target.insert(Arc::clone(id), target);
        }
        if old != id {
            let (group, member) = (Arc::clone(&self.name), Arc::clone(old));
            let reason = Removal::Replaced(Arc::clone(id));
            self.notices.push(Notice::MemberRemoved { group, member, reason });
        }
    }

    /// The group has another epoch, and a target for it, if what it reads is another.
    pub(super) fn follow_topics(&mut self, resubscribed: bool, topics: &Topics) {
        let found = self.look_up(topics);
        if resubscribed || found != self.subscribed || self.epoch == 0 {
            self.subscribed = found;
            self.epoch += 1;
        }
        if self.epoch > self.target_epoch {
            self.retarget();
        }
    }

    pub(super) fn reconcile(&mut self, id: &Arc<str>, owned: Option<&BTreeSet<Place>>, now: Tick) {
        let held: BTreeSet<Place> = self.members.values().flat_map(Member::holds).collect();
        let settings = self.settings;
        let nothing = BTreeSet::new();
        let places = self.target.get(id).unwrap_or(&nothing);
        let target = Target { epoch: self.target_epoch, places, held: &held };
        if let Some(member) = self.members.get_mut(id) {
            member.reconcile(&target, owned, now);
            member.session_deadline = Some(now + member.session(&settings));
        }
    }

    fn answer(&self, id: &str, in_full: bool) -> ConsumerGroupHeartbeatResponse {
        let member = self.members.get(id);
        let interval = i32::try_from(self.settings.heartbeat_interval.as_millis()).unwrap_or(i32::MAX);
        ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(text(id)))
            .with_member_epoch(member.map_or(0, |member| member.epoch))
            .with_heartbeat_interval_ms(interval)
            .with_assignment(member.filter(|_| in_full).map(|member| assignment(&member.assigned)))
    }
}

impl Member {
    /// Whether a member that says this epoch is the one that is known. The answer that told it a new epoch may have
    /// been lost: then it may say the one before, if it owns nothing that it may not.
    fn admit(&self, epoch: i32, owned: Option<&BTreeSet<Place>>) -> Result<(), Refusal> {
        // Who joins again owns nothing: that is always fine.
        let behind =
            epoch == self.previous_epoch && owned.is_some_and(|owned| owned.is_subset(&self.assigned));
        if epoch == JOINING || epoch == self.epoch || epoch < self.epoch && behind {
            Ok(())
        } else {
            Err(Refusal::fenced_epoch(epoch, self.epoch))
        }
    }

    /// Takes in what the request says; what it leaves out stays.
    fn update(&mut self, call: &Call, request: &ConsumerGroupHeartbeatRequest) {
        self.classic = None;
        self.client_id = Arc::clone(&call.client_id);
        self.client_host = Arc::clone(&call.client_host);
        let told = |text: &Option<kafka_protocol::protocol::StrBytes>| text.as_deref().map(Arc::from);
        self.instance = told(&request.instance_id).or(self.instance.take());
        self.rack = told(&request.rack_id).or(self.rack.take());
        self.assignor = told(&request.server_assignor).or(self.assignor.take());
        self.regex = told(&request.subscribed_topic_regex).or(self.regex.take());
        if let Ok(millis) = u64::try_from(request.rebalance_timeout_ms) {
            self.rebalance_timeout = Duration::from_millis(millis);
        }
        if let Some(names) = &request.subscribed_topic_names {
            self.topics = names.iter().map(|name| Arc::from(name.as_str())).collect();
        }
    }
}

/// Whether the member says all that it could: it is told its whole assignment then.
fn is_full(request: &ConsumerGroupHeartbeatRequest) -> bool {
    let subscribes = request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some();
    let says_all = request.rebalance_timeout_ms != -1 && subscribes && request.topic_partitions.is_some();
    request.member_epoch == JOINING || says_all
}

fn owned(
    topics: &[kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions],
) -> BTreeSet<Place> {
    let places = topics.iter().flat_map(|topic| {
        let id = TopicId(topic.topic_id.as_u128());
        topic.partitions.iter().map(move |index| (id, *index))
    });
    places.collect()
}

fn assignment(places: &BTreeSet<Place>) -> Assignment {
    let mut topics: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
    for (topic, index) in places {
        topics.entry(*topic).or_default().push(*index);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        TopicPartitions::default().with_topic_id(Uuid::from_u128(topic.0)).with_partitions(partitions)
    });
    Assignment::default().with_topic_partitions(topics.collect())
}
