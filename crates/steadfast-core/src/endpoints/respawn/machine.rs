//! The machine that decides when a client is replaced, and by what.

use std::fmt::Debug;
use std::time::Duration;

use super::{Action, Event, InPlace, Phases, Reason, Report, Settings, Timeline};
use crate::endpoints::backoff::Jitter;
use crate::endpoints::budget::Budget;
use crate::endpoints::drift::drift;
use crate::endpoints::view::View;
use crate::ids::ConsumerIncarnation;
use crate::tick::Tick;

/// One client's respawns.
///
/// A token is taken when a successor that drift made necessary is promoted, so a cluster that flaps while the
/// successor is being prepared costs one respawn, or none if it returns to the endpoints in use.
#[derive(Debug, Clone)]
pub struct Respawn<N: Ord> {
    settings: Settings,
    budget: Budget,
    last: ConsumerIncarnation,
    crashes: u32,
    crashed_at: Tick,
    /// What is reported once the newest consumer's first record is there, and since when it is awaited.
    awaited: Option<(Report, Tick)>,
    state: State<N>,
}

/// ```text
///             first view                  ready                    promoted
///   Starting ────────────► Preparing ─────────────► HandingOver ─────────────► Steady
///                           ▲   ▲ │                     │
///            drift, crash,  │   │ │ failed              │ failed
///            credentials    │   │ ▼                     │
///     Steady ───────────────┘   │ Degraded ◄────────────┘
///                         retry └──┘
/// ```
/// A newer view begins Preparing anew, and ends it, or Degraded, in Steady when the consumer that runs can do
/// with it. A crash too soon after another waits in Degraded. The first record is awaited beside all this.
#[derive(Debug, Clone)]
enum State<N: Ord> {
    Starting,
    Steady(Active<N>),
    Preparing(Preparing<N>),
    HandingOver(HandingOver<N>),
    Degraded(Degraded<N>),
}

/// The consumer that runs.
#[derive(Debug, Clone)]
struct Active<N: Ord> {
    incarnation: ConsumerIncarnation,
    /// The view in use: what it was made from, or has adapted to.
    view: View<N>,
}

/// What is to be made. Drift is a reason only as long as a consumer runs that it could spare.
#[derive(Debug, Clone)]
struct Plan<N: Ord> {
    view: View<N>,
    reason: Reason,
    timeline: Timeline,
    failures: u32,
}

#[derive(Debug, Clone)]
struct Preparing<N: Ord> {
    active: Option<Active<N>>,
    candidate: ConsumerIncarnation,
    plan: Plan<N>,
    until: Tick,
}

#[derive(Debug, Clone)]
struct HandingOver<N: Ord> {
    active: Option<Active<N>>,
    candidate: ConsumerIncarnation,
    plan: Plan<N>,
    prepared_at: Tick,
    /// What came up meanwhile, and is looked at when the handover is over.
    pending: Pending<N>,
}

#[derive(Debug, Clone)]
struct Pending<N: Ord> {
    drifted: Option<(View<N>, Timeline)>,
    credentials: bool,
}

#[derive(Debug, Clone)]
struct Degraded<N: Ord> {
    active: Option<Active<N>>,
    plan: Plan<N>,
    retry_at: Tick,
}

/// An event, seen from the state: what it says of incarnations that are neither the consumer that runs nor its
/// successor was late, and is dropped.
enum Input<N: Ord> {
    Drifted { view: View<N>, timeline: Timeline },
    CredentialsChanged,
    CandidateReady,
    CandidatePromoted,
    CandidateFailed { reason: String, jitter: Jitter },
    ActiveCrashed { jitter: Jitter },
    Elapsed { jitter: Jitter },
}

/// The time, and what is to be done.
struct Turn<N: Ord> {
    now: Tick,
    actions: Vec<Action<N>>,
}

impl<N: Ord + Clone + Debug> Respawn<N> {
    /// No consumer yet. `budget` limits the respawns that drift causes.
    pub fn new(settings: Settings, budget: Budget) -> Respawn<N> {
        Respawn {
            settings,
            budget,
            last: ConsumerIncarnation(0),
            crashes: 0,
            crashed_at: Tick::ZERO,
            awaited: None,
            state: State::Starting,
        }
    }

    /// Three respawns in ten minutes.
    pub fn usual_budget() -> Budget {
        Budget::new(3, Duration::from_secs(600))
    }

    /// The consumer that runs.
    pub fn active(&self) -> Option<ConsumerIncarnation> {
        self.running().map(|active| active.incarnation)
    }

    /// The view in use: what the consumer that runs was made from, or has adapted to.
    pub fn in_use(&self) -> Option<&View<N>> {
        self.running().map(|active| &active.view)
    }

    /// Whether a consumer is needed that cannot be had for now.
    pub fn is_degraded(&self) -> bool {
        matches!(self.state, State::Degraded(_))
    }

    /// How many respawns because of drift are left.
    pub fn tokens(&self, now: Tick) -> u32 {
        self.budget.available(now)
    }

    /// When [`Event::Elapsed`] is due: never none while something is awaited.
    pub fn next_deadline(&self) -> Option<Tick> {
        [self.first_record_deadline(), self.deadline()].into_iter().flatten().min()
    }

    /// Takes an event in, and says what is to be done.
    pub fn handle(&mut self, event: Event<N>, now: Tick) -> Vec<Action<N>> {
        let mut turn = Turn { now, actions: Vec::new() };
        self.await_first_record(&event, &mut turn);
        if let Some(input) = self.input(event, now) {
            let state = std::mem::replace(&mut self.state, State::Starting);
            self.state = self.step(state, input, &mut turn);
        }
        turn.actions
    }

    fn step(&mut self, state: State<N>, input: Input<N>, turn: &mut Turn<N>) -> State<N> {
        match (state, input) {
            (State::Starting, Input::Drifted { view, timeline }) => {
                self.prepare(None, Plan::new(view, Reason::Start, timeline), turn)
            }
            (State::Steady(mut active), Input::Drifted { view, timeline }) => {
                if self.adapt(&mut active, &view, turn) {
                    State::Steady(active)
                } else {
                    self.prepare(Some(active), Plan::new(view, Reason::Drift, timeline), turn)
                }
            }
            (State::Preparing(at), Input::Drifted { view, .. }) if view == at.plan.view => {
                State::Preparing(at)
            }
            (State::Preparing(at), Input::Drifted { view, timeline }) => {
                turn.discard(at.candidate);
                self.plan_again(at.active, at.plan, view, timeline, turn)
            }
            (State::HandingOver(mut at), Input::Drifted { view, timeline }) => {
                at.pending.drifted = Some((view, timeline));
                State::HandingOver(at)
            }
            (State::Degraded(at), Input::Drifted { view, .. }) if view == at.plan.view => State::Degraded(at),
            (State::Degraded(at), Input::Drifted { view, timeline }) => {
                self.plan_again(at.active, at.plan, view, timeline, turn)
            }

            // Whoever is made from now on reads the new ones.
            (State::Starting, Input::CredentialsChanged) => State::Starting,
            (State::Steady(active), Input::CredentialsChanged) => {
                let plan = Plan::new(active.view.clone(), Reason::Credentials, Timeline::at(turn.now));
                self.prepare(Some(active), plan, turn)
            }
            (State::Preparing(at), Input::CredentialsChanged) => {
                turn.discard(at.candidate);
                let plan = at.plan.with_new_credentials(at.active.is_some());
                self.prepare(at.active, plan, turn)
            }
            (State::HandingOver(mut at), Input::CredentialsChanged) => {
                at.pending.credentials = true;
                State::HandingOver(at)
            }
            (State::Degraded(at), Input::CredentialsChanged) => {
                let plan = at.plan.with_new_credentials(at.active.is_some());
                self.prepare(at.active, plan, turn)
            }

            (State::Preparing(at), Input::CandidateReady) => hand_over(at, turn),
            (State::HandingOver(at), Input::CandidatePromoted) => self.promoted(at, turn),
            (State::Preparing(at), Input::CandidateFailed { reason, jitter }) => {
                self.degrade(at.active, at.candidate, at.plan, (reason, jitter), turn)
            }
            (State::HandingOver(at), Input::CandidateFailed { reason, jitter }) => {
                let state = self.degrade(at.active, at.candidate, at.plan, (reason, jitter), turn);
                self.resume(state, at.pending, turn)
            }
            (
                state @ (State::Starting | State::Steady(_) | State::Degraded(_)),
                Input::CandidateReady | Input::CandidatePromoted | Input::CandidateFailed { .. },
            )
            | (state @ State::Preparing(_), Input::CandidatePromoted)
            | (state @ State::HandingOver(_), Input::CandidateReady) => state,

            (State::Starting, Input::ActiveCrashed { .. }) => State::Starting,
            (State::Steady(active), Input::ActiveCrashed { jitter }) => self.crashed(active, jitter, turn),
            (State::Preparing(mut at), Input::ActiveCrashed { jitter }) => {
                self.pause_after_crash(jitter, turn.now);
                (at.active, at.plan.reason) = (None, at.plan.reason.max(Reason::Crash));
                State::Preparing(at)
            }
            (State::HandingOver(mut at), Input::ActiveCrashed { jitter }) => {
                self.pause_after_crash(jitter, turn.now);
                (at.active, at.plan.reason) = (None, at.plan.reason.max(Reason::Crash));
                State::HandingOver(at)
            }
            (State::Degraded(mut at), Input::ActiveCrashed { jitter }) => {
                at.retry_at = at.retry_at.min(turn.now + self.pause_after_crash(jitter, turn.now));
                (at.active, at.plan.reason) = (None, at.plan.reason.max(Reason::Crash));
                State::Degraded(at)
            }

            (state @ (State::Starting | State::Steady(_)), Input::Elapsed { .. }) => state,
            (State::Preparing(at), Input::Elapsed { jitter }) => {
                let reason = format!("not ready within {:?}", self.settings.prepare);
                self.degrade(at.active, at.candidate, at.plan, (reason, jitter), turn)
            }
            (State::HandingOver(at), Input::Elapsed { jitter }) => {
                let reason = format!("not promoted within {:?}", self.settings.handover);
                let state = self.degrade(at.active, at.candidate, at.plan, (reason, jitter), turn);
                self.resume(state, at.pending, turn)
            }
            (State::Degraded(at), Input::Elapsed { .. }) => self.prepare(at.active, at.plan, turn),
        }
    }

    /// Takes the drift in place, unless it asks for a respawn that the budget allows; says whether it did.
    fn adapt(&self, active: &mut Active<N>, view: &View<N>, turn: &mut Turn<N>) -> bool {
        let drift = drift(&active.view, view);
        if drift.is_empty() {
            return true;
        }
        let because = if !self.settings.threshold.is_exceeded_by(drift.score) {
            InPlace::WithinThreshold
        } else if let Err(error) = self.budget.check(turn.now) {
            turn.actions.push(Action::OutOfBudget(error));
            InPlace::OutOfBudget
        } else {
            return false;
        };
        active.view = view.clone();
        turn.actions.push(Action::Adapt { view: view.clone(), drift, because });
        true
    }

    /// The newest view wins; the outage stays the same one.
    fn plan_again(
        &mut self,
        mut active: Option<Active<N>>,
        plan: Plan<N>,
        view: View<N>,
        timeline: Timeline,
        turn: &mut Turn<N>,
    ) -> State<N> {
        let adapted = active.as_mut().is_some_and(|active| self.adapt(active, &view, turn));
        match active {
            Some(active) if plan.reason == Reason::Drift && adapted => State::Steady(active),
            active => {
                let timeline = Timeline { discovered_at: timeline.discovered_at, ..plan.timeline };
                self.prepare(active, Plan::new(view, plan.reason, timeline), turn)
            }
        }
    }

    fn prepare(&mut self, active: Option<Active<N>>, plan: Plan<N>, turn: &mut Turn<N>) -> State<N> {
        self.last = ConsumerIncarnation(self.last.0 + 1);
        let (view, reason) = (plan.view.clone(), plan.reason);
        turn.actions.push(Action::Prepare { incarnation: self.last, view, reason });
        State::Preparing(Preparing {
            active,
            candidate: self.last,
            plan,
            until: turn.now + self.settings.prepare,
        })
    }

    fn promoted(&mut self, at: HandingOver<N>, turn: &mut Turn<N>) -> State<N> {
        if at.plan.reason == Reason::Drift {
            let promised = self.budget.take(turn.now);
            debug_assert!(promised.is_ok(), "only one respawn at a time asks the budget");
        }
        self.report(None, turn);
        let timeline = at.plan.timeline;
        let phases = Phases {
            detect: timeline.suspected_at.since(timeline.alive_at),
            discover: timeline.discovered_at.since(timeline.suspected_at),
            verify: at.prepared_at.since(timeline.discovered_at),
            handover: turn.now.since(at.prepared_at),
            first_record: None,
        };
        let replaced = at.active.map(|active| active.incarnation);
        let report = Report { incarnation: at.candidate, replaced, reason: at.plan.reason, phases };
        self.awaited = Some((report, turn.now));
        let active = Active { incarnation: at.candidate, view: at.plan.view };
        self.resume(State::Steady(active), at.pending, turn)
    }

    /// Looks at what came up while the handover was under way.
    fn resume(&mut self, mut state: State<N>, pending: Pending<N>, turn: &mut Turn<N>) -> State<N> {
        if let Some((view, timeline)) = pending.drifted {
            state = self.step(state, Input::Drifted { view, timeline }, turn);
        }
        if pending.credentials {
            state = self.step(state, Input::CredentialsChanged, turn);
        }
        state
    }

    fn degrade(
        &mut self,
        active: Option<Active<N>>,
        candidate: ConsumerIncarnation,
        mut plan: Plan<N>,
        (reason, jitter): (String, Jitter),
        turn: &mut Turn<N>,
    ) -> State<N> {
        turn.discard(candidate);
        let retry_at = turn.now + self.settings.backoff.wait(plan.failures, jitter);
        plan.failures = plan.failures.saturating_add(1);
        turn.actions.push(Action::Degraded { reason, retry_at });
        State::Degraded(Degraded { active, plan, retry_at })
    }

    fn crashed(&mut self, active: Active<N>, jitter: Jitter, turn: &mut Turn<N>) -> State<N> {
        let pause = self.pause_after_crash(jitter, turn.now);
        let plan = Plan::new(active.view, Reason::Crash, Timeline::at(turn.now));
        if pause.is_zero() {
            return self.prepare(None, plan, turn);
        }
        let retry_at = turn.now + pause;
        let reason = format!("consumer {} crashed, as others did before it", active.incarnation);
        turn.actions.push(Action::Degraded { reason, retry_at });
        State::Degraded(Degraded { active: None, plan, retry_at })
    }

    /// None after the first crash, then growing until the consumer lives for a while.
    fn pause_after_crash(&mut self, jitter: Jitter, now: Tick) -> Duration {
        if now.since(self.crashed_at) >= self.settings.calm {
            self.crashes = 0;
        }
        let earlier = self.crashes.checked_sub(1);
        self.crashes = self.crashes.saturating_add(1);
        self.crashed_at = now;
        earlier.map_or(Duration::ZERO, |earlier| self.settings.backoff.wait(earlier, jitter))
    }

    fn input(&self, event: Event<N>, now: Tick) -> Option<Input<N>> {
        let is_candidate = |incarnation| self.candidate() == Some(incarnation);
        match event {
            Event::Drifted { view, timeline } => Some(Input::Drifted { view, timeline }),
            Event::CredentialsChanged => Some(Input::CredentialsChanged),
            Event::Prepared { incarnation } => is_candidate(incarnation).then_some(Input::CandidateReady),
            Event::Promoted { incarnation } => is_candidate(incarnation).then_some(Input::CandidatePromoted),
            Event::PrepareFailed { incarnation, reason, jitter } => {
                is_candidate(incarnation).then_some(Input::CandidateFailed { reason, jitter })
            }
            Event::Crashed { incarnation, jitter } if is_candidate(incarnation) => {
                let reason = format!("consumer {incarnation} crashed before it took over");
                Some(Input::CandidateFailed { reason, jitter })
            }
            Event::Crashed { incarnation, jitter } => {
                (self.active() == Some(incarnation)).then_some(Input::ActiveCrashed { jitter })
            }
            Event::FirstRecord { .. } => None,
            Event::Elapsed { jitter } => {
                self.deadline().filter(|deadline| now >= *deadline).map(|_| Input::Elapsed { jitter })
            }
        }
    }

    fn deadline(&self) -> Option<Tick> {
        match &self.state {
            State::Starting | State::Steady(_) => None,
            State::Preparing(at) => Some(at.until),
            State::HandingOver(at) => Some(at.prepared_at + self.settings.handover),
            State::Degraded(at) => Some(at.retry_at),
        }
    }

    fn candidate(&self) -> Option<ConsumerIncarnation> {
        match &self.state {
            State::Starting | State::Steady(_) | State::Degraded(_) => None,
            State::Preparing(at) => Some(at.candidate),
            State::HandingOver(at) => Some(at.candidate),
        }
    }

    fn running(&self) -> Option<&Active<N>> {
        match &self.state {
            State::Starting => None,
            State::Steady(active) => Some(active),
            State::Preparing(at) => at.active.as_ref(),
            State::HandingOver(at) => at.active.as_ref(),
            State::Degraded(at) => at.active.as_ref(),
        }
    }

    fn await_first_record(&mut self, event: &Event<N>, turn: &mut Turn<N>) {
        let Some((awaited, since)) = &self.awaited else { return };
        match event {
            Event::FirstRecord { incarnation } if *incarnation == awaited.incarnation => {
                let first_record = turn.now.since(*since);
                self.report(Some(first_record), turn);
            }
            Event::Crashed { incarnation, .. } if *incarnation == awaited.incarnation => {
                self.report(None, turn)
            }
            Event::Elapsed { .. }
                if self.first_record_deadline().is_some_and(|deadline| turn.now >= deadline) =>
            {
                self.report(None, turn);
            }
            Event::FirstRecord { .. }
            | Event::Crashed { .. }
            | Event::Elapsed { .. }
            | Event::Drifted { .. }
            | Event::Prepared { .. }
            | Event::PrepareFailed { .. }
            | Event::Promoted { .. }
            | Event::CredentialsChanged => {}
        }
    }

    fn first_record_deadline(&self) -> Option<Tick> {
        self.awaited.as_ref().map(|(_, since)| *since + self.settings.first_record)
    }

    fn report(&mut self, first_record: Option<Duration>, turn: &mut Turn<N>) {
        if let Some((mut report, _)) = self.awaited.take() {
            report.phases.first_record = first_record;
            turn.actions.push(Action::Report(report));
        }
    }
}

fn hand_over<N: Ord>(at: Preparing<N>, turn: &mut Turn<N>) -> State<N> {
    turn.actions.push(Action::Promote { incarnation: at.candidate });
    let pending = Pending { drifted: None, credentials: false };
    let (candidate, prepared_at) = (at.candidate, turn.now);
    State::HandingOver(HandingOver { active: at.active, candidate, plan: at.plan, prepared_at, pending })
}

impl<N: Ord> Plan<N> {
    fn new(view: View<N>, reason: Reason, timeline: Timeline) -> Plan<N> {
        Plan { view, reason, timeline, failures: 0 }
    }

    /// A consumer that is missing anyway is not missing because of the credentials.
    fn with_new_credentials(self, spares_one: bool) -> Plan<N> {
        let reason = if spares_one { Reason::Credentials } else { self.reason };
        Plan { reason, failures: 0, ..self }
    }
}

impl<N: Ord> Turn<N> {
    fn discard(&mut self, incarnation: ConsumerIncarnation) {
        self.actions.push(Action::Discard { incarnation });
    }
}
