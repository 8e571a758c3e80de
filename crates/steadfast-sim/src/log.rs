//! One partition's log: record batches as bytes, and what a leader knows of them.
//!
//! There is one log for all replicas. What they would disagree on shows as the high watermark, which can be held
//! back, and as a truncation.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use steadfast_core::ids::{LeaderEpoch, Offset};

use crate::batch::{self, Header};
use crate::producers::Sequences;
use crate::transactions::Session;

/// A partition's log.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    batches: VecDeque<Stored>,
    start: Offset,
    end: Offset,
    held: Option<Offset>,
    /// The epochs and where each began, both ascending.
    epochs: Vec<(LeaderEpoch, Offset)>,
    /// The producers with an open transaction, and where it began.
    open: BTreeMap<i64, Offset>,
    /// The transactions that were aborted, by their markers' offsets.
    aborted: Vec<Aborted>,
    /// What is known of idempotent producers.
    pub(crate) sequences: Sequences,
}

#[derive(Debug, Clone)]
struct Stored {
    base: Offset,
    last: Offset,
    header: Header,
    bytes: Bytes,
}

/// A transaction that was aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    /// Its first record.
    pub(crate) first: Offset,
    /// Its marker.
    pub(crate) marker: Offset,
}

/// How much to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    /// The bytes to read at most.
    pub(crate) bytes: usize,
    /// Whether the first batch comes whole even if it is larger.
    pub(crate) at_least_one: bool,
}

impl Log {
    /// An empty log whose first leader has this epoch.
    pub(crate) fn new(epoch: LeaderEpoch) -> Log {
        Log {
            batches: VecDeque::new(),
            start: Offset(0),
            end: Offset(0),
            held: None,
            epochs: vec![(epoch, Offset(0))],
            open: BTreeMap::new(),
            aborted: Vec::new(),
            sequences: Sequences::default(),
        }
    }

    /// The first offset that is still there.
    pub(crate) fn start(&self) -> Offset {
        self.start
    }

    /// The offset that the next record gets.
    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    /// Where readers have to stop: what all replicas in sync have.
    pub(crate) fn high_watermark(&self) -> Offset {
        self.held.map_or(self.end, |held| held.clamp(self.start, self.end))
    }

    /// Where readers of committed records have to stop: before the first open transaction.
    pub(crate) fn last_stable(&self) -> Offset {
        let first_open = self.open.values().min().copied();
        first_open.map_or(self.high_watermark(), |open| open.min(self.high_watermark()))
    }

    /// Holds the high watermark at an offset, or lets it go.
    pub(crate) fn hold(&mut self, at: Option<Offset>) {
        self.held = at;
    }

    /// A leader of this epoch begins. Epochs that left no record are forgotten, as Kafka forgets them.
    pub(crate) fn begin_epoch(&mut self, epoch: LeaderEpoch) {
        let end = self.end;
        self.epochs.retain(|(known, start)| *known < epoch && *start < end);
        self.epochs.push((epoch, end));
    }

    /// Appends a batch that [`Header::read`] accepted, and returns its base offset.
    pub(crate) fn append(&mut self, header: Header, batch: &[u8]) -> Offset {
        let epoch = self.epochs.last().map_or(LeaderEpoch::UNKNOWN, |(epoch, _)| *epoch);
        let base = self.end;
        let last = Offset(base.0 + i64::from(header.last_offset_delta));
        if header.is_transactional() && !header.is_control() {
            self.open.entry(header.producer.id).or_insert(base);
        }
        self.sequences.appended(&header, base);
        self.batches.push_back(Stored { base, last, header, bytes: batch::stamped(batch, base, epoch) });
        self.end = last.next();
        base
    }

    /// Ends a producer's transaction by a marker. Returns false, and writes nothing, if it has none open here.
    pub(crate) fn end_transaction(&mut self, session: Session, commit: bool, time_ms: i64) -> bool {
        let Session { producer_id, epoch } = session;
        let Some(first) = self.open.remove(&producer_id) else { return false };
        let marker = batch::marker(producer_id, epoch, commit, time_ms);
        let Ok(header) = Header::read(&marker) else { return false };
        let marker = self.append(header, &marker);
        if !commit {
            self.aborted.push(Aborted { producer_id, first, marker });
        }
        true
    }

    /// The batches from the one that holds `from` on, as far as they end before `until`, and the offset after them. As
    /// from Kafka, the last one may be cut off by the limit; a first one that would be comes whole or, without
    /// [`at_least_one`](Limit::at_least_one), not at all.
    pub(crate) fn read(&self, from: Offset, until: Offset, limit: Limit) -> (Bytes, Offset) {
        let begin = self.batches.partition_point(|batch| batch.last < from);
        let mut readable = self.batches.range(begin..).take_while(|batch| batch.last < until);
        let nothing = (Bytes::new(), from);
        let Some(first) = readable.next() else { return nothing };
        if first.bytes.len() > limit.bytes {
            return if limit.at_least_one { (first.bytes.clone(), first.last.next()) } else { nothing };
        }
        let (mut read, mut end) = (Joined::new(first.bytes.clone()), first.last.next());
        for batch in readable {
            let room = limit.bytes - read.len();
            if batch.bytes.len() > room {
                read.push(&batch.bytes[..room]);
                break;
            }
            read.push(&batch.bytes);
            end = batch.last.next();
        }
        (read.into_bytes(), end)
    }

    /// The aborted transactions that touch `[from, until)`.
    pub(crate) fn aborted(&self, from: Offset, until: Offset) -> impl Iterator<Item = &Aborted> {
        let begin = self.aborted.partition_point(|aborted| aborted.marker < from);
        self.aborted[begin..].iter().filter(move |aborted| aborted.first < until)
    }

    /// Where the epoch ended: the greatest known one not above it, and the offset after its last record; none if this
    /// log cannot tell (KIP-101, KIP-320).
    pub(crate) fn end_of_epoch(&self, asked: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        asked.known()?;
        let above = self.epochs.partition_point(|(epoch, _)| *epoch <= asked);
        let known = above.checked_sub(1).map_or(asked, |below| self.epochs[below].0);
        match self.epochs.get(above) {
            Some((_, start)) => Some((known, *start)),
            None if known == asked => Some((asked, self.end)),
            None => None,
        }
    }

    /// The epoch of the leader that wrote, or would write, at this offset.
    pub(crate) fn epoch_at(&self, offset: Offset) -> LeaderEpoch {
        let above = self.epochs.partition_point(|(_, start)| *start <= offset);
        let at = above.checked_sub(1).and_then(|below| self.epochs.get(below));
        at.map_or(LeaderEpoch::UNKNOWN, |(epoch, _)| *epoch)
    }

    /// The first record of at least this time, before `until`: its offset and its time. In a compressed batch it is
    /// not looked for: the batch's first record answers for it.
    pub(crate) fn first_at_time(&self, time_ms: i64, until: Offset) -> Option<(Offset, i64)> {
        self.batches
            .iter()
            .filter(|batch| batch.header.max_timestamp >= time_ms && batch.last >= self.start)
            .find_map(|batch| self.first_in_batch(batch, time_ms))
            .filter(|(offset, _)| *offset < until)
    }

    fn first_in_batch(&self, batch: &Stored, time_ms: i64) -> Option<(Offset, i64)> {
        if batch.header.is_compressed() {
            return Some((batch.base.max(self.start), batch.header.base_timestamp));
        }
        batch::times(&batch.bytes)
            .map(|(delta, time)| (Offset(batch.base.0.saturating_add(delta)), time))
            .find(|(offset, time)| *time >= time_ms && *offset >= self.start)
    }

    /// The first record of the greatest time: its offset and its time.
    pub(crate) fn latest_time(&self) -> Option<(Offset, i64)> {
        let latest = self.batches.iter().map(|batch| batch.header.max_timestamp).max()?;
        self.first_at_time(latest, self.end)
    }

    /// The records from this offset on are lost; of a batch across it, all. Returns whether any was.
    pub(crate) fn truncate(&mut self, to: Offset) -> bool {
        let keep = self.batches.partition_point(|batch| batch.last < to);
        let Some(first_lost) = self.batches.get(keep) else { return false };
        self.end = first_lost.base.max(self.start);
        self.batches.truncate(keep);
        self.epochs.retain(|(_, start)| *start < self.end || *start == self.start);
        self.forget_from(self.end);
        true
    }

    /// After a truncation, transactions and sequences are what the remaining batches say.
    fn forget_from(&mut self, end: Offset) {
        self.aborted.retain(|aborted| aborted.marker < end);
        self.sequences.forget_from(end);
        self.open.clear();
        for Stored { base, header, .. } in &self.batches {
            if header.is_control() {
                self.open.remove(&header.producer.id);
            } else if header.is_transactional() {
                self.open.entry(header.producer.id).or_insert(*base);
            }
        }
    }

    /// The records before this offset are gone; a batch across it stays whole, as in Kafka.
    pub(crate) fn delete_before(&mut self, offset: Offset) {
        self.start = offset.clamp(self.start, self.end);
        let start = self.start;
        let gone = self.batches.partition_point(|batch| batch.last < start);
        self.batches.drain(..gone);
        let above = self.epochs.partition_point(|(_, begun)| *begun <= start);
        self.epochs.drain(..above.saturating_sub(1));
        if let Some(first) = self.epochs.first_mut() {
            first.1 = first.1.max(start);
        }
        self.aborted.retain(|aborted| aborted.marker >= start);
    }

    /// Compaction removes the whole batch that holds this offset; the offset stays taken. Returns whether one did.
    pub(crate) fn compact_away(&mut self, offset: Offset) -> bool {
        let at = self.batches.partition_point(|batch| batch.last < offset);
        match self.batches.get(at) {
            Some(batch) if batch.base <= offset => self.batches.remove(at).is_some(),
            _ => false,
        }
    }
}

/// Bytes that are copied only if there are several pieces.
enum Joined {
    One(Bytes),
    Many(BytesMut),
}

impl Joined {
    fn new(first: Bytes) -> Joined {
        Joined::One(first)
    }

    fn len(&self) -> usize {
        match self {
            Joined::One(bytes) => bytes.len(),
            Joined::Many(bytes) => bytes.len(),
        }
    }

    fn push(&mut self, piece: &[u8]) {
        match self {
            Joined::One(first) => {
                let mut many = BytesMut::with_capacity(2 * (first.len() + piece.len()));
                many.extend_from_slice(first);
                many.extend_from_slice(piece);
                *self = Joined::Many(many);
            }
            Joined::Many(bytes) => bytes.extend_from_slice(piece),
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Joined::One(bytes) => bytes,
            Joined::Many(bytes) => bytes.freeze(),
        }
    }
}
