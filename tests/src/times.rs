//! How long trials took: libtest-mimic does not say.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest of a suite are told.
const TOLD: usize = 12;

/// The times of a suite's trials. A clone notes into the same.
#[derive(Clone, Default)]
pub(crate) struct Times(Arc<Mutex<Vec<(Duration, String)>>>);

impl Times {
    /// Plays a trial and notes how long it took, however it ends.
    pub(crate) fn of<T>(&self, name: &str, play: impl FnOnce() -> T) -> T {
        #[expect(clippy::disallowed_methods, reason = "real processes are measured by the real clock")]
        let begun = Instant::now();
        let _noted = Noted { times: self, name, begun };
        play()
    }

    /// Tells the whole time and the longest trials. Trials that ran at the same time count each for itself.
    pub(crate) fn tell(&self) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if times.len() < 2 {
            return;
        }
        times.sort_by(|one, other| other.cmp(one));
        let all: Duration = times.iter().map(|(took, _)| *took).sum();
        eprintln!("{} trials, {:.0} s; the longest:", times.len(), all.as_secs_f64());
        for (took, name) in times.iter().take(TOLD) {
            eprintln!("{:7.1} s  {name}", took.as_secs_f64());
        }
    }
}

struct Noted<'a> {
    times: &'a Times,
    name: &'a str,
    begun: Instant,
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        let took = (self.begun.elapsed(), self.name.to_owned());
        self.times.0.lock().unwrap_or_else(PoisonError::into_inner).push(took);
    }
}
