//! What every assignor promises, for groups of any shape.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use steadfast_core::group::MemberId;
use steadfast_core::group::assign::{Assignments, Assignor, Candidate, PartitionCounts};
use steadfast_core::group::subscription::{Held, Subscription};
use steadfast_core::ids::{GroupGeneration, Partition};

const COOPERATIVE: Assignor = Assignor::CooperativeSticky;
/// Those that leave partitions where they are.
const STICKY: [Assignor; 2] = [Assignor::Sticky, Assignor::CooperativeSticky];

fn topic(number: usize) -> Arc<str> {
    format!("t{number}").into()
}

fn member(number: usize, topics: BTreeSet<Arc<str>>) -> Candidate {
    let subscription = Subscription { topics, ..Subscription::default() };
    Candidate { id: MemberId(format!("m{number:03}").into()), instance: None, subscription }
}

fn any_counts() -> impl Strategy<Value = PartitionCounts> {
    prop::collection::vec(0..12i32, 1..6)
        .prop_map(|counts| counts.into_iter().enumerate().map(|(n, count)| (topic(n), count)).collect())
}

/// Members that all want all topics.
fn any_equal_group() -> impl Strategy<Value = (Vec<Candidate>, PartitionCounts)> {
    (1..12usize, any_counts()).prop_map(|(size, counts)| {
        let topics: BTreeSet<Arc<str>> = counts.keys().cloned().collect();
        ((0..size).map(|number| member(number, topics.clone())).collect(), counts)
    })
}

/// Members that want different topics, some of which do not exist.
fn any_group() -> impl Strategy<Value = (Vec<Candidate>, PartitionCounts)> {
    let wishes = prop::collection::vec(prop::collection::btree_set((0..7usize).prop_map(topic), 0..6), 1..12);
    (wishes, any_counts()).prop_map(|(wishes, counts)| {
        (wishes.into_iter().enumerate().map(|(number, topics)| member(number, topics)).collect(), counts)
    })
}

/// Members that say to hold what they like, under generations of their own.
fn any_claiming_group() -> impl Strategy<Value = (Vec<Candidate>, PartitionCounts)> {
    let claim = (0..7usize, -1..14i32).prop_map(|(number, index)| Partition::new(topic(number), index));
    let claims = prop::collection::btree_set(claim, 0..20);
    let held = prop::collection::vec((claims, prop::option::of(0..3i32)), 12);
    (any_group(), held).prop_map(|((mut members, counts), held)| {
        for (member, (owned, generation)) in members.iter_mut().zip(held) {
            let generation = generation.map(GroupGeneration);
            member.subscription.previous = Held { partitions: owned.clone(), generation };
            member.subscription.owned = owned;
            member.subscription.generation = generation;
        }
        (members, counts)
    })
}

/// The next round: everybody holds what it was given, and says so in both ways.
fn holding(members: &[Candidate], given: &Assignments, generation: i32) -> Vec<Candidate> {
    let mut members = members.to_vec();
    for member in &mut members {
        let generation = Some(GroupGeneration(generation));
        member.subscription.owned = given[&member.id].clone();
        member.subscription.generation = generation;
        member.subscription.previous = Held { partitions: given[&member.id].clone(), generation };
    }
    members
}

/// Rounds until nobody has to give anything up: how many, and what everybody has then.
fn settled(assignor: Assignor, members: &[Candidate], counts: &PartitionCounts) -> (i32, Assignments) {
    let mut given = assignor.assign(members, counts);
    for generation in 1..6 {
        let again = assignor.assign(&holding(members, &given, generation), counts);
        if again == given {
            return (generation, given);
        }
        given = again;
    }
    panic!("not settled after five rounds: {given:?}");
}

fn wanted(members: &[Candidate], counts: &PartitionCounts) -> BTreeSet<Partition> {
    let topics: BTreeSet<&Arc<str>> = members
        .iter()
        .flat_map(|member| &member.subscription.topics)
        .filter(|topic| counts.contains_key(*topic))
        .collect();
    topics
        .into_iter()
        .flat_map(|topic| (0..counts[topic]).map(|index| Partition::new(topic.clone(), index)))
        .collect()
}

/// Each partition once, to somebody who wants it.
fn assert_sound(members: &[Candidate], given: &Assignments) -> BTreeMap<Partition, MemberId> {
    let mut owners = BTreeMap::new();
    assert_eq!(given.len(), members.len());
    for member in members {
        for partition in &given[&member.id] {
            assert!(member.subscription.topics.contains(&partition.topic), "{} has {partition}", member.id);
            let other = owners.insert(partition.clone(), member.id.clone());
            assert_eq!(other, None, "{partition} is given twice");
        }
    }
    owners
}

fn sizes(given: &Assignments) -> Vec<usize> {
    given.values().map(BTreeSet::len).collect()
}

proptest! {
    #[test]
    fn every_wanted_partition_goes_to_exactly_one_member((members, counts) in any_group()) {
        for assignor in Assignor::ALL {
            let owners = assert_sound(&members, &assignor.assign(&members, &counts));
            prop_assert_eq!(owners.into_keys().collect::<BTreeSet<_>>(), wanted(&members, &counts));
        }
    }

    #[test]
    fn the_order_of_members_has_no_influence((members, counts) in any_claiming_group()) {
        let reversed: Vec<Candidate> = members.iter().rev().cloned().collect();
        for assignor in Assignor::ALL {
            prop_assert_eq!(assignor.assign(&members, &counts), assignor.assign(&reversed, &counts));
        }
    }

    #[test]
    fn whatever_members_claim_nobody_is_given_what_another_may_hold((members, counts) in any_claiming_group()) {
        let given = COOPERATIVE.assign(&members, &counts);
        for (partition, owner) in assert_sound(&members, &given) {
            let generation = |member: &Candidate| member.subscription.generation.map_or(-1, |generation| generation.0);
            let claimants: Vec<&Candidate> =
                members.iter().filter(|member| member.subscription.owned.contains(&partition)).collect();
            let highest = claimants.iter().map(|member| generation(member)).max();
            let mut valid = claimants.iter().filter(|member| Some(generation(member)) == highest);
            prop_assert!(valid.all(|member| member.id == owner), "{} goes to {}", partition, owner);
        }
    }

    #[test]
    fn whatever_members_claim_rounds_end_with_everything_given((members, counts) in any_claiming_group()) {
        for assignor in STICKY {
            let (_, given) = settled(assignor, &members, &counts);
            let owners = assert_sound(&members, &given);
            prop_assert_eq!(owners.into_keys().collect::<BTreeSet<_>>(), wanted(&members, &counts));
        }
    }

    #[test]
    fn equal_members_differ_by_one_at_most((members, counts) in any_equal_group()) {
        for assignor in STICKY {
            let sizes = sizes(&settled(assignor, &members, &counts).1);
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{:?}", sizes);
        }
    }

    #[test]
    fn no_single_move_would_make_it_more_even((members, counts) in any_group()) {
        for assignor in STICKY {
            let (_, given) = settled(assignor, &members, &counts);
            for (id, partitions) in &given {
                for partition in partitions {
                    for other in members.iter().filter(|other| other.subscription.topics.contains(&partition.topic)) {
                        prop_assert!(given[&other.id].len() + 1 >= partitions.len(), "{} from {}", partition, id);
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_moves_when_nothing_changes((members, counts) in any_group()) {
        for assignor in STICKY {
            let (_, given) = settled(assignor, &members, &counts);
            prop_assert_eq!(assignor.assign(&holding(&members, &given, 9), &counts), given);
        }
    }

    #[test]
    fn when_one_leaves_only_its_partitions_move_and_in_one_round((members, counts) in any_equal_group()) {
        for assignor in STICKY {
            let (_, before) = settled(assignor, &members, &counts);
            let mut left = holding(&members, &before, 9);
            let gone = left.remove(0);
            let after = assignor.assign(&left, &counts);
            for member in &left {
                prop_assert!(before[&member.id].is_subset(&after[&member.id]));
            }
            let taken: usize = sizes(&after).iter().sum::<usize>() + if left.is_empty() { before[&gone.id].len() } else { 0 };
            prop_assert_eq!(taken, wanted(&members, &counts).len());
        }
    }

    #[test]
    fn when_one_joins_no_more_moves_than_it_needs((members, counts) in any_equal_group()) {
        for assignor in STICKY {
            let (_, before) = settled(assignor, &members, &counts);
            let mut more = holding(&members, &before, 9);
            more.push(member(999, counts.keys().cloned().collect()));
            let (_, after) = settled(assignor, &more, &counts);
            let kept: usize = before.iter().map(|(id, held)| held.intersection(&after[id]).count()).sum();
            let total = wanted(&members, &counts).len();
            prop_assert_eq!(total - kept, after[&more[members.len()].id].len());
        }
    }
}

#[test]
fn a_thousand_members_share_a_hundred_thousand_partitions() {
    let topics: BTreeSet<Arc<str>> = (0..100).map(topic).collect();
    let counts: PartitionCounts = topics.iter().map(|topic| (topic.clone(), 1000)).collect();
    let members: Vec<Candidate> = (0..1000).map(|number| member(number, topics.clone())).collect();
    for assignor in Assignor::ALL {
        let given = assignor.assign(&members, &counts);
        assert!(sizes(&given).iter().all(|size| *size == 100));
    }
    for assignor in STICKY {
        let given = assignor.assign(&members, &counts);
        let left = assignor.assign(&holding(&members, &given, 1)[1..], &counts);
        assert_eq!(left.values().map(BTreeSet::len).sum::<usize>(), 100_000);
        assert!(members[1..].iter().all(|member| given[&member.id].is_subset(&left[&member.id])));
    }
}

#[test]
fn eager_and_cooperative_ones_differ_only_in_what_they_withhold() {
    let topics: BTreeSet<Arc<str>> = [topic(0)].into();
    let counts: PartitionCounts = [(topic(0), 6)].into();
    let pair = [member(0, topics.clone()), member(1, topics.clone())];
    let given = COOPERATIVE.assign(&pair, &counts);
    let mut three = holding(&pair, &given, 1);
    three.push(member(2, topics));
    let (eager, first) = (Assignor::Sticky.assign(&three, &counts), COOPERATIVE.assign(&three, &counts));
    assert_eq!((sizes(&eager), sizes(&first)), (vec![2, 2, 2], vec![2, 2, 0]));
    assert_eq!(COOPERATIVE.assign(&holding(&three, &first, 2), &counts), eager);
}
