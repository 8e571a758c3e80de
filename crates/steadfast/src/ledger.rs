//! The ledger: what became of endpoints, consumers and the group, kept on disk for `steadfast history`.
//!
//! Each kept event is one line of JSON, as the log has it. Nothing waits for the disk: [`Ledger::note`] puts the line
//! into a queue with room for some, and a thread of its own takes them out ([`Queue::keep`]). What does not fit or
//! cannot be written is counted, said once, and counted in a line of its own as soon as one can be written again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use serde_json::{Map, Value, json};
use steadfast_core::ids::Partition;
use tokio::sync::oneshot;

use crate::env::WallClock;
use crate::events::Event;
use crate::observers::Listener;

/// The file's name in the state directory.
pub const FILE: &str = "history.jsonl";
/// How large it may become; one older file is kept beside it.
pub const MOST_BYTES: u64 = 1 << 20;
/// The event that says how many lines are missing.
pub const LINES_LOST: &str = "history.lost";

/// Lines that may wait for the disk.
const ROOM: usize = 1024;
/// Of signs of one kind that something is wrong, which come in bursts, one is kept in so many milliseconds.
const SIGN_EVERY_MS: i64 = 1_000;
/// Text and lists that are longer are cut.
const LONGEST_TEXT: usize = 1_000;
const LONGEST_LIST: usize = 200;

/// Notes events. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger(Arc<Desk>);

#[derive(Debug)]
struct Desk {
    queue: SyncSender<Post>,
    lost: Arc<AtomicU64>,
    clock: WallClock,
    signed_at: [AtomicI64; SIGNS],
}

/// What waits to be written.
#[derive(Debug)]
pub struct Queue {
    posts: Receiver<Post>,
    lost: Arc<AtomicU64>,
    clock: WallClock,
}

#[derive(Debug)]
enum Post {
    Line(String),
    Flush(oneshot::Sender<()>),
}

impl Ledger {
    /// A ledger, and what its thread is to keep.
    pub fn open(clock: WallClock) -> (Ledger, Queue) {
        let (queue, posts) = sync_channel(ROOM);
        let lost = Arc::new(AtomicU64::new(0));
        let signed_at = [const { AtomicI64::new(i64::MIN) }; SIGNS];
        let desk = Desk { queue, lost: Arc::clone(&lost), clock: clock.clone(), signed_at };
        (Ledger(Arc::new(desk)), Queue { posts, lost, clock })
    }

    /// Notes an event of the service `instance`, if it belongs into the history. Never waits.
    pub fn note(&self, instance: &str, event: &Event) {
        if !self.keeps(event) {
            return;
        }
        let Some(line) = line(&self.0.clock.rfc3339(), instance, event) else { return };
        if self.0.queue.try_send(Post::Line(line)).is_err() {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes every event of the service `instance`.
    pub(crate) fn listener(self, instance: String) -> Listener {
        Box::new(move |event| self.note(&instance, event))
    }

    /// Resolves when all that was noted before is on its way to the disk, or cannot be.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.0.queue.try_send(Post::Flush(done)).is_ok() {
            // An error means that the thread has ended: nothing is left to wait for.
            let _ = flushed.await;
        }
    }

    fn keeps(&self, event: &Event) -> bool {
        match kept(event) {
            Kept::Always => true,
            Kept::Never => false,
            Kept::As(sign) => {
                let Some(signed_at) = self.0.signed_at.get(sign as usize) else { return true };
                let now = self.0.clock.millis();
                let last = signed_at.load(Ordering::Relaxed);
                let due = now.saturating_sub(last) >= SIGN_EVERY_MS || now < last;
                if due {
                    signed_at.store(now, Ordering::Relaxed);
                }
                due
            }
        }
    }
}

/// Whether an event belongs into the history.
enum Kept {
    Always,
    /// One a second of those of its sign.
    As(Sign),
    Never,
}

/// Signs of trouble. Those of one do not crowd out those of another.
#[derive(Clone, Copy)]
enum Sign {
    Endpoints,
    Access,
    Sink,
    BadRecords,
}

const SIGNS: usize = Sign::BadRecords as usize + 1;

/// Every event stands here: a new one does not compile before it is decided on.
fn kept(event: &Event) -> Kept {
    match event {
        Event::EndpointSuspected { .. } | Event::ConnectionReplaced { .. } | Event::WitnessFailed { .. } => {
            Kept::As(Sign::Endpoints)
        }
        Event::AuthenticationFailed { .. } | Event::TlsFailed { .. } => Kept::As(Sign::Access),
        Event::SinkUnavailable { .. } => Kept::As(Sign::Sink),
        Event::RecordDeadLettered { .. } | Event::DeadLettersUnavailable { .. } => Kept::As(Sign::BadRecords),
        Event::ServiceStarted { .. }
        | Event::ServiceStopped { .. }
        | Event::ServiceDegraded { .. }
        | Event::ServiceRecovered { .. }
        | Event::ViewAgreed { .. }
        | Event::EndpointDrifted { .. }
        | Event::ConsumerRespawned { .. }
        | Event::RespawnBudgetSpent { .. }
        | Event::GroupRebalanced { .. }
        | Event::GroupRebalanceCompleted { .. }
        | Event::GroupAdvised { .. }
        | Event::PartitionsAssigned { .. }
        | Event::PartitionsRevoked { .. }
        | Event::PartitionsLost { .. }
        | Event::PartitionQuarantined { .. }
        | Event::PartitionReleased { .. }
        | Event::SinkRecovered { .. }
        | Event::RecordsRedelivered { .. }
        | Event::OffsetsOutOfRange { .. }
        | Event::ClusterRegressed { .. }
        | Event::TopicRecreated { .. }
        | Event::ActorRestarted { .. }
        | Event::ActorFailed { .. }
        | Event::MemberRefused { .. }
        | Event::ConfigReloaded { .. }
        | Event::ConfigRejected { .. } => Kept::Always,
        // Routine, or told by what comes of it.
        Event::HttpListening { .. }
        | Event::PartitionResumed { .. }
        | Event::CheckpointCommitted { .. }
        | Event::CheckpointFailed { .. }
        | Event::PartitionStarted { .. }
        | Event::PartitionStalled { .. }
        | Event::PartitionRefused { .. }
        | Event::PartitionUndecodable { .. }
        | Event::BatchReturned { .. } => Kept::Never,
    }
}

impl Queue {
    /// Appends what comes, until every ledger is gone. Blocks: for a thread of its own.
    pub fn keep(self, mut append: impl FnMut(&[u8]) -> io::Result<()>) {
        let mut failing = false;
        for post in self.posts {
            let line = match post {
                Post::Line(line) => line,
                Post::Flush(done) => {
                    // Who asked may have stopped waiting.
                    let _ = done.send(());
                    continue;
                }
            };
            let lost = self.lost.swap(0, Ordering::Relaxed);
            let missing = if lost > 0 { lines_lost(&self.clock.rfc3339(), lost) } else { String::new() };
            match append((missing + &line).as_bytes()) {
                Ok(()) => failing = false,
                Err(error) => {
                    self.lost.fetch_add(lost + 1, Ordering::Relaxed);
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "the history on disk has a gap from here on");
                    }
                }
            }
        }
    }
}

/// The event as a line, with what is long cut.
fn line(timestamp: &str, instance: &str, event: &Event) -> Option<String> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(event) else { return None };
    let name = fields.remove("event.name")?;
    if let Event::PartitionsAssigned { partitions, .. }
    | Event::PartitionsRevoked { partitions, .. }
    | Event::PartitionsLost { partitions, .. } = event
    {
        fields.insert("partitions".to_owned(), ranges(partitions).into());
    }
    let head = [
        ("timestamp", timestamp.into()),
        ("level", event.level().to_string().into()),
        ("event.name", name),
        ("message", event.message().into()),
        ("service.instance.id", instance.into()),
    ];
    let head = head.into_iter().map(|(key, value)| (key.to_owned(), value));
    let all: Map<String, Value> = head.chain(fields).map(|(key, value)| (key, cut(value))).collect();
    Some(format!("{}\n", Value::Object(all)))
}

fn lines_lost(timestamp: &str, lines: u64) -> String {
    let message = format!("{lines} lines of the history could not be written");
    let line = json!({"timestamp": timestamp, "event.name": LINES_LOST, "message": message, "lines": lines});
    format!("{line}\n")
}

/// Partitions in short: `orders 0-5 7, payments 1`.
pub(crate) fn ranges(partitions: &[Partition]) -> String {
    let mut sorted: Vec<&Partition> = partitions.iter().collect();
    sorted.sort();
    let mut text = String::new();
    for of_topic in sorted.chunk_by(|one, next| one.topic == next.topic) {
        let comma = if text.is_empty() { "" } else { ", " };
        let topic = of_topic.first().map(|partition| partition.topic.as_ref()).unwrap_or_default();
        text += &format!("{comma}{topic}");
        for run in of_topic.chunk_by(|one, next| one.index.checked_add(1) == Some(next.index)) {
            match run {
                [one] => text += &format!(" {}", one.index),
                [first, .., last] => text += &format!(" {}-{}", first.index, last.index),
                [] => {}
            }
        }
    }
    text
}

fn cut(value: Value) -> Value {
    match value {
        Value::String(text) if text.chars().nth(LONGEST_TEXT).is_some() => {
            Value::String(text.chars().take(LONGEST_TEXT).chain(['…']).collect())
        }
        Value::Array(list) => list.into_iter().take(LONGEST_LIST).map(cut).collect(),
        Value::Object(map) => {
            map.into_iter().take(LONGEST_LIST).map(|(key, value)| (key, cut(value))).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use steadfast_core::ids::Offset;

    use super::*;
    use crate::events::{Failure, Place};

    fn degraded(missing: &str) -> Event {
        Event::ServiceDegraded { missing: vec![missing.to_owned()] }
    }

    fn suspected() -> Event {
        Event::EndpointSuspected { reason: "reset".to_owned(), node: None, server: None }
    }

    fn values(lines: &[u8]) -> Vec<Value> {
        let text = std::str::from_utf8(lines).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What is written of what `say` notes.
    fn written(clock: WallClock, say: impl FnOnce(&Ledger)) -> Vec<Value> {
        let (ledger, queue) = Ledger::open(clock);
        say(&ledger);
        drop(ledger);
        let mut all = Vec::new();
        queue.keep(|lines| {
            all.extend_from_slice(lines);
            Ok(())
        });
        values(&all)
    }

    #[test]
    fn a_line_is_that_of_the_log_with_the_time_of_day() {
        let lines = written(WallClock::fixed(1_790_000_000_123), |ledger| {
            ledger.note("billing-1", &degraded("a broker"));
        });
        assert_eq!(
            lines,
            [json!({
                "timestamp": "2026-09-21T14:13:20.123Z", "level": "WARN", "event.name": "service.degraded",
                "message": "degraded: a broker", "service.instance.id": "billing-1", "missing": ["a broker"],
            })]
        );
    }

    #[test]
    fn what_is_no_history_is_not_kept_and_signs_are_kept_once_a_second() {
        let now = Arc::new(AtomicI64::new(0));
        let read = Arc::clone(&now);
        let lines = written(WallClock::new(move || read.load(Ordering::Relaxed)), |ledger| {
            ledger
                .note("i", &Event::CheckpointCommitted { partitions: 1, occasion: "interval", took_ms: 1.0 });
            for at in [0, 1, 999, 1_000, 1_500, 2_000] {
                now.store(at, Ordering::Relaxed);
                ledger.note("i", &suspected());
            }
        });
        let at: Vec<&str> = lines.iter().map(|line| line["timestamp"].as_str().unwrap()).collect();
        assert_eq!(at, ["1970-01-01T00:00:00.000Z", "1970-01-01T00:00:01.000Z", "1970-01-01T00:00:02.000Z"]);
    }

    #[test]
    fn what_happens_to_records_is_history_and_one_sign_does_not_crowd_out_another() {
        let place = || Place::new("orders", 3);
        let failure = || Failure::new("unavailable", "no space left");
        let lines = written(WallClock::fixed(0), |ledger| {
            for tries in 1..=3 {
                ledger.note("i", &suspected());
                let (place, failure) = (place(), failure());
                ledger.note("i", &Event::SinkUnavailable { place, from: Offset(7), failure, tries });
            }
            ledger.note("i", &Event::SinkRecovered { place: place(), unavailable_ms: 5.0 });
            let (next, failure) = (Offset(8), failure());
            ledger.note("i", &Event::RecordDeadLettered { place: place(), offset: Offset(7), next, failure });
            ledger.note("i", &Event::PartitionReleased { place: place(), acked: Some(Offset(8)) });
        });
        let names: Vec<&str> = lines.iter().map(|line| line["event.name"].as_str().unwrap()).collect();
        assert_eq!(
            names,
            [
                "endpoint.suspected",
                "sink.unavailable",
                "sink.recovered",
                "record.dead_lettered",
                "partition.released"
            ]
        );
    }

    #[test]
    fn lines_that_no_disk_takes_are_counted_in_the_next_that_one_takes() {
        let (ledger, queue) = Ledger::open(WallClock::fixed(0));
        for number in 0..4 {
            ledger.note("i", &degraded(&number.to_string()));
        }
        drop(ledger);
        let (mut room, mut all) = ([true, false, false, true].into_iter(), Vec::new());
        queue.keep(|lines| match room.next() {
            Some(true) => {
                all.extend_from_slice(lines);
                Ok(())
            }
            _ => Err(io::ErrorKind::StorageFull.into()),
        });
        let lines = values(&all);
        let names: Vec<&str> = lines.iter().map(|line| line["event.name"].as_str().unwrap()).collect();
        assert_eq!(names, ["service.degraded", LINES_LOST, "service.degraded"]);
        assert_eq!((&lines[1]["lines"], &lines[2]["missing"][0]), (&json!(2), &json!("3")));
    }

    #[test]
    fn a_queue_that_nobody_empties_holds_nobody_up() {
        let lines = written(WallClock::fixed(0), |ledger| {
            for _ in 0..ROOM + 5 {
                ledger.note("i", &degraded("x"));
            }
        });
        assert_eq!(lines.len(), ROOM + 1);
        assert_eq!((&lines[0]["event.name"], &lines[0]["lines"]), (&json!(LINES_LOST), &json!(5)));
    }

    #[tokio::test]
    async fn a_flush_waits_for_what_was_noted_before() {
        let (ledger, queue) = Ledger::open(WallClock::fixed(0));
        let seen = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&seen);
        let keeper = std::thread::spawn(move || {
            queue.keep(|lines| {
                *counted.lock().unwrap() += values(lines).len();
                Ok(())
            });
        });
        for _ in 0..100 {
            ledger.note("i", &degraded("x"));
        }
        ledger.flush().await;
        assert_eq!(*seen.lock().unwrap(), 100);
        drop(ledger);
        keeper.join().unwrap();
    }

    #[test]
    fn partitions_are_written_as_ranges() {
        let orders = [7, 0, 1, 2, 5].map(|index| Partition::new("orders", index));
        let all = [&orders[..], &[Partition::new("payments", 1)]].concat();
        assert_eq!(ranges(&all), "orders 0-2 5 7, payments 1");
        assert_eq!(ranges(&[]), "");
    }

    #[test]
    fn what_others_said_is_cut() {
        let lines = written(WallClock::fixed(0), |ledger| ledger.note("i", &degraded(&"ä".repeat(100_000))));
        assert_eq!(lines[0]["missing"][0].as_str().unwrap().chars().count(), LONGEST_TEXT + 1);
        assert!(lines[0].to_string().len() < 10_000);
    }
}
