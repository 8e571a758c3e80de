//! Between a loop's partitions and a fetch request's topics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

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

/// What an answer says of the partitions that were asked for.
pub(super) struct Matched {
    /// Each with what was asked, in the order of the answer.
    pub(super) answered: Vec<(Ask, FetchedPartition)>,
    /// Those of which it says nothing.
    pub(super) missing: Vec<Ask>,
}

/// The request for these partitions, and for at most `max_bytes`. They are asked for in the order given, as far
/// as topics allow: who is asked for first is answered first.
pub(super) fn request(asks: &[Ask], settings: &Settings, max_wait: Duration, max_bytes: i32) -> Fetch {
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
        min_bytes: settings.min_bytes.min(max_bytes),
        max_bytes,
        isolation: settings.isolation,
        rack: Arc::from(""),
        topics,
    }
}

/// Brings an answer together with what was asked. What was not asked for, and what comes again, is left out.
pub(super) fn matched(answer: FetchAnswer, asks: Vec<Ask>) -> Matched {
    let mut names: BTreeMap<TopicId, Arc<str>> = BTreeMap::new();
    let mut asked: BTreeMap<Partition, Ask> = BTreeMap::new();
    for ask in asks {
        names.insert(ask.from.topic, Arc::clone(&ask.partition.topic));
        asked.insert(ask.partition.clone(), ask);
    }
    let mut answered = Vec::new();
    for topic in answer.topics {
        let (name, id) = match topic.topic {
            TopicKey::Name(name) => (Some(name), None),
            TopicKey::Id(id) => (names.get(&id).cloned(), Some(id)),
        };
        let Some(name) = name else { continue };
        for part in topic.partitions {
            let partition = Partition { topic: Arc::clone(&name), index: part.index };
            // A topic created again has the same name, and other records.
            let meant = asked.get(&partition).is_some_and(|ask| id.is_none_or(|id| id == ask.from.topic));
            if meant {
                answered.extend(asked.remove(&partition).map(|ask| (ask, part)));
            }
        }
    }
    Matched { answered, missing: asked.into_values().collect() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use steadfast_core::ids::{FetchGeneration, Offset};

    use super::*;
    use crate::api::fetch::Fetched;
    use crate::api::{Api, ErrorCode, Isolation};

    fn ask(topic: &str, id: u128, index: i32) -> Ask {
        let from = Position {
            topic: TopicId(id),
            generation: FetchGeneration(1),
            offset: Offset(10 + i64::from(index)),
            leader_epoch: LeaderEpoch(2),
        };
        Ask { partition: Partition::new(topic, index), leader_epoch: LeaderEpoch(3), from }
    }

    fn asked(asks: &[Ask]) -> Fetch {
        let settings = Settings {
            isolation: Isolation::ReadUncommitted,
            max_wait: Duration::from_millis(500),
            min_bytes: 2000,
            max_bytes: 9000,
            partition_max_bytes: 700,
            request_timeout: Duration::from_secs(30),
            decompressed_limit: 1,
        };
        request(asks, &settings, Duration::from_millis(20), 1000)
    }

    fn part(index: i32) -> FetchedPartition {
        FetchedPartition {
            index,
            error: ErrorCode::NONE,
            high_watermark: None,
            last_stable_offset: None,
            log_start_offset: None,
            aborted: Vec::new(),
            preferred_read_replica: None,
            diverging: None,
            current_leader: None,
            records: None,
        }
    }

    fn answer(topics: impl IntoIterator<Item = (TopicKey, Vec<i32>)>) -> FetchAnswer {
        let topic = |(topic, indexes): (TopicKey, Vec<i32>)| Fetched {
            topic,
            partitions: indexes.into_iter().map(part).collect(),
        };
        FetchAnswer {
            error: ErrorCode::NONE,
            throttle: Duration::ZERO,
            topics: topics.into_iter().map(topic).collect(),
            endpoints: BTreeMap::new(),
        }
    }

    fn names(asks: &[Ask]) -> Vec<String> {
        asks.iter().map(|ask| ask.partition.to_string()).collect()
    }

    /// The partitions that were answered, and those that were not.
    fn bring_together(answer: FetchAnswer, asks: Vec<Ask>) -> (Vec<String>, Vec<String>) {
        let Matched { answered, missing } = matched(answer, asks);
        assert!(answered.iter().all(|(ask, part)| ask.partition.index == part.index));
        let answered: Vec<Ask> = answered.into_iter().map(|(ask, _)| ask).collect();
        (names(&answered), names(&missing))
    }

    #[test]
    fn partitions_are_grouped_by_topic_in_the_order_of_their_turn() {
        let request = asked(&[ask("b", 2, 1), ask("a", 1, 5), ask("b", 2, 0), ask("a", 1, 4)]);
        let topic = |topic: &FetchFrom| {
            let indexes: Vec<i32> = topic.partitions.iter().map(|from| from.index).collect();
            (topic.name.to_string(), topic.id, indexes)
        };
        let topics: Vec<_> = request.topics.iter().map(topic).collect();
        assert_eq!(topics, [("b".into(), TopicId(2), vec![1, 0]), ("a".into(), TopicId(1), vec![5, 4])]);
        let expected = PartitionFrom {
            index: 1,
            offset: Offset(11),
            leader_epoch: LeaderEpoch(3),
            last_fetched_epoch: LeaderEpoch(2),
            max_bytes: 700,
        };
        assert_eq!(request.topics[0].partitions[0], expected);
    }

    #[test]
    fn no_more_bytes_are_waited_for_than_may_come() {
        let request = asked(&[ask("a", 1, 0)]);
        assert_eq!((request.min_bytes, request.max_bytes), (1000, 1000));
        assert_eq!(
            (request.max_wait, request.isolation),
            (Duration::from_millis(20), Isolation::ReadUncommitted)
        );
    }

    #[test]
    fn one_topic_without_an_id_has_all_of_them_asked_for_by_name() {
        let highest = |asks: &[Ask]| asked(asks).versions().max;
        assert_eq!(highest(&[ask("a", 1, 0), ask("b", 2, 0)]), 17);
        assert_eq!(highest(&[ask("a", 0, 0), ask("b", 0, 0)]), 12);
        assert_eq!(highest(&[ask("a", 1, 0), ask("b", 0, 0)]), 12);
    }

    #[test]
    fn answers_are_matched_by_name_and_by_id() {
        let asks = || vec![ask("a", 1, 0), ask("a", 1, 1), ask("b", 2, 0)];
        let named = answer([(TopicKey::Name("b".into()), vec![0]), (TopicKey::Name("a".into()), vec![1, 0])]);
        let all = |asks: [Ask; 3]| (names(&asks), Vec::new());
        let order = || all([ask("b", 2, 0), ask("a", 1, 1), ask("a", 1, 0)]);
        assert_eq!(bring_together(named, asks()), order());
        let by_id = [(TopicKey::Id(TopicId(2)), vec![0]), (TopicKey::Id(TopicId(1)), vec![1, 0])];
        assert_eq!(bring_together(answer(by_id), asks()), order());
    }

    #[test]
    fn what_was_not_asked_for_or_comes_again_is_left_out() {
        let topics = [
            (TopicKey::Name("a".into()), vec![0, 9, 0]),
            (TopicKey::Name("z".into()), vec![0]),
            (TopicKey::Id(TopicId(8)), vec![1]),
            (TopicKey::Name("a".into()), vec![0]),
        ];
        let found = bring_together(answer(topics), vec![ask("a", 1, 0), ask("a", 1, 1)]);
        assert_eq!(found, (names(&[ask("a", 1, 0)]), names(&[ask("a", 1, 1)])));
    }

    #[test]
    fn records_of_a_topic_created_again_are_not_taken_for_the_old_ones() {
        let asks = vec![ask("a", 1, 0), ask("a", 2, 1)];
        let found = bring_together(answer([(TopicKey::Id(TopicId(1)), vec![0, 1])]), asks);
        assert_eq!(found, (names(&[ask("a", 1, 0)]), names(&[ask("a", 2, 1)])));
    }

    proptest! {
        #[test]
        fn however_the_turn_goes_every_partition_is_asked_for_once(
            wanted in prop::collection::btree_set((0..3_u8, 0..6_i32), 1..12),
            turn in 0..12_usize,
        ) {
            let mut asks: Vec<_> = wanted.iter().map(|(topic, index)| {
                ask(&topic.to_string(), u128::from(*topic) + 1, *index)
            }).collect();
            let turn = turn % asks.len();
            asks.rotate_left(turn);
            let request = asked(&asks);
            let first = &request.topics[0];
            prop_assert_eq!((&first.name, first.partitions[0].index), (&asks[0].partition.topic, asks[0].partition.index));
            let all: Vec<(u8, i32)> = request.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(|from| (topic.name.parse().unwrap(), from.index))
            }).collect();
            prop_assert_eq!(all.len(), wanted.len());
            prop_assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), wanted);
        }
    }
}
