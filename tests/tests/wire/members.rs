//! Partitions are shared with fellow members, handed over and taken back.

use std::collections::BTreeSet;

use steadfast_tests::brokers::Brokers;
use steadfast_tests::company::{
    ALL, Company, LIMIT, Ours, PARTITIONS, await_settling, await_sharing, partitions,
};
use steadfast_tests::either::Scene;

pub(crate) const SCENES: &[Scene] = &[
    ("members::a_librdkafka_consumer_shares_with_range", librdkafka_range),
    ("members::two_of_ours_share_with_range", two_with_range),
    ("members::two_of_ours_share_with_cooperative_sticky", two_with_cooperative_sticky),
    ("members::partitions_that_are_added_are_consumed", added_partitions),
    ("members::a_static_member_that_restarts_is_not_noticed", static_restart),
    ("members::a_static_member_restarts_in_mid_round", static_restart_in_round),
    ("members::who_takes_an_instance_s_place_fences_it", fenced),
];

pub(crate) const WITH_JAVA: &[Scene] = &[
    ("members::a_java_consumer_shares_with_range", java_range),
    ("members::a_java_consumer_shares_with_cooperative_sticky", java_cooperative),
    ("members::librdkafka_and_java_share_as_members_come_and_go", foreigners),
    ("members::ours_shares_with_librdkafka_and_java", all_three),
];

const RANGE: &str = "\"partition.assignment.strategy\" = \"range\"\n";
const COOPERATIVE: &str = "\"partition.assignment.strategy\" = \"cooperative-sticky\"\n";
const HALF: usize = ALL / 2;

/// The other leads first, then ours; the other leaves in order, then is killed.
fn java_range(brokers: &Brokers) {
    let mut company = Company::gather(brokers, "members-java-range");
    let first = company.java("range");
    await_sharing(&[(&first, ALL)]);
    let ours = company.ours(RANGE);
    ours.await_owned(HALF);
    assert!(!ours.leads(), "{}", ours.service.story());
    await_sharing(&[(&first, HALF), (&ours, HALF)]);
    company.see_off(first);
    ours.await_owned(ALL);
    await_sharing(&[(&ours, ALL)]);

    let second = company.java("range");
    ours.await_owned(HALF);
    assert!(ours.leads(), "{}", ours.service.story());
    await_sharing(&[(&second, HALF), (&ours, HALF)]);
    company.kill(second);
    ours.await_owned(ALL);
    await_sharing(&[(&ours, ALL)]);
    company.disband(vec![ours]);
}

/// As with range, but what is kept is never given up.
fn java_cooperative(brokers: &Brokers) {
    let mut company = Company::gather(brokers, "members-java-cooperative");
    let first = company.java("cooperative-sticky");
    await_sharing(&[(&first, ALL)]);
    let ours = company.ours(COOPERATIVE);
    ours.await_owned(HALF);
    assert!(!ours.leads(), "{}", ours.service.story());
    await_sharing(&[(&first, HALF), (&ours, HALF)]);
    company.see_off(first);
    ours.await_owned(ALL);
    await_sharing(&[(&ours, ALL)]);
    expect_nothing_given_up(&ours);

    let second = company.java("cooperative-sticky");
    let kept = ours.await_owned(HALF);
    assert!(ours.leads(), "{}", ours.service.story());
    await_sharing(&[(&second, HALF), (&ours, HALF)]);
    expect_given_up_only(&ours, &kept);
    company.see_off(second);
    ours.await_owned(ALL);
    await_sharing(&[(&ours, ALL)]);
    company.disband(vec![ours]);
}

/// What was given up was given up once, and is not what was kept.
fn expect_given_up_only(ours: &Ours, kept: &BTreeSet<i64>) {
    let mut given_up = ours.given_up();
    given_up.sort_unstable();
    let others: Vec<i64> = (0..i64::from(PARTITIONS)).filter(|partition| !kept.contains(partition)).collect();
    assert_eq!(given_up, others, "{}", ours.service.story());
}

fn expect_nothing_given_up(ours: &Ours) {
    assert!(ours.given_up().is_empty(), "{}", ours.service.story());
}

fn librdkafka_range(brokers: &Brokers) {
    let mut company = Company::gather(brokers, "members-librdkafka-range");
    let first = company.librdkafka("range");
    await_sharing(&[(&first, ALL)]);
    let ours = company.ours(RANGE);
    ours.await_owned(HALF);
    assert!(!ours.leads(), "{}", ours.service.story());
    await_sharing(&[(&first, HALF), (&ours, HALF)]);
    company.see_off_reader(first);
    ours.await_owned(ALL);
    await_sharing(&[(&ours, ALL)]);

    let second = company.librdkafka("range");
    ours.await_owned(HALF);
    assert!(ours.leads(), "{}", ours.service.story());
    await_sharing(&[(&second, HALF), (&ours, HALF)]);
    company.see_off_reader(second);
    ours.await_owned(ALL);
    await_sharing(&[(&ours, ALL)]);
    company.disband(vec![ours]);
}

/// Everything is given up in each round, and taken from where it was.
fn two_with_range(brokers: &Brokers) {
    let mut company = Company::gather(brokers, "members-two-range");
    let (first, second) = pair(&company, RANGE);
    assert_eq!(first.given_up().len(), ALL, "{}", first.service.story());
    assert_eq!(first.rounds()[0]["assignor"], "range");
    company.retire(first);
    second.await_owned(ALL);
    assert!(second.leads(), "{}", second.service.story());
    let third = joins(&company, &second, RANGE);
    company.retire(second);
    third.await_owned(ALL);
    assert!(third.leads(), "{}", third.service.story());
    await_sharing(&[(&third, ALL)]);
    company.disband(vec![third]);
}

/// Only what changes hands is given up.
fn two_with_cooperative_sticky(brokers: &Brokers) {
    let mut company = Company::gather(brokers, "members-two-cooperative");
    let (first, second) = pair(&company, COOPERATIVE);
    assert_eq!(first.rounds()[0]["assignor"], "cooperative-sticky");
    expect_given_up_only(&first, &first.owned());
    company.retire(first);
    second.await_owned(ALL);
    assert!(second.leads(), "{}", second.service.story());
    expect_nothing_given_up(&second);
    let third = joins(&company, &second, COOPERATIVE);
    expect_given_up_only(&second, &second.owned());
    company.retire(second);
    third.await_owned(ALL);
    assert!(third.leads(), "{}", third.service.story());
    expect_nothing_given_up(&third);
    await_sharing(&[(&third, ALL)]);
    company.disband(vec![third]);
}

/// One of ours, which leads, and another that joins it.
fn pair(company: &Company, settings: &str) -> (Ours, Ours) {
    let first = company.ours(settings);
    first.await_owned(ALL);
    await_sharing(&[(&first, ALL)]);
    let second = joins(company, &first, settings);
    assert!(first.leads() && !second.leads(), "{}", first.service.story());
    (first, second)
}

/// Another joins one that is alone: each has half when this returns.
fn joins(company: &Company, alone: &Ours, settings: &str) -> Ours {
    let joining = company.ours(settings);
    joining.await_owned(HALF);
    alone.await_owned(HALF);
    await_sharing(&[(alone, HALF), (&joining, HALF)]);
    joining
}

fn added_partitions(brokers: &Brokers) {
    let topic = "members-added";
    let mut company = Company::gather(brokers, topic);
    let ours = company.ours(&format!("{COOPERATIVE}\n[drift]\npoll_interval = \"500ms\"\n"));
    ours.await_owned(ALL);
    brokers.add_partitions(topic, PARTITIONS + 4).unwrap();
    company.extend_load(PARTITIONS..PARTITIONS + 4);
    ours.await_owned(ALL + 4);
    await_sharing(&[(&ours, ALL + 4)]);
    let assigned = ours.service.events_named("partitions.assigned");
    let assigned: Vec<BTreeSet<i64>> = assigned.iter().map(|event| partitions(&event.json)).collect();
    assert_eq!(assigned, [(0..12).collect(), (12..16).collect()], "{}", ours.service.story());
    expect_nothing_given_up(&ours);
    company.disband(vec![ours]);
}

fn static_settings(instance: &str) -> String {
    format!("\"group.instance.id\" = \"{instance}\"\n\"session.timeout.ms\" = 30000\n")
}

/// Two static members with half each; how many rounds the second took part in.
fn static_pair(company: &Company) -> (Ours, Ours, usize) {
    let first = company.ours(&static_settings("first"));
    first.await_owned(ALL);
    let second = company.ours(&static_settings("second"));
    second.await_owned(HALF);
    first.await_owned(HALF);
    await_sharing(&[(&first, HALF), (&second, HALF)]);
    let rounds = second.rounds().len();
    (first, second, rounds)
}

fn static_restart(brokers: &Brokers) {
    let mut company = Company::gather(brokers, "members-static-restart");
    let (first, second, rounds) = static_pair(&company);
    let had = first.owned();
    let workplace = company.retire(first);
    let first = Ours::at(workplace);
    assert_eq!(first.await_owned(HALF), had);
    await_sharing(&[(&first, HALF), (&second, HALF)]);
    assert_eq!(second.rounds().len(), rounds, "{}", second.service.story());
    company.disband(vec![first, second]);
}

/// The second hears of the third only by its next heartbeat; until then the first one's join is parked, and its
/// heartbeats go out without a member id.
fn static_restart_in_round(brokers: &Brokers) {
    let mut company = Company::gather(brokers, "members-static-in-round");
    let first = company.ours(&static_settings("first"));
    first.await_owned(ALL);
    let second = company.ours("\"heartbeat.interval.ms\" = 6000\n");
    second.await_owned(HALF);
    first.await_owned(HALF);
    let workplace = company.retire(first);
    let third = company.ours("");
    let first = Ours::at(workplace);
    for member in [&first, &second, &third] {
        member.await_owned(ALL / 3);
    }
    await_sharing(&[(&first, ALL / 3), (&second, ALL / 3), (&third, ALL / 3)]);
    company.disband(vec![first, second, third]);
}

fn fenced(brokers: &Brokers) {
    let mut company = Company::gather(brokers, "members-fenced");
    let (first, second, rounds) = static_pair(&company);
    let had = first.owned();
    let usurper = company.ours(&static_settings("first"));
    let refused = first.service.wait_for(LIMIT, "member.refused", |_| true).unwrap();
    let reason = refused.json["reason"].as_str().unwrap();
    assert!(reason.to_lowercase().contains("fenced"), "{reason}");
    company.fenced(first);
    assert_eq!(usurper.await_owned(HALF), had);
    await_sharing(&[(&usurper, HALF), (&second, HALF)]);
    assert_eq!(second.rounds().len(), rounds, "{}", second.service.story());
    company.disband(vec![usurper, second]);
}

/// None of ours: what the cluster does is what they expect of Kafka.
fn foreigners(brokers: &Brokers) {
    let mut company = Company::gather(brokers, "members-foreigners");
    let librdkafka = company.librdkafka("range");
    await_settling(&[(&librdkafka, ALL)]);
    let java = company.java("range");
    await_settling(&[(&librdkafka, HALF), (&java, HALF)]);
    let third = company.java("range");
    await_settling(&[(&librdkafka, ALL / 3), (&java, ALL / 3), (&third, ALL / 3)]);
    company.see_off_reader(librdkafka);
    await_settling(&[(&java, HALF), (&third, HALF)]);
    company.kill(java);
    await_settling(&[(&third, ALL)]);
    company.disband_java(third);
}

/// What one commits another goes on from, whoever they are.
fn all_three(brokers: &Brokers) {
    let mut company = Company::gather(brokers, "members-all-three");
    let ours = company.ours(RANGE);
    await_settling(&[(&ours, ALL)]);
    let (librdkafka, java) = (company.librdkafka("range"), company.java("range"));
    await_settling(&[(&ours, ALL / 3), (&librdkafka, ALL / 3), (&java, ALL / 3)]);
    company.retire(ours);
    await_settling(&[(&librdkafka, HALF), (&java, HALF)]);
    company.see_off_reader(librdkafka);
    await_settling(&[(&java, ALL)]);
    let ours = company.ours(RANGE);
    await_settling(&[(&java, HALF), (&ours, HALF)]);
    company.see_off(java);
    await_settling(&[(&ours, ALL)]);
    company.disband(vec![ours]);
}
