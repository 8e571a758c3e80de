//! Members under the consumer protocol (KIP-848), of ours and of Java: Kafka has it on by default since 4.0.

use std::time::{Duration, SystemTime};

use libtest_mimic::Trial;
use steadfast_tests::company::{ALL, Company, Member, await_sharing};
use steadfast_tests::kafka::Cluster;
use steadfast_tests::stage::Stage;

use crate::staged;

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    let beside_java = "consumer_protocol::a_java_member_joins_and_is_killed";
    let mut trials = staged::consumer_protocol::trials(stage);
    trials.push(stage.trial_since((4, 0), beside_java, a_java_member_joins_and_is_killed));
    trials
}

const CONSUMER: &str = "\"group.protocol\" = \"consumer\"\n";
const HALF: usize = ALL / 2;

/// A record of each partition comes all 40 ms. What is kept flows on without a gap that a member would notice.
const KEPT: Duration = Duration::from_millis(500);

fn a_java_member_joins_and_is_killed(cluster: &mut Cluster) {
    let mut company = Company::gather(&cluster.brokers(), "consumer-protocol-java");
    let ours = company.ours(CONSUMER);
    ours.await_owned(ALL);
    await_sharing(&[(&ours, ALL)]);
    let since = SystemTime::now();
    let java = company.java_of_the_consumer_protocol();
    let kept = ours.await_owned(HALF);
    await_sharing(&[(&ours, HALF), (&java, HALF)]);
    let pauses = ours.given().longest_pause(since, SystemTime::now());
    let kept = pauses.into_iter().filter(|(partition, _)| kept.contains(&i64::from(*partition)));
    let paused: Vec<(i32, Duration)> = kept.filter(|(_, pause)| *pause >= KEPT).collect();
    assert_eq!(paused, [], "{}", ours.story());
    company.kill(java);
    ours.await_owned(ALL);
    await_sharing(&[(&ours, ALL)]);
    company.disband(vec![ours]);
}
