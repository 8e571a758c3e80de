//! Groups that become ones of the other protocol while they have members, as Kafka's default allows
//! (`group.consumer.migration.policy=bidirectional`, KIP-848).

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use steadfast_core::tick::Tick;

use super::{Hosted, Kind, publish};
use crate::call::Call;
use crate::cluster::Cluster;
use crate::consumer_group::{ConsumerGroup, Refusal};
use crate::group::{Group, GroupSettings};
use crate::topics::Topics;

/// Takes a heartbeat of a member of the consumer protocol. Who joins makes the group if there is none, and makes it one
/// of its protocol if it is of the other.
pub(crate) fn heartbeat(
    cluster: &mut Cluster,
    call: &Call,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
    let name = request.group_id.as_str();
    if request.member_epoch == 0 {
        upgrade(cluster, name)?;
    }
    let serial = cluster.groups.next_serial();
    let answer = act_on_consumers(cluster, name, |group, topics, now| {
        group.heartbeat(call, request, topics, serial, now)
    });
    answer.unwrap_or_else(|| {
        let message = match cluster.groups.get(name) {
            Some(_) => format!("Group {name} is not a consumer group."),
            None => format!("Group {name} not found."),
        };
        Err(Refusal { error: ResponseError::GroupIdNotFound, message })
    })
}

/// Lets a group of the consumer protocol act, then tells what came of it; none if there is no such group.
pub(crate) fn act_on_consumers<R>(
    cluster: &mut Cluster,
    name: &str,
    act: impl FnOnce(&mut ConsumerGroup, &Topics, Tick) -> R,
) -> Option<R> {
    let now = cluster.now();
    let Cluster { groups, topics, .. } = cluster;
    let settings = groups.settings;
    let hosted = groups.get_mut(name)?;
    let Kind::Consumer(group) = &mut hosted.kind else { return None };
    let result = act(group, topics, now);
    publish(cluster);
    let Cluster { groups, topics, .. } = cluster;
    if let Some(hosted) = groups.get_mut(name) {
        downgrade_if_due(&name.into(), hosted, settings, topics, now);
    }
    publish(cluster);
    Some(result)
}

fn upgrade(cluster: &mut Cluster, name: &str) -> Result<(), Refusal> {
    let (now, settings) = (cluster.now(), cluster.groups.settings);
    let Cluster { groups, topics, .. } = cluster;
    let hosted = groups.for_consumer(name);
    let Kind::Classic(group) = &mut hosted.kind else { return Ok(()) };
    let Some((generation, moved)) = group.moved() else {
        let message = format!("Group {name} is not a consumer group.");
        return Err(Refusal { error: ResponseError::GroupIdNotFound, message });
    };
    let consumers =
        ConsumerGroup::of_moved(name.into(), settings.consumer, (generation, moved), topics, now)?;
    group.disband();
    publish(cluster);
    if let Some(hosted) = cluster.groups.get_mut(name) {
        hosted.kind = Kind::Consumer(consumers);
    }
    Ok(())
}

/// A group in which nobody of the consumer protocol is left is one of the classic protocol again. Its members hear of a
/// round, since the partitions of whoever left are nobody's.
pub(super) fn downgrade_if_due(
    name: &Arc<str>,
    hosted: &mut Hosted,
    settings: GroupSettings,
    topics: &Topics,
    now: Tick,
) {
    let Kind::Consumer(consumers) = &mut hosted.kind else { return };
    if !consumers.is_classic() {
        return;
    }
    let (epoch, moved) = consumers.give_up(topics);
    let mut group = Group::of_moved(Arc::clone(name), settings, epoch, moved, now);
    group.hear(consumers.take_notices());
    if consumers.lost_its_last() {
        group.begin_round(now);
    }
    hosted.kind = Kind::Classic(group);
}
