//! Arbiters that die or stall under children and supervisors. Real threads, real time: nothing here depends
//! on how fast they are.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use actix::{Actor, Arbiter, Context, Handler, Message};
use steadfast_supervision::{ChildSpec, EndReason, ExitReason, OnExhausted, Refusal, Route, StartError};

use crate::fixture::{Count, Faults, Log, Order, SECOND, Scene, child, here, prompt, threaded, turns};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(20);

async fn gone(arbiter: Arbiter) {
    arbiter.stop();
    arbiter.join().unwrap();
}

#[test]
fn the_death_of_a_childs_arbiter_is_reported_and_the_child_given_up() {
    threaded(async {
        let scene = Scene::here();
        let arbiter = Arbiter::new();
        let (spec, routes) = child("child", &scene.log, arbiter.handle(), |_| Faults::default());
        scene.supervisor.start_child(spec.on_exhausted(OnExhausted::GiveUp)).await.unwrap();
        gone(arbiter).await;
        assert!(routes.count.wait_up(LONG).await.is_err());
        assert_eq!(routes.count.send(Count).unwrap_err().reason, Refusal::Retired);
        assert_eq!(scene.exits()[0].reason, ExitReason::ArbiterGone);
        let log = scene.log.take();
        assert!(log.contains(&"child stopped".to_owned()), "stopped() still runs: {log:?}");
        assert!(!log.iter().any(|line| line.contains("child 2")), "a restart would be futile: {log:?}");
    });
}

#[test]
fn the_death_of_a_childs_arbiter_escalates_where_the_child_must_live() {
    threaded(async {
        let scene = Scene::here();
        let arbiter = Arbiter::new();
        let (spec, _routes) = child("child", &scene.log, arbiter.handle(), |_| Faults::default());
        scene.supervisor.start_child(spec).await.unwrap();
        gone(arbiter).await;
        let ended = scene.supervisor.ended().await;
        let EndReason::Escalated { cause } = ended.reason else { panic!("{ended:?}") };
        assert_eq!(cause.reason, ExitReason::ArbiterGone);
    });
}

#[test]
fn starting_a_child_on_a_dead_arbiter_is_an_error() {
    threaded(async {
        let scene = Scene::here();
        let arbiter = Arbiter::new();
        let handle = arbiter.handle();
        gone(arbiter).await;
        let (spec, _routes) = child("child", &scene.log, handle, |_| Faults::default());
        let refused = scene.supervisor.start_child(spec.start_within(LONG)).await;
        let Err(StartError::NotUp(last)) = refused else { panic!("{refused:?}") };
        assert_eq!(last.reason, ExitReason::ArbiterGone);
    });
}

#[test]
fn panics_on_the_way_out_of_a_dying_arbiter_abort_nothing() {
    threaded(async {
        let scene = Scene::here();
        let arbiter = Arbiter::new();
        let faults = Faults { stopped: true, dropped: true, ..Faults::default() };
        let (spec, _routes) = child("child", &scene.log, arbiter.handle(), move |_| faults);
        scene.supervisor.start_child(spec).await.unwrap();
        gone(arbiter).await;
        scene.supervisor.ended().await;
        assert_eq!(scene.exits()[0].reason, ExitReason::ArbiterGone);
    });
}

/// Blocks its thread until it is let go.
struct Stalling(Arc<Mutex<mpsc::Receiver<()>>>, Log);

#[derive(Message)]
#[rtype(result = "()")]
struct Stall;

impl Actor for Stalling {
    type Context = Context<Self>;
}

impl Handler<Stall> for Stalling {
    type Result = ();

    fn handle(&mut self, _: Stall, _: &mut Context<Self>) {
        self.1.add("stalled");
        self.0.lock().unwrap().recv().ok();
    }
}

#[test]
fn a_child_whose_arbiter_is_stalled_is_abandoned_and_never_takes_a_route_back() {
    threaded(async {
        let scene = Scene::here();
        let arbiter = Arbiter::new();
        let (let_go, stall) = mpsc::channel();
        let stall = Arc::new(Mutex::new(stall));
        let (slot, route) = Route::channel();
        let log = scene.log.clone();
        let spec = ChildSpec::new("stalling", arbiter.handle(), move |_: &mut Context<Stalling>, _| {
            Stalling(Arc::clone(&stall), log.clone())
        });
        scene.supervisor.start_child(spec.publish(slot.clone()).shutdown(SHORT)).await.unwrap();
        route.send(Stall).unwrap();
        while !scene.log.contains("stalled") {
            tokio::task::yield_now().await;
        }

        // A child that is to start on the stalled arbiter is refused, and one that is to stop abandoned.
        let made = scene.log.clone();
        let (late, late_routes) = child("late", &scene.log, arbiter.handle(), move |_| {
            made.add("late made");
            Faults::default()
        });
        let refused = scene.supervisor.start_child(late.start_within(SHORT)).await;
        let Err(StartError::NotUp(last)) = refused else { panic!("{refused:?}") };
        assert_eq!(last.reason, ExitReason::Abandoned);
        assert_eq!(scene.supervisor.stop_child("stalling").await.unwrap().reason, ExitReason::Abandoned);
        assert_eq!(route.send(Stall).unwrap_err().reason, Refusal::Down);

        drop(let_go);
        turns(&arbiter);
        gone(arbiter).await;
        assert!(!route.is_up() && !late_routes.count.is_up());
        assert!(!scene.log.take().iter().any(|line| line.starts_with("late")), "it was never made");
    });
}

#[test]
fn an_incarnation_that_was_abandoned_in_its_start_ends_unheard_and_a_later_one_comes_up() {
    threaded(async {
        let scene = Scene::here();
        let arbiter = Arbiter::new();
        let (let_go, stall) = mpsc::channel::<()>();
        let log = scene.log.clone();
        let (spec, routes) = child("child", &scene.log, arbiter.handle(), move |incarnation| {
            log.add(format!("made {incarnation}"));
            if incarnation.number() == 2 {
                stall.recv().ok();
            }
            Faults::default()
        });
        let intensity = prompt(1_000_000);
        scene.supervisor.start_child(spec.start_within(LONG / 1000).intensity(intensity)).await.unwrap();
        routes.crash(Order::Panic).await;
        while !scene.log.contains("child 3 abandoned") {
            tokio::task::yield_now().await;
        }
        drop(let_go);
        assert_eq!(routes.count().await, 0);
        assert!(scene.log.contains("made 2") && !scene.log.contains("made 3"), "3 was abandoned before");
        gone(arbiter).await;
        scene.supervisor.ended().await;
        let exits: Vec<_> = scene.exits().iter().map(|exit| exit.incarnation.number()).collect();
        assert!(exits.iter().copied().eq(1..=exits.len() as u64), "one exit each: {exits:?}");
    });
}

#[test]
fn the_death_of_a_supervisors_own_arbiter_is_told_and_its_children_end() {
    threaded(async {
        let arbiter = Arbiter::new();
        let scene = Scene::on(&arbiter.handle());
        let (spec, routes) = child("child", &scene.log, here(), |_| Faults::default());
        scene.supervisor.start_child(spec).await.unwrap();
        gone(arbiter).await;
        assert_eq!(scene.supervisor.ended().await.reason, EndReason::ArbiterGone);
        assert!(routes.count.wait_up(SECOND).await.is_err());
        while !scene.log.take().contains(&"child stopped".to_owned()) {
            tokio::task::yield_now().await;
        }
        let (spec, _routes) = child("late", &scene.log, here(), |_| Faults::default());
        assert!(matches!(scene.supervisor.start_child(spec).await, Err(StartError::Ending { .. })));
    });
}

#[test]
fn a_branch_on_an_arbiter_of_its_own_dies_with_it_and_its_parent_hears() {
    threaded(async {
        let scene = Scene::here();
        let arbiter = Arbiter::new();
        let (on, log) = (arbiter.handle(), scene.log.clone());
        let spec = ChildSpec::supervisor("branch", arbiter.handle(), move |_, _| {
            vec![child("leaf", &log, on.clone(), |_| Faults::default()).0.into()]
        });
        scene.supervisor.start_child(spec).await.unwrap();
        gone(arbiter).await;
        let ended = scene.supervisor.ended().await;
        let EndReason::Escalated { cause } = ended.reason else { panic!("{ended:?}") };
        assert_eq!((&*cause.child, &cause.reason), ("branch", &ExitReason::ArbiterGone));
    });
}
