//! Groups drawn at random, and what happens to them.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use steadfast_core::group::MemberId;
use steadfast_core::group::assign::{Assignments, Assignor, Candidate, PartitionCounts, PartitionRacks};
use steadfast_core::group::subscription::{Held, Subscription};
use steadfast_core::ids::{GroupGeneration, Partition};
use steadfast_tests::assignors::Group;

/// What happens to a group between two assignments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Members join.
    Join,
    /// Members leave.
    Leave,
    /// Topics get more partitions, or there are more topics.
    Counts,
    /// Members want other topics.
    Wishes,
    /// Members come back that missed a generation.
    Late,
    /// Nothing.
    Nothing,
}

pub(crate) const CHANGES: [Change; 6] =
    [Change::Join, Change::Leave, Change::Counts, Change::Wishes, Change::Late, Change::Nothing];

/// Draws a group; nobody holds anything yet.
pub(crate) fn cold(dice: &mut StdRng, racks: bool) -> Group {
    let topics = dice.random_range(1..=6);
    let counts: PartitionCounts = (0..topics).map(|number| (topic(number), count(dice))).collect();
    let alike = dice.random_bool(0.5);
    let statics = dice.random_bool(0.3);
    let size = dice.random_range(1..=12);
    let members = (0..size).map(|_| member(dice, &counts, (alike, statics, racks))).collect();
    let racks = if racks { places(dice, &counts) } else { PartitionRacks::new() };
    Group { assignor: Assignor::Range, members, counts, racks }
}

fn topic(number: usize) -> Arc<str> {
    format!("t{number}").into()
}

fn count(dice: &mut StdRng) -> i32 {
    // some of the same size: those are shared alike
    if dice.random_bool(0.3) { 6 } else { dice.random_range(0..=13) }
}

fn member(
    dice: &mut StdRng,
    counts: &PartitionCounts,
    (alike, statics, racks): (bool, bool, bool),
) -> Candidate {
    let wanted =
        |topic: &Arc<str>, dice: &mut StdRng| (alike || dice.random_bool(0.6)).then(|| topic.clone());
    let topics = at_least_one(counts.keys().filter_map(|topic| wanted(topic, dice)).collect());
    let instance =
        (statics && dice.random_bool(0.6)).then(|| format!("i{:06x}", dice.random_range(0..1 << 24)).into());
    let rack = (racks && dice.random_bool(0.9)).then(|| rack(dice).to_owned());
    Candidate {
        id: MemberId(format!("c{:08x}", dice.random::<u32>()).into()),
        instance,
        subscription: Subscription { topics, rack, ..Subscription::default() },
    }
}

/// Java takes a group for one with equal wishes if the first of its members wants nothing, and gives to each what another
/// wants.
fn at_least_one(mut topics: BTreeSet<Arc<str>>) -> BTreeSet<Arc<str>> {
    if topics.is_empty() {
        topics.insert(topic(0));
    }
    topics
}

fn rack(dice: &mut StdRng) -> &'static str {
    ["a", "b", "c"].choose(dice).unwrap()
}

fn places(dice: &mut StdRng, counts: &PartitionCounts) -> PartitionRacks {
    let mut of_partition = |_| (0..dice.random_range(1..=2)).map(|_| Arc::from(rack(dice))).collect();
    counts
        .iter()
        .map(|(topic, count)| (topic.clone(), (0..*count).map(&mut of_partition).collect()))
        .collect()
}

/// Everybody holds what it was given in a generation, and says so in both ways.
pub(crate) fn holding(members: &mut [Candidate], given: &Assignments, generation: i32) {
    for member in members {
        let held = given.get(&member.id).cloned().unwrap_or_default();
        hold(member, held, generation);
    }
}

fn hold(member: &mut Candidate, held: BTreeSet<Partition>, generation: i32) {
    let generation = Some(GroupGeneration(generation));
    member.subscription.owned = held.clone();
    member.subscription.generation = generation;
    member.subscription.previous = Held { partitions: held, generation };
}

/// Lets something happen to a group.
pub(crate) fn changed(dice: &mut StdRng, group: &mut Group, change: Change) {
    match change {
        Change::Join => {
            for _ in 0..dice.random_range(1..=3) {
                let mut joined = group.members.choose(dice).unwrap().clone();
                joined.id = MemberId(format!("c{:08x}", dice.random::<u32>()).into());
                joined.instance = None;
                let (topics, rack) = (joined.subscription.topics, joined.subscription.rack);
                joined.subscription = Subscription { topics, rack, ..Subscription::default() };
                group.members.push(joined);
            }
        }
        Change::Leave => {
            let stay = dice.random_range(1..=group.members.len());
            group.members.shuffle(dice);
            group.members.truncate(stay);
        }
        Change::Counts => {
            for count in group.counts.values_mut() {
                *count += dice.random_range(0..=4);
            }
            for (topic, places) in &mut group.racks {
                places.resize_with(usize::try_from(group.counts[topic]).unwrap(), || [Arc::from("a")].into());
            }
        }
        Change::Wishes => {
            let topics: Vec<Arc<str>> = group.counts.keys().cloned().collect();
            for member in &mut group.members {
                if dice.random_bool(0.3) {
                    let wanted = topics.iter().filter(|_| dice.random_bool(0.6)).cloned();
                    member.subscription.topics = at_least_one(wanted.collect());
                }
            }
        }
        Change::Late => late(dice, group),
        Change::Nothing => {}
    }
}

/// Some say to hold what others hold since a later generation.
fn late(dice: &mut StdRng, group: &mut Group) {
    let all: Vec<Partition> =
        group.members.iter().flat_map(|member| &member.subscription.owned).cloned().collect();
    for member in &mut group.members {
        if dice.random_bool(0.2) {
            let held = all.iter().filter(|_| dice.random_bool(0.2)).cloned().collect();
            hold(member, held, 4);
        }
    }
}
