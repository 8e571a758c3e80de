//! Which actor runs on which thread.

use actix::{Arbiter, ArbiterHandle};
use tokio::runtime::Handle;

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
