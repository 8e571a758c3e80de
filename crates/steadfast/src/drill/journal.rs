//! Everything that happens in a simulated world, in order: the services' own event log, byte for byte, and what is
//! seen from outside. Whoever checks is called after each happening, before anything else can happen.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use steadfast_core::acked::Span;
use steadfast_core::ids::{NodeId, Offset, Partition};
use steadfast_core::progress::Lease;
use steadfast_core::tick::Tick;
use steadfast_sim::checker::LogChange;
use steadfast_sim::notice::Notice;
use tokio::time::Instant;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::doors::wall_clock;
use super::tap::Wire;
use crate::exit::Exit;
use crate::log::{Format, Lines};

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct Happening {
    /// When, counted from the beginning of the world.
    pub at: Tick,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum What {
    /// The actors of a service run.
    Started(Arc<str>),
    /// A service has ended.
    Ended(Arc<str>, Exit),
    /// A line was written to the event log.
    Logged(Line),
    /// Records were appended to a partition's log.
    Appended(Partition, Span),
    /// A partition's log lost records.
    Rewritten(Partition, LogChange),
    /// A batch reached a handler.
    Delivered(Delivered),
    /// A handler is done with a batch, in one way or another. Told before the service learns of it.
    Answered(Delivered, Answer),
    /// Something crossed a connection of a service.
    Wire(Wire),
    /// A fault, or the end of one, in words.
    Injected(String),
    /// Something happened inside the cluster.
    Noticed(Notice),
}

/// A batch, as its handler sees it.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// The service that the handler belongs to.
    pub service: Arc<str>,
    /// The partition.
    pub partition: Partition,
    /// The broker that the records were fetched from.
    pub leader: NodeId,
    /// What an ack of the batch covers.
    pub span: Span,
    /// The records in it.
    pub offsets: Arc<[Offset]>,
    /// What tells their contents from others.
    pub contents: Arc<[u64]>,
    /// The right under which it was delivered.
    pub lease: Lease,
    /// Whether that right was still alive.
    pub current: bool,
}

/// What a handler does with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Processed it.
    Done,
    /// Said that it cannot.
    Failed,
    /// Said that the record at this offset is bad.
    Rejected(Offset),
    /// Said that where the records are to go is away.
    Unavailable,
    /// Dropped it without a word.
    Dropped,
    /// Panicked over it.
    Panicked,
}

/// A line of the event log, without its end.
#[derive(Debug, Clone)]
pub struct Line(Arc<str>);

impl Line {
    /// A line of this text.
    pub(super) fn new(text: &str) -> Line {
        Line(text.into())
    }

    /// The line as it was written.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// `event.name`.
    pub fn name(&self) -> &str {
        self.string("\"event.name\":\"")
    }

    /// `service.instance.id`.
    pub fn service(&self) -> &str {
        self.string("\"service.instance.id\":\"")
    }

    /// The whole line as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// Names and ids hold nothing that JSON escapes.
    fn string(&self, after: &str) -> &str {
        let value = self.0.split_once(after).and_then(|(_, rest)| rest.split_once('"'));
        value.map_or("", |(value, _)| value)
    }
}

/// Called after each happening. It must not log.
pub type Hook = Box<dyn FnMut(&Happening) + Send>;

/// The journal of one world. A clone is the same journal.
#[derive(Clone)]
pub struct Journal {
    started: Instant,
    entries: Arc<Mutex<Entries>>,
}

#[derive(Default)]
struct Entries {
    log: Vec<u8>,
    /// What the hooks were not told yet, because one of them runs.
    untold: VecDeque<Happening>,
    hooks: Option<Vec<Hook>>,
}

impl Journal {
    /// An empty journal of a world that began at `started`.
    pub fn new(started: Instant) -> Journal {
        let entries = Entries { hooks: Some(Vec::new()), ..Entries::default() };
        Journal { started, entries: Arc::new(Mutex::new(entries)) }
    }

    /// Tells this hook too of what happens from now on. Not to be called by a hook.
    pub(super) fn tell(&self, hook: Hook) {
        if let Some(hooks) = &mut self.entries().hooks {
            hooks.push(hook);
        }
    }

    /// Makes this journal the log of this thread, as long as the guard lives.
    pub fn log_here(&self, level: Level) -> tracing::subscriber::DefaultGuard {
        let lines = Lines::new(Format::Json, "world", wall_clock(self.started));
        let subscriber = tracing_subscriber::fmt()
            .event_format(lines)
            .with_max_level(LevelFilter::from_level(level))
            .with_writer(self.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    /// Notes what happened, and tells the hooks. What happens while they are told, they are told next.
    pub fn note(&self, what: What) {
        let at = Tick::at(self.started.elapsed());
        let mut entries = self.entries();
        entries.untold.push_back(Happening { at, what });
        let Some(mut hooks) = entries.hooks.take() else { return };
        while let Some(happening) = entries.untold.pop_front() {
            drop(entries);
            for hook in &mut hooks {
                hook(&happening);
            }
            entries = self.entries();
        }
        entries.hooks = Some(hooks);
    }

    /// The event log up to now.
    pub fn log(&self) -> Vec<u8> {
        self.entries().log.clone()
    }

    /// Forgets the hooks, and with them what they hold on to.
    pub(super) fn close(&self) {
        let hooks = self.entries().hooks.take();
        drop(hooks);
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The subscriber writes each line in one piece.
impl io::Write for &Journal {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.entries().log.extend_from_slice(line);
        let text = String::from_utf8_lossy(line);
        self.note(What::Logged(Line::new(text.trim_end())));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Journal {
    type Writer = &'a Journal;

    fn make_writer(&'a self) -> &'a Journal {
        self
    }
}
