//! Make, verify, swap, case by case: Recovery 5, 6 and 8.

use std::time::Duration;

use steadfast_core::endpoints::backoff::Jitter;
use steadfast_core::endpoints::budget::Budget;
use steadfast_core::endpoints::respawn::{
    Action, Event, InPlace, Phases, Reason, Report, Respawn, Settings, Timeline,
};
use steadfast_core::ids::ConsumerIncarnation;
use steadfast_core::tick::Tick;

use crate::scene::{NEW, OLD, view};

const NEWER: &str = "1=p 2=q 3=r";
const ONE_MOVED: &str = "1=x 2=b 3=c";

/// Tells the machine what happened and writes down what it wants, a word per action.
struct Slot {
    respawn: Respawn<i32>,
    now: Tick,
    actions: Vec<Action<i32>>,
}

fn nth(incarnation: u64) -> ConsumerIncarnation {
    ConsumerIncarnation(incarnation)
}

impl Slot {
    fn new() -> Slot {
        let budget = Respawn::<i32>::usual_budget();
        Slot { respawn: Respawn::new(Settings::default(), budget), now: Tick::ZERO, actions: Vec::new() }
    }

    /// A consumer runs on the old endpoints and has fetched.
    fn steady() -> Slot {
        let mut slot = Slot::new();
        slot.drifts(OLD);
        slot.succeeds(1);
        slot.after(60_000);
        slot
    }

    fn tell(&mut self, event: Event<i32>) -> Vec<String> {
        self.actions = self.respawn.handle(event, self.now);
        self.actions.iter().map(word).collect()
    }

    fn drifts(&mut self, endpoints: &str) -> Vec<String> {
        self.tell(Event::Drifted { view: view(endpoints), timeline: Timeline::at(self.now) })
    }

    fn prepared(&mut self, incarnation: u64) -> Vec<String> {
        self.tell(Event::Prepared { incarnation: nth(incarnation) })
    }

    fn promoted(&mut self, incarnation: u64) -> Vec<String> {
        self.tell(Event::Promoted { incarnation: nth(incarnation) })
    }

    fn fails(&mut self, incarnation: u64) -> Vec<String> {
        let (incarnation, reason) = (nth(incarnation), "nothing verifies".to_owned());
        self.tell(Event::PrepareFailed { incarnation, reason, jitter: Jitter::FULL })
    }

    fn crashes(&mut self, incarnation: u64) -> Vec<String> {
        self.tell(Event::Crashed { incarnation: nth(incarnation), jitter: Jitter::FULL })
    }

    fn fetches(&mut self, incarnation: u64) -> Vec<String> {
        self.tell(Event::FirstRecord { incarnation: nth(incarnation) })
    }

    fn elapses(&mut self) -> Vec<String> {
        self.now = self.respawn.next_deadline().unwrap_or(self.now);
        self.tell(Event::Elapsed { jitter: Jitter::FULL })
    }

    fn succeeds(&mut self, incarnation: u64) {
        assert_eq!(self.prepared(incarnation), [format!("promote {incarnation}")]);
        assert_eq!(self.promoted(incarnation), [""; 0]);
        assert_eq!(self.fetches(incarnation).len(), 1);
    }

    fn after(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
    }

    #[track_caller]
    fn uses(&self, incarnation: u64, endpoints: &str) {
        assert_eq!(self.respawn.active(), Some(nth(incarnation)));
        assert_eq!(self.respawn.in_use(), Some(&view(endpoints)));
    }
}

/// An action in short: `prepare 2 drift x,y,z`, `promote 2`, `discard 2`, `adapt x,b,c`, ...
fn word(action: &Action<i32>) -> String {
    let hosts = |view: &steadfast_core::endpoints::view::View<i32>| {
        let hosts: Vec<_> = view.endpoints.values().map(|at| at.address.host.as_str()).collect();
        hosts.join(",")
    };
    match action {
        Action::Prepare { incarnation, view, reason } => {
            format!("prepare {incarnation} {} {}", reason.as_str(), hosts(view))
        }
        Action::Promote { incarnation } => format!("promote {incarnation}"),
        Action::Discard { incarnation } => format!("discard {incarnation}"),
        Action::Adapt { view, because: InPlace::WithinThreshold, .. } => format!("adapt {}", hosts(view)),
        Action::Adapt { view, because: InPlace::OutOfBudget, .. } => {
            format!("adapt for want of budget {}", hosts(view))
        }
        Action::OutOfBudget(_) => "out of budget".to_owned(),
        Action::Degraded { retry_at, .. } => format!("degraded until {retry_at}"),
        Action::Report(report) => format!("report {} {}", report.incarnation, report.reason.as_str()),
    }
}

#[test]
fn the_first_view_makes_the_first_consumer_without_a_token() {
    let mut slot = Slot::new();
    assert_eq!(slot.drifts(OLD), ["prepare 1 start a,b,c"]);
    assert_eq!(slot.respawn.active(), None);
    slot.succeeds(1);
    slot.uses(1, OLD);
    assert_eq!(slot.respawn.tokens(slot.now), 3);
}

#[test]
fn when_every_endpoint_moves_the_successor_is_made_before_the_old_one_goes() {
    let mut slot = Slot::steady();
    assert_eq!(slot.drifts(NEW), ["prepare 2 drift x,y,z"]);
    slot.uses(1, OLD);
    assert_eq!(slot.prepared(2), ["promote 2"]);
    slot.uses(1, OLD);
    assert_eq!(slot.promoted(2), [""; 0]);
    slot.uses(2, NEW);
    assert_eq!(slot.fetches(2), ["report 2 drift"]);
    assert_eq!((slot.respawn.tokens(slot.now), slot.respawn.next_deadline()), (2, None));
}

#[test]
fn every_phase_is_reported() {
    let mut slot = Slot::steady();
    let start = slot.now;
    let after = |millis| start + Duration::from_millis(millis);
    let timeline = Timeline { alive_at: start, suspected_at: after(10), discovered_at: after(30) };
    slot.after(31);
    slot.tell(Event::Drifted { view: view(NEW), timeline });
    slot.after(40);
    slot.prepared(2);
    slot.after(2);
    slot.promoted(2);
    slot.after(7);
    slot.fetches(2);
    let millis = Duration::from_millis;
    let phases = Phases {
        detect: millis(10),
        discover: millis(20),
        verify: millis(41),
        handover: millis(2),
        first_record: Some(millis(7)),
    };
    assert_eq!(phases.total(), millis(80));
    let report = Report { incarnation: nth(2), replaced: Some(nth(1)), reason: Reason::Drift, phases };
    assert_eq!(slot.actions, [Action::Report(report)]);
}

#[test]
fn one_of_three_endpoints_moving_is_taken_in_place() {
    let mut slot = Slot::steady();
    assert_eq!(slot.drifts(ONE_MOVED), ["adapt x,b,c"]);
    slot.uses(1, ONE_MOVED);
}

#[test]
fn two_of_three_endpoints_moving_is_a_respawn() {
    assert_eq!(Slot::steady().drifts("1=x 2=y 3=c"), ["prepare 2 drift x,y,c"]);
}

#[test]
fn at_exactly_the_threshold_nothing_is_replaced() {
    let mut slot = Slot::new();
    slot.drifts("1=a 2=b");
    slot.succeeds(1);
    assert_eq!(slot.drifts("1=a 2=y"), ["adapt a,y"]);
}

#[test]
fn a_broker_that_is_added_is_taken_in_place() {
    assert_eq!(Slot::steady().drifts("1=a 2=b 3=c 4=d"), ["adapt a,b,c,d"]);
}

#[test]
fn the_view_in_use_agreed_again_changes_nothing() {
    assert_eq!(Slot::steady().drifts(OLD), [""; 0]);
}

#[test]
fn moves_one_by_one_are_each_measured_against_what_is_in_use_by_then() {
    let mut slot = Slot::steady();
    assert_eq!(slot.drifts("1=x 2=b 3=c"), ["adapt x,b,c"]);
    assert_eq!(slot.drifts("1=x 2=y 3=c"), ["adapt x,y,c"]);
    assert_eq!(slot.drifts(NEW), ["adapt x,y,z"]);
    assert_eq!(slot.respawn.tokens(slot.now), 3);
}

#[test]
fn a_newer_view_while_preparing_wins_and_costs_no_second_token() {
    let mut slot = Slot::steady();
    slot.drifts(NEW);
    assert_eq!(slot.drifts(NEW), [""; 0]);
    assert_eq!(slot.drifts(NEWER), ["discard 2", "prepare 3 drift p,q,r"]);
    assert_eq!(slot.prepared(2), [""; 0]);
    slot.succeeds(3);
    slot.uses(3, NEWER);
    assert_eq!(slot.respawn.tokens(slot.now), 2);
}

#[test]
fn a_cluster_that_returns_while_the_successor_is_prepared_costs_nothing() {
    let mut slot = Slot::steady();
    slot.drifts(NEW);
    assert_eq!(slot.drifts(OLD), ["discard 2"]);
    slot.uses(1, OLD);
    assert_eq!((slot.respawn.tokens(slot.now), slot.respawn.next_deadline()), (3, None));
}

#[test]
fn a_cluster_that_almost_returns_is_taken_in_place() {
    let mut slot = Slot::steady();
    slot.drifts(NEW);
    assert_eq!(slot.drifts(ONE_MOVED), ["discard 2", "adapt x,b,c"]);
    slot.uses(1, ONE_MOVED);
}

#[test]
fn a_newer_view_during_the_handover_is_looked_at_after_it() {
    let mut slot = Slot::steady();
    slot.drifts(NEW);
    slot.prepared(2);
    assert_eq!(slot.drifts(NEWER), [""; 0]);
    assert_eq!(slot.promoted(2), ["prepare 3 drift p,q,r"]);
    assert_eq!(slot.prepared(3), ["promote 3"]);
    assert_eq!(slot.promoted(3), ["report 2 drift"]);
    slot.uses(3, NEWER);
    assert_eq!(slot.respawn.tokens(slot.now), 1);
}

#[test]
fn a_view_that_came_and_went_during_the_handover_is_nothing() {
    let mut slot = Slot::steady();
    slot.drifts(NEW);
    slot.prepared(2);
    slot.drifts(NEWER);
    slot.drifts(NEW);
    assert_eq!(slot.promoted(2), [""; 0]);
    slot.uses(2, NEW);
}

#[test]
fn when_nothing_verifies_the_old_one_stays_and_it_is_tried_again_with_growing_pauses() {
    let mut slot = Slot::steady();
    slot.drifts(NEW);
    assert_eq!(slot.fails(2), ["discard 2", "degraded until 60.050s"]);
    assert!(slot.respawn.is_degraded());
    slot.uses(1, OLD);
    assert_eq!(slot.elapses(), ["prepare 3 drift x,y,z"]);
    assert_eq!(slot.fails(3), ["discard 3", "degraded until 60.150s"]);
    assert_eq!(slot.drifts(NEW), [""; 0]);
    assert_eq!(slot.elapses(), ["prepare 4 drift x,y,z"]);
    assert_eq!(slot.respawn.tokens(slot.now), 3);
    slot.succeeds(4);
    slot.uses(4, NEW);
    assert_eq!(slot.respawn.tokens(slot.now), 2);
}

#[test]
fn a_degraded_one_acts_on_a_newer_view_at_once() {
    let mut slot = Slot::steady();
    slot.drifts(NEW);
    slot.fails(2);
    assert_eq!(slot.drifts(NEWER), ["prepare 3 drift p,q,r"]);
    slot.fails(3);
    assert_eq!(slot.drifts(OLD), [""; 0]);
    assert!(!slot.respawn.is_degraded());
}

#[test]
fn a_successor_that_is_never_ready_is_given_up_in_time() {
    let mut slot = Slot::steady();
    slot.drifts(NEW);
    assert_eq!(slot.elapses(), ["discard 2", "degraded until 70.050s"]);
}

#[test]
fn a_handover_that_never_ends_leaves_the_old_one_in_place() {
    let mut slot = Slot::steady();
    slot.drifts(NEW);
    slot.prepared(2);
    assert_eq!(slot.elapses(), ["discard 2", "degraded until 65.050s"]);
    slot.uses(1, OLD);
}

#[test]
fn a_first_record_that_never_comes_is_not_awaited_for_ever() {
    let mut slot = Slot::steady();
    slot.drifts(NEW);
    slot.prepared(2);
    slot.promoted(2);
    assert_eq!(slot.elapses(), ["report 2 drift"]);
    let unseen = |action: &Action<i32>| matches!(action, Action::Report(report) if report.phases.first_record.is_none());
    assert!(slot.actions.iter().all(unseen));
    assert_eq!((slot.fetches(2), slot.respawn.next_deadline()), (vec![], None));
}

#[test]
fn a_successor_that_crashes_is_discarded_and_made_again() {
    let mut slot = Slot::steady();
    slot.drifts(NEW);
    assert_eq!(slot.crashes(2), ["discard 2", "degraded until 60.050s"]);
    slot.elapses();
    slot.prepared(3);
    assert_eq!(slot.crashes(3), ["discard 3", "degraded until 60.150s"]);
    slot.uses(1, OLD);
}

#[test]
fn a_crash_is_answered_at_once_and_outside_the_budget() {
    let mut slot = Slot::steady();
    slot.drifts(ONE_MOVED);
    assert_eq!(slot.crashes(1), ["prepare 2 crash x,b,c"]);
    assert_eq!(slot.respawn.active(), None);
    slot.succeeds(2);
    assert_eq!(slot.respawn.tokens(slot.now), 3);
}

#[test]
fn a_consumer_that_keeps_crashing_is_made_anew_after_growing_pauses_until_it_lives() {
    let mut slot = Slot::steady();
    slot.crashes(1);
    slot.succeeds(2);
    assert_eq!(slot.crashes(2), ["degraded until 60.050s"]);
    assert_eq!(slot.elapses(), ["prepare 3 crash a,b,c"]);
    slot.succeeds(3);
    assert_eq!(slot.crashes(3), ["degraded until 60.150s"]);
    slot.elapses();
    slot.succeeds(4);
    slot.after(60_000);
    assert_eq!(slot.crashes(4), ["prepare 5 crash a,b,c"]);
}

#[test]
fn when_the_old_one_crashes_too_the_successor_is_already_on_its_way() {
    let mut slot = Slot::steady();
    slot.drifts(NEW);
    assert_eq!(slot.crashes(1), [""; 0]);
    slot.succeeds(2);
    slot.uses(2, NEW);
    assert_eq!(slot.respawn.tokens(slot.now), 3);
}

#[test]
fn when_the_old_one_crashes_while_nothing_verifies_it_is_tried_again_at_once() {
    let mut slot = Slot::steady();
    slot.drifts(NEW);
    (2..9).for_each(|incarnation| {
        slot.fails(incarnation);
        slot.elapses();
    });
    slot.fails(9);
    let before = slot.now;
    slot.crashes(1);
    assert_eq!(slot.elapses(), ["prepare 10 crash x,y,z"]);
    assert_eq!(slot.now, before);
}

#[test]
fn the_predecessor_that_ends_during_the_handover_was_not_replaced() {
    let mut slot = Slot::steady();
    slot.drifts(NEW);
    slot.prepared(2);
    slot.crashes(1);
    slot.promoted(2);
    slot.fetches(2);
    let alone = |action: &Action<i32>| matches!(action, Action::Report(report) if report.replaced.is_none());
    assert!(slot.actions.len() == 1 && slot.actions.iter().all(alone));
}

#[test]
fn what_late_incarnations_say_changes_nothing() {
    let mut slot = Slot::steady();
    slot.drifts(NEW);
    slot.drifts(NEWER);
    for late in [1, 2, 7] {
        assert_eq!((slot.prepared(late), slot.promoted(late), slot.fails(late)), (vec![], vec![], vec![]));
    }
    assert_eq!((slot.crashes(2), slot.fetches(2)), (vec![], vec![]));
    slot.succeeds(3);
    assert_eq!(slot.crashes(1), [""; 0]);
    slot.uses(3, NEWER);
}

#[test]
fn new_credentials_replace_the_consumer_outside_the_budget() {
    let mut slot = Slot::steady();
    assert_eq!(slot.tell(Event::CredentialsChanged), ["prepare 2 credentials a,b,c"]);
    slot.uses(1, OLD);
    slot.succeeds(2);
    assert_eq!(slot.respawn.tokens(slot.now), 3);
}

#[test]
fn new_credentials_while_preparing_begin_it_anew() {
    let mut slot = Slot::steady();
    slot.drifts(NEW);
    assert_eq!(slot.tell(Event::CredentialsChanged), ["discard 2", "prepare 3 credentials x,y,z"]);
    slot.succeeds(3);
    slot.uses(3, NEW);
}

#[test]
fn new_credentials_during_the_handover_replace_its_outcome() {
    let mut slot = Slot::steady();
    slot.drifts(NEW);
    slot.prepared(2);
    assert_eq!(slot.tell(Event::CredentialsChanged), [""; 0]);
    assert_eq!(slot.promoted(2), ["prepare 3 credentials x,y,z"]);
}

#[test]
fn new_credentials_are_tried_at_once_by_one_that_is_degraded() {
    let mut slot = Slot::new();
    slot.drifts(OLD);
    slot.fails(1);
    assert_eq!(slot.tell(Event::CredentialsChanged), ["prepare 2 start a,b,c"]);
}

#[test]
fn bad_credentials_do_not_keep_the_old_consumer_from_adapting() {
    let mut slot = Slot::steady();
    slot.tell(Event::CredentialsChanged);
    slot.fails(2);
    assert_eq!(slot.drifts(ONE_MOVED), ["adapt x,b,c", "prepare 3 credentials x,b,c"]);
    slot.uses(1, ONE_MOVED);
}

#[test]
fn the_fourth_drift_within_the_window_is_taken_in_place_and_said_so() {
    let mut slot = Slot::steady();
    let moves = [NEW, OLD, NEW];
    for (incarnation, endpoints) in (2..).zip(moves) {
        slot.drifts(endpoints);
        slot.succeeds(incarnation);
        slot.after(1_000);
    }
    assert_eq!(slot.drifts(OLD), ["out of budget", "adapt for want of budget a,b,c"]);
    slot.uses(4, OLD);
    slot.after(600_000);
    assert_eq!(slot.drifts(NEW), ["prepare 5 drift x,y,z"]);
}

#[test]
fn a_budget_of_zero_always_adapts_in_place() {
    let budget = Budget::new(0, Duration::from_secs(1));
    let mut slot = Slot { respawn: Respawn::new(Settings::default(), budget), ..Slot::new() };
    slot.drifts(OLD);
    slot.succeeds(1);
    assert_eq!(slot.drifts(NEW), ["out of budget", "adapt for want of budget x,y,z"]);
}
