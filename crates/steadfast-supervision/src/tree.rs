//! A supervisor as a child of another one.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use actix::ArbiterHandle;
use steadfast_watch as watch;

use crate::{
    caught::caught,
    child::{Lifeline, Order, Will},
    exit::{ExitReason, Incarnation},
    handle::SupervisorHandle,
    shutdown::EndReason,
    spec::{AnyChildSpec, ChildSpec, Launch, Notice, Place, Policy},
    supervisor::Family,
};

/// The kind of a child that is a supervisor.
pub struct Tree {
    setup: SharedSetup,
}

type Setup = dyn FnMut(&SupervisorHandle, Incarnation) -> Vec<AnyChildSpec> + Send;
type SharedSetup = Arc<Mutex<Box<Setup>>>;

impl ChildSpec<Tree> {
    /// A supervisor that lives on `arbiter`. Each incarnation calls `setup` there, which gets the handle of
    /// that incarnation (to hand it to whoever adds children later) and lists its first children. They are
    /// started in that order, each when the one before is up; the supervisor is up when the last of them
    /// is. If one of them does not come up, the supervisor ends with its exit, as after an escalation.
    ///
    /// Give it a `shutdown` limit that covers its children's: they are stopped one after the other.
    pub fn supervisor<F>(name: impl Into<Arc<str>>, arbiter: ArbiterHandle, setup: F) -> Self
    where
        F: FnMut(&SupervisorHandle, Incarnation) -> Vec<AnyChildSpec> + Send + 'static,
    {
        let kind = Tree { setup: Arc::new(Mutex::new(Box::new(setup))) };
        Self { name: name.into(), arbiter, policy: Policy::default(), kind }
    }
}

impl Launch for Tree {
    fn launch(&mut self, incarnation: Incarnation, place: &Place<'_>, notice: Notice) -> Lifeline {
        let (lifeline, orders) = Lifeline::new(|| ());
        let Notice { up, exit } = notice;
        let will = Will { down: None, exit: Some(exit), reason: None };
        let (family, handle) = Family::new(place.surroundings.below(place.name));
        let setup = Arc::clone(&self.setup);
        place.arbiter.spawn(live(setup, incarnation, family, handle, orders, up, will));
        lifeline
    }
}

async fn live(
    setup: SharedSetup,
    incarnation: Incarnation,
    mut family: Family,
    handle: SupervisorHandle,
    orders: watch::Receiver<Order>,
    up: Box<dyn FnOnce() + Send>,
    mut will: Will,
) {
    let first = caught(|| {
        let mut setup = setup.lock().unwrap_or_else(PoisonError::into_inner);
        let children = setup(&handle, incarnation);
        let mut names = BTreeSet::new();
        for child in &children {
            assert!(names.insert(&child.name), "the setup names two children {}", child.name);
        }
        children
    });
    drop(handle);
    will.reason = Some(match first {
        Err(message) => ExitReason::Panicked { message },
        Ok(children) => {
            family.start_in_order(children, up);
            exit_reason(family.run(orders).await.reason)
        }
    });
}

fn exit_reason(reason: EndReason) -> ExitReason {
    match reason {
        EndReason::ShutDown => ExitReason::Stopped,
        EndReason::Escalated { cause } => ExitReason::Escalated { cause },
        EndReason::ArbiterGone => ExitReason::ArbiterGone,
        EndReason::Abandoned => ExitReason::Abandoned,
    }
}
