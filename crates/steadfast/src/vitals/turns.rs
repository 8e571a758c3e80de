//! Whether the process turns: each thread of actors says so by a timer.
//!
//! Nothing here depends on Kafka: a cluster that is away must not have the process killed and begun anew.

use std::sync::Arc;
use std::time::Duration;

use actix::ArbiterHandle;
use serde::Serialize;
use steadfast_core::tick::Tick;

use super::{Moment, Vitals, locked};
use crate::env::Env;

/// How often a thread says that it turns.
const TURN: Duration = Duration::from_secs(1);
/// Our own actors never block: a thread that has not turned for so long does not turn any more.
const LIMIT: Duration = Duration::from_secs(30);

/// A thread of actors, and when it turned last.
pub(super) struct Turn {
    thread: String,
    limit: Duration,
    last: Arc<Moment>,
}

/// Whether one thread of actors turns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Turning {
    /// `control`, `member` or `handlers 1`, …
    pub thread: String,
    /// It turned within the limit.
    pub ok: bool,
    /// How long ago it turned.
    #[serde(rename = "age_seconds", serialize_with = "super::reading::duration")]
    pub age: Duration,
    /// How long it may take.
    #[serde(rename = "limit_seconds", serialize_with = "super::reading::duration")]
    pub limit: Duration,
}

impl Vitals {
    /// Has every thread of actors say that it turns. A handler that works for long on its own thread is none of the
    /// rest's business: it has `handler` time, as its consumer's group gives it.
    pub(crate) fn watch_turns(&self, env: &Env, handler: Duration) {
        let placement = &env.placement;
        self.watch_turn("control".to_owned(), LIMIT, &placement.control, env);
        self.watch_turn("member".to_owned(), LIMIT, &placement.member, env);
        for (number, arbiter) in placement.handlers.iter().enumerate() {
            self.watch_turn(format!("handlers {}", number + 1), handler.max(LIMIT), arbiter, env);
        }
    }

    fn watch_turn(&self, thread: String, limit: Duration, arbiter: &ArbiterHandle, env: &Env) {
        let last = Arc::new(Moment::default());
        last.mark(env.now());
        let (turned, env) = (Arc::clone(&last), env.clone());
        // An arbiter that has ended does not turn: that is what will be seen.
        arbiter.spawn(async move {
            loop {
                turned.mark(env.now());
                tokio::time::sleep(TURN).await;
            }
        });
        locked(&self.0.turns).push(Turn { thread, limit, last });
    }

    /// Whether each thread of actors turns. Empty where nobody watches them: inside of somebody else's runtime.
    pub fn turning(&self, now: Tick) -> Vec<Turning> {
        let turning = |turn: &Turn| {
            let age = turn.last.last().map_or(turn.limit, |last| now.since(last));
            Turning { thread: turn.thread.clone(), ok: age <= turn.limit, age, limit: turn.limit }
        };
        locked(&self.0.turns).iter().map(turning).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::Sample;
    use super::*;

    #[test]
    fn a_thread_that_does_not_turn_is_told_and_kafka_has_no_part_in_it() {
        let sample = Sample::new();
        for (thread, limit) in [("control", LIMIT), ("handlers 1", Duration::from_secs(300))] {
            let (thread, last) = (thread.to_owned(), Arc::new(Moment::default()));
            last.mark(sample.now());
            locked(&sample.vitals.0.turns).push(Turn { thread, limit, last });
        }
        let turns = |sample: &Sample| {
            let turning = sample.vitals.turning(sample.now());
            turning.into_iter().map(|turning| turning.ok).collect::<Vec<_>>()
        };
        assert!(!sample.read().ready, "nothing of Kafka was heard");
        assert_eq!(turns(&sample), [true, true]);
        sample.after(30_001);
        assert_eq!(turns(&sample), [false, true]);
        locked(&sample.vitals.0.turns)[0].last.mark(sample.now());
        sample.after(270_000);
        assert_eq!(turns(&sample), [false, false]);
    }

    #[actix::test]
    async fn every_thread_of_the_placement_is_watched() {
        let sample = Sample::new();
        let directory = tempfile::tempdir().unwrap();
        let placement = crate::placement::Placement::here().unwrap();
        let env = crate::env::real::env(directory.path().to_owned(), placement);
        sample.vitals.watch_turns(&env, Duration::from_secs(300));
        let turning = sample.vitals.turning(env.now());
        let threads: Vec<&str> = turning.iter().map(|turning| turning.thread.as_str()).collect();
        assert_eq!(threads, ["control", "member", "handlers 1"]);
        let before = locked(&sample.vitals.0.turns)[0].last.last();
        while locked(&sample.vitals.0.turns)[0].last.last() == before {
            tokio::task::yield_now().await;
        }
    }
}
