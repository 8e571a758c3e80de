//! Members on their way between the protocols: a group becomes one of the other protocol without a stop (KIP-848).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use steadfast_core::tick::Tick;

use super::member::Member;
use super::{CONSUMER, Group, GroupSettings, GroupState};
use crate::notice::Notice;

/// A member of the classic protocol, as both kinds of groups know it.
#[derive(Debug, Clone)]
pub(crate) struct Moved {
    pub(crate) id: Arc<str>,
    pub(crate) instance: Option<Arc<str>>,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) protocols: Vec<(Arc<str>, Bytes)>,
    /// Its subscription.
    pub(crate) metadata: Bytes,
    pub(crate) assignment: Bytes,
}

impl Group {
    /// All members as a group of the consumer protocol takes them, with the generation that they are in. None if they
    /// are no consumers.
    pub(crate) fn moved(&self) -> Option<(i32, Vec<Moved>)> {
        if self.protocol_type.as_deref() != Some(CONSUMER) {
            return None;
        }
        let protocol = self.protocol.clone().or_else(|| self.vote())?;
        let moved = self.members.iter().map(|(id, member)| Moved {
            id: Arc::clone(id),
            instance: member.instance.clone(),
            client_id: Arc::clone(&member.client_id),
            client_host: Arc::clone(&member.client_host),
            session_timeout: member.session_timeout,
            rebalance_timeout: member.rebalance_timeout,
            protocols: member.protocols.clone(),
            metadata: member.metadata(&protocol),
            assignment: member.assignment.clone(),
        });
        Some((self.generation, moved.collect()))
    }

    /// Its members are in another group now: whoever waits in a round is told to join again.
    pub(crate) fn disband(&mut self) {
        for (id, member) in std::mem::take(&mut self.members) {
            if let Some(parked) = member.joining {
                self.refuse_join(parked, &id, ResponseError::RebalanceInProgress);
            }
            if let Some(parked) = member.syncing {
                self.refuse_sync(parked, ResponseError::RebalanceInProgress);
            }
        }
    }

    /// A stable group of these members, in this generation.
    pub(crate) fn of_moved(
        name: Arc<str>,
        settings: GroupSettings,
        generation: i32,
        moved: Vec<Moved>,
        now: Tick,
    ) -> Group {
        let mut group = Group::new(name, settings);
        for member in moved {
            let id = Arc::clone(&member.id);
            group.leader.get_or_insert_with(|| Arc::clone(&id));
            group.members.insert(id, Member::of_moved(member, now));
        }
        group.generation = generation;
        group.protocol_type = Some(CONSUMER.into());
        group.protocol = group.vote();
        group.transition(GroupState::Stable);
        group.keep();
        group
    }

    /// Begins a round: a member of the other protocol is gone, and nobody has its partitions.
    pub(crate) fn begin_round(&mut self, now: Tick) {
        self.prepare(now);
    }

    /// Tells with its own what happened in the group that it was before.
    pub(crate) fn hear(&mut self, notices: Vec<Notice>) {
        self.notices.extend(notices);
    }
}

impl Member {
    fn of_moved(moved: Moved, now: Tick) -> Member {
        let mut member = Member {
            instance: moved.instance,
            client_id: moved.client_id,
            client_host: moved.client_host,
            session_timeout: moved.session_timeout,
            rebalance_timeout: moved.rebalance_timeout,
            protocols: moved.protocols,
            assignment: moved.assignment,
            new: false,
            joining: None,
            syncing: None,
            session_deadline: None,
        };
        member.renew(now);
        member
    }
}
