//! Dead letters in a file: the line that the `stdout` sink would have written, and what is wrong with it.
//!
//! ```json
//! {"topic":"orders", …, "payload":"v",
//!  "error":{"stage":"TASK_PUT","class":"…","message":"…","group":"billing","instance":"one","next":8}}
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use serde_json::json;
use steadfast_core::ids::Partition;
use steadfast_kafka::records::batch;
use tokio::sync::oneshot;

use super::Letterhead;
use crate::consume::letter::{DeadLetters, Letter, NotTaken};
use crate::locked::locked;
use crate::sinks::envelope::{Line, TimestampType, write_line};
use crate::sinks::rotation::{RotatingFile, RotationError};

/// The file. It is opened at the first letter, and written by a thread of its own, which begins then.
pub struct LetterFile {
    path: PathBuf,
    head: Letterhead,
    writer: Mutex<Option<Sender<Job>>>,
    /// What the thread was given and nobody has heard the end of: one line of a partition, however often it is asked
    /// for while the disk does not answer.
    outstanding: Mutex<BTreeMap<Partition, Outstanding>>,
}

struct Job {
    line: Arc<Vec<u8>>,
    written: oneshot::Sender<Written>,
}

/// Whether the line is on the disk, or why not.
type Written = Result<(), String>;

#[derive(Clone)]
struct Outstanding {
    line: Arc<Vec<u8>>,
    written: Shared<oneshot::Receiver<Written>>,
}

impl LetterFile {
    /// Letters are appended to the file at `path`.
    pub fn new(path: PathBuf, head: Letterhead) -> LetterFile {
        LetterFile { path, head, writer: Mutex::default(), outstanding: Mutex::default() }
    }

    /// What is under way for the partition; if that is nothing, this line from now on.
    fn begun(&self, partition: &Partition, line: &Arc<Vec<u8>>) -> std::io::Result<Outstanding> {
        let mut outstanding = locked(&self.outstanding);
        if let Some(begun) = outstanding.get(partition) {
            return Ok(begun.clone());
        }
        let (written, answer) = oneshot::channel();
        self.hand_over(Job { line: Arc::clone(line), written })?;
        let begun = Outstanding { line: Arc::clone(line), written: answer.shared() };
        outstanding.insert(partition.clone(), begun.clone());
        Ok(begun)
    }

    /// Waits for what is under way for the partition, until that was this line.
    async fn written(&self, partition: &Partition, line: &Arc<Vec<u8>>) -> Written {
        loop {
            let begun = self.begun(partition, line).map_err(|error| error.to_string())?;
            let written = begun.written.await;
            let mut outstanding = locked(&self.outstanding);
            if outstanding.get(partition).is_some_and(|other| Arc::ptr_eq(&other.line, &begun.line)) {
                outstanding.remove(partition);
            }
            if begun.line == *line {
                return written.unwrap_or_else(|_| Err("its writer has ended".to_owned()));
            }
        }
    }

    fn hand_over(&self, job: Job) -> std::io::Result<()> {
        let mut writer = locked(&self.writer);
        let jobs = match writer.take() {
            Some(jobs) => jobs,
            None => {
                let (jobs, waiting) = channel();
                let path = self.path.clone();
                thread::Builder::new()
                    .name("dead letters".to_owned())
                    .spawn(move || write_all(&path, &waiting))?;
                jobs
            }
        };
        // Without the thread nobody answers, and the next letter begins another one.
        if jobs.send(job).is_ok() {
            *writer = Some(jobs);
        }
        Ok(())
    }
}

impl DeadLetters for LetterFile {
    fn put<'a>(&'a self, letter: &'a Letter) -> BoxFuture<'a, Result<(), NotTaken>> {
        async move {
            let line = Arc::new(line(letter, &self.head));
            self.written(&letter.partition, &line).await.map_err(NotTaken::Away)
        }
        .boxed()
    }
}

fn write_all(path: &Path, waiting: &Receiver<Job>) {
    let mut file = None;
    while let Ok(Job { line, written }) = waiting.recv() {
        let outcome = write(path, &mut file, &line);
        if outcome.is_err() {
            file = None;
        }
        // Who asked may have stopped waiting.
        let _ = written.send(outcome.map_err(|error| error.to_string()));
    }
}

/// The line is on the disk, and so is the file's name, when this returns.
fn write(path: &Path, file: &mut Option<RotatingFile>, line: &[u8]) -> Result<(), RotationError> {
    let open = match file {
        Some(open) => open,
        None => {
            let open = RotatingFile::open(path, u64::MAX, 0)?;
            sync_name(path)?;
            file.insert(open)
        }
    };
    open.append(line)?;
    open.sync()
}

fn sync_name(path: &Path) -> Result<(), RotationError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|source| RotationError { action: "sync", path: directory.to_owned(), source })
}

fn line(letter: &Letter, head: &Letterhead) -> Vec<u8> {
    let mut out = Vec::new();
    write_line(
        Line {
            topic: &letter.partition.topic,
            partition: letter.partition.index,
            offset: letter.span.from.0,
            timestamp: letter.timestamp,
            timestamp_type: match letter.timestamp_type {
                batch::TimestampType::CreateTime => TimestampType::Create,
                batch::TimestampType::LogAppendTime => TimestampType::LogAppend,
            },
            broker: letter.leader.0,
            headers: letter.headers.iter().map(|(name, value)| (name, value.as_deref())),
            key: letter.key.as_deref(),
            payload: letter.value.as_deref(),
        },
        &mut out,
    );
    let cause = &letter.cause;
    let error = json!({
        "stage": cause.stage.name(),
        "class": cause.class,
        "message": cause.message,
        "group": head.group,
        "instance": head.instance,
        "next": letter.span.next.0,
    });
    out.truncate(out.len() - b"}\n".len());
    out.extend_from_slice(format!(",\"error\":{error}}}\n").as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;
    use steadfast_core::acked::Span;
    use steadfast_core::ids::{NodeId, Offset};
    use tokio::time::timeout;

    use super::*;
    use crate::consume::letter::Cause;

    fn letter(offset: i64) -> Letter {
        let span = Span::new(Offset(offset), Offset(offset + 1));
        Letter::of_bytes(&Partition::new("orders", 3), NodeId(1), span, b"v", Cause::of(&"too \"long\""))
    }

    fn head() -> Letterhead {
        Letterhead { group: "billing".to_owned(), instance: "one".to_owned() }
    }

    #[tokio::test]
    async fn letters_are_lines_of_the_envelope_with_an_error() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("bad.jsonl");
        let file = LetterFile::new(path.clone(), head());
        file.put(&letter(7)).await.unwrap();
        file.put(&letter(8)).await.unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        let error = json!({
            "stage": "TASK_PUT", "class": "&str", "message": "too \"long\"",
            "group": "billing", "instance": "one", "next": 8,
        });
        assert_eq!(
            (&lines[0]["offset"], &lines[0]["payload"], &lines[0]["error"]),
            (&json!(7), &json!("v"), &error)
        );
        assert_eq!(lines[1]["offset"], 8);
    }

    #[tokio::test]
    async fn a_directory_that_is_missing_is_away_until_it_is_there() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("later").join("bad.jsonl");
        let file = LetterFile::new(path.clone(), head());
        let told = file.put(&letter(7)).await;
        assert!(matches!(&told, Err(NotTaken::Away(reason)) if reason.contains("later")), "{told:?}");
        std::fs::create_dir(place.path().join("later")).unwrap();
        file.put(&letter(7)).await.unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_letter_that_is_asked_for_again_while_the_disk_hangs_is_written_once() {
        let (jobs, waiting) = channel();
        let file = LetterFile::new("unused".into(), head());
        *file.writer.lock().unwrap() = Some(jobs);
        for _ in 0..3 {
            assert!(timeout(Duration::from_secs(60), file.put(&letter(7))).await.is_err());
        }
        waiting.recv().unwrap().written.send(Ok(())).unwrap();
        file.put(&letter(7)).await.unwrap();
        assert!(waiting.try_recv().is_err(), "its other tries had waited for the first one");
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_letter_of_a_partition_waits_for_the_one_that_was_given_up() {
        let (jobs, waiting) = channel();
        let file = LetterFile::new("unused".into(), head());
        *file.writer.lock().unwrap() = Some(jobs);
        let mut given = Vec::new();
        for offset in [7, 8] {
            assert!(timeout(Duration::from_secs(60), file.put(&letter(offset))).await.is_err());
            given.extend(waiting.try_iter());
        }
        assert_eq!(given.len(), 1);
        given.remove(0).written.send(Err("no space".to_owned())).unwrap();
        assert!(timeout(Duration::from_secs(60), file.put(&letter(8))).await.is_err());
        let job = waiting.try_recv().unwrap();
        assert_eq!(*job.line, line(&letter(8), &head()), "what became of the other one is not its answer");
        job.written.send(Ok(())).unwrap();
        file.put(&letter(8)).await.unwrap();
    }
}
