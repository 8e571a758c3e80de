use kafka_protocol::messages::fetch_request::FetchTopic;
use kafka_protocol::messages::{RequestKind, TopicName};
use uuid::Uuid;

use super::*;
use crate::asking::{ask, at, call, cluster, records, t};

const BIG: i32 = 1 << 20;

fn from(offset: i64) -> FetchPartition {
    FetchPartition::default()
        .with_fetch_offset(offset)
        .with_current_leader_epoch(-1)
        .with_last_fetched_epoch(-1)
        .with_partition_max_bytes(BIG)
}

fn of(partitions: Vec<FetchPartition>) -> FetchRequest {
    let topic = FetchTopic::default()
        .with_topic(TopicName(StrBytes::from_static_str("t")))
        .with_partitions(partitions);
    FetchRequest::default()
        .with_topics(vec![topic])
        .with_max_bytes(BIG)
        .with_min_bytes(1)
        .with_max_wait_ms(500)
}

fn fetched(answer: ResponseKind) -> FetchResponse {
    match answer {
        ResponseKind::Fetch(fetch) => fetch,
        other => panic!("expected a fetch answer, found {other:?}"),
    }
}

fn fetch(cluster: &mut Cluster, version: i16, partition: FetchPartition) -> PartitionData {
    let request = RequestKind::Fetch(of(vec![partition]).with_max_wait_ms(0));
    let answer = fetched(ask(cluster, 1, version, request));
    assert_eq!(answer.session_id, 0);
    answer.responses[0].partitions[0].clone()
}

fn size(data: &PartitionData) -> usize {
    data.records.as_ref().map_or(0, |records| records.len())
}

fn error(code: ResponseError) -> i16 {
    code.code()
}

#[test]
fn records_come_from_the_batch_that_holds_the_offset_on() {
    let mut cluster = cluster();
    for _ in 0..3 {
        cluster.append(&t(0), records(4)).unwrap();
    }
    let batch = size(&fetch(&mut cluster, 12, from(11)));
    assert!(batch > 61);
    assert_eq!(size(&fetch(&mut cluster, 12, from(0))), 3 * batch);
    assert_eq!(size(&fetch(&mut cluster, 12, from(5))), 2 * batch);
    let at_end = fetch(&mut cluster, 12, from(12));
    assert_eq!((size(&at_end), at_end.high_watermark, at_end.error_code), (0, 12, 0));
    assert_eq!(fetch(&mut cluster, 12, from(13)).error_code, error(ResponseError::OffsetOutOfRange));
}

#[test]
fn the_first_batch_comes_whole_above_all_limits_and_the_last_may_be_cut() {
    let mut cluster = cluster();
    cluster.append(&t(0), records(4)).unwrap();
    let batch = size(&fetch(&mut cluster, 12, from(0)));
    cluster.append(&t(0), records(4)).unwrap();
    assert_eq!(size(&fetch(&mut cluster, 12, from(0).with_partition_max_bytes(1))), batch);
    let cut = from(0).with_partition_max_bytes(batch as i32 + 10);
    assert_eq!(size(&fetch(&mut cluster, 12, cut)), batch + 10);
}

#[test]
fn the_request_s_limit_counts_over_all_partitions() {
    let mut cluster = cluster();
    let on_one = vec![vec![NodeId(1)]; 2];
    cluster.delete_topic("t").unwrap();
    cluster.create_topic_on("t", on_one).unwrap();
    for index in 0..2 {
        cluster.append(&t(index), records(4)).unwrap();
    }
    let both = of(vec![from(0), from(0).with_partition(1)]).with_max_bytes(1);
    let answer = fetched(ask(&mut cluster, 1, 12, RequestKind::Fetch(both)));
    let sizes: Vec<bool> = answer.responses[0].partitions.iter().map(|data| size(data) > 0).collect();
    assert_eq!(sizes, [true, false]);
}

#[test]
fn a_fetch_waits_for_records_and_is_answered_by_the_append() {
    let mut cluster = cluster();
    let reply = cluster.request(&call(1, 12, 7), RequestKind::Fetch(of(vec![from(0)])), at(100));
    assert_eq!(reply, Reply::Later);
    assert_eq!(cluster.next_deadline(), Some(at(600)));
    cluster.append(&t(1), records(1)).unwrap();
    assert_eq!(cluster.take_answers(), []);
    cluster.append(&t(0), records(1)).unwrap();
    let [(ticket, answer)] = <[_; 1]>::try_from(cluster.take_answers()).unwrap();
    assert_eq!(ticket, Ticket(7));
    assert!(size(&fetched(answer).responses[0].partitions[0]) > 61);
    assert_eq!(cluster.next_deadline(), None);
}

#[test]
fn a_fetch_waits_until_there_is_as_much_as_it_asks_for() {
    let mut cluster = cluster();
    cluster.append(&t(0), records(1)).unwrap();
    let two = 2 * size(&fetch(&mut cluster, 12, from(0)));
    let request = of(vec![from(0)]).with_min_bytes(two as i32);
    assert_eq!(cluster.request(&call(1, 12, 7), RequestKind::Fetch(request), at(0)), Reply::Later);
    cluster.append(&t(0), records(1)).unwrap();
    assert_eq!(cluster.take_answers().len(), 1);
}

#[test]
fn at_its_deadline_a_fetch_is_answered_without_records() {
    let mut cluster = cluster();
    cluster.request(&call(1, 12, 7), RequestKind::Fetch(of(vec![from(0)])), at(0));
    cluster.advance(at(499));
    assert_eq!(cluster.take_answers(), []);
    cluster.advance(at(500));
    let answers = cluster.take_answers();
    assert_eq!(size(&fetched(answers[0].1.clone()).responses[0].partitions[0]), 0);
}

#[test]
fn an_abandoned_fetch_is_never_answered() {
    let mut cluster = cluster();
    cluster.request(&call(1, 12, 7), RequestKind::Fetch(of(vec![from(0)])), at(0));
    cluster.abandon(Ticket(7));
    assert_eq!(cluster.next_deadline(), None);
    cluster.append(&t(0), records(1)).unwrap();
    assert_eq!(cluster.take_answers(), []);
}

#[test]
fn a_fetch_that_waits_learns_at_once_that_the_leader_is_another() {
    let mut cluster = cluster();
    let request = of(vec![from(0).with_current_leader_epoch(0)]);
    cluster.request(&call(1, 12, 7), RequestKind::Fetch(request), at(0));
    cluster.move_leader(&t(0), NodeId(2)).unwrap();
    let answers = cluster.take_answers();
    let data = &fetched(answers[0].1.clone()).responses[0].partitions[0];
    assert_eq!(data.error_code, error(ResponseError::FencedLeaderEpoch));
}

#[test]
fn a_fetch_that_waits_learns_at_once_that_its_topic_is_gone() {
    let mut cluster = cluster();
    cluster.request(&call(1, 12, 7), RequestKind::Fetch(of(vec![from(0)])), at(0));
    cluster.delete_topic("t").unwrap();
    let answers = cluster.take_answers();
    let data = &fetched(answers[0].1.clone()).responses[0].partitions[0];
    assert_eq!(data.error_code, error(ResponseError::UnknownTopicOrPartition));
}

#[test]
fn leader_epochs_are_checked_before_anything_else() {
    let mut cluster = cluster();
    cluster.move_leader(&t(0), NodeId(1)).unwrap();
    let with = |epoch| from(99).with_current_leader_epoch(epoch);
    assert_eq!(fetch(&mut cluster, 12, with(0)).error_code, error(ResponseError::FencedLeaderEpoch));
    assert_eq!(fetch(&mut cluster, 12, with(2)).error_code, error(ResponseError::UnknownLeaderEpoch));
    assert_eq!(fetch(&mut cluster, 12, with(1)).error_code, error(ResponseError::OffsetOutOfRange));
}

#[test]
fn a_follower_answers_from_version_11_on_and_names_the_leader_before() {
    let mut cluster = cluster();
    let follower = from(0).with_partition(1);
    let before = fetch(&mut cluster, 10, follower.clone());
    assert_eq!(before.error_code, error(ResponseError::NotLeaderOrFollower));
    assert_eq!(fetch(&mut cluster, 11, follower).error_code, 0);
}

#[test]
fn from_version_16_on_the_right_leader_is_named() {
    let mut cluster = cluster();
    let id = cluster.topic_id("t").unwrap();
    cluster.move_leader(&t(0), NodeId(2)).unwrap();
    let mut request = of(vec![from(0).with_current_leader_epoch(0)]);
    request.topics[0].topic_id = Uuid::from_u128(id.0);
    let answer = fetched(ask(&mut cluster, 1, 16, RequestKind::Fetch(request)));
    let leader = &answer.responses[0].partitions[0].current_leader;
    assert_eq!((leader.leader_id.0, leader.leader_epoch), (2, 1));
    assert_eq!((answer.node_endpoints[0].node_id.0, answer.node_endpoints[0].port), (2, 9092));
}

#[test]
fn a_recreated_topic_is_unknown_under_its_old_id() {
    let mut cluster = cluster();
    let mut request = of(vec![from(0)]);
    request.topics[0].topic_id = Uuid::from_u128(cluster.topic_id("t").unwrap().0);
    cluster.delete_topic("t").unwrap();
    cluster.create_topic("t", 3).unwrap();
    let answer = fetched(ask(&mut cluster, 1, 13, RequestKind::Fetch(request)));
    assert_eq!(answer.responses[0].partitions[0].error_code, error(ResponseError::UnknownTopicId));
}

#[test]
fn after_a_truncation_the_client_is_told_where_the_logs_part() {
    let mut cluster = cluster();
    for _ in 0..3 {
        cluster.append(&t(0), records(10)).unwrap();
    }
    cluster.truncate(&t(0), Offset(20)).unwrap();
    cluster.append(&t(0), records(20)).unwrap();
    let data = fetch(&mut cluster, 12, from(30).with_last_fetched_epoch(0));
    assert_eq!((data.diverging_epoch.epoch, data.diverging_epoch.end_offset), (0, 20));
    assert_eq!(size(&data), 0);
    let data = fetch(&mut cluster, 12, from(20).with_last_fetched_epoch(0));
    assert_eq!(data.diverging_epoch, EpochEndOffset::default());
    assert!(size(&data) > 0);
}

#[test]
fn what_is_above_the_high_watermark_is_not_read() {
    let mut cluster = cluster();
    cluster.hold_high_watermark(&t(0), Some(Offset(4))).unwrap();
    cluster.append(&t(0), records(4)).unwrap();
    cluster.append(&t(0), records(4)).unwrap();
    let data = fetch(&mut cluster, 12, from(4));
    assert_eq!((size(&data), data.high_watermark, data.error_code), (0, 4, 0));
    cluster.hold_high_watermark(&t(0), None).unwrap();
    assert!(size(&fetch(&mut cluster, 12, from(4))) > 0);
}

#[test]
fn committed_readers_stop_at_the_first_open_transaction_and_are_told_of_aborted_ones() {
    let mut cluster = cluster();
    cluster.append_transactional(&t(0), 8, records(2)).unwrap();
    cluster.append(&t(0), records(1)).unwrap();
    let committed = |cluster: &mut Cluster| {
        let request = of(vec![from(0)]).with_isolation_level(READ_COMMITTED).with_max_wait_ms(0);
        fetched(ask(cluster, 1, 12, RequestKind::Fetch(request))).responses[0].partitions[0].clone()
    };
    let open = committed(&mut cluster);
    assert_eq!((size(&open), open.last_stable_offset, open.high_watermark), (0, 0, 3));
    cluster.end_transaction(8, false);
    let ended = committed(&mut cluster);
    assert_eq!((ended.last_stable_offset, ended.high_watermark), (4, 4));
    let aborted = ended.aborted_transactions.unwrap();
    assert_eq!((aborted[0].producer_id.0, aborted[0].first_offset), (8, 0));
    assert_eq!(fetch(&mut cluster, 12, from(0)).aborted_transactions, None);
}

#[test]
fn aborted_transactions_are_told_as_far_as_records_come() {
    let mut cluster = cluster();
    for producer in 1..=3 {
        cluster.append_transactional(&t(0), producer, records(1)).unwrap();
        cluster.end_transaction(producer, false);
    }
    let told = |cluster: &mut Cluster, offset, bytes| {
        let asked = from(offset).with_partition_max_bytes(bytes);
        let request = of(vec![asked]).with_isolation_level(READ_COMMITTED);
        let answer = fetched(ask(cluster, 1, 12, RequestKind::Fetch(request)));
        let aborted = answer.responses[0].partitions[0].aborted_transactions.clone().unwrap();
        aborted.iter().map(|aborted| aborted.producer_id.0).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut cluster, 0, 1), [1]);
    assert_eq!(told(&mut cluster, 2, BIG), [2, 3]);
}

#[test]
fn a_session_that_was_never_given_is_refused() {
    let request = of(vec![from(0)]).with_session_id(5);
    let answer = fetched(ask(&mut cluster(), 1, 12, RequestKind::Fetch(request)));
    assert_eq!(answer.error_code, error(ResponseError::FetchSessionIdNotFound));
}

#[test]
fn every_fetch_is_noticed_with_who_asks_and_from_where() {
    let mut cluster = cluster();
    fetch(&mut cluster, 12, from(99));
    let [Notice::Fetched { node, client, partitions, .. }] = &cluster.take_notices()[..] else {
        panic!("expected one notice of a fetch");
    };
    assert_eq!((*node, &**client), (NodeId(1), "test"));
    assert_eq!(partitions[..], [(t(0), Offset(99))]);
}
