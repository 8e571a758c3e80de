//! Partitions are shared with fellow members, handed over and taken back.

use std::collections::BTreeSet;

use futures::executor::block_on;
use steadfast_tests::brokers::Brokers;
use steadfast_tests::company::{ALL, Company, Ours, PARTITIONS, await_settling, await_sharing};
use steadfast_tests::either::Scene;
use steadfast_tests::gathered::Settled;
use steadfast_tests::scenarios;

pub(crate) const SCENES: &[Scene] = &[("members::a_librdkafka_consumer_shares_with_range", librdkafka_range)];

/// The scenarios that are played under virtual time too.
macro_rules! scenes {
    ($room:ident: $($scenario:ident),+ $(,)?) => {
        pub(crate) const OF_OURS: &[Scene] = &[$((
            concat!(stringify!($room), "::", stringify!($scenario)),
            |brokers| block_on(scenarios::$room::$scenario(&mut Settled(brokers))),
        )),+];
    };
}

steadfast_tests::members_scenarios!(scenes);

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
