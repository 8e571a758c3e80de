//! The endpoints over a real socket, and the documents against what they serve.

use std::collections::BTreeSet;

use serde_json::Value;
use steadfast_core::ids::ConsumerIncarnation;
use steadfast_core::progress::Progress;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::families::FAMILIES;
use super::metrics::{Format, Kind, text};
use super::*;
use crate::events::{Event, Rebalance};
use crate::vitals::sample::{Sample, orders};

fn site(sample: &Sample) -> Arc<Site> {
    let table = Arc::clone(&sample.table);
    let tally = Arc::new(Tally::new(move || table.now()));
    tally.hear(&Event::ConsumerRespawned {
        incarnation: ConsumerIncarnation(2),
        reason: "drift",
        detect_ms: 1.0,
        discover_ms: 30.0,
        verify_ms: 20.0,
        handover_ms: 1.0,
        first_record_ms: Some(48.0),
        gap: 0,
        redelivered: 0,
    });
    tally.hear(&Event::CheckpointCommitted { partitions: 2, occasion: "interval", took_ms: 3.0 });
    tally.hear(&Event::GroupRebalanced {
        generation: 3,
        reason: "first join".into(),
        assignor: "range".into(),
        led: true,
        took_ms: 34.0,
    });
    tally.hear(&Event::GroupRebalanceCompleted { rebalance: Box::new(over()) });
    Arc::new(Site::sample(sample, tally))
}

/// A rebalance of which everything is known.
fn over() -> Rebalance {
    Rebalance {
        generation: 3,
        reason: "start".to_owned(),
        latest_reason: "start".to_owned(),
        trigger: Some("steadfast-2 joined".to_owned()),
        protocol: "cooperative".to_owned(),
        assignor: "cooperative-sticky".to_owned(),
        led: true,
        led_by: Some("steadfast-1".to_owned()),
        members: Some(2),
        idle_members: Some(0),
        revoke_ms: Some(12.0),
        commit_ms: Some(3.0),
        handlers_ms: Some(4.0),
        first_record_ms: Some(9.0),
        handed_again_certainty: "exact".to_owned(),
        ..Rebalance::default()
    }
}

/// Sends `request` to a server of a service that is well; gives back all that comes until the end.
async fn answer(site: Arc<Site>, request: &str) -> String {
    let listening = Listening::on(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listening.address;
    let _serving = listening.serve(site, &Handle::current());
    #[expect(clippy::disallowed_methods, reason = "the server is asked as everybody would ask it")]
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(site: &Arc<Site>, target: &str, header: &str) -> (u16, String, String) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: steadfast\r\n{header}\r\n");
    let answer = answer(Arc::clone(site), &request).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn probes_answer_with_a_status_that_kubernetes_reads() {
    let sample = Sample::well(&[0, 1]);
    let site = site(&sample);
    assert_eq!(get(&site, "/livez", "").await.0, 200);
    let (code, _, body) = get(&site, "/readyz", "").await;
    assert_eq!((code, body.as_str()), (200, "ok"));
    sample.vitals.drain();
    let (code, _, body) = get(&site, "/readyz?verbose", "").await;
    assert_eq!(code, 503);
    assert!(body.starts_with("[-]service failed: it is ending\n[+]cluster ok: "), "{body}");
    for (target, header) in [("/readyz?format=json", ""), ("/readyz", "Accept: application/json\r\n")] {
        let (code, head, body) = get(&site, target, header).await;
        assert!(code == 503 && head.contains("content-type: application/json"), "{head}");
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["draining"], true);
    }
    assert_eq!(get(&site, "/livez?verbose", "").await.0, 200, "nothing but the process's own threads counts");
}

#[tokio::test]
async fn nothing_but_reading_is_possible() {
    let site = site(&Sample::well(&[]));
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let request = format!("{method} /readyz HTTP/1.1\r\nHost: s\r\nContent-Length: 4\r\n\r\nbody");
        let answer = answer(Arc::clone(&site), &request).await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{method}: {answer}");
    }
    let head = answer(Arc::clone(&site), "HEAD /metrics HTTP/1.1\r\nHost: s\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    assert_eq!(get(&site, "/config", "").await.0, 404);
    assert_eq!(get(&site, "/", "").await.0, 200);
}

#[tokio::test]
async fn who_is_slow_or_long_winded_is_left() {
    let site = site(&Sample::well(&[]));
    let begun = Instant::now();
    let slow = answer(Arc::clone(&site), "GET /readyz HTTP/1.1\r\nHost: s\r\n").await;
    assert!(!slow.contains("200"), "{slow}");
    assert!(begun.elapsed() < EXCHANGE, "{:?}", begun.elapsed());
    let long = format!("GET /readyz HTTP/1.1\r\nHost: s\r\nX: {}", "x".repeat(HEAD_BYTES));
    let long = answer(Arc::clone(&site), &long).await;
    assert!(long.starts_with("HTTP/1.1 431 "), "{long}");
}

#[tokio::test]
async fn a_taken_port_is_told_with_what_to_do() {
    let listening = Listening::on(([127, 0, 0, 1], 0).into()).await.unwrap();
    let told = Listening::on(listening.address).await.err().unwrap().to_string();
    assert!(told.contains(&listening.address.to_string()) && told.contains("set another address"), "{told}");
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let site = site(&Sample::well(&[0]));
    let (_, head, body) = get(&site, "/metrics", "").await;
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("# TYPE steadfast_checkpoint_commits_total counter\n") && !body.contains("# EOF"));
    let accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.1\r\n";
    let (_, head, body) = get(&site, "/metrics", accept).await;
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(body.contains("# TYPE steadfast_checkpoint_commits counter\n") && body.ends_with("# EOF\n"));
}

/// The series of this metric.
fn series<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let of_it = |line: &&str| line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} "));
    text.lines().filter(of_it).collect()
}

#[test]
fn lag_is_counted_from_what_is_stored_processed_and_fetched() {
    let sample = Sample::well(&[0]);
    sample.deliver(&orders(0), 110);
    let text = text(&site(&sample), Format::Text).unwrap();
    let labels = "{messaging_destination_name=\"orders\",messaging_destination_partition_id=\"0\"}";
    for (metric, records) in [("lag", 60.0), ("unprocessed", 50.0), ("unfetched", 40.0)] {
        let name = format!("steadfast_partition_{metric}_records");
        assert_eq!(series(&text, &name), [format!("{name}{labels} {records:.1}")]);
    }
    assert_eq!(
        series(&text, "steadfast_partition_held_bytes"),
        [format!("steadfast_partition_held_bytes{labels} 1000.0")]
    );
}

#[test]
fn series_of_a_partition_end_with_its_assignment() {
    let sample = Sample::well(&[0, 1]);
    let site = site(&sample);
    let of_partition = |number: &str| {
        let label = format!("messaging_destination_partition_id=\"{number}\"");
        text(&site, Format::Text).unwrap().lines().filter(|line| line.contains(&label)).count()
    };
    let (zero, one) = (of_partition("0"), of_partition("1"));
    assert!(zero >= 6 && one == zero, "{zero}, {one}");
    sample.table.update(&orders(1), Progress::release);
    assert_eq!((of_partition("0"), of_partition("1")), (zero, 0));
    sample.assign(&orders(1));
    sample.hear();
    assert_eq!(of_partition("1"), one);
}

#[test]
fn how_long_handlers_took_is_kept_by_topic_when_partitions_go() {
    let sample = Sample::well(&[0, 1]);
    sample.table.processed(&orders(0), Duration::from_millis(40), true);
    sample.table.processed(&orders(1), Duration::from_millis(60), true);
    sample.table.processed(&orders(1), Duration::from_secs(1), false);
    sample.table.update(&orders(1), Progress::release);
    let text = text(&site(&sample), Format::Text).unwrap();
    let labels = "{messaging_system=\"kafka\",messaging_operation_name=\"process\",\
                  messaging_consumer_group_name=\"billing\",messaging_destination_name=\"orders\"";
    let sums = series(&text, "messaging_process_duration_seconds_sum");
    let name = "messaging_process_duration_seconds_sum";
    assert_eq!(
        sums,
        [format!("{name}{labels}}} 0.1"), format!("{name}{labels},error_type=\"returned\"}} 1.0")]
    );
}

#[test]
fn the_labels_of_a_sample_are_those_of_its_family() {
    let sample = Sample::well(&[0]);
    let site = site(&sample);
    let scrape = site.scrape();
    for family in FAMILIES {
        for sample in (family.read)(&scrape) {
            assert_eq!(sample.labels.len(), family.labels.len(), "{}", family.name);
        }
    }
    let names: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
    assert_eq!(names.len(), FAMILIES.len(), "a name stands twice");
}

/// What a row of docs/metrics.md says of a metric.
fn row(family: &super::metrics::Family) -> String {
    let (kind, suffix) = match family.kind {
        Kind::Counter => ("counter", "_total"),
        Kind::Gauge => ("gauge", ""),
        Kind::Histogram => ("histogram", ""),
    };
    let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
    format!("| `{}{suffix}` | {kind} | {} | {} |", family.name, labels.join(", "), family.help)
}

#[test]
fn the_documentation_lists_exactly_the_metrics_there_are() {
    let documented = include_str!("../../../../docs/metrics.md");
    let listed = |line: &&str| line.starts_with("| `") && line.split(" | ").count() == 4;
    let rows: Vec<&str> = documented.lines().filter(listed).collect();
    let expected: Vec<String> = FAMILIES.iter().map(row).collect();
    assert!(rows == expected, "docs/metrics.md should have these rows:\n{}\n", expected.join("\n"));
}

/// Every field with its type, by its path; a list is what its entries are. Of what is null nothing can be said.
fn shape(path: &str, value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                shape(&format!("{path}.{name}"), value, into);
            }
        }
        Value::Array(entries) => {
            into.insert(format!("{path}: list"));
            entries.iter().for_each(|entry| shape(&format!("{path}[]"), entry, into));
        }
        Value::Null => {}
        Value::Bool(_) => drop(into.insert(format!("{path}: flag"))),
        Value::Number(_) => drop(into.insert(format!("{path}: number"))),
        Value::String(_) => drop(into.insert(format!("{path}: text"))),
    }
}

fn shape_of(value: &Value) -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    shape("", value, &mut fields);
    fields
}

/// The example under this heading of docs/http.md.
fn example(heading: &str) -> Value {
    let documented = include_str!("../../../../docs/http.md");
    let (_, section) = documented.split_once(&format!("\n## {heading}\n")).unwrap();
    let (_, from) = section.split_once("```json\n").unwrap();
    serde_json::from_str(from.split_once("```").unwrap().0).unwrap()
}

#[tokio::test]
async fn the_documented_examples_have_the_fields_that_are_served() {
    let sample = Sample::well(&[0, 1]);
    let site = site(&sample);
    site.tally.hear(&Event::ConfigRejected { reason: "unknown key".into() });
    sample.vitals.committed(sample.now());
    let events = crate::observers::Events::new("test", Vec::new());
    let missing = vec!["kafka-1:9092: refused".into()];
    sample.vitals.degraded(crate::vitals::Part::View, missing, false, &events, sample.now());
    let position = sample.table.read(&orders(0), Progress::position).unwrap();
    sample.vitals.stalled(&orders(0), position, Duration::from_secs(30), sample.now());
    sample.table.update(&orders(1), Progress::quarantine);
    for (target, heading) in [("/status", "/status"), ("/readyz?format=json", "/readyz")] {
        let served: Value = serde_json::from_str(&get(&site, target, "").await.2).unwrap();
        let (served, documented) = (shape_of(&served), shape_of(&example(heading)));
        assert_eq!(documented, served, "{target} and its example in docs/http.md have other fields");
    }
}
