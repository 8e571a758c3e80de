//! What becomes of offsets when the log under them is another one: its head deleted, its tail lost by an unclean
//! election, its topic deleted and created again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;

use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::{BrokerId, CreateTopicsRequest, DeleteRecordsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use libtest_mimic::Trial;
use serde_json::Value;
use steadfast_core::ids::TopicId;
use steadfast_tests::kafka::{Cluster, Signal, ask, metadata};
use steadfast_tests::offsets::committed;
use steadfast_tests::service::{Service, Workplace, binary, usual_config};
use steadfast_tests::stage::Stage;
use steadfast_tests::within;
use steadfast_tests::writer::Filling;

use crate::rehearsal::LIMIT;

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.beside("offsets::records_that_were_deleted_are_reported_and_the_policy_is_followed", deleted),
        stage.beside("offsets::a_topic_that_was_created_anew_begins_anew_when_it_is_released", recreated),
        stage.trial("offsets::a_tail_that_an_unclean_election_lost_is_reported_with_its_range", truncated),
    ]
}

/// What each trial reads: one partition.
const PARTITION: i32 = 0;
const PROMPT: &str = "\n[checkpoint]\ninterval = \"200ms\"\n";
const EARLIEST: &str = "\n[offsets]\nout_of_range = \"earliest\"\n";

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A service over one partition, which can be stopped and begun again.
struct Reader<'a> {
    cluster_bootstrap: String,
    name: &'a str,
    workplace: Workplace,
}

impl<'a> Reader<'a> {
    fn of(cluster: &Cluster, name: &'a str) -> Reader<'a> {
        Reader { cluster_bootstrap: cluster.bootstrap(), name, workplace: Workplace::new().unwrap() }
    }

    fn start(&self, settings: &str) -> Service {
        let config = usual_config(&self.cluster_bootstrap, self.name, self.name) + PROMPT + settings;
        self.workplace.configure(&config).unwrap();
        Service::run(&self.workplace, &[]).unwrap()
    }
}

/// Waits until so many records came out of this life.
fn came(service: &Service, count: usize) {
    let so = || (service.count() >= count).then_some(()).ok_or_else(|| service.story());
    within(LIMIT, so).unwrap_or_else(|story| panic!("fewer than {count} records\n{story}"));
}

/// The first event of this name.
fn told(service: &Service, name: &str) -> Value {
    let first = || service.events_named(name).into_iter().next().ok_or_else(|| service.story());
    within(LIMIT, first).unwrap_or_else(|story| panic!("no {name}\n{story}")).json
}

fn stop(mut service: Service) {
    service.signal("TERM").unwrap();
    assert_eq!(service.wait(LIMIT).unwrap().code(), Some(0), "{}", service.story());
}

fn write(cluster: &Cluster, name: &str, sequences: std::ops::Range<u64>) {
    Filling { sequences, ..Filling::new(&cluster.bootstrap(), name, 1, 0) }.write().unwrap();
}

fn offsets(service: &Service) -> Vec<i64> {
    service.records().iter().filter_map(|record| record["offset"].as_i64()).collect()
}

/// Who leads the partition, as any broker says.
fn leader(cluster: &Cluster, name: &str) -> Option<(i32, SocketAddr)> {
    let addresses = cluster.addresses();
    let known = metadata(*addresses.values().next()?, &[name]).ok()?;
    let node = known.topics.first()?.partitions.first()?.leader_id.0;
    Some((node, *addresses.get(&node)?))
}

fn deleted(cluster: &Cluster) {
    const NAME: &str = "offsets-deleted";
    cluster.create_topic(NAME, 1, &[]).unwrap();
    write(cluster, NAME, 0..100);
    let reader = Reader::of(cluster, NAME);
    let service = reader.start("");
    came(&service, 100);
    stop(service);
    write(cluster, NAME, 100..200);
    let partition = DeleteRecordsPartition::default().with_partition_index(PARTITION).with_offset(150);
    let topic =
        DeleteRecordsTopic::default().with_name(TopicName(text(NAME))).with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
    let answer = ask(leader(cluster, NAME).unwrap().1, 2, &request).unwrap();
    assert_eq!(answer.topics[0].partitions[0].low_watermark, 150);

    for (settings, action) in [("", "stop"), (EARLIEST, "resume")] {
        let service = reader.start(settings);
        let event = told(&service, "offsets.out_of_range");
        assert_eq!((&event["position"], &event["available"]), (&100.into(), &150.into()), "{event}");
        assert_eq!((&event["cause"], &event["action"]), (&"deleted".into(), &action.into()), "{event}");
        if action == "stop" {
            told(&service, "partition.quarantined");
            assert_eq!(service.count(), 0);
        } else {
            came(&service, 50);
            assert_eq!(offsets(&service), (150..200).collect::<Vec<i64>>());
        }
        stop(service);
    }
    assert_eq!(committed(&cluster.brokers(), NAME, NAME, 1).unwrap(), BTreeMap::from([(PARTITION, 200)]));
}

fn recreated(cluster: &Cluster) {
    const NAME: &str = "offsets-recreated";
    cluster.create_topic(NAME, 1, &[]).unwrap();
    write(cluster, NAME, 0..50);
    let reader = Reader::of(cluster, NAME);
    let service = reader.start("");
    came(&service, 50);
    cluster.brokers().delete_topic(NAME).unwrap();
    cluster.create_topic(NAME, 1, &[]).unwrap();
    write(cluster, NAME, 50..80);
    let event = told(&service, "topic.recreated");
    let (before, after) = (event["before"].as_str().unwrap(), event["after"].as_str().unwrap());
    assert!(before.len() == 22 && after.len() == 22 && before != after, "{event}");
    let known = metadata(*cluster.addresses().values().next().unwrap(), &[NAME]).unwrap();
    assert_eq!(after, TopicId(known.topics[0].topic_id.as_u128()).to_string());
    told(&service, "partition.quarantined");
    assert_eq!(service.count(), 50);

    let mut command = Command::new(binary().unwrap());
    command.args(["quarantine", "release", &format!("{NAME}/{PARTITION}"), "--config"]);
    let released =
        command.arg(reader.workplace.config()).env("STATE_DIRECTORY", reader.workplace.path("state"));
    let released = released.output().unwrap();
    assert_eq!(released.status.code(), Some(0), "{released:?}");
    came(&service, 80);
    assert_eq!(offsets(&service)[50..], (0..30).collect::<Vec<i64>>());
    stop(service);
    assert_eq!(committed(&cluster.brokers(), NAME, NAME, 1).unwrap(), BTreeMap::from([(PARTITION, 30)]));
}

fn truncated(cluster: &mut Cluster) {
    const NAME: &str = "offsets-truncated";
    let config = |(key, value): (&str, &str)| {
        CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)))
    };
    let copies = CreatableReplicaAssignment::default()
        .with_partition_index(PARTITION)
        .with_broker_ids(vec![BrokerId(1), BrokerId(2)]);
    let topic = CreatableTopic::default()
        .with_name(TopicName(text(NAME)))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_assignments(vec![copies])
        .with_configs(
            [("unclean.leader.election.enable", "true"), ("min.insync.replicas", "1")].map(config).to_vec(),
        );
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
    let at = *cluster.addresses().values().next().unwrap();
    assert_eq!(ask(at, 7, &request).unwrap().topics[0].error_code, 0);
    within(LIMIT, || leader(cluster, NAME).filter(|(node, _)| *node == 1).ok_or("1 does not lead")).unwrap();
    write(cluster, NAME, 0..50);
    let reader = Reader::of(cluster, NAME);
    let service = reader.start(EARLIEST);
    came(&service, 50);

    // The follower is away while records are written; then it is all that is left.
    cluster.kill(2, Signal::Term).unwrap();
    write(cluster, NAME, 50..80);
    came(&service, 80);
    cluster.kill(1, Signal::Kill).unwrap();
    cluster.restart(2).unwrap();
    within(LIMIT, || leader(cluster, NAME).filter(|(node, _)| *node == 2).ok_or("2 does not lead")).unwrap();

    let event = told(&service, "offsets.out_of_range");
    assert_eq!((&event["position"], &event["available"]), (&80.into(), &50.into()), "{event}");
    assert_eq!((&event["cause"], &event["action"]), (&"truncated".into(), &"resume".into()), "{event}");
    write(cluster, NAME, 80..90);
    came(&service, 90);
    assert_eq!(offsets(&service)[80..], (50..60).collect::<Vec<i64>>(), "what the new leader was given");
    let lower = || {
        let stored = committed(&cluster.brokers(), NAME, NAME, 1).unwrap();
        (stored == BTreeMap::from([(PARTITION, 60)])).then_some(()).ok_or(stored)
    };
    within(LIMIT, lower).unwrap();
    stop(service);
}
