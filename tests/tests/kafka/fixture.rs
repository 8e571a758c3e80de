//! What the other suites rely on: the cluster and the Java programs beside it do what they say.

use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::{Value, json};
use steadfast_tests::java::{Line, Program};
use steadfast_tests::kafka::{Cluster, Signal, endpoints};
use steadfast_tests::load::{Load, Plan};
use steadfast_tests::stage::Stage;

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.trial("fixture::a_killed_broker_is_missed_and_comes_back_where_it_was", comes_back),
        stage.beside("fixture::transactions_leave_what_the_producer_says", transactions),
        stage.beside("fixture::a_compacted_topic_has_holes", holes),
        stage.beside("fixture::members_of_a_group_share_its_partitions", members),
        stage.beside("fixture::a_tool_s_failure_is_reported_with_its_output", tool),
    ]
}

fn comes_back(cluster: &mut Cluster) {
    let before = cluster.addresses();
    for signal in [Signal::Kill, Signal::Term] {
        cluster.kill(2, signal).unwrap();
        assert!(endpoints(before[&2]).is_err());
        assert_eq!(cluster.addresses().keys().copied().collect::<Vec<_>>(), [1, 3]);
        assert!(cluster.kill(2, signal).is_err());
        cluster.restart(2).unwrap();
        assert_eq!(cluster.addresses(), before);
        assert_eq!(endpoints(before[&2]).unwrap(), before);
    }
}

fn with<'a>(lines: &'a [Value], name: &str, value: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line[name] == value).collect()
}

/// What a reader at this isolation level is given, without the last line, and that line: where partitions end.
fn read_all(cluster: &Cluster, topic: &str, isolation: &str) -> (Vec<Value>, Value) {
    let mut lines = Program::run("ReadAll", &[&cluster.bootstrap(), topic, isolation], LIMIT).unwrap();
    let ends = lines.pop().unwrap()["ends"].take();
    (lines, ends)
}

fn transactions(cluster: &Cluster) {
    cluster.create_topic("transactions", 2, &[("max.message.bytes", "10000")]).unwrap();
    let steps = ["commit:0:3", "abort:0:2", "interleave:0:2", "control:0", "control:1", "control:1"];
    let bootstrap = cluster.bootstrap();
    let arguments = [&[&*bootstrap, "transactions"], &steps[..]].concat();
    let written = Program::run("TransactionalProducer", &arguments, LIMIT).unwrap();
    let position = |line: &Value| (line["offset"].clone(), line["value"].clone());
    let positions = |lines: Vec<&Value>| lines.into_iter().map(position).collect::<Vec<_>>();
    let committed = positions(with(&written, "fate", "committed"));
    assert_eq!((committed.len(), with(&written, "fate", "aborted").len()), (5, 4));

    let (read, ends) = read_all(cluster, "transactions", "read_committed");
    assert_eq!(positions(read.iter().collect()), committed);
    // 9 records and the markers of 5 transactions; and 2 markers alone.
    assert_eq!(ends, json!({"0": 14, "1": 2}));
    assert_eq!(read_all(cluster, "transactions", "read_uncommitted").0.len(), 9);
}

fn holes(cluster: &Cluster) {
    let configs = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "500"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "0"),
    ];
    cluster.create_topic("compacted", 1, &configs).unwrap();
    let bootstrap = cluster.bootstrap();
    let arguments = [&bootstrap, "compacted", "0", "30", "10"];
    Program::run("CompactedTopic", &arguments, 2 * LIMIT).unwrap();
    let (read, ends) = read_all(cluster, "compacted", "read_committed");
    assert!(!read.is_empty() && read.len() < 50, "{} records", read.len());
    assert!(ends["0"].as_u64().unwrap() > 310, "{ends}");
}

fn members(cluster: &Cluster) {
    cluster.create_topic("members", 4, &[]).unwrap();
    let bootstrap = cluster.bootstrap();
    let plan =
        Plan { bootstrap: bootstrap.clone(), topic: "members".to_owned(), partitions: 4, per_second: 100 };
    let load = Load::start(plan).unwrap();
    std::thread::scope(|scope| {
        for assignor in ["range", "cooperative-sticky", "consumer"] {
            let bootstrap = &bootstrap;
            scope.spawn(move || share(bootstrap, assignor));
        }
    });
    load.stop().unwrap();
}

/// Two members, one of which leaves.
fn share(bootstrap: &str, assignor: &str) {
    let group = format!("members-{assignor}");
    let member = || Program::start("GroupMember", &[bootstrap, &group, "members", assignor]).unwrap();
    let (mut first, mut second) = (member(), member());
    let read = |line: &Line| line.json["event"] == "record";
    for member in [&mut first, &mut second] {
        member.wait_for(LIMIT, read).unwrap();
    }
    second.tell("leave").unwrap();
    let left = second.end(LIMIT).unwrap().pop().unwrap();
    assert_eq!(left.json, json!({"event": "left"}));
    for partition in 0..4 {
        let taken_over = |line: &Line| read(line) && line.json["partition"] == partition && line.at > left.at;
        first.wait_for(LIMIT, taken_over).unwrap();
    }
    first.tell("exit").unwrap();
    first.end(LIMIT).unwrap();
}

fn tool(cluster: &Cluster) {
    let bootstrap = cluster.bootstrap();
    let list = ["--bootstrap-server", &bootstrap, "--list"];
    cluster.create_topic("listed", 1, &[]).unwrap();
    let topics = cluster.tool("org.apache.kafka.tools.TopicCommand", &list).unwrap();
    assert!(topics.lines().any(|topic| topic == "listed"), "{topics}");
    let wrong = cluster.tool("org.apache.kafka.tools.TopicCommand", &["--no-such-option"]).unwrap_err();
    assert!(wrong.to_string().contains("no-such-option"), "{wrong}");
}
