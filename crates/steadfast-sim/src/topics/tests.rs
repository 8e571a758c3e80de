use super::*;
use crate::asking::{cluster, records, t};
use crate::batch::NewRecord;
use crate::log::Limit;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::Offset;

fn state(cluster: &Cluster, index: i32) -> (Option<NodeId>, i32, Vec<i32>) {
    let replicas = cluster.topics.get("t", index).unwrap();
    (replicas.leader, replicas.epoch.0, replicas.in_sync.iter().map(|node| node.0).collect())
}

#[test]
fn leaders_and_replicas_are_spread_over_the_brokers() {
    let cluster = cluster();
    assert_eq!(state(&cluster, 0), (Some(NodeId(1)), 0, vec![1, 2, 3]));
    assert_eq!(state(&cluster, 1), (Some(NodeId(2)), 0, vec![2, 3, 1]));
    assert_eq!(state(&cluster, 2), (Some(NodeId(3)), 0, vec![3, 1, 2]));
}

#[test]
fn when_a_leader_dies_the_next_replica_in_sync_leads_in_the_next_epoch() {
    let mut cluster = cluster();
    cluster.stop_broker(NodeId(1));
    assert_eq!(state(&cluster, 0), (Some(NodeId(2)), 1, vec![2, 3]));
    assert_eq!(state(&cluster, 1), (Some(NodeId(2)), 0, vec![2, 3]));
}

#[test]
fn a_broker_that_returns_is_in_sync_and_does_not_take_its_leadership_back() {
    let mut cluster = cluster();
    cluster.stop_broker(NodeId(1));
    cluster.start_broker(NodeId(1));
    assert_eq!(state(&cluster, 0), (Some(NodeId(2)), 1, vec![1, 2, 3]));
}

#[test]
fn without_a_living_replica_in_sync_nobody_leads_until_one_is_back() {
    let mut cluster = cluster();
    for node in 1..=3 {
        cluster.stop_broker(NodeId(node));
    }
    assert_eq!(state(&cluster, 0), (None, 3, vec![3]));
    assert_eq!(cluster.append(&t(0), records(1)), Err(TopicError::NoLeader(t(0))));
    cluster.start_broker(NodeId(1));
    assert_eq!(state(&cluster, 0), (None, 3, vec![3]));
    cluster.start_broker(NodeId(3));
    assert_eq!(state(&cluster, 0), (Some(NodeId(3)), 4, vec![1, 3]));
}

#[test]
fn only_a_living_broker_in_sync_can_be_made_leader() {
    let mut cluster = cluster();
    cluster.stop_broker(NodeId(1));
    let refused = TopicError::CannotLead { partition: t(1), node: NodeId(1) };
    assert_eq!(cluster.move_leader(&t(1), NodeId(1)), Err(refused));
    cluster.move_leader(&t(1), NodeId(3)).unwrap();
    assert_eq!(state(&cluster, 1), (Some(NodeId(3)), 1, vec![2, 3]));
}

#[test]
fn a_topic_created_again_has_another_id_and_an_empty_log() {
    let mut cluster = cluster();
    let before = cluster.topic_id("t").unwrap();
    cluster.append(&t(0), records(3)).unwrap();
    cluster.delete_topic("t").unwrap();
    cluster.create_topic("t", 1).unwrap();
    assert_ne!(cluster.topic_id("t").unwrap(), before);
    assert_eq!(cluster.log_end(&t(0)), Ok(Offset(0)));
}

#[test]
fn ids_are_the_same_in_every_run_and_others_in_another_cluster() {
    let of = |id: &str| {
        let mut cluster = Cluster::new(id, [(NodeId(1), Address::new("a", 1))]);
        cluster.create_topic("t", 1).unwrap()
    };
    assert_eq!(of("one"), of("one"));
    assert_ne!(of("one"), of("two"));
    assert_eq!(uuid::Uuid::from_u128(of("one").0).get_version_num(), 4);
}

#[test]
fn what_kafka_refuses_to_create_is_refused() {
    let mut cluster = cluster();
    assert_eq!(cluster.create_topic("t", 1), Err(TopicError::Exists("t".into())));
    assert_eq!(cluster.create_topic("..", 1), Err(TopicError::Name("..".into())));
    assert_eq!(cluster.create_topic("a/b", 1), Err(TopicError::Name("a/b".into())));
    assert!(matches!(cluster.create_topic("u", 0), Err(TopicError::Count { .. })));
    let twice = vec![vec![NodeId(1), NodeId(1)]];
    assert!(matches!(cluster.create_topic_on("u", twice), Err(TopicError::Replicas { .. })));
    assert!(matches!(cluster.add_partitions("t", 3), Err(TopicError::Count { have: 3, asked: 3, .. })));
    assert_eq!(cluster.add_partitions("u", 3), Err(TopicError::NoTopic("u".into())));
}

#[test]
fn an_epoch_ends_where_the_next_leader_begins() {
    let mut cluster = cluster();
    cluster.append(&t(0), records(3)).unwrap();
    cluster.move_leader(&t(0), NodeId(2)).unwrap();
    cluster.append(&t(0), records(2)).unwrap();
    let log = &cluster.topics.get("t", 0).unwrap().log;
    let end = |epoch| log.end_of_epoch(LeaderEpoch(epoch)).map(|(epoch, end)| (epoch.0, end.0));
    assert_eq!((end(-1), end(0), end(1), end(2)), (None, Some((0, 3)), Some((1, 5)), None));
    assert_eq!((log.epoch_at(Offset(2)), log.epoch_at(Offset(3))), (LeaderEpoch(0), LeaderEpoch(1)));
}

#[test]
fn an_epoch_without_records_is_forgotten() {
    let mut cluster = cluster();
    cluster.append(&t(0), records(3)).unwrap();
    for _ in 0..3 {
        cluster.move_leader(&t(0), NodeId(2)).unwrap();
    }
    let log = &cluster.topics.get("t", 0).unwrap().log;
    assert_eq!(log.end_of_epoch(LeaderEpoch(2)), Some((LeaderEpoch(0), Offset(3))));
}

#[test]
fn a_truncation_loses_the_tail_and_begins_an_epoch() {
    let mut cluster = cluster();
    for _ in 0..3 {
        cluster.append(&t(0), records(10)).unwrap();
    }
    assert_eq!(cluster.truncate(&t(0), Offset(15)), Ok(Offset(10)));
    assert_eq!(cluster.leader_epoch(&t(0)), Ok(LeaderEpoch(1)));
    assert_eq!(cluster.append(&t(0), records(1)), Ok(Offset(10)));
}

#[test]
fn a_truncation_takes_a_marker_back_too() {
    let mut cluster = cluster();
    cluster.append_transactional(&t(0), 5, records(2)).unwrap();
    cluster.end_transaction(5, true);
    cluster.append(&t(0), records(1)).unwrap();
    assert_eq!(cluster.topics.get("t", 0).unwrap().log.last_stable(), Offset(4));
    cluster.truncate(&t(0), Offset(2)).unwrap();
    assert_eq!(cluster.topics.get("t", 0).unwrap().log.last_stable(), Offset(0));
}

#[test]
fn after_deletion_and_compaction_offsets_stay_taken() {
    let mut cluster = cluster();
    for _ in 0..4 {
        cluster.append(&t(0), records(5)).unwrap();
    }
    assert_eq!(cluster.delete_before(&t(0), Offset(7)), Ok(Offset(7)));
    assert_eq!(cluster.log_start(&t(0)), Ok(Offset(7)));
    assert_eq!(cluster.compact_away(&t(0), Offset(12)), Ok(true));
    assert_eq!(cluster.compact_away(&t(0), Offset(12)), Ok(false));
    let log = &cluster.topics.get("t", 0).unwrap().log;
    let all = Limit { bytes: usize::MAX, at_least_one: true };
    let bases = |bytes: bytes::Bytes| {
        let mut bases = Vec::new();
        let mut rest = &bytes[..];
        while let Some((base, more)) = rest.split_first_chunk::<8>() {
            bases.push(i64::from_be_bytes(*base));
            let length = i32::from_be_bytes(*more.first_chunk().unwrap()) as usize;
            rest = &more[4 + length..];
        }
        bases
    };
    // The batch across the start stays whole; of the one that was compacted away nothing is left.
    assert_eq!(bases(log.read(Offset(7), Offset(20), all).0), [5, 15]);
    assert_eq!(bases(log.read(Offset(11), Offset(20), all).0), [15]);
    assert_eq!(cluster.log_end(&t(0)), Ok(Offset(20)));
}

#[test]
fn the_first_record_of_a_time_is_found_within_its_batch() {
    let mut cluster = cluster();
    let times = |times: &[i64]| times.iter().map(|time| NewRecord::new(*time, "x")).collect();
    cluster.append(&t(0), times(&[10, 30, 20])).unwrap();
    cluster.append(&t(0), times(&[25, 40])).unwrap();
    let log = &cluster.topics.get("t", 0).unwrap().log;
    let at = |time| log.first_at_time(time, Offset(5)).map(|(offset, time)| (offset.0, time));
    assert_eq!((at(0), at(11), at(31), at(41)), (Some((0, 10)), Some((1, 30)), Some((4, 40)), None));
    assert_eq!(log.latest_time(), Some((Offset(4), 40)));
}
