//! One long-lived client and its endpoints: discovery, agreement, drift, budget and respawn as one machine.
//!
//! For clients of whatever protocol: all that it takes is a question whose answer is a view ("who is in the service, and
//! where"), and a client that can be made beside the one that runs.

use std::collections::BTreeSet;
use std::fmt::Debug;

use super::agreement::{Agreement, Rules, Verdict};
use super::backoff::Jitter;
use super::budget::Budget;
use super::confirmed::confirmed;
use super::drift::Drift;
use super::race::{self, Evidence, Limits, Race, Rate, Source};
use super::respawn::{self, Report, Respawn, Settings, Timeline};
use super::view::{Address, Observation, View};
use crate::ids::{ClusterId, ConsumerIncarnation};
use crate::tick::Tick;

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<N: Ord> {
    /// Where to begin to look: what is configured, what was stored. What is agreed and what is in use is asked anyway.
    Sources(Vec<(Address, Source)>),
    /// Something may have changed.
    Suspected {
        /// What speaks for it.
        evidence: Evidence,
    },
    /// An address answered; every [`Order::Ask`] ends in this or in [`Event::Failed`]. An answer that was asked for on
    /// some other occasion is welcome too.
    Answered {
        /// The address that was dialled.
        witness: Address,
        /// What it said.
        view: View<N>,
    },
    /// An address could not be asked, or did not answer in time.
    Failed {
        /// Which.
        address: Address,
        /// What became of the question.
        reason: String,
    },
    /// A client that was to be made could take over now.
    Ready {
        /// Which.
        incarnation: ConsumerIncarnation,
    },
    /// It cannot be made ready.
    NotReady {
        /// Which.
        incarnation: ConsumerIncarnation,
        /// What is missing.
        reason: String,
    },
    /// The client did its first piece of work.
    Works {
        /// Which.
        incarnation: ConsumerIncarnation,
    },
    /// The client that runs, or is being made, ended on its own.
    Ended {
        /// Which.
        incarnation: ConsumerIncarnation,
    },
    /// [`Supervised::next_deadline`] has come.
    Elapsed,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Order<N: Ord> {
    /// Ask this address for its view, on a fresh connection and with a limit.
    Ask {
        /// Which.
        address: Address,
    },
    /// Make a client from this view, beside the one that runs, and get it ready.
    Make {
        /// Its number.
        incarnation: ConsumerIncarnation,
        /// What to make it from.
        view: View<N>,
    },
    /// Let it take over in one step, and drop the one before it.
    Promote {
        /// Which.
        incarnation: ConsumerIncarnation,
    },
    /// Drop one that is not needed or not able.
    Discard {
        /// Which.
        incarnation: ConsumerIncarnation,
    },
    /// Let the client that runs take this in place.
    Adapt {
        /// The view in use from now on.
        view: View<N>,
        /// What differs.
        drift: Drift<N>,
    },
    /// Nothing that works can be found, or made, for now. The client that runs goes on, and so does the search.
    Degraded {
        /// What is missing.
        missing: Vec<String>,
    },
    /// A client was replaced, or made for the first time.
    Report(Report),
}

/// The machine. Its caller owns the sockets, the clock and the client; it says what to do with them.
#[derive(Debug, Clone)]
pub struct Supervised<N: Ord> {
    race: Race,
    agreement: Agreement<N>,
    respawn: Respawn<N>,
    sources: Vec<(Address, Source)>,
    agreed: Option<View<N>>,
    /// Nodes whose own answer, where they are, maps them to it.
    verified: BTreeSet<N>,
    suspected_at: Tick,
    began_at: Tick,
}

/// The time, and what is to be done.
struct Turn<N: Ord> {
    now: Tick,
    orders: Vec<Order<N>>,
}

impl<N: Ord + Clone + Debug> Supervised<N> {
    /// No client yet, and nothing heard. `budget` limits the respawns that drift causes ([`Respawn::usual_budget`]).
    /// With a `pin`, only views of that cluster count; else the first agreed one pins its own.
    pub fn new(settings: Settings, budget: Budget, pin: Option<ClusterId>) -> Supervised<N> {
        Supervised {
            race: Race::new(Limits::default(), Rate::default(), pin.clone()),
            agreement: Agreement::new(Rules::default(), pin),
            respawn: Respawn::new(settings, budget),
            sources: Vec::new(),
            agreed: None,
            verified: BTreeSet::new(),
            suspected_at: Tick::ZERO,
            began_at: Tick::ZERO,
        }
    }

    /// The view in use: what the client that runs was made from, or has adapted to.
    pub fn in_use(&self) -> Option<&View<N>> {
        self.respawn.in_use()
    }

    /// The client that runs.
    pub fn active(&self) -> Option<ConsumerIncarnation> {
        self.respawn.active()
    }

    /// Where `node` is reached, if it said so itself: others are not to be used.
    pub fn address(&self, node: &N) -> Option<&Address> {
        self.agreed.as_ref().filter(|_| self.verified.contains(node))?.address(node)
    }

    /// When [`Event::Elapsed`] is due.
    pub fn next_deadline(&self) -> Option<Tick> {
        let deadlines =
            [self.race.next_deadline(), self.agreement.next_deadline(), self.respawn.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Takes an event in, and says what is to be done. `jitter` is for pauses, drawn anew each time.
    pub fn handle(&mut self, event: Event<N>, jitter: Jitter, now: Tick) -> Vec<Order<N>> {
        let mut turn = Turn { now, orders: Vec::new() };
        match event {
            Event::Sources(sources) => {
                self.sources = sources;
                self.search(race::Event::Sources(self.all_sources()), &mut turn);
            }
            Event::Suspected { evidence } => self.suspect(evidence, &mut turn),
            Event::Answered { witness, view } => {
                let observation = Observation { witness, view, at: now };
                self.agreement.answered(observation.clone(), now);
                self.search(race::Event::Answered { observation, jitter }, &mut turn);
                self.judge(&mut turn);
            }
            Event::Failed { address, reason } => {
                self.agreement.failed(address.clone(), reason.clone(), now);
                self.search(race::Event::Failed { address, reason, jitter }, &mut turn);
                self.judge(&mut turn);
            }
            Event::Ready { incarnation } => self.replace(respawn::Event::Prepared { incarnation }, &mut turn),
            Event::NotReady { incarnation, reason } => {
                self.replace(respawn::Event::PrepareFailed { incarnation, reason, jitter }, &mut turn);
                // What it was made for may be of the past by now, and what is in use may be fine.
                self.suspect(Evidence::Broken, &mut turn);
            }
            Event::Works { incarnation } => {
                self.replace(respawn::Event::FirstRecord { incarnation }, &mut turn)
            }
            Event::Ended { incarnation } => {
                self.replace(respawn::Event::Crashed { incarnation, jitter }, &mut turn);
            }
            Event::Elapsed => {
                self.search(race::Event::Elapsed, &mut turn);
                self.judge(&mut turn);
                self.replace(respawn::Event::Elapsed { jitter }, &mut turn);
            }
        }
        turn.orders
    }

    fn suspect(&mut self, evidence: Evidence, turn: &mut Turn<N>) {
        self.search(race::Event::Sources(self.all_sources()), turn);
        self.search(race::Event::Suspected { evidence }, turn);
    }

    /// Also what the client still uses when another view is agreed already: who is listed there has a say.
    fn all_sources(&self) -> Vec<(Address, Source)> {
        let in_use = self.agreed.iter().chain(self.in_use()).flat_map(|view| view.endpoints.values());
        let in_use = in_use.map(|endpoint| (endpoint.address.clone(), Source::InUse));
        in_use.chain(self.sources.iter().cloned()).collect()
    }

    fn search(&mut self, event: race::Event<N>, turn: &mut Turn<N>) {
        for action in self.race.handle(event, turn.now) {
            match action {
                race::Action::Begin { suspected_at } => {
                    (self.suspected_at, self.began_at) = (suspected_at, turn.now);
                    self.agreement.begin();
                }
                race::Action::Ask { address, .. } => turn.orders.push(Order::Ask { address }),
                race::Action::Limited { .. } => {}
                race::Action::Unsettled { failed, .. } => {
                    let missing = failed.into_iter().map(|(at, reason)| format!("{at}: {reason}")).collect();
                    turn.orders.push(Order::Degraded { missing });
                }
            }
        }
    }

    fn judge(&mut self, turn: &mut Turn<N>) {
        let verdict = self.agreement.judge(self.respawn.in_use(), turn.now);
        let Verdict::Agreed { view, verified, denied, .. } = verdict else { return };
        if let Some(cluster) = view.cluster.as_ref().filter(|_| self.agreement.pinned().is_none()) {
            self.agreement.pin(cluster.clone());
            self.race.pin(cluster.clone());
        }
        let before = self.agreed.as_ref().map(|agreed| (agreed, &self.verified));
        let verified = confirmed(&view, &verified, &denied, before);
        let fresh = self.agreed.as_ref() != Some(&view);
        let found = fresh || verified.iter().any(|node| !self.verified.contains(node));
        let unverified = view.endpoints.iter().filter(|(node, _)| !verified.contains(node));
        let unverified = unverified.map(|(_, endpoint)| endpoint.address.clone()).collect();
        (self.agreed, self.verified) = (Some(view.clone()), verified);
        self.search(race::Event::Settled { unverified, found }, turn);
        if fresh {
            let (alive_at, suspected_at) = (self.suspected_at, self.began_at);
            let timeline = Timeline { alive_at, suspected_at, discovered_at: turn.now };
            self.replace(respawn::Event::Drifted { view, timeline }, turn);
        }
    }

    fn replace(&mut self, event: respawn::Event<N>, turn: &mut Turn<N>) {
        for action in self.respawn.handle(event, turn.now) {
            match action {
                respawn::Action::Prepare { incarnation, view, .. } => {
                    turn.orders.push(Order::Make { incarnation, view });
                }
                respawn::Action::Promote { incarnation } => {
                    turn.orders.push(Order::Promote { incarnation });
                    // The caller does it in one step: it is done by the time that it asks again.
                    self.replace(respawn::Event::Promoted { incarnation }, turn);
                }
                respawn::Action::Discard { incarnation } => turn.orders.push(Order::Discard { incarnation }),
                respawn::Action::Adapt { view, drift, .. } => turn.orders.push(Order::Adapt { view, drift }),
                respawn::Action::OutOfBudget(_) => {}
                respawn::Action::Degraded { reason, .. } => {
                    turn.orders.push(Order::Degraded { missing: vec![reason] });
                }
                respawn::Action::Report(report) => turn.orders.push(Order::Report(report)),
            }
        }
    }
}
