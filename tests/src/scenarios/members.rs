//! Partitions are shared with fellow members, handed over and taken back.

use std::collections::BTreeSet;

use serde_json::Value;
use steadfast_sim::faults::Old;

use super::{Company, Endpoints, Gathering, Member, PARTITIONS, named, partitions, story};

/// Hands the names of this room's scenarios to a macro, but of those in which endpoints move: the one list that all
/// stages play.
#[macro_export]
macro_rules! members_scenarios {
    ($play:ident) => {
        $play! { members:
            two_of_ours_share_with_range,
            two_of_ours_share_with_cooperative_sticky,
            one_of_ours_that_crashes_is_replaced,
            partitions_that_are_added_are_consumed,
            a_static_member_that_restarts_is_not_noticed,
            a_static_member_restarts_in_mid_round,
            who_takes_an_instance_s_place_fences_it,
        }
    };
}

/// The same of the scenarios in which endpoints move.
#[macro_export]
macro_rules! moved_members_scenarios {
    ($play:ident) => {
        $play! { members:
            every_endpoint_moves_in_an_eager_round,
            every_endpoint_moves_in_a_cooperative_round,
        }
    };
}

const ALL: usize = PARTITIONS;
const HALF: usize = ALL / 2;
const RANGE: &str = "\"partition.assignment.strategy\" = \"range\"\n";
const COOPERATIVE: &str = "\"partition.assignment.strategy\" = \"cooperative-sticky\"\n";

/// Everything is given up in each round, and taken from where it was.
pub async fn two_of_ours_share_with_range(stage: &mut impl Gathering) {
    let mut company = stage.gather("members-two-range", Endpoints::Fixed).await;
    let (first, second) = pair(&mut company, RANGE).await;
    assert_eq!(given_up(&first).len(), ALL, "{}", story(&first.events()));
    assert_eq!(rounds(&first)[0]["assignor"], "range");
    company.retire(first).await;
    await_owned(&company, &second, ALL).await;
    expect_leader(&second);
    let third = joins(&mut company, &second, RANGE).await;
    company.retire(second).await;
    await_owned(&company, &third, ALL).await;
    expect_leader(&third);
    company.await_sharing(&[(&third, ALL)]).await;
    company.disband(vec![third]).await;
}

/// Only what changes hands is given up.
pub async fn two_of_ours_share_with_cooperative_sticky(stage: &mut impl Gathering) {
    let mut company = stage.gather("members-two-cooperative", Endpoints::Fixed).await;
    let (first, second) = pair(&mut company, COOPERATIVE).await;
    assert_eq!(rounds(&first)[0]["assignor"], "cooperative-sticky");
    expect_given_up_only(&first, &owned(&first));
    company.retire(first).await;
    await_owned(&company, &second, ALL).await;
    expect_leader(&second);
    expect_nothing_given_up(&second);
    let third = joins(&mut company, &second, COOPERATIVE).await;
    expect_given_up_only(&second, &owned(&second));
    company.retire(second).await;
    await_owned(&company, &third, ALL).await;
    expect_leader(&third);
    expect_nothing_given_up(&third);
    company.await_sharing(&[(&third, ALL)]).await;
    company.disband(vec![third]).await;
}

/// It is missed when its session ends; who is left takes over from what it had committed.
pub async fn one_of_ours_that_crashes_is_replaced(stage: &mut impl Gathering) {
    let prompt = format!("{COOPERATIVE}\"session.timeout.ms\" = 6000\n");
    let mut company = stage.gather("members-crash", Endpoints::Fixed).await;
    let (first, second) = pair(&mut company, &prompt).await;
    company.crash(first).await;
    await_owned(&company, &second, ALL).await;
    expect_leader(&second);
    expect_nothing_given_up(&second);
    company.await_sharing(&[(&second, ALL)]).await;
    company.disband(vec![second]).await;
}

/// A poll finds them, and the group's leader has them assigned.
pub async fn partitions_that_are_added_are_consumed(stage: &mut impl Gathering) {
    let topic = "members-added";
    let mut company = stage.gather(topic, Endpoints::Fixed).await;
    let ours = company.joins(&format!("{COOPERATIVE}\n[drift]\npoll_interval = \"500ms\"\n")).await;
    await_owned(&company, &ours, ALL).await;
    stage.add_partitions(topic, ALL + 4).await;
    company.extend_load(ALL..ALL + 4).await;
    await_owned(&company, &ours, ALL + 4).await;
    company.await_sharing(&[(&ours, ALL + 4)]).await;
    let assigned = named(ours.events(), "partitions.assigned");
    let assigned: Vec<BTreeSet<i64>> = assigned.iter().map(partitions).collect();
    assert_eq!(assigned, [(0..12).collect(), (12..16).collect()], "{}", story(&ours.events()));
    expect_nothing_given_up(&ours);
    company.disband(vec![ours]).await;
}

/// A static member is back before its session ends.
pub async fn a_static_member_that_restarts_is_not_noticed(stage: &mut impl Gathering) {
    let mut company = stage.gather("members-static-restart", Endpoints::Fixed).await;
    let (first, second, before) = static_pair(&mut company).await;
    let had = owned(&first);
    let place = company.retire(first).await;
    let first = company.rejoins(place).await;
    assert_eq!(await_owned(&company, &first, HALF).await, had);
    company.await_sharing(&[(&first, HALF), (&second, HALF)]).await;
    assert_eq!(rounds(&second).len(), before, "{}", story(&second.events()));
    company.disband(vec![first, second]).await;
}

/// The second hears of the third only by its next heartbeat; until then the first one's join is parked, and its
/// heartbeats go out without a member id.
pub async fn a_static_member_restarts_in_mid_round(stage: &mut impl Gathering) {
    let mut company = stage.gather("members-static-in-round", Endpoints::Fixed).await;
    let first = company.joins(&static_settings("first")).await;
    await_owned(&company, &first, ALL).await;
    let second = company.joins("\"heartbeat.interval.ms\" = 6000\n").await;
    await_owned(&company, &second, HALF).await;
    await_owned(&company, &first, HALF).await;
    let place = company.retire(first).await;
    let third = company.joins("").await;
    let first = company.rejoins(place).await;
    for member in [&first, &second, &third] {
        await_owned(&company, member, ALL / 3).await;
    }
    company.await_sharing(&[(&first, ALL / 3), (&second, ALL / 3), (&third, ALL / 3)]).await;
    company.disband(vec![first, second, third]).await;
}

/// Two processes under one instance id: the later one stays.
pub async fn who_takes_an_instance_s_place_fences_it(stage: &mut impl Gathering) {
    let mut company = stage.gather("members-fenced", Endpoints::Fixed).await;
    let (first, second, before) = static_pair(&mut company).await;
    let had = owned(&first);
    let usurper = company.joins(&static_settings("first")).await;
    let refused = || named(first.events(), "member.refused").pop();
    let refused = company.until("member.refused", refused).await;
    let reason = refused["reason"].to_string();
    assert!(reason.to_lowercase().contains("fenced"), "{reason}");
    company.fenced(first).await;
    assert_eq!(await_owned(&company, &usurper, HALF).await, had);
    company.await_sharing(&[(&usurper, HALF), (&second, HALF)]).await;
    assert_eq!(rounds(&second).len(), before, "{}", story(&second.events()));
    company.disband(vec![usurper, second]).await;
}

/// In mid-round of `range`, into black holes.
pub async fn every_endpoint_moves_in_an_eager_round(stage: &mut impl Gathering) {
    moved_in_round(stage, "members-moved-eager", RANGE, Old::BlackHole).await;
}

/// In mid-round of `cooperative-sticky`, and the old ports refuse.
pub async fn every_endpoint_moves_in_a_cooperative_round(stage: &mut impl Gathering) {
    moved_in_round(stage, "members-moved-cooperative", COOPERATIVE, Old::Refuse).await;
}

/// The first member hears of the round by its next heartbeat, which is far away: until then the second one's
/// join is parked.
const SLOW_BEAT: &str = "\"heartbeat.interval.ms\" = 15000\n";

async fn moved_in_round(stage: &mut impl Gathering, name: &str, strategy: &str, old: Old) {
    let mut company = stage.gather(name, Endpoints::Movable).await;
    let first = company.joins(&format!("{strategy}{SLOW_BEAT}")).await;
    await_owned(&company, &first, ALL).await;
    company.await_sharing(&[(&first, ALL)]).await;
    let second = company.joins_into_a_round(strategy).await;
    let before = rounds(&first).len();
    let moved = company.shift(old).await;
    await_owned(&company, &second, HALF).await;
    await_owned(&company, &first, HALF).await;
    assert_eq!(before, 1, "the round was over before the move\n{}", story(&first.events()));
    assert!(first.first_told("group.rebalanced", moved).is_some(), "{}", story(&first.events()));
    company.await_sharing(&[(&first, HALF), (&second, HALF)]).await;
    company.disband(vec![first, second]).await;
}

/// One of ours, which leads, and another that joins it.
async fn pair<C: Company>(company: &mut C, settings: &str) -> (C::Member, C::Member) {
    let first = company.joins(settings).await;
    await_owned(company, &first, ALL).await;
    company.await_sharing(&[(&first, ALL)]).await;
    let second = joins(company, &first, settings).await;
    expect_leader(&first);
    assert!(!leads(&second), "{}", story(&second.events()));
    (first, second)
}

/// Another joins one that is alone: each has half when this returns.
pub(super) async fn joins<C: Company>(company: &mut C, alone: &C::Member, settings: &str) -> C::Member {
    let joining = company.joins(settings).await;
    await_owned(company, &joining, HALF).await;
    await_owned(company, alone, HALF).await;
    company.await_sharing(&[(alone, HALF), (&joining, HALF)]).await;
    joining
}

fn static_settings(instance: &str) -> String {
    format!("\"group.instance.id\" = \"{instance}\"\n\"session.timeout.ms\" = 30000\n")
}

/// Two static members with half each; how many rounds the second took part in.
async fn static_pair<C: Company>(company: &mut C) -> (C::Member, C::Member, usize) {
    let first = company.joins(&static_settings("first")).await;
    await_owned(company, &first, ALL).await;
    let second = company.joins(&static_settings("second")).await;
    await_owned(company, &second, HALF).await;
    await_owned(company, &first, HALF).await;
    company.await_sharing(&[(&first, HALF), (&second, HALF)]).await;
    let rounds = rounds(&second).len();
    (first, second, rounds)
}

/// The partitions that its events say it owns.
pub(super) fn owned(member: &impl Member) -> BTreeSet<i64> {
    let mut owned = BTreeSet::new();
    for event in member.events() {
        match event["event.name"].as_str() {
            Some("partitions.assigned") => owned.extend(partitions(&event)),
            Some("partitions.revoked" | "partitions.lost") => {
                let gone = partitions(&event);
                owned.retain(|partition| !gone.contains(partition));
            }
            _ => {}
        }
    }
    owned
}

/// Waits until it owns so many partitions.
pub(super) async fn await_owned<C: Company>(company: &C, member: &C::Member, wanted: usize) -> BTreeSet<i64> {
    let has = || Some(owned(member)).filter(|owned| owned.len() == wanted);
    company.until(&format!("{wanted} partitions owned"), has).await
}

/// All partitions that it ever gave up or lost, in order.
pub(super) fn given_up(member: &impl Member) -> Vec<i64> {
    let ends = |event: &Value| {
        matches!(event["event.name"].as_str(), Some("partitions.revoked" | "partitions.lost"))
    };
    member.events().iter().filter(|event| ends(event)).flat_map(partitions).collect()
}

/// The rounds that it took part in.
pub(super) fn rounds(member: &impl Member) -> Vec<Value> {
    named(member.events(), "group.rebalanced")
}

/// Whether it led the group in the last round.
fn leads(member: &impl Member) -> bool {
    rounds(member).last().is_some_and(|round| round["led"] == true)
}

fn expect_leader(member: &impl Member) {
    assert!(leads(member), "{}", story(&member.events()));
}

/// What was given up was given up once, and is not what was kept.
pub(super) fn expect_given_up_only(member: &impl Member, kept: &BTreeSet<i64>) {
    let mut given_up = given_up(member);
    given_up.sort_unstable();
    let others: Vec<i64> = (0..12).filter(|partition| !kept.contains(partition)).collect();
    assert_eq!(given_up, others, "{}", story(&member.events()));
}

pub(super) fn expect_nothing_given_up(member: &impl Member) {
    assert!(given_up(member).is_empty(), "{}", story(&member.events()));
}
