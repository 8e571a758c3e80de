//! Stops: in reverse order, each child within its own limit, nobody waited for beyond it.

use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Running};
use steadfast_supervision::{ChildSpec, EndReason, ExitReason, Refusal, StartError, StopError};
use tokio::time::Instant;

use crate::fixture::{Count, Faults, OBSTINATE, Order, SECOND, Scene, here, paused, prompt};

#[test]
fn children_stop_in_reverse_order_of_their_start() {
    paused(async {
        let scene = Scene::here();
        for name in ["first", "second", "third"] {
            scene.sound(name).await;
        }
        scene.log.take();
        let ended = scene.supervisor.shut_down().await;
        assert_eq!(ended.reason, EndReason::ShutDown);
        let expected = [
            "third stopped",
            "root: third 1 stopped",
            "second stopped",
            "root: second 1 stopped",
            "first stopped",
            "root: first 1 stopped",
            "root: ended: shut down",
        ];
        assert_eq!(scene.log.take(), expected);
    });
}

#[test]
fn a_child_that_refuses_to_stop_is_abandoned_at_its_own_limit_and_the_others_still_stop() {
    paused(async {
        let scene = Scene::here();
        scene.sound("first").await;
        let (spec, routes) = scene.child("obstinate", |_| OBSTINATE);
        scene.supervisor.start_child(spec.shutdown(3 * SECOND)).await.unwrap();
        scene.sound("third").await;
        let asked = Instant::now();
        let ended = scene.supervisor.shut_down().await;
        assert_eq!(asked.elapsed(), 3 * SECOND);
        let exits: Vec<_> = ended.exits.iter().map(|exit| (&*exit.child, exit.reason.clone())).collect();
        let expected = [
            ("third", ExitReason::Stopped),
            ("obstinate", ExitReason::Abandoned),
            ("first", ExitReason::Stopped),
        ];
        assert_eq!(exits, expected);
        assert_eq!(routes.count.send(Count).unwrap_err().reason, Refusal::Retired);
    });
}

/// Needs two seconds to stop.
struct Thorough(bool);

impl Actor for Thorough {
    type Context = Context<Self>;

    fn stopping(&mut self, context: &mut Context<Self>) -> Running {
        if std::mem::replace(&mut self.0, true) {
            return Running::Stop;
        }
        context.run_later(2 * SECOND, |_, context| context.stop());
        Running::Continue
    }
}

#[test]
fn a_child_that_was_told_to_stop_may_finish_its_work_within_the_limit() {
    paused(async {
        let scene = Scene::here();
        let spec = ChildSpec::new("thorough", here(), |_: &mut Context<Thorough>, _| Thorough(false));
        scene.supervisor.start_child(spec.shutdown(3 * SECOND)).await.unwrap();
        let report = scene.supervisor.stop_child("thorough").await.unwrap();
        assert_eq!((report.reason, report.lived_for), (ExitReason::Stopped, 2 * SECOND));
    });
}

#[test]
fn what_was_sent_before_the_stop_is_handled_and_what_comes_after_goes_back() {
    paused(async {
        let scene = Scene::here();
        let (spec, routes) = scene.child("obstinate", |_| OBSTINATE);
        scene.supervisor.start_child(spec).await.unwrap();
        scene.log.take();
        let _stopping = scene.supervisor.stop_child("obstinate");
        routes.count.send(Count).unwrap();
        routes.count.send(Count).unwrap();
        tokio::time::sleep(SECOND).await;
        assert_eq!(scene.log.take(), ["obstinate counted", "obstinate counted"]);
        assert_eq!(routes.count.send(Count).unwrap_err().reason, Refusal::Down);
    });
}

#[test]
fn an_abandoned_child_ends_by_force_where_its_thread_still_runs() {
    paused(async {
        let scene = Scene::here();
        let (spec, routes) = scene.child("child", |_| OBSTINATE);
        scene.supervisor.start_child(spec).await.unwrap();
        let report = scene.supervisor.stop_child("child").await.unwrap();
        assert_eq!((report.reason, report.lived_for), (ExitReason::Abandoned, 5 * SECOND));
        assert!(!routes.count.is_up());
        tokio::task::yield_now().await;
        assert_eq!(scene.exits().len(), 1, "its late end is no second exit");
    });
}

#[test]
fn a_stopped_child_is_removed_and_its_exit_returned() {
    paused(async {
        let scene = Scene::here();
        let (spec, routes) = scene.child("child", |_| Faults::default());
        let id = scene.supervisor.start_child(spec).await.unwrap();
        assert_eq!(scene.supervisor.stop_child(id).await.unwrap().reason, ExitReason::Stopped);
        assert_eq!(routes.count.send(Count).unwrap_err().reason, Refusal::Retired);
        let again = scene.supervisor.stop_child(id).await;
        assert!(matches!(again, Err(StopError::Unknown { .. })), "{again:?}");
    });
}

#[test]
fn a_child_that_waits_for_its_restart_is_stopped_at_once() {
    paused(async {
        let scene = Scene::here();
        let mut slow = prompt(5);
        slow.backoff.first = 60 * SECOND;
        slow.backoff.limit = 60 * SECOND;
        let (spec, routes) = scene.child("child", |_| Faults::default());
        scene.supervisor.start_child(spec.intensity(slow)).await.unwrap();
        routes.crash(Order::Panic).await;
        tokio::time::sleep(SECOND).await;
        let asked = Instant::now();
        let last = scene.supervisor.stop_child("child").await.unwrap();
        assert_eq!(last.reason, ExitReason::Panicked { message: "handler".into() });
        assert_eq!(asked.elapsed(), Duration::ZERO);
    });
}

#[test]
fn a_child_that_crashes_during_the_shutdown_is_not_begun_anew() {
    paused(async {
        let scene = Scene::here();
        let older = scene.sound("older").await;
        let (spec, _routes) = scene.child("obstinate", |_| OBSTINATE);
        scene.supervisor.start_child(spec).await.unwrap();
        let ended = scene.supervisor.shut_down();
        older.crash(Order::Panic).await;
        let exits: Vec<_> = ended.await.exits.iter().map(|exit| exit.child.to_string()).collect();
        assert_eq!(exits, ["older", "obstinate"]);
    });
}

#[test]
fn a_child_that_waits_for_its_restart_is_not_begun_anew_during_the_shutdown() {
    paused(async {
        let scene = Scene::here();
        let mut slow = prompt(5);
        slow.backoff.first = SECOND;
        slow.backoff.limit = SECOND;
        let (spec, older) = scene.child("older", |_| Faults::default());
        scene.supervisor.start_child(spec.intensity(slow)).await.unwrap();
        let (spec, _routes) = scene.child("obstinate", |_| OBSTINATE);
        scene.supervisor.start_child(spec.shutdown(3 * SECOND)).await.unwrap();
        older.crash(Order::Panic).await;
        tokio::time::sleep(SECOND / 2).await;
        scene.supervisor.shut_down().await;
        assert!(!scene.log.contains("older 2 up"));
    });
}

#[test]
fn a_supervisor_that_has_ended_says_so() {
    paused(async {
        let scene = Scene::here();
        scene.supervisor.shut_down().await;
        let (spec, routes) = scene.child("late", |_| Faults::default());
        let refused = scene.supervisor.start_child(spec).await;
        assert!(matches!(refused, Err(StartError::Ending { .. })), "{refused:?}");
        let refused = scene.supervisor.stop_child("late").await;
        assert!(matches!(refused, Err(StopError::Ended { .. })), "{refused:?}");
        assert_eq!(routes.count.send(Count).unwrap_err().reason, Refusal::Retired);
        assert_eq!(scene.supervisor.shut_down().await.reason, EndReason::ShutDown);
    });
}

#[test]
fn dropping_every_handle_ends_nothing() {
    paused(async {
        let scene = Scene::here();
        let routes = scene.sound("child").await;
        drop(scene);
        routes.crash(Order::Panic).await;
        assert_eq!(routes.count().await, 0);
    });
}
