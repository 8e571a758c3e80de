//! A discovery: every address that may know better is asked at once, and none is waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use super::agreement::fault;
use super::backoff::{Backoff, Jitter};
use super::view::{Address, Observation, View};
use crate::ids::ClusterId;
use crate::tick::Tick;

pub use crowd::Crowd;
pub use doubts::Doubts;
pub use rate::Rate;

mod crowd;
mod doubts;
mod rate;

/// What speaks against an endpoint, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// A reset, a refusal, another view, a broker that does not lead, another configuration: something is not as
    /// it was.
    Broken,
    /// A limit passed without an answer. Most of what is silent speaks again: see [`Rate`].
    Silent,
}

/// Why an address is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The view in use names it.
    InUse,
    /// The view that last worked, kept on disk, names it.
    LastKnownGood,
    /// A bootstrap name resolves to it, one of several.
    Bootstrap,
    /// The configuration as it is now names it.
    Configuration,
    /// A source of the user's own names it.
    Fed,
    /// An answer in this discovery names it.
    Proposed,
}

/// The bounds of a discovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many addresses of each source are asked at the same time. It holds by source, so that a crowd of
    /// dead endpoints in use never keeps the bootstrap addresses, or what they propose, from being asked.
    pub in_flight: usize,
    /// How many addresses proposals may add in all: a liar's list must not grow without bound.
    pub proposals: usize,
    /// After so long without agreement the discovery says what is missing, and goes on. An address whose
    /// question is unreported for as long is asked again.
    pub deadline: Duration,
    /// The pause before an address is asked again.
    pub backoff: Backoff,
}

impl Default for Limits {
    /// 64 of each source at a time, 1024 proposed ones in all, 10 s, from 50 ms to 5 s.
    fn default() -> Limits {
        Limits {
            in_flight: 64,
            proposals: 1024,
            deadline: Duration::from_secs(10),
            backoff: Backoff::default(),
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<N: Ord> {
    /// The addresses to begin with are these now; of one that stands here twice the first source is kept. A
    /// running discovery asks the new ones at once.
    Sources(Vec<(Address, Source)>),
    /// Something may have changed: a connection broke or fell silent, the configuration changed, an answer
    /// differs from the view in use.
    Suspected {
        /// What speaks for it.
        evidence: Evidence,
    },
    /// An address answered; every [`Action::Ask`] ends in this or in [`Event::Failed`].
    Answered {
        /// What it said.
        observation: Observation<N>,
        /// For the pause before it is asked again.
        jitter: Jitter,
    },
    /// An address could not be asked, or did not answer in time.
    Failed {
        /// Which.
        address: Address,
        /// What became of the question.
        reason: String,
        /// For the pause before it is asked again.
        jitter: Jitter,
    },
    /// A view is agreed. Repeated whenever more of it is verified.
    Settled {
        /// Where the nodes of the agreed view are reached that are not verified yet: these alone are asked on.
        unverified: BTreeSet<Address>,
        /// Whether this is news: another view than before, or a node that was not verified where it is.
        found: bool,
    },
    /// [`Race::next_deadline`] has come.
    Elapsed,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A discovery begins: what was heard earlier does not count in it.
    Begin {
        /// When the first of the suspicions came that it is about.
        suspected_at: Tick,
    },
    /// Ask this address who is in the cluster, on a fresh connection: an idle one may be as dead as the rest.
    Ask {
        /// Which.
        address: Address,
        /// Why.
        source: Source,
    },
    /// There were too many discoveries of late; this one begins at `until`.
    Limited {
        /// When.
        until: Tick,
    },
    /// Nothing is agreed yet. The discovery goes on.
    Unsettled {
        /// When the suspicion came.
        suspected_at: Tick,
        /// Who gave no answer that counts, and why.
        failed: BTreeMap<Address, String>,
    },
}

/// The discoveries of one client, one at a time.
///
/// While one runs, each address is asked again and again, each after a pause of its own (exponential backoff,
/// full jitter), whether it answered or not: nothing waits for a slow one, and nothing is waited for for ever.
#[derive(Debug, Clone)]
pub struct Race {
    limits: Limits,
    rate: Rate,
    pin: Option<ClusterId>,
    sources: BTreeMap<Address, Source>,
    asked: BTreeMap<Address, Asked>,
    state: State,
}

/// ```text
///            Suspected, a token is left           Elapsed at the deadline: Unsettled
///       ┌──────────────────────────────► Running ────────┐
///     Idle ◄──────────────────────────── ▲  ▲ └──────────┘
///       │             Settled            │
///       └──────────► Limited ────────────┘
///   Suspected, none     Elapsed, a token is back; Suspected on better evidence; Settled, something was found
/// ```
/// What is unverified when a discovery settles is asked on in any state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Limited { suspected_at: Tick, evidence: Evidence, until: Tick },
    Running { suspected_at: Tick, deadline: Tick },
}

#[derive(Debug, Clone)]
struct Asked {
    source: Source,
    /// How often it was asked in this discovery.
    times: u32,
    turn: Turn,
    /// Why its last question had no answer that counts.
    failed: Option<String>,
    /// When it was last named by a source or a proposal.
    named: Tick,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Due(Tick),
    InFlight {
        until: Tick,
    },
    /// Nobody needs its answer any more; it is only remembered that one is on its way.
    Dismissed {
        until: Tick,
    },
}

impl Race {
    /// No discovery runs. `rate` limits how often one may begin.
    pub fn new(limits: Limits, rate: Rate, pin: Option<ClusterId>) -> Race {
        let (sources, asked) = (BTreeMap::new(), BTreeMap::new());
        Race { limits, rate, pin, sources, asked, state: State::Idle }
    }

    /// From now on only answers of `cluster` name further addresses.
    pub fn pin(&mut self, cluster: ClusterId) {
        self.pin = Some(cluster);
    }

    /// Whether a discovery runs.
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Takes an event in, and says what is to be done.
    pub fn handle<N: Ord + Clone + Debug>(&mut self, event: Event<N>, now: Tick) -> Vec<Action> {
        let mut actions = Vec::new();
        match (self.state, event) {
            (State::Idle, Event::Suspected { evidence }) => self.suspected(evidence, now, now, &mut actions),
            (
                State::Limited { suspected_at, evidence: Evidence::Silent, .. },
                Event::Suspected { evidence: Evidence::Broken },
            ) => self.suspected(Evidence::Broken, suspected_at, now, &mut actions),
            (State::Limited { .. } | State::Running { .. }, Event::Suspected { .. }) => {}
            (State::Idle | State::Limited { .. }, Event::Sources(sources)) => {
                self.sources = sources.into_iter().rev().collect();
            }
            (State::Running { .. }, Event::Sources(sources)) => {
                self.sources = sources.into_iter().rev().collect();
                let proposed = self.asked.iter().filter(|(_, asked)| asked.source == Source::Proposed);
                let wanted =
                    self.sources.keys().chain(proposed.map(|(address, _)| address)).cloned().collect();
                self.ask_only(&wanted);
                self.name_sources(now);
            }
            (State::Idle | State::Limited { .. }, Event::Answered { observation, jitter }) => {
                self.heard(&observation.witness, None, jitter, now);
            }
            (State::Running { .. }, Event::Answered { observation, jitter }) => {
                let failed = fault(&observation.view, self.pin.as_ref());
                if failed.is_none() {
                    self.name_proposed(&observation.view, now);
                }
                self.heard(&observation.witness, failed.map(|fault| fault.to_string()), jitter, now);
            }
            (
                State::Idle | State::Limited { .. } | State::Running { .. },
                Event::Failed { address, reason, jitter },
            ) => self.heard(&address, Some(reason), jitter, now),
            (state, Event::Settled { unverified, found }) => {
                self.settled(state, &unverified, found, now, &mut actions)
            }
            (State::Idle, Event::Elapsed) => self.give_up_lost(now),
            (State::Limited { suspected_at, evidence, until }, Event::Elapsed) => {
                self.give_up_lost(now);
                if now >= until {
                    self.suspected(evidence, suspected_at, now, &mut actions);
                }
            }
            (State::Running { suspected_at, deadline }, Event::Elapsed) => {
                self.give_up_lost(now);
                if now >= deadline {
                    self.unsettled(suspected_at, now, &mut actions);
                }
            }
        }
        self.ask_what_is_due(now, &mut actions);
        actions
    }

    /// When [`Event::Elapsed`] is due: never none while a discovery runs.
    pub fn next_deadline(&self) -> Option<Tick> {
        let of_state = match self.state {
            State::Idle => None,
            State::Limited { until, .. } => Some(until),
            State::Running { deadline, .. } => Some(deadline),
        };
        let full = |source| self.in_flight(source) >= self.limits.in_flight;
        let full: BTreeSet<Source> = Source::ALL.into_iter().filter(|source| full(*source)).collect();
        let turns = self.asked.values().filter_map(|asked| match asked.turn {
            Turn::Due(_) if full.contains(&asked.source) => None,
            Turn::Due(at) => Some(at),
            Turn::InFlight { until } | Turn::Dismissed { until } => Some(until),
        });
        turns.chain(of_state).min()
    }

    fn suspected(&mut self, evidence: Evidence, suspected_at: Tick, now: Tick, actions: &mut Vec<Action>) {
        if let Err(until) = self.rate.take(evidence, now) {
            let until = until.unwrap_or(now + self.limits.deadline);
            self.state = State::Limited { suspected_at, evidence, until };
            return actions.push(Action::Limited { until });
        }
        self.state = State::Running { suspected_at, deadline: now + self.limits.deadline };
        actions.push(Action::Begin { suspected_at });
        self.ask_only(&BTreeSet::new());
        self.asked.values_mut().for_each(|asked| asked.times = 1);
        self.name_sources(now);
    }

    fn settled(
        &mut self,
        state: State,
        unverified: &BTreeSet<Address>,
        found: bool,
        now: Tick,
        actions: &mut Vec<Action>,
    ) {
        if found {
            self.rate.found();
        }
        match state {
            State::Running { .. } => self.state = State::Idle,
            State::Idle | State::Limited { .. } => {}
        }
        self.verify(unverified, now);
        if let State::Limited { suspected_at, evidence, .. } = state
            && found
        {
            self.suspected(evidence, suspected_at, now, actions);
        }
    }

    fn unsettled(&mut self, suspected_at: Tick, now: Tick, actions: &mut Vec<Action>) {
        let failed = self.asked.iter().filter_map(|(at, asked)| Some((at.clone(), asked.failed.clone()?)));
        actions.push(Action::Unsettled { suspected_at, failed: failed.collect() });
        self.state = State::Running { suspected_at, deadline: now + self.limits.deadline };
        // What nobody has named for a whole period is nobody's proposal any more.
        let period = self.limits.deadline;
        self.asked.retain(|_, asked| {
            asked.source != Source::Proposed || asked.is_on_its_way() || now.since(asked.named) < period
        });
    }

    fn name_sources(&mut self, now: Tick) {
        for (address, source) in self.sources.clone() {
            self.name(address, source, now);
        }
    }

    fn name_proposed<N: Ord>(&mut self, view: &View<N>, now: Tick) {
        let proposed = self.asked.values().filter(|asked| asked.source == Source::Proposed).count();
        let mut room = self.limits.proposals.saturating_sub(proposed);
        for endpoint in view.endpoints.values() {
            let known = self.asked.contains_key(&endpoint.address);
            if known || room > 0 {
                self.name(endpoint.address.clone(), Source::Proposed, now);
                room -= usize::from(!known);
            }
        }
    }

    /// Asks for an address as soon as it can be; one that is known already keeps its source and its turn.
    fn name(&mut self, address: Address, source: Source, now: Tick) {
        let fresh = Asked { source, times: 0, turn: Turn::Due(now), failed: None, named: now };
        let asked = self.asked.entry(address).or_insert(fresh);
        asked.named = now;
        if let Turn::Dismissed { until } = asked.turn {
            asked.turn = Turn::InFlight { until };
        }
    }

    fn heard(&mut self, address: &Address, failed: Option<String>, jitter: Jitter, now: Tick) {
        let Some(asked) = self.asked.get_mut(address) else { return };
        match asked.turn {
            Turn::Due(_) => {}
            Turn::InFlight { .. } => {
                let pause = self.limits.backoff.wait(asked.times.saturating_sub(1), jitter);
                asked.turn = Turn::Due(now + pause);
                asked.failed = failed;
            }
            Turn::Dismissed { .. } => drop(self.asked.remove(address)),
        }
    }

    /// From now on only the unverified are asked, until the next discovery.
    fn verify(&mut self, unverified: &BTreeSet<Address>, now: Tick) {
        self.ask_only(unverified);
        unverified.iter().for_each(|address| self.name(address.clone(), Source::Proposed, now));
    }

    /// The others are asked no more. That one of them still owes an answer is remembered, so that no address is asked
    /// twice at the same time; the answer is taken as any other, and followed by no further question.
    fn ask_only(&mut self, wanted: &BTreeSet<Address>) {
        self.asked.retain(|address, asked| match asked.turn {
            Turn::Due(_) => wanted.contains(address),
            Turn::InFlight { until } if !wanted.contains(address) => {
                asked.turn = Turn::Dismissed { until };
                true
            }
            Turn::InFlight { .. } | Turn::Dismissed { .. } => true,
        });
    }

    /// A question whose outcome was never reported holds up nothing.
    fn give_up_lost(&mut self, now: Tick) {
        self.asked.retain(|_, asked| !matches!(asked.turn, Turn::Dismissed { until } if now >= until));
        for asked in self.asked.values_mut() {
            if matches!(asked.turn, Turn::InFlight { until } if now >= until) {
                asked.turn = Turn::Due(now);
                asked.failed = Some("the outcome was never reported".to_owned());
            }
        }
    }

    fn ask_what_is_due(&mut self, now: Tick, actions: &mut Vec<Action>) {
        let until = now + self.limits.deadline;
        for source in Source::ALL {
            let free = self.limits.in_flight.saturating_sub(self.in_flight(source));
            let of_source = self.asked.iter_mut().filter(|(_, asked)| asked.source == source);
            let mut due: Vec<_> = of_source
                .filter_map(|(address, asked)| match asked.turn {
                    Turn::Due(at) if at <= now => Some((at, address, asked)),
                    Turn::Due(_) | Turn::InFlight { .. } | Turn::Dismissed { .. } => None,
                })
                .collect();
            due.sort_by(|(a_due, a, _), (b_due, b, _)| (a_due, a).cmp(&(b_due, b)));
            for (_, address, asked) in due.into_iter().take(free) {
                asked.turn = Turn::InFlight { until };
                asked.times = asked.times.saturating_add(1);
                actions.push(Action::Ask { address: address.clone(), source });
            }
        }
    }

    fn in_flight(&self, source: Source) -> usize {
        self.asked.values().filter(|asked| asked.source == source && asked.is_on_its_way()).count()
    }
}

impl Source {
    const ALL: [Source; 6] = [
        Source::InUse,
        Source::LastKnownGood,
        Source::Bootstrap,
        Source::Configuration,
        Source::Fed,
        Source::Proposed,
    ];
}

impl Asked {
    fn is_on_its_way(&self) -> bool {
        match self.turn {
            Turn::InFlight { .. } | Turn::Dismissed { .. } => true,
            Turn::Due(_) => false,
        }
    }
}
