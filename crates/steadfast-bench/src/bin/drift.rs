//! What the judgement costs: diffing and scoring two views, agreeing on one, taking in who leads what; at three sizes of
//! cluster, each ten times the one before. A cost per item that stays is linear.
#![expect(clippy::disallowed_methods, reason = "what is measured is real time")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use steadfast_bench::machine;
use steadfast_core::cluster::{self, Leader, Topic, Topics};
use steadfast_core::endpoints::agreement::{self, Agreement, Verdict};
use steadfast_core::endpoints::drift::{Threshold, drift};
use steadfast_core::endpoints::view::{Address, Observation, View};
use steadfast_core::ids::{ClusterId, LeaderEpoch, NodeId, TopicId};
use steadfast_core::tick::Tick;

/// Measures what diffing, scoring, agreeing and taking in leaders cost, up to 1,000 brokers and 200,000 partitions.
#[derive(Parser)]
struct Arguments {
    /// How often each is measured: the shortest time counts, the others were disturbed.
    #[arg(long, default_value_t = 7)]
    repeats: usize,
    /// How many times as much an item may cost at the largest size as at the smallest; more is not linear. Memory that
    /// no longer fits the caches is in it, and the logarithm of ordered maps.
    #[arg(long, default_value_t = 6.0)]
    most: f64,
}

/// Brokers, and partitions of their topics.
const SIZES: [(i32, i32); 3] = [(10, 2_000), (100, 20_000), (1_000, 200_000)];
const PARTITIONS_A_TOPIC: i32 = 100;
/// Short works are done so often that the clock's grain does not matter.
const ITEMS_AT_LEAST: i32 = 2_000;

fn main() -> ExitCode {
    let Arguments { repeats, most } = Arguments::parse();
    println!("{:#}\n", machine::describe());
    println!("nanoseconds per item; in brackets the whole, in microseconds\n");
    let sizes = SIZES.map(|(brokers, partitions)| format!("{brokers} brokers, {partitions} partitions"));
    println!("| | item | {} |\n|---|---|---|---|---|", sizes.join(" | "));
    let mut linear = true;
    for Work { what, item, items, measure } in works() {
        let costs = SIZES.map(|size| {
            let whole = (0..repeats.max(1)).map(|_| measure(size)).min().unwrap_or_default();
            (whole.as_nanos() as f64 / f64::from(items(size)), whole.as_secs_f64() * 1e6)
        });
        let cells = costs.map(|(each, whole)| format!("{each:.0} ({whole:.0})"));
        println!("| {what} | {item} | {} |", cells.join(" | "));
        if costs[2].0 > most * costs[0].0 {
            linear = false;
            eprintln!(
                "{what}: an item costs {:.1} times as much at the largest size",
                costs[2].0 / costs[0].0
            );
        }
    }
    if linear { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Something that is measured.
struct Work {
    what: &'static str,
    item: &'static str,
    /// How many items there are at a size.
    items: fn((i32, i32)) -> i32,
    measure: fn((i32, i32)) -> Duration,
}

fn works() -> [Work; 4] {
    [
        Work {
            what: "diff and score, all moved",
            item: "broker",
            items: |size| size.0,
            measure: diff_and_score,
        },
        Work {
            what: "an answer taken in and judged, half of them heard",
            item: "broker that it lists",
            items: |size| size.0,
            measure: agree,
        },
        Work { what: "leaders learnt", item: "partition", items: |size| size.1, measure: learn },
        Work { what: "leaders that did not change", item: "partition", items: |size| size.1, measure: again },
    ]
}

fn address(node: i32, generation: u16) -> Address {
    Address::new(format!("broker-{node}.kafka.example"), 9092 + generation)
}

fn view(brokers: i32, generation: u16) -> View<NodeId> {
    let endpoints = (1..=brokers).map(|node| (NodeId(node), address(node, generation)));
    View::new(Some(ClusterId::from("measured")), endpoints)
}

/// The time of one of so many repetitions that there are items enough.
fn timed(items: i32, work: impl Fn()) -> Duration {
    let times = (ITEMS_AT_LEAST / items.max(1)).max(1).unsigned_abs();
    let begun = Instant::now();
    for _ in 0..times {
        work();
    }
    begun.elapsed() / times
}

fn diff_and_score((brokers, _): (i32, i32)) -> Duration {
    let (before, after) = (view(brokers, 0), view(brokers, 1));
    timed(brokers, || {
        let drift = drift(black_box(&before), black_box(&after));
        black_box(Threshold::default().is_exceeded_by(drift.score));
    })
}

/// What one further answer costs when half of the brokers have answered already.
fn agree((brokers, _): (i32, i32)) -> Duration {
    let (in_use, named) = (view(brokers, 0), view(brokers, 1));
    let answer = |node| Observation { witness: address(node, 1), view: named.clone(), at: Tick::ZERO };
    let mut heard = Agreement::new(agreement::Rules::default(), None);
    let half = brokers / 2;
    for node in 1..=half {
        heard.answered(answer(node), Tick::ZERO);
    }
    let next = answer(half + 1);
    let begun = Instant::now();
    heard.answered(black_box(next), Tick::ZERO);
    let verdict: Verdict<NodeId> = heard.judge(Some(&in_use), Tick::ZERO);
    black_box(&verdict);
    begun.elapsed()
}

fn topics((brokers, partitions): (i32, i32)) -> Topics {
    let leader = |partition| Leader { node: Some(NodeId(partition % brokers + 1)), epoch: LeaderEpoch(7) };
    let topic = |number: i32| {
        let partitions: BTreeMap<i32, Leader> =
            (0..PARTITIONS_A_TOPIC).map(|partition| (partition, leader(partition + number))).collect();
        let topic = Topic { id: TopicId(number.unsigned_abs().into()), error: None, partitions };
        (Arc::from(format!("topic-{number}")), topic)
    };
    (1..=partitions / PARTITIONS_A_TOPIC).map(topic).collect()
}

fn learn(size: (i32, i32)) -> Duration {
    let (topics, witness) = (topics(size), address(1, 0));
    let mut known = cluster::Cluster::new(cluster::Rules::default());
    let begun = Instant::now();
    black_box(known.observe(&witness, black_box(&topics), Tick::ZERO));
    begun.elapsed()
}

fn again(size: (i32, i32)) -> Duration {
    let (topics, witness) = (topics(size), address(1, 0));
    let mut known = cluster::Cluster::new(cluster::Rules::default());
    known.observe(&witness, &topics, Tick::ZERO);
    let begun = Instant::now();
    black_box(known.observe(&witness, black_box(&topics), Tick::ZERO));
    begun.elapsed()
}
