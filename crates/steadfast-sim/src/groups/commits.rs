//! Commits on their way into a group's offsets.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{OffsetCommitRequest, TxnOffsetCommitRequest};
use steadfast_core::ids::{GroupGeneration, Partition};

use super::Committer;
use crate::call::Call;
use crate::cluster::Cluster;
use crate::notice::Notice;
use crate::offsets::CommittedOffset;

/// What becomes of a commit that is never answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HungCommits {
    /// It takes effect, if it is allowed: only the answer is missing.
    Stored,
    /// It has no effect.
    Lost,
}

/// `offset.metadata.max.bytes`.
const MAX_METADATA: usize = 4096;
/// From this version on a commit to an unknown group is answered GROUP_ID_NOT_FOUND.
const GROUP_ID_NOT_FOUND: i16 = 9;

/// What becomes of the answers to commits now.
pub(crate) fn hung(cluster: &Cluster) -> Option<HungCommits> {
    let now = cluster.now();
    cluster.groups.hung.filter(|(until, _)| now < *until).map(|(_, fate)| fate)
}

/// Commits the offsets that may be committed. Gives each partition's error, in the order they were given in.
pub(crate) fn commit(
    cluster: &mut Cluster,
    call: &Call,
    request: &OffsetCommitRequest,
    offsets: Vec<(Partition, CommittedOffset)>,
) -> Vec<Result<(), ResponseError>> {
    let known: Vec<bool> =
        offsets.iter().map(|(partition, _)| super::partition_exists(cluster, partition)).collect();
    // Kafka asks the coordinator only if a partition is left to ask for.
    let admitted = if known.contains(&true) { admit(cluster, call, request) } else { Ok(()) };
    let outcomes = offsets.into_iter().zip(known).map(|((partition, offset), known)| {
        let verdict = if known { admitted } else { Err(ResponseError::UnknownTopicOrPartition) };
        let verdict = verdict.and_then(|()| {
            if offset.metadata.len() > MAX_METADATA {
                Err(ResponseError::OffsetMetadataTooLarge)
            } else {
                Ok(())
            }
        });
        commit_one(cluster, request, partition, offset, verdict);
        verdict
    });
    outcomes.collect()
}

fn admit(cluster: &mut Cluster, call: &Call, request: &OffsetCommitRequest) -> Result<(), ResponseError> {
    let group = request.group_id.as_str();
    let generation = request.generation_id_or_member_epoch;
    cluster.groups.admit_nameless(call.node, group, cluster.now())?;
    if cluster.groups.get(group).is_none() {
        if generation >= 0 {
            return Err(if call.version >= GROUP_ID_NOT_FOUND {
                ResponseError::GroupIdNotFound
            } else {
                ResponseError::IllegalGeneration
            });
        }
        cluster.groups.get_or_create(group);
    }
    let now = cluster.now();
    let instance = request.group_instance_id.as_ref().map(|id| id.as_str());
    let by = Committer { member: request.member_id.as_str(), instance, generation };
    let hosted = cluster.groups.get_mut(group).ok_or(ResponseError::UnknownMemberId)?;
    hosted.admit_commit(call.version, by, now)
}

/// Whether this member may commit offsets to the group in a transaction (KIP-447).
pub(crate) fn admit_in_transaction(
    cluster: &mut Cluster,
    call: &Call,
    request: &TxnOffsetCommitRequest,
) -> Result<(), ResponseError> {
    let group = request.group_id.as_str();
    cluster.groups.admit(call.node, group, cluster.now())?;
    if cluster.groups.get(group).is_none() {
        if request.generation_id >= 0 {
            return Err(ResponseError::IllegalGeneration);
        }
        cluster.groups.get_or_create(group);
    }
    let (member, generation) = (request.member_id.as_str(), request.generation_id);
    let instance = request.group_instance_id.as_ref().map(|id| id.as_str());
    let hosted = cluster.groups.get(group).ok_or(ResponseError::UnknownMemberId)?;
    hosted.admit_transactional_commit(Committer { member, instance, generation })
}

fn commit_one(
    cluster: &mut Cluster,
    request: &OffsetCommitRequest,
    partition: Partition,
    offset: CommittedOffset,
    verdict: Result<(), ResponseError>,
) {
    let group = request.group_id.as_str();
    let member = request.member_id.as_str().into();
    let generation = GroupGeneration(request.generation_id_or_member_epoch);
    let notice = match (verdict, cluster.groups.get_mut(group)) {
        (Ok(()), Some(hosted)) => {
            let before = hosted.offsets.commit(partition.clone(), offset.clone());
            Notice::Committed {
                group: group.into(),
                member,
                generation,
                partition,
                offset: offset.offset,
                before: before.map(|before| before.offset),
                metadata: offset.metadata,
            }
        }
        (verdict, _) => Notice::CommitRefused {
            group: group.into(),
            member,
            generation,
            partition,
            offset: offset.offset,
            error: verdict.err().unwrap_or(ResponseError::GroupIdNotFound),
        },
    };
    cluster.notice(notice);
}
