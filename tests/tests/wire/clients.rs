//! Unmodified clients write to the cluster and read from it: rskafka, librdkafka and Java.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rskafka::client::ClientBuilder;
use rskafka::client::partition::{OffsetAt, UnknownTopicHandling};
use serde_json::Value;
use steadfast_tests::brokers::Brokers;
use steadfast_tests::checker::Mark;
use steadfast_tests::either::Scene;
use steadfast_tests::finished::run_to_the_end;
use steadfast_tests::java::Program;
use steadfast_tests::offsets::committed;
use steadfast_tests::reader::Reader;
use steadfast_tests::service::{Service, Workplace, usual_config};
use steadfast_tests::writer::Filling;
use tokio::time::timeout;

use crate::topic::LIMIT;

pub(crate) const SCENES: &[Scene] = &[
    ("clients::librdkafka_reads_what_rskafka_writes", librdkafka_reads),
    ("clients::rskafka_reads_what_librdkafka_writes", rskafka_reads),
    ("clients::librdkafka_writes_each_record_once", idempotent_librdkafka),
    ("clients::librdkafka_and_ours_go_on_from_where_the_other_was", relay),
    ("clients::librdkafka_finds_offsets_by_time", by_time),
];

pub(crate) const WITH_JAVA: &[Scene] = &[
    ("clients::java_reads_what_librdkafka_writes", java_reads),
    ("clients::librdkafka_reads_what_java_writes", java_writes),
    ("clients::librdkafka_ours_and_java_go_on_from_where_the_other_was", relay_with_java),
];

const PARTITIONS: i32 = 3;
const COUNT: u64 = 500;

fn librdkafka_reads(brokers: &Brokers) {
    let topic = "clients-librdkafka-reads";
    brokers.create_topic(topic, PARTITIONS, &[]).unwrap();
    let bootstrap = brokers.bootstrap();
    let acked = Filling::new(&bootstrap, topic, PARTITIONS, COUNT).write().unwrap();
    for assignor in ["range", "cooperative-sticky"] {
        let settings = [("partition.assignment.strategy", assignor)];
        let group = format!("{topic}-{assignor}");
        let reader = Reader::start(&bootstrap, &group, topic, &settings).unwrap();
        let verdict = reader.verdict_within(LIMIT, &acked).unwrap();
        assert!(verdict.is_clean(), "{verdict:?}");
        reader.leave(LIMIT).unwrap();
        let ends = (0..PARTITIONS).map(|partition| (partition, 500)).collect::<BTreeMap<i32, i64>>();
        assert_eq!(committed(brokers, &group, topic, PARTITIONS).unwrap(), ends);
    }
}

/// Writes the load's records from `sequences` to each partition.
fn write_with_librdkafka(
    brokers: &Brokers,
    topic: &str,
    sequences: std::ops::Range<u64>,
    settings: &[(&str, &str)],
) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers.bootstrap());
    for (key, value) in settings {
        config.set(*key, *value);
    }
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().unwrap();
    for sequence in sequences {
        for partition in 0..PARTITIONS {
            let value = Mark { partition, sequence }.value();
            let record: BaseRecord<'_, [u8], [u8]> =
                BaseRecord::to(topic).partition(partition).payload(&value[..]);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
    }
    producer.flush(LIMIT).unwrap();
    assert_eq!(producer.in_flight_count(), 0);
}

fn rskafka_reads(brokers: &Brokers) {
    let topic = "clients-rskafka-reads";
    brokers.create_topic(topic, PARTITIONS, &[]).unwrap();
    write_with_librdkafka(brokers, topic, 0..COUNT, &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let bootstrap = brokers.bootstrap().split(',').map(str::to_owned).collect();
        let client = timeout(LIMIT, ClientBuilder::new(bootstrap).build()).await.unwrap().unwrap();
        for partition in 0..PARTITIONS {
            let from = client.partition_client(topic, partition, UnknownTopicHandling::Error);
            let from = timeout(LIMIT, from).await.unwrap().unwrap();
            let end = timeout(LIMIT, from.get_offset(OffsetAt::Latest)).await.unwrap().unwrap();
            assert_eq!(end, 500);
            let mut next = 0;
            while next < end {
                let fetched = from.fetch_records(next, 1..100_000, 1_000);
                let (records, high_watermark) = timeout(LIMIT, fetched).await.unwrap().unwrap();
                assert_eq!(high_watermark, end);
                for record in records {
                    let mark = Mark::read(&record.record.value.unwrap()).unwrap();
                    assert_eq!((mark.partition, mark.sequence), (partition, u64::try_from(next).unwrap()));
                    assert_eq!(record.offset, next);
                    next += 1;
                }
            }
        }
    });
}

/// The values of each partition in order, by librdkafka without a group.
fn read_with_librdkafka(brokers: &Brokers, topic: &str, count: usize) -> BTreeMap<i32, Vec<String>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers.bootstrap())
        .set("group.id", "nobody")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut from = rdkafka::TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        from.add_partition_offset(topic, partition, rdkafka::Offset::Beginning).unwrap();
    }
    consumer.assign(&from).unwrap();
    let mut read: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for _ in 0..count {
        let message = consumer.poll(LIMIT).expect("nothing more comes").unwrap();
        let value = rdkafka::Message::payload_view::<str>(&message).unwrap().unwrap();
        read.entry(rdkafka::Message::partition(&message)).or_default().push(value.to_owned());
    }
    assert!(consumer.poll(Duration::from_millis(200)).is_none());
    read
}

fn expected(sequences: std::ops::Range<u64>) -> BTreeMap<i32, Vec<String>> {
    let value = |partition, sequence| String::from_utf8(Mark { partition, sequence }.value()).unwrap();
    let values = |partition| sequences.clone().map(|sequence| value(partition, sequence)).collect();
    (0..PARTITIONS).map(|partition| (partition, values(partition))).collect()
}

fn idempotent_librdkafka(brokers: &Brokers) {
    let topic = "clients-idempotent";
    brokers.create_topic(topic, PARTITIONS, &[]).unwrap();
    for (from, codec) in (0..).step_by(100).zip(["none", "gzip", "snappy", "lz4"]) {
        let settings = [("enable.idempotence", "true"), ("compression.codec", codec), ("linger.ms", "1")];
        write_with_librdkafka(brokers, topic, from..from + 100, &settings);
    }
    assert_eq!(read_with_librdkafka(brokers, topic, 1_200), expected(0..400));
}

/// librdkafka is told what lies at a time and where partitions begin and end.
fn by_time(brokers: &Brokers) {
    let topic = "clients-by-time";
    brokers.create_topic(topic, PARTITIONS, &[]).unwrap();
    let producer: ThreadedProducer<DefaultProducerContext> =
        ClientConfig::new().set("bootstrap.servers", brokers.bootstrap()).create().unwrap();
    for time in [1_000, 2_000, 3_000] {
        let record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(topic).partition(1).payload(&b"x"[..]).timestamp(time);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(LIMIT).unwrap();
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", brokers.bootstrap()).create().unwrap();
    assert_eq!(consumer.fetch_watermarks(topic, 1, LIMIT).unwrap(), (0, 3));
    let at = |time| {
        let mut wanted = rdkafka::TopicPartitionList::new();
        wanted.add_partition_offset(topic, 1, rdkafka::Offset::Offset(time)).unwrap();
        consumer.offsets_for_times(wanted, LIMIT).unwrap().elements()[0].offset()
    };
    assert_eq!(at(1_500), rdkafka::Offset::Offset(1));
    assert_eq!(at(3_000), rdkafka::Offset::Offset(2));
    assert_eq!(at(3_001), rdkafka::Offset::End);
}

fn java_reads(brokers: &Brokers) {
    let topic = "clients-java-reads";
    brokers.create_topic(topic, PARTITIONS, &[]).unwrap();
    write_with_librdkafka(brokers, topic, 0..COUNT, &[("enable.idempotence", "true")]);
    let mut lines =
        Program::run("ReadAll", &[&brokers.bootstrap(), topic, "read_committed"], 3 * LIMIT).unwrap();
    let ends = lines.pop().unwrap();
    assert_eq!(ends["ends"], serde_json::json!({"0": 500, "1": 500, "2": 500}));
    let mut read: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for line in lines {
        let partition = i32::try_from(line["partition"].as_i64().unwrap()).unwrap();
        read.entry(partition).or_default().push(line["value"].as_str().unwrap().to_owned());
    }
    assert_eq!(read, expected(0..COUNT));
}

/// In transactions, of which librdkafka gives the committed ones.
fn java_writes(brokers: &Brokers) {
    let topic = "clients-java-writes";
    brokers.create_topic(topic, PARTITIONS, &[]).unwrap();
    let bootstrap = brokers.bootstrap();
    let steps = ["commit:0:5", "abort:0:3", "commit:1:4", "abort:2:2", "interleave:2:3"];
    let arguments = [&[&*bootstrap, topic], &steps[..]].concat();
    let written = Program::run("TransactionalProducer", &arguments, 3 * LIMIT).unwrap();
    let mut committed: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for line in written.iter().filter(|line| line["fate"] == "committed") {
        let partition = i32::try_from(line["partition"].as_i64().unwrap()).unwrap();
        committed.entry(partition).or_default().push(line["value"].as_str().unwrap().to_owned());
    }
    assert_eq!(committed.values().map(Vec::len).sum::<usize>(), 12);
    assert_eq!(read_with_librdkafka(brokers, topic, 12), committed);
}

/// Members of one group, one after the other.
struct Relay<'a> {
    brokers: &'a Brokers,
    topic: &'a str,
    written: u64,
}

impl<'a> Relay<'a> {
    fn begin(brokers: &'a Brokers, topic: &'a str) -> Relay<'a> {
        brokers.create_topic(topic, PARTITIONS, &[]).unwrap();
        Relay { brokers, topic, written: 0 }
    }

    /// Writes 100 records to each partition: what the next one has to be given, no more and no less.
    fn write(&mut self) -> std::ops::Range<u64> {
        let bootstrap = self.brokers.bootstrap();
        let sequences = self.written..self.written + 100;
        self.written += 100;
        let filling =
            Filling { sequences: sequences.clone(), ..Filling::new(&bootstrap, self.topic, PARTITIONS, 0) };
        filling.write().unwrap();
        sequences
    }

    /// All that was written is committed.
    fn expect_committed(&self) {
        let end = i64::try_from(self.written).unwrap();
        let ends = (0..PARTITIONS).map(|partition| (partition, end)).collect::<BTreeMap<i32, i64>>();
        assert_eq!(committed(self.brokers, self.topic, self.topic, PARTITIONS).unwrap(), ends);
    }

    fn ours(&mut self) {
        let sequences = self.write();
        let config = usual_config(&self.brokers.bootstrap(), self.topic, self.topic);
        let service: Service = run_to_the_end(&Workplace::new().unwrap(), &config);
        let mut read: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        for (delivered, line) in service.deliveries_from(0) {
            let value = line["payload"].as_str().unwrap().trim_end().to_owned();
            read.entry(delivered.mark.partition).or_default().push(value);
        }
        assert_eq!(read, expected(sequences), "{}", service.story());
        self.expect_committed();
    }

    fn librdkafka(&mut self) {
        let sequences = self.write();
        let reader = Reader::start(&self.brokers.bootstrap(), self.topic, self.topic, &[]).unwrap();
        let acked = (0..PARTITIONS).map(|partition| (partition, sequences.clone().collect())).collect();
        let verdict = reader.verdict_within(LIMIT, &acked).unwrap();
        assert!(verdict.is_clean(), "{verdict:?}");
        let given = reader.leave(LIMIT).unwrap();
        assert_eq!(given.delivered().len(), 300);
        self.expect_committed();
    }

    fn java(&mut self) {
        let sequences = self.write();
        let arguments = [&*self.brokers.bootstrap(), self.topic, self.topic, "range"];
        let mut java = Program::start("GroupMember", &arguments).unwrap();
        let is_record = |line: &Value| line["event"] == "record";
        for partition in 0..PARTITIONS {
            let last = Mark { partition, sequence: sequences.end - 1 }.value();
            let last = Value::from(String::from_utf8(last).unwrap());
            java.wait_for(LIMIT, |line| is_record(&line.json) && line.json["value"] == last).unwrap();
        }
        java.tell("leave").unwrap();
        let lines = java.end(LIMIT).unwrap();
        assert_eq!(lines.iter().filter(|line| is_record(&line.json)).count(), 300);
        self.expect_committed();
    }
}

fn relay(brokers: &Brokers) {
    let mut relay = Relay::begin(brokers, "clients-relay");
    relay.ours();
    relay.librdkafka();
    relay.ours();
}

fn relay_with_java(brokers: &Brokers) {
    let mut relay = Relay::begin(brokers, "clients-relay-java");
    relay.java();
    relay.ours();
    relay.java();
    relay.librdkafka();
    relay.java();
}
