//! A group with its members, whichever protocol it speaks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use steadfast_core::ids::Partition;
use steadfast_kafka::api::ErrorCode;
use steadfast_kafka::api::consumer_group_describe::{
    ConsumerGroup, ConsumerGroupDescribe, ConsumerGroupDescribeAnswer, ConsumerMember,
};
use steadfast_kafka::api::describe_groups::{
    ClassicGroup, ClassicMember, DescribeGroups, DescribeGroupsAnswer,
};
use steadfast_kafka::blobs::{read_assignment, read_subscription};

use super::asker::{Asker, Coordinator, Failure};

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Group {
    pub(super) group: Arc<str>,
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    /// By Kafka's name.
    pub(super) state: Arc<str>,
    pub(super) coordinator: Coordinator,
    /// What its members are, if not consumers (Kafka Connect's workers form groups too).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) protocol_type: Option<Arc<str>>,
    /// Who assigns: of a classic group what its leader chose, else the broker's.
    pub(super) assignor: Option<Arc<str>>,
    /// Of a consumer group: counts changes of members, subscriptions and partitions.
    pub(super) epoch: Option<i32>,
    /// Of a consumer group: up to which epoch it is decided who gets what.
    pub(super) assignment_epoch: Option<i32>,
    pub(super) members: Vec<Member>,
}

/// Which protocol a group speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Classic,
    /// KIP-848.
    Consumer,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Member {
    pub(super) member: Arc<str>,
    pub(super) instance: Option<Arc<str>>,
    pub(super) client: Arc<str>,
    pub(super) host: Arc<str>,
    pub(super) rack: Option<Arc<str>>,
    /// Of a consumer group: the epoch that it has come to.
    pub(super) epoch: Option<i32>,
    /// Of a consumer group: whether it speaks the classic protocol itself (KIP-848's migration).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) classic: Option<bool>,
    pub(super) topics: BTreeSet<Arc<str>>,
    /// The regular expression that the broker resolves for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pattern: Option<Arc<str>>,
    /// The partitions that it holds, by topic.
    pub(super) assigned: ByTopic,
    /// Of a consumer group: what it shall hold, if that is something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target: Option<ByTopic>,
    /// What of it cannot be read, and why: it wrote that itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) unreadable: Vec<String>,
}

/// Partitions, as they are printed.
pub(super) type ByTopic = BTreeMap<Arc<str>, Vec<i32>>;

pub(super) fn by_topic<'a>(partitions: impl IntoIterator<Item = &'a Partition>) -> ByTopic {
    let mut topics = ByTopic::new();
    for partition in partitions {
        topics.entry(Arc::clone(&partition.topic)).or_default().push(partition.index);
    }
    topics
}

/// What a broker calls a group that is not there.
const DEAD: &str = "Dead";
/// What members of a group are that consume.
const CONSUMER: &str = "consumer";

impl Group {
    /// Whether nobody is in it, so that its offsets may be changed.
    pub(super) fn is_inactive(&self) -> bool {
        matches!(&*self.state, "Empty" | DEAD)
    }

    /// Who holds each partition.
    pub(super) fn holders(&self) -> BTreeMap<Partition, &Member> {
        let held = |member: &'_ Member| -> Vec<Partition> {
            let of = |(topic, indexes): (&Arc<str>, &Vec<i32>)| {
                indexes.iter().map(|index| Partition::new(Arc::clone(topic), *index)).collect::<Vec<_>>()
            };
            member.assigned.iter().flat_map(of).collect()
        };
        let members = self.members.iter();
        members.flat_map(|member| held(member).into_iter().map(move |one| (one, member))).collect()
    }
}

/// The group, or that there is none.
pub(super) async fn described(asker: &mut Asker, group: &Arc<str>) -> Result<Group, Failure> {
    let found = find(asker, group).await?;
    let none = || {
        Failure::Found(format!(
            "there is no group {group} of consumers: `steadfast groups list` shows all groups"
        ))
    };
    found.filter(|found| &*found.state != DEAD).ok_or_else(none)
}

/// The group; none if the coordinator knows none of this name.
pub(super) async fn find(asker: &mut Asker, group: &Arc<str>) -> Result<Option<Group>, Failure> {
    if let Some(found) = find_consumer(asker, group).await? {
        return Ok(Some(found));
    }
    let question = DescribeGroups { group: Arc::clone(group) };
    let error = |answer: &DescribeGroupsAnswer| code(&answer.group);
    let answer = asker.ask_coordinator(group, question, error).await?;
    let (coordinator, _) = asker.coordinator(group).await?;
    match answer.group {
        Ok(found) => Ok(Some(classic(group, coordinator, found))),
        Err(ErrorCode::GROUP_ID_NOT_FOUND) => Ok(None),
        Err(code) => Err(Failure::code(format!("group {group}"), code)),
    }
}

fn code<T>(found: &Result<T, ErrorCode>) -> ErrorCode {
    found.as_ref().err().copied().unwrap_or(ErrorCode::NONE)
}

/// A group of the consumer protocol; none if there is no such one, or the broker does not know the protocol.
async fn find_consumer(asker: &mut Asker, group: &Arc<str>) -> Result<Option<Group>, Failure> {
    let question = ConsumerGroupDescribe { group: Arc::clone(group) };
    let error = |answer: &ConsumerGroupDescribeAnswer| code(&answer.group);
    let answer = match asker.ask_coordinator(group, question, error).await {
        Ok(answer) => answer,
        Err(Failure::Unspoken(_)) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    match answer.group {
        Ok(found) => Ok(Some(consumer(group, asker.coordinator(group).await?.0, found))),
        // Also the answer for a classic group, and of a broker on which the protocol is switched off.
        Err(ErrorCode::GROUP_ID_NOT_FOUND | ErrorCode::UNSUPPORTED_VERSION) => Ok(None),
        Err(code) => Err(Failure::code(format!("group {group}"), code)),
    }
}

fn some(text: Arc<str>) -> Option<Arc<str>> {
    Some(text).filter(|text| !text.is_empty())
}

/// `/10.0.0.7` as brokers write it, without the stroke.
fn host(text: &Arc<str>) -> Arc<str> {
    text.strip_prefix('/').map_or_else(|| Arc::clone(text), Arc::from)
}

fn classic(name: &Arc<str>, coordinator: Coordinator, found: ClassicGroup) -> Group {
    let ClassicGroup { state, protocol_type, protocol, members } = found;
    let consumes = protocol_type.is_empty() || &*protocol_type == CONSUMER;
    let members = members.into_iter().map(|member| classic_member(&protocol, consumes, member));
    Group {
        group: Arc::clone(name),
        kind: Kind::Classic,
        state,
        coordinator,
        members: members.collect(),
        protocol_type: (!consumes).then_some(protocol_type),
        assignor: some(protocol),
        epoch: None,
        assignment_epoch: None,
    }
}

/// What members of other kinds of groups write is not read.
fn classic_member(assignor: &str, consumes: bool, found: ClassicMember) -> Member {
    let mut unreadable = Vec::new();
    let mut member = Member {
        member: found.member,
        instance: found.instance,
        client: found.client,
        host: host(&found.host),
        rack: None,
        epoch: None,
        classic: None,
        topics: BTreeSet::new(),
        pattern: None,
        assigned: ByTopic::new(),
        target: None,
        unreadable: Vec::new(),
    };
    if consumes && !found.metadata.is_empty() {
        match read_subscription(assignor, &found.metadata) {
            Ok(subscription) => {
                member.topics = subscription.topics;
                member.rack = subscription.rack.map(Arc::from);
            }
            Err(error) => unreadable.push(format!("subscription: {error}")),
        }
    }
    if consumes {
        match read_assignment(&found.assignment) {
            Ok(assignment) => member.assigned = by_topic(&assignment.partitions),
            Err(error) => unreadable.push(format!("assignment: {error}")),
        }
    }
    Member { unreadable, ..member }
}

fn consumer(name: &Arc<str>, coordinator: Coordinator, found: ConsumerGroup) -> Group {
    Group {
        group: Arc::clone(name),
        kind: Kind::Consumer,
        state: found.state,
        coordinator,
        protocol_type: None,
        assignor: some(found.assignor),
        epoch: Some(found.epoch),
        assignment_epoch: Some(found.assignment_epoch),
        members: found.members.into_iter().map(consumer_member).collect(),
    }
}

fn consumer_member(found: ConsumerMember) -> Member {
    let moves = found.assigned != found.target;
    Member {
        member: found.member,
        instance: found.instance,
        client: found.client,
        host: host(&found.host),
        rack: found.rack,
        epoch: Some(found.epoch),
        classic: found.classic,
        topics: found.topics.into_iter().collect(),
        pattern: found.pattern,
        assigned: by_topic(&found.assigned),
        target: moves.then(|| by_topic(&found.target)),
        unreadable: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use steadfast_core::endpoints::view::Address;
    use steadfast_core::group::subscription::Assignment;
    use steadfast_core::ids::NodeId;
    use steadfast_kafka::blobs::write_assignment;

    use super::*;

    fn coordinator() -> Coordinator {
        Coordinator { broker: NodeId(1), address: Address::new("k", 1) }
    }

    fn member(metadata: &'static [u8], assignment: Bytes) -> ClassicMember {
        ClassicMember {
            member: "m".into(),
            instance: None,
            client: "c".into(),
            host: "/10.0.0.7".into(),
            metadata: Bytes::from_static(metadata),
            assignment,
        }
    }

    fn group(protocol_type: &str, member: ClassicMember) -> Group {
        let found = ClassicGroup {
            state: "Stable".into(),
            protocol_type: protocol_type.into(),
            protocol: "range".into(),
            members: vec![member],
        };
        classic(&"g".into(), coordinator(), found)
    }

    #[test]
    fn what_one_member_wrote_that_cannot_be_read_costs_only_that() {
        let partitions = [Partition::new("orders", 1), Partition::new("orders", 0)].into();
        let assigned = write_assignment(&Assignment { partitions, user_data: Vec::new() }).unwrap();
        let group = group("consumer", member(&[0, 1, 127, 255], assigned));
        let [member] = &group.members[..] else { panic!("{group:?}") };
        assert_eq!(member.assigned, ByTopic::from([("orders".into(), vec![0, 1])]));
        assert!(member.unreadable[0].starts_with("subscription: expected"), "{member:?}");
        assert_eq!(&*member.host, "10.0.0.7");
        assert_eq!(group.holders().len(), 2);
    }

    #[test]
    fn members_that_do_not_consume_are_shown_without_what_they_wrote() {
        let group = group("connect", member(&[9, 9], Bytes::from_static(&[9])));
        assert_eq!(group.protocol_type.as_deref(), Some("connect"));
        assert_eq!((group.members[0].unreadable.len(), group.holders().len()), (0, 0));
    }

    #[test]
    fn a_target_is_shown_while_it_is_something_else() {
        let found = |assigned: &[i32], target: &[i32]| {
            let partitions = |of: &[i32]| of.iter().map(|index| Partition::new("t", *index)).collect();
            consumer_member(ConsumerMember {
                member: "m".into(),
                instance: None,
                rack: None,
                epoch: 3,
                client: "c".into(),
                host: "/::1".into(),
                topics: Vec::new(),
                pattern: Some("^t".into()),
                assigned: partitions(assigned),
                target: partitions(target),
                classic: None,
            })
        };
        assert_eq!(found(&[1], &[1]).target, None);
        assert_eq!(found(&[1], &[]).target, Some(ByTopic::new()));
    }
}
