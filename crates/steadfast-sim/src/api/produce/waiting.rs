//! Producers that wait for all replicas: while a high watermark is held back, their answers are too.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, ResponseKind};
use steadfast_core::ids::{LeaderEpoch, Offset, Partition};
use steadfast_core::tick::Tick;

use crate::call::{Call, Reply, Ticket};
use crate::cluster::Cluster;
use crate::topics::Topics;

/// The produce requests that wait for replicas.
#[derive(Debug, Default)]
pub(crate) struct Produces(BTreeMap<(Tick, Ticket), Waiting>);

#[derive(Debug)]
struct Waiting {
    answer: ProduceResponse,
    missing: Vec<Missing>,
}

/// A batch that not all replicas are known to have.
#[derive(Debug)]
pub(super) struct Missing {
    /// Which topic of the answer, and which partition of that.
    pub(super) at: (usize, usize),
    pub(super) partition: Partition,
    /// The epoch of the leader that took it: the next one may not have it.
    pub(super) epoch: LeaderEpoch,
    /// After its last record.
    pub(super) end: Offset,
}

impl Produces {
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        self.0.keys().next().map(|(deadline, _)| *deadline)
    }

    pub(crate) fn abandon(&mut self, ticket: Ticket) {
        self.0.retain(|(_, parked), _| *parked != ticket);
    }
}

impl Waiting {
    /// Takes out what is not missing any more, or never will come.
    fn settle(&mut self, topics: &Topics) {
        let answer = &mut self.answer;
        self.missing.retain(|missing| match missing.arrived(topics) {
            Ok(arrived) => !arrived,
            Err(error) => {
                missing.refuse(answer, error);
                false
            }
        });
    }
}

impl Missing {
    fn arrived(&self, topics: &Topics) -> Result<bool, ResponseError> {
        let replicas = topics.get(&self.partition.topic, self.partition.index);
        let replicas = replicas.ok_or(ResponseError::UnknownTopicOrPartition)?;
        if replicas.epoch != self.epoch {
            return Err(ResponseError::NotLeaderOrFollower);
        }
        Ok(replicas.log.high_watermark() >= self.end)
    }

    fn refuse(&self, answer: &mut ProduceResponse, error: ResponseError) {
        let (topic, partition) = self.at;
        let topic = answer.responses.get_mut(topic);
        if let Some(refused) = topic.and_then(|topic| topic.partition_responses.get_mut(partition)) {
            refused.error_code = error.code();
            refused.base_offset = -1;
        }
    }
}

/// The answer, once nothing is missing.
pub(super) fn answer_or_wait(
    cluster: &mut Cluster,
    call: &Call,
    request: &ProduceRequest,
    answer: ProduceResponse,
    missing: Vec<Missing>,
) -> Reply {
    let mut waiting = Waiting { answer, missing };
    waiting.settle(&cluster.topics);
    if waiting.missing.is_empty() {
        return Reply::now(ResponseKind::Produce(waiting.answer));
    }
    let limit = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    cluster.produces.0.insert((cluster.now() + limit, call.ticket), waiting);
    Reply::Later
}

/// A high watermark or a leader is another: answers what no longer waits for it.
pub(crate) fn wake(cluster: &mut Cluster) {
    for waiting in cluster.produces.0.values_mut() {
        waiting.settle(&cluster.topics);
    }
    let settled = cluster.produces.0.extract_if(.., |_, waiting| waiting.missing.is_empty());
    let settled: Vec<_> = settled.collect();
    for ((_, ticket), waiting) in settled {
        cluster.answer(ticket, ResponseKind::Produce(waiting.answer));
    }
}

/// Answers the producers that have waited for as long as they would.
pub(crate) fn advance(cluster: &mut Cluster) {
    let now = cluster.now();
    while let Some(first) = cluster.produces.0.first_entry().filter(|first| first.key().0 <= now) {
        let ((_, ticket), mut waiting) = first.remove_entry();
        for missing in std::mem::take(&mut waiting.missing) {
            missing.refuse(&mut waiting.answer, ResponseError::RequestTimedOut);
        }
        cluster.answer(ticket, ResponseKind::Produce(waiting.answer));
    }
}
