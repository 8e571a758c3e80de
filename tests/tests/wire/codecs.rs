//! Every codec, as Java and as librdkafka write it.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::Value;
use steadfast_tests::brokers::Brokers;
use steadfast_tests::either::Scene;
use steadfast_tests::finished::run_to_the_end;
use steadfast_tests::java::Program;
use steadfast_tests::offsets::committed;
use steadfast_tests::service::{Workplace, usual_config};

use crate::content::{LIMIT, expect_finished};

pub(crate) const WITH_JAVA: &[Scene] =
    &[("content::every_codec_of_java_and_librdkafka_gives_what_java_is_given", codecs)];

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
