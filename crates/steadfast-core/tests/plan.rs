//! What a plan promises, for groups of any shape.
#![expect(clippy::unwrap_used, reason = "a plan that is refused fails its test")]

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use steadfast_core::group::assign::{Assignments, Assignor, Candidate, PartitionCounts};
use steadfast_core::group::subscription::Subscription;
use steadfast_core::plan::{Balance, Changes, Group, Moved, Outlook, Plan, Refused, Target, plan};

const STICKY: [Assignor; 2] = [Assignor::Sticky, Assignor::CooperativeSticky];

fn counts(of: &[(&str, i32)]) -> PartitionCounts {
    of.iter().map(|(topic, count)| (Arc::from(*topic), *count)).collect()
}

fn planned(members: usize, topics: &PartitionCounts) -> Plan {
    plan(&Group::of(members, topics).unwrap(), &Changes::default()).unwrap()
}

fn of(plan: &Plan, assignor: Assignor) -> Outlook {
    plan.assignors.iter().find(|outlook| outlook.assignor == assignor).unwrap().clone()
}

fn any_counts() -> impl Strategy<Value = PartitionCounts> {
    prop::collection::vec(1..14i32, 1..5).prop_map(|counts| {
        counts.into_iter().enumerate().map(|(number, count)| (format!("t{number}").into(), count)).collect()
    })
}

#[test]
fn three_members_of_twelve_partitions_are_planned_to_the_last_number() {
    let plan = planned(3, &counts(&[("orders", 12)]));
    assert_eq!((plan.members, plan.partitions, plan.now), (3, 12, None));
    let even = Balance { least: 4, most: 4, spread: 0, idle: 0 };
    for outlook in &plan.assignors {
        assert_eq!((outlook.balance, outlook.switch), (even, None), "{outlook:?}");
        assert_eq!((outlook.pays.useful, outlook.pays.enough), (Some(12), Some(3)));
    }
    for assignor in STICKY {
        let outlook = of(&plan, assignor);
        assert_eq!(
            (outlook.join, outlook.leave),
            (Moved { least: 3, most: 3 }, Some(Moved { least: 4, most: 4 }))
        );
        // each leave moves 4 away and each join 4 back
        assert_eq!(outlook.restart.dynamic, Some(24));
        assert_eq!(outlook.restart.fixed, Some(Moved { least: 0, most: 0 }));
    }
    let range = of(&plan, Assignor::Range);
    // 0-3 4-7 8-11 become 0-2 3-5 6-8 9-11: 3, 6, 7, 9, 10 and 11 move if the new one stands last, 3, 4, 5 and 8 if
    // it stands second
    assert_eq!(range.join, Moved { least: 4, most: 6 });
    // 0-5 6-11: where the middle one leaves its own 4 move, else 6
    assert_eq!(range.leave, Some(Moved { least: 4, most: 6 }));
}

#[test]
fn under_range_small_topics_leave_members_idle_and_burden_the_first() {
    let plan = planned(4, &counts(&[("a", 2), ("b", 2), ("c", 2)]));
    let range = of(&plan, Assignor::Range);
    assert_eq!(range.balance, Balance { least: 0, most: 3, spread: 3, idle: 2 });
    assert_eq!((range.pays.useful, range.pays.enough), (Some(2), Some(2)));
    let sticky = of(&plan, Assignor::Sticky);
    assert_eq!(sticky.balance, Balance { least: 1, most: 2, spread: 1, idle: 0 });
    assert_eq!((sticky.pays.useful, sticky.pays.enough), (Some(6), Some(3)));
}

#[test]
fn the_last_member_has_nobody_to_leave_to() {
    let plan = planned(1, &counts(&[("t", 5)]));
    assert!(
        plan.assignors.iter().all(|outlook| outlook.leave.is_none() && outlook.restart.dynamic == Some(0))
    );
}

#[test]
fn new_partitions_move_no_old_ones_under_sticky_assignors_and_some_under_range() {
    let group = Group::of(3, &counts(&[("t", 6)])).unwrap();
    let changes = Changes { partitions: counts(&[("t", 6)]), target: None };
    let plan = plan(&group, &changes).unwrap();
    for assignor in STICKY {
        let grown = of(&plan, assignor).new_partitions.unwrap();
        assert_eq!((grown.moved, grown.balance.most, grown.balance.spread), (0, 4, 0));
    }
    // 0-1 2-3 4-5 become 0-3 4-7 8-11: 2, 3, 4 and 5 move
    assert_eq!(of(&plan, Assignor::Range).new_partitions.unwrap().moved, 4);
}

#[test]
fn a_group_that_is_too_large_to_try_is_planned_without_restarts() {
    let plan = planned(2000, &counts(&[("t", 10)]));
    assert!(plan.assignors.iter().all(|outlook| {
        outlook.restart.dynamic.is_none() && outlook.restart.fixed.is_none() && outlook.balance.idle == 1990
    }));
}

#[test]
fn partitions_cannot_be_added_to_what_nobody_reads() {
    let group = Group::of(3, &counts(&[("t", 6)])).unwrap();
    let changes = Changes { partitions: counts(&[("u", 6)]), target: None };
    assert_eq!(plan(&group, &changes), Err(Refused::NoTopic("u".into())));
}

fn live(shares: &[&[i32]]) -> Group {
    let id = |number: usize| format!("m{number}").as_str().into();
    let member = |number| Candidate {
        id: id(number),
        instance: None,
        subscription: Subscription { topics: BTreeSet::from(["t".into()]), ..Subscription::default() },
    };
    let share = |indexes: &[i32]| {
        indexes.iter().map(|index| steadfast_core::ids::Partition::new("t", *index)).collect::<BTreeSet<_>>()
    };
    let held: Assignments = shares.iter().enumerate().map(|(number, of)| (id(number), share(of))).collect();
    Group::live((0..shares.len()).map(member).collect(), &counts(&[("t", 6)]), held).unwrap()
}

#[test]
fn a_live_group_is_planned_from_what_its_members_hold() {
    let plan = plan(&live(&[&[0, 3, 4, 5], &[1], &[2]]), &Changes::default()).unwrap();
    assert_eq!(plan.now, Some(Balance { least: 1, most: 4, spread: 3, idle: 0 }));
    for assignor in STICKY {
        assert_eq!(of(&plan, assignor).switch, Some(2), "{assignor}");
    }
    // 0-1 2-3 4-5: 1, 2, 3, 4 and 5 are elsewhere
    assert_eq!(of(&plan, Assignor::Range).switch, Some(5));
    // 0 3, 1 4, 2 5
    assert_eq!(of(&plan, Assignor::RoundRobin).switch, Some(2));
}

#[test]
fn what_two_members_say_to_hold_is_settled_too() {
    let plan = plan(&live(&[&[0, 1, 2], &[0, 1, 2, 3]]), &Changes::default()).unwrap();
    for outlook in &plan.assignors {
        assert_eq!((outlook.balance.least, outlook.balance.most), (3, 3), "{outlook:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn useful_and_enough_are_what_assignors_really_do(members in 1..20usize, topics in any_counts()) {
        let now = planned(members, &topics);
        for outlook in &now.assignors {
            let useful = usize::try_from(outlook.pays.useful.unwrap()).unwrap();
            let enough = usize::try_from(outlook.pays.enough.unwrap()).unwrap();
            prop_assert_eq!(outlook.balance.idle, members.saturating_sub(useful), "{:?}", outlook);
            prop_assert!(enough <= members);
            let with = of(&planned(enough, &topics), outlook.assignor);
            prop_assert_eq!(with.balance.most, outlook.balance.most);
            if enough > 1 {
                let fewer = of(&planned(enough - 1, &topics), outlook.assignor);
                prop_assert!(fewer.balance.most > outlook.balance.most);
            }
        }
    }

    #[test]
    fn sticky_assignors_move_no_more_than_a_share(members in 2..12usize, topics in any_counts()) {
        let plan = planned(members, &topics);
        for assignor in STICKY {
            let outlook = of(&plan, assignor);
            let leave = outlook.leave.unwrap();
            prop_assert!(leave.least >= outlook.balance.least && leave.most <= outlook.balance.most);
            prop_assert!(outlook.join.most <= plan.partitions.div_ceil(members + 1));
            prop_assert!(outlook.restart.dynamic.unwrap() <= 2 * members * outlook.balance.most);
        }
    }

    #[test]
    fn static_members_keep_their_place_under_range_and_roundrobin(members in 1..12usize, topics in any_counts()) {
        let plan = planned(members, &topics);
        for assignor in [Assignor::Range, Assignor::RoundRobin] {
            prop_assert_eq!(of(&plan, assignor).restart.fixed, Some(Moved { least: 0, most: 0 }));
        }
    }

    #[test]
    fn who_follows_a_plan_can_do_the_target(
        topics in any_counts(),
        rate in 1..5000u64,
        per_partition in 1..500u64,
        per_member in prop::option::of(1..2000u64),
    ) {
        let group = Group::of(3, &topics).unwrap();
        let target = Target { rate, per_partition: Some(per_partition), per_member };
        let now = plan(&group, &Changes { partitions: counts(&[]), target: Some(target) }).unwrap();
        let capacity = now.target.unwrap();
        let each = |count: u64| u128::from(count) * u128::from(rate) / u128::from(capacity.partitions);
        prop_assert!(each(1) <= u128::from(capacity.per_partition), "a partition's share");
        for outlook in &now.assignors {
            let Some(needed) = outlook.needed else {
                prop_assert_eq!(outlook.assignor, Assignor::Range);
                continue;
            };
            let then = capacity.topics.iter().map(|(topic, count)| (topic.clone(), i32::try_from(*count).unwrap()));
            let with = |members: u64| {
                let group = Group::of(usize::try_from(members).unwrap(), &then.clone().collect()).unwrap();
                let most = of(&plan(&group, &Changes::default()).unwrap(), outlook.assignor).balance.most;
                u64::try_from(most).unwrap()
            };
            if needed <= 40 {
                prop_assert!(with(needed) <= capacity.partitions_per_member);
                prop_assert!(needed == 1 || with(needed - 1) > capacity.partitions_per_member);
            }
        }
    }
}
