//! `steadfast drill --real`: rehearsed on a real cluster, of which nothing is changed.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, ListGroupsRequest, ListOffsetsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use libtest_mimic::Trial;
use steadfast::config::Config;
use steadfast::drill::real::{Evidence, Row, Scenario, play};
use steadfast::drill::verdict::Verdict;
use steadfast::exit::Exit;
use steadfast_tests::finished::run_to_the_end;
use steadfast_tests::kafka::{Cluster, ask};
use steadfast_tests::load::{Load, Plan};
use steadfast_tests::offsets::committed;
use steadfast_tests::service::{Workplace, usual_config};
use steadfast_tests::stage::Stage;
use steadfast_tests::writer::Filling;

pub(super) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.trial("drift::a_drill_on_a_real_cluster_changes_neither_its_logs_nor_its_groups", untouched),
        stage.trial("drift::a_drill_where_records_flow_waits_for_records", flowing),
    ]
}

const PARTITIONS: i32 = 3;

fn untouched(cluster: &mut Cluster) {
    const TOPIC: &str = "drift-drill";
    cluster.create_topic(TOPIC, PARTITIONS, &[]).unwrap();
    Filling::new(&cluster.bootstrap(), TOPIC, PARTITIONS, 100).write().unwrap();
    let config = usual_config(&cluster.bootstrap(), TOPIC, TOPIC);
    run_to_the_end(&Workplace::new().unwrap(), &config);
    let before = (log_ends(cluster, TOPIC), committed(&cluster.brokers(), TOPIC, TOPIC, PARTITIONS).unwrap());
    assert_eq!((before.0.len(), before.1.len()), (3, 3));
    let (groups, _) = groups(cluster);
    assert!(groups.contains(TOPIC), "{groups:?}");

    let row = drill(&config, Scenario::AllReplaced);

    assert_eq!((row.result, row.evidence), (Verdict::Passed, Some(Evidence::Answers)), "{row:?}");
    assert_eq!((row.respawns, row.rebalances, row.gap, row.redelivered), (1, 0, 0, 0), "{row:?}");
    let after = (log_ends(cluster, TOPIC), committed(&cluster.brokers(), TOPIC, TOPIC, PARTITIONS).unwrap());
    assert_eq!(after, before);
    let (left, drilled) = self::groups(cluster);
    assert_eq!(left, groups);
    assert!(drilled.iter().all(|state| state == "Empty"), "{drilled:?}");

    let encrypted = format!("{config}\"security.protocol\" = \"SSL\"\n");
    let refused = play(&configured(&encrypted), &Scenario::ALL, |_| {}).unwrap_err();
    assert_eq!(refused.exit(), Exit::Configuration, "{refused}");
    assert!(refused.to_string().contains("plain-text listener"), "{refused}");
}

fn flowing(cluster: &mut Cluster) {
    const TOPIC: &str = "drift-drill-flowing";
    cluster.create_topic(TOPIC, PARTITIONS, &[]).unwrap();
    let (bootstrap, topic) = (cluster.bootstrap(), TOPIC.to_owned());
    let load = Load::start(Plan { bootstrap, topic, partitions: PARTITIONS, per_second: 60 }).unwrap();
    let row = drill(&usual_config(&cluster.bootstrap(), TOPIC, TOPIC), Scenario::Recycled);
    assert_eq!((row.result, row.evidence), (Verdict::Passed, Some(Evidence::Records)), "{row:?}");
    assert_eq!((row.rebalances, row.gap, row.redelivered), (0, 0, 0), "{row:?}");
    load.stop().unwrap();
}

fn drill(config: &str, scenario: Scenario) -> Row {
    let mut rows = Vec::new();
    play(&configured(config), &[scenario], |row| rows.push(row.clone())).unwrap();
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

/// The drill has a state directory of its own: nobody is to find anything in this one.
fn configured(config: &str) -> Config {
    Config::from_toml_str(&format!("{config}\n[state]\ndir = \"/nonexistent\"\n")).unwrap()
}

/// The groups that there are, without those of drills; and in which states these are.
fn groups(cluster: &Cluster) -> (BTreeSet<String>, Vec<String>) {
    let answers = cluster.addresses().into_values().map(|at| ask(at, 4, &ListGroupsRequest::default()));
    let groups: Vec<_> = answers.flat_map(|answer| answer.unwrap().groups).collect();
    let (drilled, others): (Vec<_>, Vec<_>) =
        groups.into_iter().partition(|group| group.group_id.starts_with("steadfast-drill-"));
    let states = drilled.into_iter().map(|group| group.group_state.to_string());
    (others.into_iter().map(|group| group.group_id.to_string()).collect(), states.collect())
}

/// Where each partition's log ends, as its leader says.
fn log_ends(cluster: &Cluster, topic: &str) -> BTreeMap<i32, i64> {
    let latest = |index| ListOffsetsPartition::default().with_partition_index(index).with_timestamp(-1);
    let mut ends = BTreeMap::new();
    for at in cluster.addresses().into_values() {
        let named = ListOffsetsTopic::default()
            .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
            .with_partitions((0..PARTITIONS).map(latest).collect());
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![named]);
        let answer = ask(at, 5, &request).unwrap();
        let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let led = partitions.filter(|partition| partition.error_code == 0);
        ends.extend(led.map(|partition| (partition.partition_index, partition.offset)));
    }
    ends
}
