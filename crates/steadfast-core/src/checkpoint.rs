//! When to commit: on an interval, on occasions, and again where the outcome of a commit is unknown.
//!
//! One commit is in flight at a time. When its answer does not come, the coordinator may have stored it, may
//! store it later, or never: so whoever sends leaves the socket, the commit is repeated through a new one, and once
//! more after the lost one's deadline, so that a late arrival cannot leave the stored offset behind.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::tick::Tick;

/// Why a commit is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Occasion {
    /// The interval has passed.
    Interval,
    /// The outcome of an earlier one is unknown, or it was refused for a while.
    Retry,
    /// Partitions are about to be given up.
    Revoke,
    /// The consumer is about to be replaced.
    Respawn,
    /// The service is about to end.
    Shutdown,
}

impl Occasion {
    /// The occasion's name in events.
    pub fn name(self) -> &'static str {
        match self {
            Occasion::Interval => "interval",
            Occasion::Retry => "retry",
            Occasion::Revoke => "revoke",
            Occasion::Respawn => "respawn",
            Occasion::Shutdown => "shutdown",
        }
    }
}

/// What the shell tells the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A deadline may have passed.
    DeadlineReached,
    /// Commit at once.
    Flush(Occasion),
    /// There was nothing to commit after all.
    NothingToCommit,
    /// The coordinator has stored everything.
    Stored,
    /// The coordinator has refused for a while: a rebalance is under way, it is loading, or it has moved.
    Refused,
    /// The membership that the commit spoke for is over: it must not be repeated.
    Fenced,
    /// No answer came, and its connection was left: the outcome is unknown. The coordinator may act on the request
    /// until its deadline.
    Unknown,
}

/// What the shell is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Commit what is acked and not stored.
    Commit(Occasion),
    /// Commit all that is owned, also what should be stored already.
    CommitAll(Occasion),
}

/// The machine.
///
/// ```text
/// Idle ──due, flush──► InFlight ──stored, nothing, fenced──► Idle
///   ▲                      └──refused, unknown──► Waiting ──┐
///   └──────────────────────────── InFlight ◄──deadline, flush
/// ```
#[derive(Debug, Clone)]
pub struct Schedule {
    interval: Option<Duration>,
    request_timeout: Duration,
    state: State,
    due: Option<Tick>,
    /// A commit whose outcome is unknown may take effect until then: after it, all is committed once more.
    mend_at: Option<Tick>,
    /// The commit in flight is the one that mends: only when it is stored it has.
    mending: bool,
    asked: BTreeSet<Occasion>,
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    InFlight { since: Tick },
    Waiting { until: Tick },
}

const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LIMIT: Duration = Duration::from_secs(1);

impl Schedule {
    /// Commits every `interval` (never by itself if none), each with `request_timeout` to be answered.
    pub fn new(interval: Option<Duration>, request_timeout: Duration, now: Tick) -> Schedule {
        Schedule {
            interval,
            request_timeout,
            state: State::Idle,
            due: interval.map(|interval| now + interval),
            mend_at: None,
            mending: false,
            asked: BTreeSet::new(),
            failures: 0,
        }
    }

    /// Whoever carries the actions out begins anew: a commit that was in flight has an unknown outcome.
    pub fn begun_anew(&mut self, now: Tick) {
        if let State::InFlight { since } = self.state {
            self.mending = false;
            self.mend_at = self.mend_at.max(Some(since + self.request_timeout));
            self.state = State::Waiting { until: now };
        }
    }

    /// The interval changed.
    pub fn set_interval(&mut self, interval: Option<Duration>, now: Tick) {
        self.interval = interval;
        self.due = interval.map(|interval| now + interval);
    }

    /// When the machine wants to be told [`Event::DeadlineReached`].
    pub fn next_deadline(&self) -> Option<Tick> {
        match self.state {
            State::InFlight { .. } => None,
            State::Waiting { until } => Some(until),
            State::Idle => self.due.into_iter().chain(self.mend_at).min(),
        }
    }

    /// Takes an event, says what to do.
    pub fn handle(&mut self, event: Event, now: Tick) -> Vec<Action> {
        match (self.state, event) {
            (State::Idle, Event::DeadlineReached) => self.begin_due(now),
            (State::Waiting { until }, Event::DeadlineReached) if now >= until => {
                self.begin(Occasion::Retry, now)
            }
            (State::Waiting { .. } | State::InFlight { .. }, Event::DeadlineReached) => Vec::new(),
            (State::Idle | State::Waiting { .. }, Event::Flush(occasion)) => self.begin(occasion, now),
            (State::InFlight { .. }, Event::Flush(occasion)) => {
                self.asked.insert(occasion);
                Vec::new()
            }
            (State::InFlight { .. }, Event::Stored | Event::NothingToCommit | Event::Fenced) => {
                self.failures = 0;
                if std::mem::take(&mut self.mending) {
                    self.mend_at = None;
                }
                self.finish(now)
            }
            (State::InFlight { .. }, Event::Refused) => {
                self.mending = false;
                self.wait(now);
                Vec::new()
            }
            (State::InFlight { since }, Event::Unknown) => {
                self.mending = false;
                self.mend_at = self.mend_at.max(Some(since + self.request_timeout));
                self.wait(now);
                Vec::new()
            }
            (
                State::Idle | State::Waiting { .. },
                Event::Stored | Event::NothingToCommit | Event::Fenced | Event::Refused | Event::Unknown,
            ) => Vec::new(),
        }
    }

    fn begin_due(&mut self, now: Tick) -> Vec<Action> {
        if self.mend_at.is_some_and(|at| now >= at) {
            self.mending = true;
            self.start(now);
            return vec![Action::CommitAll(Occasion::Retry)];
        }
        if self.due.is_some_and(|due| now >= due) { self.begin(Occasion::Interval, now) } else { Vec::new() }
    }

    fn begin(&mut self, occasion: Occasion, now: Tick) -> Vec<Action> {
        self.start(now);
        vec![Action::Commit(occasion)]
    }

    fn start(&mut self, now: Tick) {
        self.state = State::InFlight { since: now };
        self.due = self.interval.map(|interval| now + interval);
    }

    fn finish(&mut self, now: Tick) -> Vec<Action> {
        self.state = State::Idle;
        match self.asked.pop_last() {
            Some(occasion) => {
                self.asked.clear();
                self.begin(occasion, now)
            }
            None => Vec::new(),
        }
    }

    fn wait(&mut self, now: Tick) {
        let backoff = RETRY_FIRST.saturating_mul(1 << self.failures.min(6)).min(RETRY_LIMIT);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting { until: now + backoff };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn at(millis: u64) -> Tick {
        Tick::at(Duration::from_millis(millis))
    }

    fn schedule() -> Schedule {
        Schedule::new(Some(INTERVAL), TIMEOUT, Tick::ZERO)
    }

    #[test]
    fn commits_are_made_on_the_interval_one_at_a_time() {
        let mut schedule = schedule();
        assert_eq!(schedule.next_deadline(), Some(at(5000)));
        let due = schedule.handle(Event::DeadlineReached, at(5000));
        assert_eq!(due, [Action::Commit(Occasion::Interval)]);
        assert_eq!(schedule.handle(Event::Flush(Occasion::Revoke), at(5001)), []);
        let next = schedule.handle(Event::Stored, at(5002));
        assert_eq!(next, [Action::Commit(Occasion::Revoke)], "what was asked meanwhile follows");
    }

    #[test]
    fn an_unknown_outcome_is_repeated_at_once_and_after_the_lost_ones_deadline() {
        let mut schedule = schedule();
        schedule.handle(Event::Flush(Occasion::Respawn), at(0));
        assert_eq!(schedule.handle(Event::Unknown, at(600)), []);
        let retry = schedule.next_deadline().unwrap();
        assert_eq!(schedule.handle(Event::DeadlineReached, retry), [Action::Commit(Occasion::Retry)]);
        schedule.handle(Event::Stored, at(700));
        let mut mended = Vec::new();
        while mended.is_empty() {
            let deadline = schedule.next_deadline().unwrap();
            for action in schedule.handle(Event::DeadlineReached, deadline) {
                match action {
                    Action::CommitAll(Occasion::Retry) => mended.push(deadline),
                    Action::Commit(_) | Action::CommitAll(_) => {}
                }
                schedule.handle(Event::Stored, deadline);
            }
        }
        assert_eq!(mended, [at(30_000)]);
    }

    #[test]
    fn after_a_crash_what_was_in_flight_is_repeated_at_once_and_after_its_deadline() {
        let mut schedule = Schedule::new(None, TIMEOUT, Tick::ZERO);
        schedule.handle(Event::Flush(Occasion::Respawn), at(0));
        schedule.begun_anew(at(500));
        assert_eq!(schedule.next_deadline(), Some(at(500)));
        assert_eq!(schedule.handle(Event::DeadlineReached, at(500)), [Action::Commit(Occasion::Retry)]);
        schedule.handle(Event::Stored, at(510));
        schedule.begun_anew(at(600));
        assert_eq!(schedule.next_deadline(), Some(at(30_000)), "a crash after it forgets nothing either");
        let mended = schedule.handle(Event::DeadlineReached, at(30_000));
        assert_eq!(mended, [Action::CommitAll(Occasion::Retry)]);
    }

    #[test]
    fn a_mending_commit_that_is_refused_is_made_again() {
        let mut schedule = Schedule::new(None, TIMEOUT, Tick::ZERO);
        schedule.handle(Event::Flush(Occasion::Respawn), at(0));
        schedule.handle(Event::Unknown, at(600));
        let retry = schedule.next_deadline().unwrap();
        schedule.handle(Event::DeadlineReached, retry);
        schedule.handle(Event::Stored, at(700));
        let mend = schedule.next_deadline().unwrap();
        assert_eq!(schedule.handle(Event::DeadlineReached, mend), [Action::CommitAll(Occasion::Retry)]);
        schedule.handle(Event::Refused, at(30_001));
        let again = schedule.next_deadline().unwrap();
        schedule.handle(Event::DeadlineReached, again);
        schedule.handle(Event::Stored, at(30_100));
        let mended = schedule.handle(Event::DeadlineReached, at(30_101));
        assert_eq!(mended, [Action::CommitAll(Occasion::Retry)]);
        schedule.handle(Event::Stored, at(30_200));
        assert_eq!(schedule.next_deadline(), None);
    }

    #[test]
    fn without_an_interval_only_occasions_commit() {
        let mut schedule = Schedule::new(None, TIMEOUT, Tick::ZERO);
        assert_eq!(schedule.next_deadline(), None);
        let shutdown = schedule.handle(Event::Flush(Occasion::Shutdown), at(1));
        assert_eq!(shutdown, [Action::Commit(Occasion::Shutdown)]);
    }

    proptest! {
        #[test]
        fn it_never_has_two_in_flight_and_never_falls_asleep(events in prop::collection::vec(0u8..7, 0..100)) {
            let mut schedule = schedule();
            let (mut now, mut in_flight) = (0, false);
            for event in events {
                now += 20;
                let event = match event {
                    0 => Event::Flush(Occasion::Revoke),
                    1 if in_flight => Event::Stored,
                    2 if in_flight => Event::Refused,
                    3 if in_flight => Event::Unknown,
                    4 if in_flight => Event::Fenced,
                    5 if in_flight => Event::NothingToCommit,
                    _ => Event::DeadlineReached,
                };
                let answered = !matches!(event, Event::Flush(_) | Event::DeadlineReached);
                let actions = schedule.handle(event, at(now));
                in_flight &= !answered;
                for action in actions {
                    if matches!(action, Action::Commit(_) | Action::CommitAll(_)) {
                        prop_assert!(!in_flight);
                        in_flight = true;
                    }
                }
                prop_assert!(in_flight || schedule.next_deadline().is_some());
            }
        }
    }
}
