//! Which actor runs on which thread.

use std::time::Duration;

use actix::{Arbiter, ArbiterHandle};
use futures::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The threads of the service. Cheap to clone.
///
/// The supervisor and the control actors share one arbiter; Member has its own, so that nothing starves a
/// heartbeat; handlers are spread over several; fetching and decompression run on a multi-thread runtime
/// beside them.
#[derive(Clone)]
pub struct Placement {
    /// The supervisor, the poller, the differ, the consumer, the checkpointer, the configuration.
    pub control: ArbiterHandle,
    /// Group membership.
    pub member: ArbiterHandle,
    /// Handlers; a partition's handler stays on the one that its number picks.
    pub handlers: Vec<ArbiterHandle>,
    /// The user's observers, each on its own: one that blocks its thread holds up nobody else.
    pub observers: Vec<ArbiterHandle>,
    /// Sockets of the fetch loops, discovery and commits.
    pub io: Handle,
}

/// The arbiters behind a [`Placement`], to be stopped and joined at the end.
pub struct Threads {
    arbiters: Vec<Arbiter>,
    /// Stopped, but not joined.
    observers: Vec<Arbiter>,
}

impl Placement {
    /// Starts arbiters: one for control, one for membership, `handlers` for handlers, `observers` for observers.
    pub fn start(handlers: usize, observers: usize, io: Handle) -> (Placement, Threads) {
        let control = Arbiter::new();
        let member = Arbiter::new();
        let handler: Vec<Arbiter> = (0..handlers.max(1)).map(|_| Arbiter::new()).collect();
        let observers: Vec<Arbiter> = (0..observers).map(|_| Arbiter::new()).collect();
        let placement = Placement {
            control: control.handle(),
            member: member.handle(),
            handlers: handler.iter().map(Arbiter::handle).collect(),
            observers: observers.iter().map(Arbiter::handle).collect(),
            io,
        };
        let arbiters = [control, member].into_iter().chain(handler).collect();
        (placement, Threads { arbiters, observers })
    }

    /// Everything on the thread of the caller, which has to be inside an actix system: one arbiter and one runtime.
    /// None if it is not.
    pub fn here() -> Option<Placement> {
        let here = Arbiter::try_current()?;
        let io = Handle::try_current().ok()?;
        Some(Placement {
            control: here.clone(),
            member: here.clone(),
            handlers: vec![here],
            observers: Vec::new(),
            io,
        })
    }

    /// The arbiter of an observer: those for whom there is none of their own share that of control.
    pub fn observer(&self, number: usize) -> &ArbiterHandle {
        self.observers.get(number).unwrap_or(&self.control)
    }

    /// Whether the arbiters of control and of membership both do something within `limit`. Handlers are left out:
    /// their work may take as long as it takes.
    pub async fn turns(&self, limit: Duration) -> bool {
        let answers = [&self.control, &self.member].map(|arbiter| {
            let (answer, answered) = oneshot::channel();
            // Whoever asked may have stopped waiting.
            arbiter.spawn_fn(move || _ = answer.send(()));
            answered
        });
        let answered = timeout(limit, join_all(answers)).await;
        answered.is_ok_and(|answers| answers.iter().all(Result::is_ok))
    }

    /// The arbiter of a partition's handler.
    pub fn handler(&self, partition: i32) -> &ArbiterHandle {
        let place = usize::try_from(partition).unwrap_or(0) % self.handlers.len().max(1);
        self.handlers.get(place).unwrap_or(&self.control)
    }
}

impl Threads {
    /// Stops the arbiters and waits for their threads, but not for those of observers, which may never end.
    /// Blocks: not to be called on one of them.
    pub fn join(self) {
        for arbiter in self.arbiters.iter().chain(&self.observers) {
            arbiter.stop();
        }
        for arbiter in self.arbiters {
            // A thread that panicked has ended, which is what is waited for.
            let _ = arbiter.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_turn_unless_one_of_them_is_held_up() {
        let system = actix::System::new();
        system.block_on(async {
            let (placement, threads) = Placement::start(1, 0, Handle::current());
            let minute = Duration::from_secs(60);
            assert!(placement.turns(minute).await);
            let (release, held) = std::sync::mpsc::channel::<()>();
            placement.member.spawn_fn(move || _ = held.recv());
            assert!(!placement.turns(Duration::from_millis(100)).await);
            drop(release);
            assert!(placement.turns(minute).await);
            threads.join();
            assert!(!placement.turns(minute).await, "those that have ended do not turn");
        });
    }
}
