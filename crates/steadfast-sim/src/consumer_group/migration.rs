//! A group on its way between the protocols.

use std::collections::BTreeSet;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use steadfast_core::tick::Tick;

use super::embedded::{Embedded, named, places};
use super::member::Member;
use super::{ConsumerGroup, ConsumerGroupSettings, Place};
use crate::group::Moved;
use crate::group::blob;
use crate::topics::Topics;

impl ConsumerGroup {
    /// A group of these members of the classic protocol, in the epoch that their generation was: they have what they
    /// were given in it.
    ///
    /// Errors: GROUP_ID_NOT_FOUND if a subscription cannot be read, or an assignor of their own wrote more than
    /// partitions.
    pub(crate) fn of_moved(
        name: Arc<str>,
        settings: ConsumerGroupSettings,
        (generation, moved): (i32, Vec<Moved>),
        topics: &Topics,
        now: Tick,
    ) -> Result<ConsumerGroup, ResponseError> {
        let mut group = ConsumerGroup::new(name, settings);
        (group.epoch, group.target_epoch) = (generation, generation);
        for moved in moved {
            let subscription = blob::subscription(&moved.metadata).ok_or(ResponseError::GroupIdNotFound)?;
            let given = blob::plainly_assigned(&moved.assignment).ok_or(ResponseError::GroupIdNotFound)?;
            let assigned = places(&given, topics);
            group.target.insert(Arc::clone(&moved.id), assigned.clone());
            let member = Member {
                instance: moved.instance,
                rack: subscription.rack,
                client_id: moved.client_id,
                client_host: moved.client_host,
                rebalance_timeout: moved.rebalance_timeout,
                topics: subscription.topics,
                epoch: generation,
                previous_epoch: generation,
                assigned,
                session_deadline: Some(now + moved.session_timeout),
                classic: Some(Embedded {
                    session_timeout: moved.session_timeout,
                    protocols: moved.protocols,
                    join_deadline: None,
                    sync_deadline: None,
                }),
                ..Member::new()
            };
            group.members.insert(Arc::clone(&moved.id), member);
            group.tell_held(&moved.id, topics);
        }
        group.subscribed = group.look_up(topics);
        Ok(group)
    }

    /// Whether nobody is left of the consumer protocol: the group is to be one of the classic protocol again.
    pub(crate) fn is_classic(&self) -> bool {
        !self.members.is_empty() && self.members.values().all(|member| member.classic.is_some())
    }

    /// Whether it is because the last one left, or was fenced: its partitions are nobody's.
    pub(crate) fn lost_its_last(&self) -> bool {
        self.bereft
    }

    /// Its epoch and its members, as a group of the classic protocol takes them. That the last one left is no epoch
    /// of its own: it is the round that follows.
    pub(crate) fn give_up(&self, topics: &Topics) -> (i32, Vec<Moved>) {
        let moved = self.members.iter().filter_map(|(id, member)| {
            let embedded = member.classic.as_ref()?;
            let metadata =
                embedded.protocols.first().map(|(_, metadata)| metadata.clone()).unwrap_or_default();
            let version = blob::subscription(&metadata).map_or(0, |subscription| subscription.version);
            let nothing: BTreeSet<Place> = BTreeSet::new();
            let target = named(self.target.get(id).unwrap_or(&nothing), topics);
            Some(Moved {
                id: Arc::clone(id),
                instance: member.instance.clone(),
                client_id: Arc::clone(&member.client_id),
                client_host: Arc::clone(&member.client_host),
                session_timeout: embedded.session_timeout,
                rebalance_timeout: member.rebalance_timeout,
                protocols: embedded.protocols.clone(),
                metadata,
                assignment: blob::assignment(version, &target),
            })
        });
        (self.epoch - i32::from(self.bereft), moved.collect())
    }
}
