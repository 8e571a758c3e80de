//! Partitions are shared with members of librdkafka, alone and beside those of Java.

use steadfast_tests::brokers::Brokers;
use steadfast_tests::company::{ALL, Company, await_settling, await_sharing};
use steadfast_tests::either::Scene;

use crate::members::{HALF, RANGE};

pub(crate) const SCENES: &[Scene] = &[("members::a_librdkafka_consumer_shares_with_range", librdkafka_range)];

pub(crate) const WITH_JAVA: &[Scene] = &[
    ("members::librdkafka_and_java_share_as_members_come_and_go", foreigners),
    ("members::ours_shares_with_librdkafka_and_java", all_three),
];

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
