//! What the coordinator's log has of a group: it is all that a new coordinator knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::ResponseError;
use steadfast_core::tick::Tick;

use super::member::Member;
use super::{Group, GroupState};

/// The last generation that was complete (or empty).
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    generation: i32,
    protocol_type: Option<Arc<str>>,
    protocol: Option<Arc<str>>,
    leader: Option<Arc<str>>,
    members: BTreeMap<Arc<str>, Member>,
}

impl Group {
    /// Writes the generation down, as Kafka does when the leader has synced, when a static member was replaced, and
    /// when nobody is left. Of the subscriptions only the one of the chosen protocol is kept.
    pub(super) fn keep(&mut self) {
        let protocol = self.protocol.clone();
        let members = self.members.iter().map(|(id, member)| {
            let mut member = member.clone();
            member.protocols.retain(|(name, _)| Some(name) == protocol.as_ref());
            (
                Arc::clone(id),
                Member { new: false, joining: None, syncing: None, session_deadline: None, ..member },
            )
        });
        self.kept = Kept {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            members: members.collect(),
            leader: self.leader.clone(),
            protocol,
        };
    }

    /// The coordinator lost the group: all that is parked is answered, and only what was written down is left.
    /// Nothing is due until it is loaded.
    pub(crate) fn unload(&mut self) {
        let members = std::mem::take(&mut self.members);
        for (id, member) in members {
            if let Some(parked) = member.joining {
                self.refuse_join(parked, &id, ResponseError::NotCoordinator);
            }
            if let Some(parked) = member.syncing {
                self.refuse_sync(parked, ResponseError::NotCoordinator);
            }
        }
        let kept = self.kept.clone();
        self.generation = kept.generation;
        self.protocol_type = kept.protocol_type;
        self.protocol = kept.protocol;
        self.leader = kept.leader;
        self.members = kept.members;
        self.state = if self.members.is_empty() { GroupState::Empty } else { GroupState::Stable };
        self.previous = GroupState::Empty;
        self.invited.clear();
        self.unsynced.clear();
        self.newcomer = false;
        self.join_timer = None;
        self.sync_deadline = None;
    }

    /// A coordinator has read the group: every member has a whole session to show itself.
    pub(crate) fn load(&mut self, now: Tick) {
        for member in self.members.values_mut() {
            member.renew(now);
        }
    }
}
