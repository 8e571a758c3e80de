//! What is in the log comes out of the sink: holes, aborted transactions, codecs, large batches.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::{Value, json};
use steadfast_tests::brokers::Brokers;
use steadfast_tests::either::Scene;
use steadfast_tests::finished::{run_to_the_end, stopped};
use steadfast_tests::java::Program;
use steadfast_tests::offsets::committed;
use steadfast_tests::service::{Workplace, usual_config};
use steadfast_tests::writer::Filling;

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) const SCENES: &[Scene] = &[
    ("content::batches_larger_than_the_limits_are_fetched", large_batches),
    ("content::a_batch_larger_than_the_buffer_is_fetched", larger_than_the_buffer),
];

pub(crate) const WITH_JAVA: &[Scene] = &[
    ("content::transactions_give_what_java_is_given", transactions),
    ("content::every_codec_gives_what_java_is_given", codecs),
];

/// The embedded cluster does not compact.
pub(crate) const ON_KAFKA: &[Scene] = &[("content::a_compacted_topic_gives_what_java_is_given", compacted)];

/// Everything is delivered once and committed up to the end; a second run has nothing to do.
fn expect_finished(brokers: &Brokers, config: &str, group: &str, topic: &str, ends: &BTreeMap<i32, i64>) {
    let partitions = i32::try_from(ends.len()).unwrap();
    assert_eq!(&committed(brokers, group, topic, partitions).unwrap(), ends);
    let again = run_to_the_end(&Workplace::new().unwrap(), config);
    assert_eq!((again.records(), &stopped(&again)["records"]), (Vec::new(), &json!(0)), "{}", again.story());
    assert_eq!(&committed(brokers, group, topic, partitions).unwrap(), ends);
}

/// Partition, offset, key and value, by partition and in the order in which they came.
type Read = BTreeMap<i64, Vec<(i64, Value, Value)>>;

fn by_partition(records: &[Value], value: &str) -> Read {
    let mut read = Read::new();
    for record in records {
        let of = |name: &str| record[name].as_i64().unwrap();
        let content = (of("offset"), record["key"].clone(), record[value].clone());
        read.entry(of("partition")).or_default().push(content);
    }
    read
}

/// What Java is given, and where partitions end for it.
fn java(brokers: &Brokers, topic: &str, isolation: &str) -> (Read, BTreeMap<i32, i64>) {
    let mut lines = Program::run("ReadAll", &[&brokers.bootstrap(), topic, isolation], LIMIT).unwrap();
    let ends = lines.pop().unwrap();
    let ends = ends["ends"].as_object().unwrap().iter();
    let ends = ends.map(|(partition, end)| (partition.parse().unwrap(), end.as_i64().unwrap())).collect();
    (by_partition(&lines, "value"), ends)
}

fn compacted(brokers: &Brokers) {
    const TOPIC: &str = "content-compacted";
    let configs = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "500"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "0"),
    ];
    brokers.create_topic(TOPIC, 1, &configs).unwrap();
    let bootstrap = brokers.bootstrap();
    Program::run("CompactedTopic", &[&bootstrap, TOPIC, "0", "30", "10"], 2 * LIMIT).unwrap();
    // The cleaner may still be at work: only what Java is given before and after can be compared.
    for attempt in 0..5 {
        let group = format!("content-compacted-{attempt}");
        let config = usual_config(&bootstrap, &group, TOPIC);
        let (before, _) = java(brokers, TOPIC, "read_committed");
        let service = run_to_the_end(&Workplace::new().unwrap(), &config);
        let (after, ends) = java(brokers, TOPIC, "read_committed");
        if before != after {
            continue;
        }
        let offsets: Vec<i64> = after[&0].iter().map(|(offset, _, _)| *offset).collect();
        assert!(offsets.windows(2).any(|pair| pair[1] > pair[0] + 1), "no holes: {offsets:?}");
        assert_eq!(by_partition(&service.records(), "payload"), after);
        assert_eq!(stopped(&service)["records"], offsets.len());
        return expect_finished(brokers, &config, &group, TOPIC, &ends);
    }
    panic!("the log cleaner does not come to rest");
}

fn transactions(brokers: &Brokers) {
    const TOPIC: &str = "content-transactions";
    brokers.create_topic(TOPIC, 4, &[("max.message.bytes", "10000")]).unwrap();
    let bootstrap = brokers.bootstrap();
    let steps = "commit:0:5 abort:0:3 interleave:0:4 control:0 commit:0:2 control:1 control:1 \
                 abort:2:3 commit:2:1 interleave:2:2 abort:2:4";
    let arguments: Vec<&str> = [&*bootstrap, TOPIC].into_iter().chain(steps.split_whitespace()).collect();
    let written = Program::run("TransactionalProducer", &arguments, LIMIT).unwrap();
    let with = |fate: &str| written.iter().filter(|line| line["fate"] == fate).count();
    for (isolation, records) in
        [("read_committed", with("committed")), ("read_uncommitted", with("committed") + with("aborted"))]
    {
        let group = format!("content-{isolation}");
        let config =
            usual_config(&bootstrap, &group, TOPIC) + &format!("\"isolation.level\" = \"{isolation}\"\n");
        let service = run_to_the_end(&Workplace::new().unwrap(), &config);
        let (expected, ends) = java(brokers, TOPIC, isolation);
        assert_eq!(by_partition(&service.records(), "payload"), expected, "{isolation}");
        assert_eq!(service.records().len(), records, "{isolation}");
        assert_eq!(stopped(&service)["records"], records, "{isolation}");
        expect_finished(brokers, &config, &group, TOPIC, &ends);
    }
}

/// Java writes to partitions 0 to 4 with every codec, librdkafka (whose snappy is framed otherwise) to 5 to 8.
fn codecs(brokers: &Brokers) {
    for timestamps in ["CreateTime", "LogAppendTime"] {
        let topic = format!("content-codecs-{timestamps}");
        brokers.create_topic(&topic, 9, &[("message.timestamp.type", timestamps)]).unwrap();
        let bootstrap = brokers.bootstrap();
        for (partition, codec) in (5..).zip(["none", "gzip", "snappy", "lz4"]) {
            write_with_librdkafka(&bootstrap, &topic, partition, codec);
        }
        let expected = Program::run("Envelopes", &[&bootstrap, &topic], LIMIT).unwrap();
        let config = usual_config(&bootstrap, &topic, &topic);
        let service = run_to_the_end(&Workplace::new().unwrap(), &config);
        let records = service.records();
        assert!(records.iter().all(|record| (1..=3).contains(&record["broker"].as_i64().unwrap())));
        assert_eq!(by_offset(records), by_offset(expected), "{timestamps}");
        let ends = committed(brokers, &topic, &topic, 9).unwrap();
        assert_eq!(
            ends,
            (0..9).map(|partition| (partition, if partition < 5 { 306 } else { 301 })).collect()
        );
        expect_finished(brokers, &config, &topic, &topic, &ends);
    }
}

/// The records without their broker, which Java does not tell.
fn by_offset(records: Vec<Value>) -> BTreeMap<(i64, i64), Vec<Value>> {
    let mut sorted: BTreeMap<_, Vec<Value>> = BTreeMap::new();
    for mut record in records {
        record.as_object_mut().unwrap().remove("broker");
        let place = (record["partition"].as_i64().unwrap(), record["offset"].as_i64().unwrap());
        sorted.entry(place).or_default().push(record);
    }
    sorted
}

fn write_with_librdkafka(bootstrap: &str, topic: &str, partition: i32, codec: &str) {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("compression.codec", codec)
        .set("linger.ms", "200")
        .create()
        .unwrap();
    let header = |key, value| Header { key, value };
    let headers = OwnedHeaders::new()
        .insert(header("again", Some(&b"one"[..])))
        .insert(header("again", Some(&[0xff, 0x00][..])))
        .insert(header("null", None));
    let first: BaseRecord<'_, [u8], [u8]> =
        BaseRecord::to(topic).partition(partition).key(&[0xfe][..]).headers(headers);
    producer.send(first).unwrap();
    for number in 0..300 {
        let (key, value) = (format!("key-{}", number % 7), format!("value-{number}"));
        producer.send(BaseRecord::to(topic).partition(partition).key(&key).payload(&value)).unwrap();
    }
    producer.flush(LIMIT).unwrap();
}

/// Batches of 600 KB and records of 2 MB, with limits far below.
fn large_batches(brokers: &Brokers) {
    const TOPIC: &str = "content-large";
    brokers.create_topic(TOPIC, 2, &[("max.message.bytes", "5000000")]).unwrap();
    let bootstrap = brokers.bootstrap();
    let small = Filling { batch: 60, padding: 10_000, ..Filling::new(&bootstrap, TOPIC, 2, 300) };
    let mut acked = small.write().unwrap();
    let large = Filling { sequences: 300..303, batch: 1, padding: 2_000_000, ..small };
    for (partition, sequences) in large.write().unwrap() {
        acked.entry(partition).or_default().extend(sequences);
    }
    let config = usual_config(&bootstrap, TOPIC, TOPIC)
        + "\"max.partition.fetch.bytes\" = \"64KiB\"\n\"fetch.max.bytes\" = \"100KiB\"\n";
    let service = run_to_the_end(&Workplace::new().unwrap(), &config);
    let verdict = service.checker().verdict(&acked);
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!(stopped(&service)["redelivered"], 0);
    expect_finished(brokers, &config, TOPIC, TOPIC, &BTreeMap::from([(0, 303), (1, 303)]));
}

/// Memory is bounded, and one batch past the bound is fetched all the same.
fn larger_than_the_buffer(brokers: &Brokers) {
    const TOPIC: &str = "content-larger";
    brokers.create_topic(TOPIC, 3, &[("max.message.bytes", "5000000")]).unwrap();
    let bootstrap = brokers.bootstrap();
    let filling = Filling { batch: 1, padding: 400_000, ..Filling::new(&bootstrap, TOPIC, 3, 5) };
    let acked = filling.write().unwrap();
    let config = usual_config(&bootstrap, TOPIC, TOPIC)
        + "\"max.partition.fetch.bytes\" = \"64KiB\"\n\n[fetch]\nbuffer_bytes = \"64KiB\"\n";
    let service = run_to_the_end(&Workplace::new().unwrap(), &config);
    let verdict = service.checker().verdict(&acked);
    assert!(verdict.is_clean(), "{verdict:?}");
    expect_finished(brokers, &config, TOPIC, TOPIC, &(0..3).map(|partition| (partition, 5)).collect());
}
