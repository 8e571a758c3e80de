//! Two incarnations at once: the successor is made ready first, then takes everything in one step.

use std::sync::{Arc, Mutex, mpsc};

use actix::{Actor, Arbiter, ArbiterHandle, Context, Handler, Message};
use steadfast_supervision::{
    CandidateExists, ChildSpec, Incarnation, PromoteError, Refusal, Replaceable, ReplaceableEvent,
    ReplaceableSpec, Role, Route,
};
use tokio::time::Instant;

use crate::fixture::{
    Count, Faults, Fragile, Log, OBSTINATE, Order, Routes, SECOND, Scene, here, paused, prompt, threaded,
    turns,
};

/// A slot, what it says, and its routes.
struct Stage {
    slot: Replaceable<Fragile>,
    routes: Routes,
    log: Log,
}

impl Stage {
    fn new() -> Self {
        let (slots, routes) = Routes::channel();
        let log = Log::default();
        let to_log = log.clone();
        let spec = ReplaceableSpec::new("slot").publish(slots.0).publish(slots.1).start_within(4 * SECOND);
        let slot = spec.start(&here(), move |event| to_log.add(line(event)));
        Self { slot, routes, log }
    }

    fn prepare_on(&mut self, arbiter: &ArbiterHandle, faults: Faults) -> Incarnation {
        let log = self.log.clone();
        let make = move |_: &mut Context<Fragile>, incarnation: Incarnation| {
            Fragile::made(["", "one", "two", "three"][incarnation.number() as usize], faults, &log)
        };
        self.slot.prepare(arbiter, make).unwrap()
    }

    async fn prepare(&mut self, faults: Faults) -> Incarnation {
        let incarnation = self.prepare_on(&here(), faults);
        self.heard(&format!("{incarnation} up")).await;
        incarnation
    }

    /// With an active incarnation "one" that has these faults.
    async fn active(faults: Faults) -> Self {
        let mut stage = Self::new();
        stage.prepare(faults).await;
        stage.slot.promote(SECOND).unwrap();
        stage
    }

    async fn heard(&self, line: &str) {
        let heard = async {
            while !self.log.contains(line) {
                tokio::time::sleep(SECOND / 1000).await;
            }
        };
        tokio::time::timeout(60 * SECOND, heard).await.unwrap();
    }
}

fn line(event: &ReplaceableEvent) -> String {
    match event {
        ReplaceableEvent::Up { incarnation } => format!("{incarnation} up"),
        ReplaceableEvent::Exited { role, report } => {
            format!("{role:?} {} {}", report.incarnation, report.reason)
        }
    }
}

#[test]
fn no_route_leads_to_a_candidate_before_it_is_promoted() {
    paused(async {
        let mut stage = Stage::active(Faults::default()).await;
        stage.prepare(Faults::default()).await;
        tokio::time::sleep(3600 * SECOND).await;
        stage.routes.count().await;
        assert!(stage.log.contains("one counted"));
        assert_eq!(stage.slot.active().map(Incarnation::number), Some(1));
        assert_eq!(stage.slot.candidate().map(Incarnation::number), Some(2));
    });
}

#[test]
fn promotion_leads_all_routes_to_the_candidate_at_once_and_stops_the_old_one() {
    paused(async {
        let mut stage = Stage::active(Faults::default()).await;
        let candidate = stage.prepare(Faults::default()).await;
        assert_eq!(stage.slot.promote(SECOND), Ok(candidate));
        stage.routes.count.send(Count).unwrap();
        stage.routes.order.send(Order::Panic).unwrap();
        stage.heard("Active 2 panicked: handler").await;
        assert!(stage.log.contains("two counted"), "both routes led to the new one");
        assert!(stage.log.contains("Retiring 1 stopped"));
        assert!(!stage.log.contains("one counted"));
    });
}

#[test]
fn what_the_old_one_was_sent_before_the_promotion_it_handles() {
    paused(async {
        let mut stage = Stage::active(Faults::default()).await;
        stage.prepare(Faults::default()).await;
        stage.routes.count.send(Count).unwrap();
        stage.slot.promote(SECOND).unwrap();
        stage.heard("Retiring 1 stopped").await;
        assert!(stage.log.contains("one counted"));
    });
}

#[test]
fn an_old_one_that_does_not_stop_is_abandoned_at_its_limit() {
    paused(async {
        let mut stage = Stage::active(OBSTINATE).await;
        stage.prepare(Faults::default()).await;
        let promoted = Instant::now();
        stage.slot.promote(3 * SECOND).unwrap();
        assert_eq!(stage.routes.count().await, 0);
        tokio::time::sleep_until(promoted + 3 * SECOND - SECOND / 1000).await;
        assert!(!stage.log.contains("Retiring 1"));
        tokio::time::sleep(SECOND / 500).await;
        assert!(stage.log.contains("Retiring 1 abandoned"));
        assert_eq!(stage.routes.count().await, 1);
    });
}

#[test]
fn a_discarded_candidate_changes_nothing() {
    paused(async {
        let mut stage = Stage::active(Faults::default()).await;
        let candidate = stage.prepare(Faults::default()).await;
        assert_eq!(stage.slot.discard(SECOND), Some(candidate));
        assert_eq!(stage.slot.discard(SECOND), None);
        assert_eq!(stage.slot.promote(SECOND), Err(PromoteError::NoCandidate));
        stage.heard("Retiring 2 stopped").await;
        stage.routes.count().await;
        assert!(stage.log.contains("one counted"));
    });
}

#[test]
fn a_candidate_that_is_discarded_just_as_it_comes_up_is_no_candidate_any_more() {
    threaded(async {
        let mut stage = Stage::active(Faults::default()).await;
        let arbiter = Arbiter::new();
        stage.prepare_on(&arbiter.handle(), OBSTINATE);
        // It is up after a few turns of its thread; this thread has not heard of that before it discards it.
        turns(&arbiter);
        stage.slot.discard(SECOND / 50).unwrap();
        stage.heard("Retiring 2 abandoned").await;
        assert!(!stage.log.contains("2 up"));
        arbiter.stop();
        arbiter.join().unwrap();
    });
}

#[test]
fn a_candidate_that_crashes_is_reported_as_such_and_the_active_one_goes_on() {
    paused(async {
        for (faults, message) in [
            (Faults { make: true, ..Faults::default() }, "make"),
            (Faults { started: true, ..Faults::default() }, "started"),
        ] {
            let mut stage = Stage::active(Faults::default()).await;
            stage.prepare_on(&here(), faults);
            stage.heard(&format!("Candidate 2 panicked: {message}")).await;
            assert_eq!(stage.slot.promote(SECOND), Err(PromoteError::NoCandidate));
            assert_eq!(stage.routes.count().await, 0);
            let next = stage.prepare(Faults::default()).await;
            assert_eq!(stage.slot.promote(SECOND), Ok(next));
        }
    });
}

#[test]
fn an_active_one_that_crashes_is_reported_as_such_and_not_begun_anew() {
    paused(async {
        let mut stage = Stage::active(Faults::default()).await;
        stage.routes.crash(Order::Panic).await;
        stage.heard("Active 1 panicked: handler").await;
        tokio::time::sleep(3600 * SECOND).await;
        assert_eq!(stage.routes.count.send(Count).unwrap_err().reason, Refusal::Down);
        assert_eq!(stage.slot.active(), None);
        let next = stage.prepare(Faults::default()).await;
        assert_eq!(stage.slot.promote(SECOND), Ok(next));
        assert_eq!(stage.routes.count().await, 0);
    });
}

#[test]
fn a_candidate_that_is_not_up_cannot_be_promoted() {
    paused(async {
        let mut stage = Stage::active(Faults::default()).await;
        let candidate = stage.prepare_on(&here(), Faults::default());
        assert_eq!(stage.slot.promote(SECOND), Err(PromoteError::NotUp(candidate)));
        stage.routes.count().await;
        assert!(stage.log.contains("one counted"));
    });
}

#[test]
fn there_is_one_candidate_at_a_time() {
    paused(async {
        let mut stage = Stage::new();
        let first = stage.prepare(Faults::default()).await;
        let log = stage.log.clone();
        let refused = stage.slot.prepare(&here(), move |_, _| Fragile::made("two", Faults::default(), &log));
        assert_eq!(refused, Err(CandidateExists(first)));
    });
}

#[test]
fn a_candidate_on_a_dead_arbiter_is_reported_and_does_not_hang() {
    threaded(async {
        let mut stage = Stage::active(Faults::default()).await;
        let arbiter = Arbiter::new();
        let handle = arbiter.handle();
        arbiter.stop();
        arbiter.join().unwrap();
        stage.prepare_on(&handle, Faults::default());
        stage.heard("Candidate 2 its arbiter is gone").await;
        assert_eq!(stage.routes.count().await, 0);
    });
}

#[test]
fn the_death_of_the_active_ones_arbiter_is_reported_and_a_successor_lives_elsewhere() {
    threaded(async {
        let mut stage = Stage::new();
        let arbiter = Arbiter::new();
        stage.prepare_on(&arbiter.handle(), Faults::default());
        stage.heard("1 up").await;
        stage.slot.promote(SECOND).unwrap();
        arbiter.stop();
        arbiter.join().unwrap();
        stage.heard("Active 1 its arbiter is gone").await;
        stage.prepare(Faults::default()).await;
        stage.slot.promote(SECOND).unwrap();
        assert_eq!(stage.routes.count().await, 0);
    });
}

/// Blocks its thread in `started`.
struct Stalled(mpsc::Receiver<()>);

impl Actor for Stalled {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        self.0.recv().ok();
    }
}

#[test]
fn a_candidate_that_does_not_come_up_is_abandoned_at_its_limit() {
    threaded(async {
        let (log, arbiter) = (Log::default(), Arbiter::new());
        let to_log = log.clone();
        let spec = ReplaceableSpec::new("slot").start_within(SECOND / 50);
        let mut slot = spec.start(&here(), move |event| to_log.add(line(event)));
        let (let_go, stalled) = mpsc::channel();
        slot.prepare(&arbiter.handle(), move |_: &mut Context<Stalled>, _| Stalled(stalled)).unwrap();
        while !log.contains("Candidate 1 abandoned") {
            tokio::task::yield_now().await;
        }
        assert_eq!(slot.candidate(), None);
        drop(let_go);
        arbiter.stop();
        arbiter.join().unwrap();
        assert_eq!(log.take().len(), 1, "its late life is no news");
    });
}

#[test]
fn a_candidate_that_is_abandoned_while_it_is_made_is_never_started() {
    threaded(async {
        let (log, arbiter) = (Log::default(), Arbiter::new());
        let (to_log, to_actor) = (log.clone(), log.clone());
        let spec = ReplaceableSpec::new("slot").start_within(SECOND / 50);
        let mut slot = spec.start(&here(), move |event| to_log.add(line(event)));
        let (let_go, stalled) = mpsc::channel::<()>();
        let make = move |_: &mut Context<Fragile>, _: Incarnation| {
            stalled.recv().ok();
            Fragile::made("late", Faults::default(), &to_actor)
        };
        slot.prepare(&arbiter.handle(), make).unwrap();
        while !log.contains("Candidate 1 abandoned") {
            tokio::task::yield_now().await;
        }
        drop(let_go);
        arbiter.stop();
        arbiter.join().unwrap();
        assert_eq!(log.take().len(), 1, "neither started() nor stopped() ran");
    });
}

#[test]
fn a_slot_that_is_stopped_waits_for_everyone_up_to_the_limit() {
    paused(async {
        let mut stage = Stage::active(OBSTINATE).await;
        stage.prepare(Faults::default()).await;
        let asked = Instant::now();
        stage.slot.stop(2 * SECOND).await;
        assert_eq!(asked.elapsed(), 2 * SECOND);
        assert!(stage.log.contains("Retiring 1 abandoned") && stage.log.contains("Retiring 2 stopped"));
        assert_eq!((stage.slot.active(), stage.slot.candidate()), (None, None));
        assert_eq!(stage.routes.count.send(Count).unwrap_err().reason, Refusal::Down);
        stage.slot.stop(2 * SECOND).await;
        assert_eq!(asked.elapsed(), 2 * SECOND, "nobody is left to wait for");
    });
}

#[test]
fn a_slot_that_is_dropped_ends_both_and_retires_its_routes() {
    paused(async {
        let mut stage = Stage::active(OBSTINATE).await;
        stage.prepare(OBSTINATE).await;
        let Stage { slot, routes, log } = stage;
        let living = routes.count.clone();
        drop(slot);
        assert_eq!(living.send(Count).unwrap_err().reason, Refusal::Retired);
        log.take();
        tokio::time::sleep(SECOND).await;
        assert_eq!(log.take(), Vec::<String>::new(), "no event after the drop");
    });
}

/// An owner that replaces its charge whenever it is told to, and replaces it at once when it has crashed.
struct Owner {
    slot: Replaceable<Fragile>,
    log: Log,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Replace;

#[derive(Message)]
#[rtype(result = "()")]
struct Happened(ReplaceableEvent);

impl Actor for Owner {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.handle(Replace, context);
    }
}

impl Handler<Replace> for Owner {
    type Result = ();

    fn handle(&mut self, _: Replace, _: &mut Context<Self>) {
        let log = self.log.clone();
        self.slot.prepare(&here(), move |_, _| Fragile::made("charge", Faults::default(), &log)).unwrap();
    }
}

impl Handler<Happened> for Owner {
    type Result = ();

    fn handle(&mut self, Happened(event): Happened, context: &mut Context<Self>) {
        self.log.add(line(&event));
        match event {
            ReplaceableEvent::Up { .. } => drop(self.slot.promote(SECOND)),
            ReplaceableEvent::Exited { role: Role::Active, .. } => self.handle(Replace, context),
            ReplaceableEvent::Exited { .. } => {}
        }
    }
}

#[test]
fn an_actor_owns_a_slot_without_ever_waiting_and_its_routes_survive_its_own_crash() {
    paused(async {
        let scene = Scene::here();
        let (slots, routes) = Routes::channel();
        let (to_owner, owner) = Route::<Replace>::channel();
        let log = scene.log.clone();
        let spec = ChildSpec::new("owner", here(), move |context: &mut Context<Owner>, _| {
            let me = actix::AsyncContext::address(context);
            let spec = ReplaceableSpec::new("charge").publish(slots.0.clone()).publish(slots.1.clone());
            let slot = spec.start(&here(), move |event| me.do_send(Happened(event.clone())));
            Owner { slot, log: log.clone() }
        });
        scene.supervisor.start_child(spec.publish(to_owner).intensity(prompt(5))).await.unwrap();

        assert_eq!((routes.count().await, routes.count().await), (0, 1));
        owner.call(Replace, SECOND).await.unwrap();
        tokio::time::sleep(SECOND).await;
        assert_eq!(routes.count().await, 0, "replaced");
        routes.crash(Order::Panic).await;
        assert_eq!(routes.count().await, 0, "replaced after its crash");
        owner.send(Replace).unwrap();
        owner.send(Replace).unwrap(); // before the first candidate is up: this owner's crash
        tokio::time::sleep(SECOND).await;
        assert_eq!(routes.count().await, 0, "begun anew with its owner, under the same routes");
        assert_eq!(scene.exits().len(), 1);
    });
}

#[test]
fn promotions_race_with_crashes_on_another_thread_without_losing_the_routes() {
    threaded(async {
        let arbiter = Arbiter::new();
        for _ in 0..50 {
            let mut stage = Stage::active(Faults::default()).await;
            let kept = Arc::new(Mutex::new(None));
            let (keep, log) = (Arc::clone(&kept), stage.log.clone());
            let make = move |context: &mut Context<Fragile>, _: Incarnation| {
                *keep.lock().unwrap() = Some(actix::AsyncContext::address(context));
                Fragile::made("two", Faults::default(), &log)
            };
            stage.slot.prepare(&arbiter.handle(), make).unwrap();
            stage.heard("2 up").await;
            let candidate = kept.lock().unwrap().take().unwrap();
            candidate.do_send(Order::Panic);
            let promoted = stage.slot.promote(SECOND);
            stage.heard("2 panicked: handler").await;
            match promoted {
                Ok(_) => assert!(stage.log.contains("Active 2 panicked")),
                Err(PromoteError::Gone(_) | PromoteError::NoCandidate) => {
                    assert!(stage.log.contains("Candidate 2 panicked"));
                    assert_eq!(stage.routes.count().await, 0);
                }
                Err(error) => panic!("{error}"),
            }
        }
        arbiter.stop();
        arbiter.join().unwrap();
    });
}
