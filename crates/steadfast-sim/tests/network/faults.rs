//! What each fault does, seen by a client.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    ApiKey, FindCoordinatorRequest, MetadataResponse, OffsetCommitRequest, OffsetFetchRequest, RequestKind,
    ResponseKind,
};
use kafka_protocol::protocol::StrBytes;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId, Partition};
use steadfast_sim::embedded::{CommandError, Embedded, Spec};
use steadfast_sim::schedule::Schedule;
use tokio::time::{Instant, sleep_until, timeout};

use crate::client::{LIMIT, ask, at_node_1, metadata, refused, request, reset, started};

fn inject(cluster: &Embedded, line: &str) {
    cluster.inject(&line.parse().unwrap()).unwrap();
}

fn fails(cluster: &Embedded, line: &str) -> CommandError {
    cluster.inject(&line.parse().unwrap()).unwrap_err()
}

fn endpoints(answer: &MetadataResponse) -> BTreeMap<NodeId, Address> {
    let at = |host: &str, port: i32| Address::new(host, u16::try_from(port).unwrap());
    answer.brokers.iter().map(|broker| (NodeId(broker.node_id.0), at(&broker.host, broker.port))).collect()
}

fn nodes(answer: &MetadataResponse) -> Vec<i32> {
    answer.brokers.iter().map(|broker| broker.node_id.0).collect()
}

fn leaders(answer: &MetadataResponse) -> Vec<i32> {
    answer.topics[0].partitions.iter().map(|partition| partition.leader_id.0).collect()
}

/// Three brokers with a topic of six partitions.
fn with_topic() -> Embedded {
    let cluster = started();
    cluster.with(|cluster| cluster.create_topic("orders", 6)).unwrap();
    cluster
}

async fn seen(cluster: &Embedded) -> MetadataResponse {
    metadata(cluster, &cluster.bootstrap()).await
}

fn node(node: i32, cluster: &Embedded) -> Address {
    cluster.endpoints()[&NodeId(node)].clone()
}

#[tokio::test(start_paused = true)]
async fn metadata_names_the_endpoints_that_moved() {
    let cluster = started();
    let before = endpoints(&seen(&cluster).await);
    inject(&cluster, "move-endpoints nodes=2,3 old=refuse");
    let after = endpoints(&seen(&cluster).await);
    assert_eq!(after, cluster.endpoints());
    assert_eq!(before[&NodeId(1)], after[&NodeId(1)]);
    let moved: BTreeSet<_> = after.values().filter(|at| !before.values().any(|old| old == *at)).collect();
    assert_eq!(moved.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stale_address_names_what_was_until_its_time_is_over() {
    let cluster = started();
    let (old, before) = (node(1, &cluster), cluster.endpoints());
    inject(&cluster, "move-endpoints nodes=all old=stale:5000ms");
    assert_eq!(endpoints(&metadata(&cluster, &old).await), before);
    assert_eq!(endpoints(&seen(&cluster).await), cluster.endpoints());
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(refused(&cluster, &old).await);
}

#[tokio::test(start_paused = true)]
async fn swapped_brokers_answer_at_each_others_address() {
    let cluster = with_topic();
    let (one, two) = (node(1, &cluster), node(2, &cluster));
    let (_, mut standing) = at_node_1(&cluster).await;
    inject(&cluster, "swap-addresses a=1 b=2");
    assert!(reset(ask(&mut standing).await));
    let answer = metadata(&cluster, &one).await;
    assert_eq!((&endpoints(&answer)[&NodeId(1)], &endpoints(&answer)[&NodeId(2)]), (&two, &one));
}

#[tokio::test(start_paused = true)]
async fn a_killed_broker_is_gone_until_it_is_restarted_even_the_last_one() {
    let cluster = with_topic();
    let (at, mut standing) = at_node_1(&cluster).await;
    inject(&cluster, "kill node=1");
    assert!(reset(ask(&mut standing).await));
    assert!(refused(&cluster, &at).await);
    let answer = seen(&cluster).await;
    assert_eq!(nodes(&answer), [2, 3]);
    assert!(leaders(&answer).iter().all(|leader| [2, 3].contains(leader)));
    inject(&cluster, "kill node=2");
    inject(&cluster, "kill node=3");
    assert!(refused(&cluster, &cluster.bootstrap()).await);
    inject(&cluster, "restart node=3");
    let answer = seen(&cluster).await;
    assert_eq!((nodes(&answer), leaders(&answer)), (vec![3], vec![3; 6]));
    inject(&cluster, "restart node=1");
    assert!(ask(&mut cluster.connect(&at).await.unwrap()).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_isolated_broker_is_still_named_and_reached_again_once_healed() {
    let cluster = started();
    let (at, mut standing) = at_node_1(&cluster).await;
    for way in ["both", "requests", "answers"] {
        inject(&cluster, &format!("isolate node=1 way={way}"));
        assert!(timeout(LIMIT, cluster.connect(&at)).await.is_err(), "{way}");
        assert_eq!(nodes(&seen(&cluster).await), [1, 2, 3]);
        inject(&cluster, "heal nodes=1");
        assert!(ask(&mut standing).await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn silenced_connections_stay_open_and_silent_while_new_ones_work() {
    let cluster = started();
    let (at, mut standing) = at_node_1(&cluster).await;
    inject(&cluster, "silence-connections nodes=1");
    assert!(timeout(LIMIT, ask(&mut standing)).await.is_err());
    inject(&cluster, "heal nodes=all");
    assert!(timeout(LIMIT, ask(&mut standing)).await.is_err(), "for good");
    assert!(ask(&mut cluster.connect(&at).await.unwrap()).await.unwrap());
    inject(&cluster, "kill node=1");
    assert!(reset(ask(&mut standing).await));
}

#[tokio::test(start_paused = true)]
async fn a_paused_broker_lets_clients_connect_and_answers_when_it_goes_on() {
    let cluster = started();
    let (at, mut standing) = at_node_1(&cluster).await;
    inject(&cluster, "pause node=1 during=2000ms");
    let begun = Instant::now();
    let mut fresh = cluster.connect(&at).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(ask(&mut fresh).await.unwrap() && ask(&mut standing).await.unwrap());
    assert_eq!(begun.elapsed().as_millis(), 2_000);

    inject(&cluster, "pause node=1 during=2000ms");
    inject(&cluster, "heal nodes=1");
    assert!(ask(&mut standing).await.unwrap());
    assert_eq!(begun.elapsed().as_millis(), 2_000);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_throttles_answers_says_so_and_is_deaf_on_that_connection_for_so_long() {
    let cluster = started();
    let (at, mut standing) = at_node_1(&cluster).await;
    inject(&cluster, "throttle nodes=1 by=300ms");
    let begun = Instant::now();
    assert_eq!(metadata(&cluster, &at).await.throttle_time_ms, 300);
    for expected in [0, 300, 600] {
        assert!(ask(&mut standing).await.unwrap());
        assert_eq!(begun.elapsed().as_millis(), expected);
    }
    inject(&cluster, "throttle nodes=1 by=0ms");
    for _ in 0..2 {
        assert!(ask(&mut standing).await.unwrap());
        assert_eq!(begun.elapsed().as_millis(), 900, "what was promised is kept");
    }
}

#[tokio::test(start_paused = true)]
async fn connections_beyond_the_quota_are_made_and_answered_when_it_is_their_turn() {
    let cluster = started();
    let (at, mut standing) = at_node_1(&cluster).await;
    inject(&cluster, "limit-connections nodes=1 per-second=4");
    let begun = Instant::now();
    let mut streams = Vec::new();
    for _ in 0..7 {
        streams.push(cluster.connect(&at).await.unwrap());
    }
    assert_eq!(begun.elapsed().as_millis(), 0, "all are made");
    let mut answered = Vec::new();
    for stream in &mut streams {
        assert!(ask(stream).await.unwrap());
        answered.push(begun.elapsed().as_millis());
    }
    assert_eq!(answered, [0, 0, 0, 0, 250, 500, 750], "a second's worth at once, and then one by one");
    assert!(ask(&mut standing).await.unwrap(), "what stood is not asked to wait");
    inject(&cluster, "heal nodes=1");
    let healed = Instant::now();
    assert!(ask(&mut cluster.connect(&at).await.unwrap()).await.unwrap());
    assert_eq!(healed.elapsed().as_millis(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_broker_takes_its_time_until_it_is_healed() {
    let cluster = started();
    cluster.set_latency(Duration::from_millis(2), Duration::ZERO);
    let (_, mut standing) = at_node_1(&cluster).await;
    for (line, expected) in [("slow node=1 by=300ms", 600..603), ("heal nodes=all", 4..7)] {
        inject(&cluster, line);
        let begun = Instant::now();
        assert!(ask(&mut standing).await.unwrap());
        let took = begun.elapsed().as_millis();
        assert!(expected.contains(&took), "{line}: {took} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn leaders_leave_a_broker_that_stays() {
    let cluster = with_topic();
    assert!(leaders(&seen(&cluster).await).contains(&1));
    inject(&cluster, "move-leaders from=1");
    let answer = seen(&cluster).await;
    assert_eq!(nodes(&answer), [1, 2, 3]);
    assert_eq!(BTreeSet::from_iter(leaders(&answer)), BTreeSet::from([2, 3]));
}

#[tokio::test(start_paused = true)]
async fn brokers_come_and_go_but_the_last_one_stays() {
    let cluster = started();
    inject(&cluster, "add-broker node=7");
    assert_eq!(nodes(&seen(&cluster).await), [1, 2, 3, 7]);
    assert!(ask(&mut cluster.connect(&node(7, &cluster)).await.unwrap()).await.unwrap());
    assert!(matches!(fails(&cluster, "add-broker node=7"), CommandError::KnownBroker { .. }));
    let gone = node(1, &cluster);
    for removed in [1, 2, 3] {
        inject(&cluster, &format!("remove-broker node={removed}"));
    }
    assert!(refused(&cluster, &gone).await);
    assert_eq!(nodes(&seen(&cluster).await), [7]);
    assert!(matches!(fails(&cluster, "remove-broker node=7"), CommandError::LastBroker { .. }));
    assert!(matches!(fails(&cluster, "kill node=1"), CommandError::NoSuchBroker { .. }));
    inject(&cluster, "add-broker node=1");
    assert_eq!(nodes(&seen(&cluster).await), [1, 7]);
}

#[tokio::test(start_paused = true)]
async fn brokers_say_what_is_not_so_until_they_are_healed() {
    let cluster = with_topic();
    let (at, other) = (node(1, &cluster), node(2, &cluster));
    inject(&cluster, "answer-as-other-cluster node=1");
    assert_eq!(metadata(&cluster, &at).await.cluster_id.as_deref(), Some("another-cluster"));
    assert_eq!(metadata(&cluster, &other).await.cluster_id.as_deref(), Some("embedded"));
    inject(&cluster, "answer-with-no-brokers nodes=1");
    assert_eq!(nodes(&metadata(&cluster, &at).await), [0; 0]);
    inject(&cluster, "answer-with-half-of-the-brokers nodes=all");
    let answer = metadata(&cluster, &other).await;
    assert_eq!(nodes(&answer), [1]);
    assert_eq!(BTreeSet::from_iter(leaders(&answer)), BTreeSet::from([-1, 1]));
    inject(&cluster, "heal nodes=all");
    for at in [&at, &other] {
        let answer = metadata(&cluster, at).await;
        assert_eq!((nodes(&answer), answer.cluster_id.as_deref()), (vec![1, 2, 3], Some("embedded")));
    }
}

async fn coordinator(cluster: &Embedded) -> (i16, i32) {
    let mut stream = cluster.connect(&cluster.bootstrap()).await.unwrap();
    let asked = FindCoordinatorRequest::default().with_key("billing".to_owned().into());
    let asked = RequestKind::FindCoordinator(asked);
    match request(&mut stream, ApiKey::FindCoordinator, 3, asked).await.unwrap() {
        ResponseKind::FindCoordinator(found) => (found.error_code, found.node_id.0),
        other => panic!("{other:?}"),
    }
}

/// Commits for a group that has no members; the error of the answer.
async fn commit(cluster: &Embedded, offset: i64) -> io::Result<i16> {
    let at = NodeId(coordinator(cluster).await.1);
    let mut stream = cluster.connect(&cluster.endpoints()[&at]).await?;
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
    let topic = OffsetCommitRequestTopic::default().with_name(StrBytes::from_static_str("orders").into());
    let asked = OffsetCommitRequest::default()
        .with_group_id(StrBytes::from_static_str("billing").into())
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic.with_partitions(vec![partition])]);
    match request(&mut stream, ApiKey::OffsetCommit, 8, RequestKind::OffsetCommit(asked)).await? {
        ResponseKind::OffsetCommit(answer) => Ok(answer.topics[0].partitions[0].error_code),
        other => panic!("{other:?}"),
    }
}

fn committed(cluster: &Embedded) -> Option<i64> {
    let committed = cluster.with(|cluster| cluster.committed("billing"));
    committed.get(&Partition::new("orders", 0)).map(|committed| committed.offset.0)
}

#[tokio::test(start_paused = true)]
async fn the_coordinator_is_unavailable_for_a_time_and_then_another_one() {
    const NOT_AVAILABLE: i16 = 15;
    let cluster = with_topic();
    assert_eq!(commit(&cluster, 5).await.unwrap(), 0);
    let (_, before) = coordinator(&cluster).await;
    inject(&cluster, "coordinator-unavailable during=3000ms");
    assert_eq!(coordinator(&cluster).await.0, NOT_AVAILABLE);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(coordinator(&cluster).await, (0, before));
    inject(&cluster, "move-coordinator");
    let (error, after) = coordinator(&cluster).await;
    assert_eq!(error, 0);
    assert_ne!(after, before);
    assert_eq!(committed(&cluster), Some(5));
}

#[tokio::test(start_paused = true)]
async fn commits_that_hang_are_stored_or_not() {
    let cluster = with_topic();
    for (stored, offset, expected) in [(false, 5, None), (true, 6, Some(6))] {
        inject(&cluster, &format!("hang-commits during=60000ms stored={stored}"));
        assert!(timeout(LIMIT, commit(&cluster, offset)).await.is_err());
        assert_eq!(committed(&cluster), expected);
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(commit(&cluster, 7).await.unwrap(), 0);
    assert_eq!(committed(&cluster), Some(7));
}

#[tokio::test(start_paused = true)]
async fn damages_befall_the_named_api_alone() {
    let cluster = with_topic();
    for (line, expected) in [
        ("reset-mid-frame node=1 api=OffsetFetch", Some(io::ErrorKind::ConnectionReset)),
        ("truncate-frame node=1 api=OffsetFetch", Some(io::ErrorKind::UnexpectedEof)),
        ("withhold-answer node=1 api=OffsetFetch", None),
    ] {
        let (_, mut stream) = at_node_1(&cluster).await;
        inject(&cluster, line);
        assert!(ask(&mut stream).await.unwrap(), "{line}: ApiVersions is answered");
        let asked = RequestKind::OffsetFetch(OffsetFetchRequest::default().with_topics(None));
        let outcome = timeout(LIMIT, request(&mut stream, ApiKey::OffsetFetch, 7, asked)).await;
        assert_eq!(outcome.ok().map(|outcome| outcome.unwrap_err().kind()), expected, "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_bootstrap_name_leads_elsewhere_until_it_is_restored() {
    let cluster = started();
    for (hosts, expected) in [("10.9.9.9", io::ErrorKind::ConnectionRefused), ("", io::ErrorKind::NotFound)] {
        inject(&cluster, &format!("change-dns name=bootstrap hosts={hosts}"));
        assert_eq!(cluster.connect(&cluster.bootstrap()).await.unwrap_err().kind(), expected);
    }
    inject(&cluster, "restore-dns name=bootstrap");
    assert_eq!(nodes(&seen(&cluster).await), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn another_cluster_takes_an_address_with_topics_of_the_same_names() {
    let cluster = with_topic();
    assert!(matches!(
        fails(&cluster, "address-taken-by-other-cluster node=2"),
        CommandError::NeverMoved { node: NodeId(2) }
    ));
    let old = node(2, &cluster);
    inject(&cluster, "move-endpoints nodes=all old=grace:9000ms");
    inject(&cluster, "address-taken-by-other-cluster node=2");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let answer = metadata(&cluster, &old).await;
    assert_eq!(answer.cluster_id.as_deref(), Some("embedded-other"));
    assert_eq!((&endpoints(&answer)[&NodeId(2)], leaders(&answer).len()), (&old, 6));
    let other = cluster.other_cluster().unwrap();
    assert_eq!(other.with(|other| other.id().clone()), ClusterId::from("embedded-other"));
    let end = other.with(|other| other.log_end(&Partition::new("orders", 3))).unwrap();
    assert!(end.0 > 0);
    let ours = seen(&cluster).await;
    assert_eq!((ours.cluster_id.as_deref(), endpoints(&ours)), (Some("embedded"), cluster.endpoints()));
}

#[tokio::test]
async fn what_tcp_cannot_do_is_refused_and_changes_nothing() {
    let cluster = Embedded::on_loopback(&Spec::default()).unwrap();
    let before = cluster.endpoints();
    for line in
        ["move-endpoints nodes=all old=drop", "change-dns name=kafka hosts=", "restore-dns name=kafka"]
    {
        assert!(matches!(fails(&cluster, line), CommandError::NotOverTcp { .. }), "{line}");
    }
    assert_eq!(cluster.endpoints(), before);
}

/// Plays a schedule; what a client that asks once a second saw, and the cluster at the end.
async fn played(seed: u64) -> (Vec<String>, Embedded) {
    let length = Duration::from_secs(300);
    let cluster = with_topic();
    let mut seen = Vec::new();
    let begun = Instant::now();
    let mut faults = Schedule::default().draw(seed, length, 12.0).into_iter().peekable();
    for second in 0..=length.as_secs() {
        let now = Duration::from_secs(second);
        while let Some((at, fault)) = faults.next_if(|(at, _)| *at <= now) {
            sleep_until(begun + at).await;
            cluster.inject(&fault).unwrap_or_else(|error| panic!("seed {seed}, {at:?} {fault}: {error}"));
        }
        let answer = async {
            let mut stream = cluster.connect(&cluster.bootstrap()).await?;
            ask(&mut stream).await
        };
        let answer = timeout(Duration::from_millis(900), answer).await;
        seen.push(format!("{:?} {answer:?} {:?}", begun.elapsed(), cluster.endpoints()));
    }
    (seen, cluster)
}

#[tokio::test(start_paused = true)]
async fn a_schedule_can_be_played_and_all_is_well_at_its_end() {
    for seed in 0..20 {
        let (_, cluster) = played(seed).await;
        let answer = seen(&cluster).await;
        assert_eq!(nodes(&answer), [1, 2, 3], "seed {seed}");
        assert!(leaders(&answer).iter().all(|leader| (1..=3).contains(leader)), "seed {seed}");
        for at in cluster.endpoints().values() {
            let answer = timeout(LIMIT, metadata(&cluster, at)).await.unwrap();
            assert_eq!(endpoints(&answer), cluster.endpoints(), "seed {seed}");
        }
        assert_eq!(coordinator(&cluster).await.0, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_is_played_the_same_way() {
    let first = played(77).await.0;
    assert_eq!(first, played(77).await.0);
    assert_ne!(first, played(78).await.0);
}
