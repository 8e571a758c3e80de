//! A group as it is, for whoever plans with it: what members want and hold, and what there is of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;
use steadfast_core::group::MemberId;
use steadfast_core::group::assign::{Assignments, Candidate, PartitionCounts};
use steadfast_core::group::subscription::Subscription;
use steadfast_core::ids::Partition;
use steadfast_kafka::api::ErrorCode;

use super::asker::{Asker, Failure};
use super::described::{Group, Kind, Member, described};
use crate::config::Config;

/// Which group it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Name {
    pub(in crate::cli) group: Arc<str>,
    #[serde(rename = "type")]
    pub(in crate::cli) kind: Kind,
    /// By Kafka's name.
    pub(in crate::cli) state: Arc<str>,
    /// What assigns now.
    pub(in crate::cli) assignor: Option<Arc<str>>,
}

/// A group, where nothing is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Snapshot {
    pub(in crate::cli) name: Name,
    pub(in crate::cli) members: Vec<Candidate>,
    /// What each holds, or is about to hold.
    pub(in crate::cli) held: Assignments,
    /// The partitions of the topics that they want.
    pub(in crate::cli) topics: PartitionCounts,
}

/// The group as it is.
pub(in crate::cli) async fn snapshot(config: Arc<Config>, group: &Arc<str>) -> Result<Snapshot, Failure> {
    let mut asker = Asker::reach(config).await?;
    let found = ready(described(&mut asker, group).await?)?;
    let members: Vec<Candidate> = found.members.iter().map(candidate).collect();
    let wanted: BTreeSet<Arc<str>> =
        members.iter().flat_map(|member| &member.subscription.topics).cloned().collect();
    let topics = counts(&asker, wanted).await?;
    let held = found.members.iter().map(|member| (MemberId(Arc::clone(&member.member)), held(member)));
    let held = held.collect();
    let Group { group, kind, state, assignor, .. } = found;
    Ok(Snapshot { name: Name { group, kind, state, assignor }, members, held, topics })
}

/// What a classic group's members hold is known between its rounds only.
fn ready(found: Group) -> Result<Group, Failure> {
    let why = match (&found.protocol_type, found.kind, &*found.state) {
        (Some(of), _, _) => format!("is of {of} members, not of consumers"),
        _ if found.members.is_empty() => "has no members: --members and --topic plan without them".to_owned(),
        (None, Kind::Consumer, _) | (None, Kind::Classic, "Stable") => return Ok(found),
        (None, Kind::Classic, state) => format!("is in the middle of a round ({state}): ask again"),
    };
    Err(Failure::Found(format!("group {} {why}", found.group)))
}

/// What a pattern stands for, or a subscription that cannot be read, is known by what its member holds.
fn candidate(member: &Member) -> Candidate {
    let mut topics = member.topics.clone();
    if topics.is_empty() || member.pattern.is_some() {
        topics.extend(held(member).into_iter().map(|partition| partition.topic));
    }
    Candidate {
        id: MemberId(Arc::clone(&member.member)),
        instance: member.instance.clone(),
        subscription: Subscription { topics, ..Subscription::default() },
    }
}

fn held(member: &Member) -> BTreeSet<Partition> {
    let held = member.target.as_ref().unwrap_or(&member.assigned);
    let of_topic = |(topic, indexes): (&Arc<str>, &Vec<i32>)| {
        indexes.iter().map(|index| Partition::new(Arc::clone(topic), *index)).collect::<Vec<_>>()
    };
    held.iter().flat_map(of_topic).collect()
}

/// How many partitions each topic has; those that are not there are left out.
async fn counts(asker: &Asker, wanted: BTreeSet<Arc<str>>) -> Result<PartitionCounts, Failure> {
    let mut counts = PartitionCounts::new();
    if wanted.is_empty() {
        return Ok(counts);
    }
    for topic in asker.topics(wanted).await? {
        match topic.error {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {}
            ErrorCode::NONE => {
                let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
                counts.insert(topic.name, count);
            }
            code => return Err(Failure::code(format!("topic {}", topic.name), code)),
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use steadfast_core::endpoints::view::Address;
    use steadfast_core::ids::NodeId;

    use super::super::asker::Coordinator;
    use super::super::described::ByTopic;
    use super::*;

    fn member(topics: &[&str], pattern: Option<&str>, assigned: &[i32], target: Option<&[i32]>) -> Member {
        let of = |indexes: &[i32]| ByTopic::from([("orders".into(), indexes.to_vec())]);
        Member {
            member: "m".into(),
            instance: Some("m-1".into()),
            client: "c".into(),
            host: "h".into(),
            rack: None,
            epoch: None,
            classic: None,
            topics: topics.iter().map(|topic| Arc::from(*topic)).collect(),
            pattern: pattern.map(Arc::from),
            assigned: of(assigned),
            target: target.map(of),
            unreadable: Vec::new(),
        }
    }

    fn group(kind: Kind, state: &str, members: Vec<Member>) -> Group {
        Group {
            group: "g".into(),
            kind,
            state: state.into(),
            coordinator: Coordinator { broker: NodeId(1), address: Address::new("k", 1) },
            protocol_type: None,
            assignor: None,
            epoch: None,
            assignment_epoch: None,
            members,
        }
    }

    #[test]
    fn a_pattern_stands_for_what_its_member_holds_and_what_it_shall_hold_counts() {
        let moving = member(&[], Some("^o"), &[0], Some(&[1, 2]));
        assert_eq!(candidate(&moving).subscription.topics, BTreeSet::from(["orders".into()]));
        assert_eq!(held(&moving).iter().map(|partition| partition.index).collect::<Vec<_>>(), [1, 2]);
        let named = member(&["payments"], None, &[0], None);
        assert_eq!(candidate(&named).subscription.topics, BTreeSet::from(["payments".into()]));
        assert_eq!(candidate(&named).instance, Some("m-1".into()));
    }

    #[test]
    fn a_group_that_cannot_be_planned_with_says_why() {
        let one = || vec![member(&["orders"], None, &[0], None)];
        let why = |group| ready(group).unwrap_err().to_string();
        assert!(
            why(group(Kind::Classic, "CompletingRebalance", one()))
                .contains("(CompletingRebalance): ask again")
        );
        assert!(why(group(Kind::Classic, "Empty", Vec::new())).contains("group g has no members: --members"));
        let workers =
            Group { protocol_type: Some("connect".into()), ..group(Kind::Classic, "Stable", one()) };
        assert!(why(workers).contains("of connect members"));
        assert!(ready(group(Kind::Classic, "Stable", one())).is_ok());
        assert!(ready(group(Kind::Consumer, "Reconciling", one())).is_ok());
    }
}
