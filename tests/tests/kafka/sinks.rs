//! The built-in sinks: what they wrote is whole, and what they could not write is neither acked nor lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, SystemTime};

use libtest_mimic::Trial;
use serde_json::Value;
use steadfast_tests::checker::{Acked, Checker, Delivered, Mark};
use steadfast_tests::finished::{run_to_the_end, stopped};
use steadfast_tests::java::Program;
use steadfast_tests::kafka::Cluster;
use steadfast_tests::offsets::committed;
use steadfast_tests::service::{Service, Workplace, usual_config};
use steadfast_tests::stage::Stage;
use steadfast_tests::within;
use steadfast_tests::writer::Filling;

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.beside("sinks::a_file_is_rotated_and_every_line_is_whole", file),
        stage.beside("sinks::a_file_goes_on_after_the_service_was_killed", file_after_a_kill),
        stage.beside("sinks::kafka_gets_every_record_in_order", kafka),
        stage.beside("sinks::a_kafka_topic_that_is_missing_costs_nothing_but_time", kafka_topic_missing),
        stage.beside("sinks::what_a_kafka_topic_refuses_holds_back_what_is_behind_it", kafka_refuses),
        stage.beside("sinks::discard_acks_everything", discard),
        stage.beside("sinks::without_a_reader_nothing_is_acked_and_nothing_spins", no_reader),
    ]
}

fn file_config(bootstrap: &str, name: &str, path: &Path, max_bytes: u64) -> String {
    let path = path.display();
    usual_config(bootstrap, name, name)
        + &format!(
            "\n[sink]\ntype = \"file\"\npath = \"{path}\"\nmax_bytes = {max_bytes}\nkeep = 1000\n\n\
             [checkpoint]\ninterval = \"100ms\"\n"
        )
}

/// Every line of the sink's files, the oldest file first. Each file ends with a whole line.
fn lines_in(workplace: &Workplace, max_bytes: u64) -> Vec<Value> {
    let numbered: Vec<_> = (1..)
        .map(|number| workplace.path(&format!("out.{number}")))
        .take_while(|path| path.exists())
        .collect();
    let files = numbered.into_iter().rev().chain([workplace.path("out")]);
    let mut lines = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{} ends in half a line", path.display());
        assert!(text.len() as u64 <= max_bytes, "{} has {} bytes", path.display(), text.len());
        lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    lines
}

fn checker_of(lines: &[Value]) -> Checker {
    let mut checker = Checker::default();
    for line in lines {
        let mark = Mark::read(line["payload"].as_str().unwrap().as_bytes()).unwrap();
        let offset = line["offset"].as_i64().unwrap();
        checker.see(Delivered { mark, offset, at: SystemTime::UNIX_EPOCH });
    }
    checker
}

fn file(cluster: &Cluster) {
    const TOPIC: &str = "sinks-file";
    const MAX: u64 = 64 << 10;
    cluster.create_topic(TOPIC, 3, &[]).unwrap();
    let bootstrap = cluster.bootstrap();
    let acked = Filling::new(&bootstrap, TOPIC, 3, 2000).write().unwrap();
    let workplace = Workplace::new().unwrap();
    let config = file_config(&bootstrap, TOPIC, &workplace.path("out"), MAX);
    let service = run_to_the_end(&workplace, &config);
    assert!(workplace.path("out.10").exists(), "it was rotated");
    let lines = lines_in(&workplace, MAX);
    let verdict = checker_of(&lines).verdict(&acked);
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!((service.records().len(), lines.len()), (0, 6000));
    run_to_the_end(&workplace, &config);
    assert_eq!(lines_in(&workplace, MAX).len(), 6000, "a second run writes nothing");
}

/// What was written and not committed is written again; nothing is lost, and no line is broken.
fn file_after_a_kill(cluster: &Cluster) {
    const TOPIC: &str = "sinks-file-killed";
    const MAX: u64 = 1 << 20;
    cluster.create_topic(TOPIC, 3, &[]).unwrap();
    let bootstrap = cluster.bootstrap();
    let small = Filling { batch: 10, padding: 500, ..Filling::new(&bootstrap, TOPIC, 3, 1500) };
    let acked = small.write().unwrap();
    let workplace = Workplace::new().unwrap();
    let config = file_config(&bootstrap, TOPIC, &workplace.path("out"), MAX)
        .replace("\n[sink]", "\"max.partition.fetch.bytes\" = \"8KiB\"\n\n[sink]")
        .replace("\"group.id\"", "\"session.timeout.ms\" = 6000\n\"group.id\"");
    workplace.configure(&config).unwrap();
    let mut killed = Service::run(&workplace, &[]).unwrap();
    let written = || std::fs::metadata(workplace.path("out")).is_ok_and(|file| file.len() > 50_000);
    within(LIMIT, || if written() { Ok(()) } else { Err(killed.story()) }).unwrap();
    killed.signal("KILL").unwrap();
    killed.wait(LIMIT).unwrap();
    run_to_the_end(&workplace, &config);
    let verdict = checker_of(&lines_in(&workplace, MAX)).verdict(&acked);
    assert_eq!((verdict.lost, verdict.disordered), (Vec::new(), Vec::new()));
}

fn kafka_config(bootstrap: &str, name: &str, target: &str) -> String {
    usual_config(bootstrap, name, name) + &format!("\n[sink]\ntype = \"kafka\"\ntopic = \"{target}\"\n")
}

/// The target has every record once, those of one source partition in one partition and in order.
fn expect_forwarded(cluster: &Cluster, target: &str, acked: &Acked) {
    let lines = Program::run("ReadAll", &[&cluster.bootstrap(), target, "read_committed"], LIMIT).unwrap();
    let mut read: BTreeMap<i32, Vec<u64>> = BTreeMap::new();
    let mut places: BTreeMap<i32, BTreeSet<i64>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line["partition"].is_i64()) {
        let mark = Mark::read(line["value"].as_str().unwrap().as_bytes()).unwrap();
        assert_eq!(line["key"], mark.sequence.to_string());
        read.entry(mark.partition).or_default().push(mark.sequence);
        places.entry(mark.partition).or_default().insert(line["partition"].as_i64().unwrap());
    }
    let expected: BTreeMap<i32, Vec<u64>> =
        acked.iter().map(|(partition, all)| (*partition, all.iter().copied().collect())).collect();
    assert_eq!(read, expected);
    assert!(places.values().all(|places| places.len() == 1), "{places:?}");
}

fn kafka(cluster: &Cluster) {
    const TOPIC: &str = "sinks-kafka";
    const TARGET: &str = "sinks-kafka-target";
    cluster.create_topic(TOPIC, 3, &[]).unwrap();
    cluster.create_topic(TARGET, 2, &[]).unwrap();
    let bootstrap = cluster.bootstrap();
    let acked = Filling::new(&bootstrap, TOPIC, 3, 2000).write().unwrap();
    let service = run_to_the_end(&Workplace::new().unwrap(), &kafka_config(&bootstrap, TOPIC, TARGET));
    assert_eq!(stopped(&service)["records"], 6000);
    expect_forwarded(cluster, TARGET, &acked);
    let ends = (0..3).map(|partition| (partition, 2000)).collect();
    assert_eq!(committed(&cluster.brokers(), TOPIC, TOPIC, 3).unwrap(), ends);
}

fn kafka_topic_missing(cluster: &Cluster) {
    const TOPIC: &str = "sinks-kafka-missing";
    const TARGET: &str = "sinks-kafka-created-later";
    cluster.create_topic(TOPIC, 3, &[]).unwrap();
    let bootstrap = cluster.bootstrap();
    let acked = Filling::new(&bootstrap, TOPIC, 3, 500).write().unwrap();
    let workplace = Workplace::new().unwrap();
    let config = kafka_config(&bootstrap, TOPIC, TARGET) + "\n[checkpoint]\ninterval = \"50ms\"\n";
    workplace.configure(&config).unwrap();
    let mut service = Service::run(&workplace, &[]).unwrap();
    // Each partition has been tried twice at least when the third try of one of them is told.
    let tries = || service.events_named("sink.unavailable").len();
    within(LIMIT, || if tries() > 6 { Ok(()) } else { Err(service.story()) }).unwrap();
    for unavailable in service.events_named("sink.unavailable") {
        let reason = unavailable.json["error.message"].as_str().unwrap();
        assert!(reason.contains(TARGET) && reason.contains("does not exist"), "{reason}");
    }
    let stored = committed(&cluster.brokers(), TOPIC, TOPIC, 3).unwrap();
    assert!(stored.values().all(|offset| *offset == 0), "{stored:?}");
    cluster.create_topic(TARGET, 1, &[]).unwrap();
    let ends = (0..3).map(|partition| (partition, 500)).collect();
    within(LIMIT, || match committed(&cluster.brokers(), TOPIC, TOPIC, 3) {
        Ok(stored) if stored == ends => Ok(()),
        stored => Err(format!("{stored:?}\n{}", service.story())),
    })
    .unwrap();
    service.signal("TERM").unwrap();
    assert_eq!(service.wait(LIMIT).unwrap().code(), Some(0), "{}", service.story());
    expect_forwarded(cluster, TARGET, &acked);
}

/// The target takes none of the first records, and all of those behind them.
fn kafka_refuses(cluster: &Cluster) {
    const TOPIC: &str = "sinks-kafka-refused";
    const TARGET: &str = "sinks-kafka-refuses";
    cluster.create_topic(TOPIC, 1, &[]).unwrap();
    cluster.create_topic(TARGET, 1, &[("max.message.bytes", "2000")]).unwrap();
    let bootstrap = cluster.bootstrap();
    let large = Filling { batch: 1, padding: 3000, ..Filling::new(&bootstrap, TOPIC, 1, 2) };
    let mut acked = large.write().unwrap();
    let small = Filling { sequences: 2..200, batch: 10, padding: 0, ..large };
    acked.entry(0).or_default().extend(small.write().unwrap()[&0].iter());
    let workplace = Workplace::new().unwrap();
    let config = |target: &str| {
        let limit = "\"max.partition.fetch.bytes\" = \"1KiB\"\n\n[sink]";
        kafka_config(&bootstrap, TOPIC, target).replace("\n[sink]", limit)
    };
    workplace.configure(&config(TARGET)).unwrap();
    let mut service = Service::run(&workplace, &[]).unwrap();
    let told = service.wait_for(LIMIT, "partition.quarantined", |_| true).unwrap();
    let reason = told.json["reason"].as_str().unwrap();
    assert!(reason.starts_with("the record at 0 is bad") && reason.contains(TARGET), "{reason}");
    service.signal("TERM").unwrap();
    assert_eq!(service.wait(LIMIT).unwrap().code(), Some(0), "{}", service.story());
    expect_forwarded(cluster, TARGET, &Acked::new());
    let stored = committed(&cluster.brokers(), TOPIC, TOPIC, 1).unwrap();
    assert!(stored.values().all(|offset| *offset == 0), "{stored:?}");
    cluster.create_topic("sinks-kafka-takes", 1, &[]).unwrap();
    run_to_the_end(&workplace, &config("sinks-kafka-takes"));
    expect_forwarded(cluster, "sinks-kafka-takes", &acked);
}

fn discard(cluster: &Cluster) {
    const TOPIC: &str = "sinks-discard";
    cluster.create_topic(TOPIC, 3, &[]).unwrap();
    let bootstrap = cluster.bootstrap();
    Filling::new(&bootstrap, TOPIC, 3, 1000).write().unwrap();
    let config = usual_config(&bootstrap, TOPIC, TOPIC) + "\n[sink]\ntype = \"discard\"\n";
    let service = run_to_the_end(&Workplace::new().unwrap(), &config);
    assert_eq!((service.records().len(), &stopped(&service)["records"]), (0, &3000.into()));
    let ends = (0..3).map(|partition| (partition, 1000)).collect();
    assert_eq!(committed(&cluster.brokers(), TOPIC, TOPIC, 3).unwrap(), ends);
}

/// `steadfast run | head`, with `head` gone: ten tries a partition, longer and longer apart, then the end.
fn no_reader(cluster: &Cluster) {
    const TOPIC: &str = "sinks-no-reader";
    cluster.create_topic(TOPIC, 3, &[]).unwrap();
    let bootstrap = cluster.bootstrap();
    let acked = Filling::new(&bootstrap, TOPIC, 3, 200).write().unwrap();
    let config = usual_config(&bootstrap, TOPIC, TOPIC) + "\n[checkpoint]\ninterval = \"50ms\"\n";
    let workplace = Workplace::new().unwrap();
    workplace.configure(&config).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut service = Service::run_into(writer, &workplace, &["--until-end"]).unwrap();
    assert_eq!(service.wait(LIMIT).unwrap().code(), Some(70), "{}", service.story());
    for partition in 0..3 {
        let of = |name: &str| {
            let mut events = service.events_named(name);
            events.retain(|event| event.json["messaging.destination.partition.id"] == partition);
            events
        };
        let tries: Vec<SystemTime> = of("batch.returned").iter().map(|event| event.at).collect();
        // Nine where the machine was slow.
        assert!((9..=10).contains(&tries.len()), "{}", service.story());
        assert_eq!(of("partition.quarantined").len(), 1, "{}", service.story());
        // The rests: 50 ms doubling to 5 s. A line is read a little after it was written.
        let rests = tries.windows(2).map(|pair| pair[1].duration_since(pair[0]).unwrap());
        for (rest, least) in rests.zip([50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]) {
            assert!(
                rest + Duration::from_millis(40) >= Duration::from_millis(least),
                "{rest:?} of {least} ms"
            );
        }
    }
    let reason = stopped(&service)["reason"].to_string();
    assert!(reason.contains("quarantined"), "{reason}");
    let stored = committed(&cluster.brokers(), TOPIC, TOPIC, 3).unwrap();
    assert!(stored.values().all(|offset| *offset == 0), "{stored:?}");
    let second = run_to_the_end(&workplace, &config);
    let verdict = second.checker().verdict(&acked);
    assert!(verdict.is_clean(), "{verdict:?}");
}
