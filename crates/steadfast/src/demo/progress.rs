//! Where a run is, on standard error: one line that is written over on a terminal, else a line for each step.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::notes::Notes;

/// How often the line is written anew.
const BEAT: Duration = Duration::from_millis(100);
/// Back to the line's begin, and nothing stands on it.
const CLEAR: &str = "\r\x1b[2K";

/// Tells where a run is. Dropping it clears its line.
pub(crate) struct Progress {
    step: Arc<Mutex<&'static str>>,
    notes: Notes,
    line: Option<JoinHandle<()>>,
}

impl Progress {
    /// Begins to tell, on the runtime that this is called on.
    pub(crate) fn begin(notes: &Notes, records: u64) -> Progress {
        let step = Arc::new(Mutex::new("begins"));
        let line = std::io::stderr()
            .is_terminal()
            .then(|| tokio::spawn(rewrite(step.clone(), notes.clone(), records)));
        Progress { step, notes: notes.clone(), line }
    }

    /// The next step begins.
    pub(crate) fn step(&self, step: &'static str) {
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = step;
        if self.line.is_none() {
            // A closed standard error is no reason to fail.
            let _ = writeln!(std::io::stderr(), "{:>5.1} s  {step}", self.notes.now().as_secs_f64());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            line.abort();
            let _ = write!(std::io::stderr(), "{CLEAR}");
        }
    }
}

async fn rewrite(step: Arc<Mutex<&'static str>>, notes: Notes, records: u64) {
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let step = *step.lock().unwrap_or_else(PoisonError::into_inner);
        let (acked, delivered) = notes.read(|written| (written.acked.len(), written.deliveries.len()));
        let line = line(notes.now(), acked, delivered, records, step);
        let mut stderr = std::io::stderr();
        let _ = write!(stderr, "{CLEAR}{line}").and_then(|()| stderr.flush());
    }
}

fn line(now: Duration, acked: usize, delivered: usize, records: u64, step: &str) -> String {
    let now = now.as_secs_f64();
    format!("{now:>5.1} s  produced {acked} of {records}, consumed {delivered}: {step}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::sample::ms;

    #[test]
    fn the_line_fits_a_terminal() {
        let line = line(ms(1_234), 1_000_000, 1_000_000, 1_000_000, "every endpoint moves");
        assert_eq!(line, "  1.2 s  produced 1000000 of 1000000, consumed 1000000: every endpoint moves");
        assert!(line.len() < 80);
    }
}
