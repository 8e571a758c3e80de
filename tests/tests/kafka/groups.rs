//! `steadfast groups` on a real Kafka, beside kafka-consumer-groups: Java's members of both protocols, and resets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::{Value, json};
use steadfast::env::WallClock;
use steadfast::env::real::wall_clock;
use steadfast_tests::java::Program;
use steadfast_tests::kafka::Cluster;
use steadfast_tests::offsets::committed;
use steadfast_tests::service::Workplace;
use steadfast_tests::stage::Stage;
use steadfast_tests::within;
use steadfast_tests::writer::Filling;

use crate::cli::told;

const LIMIT: Duration = Duration::from_secs(60);
const TOOL: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.beside("groups::a_reset_leads_where_kafkas_own_tool_would_lead", resets),
        stage.trial_since(
            (4, 0),
            "groups::members_of_both_protocols_are_told_as_by_kafkas_own_tool",
            members,
        ),
    ]
}

/// The program on this cluster, with its exit code and its JSON.
fn groups(cluster: &Cluster, workplace: &Workplace, arguments: &[&str]) -> (i32, Value) {
    let bootstrap = cluster.bootstrap();
    let arguments = [&["groups"], arguments, &["-b", &bootstrap, "--output", "json"]].concat();
    let (code, out, err) = told(&arguments, workplace);
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{arguments:?}: {code}, {out}{err}")))
}

/// The rows of a table of Kafka's tool that begin with one of these groups, each by the names in the heading.
fn tool(cluster: &Cluster, arguments: &[&str], of: &[&str]) -> Vec<BTreeMap<String, String>> {
    let bootstrap = cluster.bootstrap();
    let output = cluster.tool(TOOL, &[&["--bootstrap-server", &bootstrap], arguments].concat()).unwrap();
    let (mut heading, mut rows) = (Vec::new(), Vec::new());
    for line in output.lines() {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match words.first().map(String::as_str) {
            Some("GROUP") => heading = words,
            Some(group) if of.contains(&group) => rows.push(heading.iter().cloned().zip(words).collect()),
            _ => {}
        }
    }
    assert!(!rows.is_empty(), "{output}");
    rows
}

fn members(cluster: &mut Cluster) {
    const TOPIC: &str = "groups-members";
    const CLASSIC: &str = "groups-classic";
    const CONSUMER: &str = "groups-consumer";
    cluster.create_topic(TOPIC, 4, &[]).unwrap();
    let (bootstrap, workplace) = (cluster.bootstrap(), Workplace::new().unwrap());
    Filling::new(&bootstrap, TOPIC, 4, 25).write().unwrap();
    let start = |group: &str, assignor: &str, more: &[&str]| {
        Program::start("GroupMember", &[&[bootstrap.as_str(), group, TOPIC, assignor], more].concat())
            .unwrap()
    };
    let mut java = [
        start(CLASSIC, "cooperative-sticky", &["client.id=java-1", "group.instance.id=till-1"]),
        start(CLASSIC, "cooperative-sticky", &["client.id=java-2"]),
        start(CONSUMER, "consumer", &["client.id=java-848"]),
    ];
    let classic = settled(cluster, &workplace, CLASSIC, 2);
    let consumer = settled(cluster, &workplace, CONSUMER, 1);

    assert_eq!(rows_of(&[&classic, &consumer]), by_tool(cluster, &[CLASSIC, CONSUMER]));
    assert_eq!((&classic["type"], &classic["assignor"]), (&json!("classic"), &json!("cooperative-sticky")));
    let clients: BTreeSet<_> =
        members_of(&classic).iter().map(|one| (one["client"].as_str(), one["instance"].as_str())).collect();
    assert_eq!(clients, [(Some("java-1"), Some("till-1")), (Some("java-2"), None)].into());
    let holds = |member: &Value| member["assigned"][TOPIC].as_array().map(Vec::len);
    assert!(members_of(&classic).iter().all(|one| holds(one) == Some(2)), "{classic:#}");
    assert_eq!((&consumer["type"], &consumer["assignor"]), (&json!("consumer"), &json!("uniform")));
    assert_eq!(consumer["epoch"], consumer["assignment_epoch"], "{consumer:#}");
    let member = &members_of(&consumer)[0];
    assert_eq!((&member["epoch"], &member["topics"]), (&consumer["epoch"], &json!([TOPIC])));

    let (code, listed) = groups(cluster, &workplace, &["list"]);
    let ours: BTreeSet<_> = listed["groups"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| [CLASSIC, CONSUMER].contains(&row["group"].as_str().unwrap()))
        .map(|row| ["group", "type", "state"].map(|field| row[field].as_str().unwrap().to_lowercase()))
        .collect();
    let theirs = tool(cluster, &["--list", "--type", "--state"], &[CLASSIC, CONSUMER]);
    let theirs: BTreeSet<_> =
        theirs.iter().map(|row| ["GROUP", "TYPE", "STATE"].map(|field| row[field].to_lowercase())).collect();
    assert_eq!((code, ours), (0, theirs));

    for group in [CLASSIC, CONSUMER] {
        let (code, lag) = groups(cluster, &workplace, &["lag", group]);
        assert_eq!((code, &lag["verdict"], &lag["total_lag"]), (0, &json!("OK"), &json!(0)), "{lag:#}");
        let reset = ["reset", group, "--topic", TOPIC, "--to-offset", "5", "--execute"];
        let (code, refused) = groups(cluster, &workplace, &reset);
        assert_eq!((code, &refused["result"]), (1, &json!("refused")), "{refused:#}");
        assert!(refused["members"][0]["client"].as_str().unwrap().starts_with("java-"), "{refused:#}");
    }
    // A group of the consumer protocol is reset when it is empty, as a classic one is.
    let [_, _, consuming] = &mut java;
    consuming.tell("leave").unwrap();
    within(LIMIT, || {
        let reset = ["reset", CONSUMER, "--all-topics", "--to-offset", "5", "--execute"];
        let (code, told) = groups(cluster, &workplace, &reset);
        if code == 0 { Ok(()) } else { Err(told) }
    })
    .unwrap();
    assert_eq!(
        committed(&cluster.brokers(), CONSUMER, TOPIC, 4).unwrap(),
        (0..4).map(|index| (index, 5)).collect()
    );
}

/// The group, once it is stable with so many members and has processed all.
fn settled(cluster: &Cluster, workplace: &Workplace, group: &str, members: usize) -> Value {
    let settled = |told: &Value| {
        let rows = told["partitions"].as_array();
        told["state"] == "Stable"
            && members_of(told).len() == members
            && rows.is_some_and(|rows| {
                rows.len() == 4 && rows.iter().all(|row| row["lag"] == 0 && row["member"].is_string())
            })
            && members_of(told)
                .iter()
                .all(|one| one["assigned"].as_object().is_some_and(|held| !held.is_empty()))
    };
    let bootstrap = cluster.bootstrap();
    within(LIMIT, || {
        let arguments = ["groups", "describe", group, "-b", &bootstrap, "--output", "json"];
        let (_, out, err) = told(&arguments, workplace);
        let told: Value = serde_json::from_str(&out).map_err(|_| json!(err))?;
        if settled(&told) { Ok(told) } else { Err(told) }
    })
    .unwrap()
}

fn members_of(told: &Value) -> &[Value] {
    told["members"].as_array().map_or(&[], Vec::as_slice)
}

/// Group, partition, committed, end, lag, member, host and client of each row, as we tell them.
fn rows_of(groups: &[&Value]) -> BTreeSet<[String; 8]> {
    let cell = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let row = |group: &Value, row: &Value| {
        let told =
            ["partition", "committed", "end", "lag", "member", "host", "client"].map(|name| cell(&row[name]));
        let [partition, committed, end, lag, member, host, client] = told;
        [cell(&group["group"]), partition, committed, end, lag, member, host, client]
    };
    let of = |group: &&Value| -> Vec<[String; 8]> {
        group["partitions"].as_array().unwrap().iter().map(|one| row(group, one)).collect()
    };
    groups.iter().flat_map(of).collect()
}

/// The same, as Kafka's tool tells them.
fn by_tool(cluster: &Cluster, groups: &[&str]) -> BTreeSet<[String; 8]> {
    let named: Vec<&str> = groups.iter().flat_map(|group| ["--group", *group]).collect();
    let rows = tool(cluster, &[&["--describe"], &named[..]].concat(), groups);
    let names =
        ["GROUP", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG", "CONSUMER-ID", "HOST", "CLIENT-ID"];
    rows.iter().map(|row| names.map(|name| row[name].trim_start_matches('/').to_owned())).collect()
}

fn resets(cluster: &Cluster) {
    const NAME: &str = "groups-reset";
    cluster.create_topic(NAME, 2, &[]).unwrap();
    let (bootstrap, workplace) = (cluster.bootstrap(), Workplace::new().unwrap());
    Filling::new(&bootstrap, NAME, 2, 20).write().unwrap();
    // A moment that no record of either half has.
    let now = || wall_clock().millis();
    let moment = now() + 5;
    within(LIMIT, || if now() > moment { Ok(()) } else { Err("it is not later yet") }).unwrap();
    Filling { sequences: 20..40, ..Filling::new(&bootstrap, NAME, 2, 0) }.write().unwrap();
    let reset = |way: &[&str]| {
        let (code, told) = groups(cluster, &workplace, &[&["reset", NAME, "--topic", NAME], way].concat());
        assert_eq!(code, 0, "{told:#}");
        let rows = told["partitions"].as_array().unwrap();
        rows.iter().map(|row| (row["partition"].to_string(), row["new"].to_string())).collect::<BTreeSet<_>>()
    };
    // The group comes to be.
    reset(&["--to-offset", "15", "--execute"]);
    let moment = &WallClock::fixed(moment).rfc3339();
    let ways = [&["--to-datetime", moment][..], &["--shift-by", "-5"], &["--to-offset", "1000"]];
    let expected = ["20", "10", "40"];
    for (way, expected) in ways.into_iter().zip(expected) {
        let asked = [&["--reset-offsets", "--group", NAME, "--topic", NAME, "--dry-run"], way].concat();
        let theirs = tool(cluster, &asked, &[NAME]);
        let theirs: BTreeSet<_> =
            theirs.iter().map(|row| (row["PARTITION"].clone(), row["NEW-OFFSET"].clone())).collect();
        assert_eq!(reset(way), theirs, "{way:?}");
        assert_eq!(theirs, ["0", "1"].map(|index| (index.to_owned(), expected.to_owned())).into(), "{way:?}");
    }
    reset(&["--shift-by", "-5", "--execute"]);
    assert_eq!(committed(&cluster.brokers(), NAME, NAME, 2).unwrap(), [(0, 10), (1, 10)].into());
}
