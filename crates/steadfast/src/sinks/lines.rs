//! The `stdout` and `file` sinks: one JSON line a record, flushed before the record is acked.
//!
//! A partition's handler formats its records; one thread for all of them writes, so that a reader that is slow
//! blocks no handler and no heartbeat. What waits to be written is bounded by the fetched bytes it came from.

use std::io::{self, Stdout, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use actix::{Actor, Context, Handler};
use steadfast_kafka::records::batch::TimestampType;
use steadfast_kafka::records::lazy::{Record, RecordError};

use super::envelope::{self, Line, write_line};
use super::rotation::{RotatingFile, RotationError};
use crate::consume::batch::Batch;

/// Where lines go.
pub enum Output {
    /// Standard output.
    Stdout(Stdout),
    /// A file that is rotated by size.
    File(Box<RotatingFile>),
}

/// Lines that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Standard output.
    #[error("standard output cannot be written to: {0}")]
    Stdout(#[from] io::Error),
    /// The file.
    #[error(transparent)]
    File(#[from] RotationError),
}

impl Output {
    fn write(&mut self, lines: &[u8]) -> Result<(), OutputError> {
        match self {
            Output::Stdout(stdout) => {
                let mut stdout = stdout.lock();
                stdout.write_all(lines)?;
                Ok(stdout.flush()?)
            }
            Output::File(file) => Ok(file.append(lines)?),
        }
    }
}

struct Job {
    lines: Vec<u8>,
    batch: Batch,
    /// What of the batch cannot be decoded; the lines are those before it.
    bad: Option<RecordError>,
}

/// The thread that writes. Cheap to clone; the thread ends with the last clone.
#[derive(Clone)]
pub struct Writer {
    jobs: Sender<Job>,
}

impl Writer {
    /// Starts the thread.
    pub fn start(output: Output) -> io::Result<Writer> {
        let (jobs, waiting) = channel();
        thread::Builder::new().name("sink".to_owned()).spawn(move || write_all(output, &waiting))?;
        Ok(Writer { jobs })
    }
}

fn write_all(mut output: Output, waiting: &Receiver<Job>) {
    while let Ok(Job { lines, batch, bad }) = waiting.recv() {
        if !batch.is_current() {
            continue;
        }
        match (output.write(&lines), bad) {
            (Ok(()), None) => batch.done(),
            (Ok(()), Some(bad)) => batch.rejected(bad.from, bad),
            // A reader that has gone does not come back.
            (Err(error @ OutputError::Stdout(_)), _) => batch.failed(error),
            (Err(error @ OutputError::File(_)), _) => batch.unavailable(error),
        }
    }
}

/// The handler of one partition.
pub struct Lines {
    writer: Writer,
    /// How large the last batch's lines were: the next ones' are about as large.
    usual: usize,
}

impl Lines {
    /// A handler that writes through `writer`.
    pub fn new(writer: Writer) -> Lines {
        Lines { writer, usual: 0 }
    }
}

impl Actor for Lines {
    type Context = Context<Self>;
}

impl Handler<Batch> for Lines {
    type Result = ();

    fn handle(&mut self, batch: Batch, _: &mut Context<Self>) {
        let mut lines = Vec::with_capacity(self.usual);
        let bad = format(&batch, &mut lines).err();
        self.usual = lines.len();
        // Without the thread the batch comes back, and is returned as it is dropped.
        drop(self.writer.jobs.send(Job { lines, batch, bad }));
    }
}

/// Appends the batch's records to `into`, one line each.
///
/// # Errors
/// A record cannot be decoded; those before it are appended.
pub fn format(batch: &Batch, into: &mut Vec<u8>) -> Result<(), RecordError> {
    let partition = batch.partition();
    for record in batch.records() {
        let record: Record<'_> = record?;
        let line = Line {
            topic: &partition.topic,
            partition: partition.index,
            offset: record.offset.0,
            timestamp: record.timestamp,
            timestamp_type: match record.timestamp_type {
                TimestampType::CreateTime => envelope::TimestampType::Create,
                TimestampType::LogAppendTime => envelope::TimestampType::LogAppend,
            },
            broker: batch.leader().0,
            headers: record.headers().map(|header| (header.key, header.value)),
            key: record.key,
            payload: record.value,
        };
        write_line(line, into);
    }
    Ok(())
}
