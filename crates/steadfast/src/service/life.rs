//! One run: until what it ends, and how it ends, each step with a deadline.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use steadfast_core::ids::Partition;
use tokio::time::{Instant, timeout, timeout_at};

use super::end_watch::EndWatch;
use super::manager::Manager;
use super::orders::Orders;
use crate::events::{Event, Run};
use crate::exit::Exit;
use crate::messages::{End, Leave};
use crate::wiring::Running;

/// What leaving the group may take on top of `checkpoint.drain`.
const LEAVE_GRACE: Duration = Duration::from_secs(10);
/// After so long without an answer the member is asked again to leave.
const LEAVE_AGAIN: Duration = Duration::from_millis(200);
/// What the end of each supervisor and its actors may take.
pub(super) const STOP_LIMIT: Duration = Duration::from_secs(5);
/// That of all of them: the consumer's, and those of two supervisors.
const ACTORS_LIMIT: Duration = Duration::from_secs(15);

/// One run, from the first actor to the last.
pub(super) struct Life {
    pub(super) running: Running,
    pub(super) orders: Orders,
    pub(super) manager: Option<Manager>,
    pub(super) until_end: Option<Duration>,
    pub(super) started: Instant,
}

/// Why the run ends.
pub(super) enum Reason {
    Signal,
    /// By whoever embeds the service.
    Asked,
    UntilEnd,
    /// The end cannot be reached.
    Quarantined(Partition),
    NoCluster,
    /// No broker takes our credentials.
    Denied(String),
    Refused(String),
    /// A handler stands still, and `handler.on_stall` says to leave for it.
    Stalled(String),
    Failed(String),
}

impl Life {
    /// Lives until it ends.
    pub(super) async fn live(mut self) -> Exit {
        let reason = self.until_it_ends().await;
        if let Some(manager) = self.manager {
            manager.stopping(self.running.drain + LEAVE_GRACE + ACTORS_LIMIT + STOP_LIMIT);
        }
        self.end(&reason).await
    }

    async fn until_it_ends(&mut self) -> Reason {
        let wait = EndWatch::over(&self.running).wait(self.until_end);
        let reload = self.running.reload.clone();
        let Running { ends, supervisors, .. } = &mut self.running;
        let ended = supervisors.iter().map(|root| async { (root.name(), root.ended().await) }.boxed());
        let ended = futures::future::select_all(ended);
        let end = async {
            match ends.recv().await {
                Some(End::Refused(reason)) => Reason::Refused(reason),
                Some(End::Stalled(reason)) => Reason::Stalled(reason),
                Some(End::Left) => Reason::Failed("the member left the group unasked".to_owned()),
                // The member is gone with its supervisor, who says why.
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            order = self.orders.first(&reload) => order,
            ((name, ended), _, _) = ended => Reason::Failed(format!("{name}: {}", ended.reason)),
            reason = end => reason,
            reason = wait => reason,
        }
    }

    /// Each step with a deadline: leave the group (which drains and commits), then end the actors.
    async fn end(&mut self, reason: &Reason) -> Exit {
        self.running.control.vitals().drain();
        let mut exit = match reason {
            Reason::Signal | Reason::Asked | Reason::UntilEnd => Exit::Fine,
            Reason::NoCluster => Exit::Unreachable,
            Reason::Refused(_) | Reason::Denied(_) => Exit::Denied,
            Reason::Failed(_) | Reason::Quarantined(_) | Reason::Stalled(_) => Exit::Internal,
        };
        let earlier = self.running.table.counts.unfinished.load(Ordering::Relaxed);
        if exit == Exit::Fine || matches!(reason, Reason::Quarantined(_) | Reason::Stalled(_)) {
            let reload = self.running.reload.clone();
            let leaving = leave(&mut self.running, reason.to_the_group());
            tokio::select! {
                biased;
                second = self.orders.second(&reload) => return second,
                left = leaving => if !left && exit == Exit::Fine { exit = Exit::DrainExceeded },
            }
        }
        let unfinished = self.running.table.counts.unfinished.load(Ordering::Relaxed) - earlier;
        if exit == Exit::Fine && unfinished > 0 {
            exit = Exit::DrainExceeded;
        }
        let counts = &self.running.table.counts;
        let run = Run {
            reason: reason.to_string(),
            records: counts.records.load(Ordering::Relaxed),
            bytes: counts.bytes.load(Ordering::Relaxed),
            redelivered: counts.redelivered.load(Ordering::Relaxed),
            elapsed_ms: self.started.elapsed().as_secs_f64() * 1e3,
            unfinished,
        };
        self.running.events.emit(Event::ServiceStopped { run });
        let reload = self.running.reload.clone();
        let Life { running, orders, .. } = self;
        tokio::select! {
            biased;
            second = orders.second(&reload) => second,
            () = stop_actors(running) => exit,
        }
    }
}

/// Ends the actors. What does not end in time is abandoned with the process.
async fn stop_actors(running: &Running) {
    let _ = timeout(STOP_LIMIT, running.control.stop_consumer()).await;
    for supervisor in &running.supervisors {
        let _ = timeout(STOP_LIMIT, supervisor.shut_down()).await;
    }
}

/// Leaves the group: everything is drained, committed and given up first. Says whether that was done in time.
async fn leave(running: &mut Running, why: Arc<str>) -> bool {
    let until = Instant::now() + running.drain + LEAVE_GRACE;
    while Instant::now() < until {
        // A member that is just being begun anew is asked again; one that was asked already does not mind.
        drop(running.member.send(Leave { reason: Arc::clone(&why) }));
        let again = until.min(Instant::now() + LEAVE_AGAIN);
        if let Ok(end) = timeout_at(again, running.ends.recv()).await {
            match end {
                Some(End::Stalled(_)) => continue,
                end => return matches!(end, Some(End::Left)),
            }
        }
    }
    false
}

impl Reason {
    /// What the coordinator is told (KIP-800).
    fn to_the_group(&self) -> Arc<str> {
        match self {
            Reason::Stalled(reason) => Arc::from(reason.as_str()),
            _ => Arc::from("the service is stopping"),
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::Signal => f.write_str("signal"),
            Reason::Asked => f.write_str("asked"),
            Reason::UntilEnd => f.write_str("until_end"),
            Reason::Quarantined(partition) => write!(f, "{partition} is quarantined before its end"),
            Reason::NoCluster => f.write_str("no cluster was found within --start-timeout"),
            Reason::Denied(reason) => write!(f, "refused by {reason}"),
            Reason::Refused(reason) | Reason::Stalled(reason) | Reason::Failed(reason) => f.write_str(reason),
        }
    }
}
