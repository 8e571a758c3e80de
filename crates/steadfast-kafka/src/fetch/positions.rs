//! What a loop asks its leader about positions: where to begin, and what became of one that is gone.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast_core::ids::{LeaderEpoch, Offset, Partition};
use steadfast_core::progress::Position;

use super::intake::{Intake, NamedLeader, Note};
use super::leader::LeaderLoop;
use super::request::Ask;
use super::session::{LONG_REST, Leave, REST, Session};
use crate::api::fetch::EpochEnd;
use crate::api::list_offsets::{ListOffsets, ListedOffset, LogEnd, OffsetAsked};
use crate::api::offset_for_leader_epoch::{EpochAsked, OffsetForLeaderEpoch};
use crate::api::{Api, ErrorCode};

/// Why the leader's word about a partition is not known.
enum Unknown {
    Left(Leave),
    Refused(ErrorCode),
    /// The answer leaves the partition out.
    Unsaid,
}

impl From<Leave> for Unknown {
    fn from(leave: Leave) -> Unknown {
        Unknown::Left(leave)
    }
}

impl<I: Intake> LeaderLoop<I> {
    /// Asks for the ends of the log of partitions for which nothing was ever committed.
    pub(super) async fn place(
        &self,
        session: &mut Session,
        unplaced: BTreeMap<Partition, OffsetAsked>,
    ) -> Result<(), Leave> {
        let mut listed = self.listed(session, unplaced.clone()).await?;
        for (partition, asked) in unplaced {
            match listed.remove(&partition) {
                Some(Ok(found)) => {
                    self.intake.placed(&partition, asked.at, found.offset, found.leader_epoch);
                }
                Some(Err(code)) => self.refused(session, partition, code, None),
                None => session.rest(&partition, LONG_REST),
            }
        }
        Ok(())
    }

    /// Asks a leader that would not tell by a fetch whether its log has what came before these positions (KIP-320): a
    /// broker older than 2.7. Where it has not, the position is to be examined.
    pub(super) async fn prove(&self, session: &mut Session, asks: Vec<Ask>) -> Result<(), Leave> {
        let asked = |Ask { partition, leader_epoch, from }: &Ask| {
            (partition.clone(), EpochAsked { current_leader: *leader_epoch, epoch: from.leader_epoch })
        };
        let partitions = asks.iter().map(asked).collect();
        let mut ends = self.call(session, OffsetForLeaderEpoch { partitions }).await?.partitions;
        for Ask { partition, leader_epoch, from } in asks {
            match ends.remove(&partition) {
                // It may know nothing of the epoch at all.
                Some(Ok(end)) if end.is_none() || parted(end, from).is_some() => {
                    session.kept.doubtful.insert(partition, from);
                }
                Some(Ok(_)) => {
                    session.kept.proven.insert(partition, leader_epoch);
                }
                Some(Err(code)) => self.refused(session, partition, code, None),
                None => session.rest(&partition, LONG_REST),
            }
        }
        Ok(())
    }

    /// The leader does not have the position: asks it what it has instead.
    pub(super) async fn examine(
        &self,
        session: &mut Session,
        partition: Partition,
        position: Position,
    ) -> Result<(), Leave> {
        let Some(leader_epoch) = self.led.borrow().get(&partition).copied() else { return Ok(()) };
        let findings = self.findings(session, &partition, leader_epoch, position).await;
        if let Err(Unknown::Refused(code)) = findings {
            self.refused(session, partition, code, None);
            return Ok(());
        }
        session.rest_at(&partition, position, LONG_REST);
        match findings {
            Ok(note) => self.intake.note(note),
            Err(Unknown::Refused(_) | Unknown::Unsaid) => {}
            Err(Unknown::Left(leave)) => return Err(leave),
        }
        Ok(())
    }

    /// The broker refuses the partition: it rests. It may have named another leader.
    pub(super) fn refused(
        &self,
        session: &mut Session,
        partition: Partition,
        code: ErrorCode,
        named: Option<NamedLeader>,
    ) {
        if about_the_leader(code) {
            session.rest(&partition, REST);
            self.intake.note(Note::NotLeader { partition, code, named });
        } else {
            session.rest(&partition, LONG_REST);
            self.intake.note(Note::Refused { partition, code });
        }
    }

    /// The note is made only if the leader has answered everything: what it refused to say is no finding.
    async fn findings(
        &self,
        session: &mut Session,
        partition: &Partition,
        leader_epoch: LeaderEpoch,
        position: Position,
    ) -> Result<Note, Unknown> {
        let shared = self.shared_history(session, partition, leader_epoch, position).await?;
        let earliest = self.end(session, partition, LogEnd::Earliest, leader_epoch).await?;
        let latest = self.end(session, partition, LogEnd::Latest, leader_epoch).await?;
        Ok(Note::OutOfRange { partition: partition.clone(), position, shared, earliest, latest })
    }

    /// Where the leader's history parts from ours, if before the position (KIP-320).
    async fn shared_history(
        &self,
        session: &mut Session,
        partition: &Partition,
        current_leader: LeaderEpoch,
        position: Position,
    ) -> Result<Option<(Offset, LeaderEpoch)>, Unknown> {
        let Some(epoch) = position.leader_epoch.known() else { return Ok(None) };
        let partitions = [(partition.clone(), EpochAsked { current_leader, epoch })].into();
        let mut answer = self.call(session, OffsetForLeaderEpoch { partitions }).await?.partitions;
        let end = answer.remove(partition).ok_or(Unknown::Unsaid)?.map_err(Unknown::Refused)?;
        Ok(parted(end, position))
    }

    async fn end(
        &self,
        session: &mut Session,
        partition: &Partition,
        at: LogEnd,
        leader_epoch: LeaderEpoch,
    ) -> Result<Offset, Unknown> {
        let asked = [(partition.clone(), OffsetAsked { at, leader_epoch })].into();
        let listed = self.listed(session, asked).await?.remove(partition).ok_or(Unknown::Unsaid)?;
        listed.map(|found| found.offset).map_err(Unknown::Refused)
    }

    async fn listed(
        &self,
        session: &mut Session,
        partitions: BTreeMap<Partition, OffsetAsked>,
    ) -> Result<BTreeMap<Partition, Result<ListedOffset, ErrorCode>>, Leave> {
        let request = ListOffsets { isolation: self.settings.isolation, partitions };
        Ok(self.call(session, request).await?.partitions)
    }

    async fn call<A: Api>(&self, session: &mut Session, request: A) -> Result<A::Answer, Leave> {
        let pending = session.connection.send(&request, self.settings.request_timeout)?;
        Ok(self.answer(session, pending, Duration::ZERO).await?.decode()?)
    }
}

/// Where the leader's log, in which the epoch of the last record before the position ends there, parts from ours.
fn parted(end: Option<EpochEnd>, position: Position) -> Option<(Offset, LeaderEpoch)> {
    // Another epoch's records may stand at the position in the leader's log (an unclean election): then it
    // parts from ours at or before the position, how far before is not known.
    let parted = end.filter(|end| end.end_offset < position.offset || end.epoch < position.leader_epoch);
    parted.map(|end| (end.end_offset.min(position.offset), end.epoch))
}

/// Whether the error says that another broker is to be asked, or the same one a little later.
fn about_the_leader(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NOT_LEADER_OR_FOLLOWER
            | ErrorCode::FENCED_LEADER_EPOCH
            | ErrorCode::UNKNOWN_LEADER_EPOCH
            | ErrorCode::LEADER_NOT_AVAILABLE
            | ErrorCode::REPLICA_NOT_AVAILABLE
            | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            | ErrorCode::UNKNOWN_TOPIC_ID
            | ErrorCode::INCONSISTENT_TOPIC_ID
            | ErrorCode::OFFSET_NOT_AVAILABLE
            | ErrorCode::KAFKA_STORAGE_ERROR
    )
}
