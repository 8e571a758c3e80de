//! Partitions are shared with fellow members, handed over and taken back: with foreign ones here, and the scenarios of
//! ours that are played under virtual time too.

use std::collections::BTreeSet;

use libtest_mimic::Trial;
use steadfast_tests::kafka::Cluster;
use steadfast_tests::stage::Stage;

use crate::company::{ALL, Company, Ours, await_sharing};
use crate::rehearsal::PARTITIONS;
use crate::staged;

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    let mut trials = vec![
        stage.trial("members::a_java_consumer_shares_with_range", java_range),
        stage.trial("members::a_java_consumer_shares_with_cooperative_sticky", java_cooperative),
        stage.trial("members::a_librdkafka_consumer_shares_with_range", librdkafka_range),
    ];
    trials.extend(staged::members::trials(stage));
    trials
}

const RANGE: &str = "\"partition.assignment.strategy\" = \"range\"\n";
const COOPERATIVE: &str = "\"partition.assignment.strategy\" = \"cooperative-sticky\"\n";
const HALF: usize = ALL / 2;

/// The other leads first, then ours; the other leaves in order, then is killed.
fn java_range(cluster: &mut Cluster) {
    let mut company = Company::gather(cluster, "members-java-range");
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
fn java_cooperative(cluster: &mut Cluster) {
    let mut company = Company::gather(cluster, "members-java-cooperative");
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

fn librdkafka_range(cluster: &mut Cluster) {
    let mut company = Company::gather(cluster, "members-librdkafka-range");
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
