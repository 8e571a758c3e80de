//! Where partitions begin: what the group has stored for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use steadfast_core::group::account::Certainty;
use steadfast_core::group::standing::Membership;
use steadfast_core::group::{GroupProtocol, MemberId};
use steadfast_core::ids::{AssignmentEpoch, GroupGeneration, Offset, Partition};
use steadfast_core::progress::{Commit, Start, State};
use steadfast_kafka::api;

use super::{COMMIT_PATIENCE, Checkpointer, RESOLVE_AGAIN};
use crate::events::Event as Told;
use crate::messages::Suspect;

impl Checkpointer {
    /// Asks for the committed offsets of the partitions whose place is not known.
    pub(super) fn resolve(&mut self, ctx: &mut Context<Self>) {
        let unplaced = self.seat.table.awaiting_coordinator();
        if self.resolving || unplaced.is_empty() {
            return;
        }
        let membership = self.seat.membership.borrow().clone();
        let to = membership.as_ref().and_then(|membership| self.coordinator(membership));
        self.resolving = true;
        let (line, limit) = (self.line.clone(), self.seat.request_timeout.min(COMMIT_PATIENCE));
        let request = api::offset_fetch::OffsetFetch {
            group: Arc::clone(&self.seat.group),
            member: membership.and_then(asker),
            partitions: unplaced.keys().cloned().collect(),
        };
        let call = async move {
            match to {
                Some(to) => line.insist(&to, request, limit).await.map_err(|error| Some((error, to))),
                None => Err(None),
            }
        };
        let done = call.into_actor(self).map(move |answer, checkpointer, ctx| {
            checkpointer.resolving = false;
            match answer {
                Ok(answer) => checkpointer.place(answer, &unplaced),
                Err(failed) => {
                    if let Some((error, to)) = failed {
                        let (reason, evidence) = (error.to_string(), error.evidence());
                        let (node, address) = (Some(to.node), Some(to.address));
                        drop(checkpointer.seat.suspect.send(Suspect { reason, evidence, node, address }));
                    }
                }
            }
            if !checkpointer.seat.table.awaiting_coordinator().is_empty() {
                ctx.run_later(RESOLVE_AGAIN, Self::resolve);
            }
        });
        ctx.spawn(done);
    }

    /// Committed -1 means that nothing was ever committed; any error means to ask again, never to reset. What was
    /// asked for under an earlier assignment says nothing about this one.
    fn place(
        &self,
        answer: api::offset_fetch::OffsetFetchAnswer,
        asked: &BTreeMap<Partition, AssignmentEpoch>,
    ) {
        if !answer.error.is_ok() {
            return;
        }
        for (partition, found) in answer.partitions {
            let Some(assignment) = asked.get(&partition).copied() else { continue };
            match found {
                Ok(None) => self.seat.table.never_committed(&partition, assignment),
                Ok(Some(committed)) => self.start(&partition, assignment, &committed),
                Err(code) => tracing::debug!(%partition, %code, "the committed offset is asked for again"),
            }
        }
    }

    fn start(
        &self,
        partition: &Partition,
        assignment: AssignmentEpoch,
        found: &api::offset_commit::CommittedOffset,
    ) {
        let offset = found.offset;
        let (delivered, certainty) = match Delivered::read(&found.metadata) {
            Some(Delivered { end, released: true }) => (end, Certainty::Exact),
            Some(Delivered { end, released: false }) => (end, Certainty::AtLeast),
            None => (offset, Certainty::Unknown),
        };
        let start = Start {
            topic: self.seat.cluster.borrow().topic_id(&partition.topic),
            offset,
            leader_epoch: found.leader_epoch,
            committed: Some(offset),
            handed_again_below: delivered.max(offset),
        };
        let began = self.seat.table.update(partition, |progress| {
            progress.start(assignment, start).then(|| progress.handed_again_below())
        });
        if let Some(handed_again_below) = began {
            self.seat.accounts.placed(partition, handed_again_below.0 - offset.0, certainty);
            self.seat.events.emit(Told::PartitionStarted {
                place: partition.into(),
                offset,
                source: "committed",
                handed_again: handed_again_below.0 - offset.0,
            });
        }
    }
}

/// Members of the consumer protocol say who asks: whose epoch has passed is not told what was committed before.
fn asker(membership: Membership) -> Option<(MemberId, GroupGeneration)> {
    match membership.protocol {
        GroupProtocol::Classic => None,
        GroupProtocol::Consumer => Some((membership.member_id, membership.generation)),
    }
}

/// The metadata of a commit: the end of what was delivered, so that the next owner can tell what it was handed
/// again. Foreign members write what they like there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delivered {
    end: Offset,
    /// Nothing more was delivered after this commit: the partition was being given up.
    released: bool,
}

const MARK: &str = "steadfast:delivered=";
const RELEASED: &str = ";released";

impl Delivered {
    fn read(metadata: &str) -> Option<Delivered> {
        let rest = metadata.strip_prefix(MARK)?;
        let (end, released) = rest.strip_suffix(RELEASED).map_or((rest, false), |end| (end, true));
        Some(Delivered { end: end.parse().ok().map(Offset)?, released })
    }
}

impl std::fmt::Display for Delivered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{MARK}{}{}", self.end, if self.released { RELEASED } else { "" })
    }
}

impl Checkpointer {
    /// What a commit says of the delivery. While a partition drains nothing more is delivered.
    pub(super) fn delivered(&self, partition: &Partition, commit: &Commit) -> Delivered {
        let released = self.seat.table.read(partition, |progress| progress.state() == State::Draining);
        Delivered { end: commit.delivered, released: released == Some(true) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_delivered_is_read_as_it_was_written() {
        for released in [false, true] {
            let written = Delivered { end: Offset(42), released };
            assert_eq!(Delivered::read(&written.to_string()), Some(written));
        }
        for foreign in
            ["", "42", "steadfast:delivered=", "steadfast:delivered=x", "steadfast:delivered=;released"]
        {
            assert_eq!(Delivered::read(foreign), None);
        }
    }
}
