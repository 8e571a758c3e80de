//! What holds of respawns whatever happens, and in whatever order.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use steadfast_core::endpoints::backoff::Jitter;
use steadfast_core::endpoints::budget::Budget;
use steadfast_core::endpoints::drift::drift;
use steadfast_core::endpoints::respawn::{Action, Event, InPlace, Reason, Respawn, Settings, Timeline};
use steadfast_core::endpoints::view::View;
use steadfast_core::ids::ConsumerIncarnation;
use steadfast_core::tick::Tick;

use crate::scene::view;

/// What happens next; incarnations are counted back from the newest.
#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Drifted(usize),
    Prepared(u64),
    PrepareFailed(u64),
    Promoted(u64),
    FirstRecord(u64),
    Crashed(u64),
    CredentialsChanged,
}

const VIEWS: [&str; 5] = ["1=a 2=b 3=c", "1=x 2=y 3=z", "1=x 2=b 3=c", "1=p 2=q", "1=a 2=b 3=c 4=d"];
const WINDOW: Duration = Duration::from_secs(600);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..60_000u64).prop_map(Step::Wait),
        (0..VIEWS.len()).prop_map(Step::Drifted),
        (0..2u64).prop_map(Step::Prepared),
        (0..2u64).prop_map(Step::PrepareFailed),
        (0..2u64).prop_map(Step::Promoted),
        (0..3u64).prop_map(Step::FirstRecord),
        (0..3u64).prop_map(Step::Crashed),
        Just(Step::CredentialsChanged),
    ];
    proptest::collection::vec(step, 0..150)
}

/// The consumers as they are, beside the machine that decides.
struct Consumers {
    respawn: Respawn<i32>,
    now: Tick,
    last: u64,
    newest: Option<View<i32>>,
    active: Option<(u64, View<i32>)>,
    candidate: Option<(u64, View<i32>, Reason)>,
    promoting: bool,
    paid: Vec<Tick>,
    promotions: usize,
    reports: BTreeSet<ConsumerIncarnation>,
}

impl Consumers {
    fn new(tokens: u32) -> Consumers {
        Consumers {
            respawn: Respawn::new(Settings::default(), Budget::new(tokens, WINDOW)),
            now: Tick::ZERO,
            last: 0,
            newest: None,
            active: None,
            candidate: None,
            promoting: false,
            paid: Vec::new(),
            promotions: 0,
            reports: BTreeSet::new(),
        }
    }

    fn tell(&mut self, event: Event<i32>) {
        for action in self.respawn.handle(event, self.now) {
            self.carry_out(action);
        }
        let active = self.active.as_ref();
        assert_eq!(self.respawn.active().map(|incarnation| incarnation.0), active.map(|(number, _)| *number));
        assert_eq!(self.respawn.in_use(), active.map(|(_, view)| view));
        let awaited = self.candidate.is_some() || self.respawn.is_degraded();
        assert!(!awaited || self.respawn.next_deadline().is_some());
        assert_eq!(active.is_none() && self.newest.is_some(), awaited && active.is_none());
    }

    fn carry_out(&mut self, action: Action<i32>) {
        let tokens = self.respawn.tokens(self.now);
        match action {
            Action::Prepare { incarnation, view, reason } => {
                assert!(self.candidate.is_none(), "two candidates at once");
                assert_eq!((incarnation.0, Some(&view)), (self.last + 1, self.newest.as_ref()));
                if reason == Reason::Drift {
                    let in_use = self.active.as_ref().map(|(_, in_use)| drift(in_use, &view).score);
                    assert!(in_use.is_some_and(|score| score > 0.5));
                }
                self.last = incarnation.0;
                self.candidate = Some((incarnation.0, view, reason));
                self.promoting = false;
            }
            Action::Promote { incarnation } => {
                assert_eq!(self.candidate.as_ref().map(|(number, ..)| *number), Some(incarnation.0));
                self.promoting = true;
            }
            Action::Discard { incarnation } => {
                assert_eq!(self.candidate.take().map(|(number, ..)| number), Some(incarnation.0));
            }
            Action::Adapt { view, drift: taken, because } => {
                let Some((number, in_use)) = self.active.take() else { panic!("nobody is there to adapt") };
                assert_eq!(Some(&view), self.newest.as_ref());
                assert_eq!(taken, drift(&in_use, &view));
                assert_eq!(because == InPlace::WithinThreshold, taken.score <= 0.5);
                assert!(because == InPlace::WithinThreshold || tokens == 0);
                self.active = Some((number, view));
            }
            Action::OutOfBudget(_) => assert_eq!(tokens, 0),
            Action::Degraded { retry_at, .. } => {
                assert!(retry_at > self.now && retry_at <= self.now + Settings::default().backoff.limit);
            }
            Action::Report(report) => assert!(self.reports.insert(report.incarnation), "reported twice"),
        }
    }

    /// The slot keeps its promises: only a candidate becomes ready, only one that was asked to takes over.
    fn step(&mut self, step: &Step) {
        let nth = |back: u64, last: u64| last.checked_sub(back).map(ConsumerIncarnation);
        let jitter = Jitter::FULL;
        match step {
            Step::Wait(millis) => self.wait(Duration::from_millis(*millis)),
            Step::Drifted(choice) => self.drifts(view(VIEWS[*choice])),
            Step::CredentialsChanged => self.tell(Event::CredentialsChanged),
            Step::Prepared(back) => {
                nth(*back, self.last)
                    .into_iter()
                    .for_each(|incarnation| self.tell(Event::Prepared { incarnation }));
            }
            Step::PrepareFailed(back) => nth(*back, self.last).into_iter().for_each(|incarnation| {
                let is_promoted = self.active.as_ref().is_some_and(|(number, _)| *number == incarnation.0);
                if !is_promoted {
                    self.tell(Event::PrepareFailed {
                        incarnation,
                        reason: "nothing verifies".into(),
                        jitter,
                    });
                }
            }),
            Step::Promoted(back) => {
                nth(*back, self.last).into_iter().for_each(|incarnation| self.promoted(incarnation));
            }
            Step::FirstRecord(back) => nth(*back, self.last)
                .into_iter()
                .for_each(|incarnation| self.tell(Event::FirstRecord { incarnation })),
            Step::Crashed(back) => nth(*back, self.last).into_iter().for_each(|incarnation| {
                self.active.take_if(|(number, _)| *number == incarnation.0);
                self.tell(Event::Crashed { incarnation, jitter });
            }),
        }
    }

    fn drifts(&mut self, view: View<i32>) {
        self.newest = Some(view.clone());
        self.tell(Event::Drifted { view, timeline: Timeline::at(self.now) });
    }

    fn promoted(&mut self, incarnation: ConsumerIncarnation) {
        let ours = |(number, ..): &mut (u64, View<i32>, Reason)| *number == incarnation.0;
        if self.promoting
            && let Some((number, view, reason)) = self.candidate.take_if(ours)
        {
            // Once the old one is gone before the handover is over, nobody is spared, and nothing is paid.
            let paid = reason == Reason::Drift && self.active.is_some();
            self.active = Some((number, view));
            self.promotions += 1;
            let before = self.respawn.tokens(self.now);
            self.tell(Event::Promoted { incarnation });
            assert_eq!(before - self.respawn.tokens(self.now), u32::from(paid));
            self.paid.extend(paid.then_some(self.now));
        } else {
            self.tell(Event::Promoted { incarnation });
        }
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.respawn.next_deadline().filter(|deadline| *deadline <= end) {
            assert!(deadline >= self.now, "a deadline in the past is never reached");
            self.now = self.now.max(deadline);
            self.tell(Event::Elapsed { jitter: Jitter::FULL });
            assert!(self.respawn.next_deadline().is_none_or(|next| next > self.now), "it spins");
        }
        self.now = end;
    }

    /// From now on everything works.
    fn heal(&mut self) {
        for _ in 0..10 {
            self.wait(Duration::from_secs(6));
            if self.candidate.is_some() {
                self.step(&Step::Prepared(0));
                self.step(&Step::Promoted(0));
                self.step(&Step::FirstRecord(0));
            }
        }
        self.wait(Duration::from_secs(60));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_happens_one_consumer_is_replaced_by_one_and_the_budget_is_kept(
        steps in steps(), tokens in 0..4u32,
    ) {
        let mut consumers = Consumers::new(tokens);
        steps.iter().for_each(|step| consumers.step(step));
        for start in &consumers.paid {
            let within = consumers.paid.iter().filter(|at| *at >= start && **at < *start + WINDOW).count();
            prop_assert!(within <= tokens as usize);
        }
    }

    #[test]
    fn once_everything_works_the_newest_view_is_in_use_and_every_respawn_is_reported(steps in steps()) {
        let mut consumers = Consumers::new(3);
        steps.iter().for_each(|step| consumers.step(step));
        consumers.drifts(view(VIEWS[1]));
        consumers.heal();
        prop_assert_eq!(consumers.respawn.in_use(), Some(&view(VIEWS[1])));
        prop_assert_eq!(consumers.respawn.next_deadline(), None);
        prop_assert_eq!(consumers.reports.len(), consumers.promotions);
    }
}
