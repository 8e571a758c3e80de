//! How far a group is, and how far its partitions go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use steadfast_core::ids::{LeaderEpoch, Offset, Partition};
use steadfast_core::lag::Verdict;
use steadfast_kafka::api::group_offsets::GroupOffsets;
use steadfast_kafka::api::list_offsets::{ListOffsets, ListOffsetsAnswer, LogEnd, OffsetAsked};
use steadfast_kafka::api::{ErrorCode, Isolation};

use super::asker::{Asker, Failure};
use super::described::{Group, described};

/// A group and its partitions: those that it has committed something for, and those that its members hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct WithOffsets {
    #[serde(flatten)]
    pub(super) group: Group,
    /// The sum over the partitions whose lag is known.
    pub(super) total_lag: u64,
    pub(super) partitions: Vec<Row>,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    /// The next offset that the group processes; none if it never committed one.
    pub(super) committed: Option<Offset>,
    /// The offset after the last record.
    pub(super) end: Option<Offset>,
    pub(super) lag: Option<u64>,
    /// What the lag says, where samples were taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verdict: Option<Verdict>,
    /// Who holds it.
    pub(super) member: Option<Arc<str>>,
    pub(super) client: Option<Arc<str>>,
    pub(super) host: Option<Arc<str>>,
    /// What is not known, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
}

/// What a group has committed, or why that is not known.
pub(super) type Committed = BTreeMap<Partition, Result<Option<Offset>, String>>;
/// Where partitions begin or end, or why that is not known.
pub(super) type Ends = BTreeMap<Partition, Result<Offset, String>>;

/// The group as it is, with one look at its offsets.
pub(super) async fn with_offsets(asker: &mut Asker, group: &Arc<str>) -> Result<WithOffsets, Failure> {
    let group = described(asker, group).await?;
    let committed = committed(asker, &group.group).await?;
    let holders = group.holders();
    let partitions: BTreeSet<Partition> = committed.keys().chain(holders.keys()).cloned().collect();
    let ends = log_ends(asker, &partitions, LogEnd::Latest).await?;
    let rows: Vec<Row> = partitions
        .into_iter()
        .map(|partition| {
            let (committed, end) = (committed.get(&partition), ends.get(&partition));
            let problem = committed.and_then(|one| one.as_ref().err());
            let problem = problem.or(end.and_then(|one| one.as_ref().err())).cloned();
            let committed = committed.and_then(|one| one.as_ref().ok().copied().flatten());
            let end = end.and_then(|one| one.as_ref().ok().copied());
            let holder = holders.get(&partition);
            Row {
                topic: partition.topic,
                partition: partition.index,
                committed,
                end,
                lag: lag(committed, end),
                verdict: None,
                member: holder.map(|member| Arc::clone(&member.member)),
                client: holder.map(|member| Arc::clone(&member.client)),
                host: holder.map(|member| Arc::clone(&member.host)),
                problem,
            }
        })
        .collect();
    let total_lag = rows.iter().filter_map(|row| row.lag).fold(0, u64::saturating_add);
    Ok(WithOffsets { group, total_lag, partitions: rows })
}

fn lag(committed: Option<Offset>, end: Option<Offset>) -> Option<u64> {
    Some(u64::try_from(end?.0.saturating_sub(committed?.0)).unwrap_or(0))
}

/// Everything that the group has committed.
pub(super) async fn committed(asker: &mut Asker, group: &Arc<str>) -> Result<Committed, Failure> {
    let question = GroupOffsets { group: Arc::clone(group) };
    let answer = asker.ask_coordinator(group, question, |answer| answer.error).await?;
    // Of a group that was never there nothing is committed, say some brokers so.
    if answer.error != ErrorCode::NONE && answer.error != ErrorCode::GROUP_ID_NOT_FOUND {
        return Err(Failure::code(format!("the offsets of group {group}"), answer.error));
    }
    let told = answer.partitions.into_iter().map(|(partition, found)| {
        let found = found.map(|stored| stored.map(|stored| stored.offset));
        (partition, found.map_err(|code| format!("committed: {code}")))
    });
    Ok(told.collect())
}

/// One end of each log. The last one is the high watermark, as kafka-consumer-groups counts lag.
pub(super) async fn log_ends(
    asker: &mut Asker,
    partitions: &BTreeSet<Partition>,
    at: LogEnd,
) -> Result<Ends, Failure> {
    let asked = OffsetAsked { at, leader_epoch: LeaderEpoch::UNKNOWN };
    let question = |led: &BTreeSet<Partition>| ListOffsets {
        isolation: Isolation::ReadUncommitted,
        partitions: led.iter().map(|partition| (partition.clone(), asked)).collect(),
    };
    let take = |answer: ListOffsetsAnswer| {
        let found = answer.partitions.into_iter();
        found.map(|(partition, found)| (partition, found.map(|listed| listed.offset))).collect()
    };
    asker.ask_leaders(partitions, question, take).await
}
