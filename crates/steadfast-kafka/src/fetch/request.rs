//! Between a loop's partitions and a fetch request's topics.

use std::collections::BTreeMap;
use std::sync::Arc;

use steadfast_core::ids::{LeaderEpoch, Partition, TopicId};
use steadfast_core::progress::Position;

use super::leader::Settings;
use crate::api::fetch::{Fetch, FetchAnswer, FetchFrom, FetchedPartition, PartitionFrom, TopicKey};

/// What a loop asks of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) partition: Partition,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) from: Position,
}

/// The request for these partitions. They are asked for in the order given, as far as topics allow: who is
/// asked for first is answered first.
pub(super) fn request(asks: &[Ask], settings: &Settings, max_wait: std::time::Duration) -> Fetch {
    let mut topics: Vec<FetchFrom> = Vec::new();
    for ask in asks {
        let partition = PartitionFrom {
            index: ask.partition.index,
            offset: ask.from.offset,
            leader_epoch: ask.leader_epoch,
            last_fetched_epoch: ask.from.leader_epoch,
            max_bytes: settings.partition_max_bytes,
        };
        match topics.iter_mut().find(|topic| topic.name == ask.partition.topic && topic.id == ask.from.topic)
        {
            Some(topic) => topic.partitions.push(partition),
            None => topics.push(FetchFrom {
                name: Arc::clone(&ask.partition.topic),
                id: ask.from.topic,
                partitions: vec![partition],
            }),
        }
    }
    Fetch {
        max_wait,
        min_bytes: settings.min_bytes,
        max_bytes: settings.max_bytes,
        isolation: settings.isolation,
        rack: Arc::from(""),
        topics,
    }
}

/// The answer's partitions, each with what was asked. What was not asked for is left out.
pub(super) fn matched(answer: FetchAnswer, asks: Vec<Ask>) -> Vec<(Ask, FetchedPartition)> {
    let mut names: BTreeMap<TopicId, Arc<str>> = BTreeMap::new();
    let mut asked: BTreeMap<Partition, Ask> = BTreeMap::new();
    for ask in asks {
        names.insert(ask.from.topic, Arc::clone(&ask.partition.topic));
        asked.insert(ask.partition.clone(), ask);
    }
    let mut matched = Vec::new();
    for topic in answer.topics {
        let name = match topic.topic {
            TopicKey::Name(name) => Some(name),
            TopicKey::Id(id) => names.get(&id).cloned(),
        };
        let Some(name) = name else { continue };
        for part in topic.partitions {
            let partition = Partition { topic: Arc::clone(&name), index: part.index };
            matched.extend(asked.remove(&partition).map(|ask| (ask, part)));
        }
    }
    matched
}
