//! A loop, its broker, and an intake over the real progress of partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use steadfast_core::acked::Span;
use steadfast_core::endpoints::backoff::Jitter;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{
    ConsumerIncarnation, HandlerIncarnation, LeaderEpoch, NodeId, Offset, Partition, TopicId,
};
use steadfast_core::progress::{Claim, Grant, Position, Progress, Start};
use steadfast_watch as watch;
use tokio::task::JoinHandle;

use super::broker::{BY_NAME, Wire};
use crate::api::Isolation;
use crate::api::list_offsets::LogEnd;
use crate::connection::Dial;
use crate::fetch::intake::{Delivery, Intake, Note, Want};
use crate::fetch::leader::{LeaderLoop, Settings};
use crate::fetch::memory::Memory;
use crate::records::batch::{BatchError, RecordBatch};
use crate::records::lazy::PlainBatch;
use crate::transport::{self, Listener};

pub(super) const TOPIC: &str = "t";
pub(super) const TOPIC_ID: TopicId = TopicId(7);
/// The leader epoch that is known for every partition.
pub(super) const EPOCH: LeaderEpoch = LeaderEpoch(5);
pub(super) const MAX_WAIT: Duration = Duration::from_millis(500);
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const FIRST: ConsumerIncarnation = ConsumerIncarnation(1);

pub(super) fn partition(index: i32) -> Partition {
    Partition::new(TOPIC, index)
}

/// What all incarnations share.
pub(super) struct Table {
    progress: Mutex<BTreeMap<Partition, Progress>>,
    held_back: Mutex<BTreeSet<Partition>>,
    pub(super) deliveries: Mutex<Vec<Delivery>>,
    notes: Mutex<Vec<Note>>,
    pub(super) placed: Mutex<Vec<(Partition, LogEnd, Offset, LeaderEpoch)>>,
    pub(super) ends: Mutex<BTreeMap<Partition, Offset>>,
    /// Batches that cannot be decompressed: the partition, what they stand for, their size.
    pub(super) unreadable: Mutex<Vec<(i32, Span, usize)>>,
    /// Claims are granted up to here.
    pub(super) granted_to: Mutex<Option<Offset>>,
    pub(super) changes: Mutex<Option<watch::Sender<u64>>>,
    /// How often a want was asked for.
    pub(super) wants: AtomicUsize,
    memory: Memory,
    /// How much memory was free at the last delivery.
    pub(super) free_at_delivery: AtomicUsize,
}

impl Table {
    pub(super) fn on<R>(&self, index: i32, change: impl FnOnce(&mut Progress) -> R) -> R {
        let changed = change(self.progress.lock().unwrap().get_mut(&partition(index)).unwrap());
        if let Some(changes) = &*self.changes.lock().unwrap() {
            changes.send_modify(|count| *count += 1);
        }
        changed
    }

    pub(super) fn position(&self, index: i32) -> Offset {
        self.on(index, |progress| progress.position().offset)
    }

    pub(super) fn hold_back(&self, index: i32, held_back: bool) {
        let mut all = self.held_back.lock().unwrap();
        if held_back {
            all.insert(partition(index))
        } else {
            all.remove(&partition(index))
        };
        drop(all);
        self.on(index, |_| ());
    }

    pub(super) fn take_notes(&self) -> Vec<Note> {
        std::mem::take(&mut *self.notes.lock().unwrap())
    }

    /// The notes apart from those on accepted fetches.
    pub(super) fn complaints(&self) -> Vec<Note> {
        let mut notes = self.take_notes();
        notes.retain(|note| !matches!(note, Note::Accepted { .. }));
        notes
    }

    pub(super) fn take_deliveries(&self) -> Vec<Delivery> {
        std::mem::take(&mut *self.deliveries.lock().unwrap())
    }

    /// What was delivered: partition, offsets.
    pub(super) fn delivered(&self) -> Vec<(i32, Vec<i64>)> {
        self.take_deliveries().iter().map(|one| (one.partition.index, offsets(one))).collect()
    }
}

/// The offsets that a handler would see.
pub(super) fn offsets(delivery: &Delivery) -> Vec<i64> {
    let from = delivery.span.from;
    let skipped = |offset: &i64| delivery.grant.skip.iter().any(|span: &Span| span.contains(Offset(*offset)));
    let records = delivery.parts.iter().flat_map(|part: &PlainBatch| part.records_from(from));
    records.map(|record| record.unwrap().offset.0).filter(|offset| !skipped(offset)).collect()
}

/// The intake of one incarnation.
pub(super) struct Incarnation {
    table: Arc<Table>,
    incarnation: ConsumerIncarnation,
}

impl Intake for Incarnation {
    fn want(&self, of: &Partition) -> Want {
        self.table.wants.fetch_add(1, Ordering::Relaxed);
        if self.table.held_back.lock().unwrap().contains(of) {
            return Want::Nothing;
        }
        let progress = self.table.progress.lock().unwrap();
        let progress = &progress[of];
        match progress.fetch_from(self.incarnation) {
            Some(position) => Want::Records(position),
            None if !progress.is_placed() => Want::Offset(LogEnd::Earliest),
            None => Want::Nothing,
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        match &*self.table.changes.lock().unwrap() {
            Some(changes) => changes.subscribe(),
            None => watch::channel(0).1,
        }
    }

    fn claim(&self, of: &Partition, from: Position, next: Offset, last_epoch: LeaderEpoch) -> Claim {
        let next = self.table.granted_to.lock().unwrap().map_or(next, |limit| next.min(limit));
        self.table.on(of.index, |progress| progress.claim(self.incarnation, from, next, last_epoch))
    }

    fn deliver(&self, delivery: Delivery) {
        self.table.free_at_delivery.store(self.table.memory.free(), Ordering::Relaxed);
        self.table.deliveries.lock().unwrap().push(delivery);
    }

    fn undeliverable(&self, of: &Partition, grant: &Grant) {
        self.table.on(of.index, |progress| progress.returned(grant.lease));
    }

    fn unreadable(&self, of: &Partition, span: Span, batch: &RecordBatch, _: &BatchError) {
        self.table.unreadable.lock().unwrap().push((of.index, span, batch.size()));
    }

    fn placed(&self, of: &Partition, at: LogEnd, offset: Offset, epoch: LeaderEpoch) {
        self.table.placed.lock().unwrap().push((of.clone(), at, offset, epoch));
        self.table.on(of.index, |progress| start(progress, offset));
    }

    fn saw_end(&self, of: &Partition, end: Offset) {
        self.table.ends.lock().unwrap().insert(of.clone(), end);
    }

    fn note(&self, note: Note) {
        self.table.notes.lock().unwrap().push(note);
    }
}

fn start(progress: &mut Progress, offset: Offset) {
    let start = Start {
        topic: TOPIC_ID,
        offset,
        leader_epoch: LeaderEpoch(3),
        committed: None,
        handed_again_below: Offset(0),
    };
    assert!(progress.start(progress.assignment(), start));
}

/// What a test has before it starts the loop.
pub(super) struct Setting {
    pub(super) partitions: i32,
    pub(super) settings: Settings,
    pub(super) memory: usize,
    /// The highest version of Fetch that the broker speaks.
    pub(super) fetch: i16,
    /// Whether the partitions begin at offset 0; else they are not placed.
    pub(super) placed: bool,
    pub(super) jitter: Arc<dyn Fn() -> Jitter + Send + Sync>,
}

impl Setting {
    pub(super) fn of(partitions: i32) -> Setting {
        let settings = Settings {
            isolation: Isolation::ReadCommitted,
            max_wait: MAX_WAIT,
            min_bytes: 1,
            max_bytes: 1 << 20,
            partition_max_bytes: 1 << 16,
            request_timeout: REQUEST_TIMEOUT,
            decompressed_limit: 1 << 16,
        };
        let jitter = Arc::new(|| Jitter::FULL);
        Setting { partitions, settings, memory: 4 << 20, fetch: BY_NAME, placed: true, jitter }
    }

    pub(super) fn address() -> Address {
        Address::new("broker", 9092)
    }

    fn progress(&self) -> Progress {
        let mut progress = Progress::unowned(FIRST);
        progress.assign();
        progress.handler_up(HandlerIncarnation(1));
        if self.placed {
            start(&mut progress, Offset(0));
        }
        progress
    }

    /// Starts the loop; nobody has answered its connection yet.
    pub(super) fn start(self) -> Stage {
        let progress = (0..self.partitions).map(|index| (partition(index), self.progress())).collect();
        let memory = Memory::new(self.memory);
        let table = Arc::new(Table {
            progress: Mutex::new(progress),
            held_back: Mutex::default(),
            deliveries: Mutex::default(),
            notes: Mutex::default(),
            placed: Mutex::default(),
            ends: Mutex::default(),
            unreadable: Mutex::default(),
            granted_to: Mutex::default(),
            changes: Mutex::new(Some(watch::channel(0).0)),
            wants: AtomicUsize::new(0),
            memory: memory.clone(),
            free_at_delivery: AtomicUsize::new(0),
        });
        let network = transport::Memory::default();
        let listener = network.listen(Setting::address());
        let led = watch::channel(Arc::default()).0;
        let mut stage =
            Stage { table, network, listener, led: Some(led), memory, setting: self, tasks: Vec::new() };
        stage.lead(0..stage.setting.partitions);
        stage.start_loop(FIRST);
        stage
    }

    /// Starts the loop and answers its handshake.
    pub(super) async fn open(self) -> (Stage, Wire) {
        let mut stage = self.start();
        let wire = stage.accept().await;
        (stage, wire)
    }

    /// Like [`Setting::open`], with the first fetch, which does not wait for records, answered with nothing.
    pub(super) async fn proven(self) -> (Stage, Wire) {
        let (stage, mut wire) = self.open().await;
        let first = wire.fetch().await;
        assert_eq!(first.max_wait(), Duration::ZERO, "the first fetch does not wait");
        let parts = first.offsets().into_iter().map(|(index, _)| super::broker::part(index, ""));
        wire.answer(&first, &super::broker::brought(parts)).await;
        (stage, wire)
    }
}

/// A running loop, and what is around it.
pub(super) struct Stage {
    pub(super) table: Arc<Table>,
    network: transport::Memory,
    pub(super) listener: Listener,
    pub(super) led: Option<watch::Sender<Arc<BTreeMap<Partition, LeaderEpoch>>>>,
    pub(super) memory: Memory,
    setting: Setting,
    pub(super) tasks: Vec<JoinHandle<()>>,
}

impl Stage {
    pub(super) async fn accept(&mut self) -> Wire {
        Wire::accept(&mut self.listener, self.setting.fetch).await
    }

    /// Listens again after [`Stage::listener`] was dropped.
    pub(super) fn listen_again(&mut self) {
        self.listener = self.network.listen(Setting::address());
    }

    pub(super) fn lead(&mut self, indexes: impl IntoIterator<Item = i32>) {
        let led = indexes.into_iter().map(|index| (partition(index), EPOCH)).collect();
        self.led.as_ref().unwrap().send_replace(Arc::new(led));
    }

    pub(super) fn start_loop(&mut self, incarnation: ConsumerIncarnation) {
        let fetching = LeaderLoop {
            node: NodeId(1),
            incarnation,
            dial: Dial::new(Setting::address()),
            transport: Arc::new(self.network.clone()),
            settings: self.setting.settings.clone(),
            memory: self.memory.clone(),
            led: self.led.as_ref().unwrap().subscribe(),
            intake: Arc::new(Incarnation { table: Arc::clone(&self.table), incarnation }),
            jitter: self.setting.jitter.clone(),
        };
        self.tasks.push(tokio::spawn(fetching.run(None)));
    }
}

/// Lets the other tasks run until they wait, without moving the clock.
pub(super) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
