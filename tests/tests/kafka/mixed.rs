//! Groups of steadfast's, Java's and librdkafka's members under continuous load, while members join, leave, are killed
//! and are frozen past their session. Every record comes at least once, no partition is ever had by two, and after
//! each change all is shared evenly.

use std::time::SystemTime;

use libtest_mimic::Trial;
use steadfast_tests::company::{ALL, Company, Member, await_settling};
use steadfast_tests::kafka::Cluster;
use steadfast_tests::ownership::{Doubled, Log, doubled, of_java, of_ours};
use steadfast_tests::stage::Stage;

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.beside("mixed::sticky_with_java", |cluster| with_java(cluster, "sticky")),
        #[cfg(feature = "librdkafka")]
        stage.beside("mixed::roundrobin_with_java_and_librdkafka", |cluster| {
            with_both(cluster, "roundrobin");
        }),
        #[cfg(feature = "librdkafka")]
        stage.beside("mixed::cooperative_sticky_with_java_and_librdkafka", |cluster| {
            with_both(cluster, "cooperative-sticky");
        }),
    ]
}

/// The session is as short as brokers allow, as the foreign members' is.
fn settings(assignor: &str) -> String {
    format!("\"partition.assignment.strategy\" = \"{assignor}\"\n\"session.timeout.ms\" = 6000\n")
}

/// One of ours is frozen while the Java member is killed.
fn with_java(cluster: &Cluster, assignor: &str) {
    let mut company = Company::gather(&cluster.brokers(), &format!("mixed-{assignor}"));
    let (frozen, other) = (company.ours(&settings(assignor)), company.ours(&settings(assignor)));
    let java = company.java(assignor);
    await_settling(&[(&frozen, ALL / 3), (&other, ALL / 3), (&java, ALL / 3)]);
    let stopped = SystemTime::now();
    frozen.service.signal("STOP").unwrap();
    let java = Log::of("killed Java", of_java(&company.cut_off_java(java))).stopped(stopped);
    await_settling(&[(&other, ALL)]);
    frozen.service.signal("CONT").unwrap();
    await_settling(&[(&frozen, ALL / 2), (&other, ALL / 2)]);
    company.expect_everything(&[&frozen, &other]);
    let logs =
        [Log::of("frozen", of_ours(&frozen)).stopped(stopped), Log::of("other", of_ours(&other)), java];
    assert_eq!(doubled(&logs), Vec::<Doubled>::new(), "{}\n--\n{}", frozen.story(), other.story());
}

/// A second one of ours joins and is killed while the Java member is frozen; then librdkafka leaves.
#[cfg(feature = "librdkafka")]
fn with_both(cluster: &Cluster, assignor: &str) {
    let mut company = Company::gather(&cluster.brokers(), &format!("mixed-{assignor}"));
    let (ours, java) = (company.ours(&settings(assignor)), company.java(assignor));
    let librdkafka = company.librdkafka(assignor);
    await_settling(&[(&ours, ALL / 3), (&java, ALL / 3), (&librdkafka, ALL / 3)]);
    let second = company.ours(&settings(assignor));
    await_settling(&[(&ours, ALL / 4), (&java, ALL / 4), (&librdkafka, ALL / 4), (&second, ALL / 4)]);
    let stopped = SystemTime::now();
    java.signal("STOP").unwrap();
    let second = company.cut_off(second);
    await_settling(&[(&ours, ALL / 2), (&librdkafka, ALL / 2)]);
    java.signal("CONT").unwrap();
    await_settling(&[(&ours, ALL / 3), (&java, ALL / 3), (&librdkafka, ALL / 3)]);
    let turns = librdkafka.turns();
    company.see_off_reader(librdkafka);
    await_settling(&[(&ours, ALL / 2), (&java, ALL / 2)]);
    company.expect_everything(&[&ours, &java]);
    let logs = [
        Log::of("ours", of_ours(&ours)),
        Log::of("frozen Java", of_java(&java.lines())).stopped(stopped),
        Log::of("killed", of_ours(&second)).stopped(stopped),
        Log::of("librdkafka", turns.said()),
    ];
    assert_eq!(doubled(&logs), Vec::<Doubled>::new(), "{}\n--\n{}", ours.story(), java.story());
}
