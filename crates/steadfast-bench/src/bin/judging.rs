//! What diffing, agreeing and merging leaders cost, by brokers and partitions: `just bench judging`. Each line is a whole
//! discovery, in which every broker is heard; what is linear takes the same time per entry heard at every size.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use steadfast_core::cluster::{Cluster, Leader, Rules as LeaderRules, Topic, Topics};
use steadfast_core::endpoints::agreement::{Agreement, Rules};
use steadfast_core::endpoints::drift::drift;
use steadfast_core::endpoints::view::{Address, Observation, View};
use steadfast_core::ids::{LeaderEpoch, NodeId, TopicId};
use steadfast_core::tick::Tick;

/// Brokers, and partitions in topics of ten.
const SIZES: [(i32, i32); 3] = [(10, 2_000), (100, 20_000), (1_000, 200_000)];

fn main() {
    println!("brokers  partitions  agree, one view  agree, a view each      diff  leaders, an answer");
    for (brokers, partitions) in SIZES {
        let heard = i64::from(brokers) * i64::from(brokers);
        let (one, each) = (agreeing(brokers, |_| 0), agreeing(brokers, |broker| broker));
        let (diff, leaders) = (diffing(brokers), merging(brokers, partitions));
        println!(
            "{brokers:>7}  {partitions:>10}  {:>15}  {:>18}  {:>8}  {:>18}",
            per(one, heard),
            per(each, heard),
            per(diff, i64::from(brokers)),
            per(leaders, i64::from(partitions)),
        );
    }
}

fn per(time: Duration, entries: i64) -> String {
    format!("{:.0} ns", time.as_nanos() as f64 / entries as f64)
}

fn address(broker: i32, generation: i32) -> Address {
    Address::new(format!("broker-{broker}.generation-{generation}.example"), 9092)
}

/// All brokers; the last is in a generation of its own, so that views which differ do so at their ends.
fn view(brokers: i32, generation: i32) -> View<NodeId> {
    let of = |broker| if broker + 1 == brokers { generation } else { 0 };
    let cluster = Some("benchmark".into());
    View::new(cluster, (0..brokers).map(|broker| (NodeId(broker), address(broker, of(broker)))))
}

#[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

/// A discovery in which every broker gives a view, judged after each.
fn agreeing(brokers: i32, generation: impl Fn(i32) -> i32) -> Duration {
    let answers: Vec<_> = (0..brokers)
        .map(|broker| {
            let view = view(brokers, generation(broker));
            Observation { witness: address(broker, 0), view, at: Tick::ZERO }
        })
        .collect();
    let in_use = view(brokers, 0);
    timed(|| {
        let mut agreement = Agreement::new(Rules::default(), None);
        for answer in answers {
            agreement.answered(answer, Tick::ZERO);
            std::hint::black_box(agreement.judge(Some(&in_use), Tick::ZERO));
        }
    })
}

fn diffing(brokers: i32) -> Duration {
    let one = view(brokers, 0);
    let mut other = view(brokers, 1);
    other.endpoints.values_mut().for_each(|endpoint| endpoint.address.port += 1);
    timed(|| drop(std::hint::black_box(drift(&one, &other))))
}

/// One answer about all topics, when every broker has told of them before.
fn merging(brokers: i32, partitions: i32) -> Duration {
    let leader = |index| (index, Leader { node: Some(NodeId(index % brokers)), epoch: LeaderEpoch(1) });
    let topic = |number: i32| {
        let topic =
            Topic { id: TopicId(1 + number as u128), error: None, partitions: (0..10).map(leader).collect() };
        (Arc::from(format!("topic-{number}")), topic)
    };
    let topics: Topics = (0..partitions / 10).map(topic).collect::<BTreeMap<_, _>>();
    let mut cluster = Cluster::new(LeaderRules::default());
    // A few stand for the thousand: each adds as much as the next.
    (0..brokers.min(20)).for_each(|broker| drop(cluster.observe(&address(broker, 0), &topics, Tick::ZERO)));
    timed(|| drop(std::hint::black_box(cluster.observe(&address(0, 0), &topics, Tick::ZERO))))
}
