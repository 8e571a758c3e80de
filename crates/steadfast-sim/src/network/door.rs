//! Where an address leads.

use std::future::pending;
use std::sync::Arc;

use steadfast_watch as watch;

use super::machine::{Link, Machine};
use super::rack::Machines;
use crate::guise::Guise;

/// Where an address leads. What happens to the connections that stand when it changes: to `Refuse`, or to another
/// broker, they are reset; to `BlackHole` or `Drop` they fall silent, and are reset when that ends.
#[derive(Debug, Clone)]
pub enum Door {
    /// To this broker, which says something else than the truth to those who come by this address, if there is a guise.
    Open(Arc<Machine>, Option<Arc<Guise>>),
    /// To any broker that runs, another one each time, as a load balancer or a DNS name does.
    Any(Arc<Machines>),
    /// Connecting is refused.
    Refuse,
    /// Connecting succeeds, nothing is ever answered.
    BlackHole,
    /// Connecting never ends.
    Drop,
}

/// A door, and how often the connections through it were cut.
#[derive(Debug, Clone)]
pub(crate) struct Hung {
    pub(crate) door: Door,
    cuts: u64,
}

/// Hangs a door whose connections can watch it.
pub(crate) fn hang(door: Door) -> watch::Sender<Hung> {
    watch::Sender::new(Hung { door, cuts: 0 })
}

/// Replaces a door.
pub(crate) fn replace(hung: &watch::Sender<Hung>, door: Door) {
    hung.send_modify(|hung| {
        if cuts(&hung.door, &door) {
            hung.cuts += 1;
        }
        hung.door = door;
    });
}

fn cuts(before: &Door, after: &Door) -> bool {
    match (before, after) {
        (Door::Open(before, _), Door::Open(after, _)) => !Arc::ptr_eq(before, after),
        (Door::Any(before), Door::Any(after)) => !Arc::ptr_eq(before, after),
        (_, Door::BlackHole | Door::Drop) => false,
        (_, Door::Open(..) | Door::Any(_) | Door::Refuse) => true,
    }
}

/// What a door does to a connection that was made through it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    Open(Option<Arc<Guise>>),
    Silent,
    Reset,
}

/// A connection's view of the door that it was made through.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    hung: watch::Receiver<Hung>,
    cuts: u64,
}

impl Watch {
    pub(crate) fn new(mut hung: watch::Receiver<Hung>) -> Watch {
        let cuts = hung.borrow_and_update().cuts;
        Watch { hung, cuts }
    }

    pub(crate) fn standing(&mut self) -> Standing {
        let hung = self.hung.borrow_and_update().clone();
        match hung.door {
            _ if hung.cuts != self.cuts => Standing::Reset,
            Door::Refuse => Standing::Reset,
            Door::BlackHole | Door::Drop => Standing::Silent,
            Door::Open(_, guise) => Standing::Open(guise),
            Door::Any(_) => Standing::Open(None),
        }
    }

    /// Who answers at the door now.
    pub(crate) fn knock(&mut self) -> Entry {
        knock(&self.hung.borrow_and_update().door)
    }

    /// Forgets the cuts so far: no connection is standing yet.
    pub(crate) fn renew(&mut self) {
        self.cuts = self.hung.borrow_and_update().cuts;
    }

    /// Waits until connecting is refused, or no longer is. What leads to any broker is always open.
    pub(crate) async fn shut(&mut self, wanted: bool) {
        loop {
            let (shut, machine) = match self.hung.borrow_and_update().door.clone() {
                Door::Refuse => (true, None),
                Door::Open(machine, _) => (false, Some(machine)),
                Door::Any(_) | Door::BlackHole | Door::Drop => (false, None),
            };
            // Watched before it is looked at, so that no change is missed.
            let mut link = machine.map(|machine| machine.watch_link());
            let down = link.as_mut().is_some_and(|link| !link.borrow_and_update().up);
            if (shut || down) == wanted {
                return;
            }
            either(self, link.as_mut()).await;
        }
    }

    /// Waits until the door or this link may have changed.
    pub(crate) async fn changed_or(&mut self, machine: Option<&Machine>) {
        let mut link = machine.map(Machine::watch_link);
        either(self, link.as_mut()).await;
    }

    /// Waits until the door cuts its connections.
    pub(crate) async fn cut(&mut self) {
        while self.standing() != Standing::Reset {
            self.changed().await;
        }
    }

    /// Waits until the door may have changed.
    pub(crate) async fn changed(&mut self) {
        change(&mut self.hung).await;
    }
}

/// Where somebody who knocks is let in.
#[derive(Debug)]
pub(crate) enum Entry {
    To(Arc<Machine>),
    Refused,
    Nowhere,
    /// Nothing is decided: wait for a change of the door, or of this broker's link.
    Wait(Option<Arc<Machine>>),
}

/// Who answers at this door now.
fn knock(door: &Door) -> Entry {
    let machine = match door {
        Door::Open(machine, _) => machine.clone(),
        Door::Any(machines) => match machines.choose() {
            Some(machine) => machine,
            None => return Entry::Refused,
        },
        Door::Refuse => return Entry::Refused,
        Door::BlackHole => return Entry::Nowhere,
        Door::Drop => return Entry::Wait(None),
    };
    let link = machine.link();
    match (link.passes(), link.up) {
        (false, _) => Entry::Wait(Some(machine)),
        (true, false) => Entry::Refused,
        (true, true) => Entry::To(machine),
    }
}

/// Waits until there is something unseen. What is gone, and changes no more, is waited for without end.
pub(crate) async fn change<T>(watched: &mut watch::Receiver<T>) {
    if watched.changed().await.is_err() {
        pending().await
    }
}

async fn either(watch: &mut Watch, link: Option<&mut watch::Receiver<Link>>) {
    let link_changed = async {
        match link {
            Some(link) => change(link).await,
            None => pending().await,
        }
    };
    tokio::select! {
        biased;
        () = watch.changed() => {}
        () = link_changed => {}
    }
}
