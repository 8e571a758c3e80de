//! Every panic is survived, reported with its message, and followed by a fresh value and a fresh mailbox.

use std::sync::{Arc, Mutex};

use actix::{Actor, Addr, AsyncContext, Context, MailboxError};
use steadfast_supervision::{CallError, ChildSpec, ExitReason, Incarnation, Refusal, StartError, Supervisor};

use crate::fixture::{Count, Faults, Fragile, Log, Order, SECOND, Scene, here, paused, prompt};

fn only_first(faults: Faults) -> impl Fn(Incarnation) -> Faults + Send {
    move |incarnation| if incarnation == Incarnation::FIRST { faults } else { Faults::default() }
}

/// The first incarnation has `faults` and gets `order`; the reason of its exit, and the next one is up.
fn first_exit(faults: Faults, order: Option<Order>) -> ExitReason {
    paused(async {
        let scene = Scene::here();
        let (spec, routes) = scene.child("child", only_first(faults));
        scene.supervisor.start_child(spec.intensity(prompt(5))).await.unwrap();
        if let Some(order) = order {
            routes.crash(order).await;
        }
        assert_eq!(routes.count().await, 0);
        let exits = scene.exits();
        assert_eq!(exits.len(), 1);
        assert_eq!((&*exits[0].child, exits[0].incarnation), ("child", Incarnation::FIRST));
        exits[0].reason.clone()
    })
}

fn panicked(message: &str) -> ExitReason {
    ExitReason::Panicked { message: message.into() }
}

#[test]
fn a_panic_in_a_handler_is_reported_and_survived() {
    assert_eq!(first_exit(Faults::default(), Some(Order::Panic)), panicked("handler"));
}

#[test]
fn a_panic_in_a_future_of_the_actor_is_reported_and_survived() {
    assert_eq!(first_exit(Faults::default(), Some(Order::PanicInFuture)), panicked("future"));
}

#[test]
fn a_panic_in_make_is_reported_and_survived() {
    assert_eq!(first_exit(Faults { make: true, ..Faults::default() }, None), panicked("make"));
}

#[test]
fn a_panic_in_started_is_reported_and_survived() {
    assert_eq!(first_exit(Faults { started: true, ..Faults::default() }, None), panicked("started"));
}

#[test]
fn a_panic_in_stopped_turns_an_orderly_stop_into_a_crash() {
    let faults = Faults { stopped: true, ..Faults::default() };
    assert_eq!(first_exit(faults, Some(Order::Quit)), panicked("stopped"));
}

#[test]
fn a_panic_in_drop_turns_an_orderly_stop_into_a_crash() {
    let faults = Faults { dropped: true, ..Faults::default() };
    assert_eq!(first_exit(faults, Some(Order::Quit)), panicked("dropped"));
}

#[test]
fn panics_in_stopped_and_drop_after_a_panic_neither_abort_nor_hide_the_first() {
    let faults = Faults { stopped: true, dropped: true, ..Faults::default() };
    assert_eq!(first_exit(faults, Some(Order::Panic)), panicked("handler; then: stopped; then: dropped"));
}

#[test]
fn panics_in_stopping_and_drop_neither_abort_nor_hide_the_first() {
    let faults = Faults { stopping: true, dropped: true, ..Faults::default() };
    let message = "handler; then: stopping; then: dropped";
    assert_eq!(first_exit(faults, Some(Order::Panic)), panicked(message));
}

#[test]
fn an_orderly_stop_is_reported_as_one() {
    assert_eq!(first_exit(Faults::default(), Some(Order::Quit)), ExitReason::Stopped);
}

#[test]
fn an_actor_that_refuses_to_stop_handles_nothing_after_a_panic() {
    paused(async {
        let scene = Scene::here();
        let faults = Faults { obstinate: true, ..Faults::default() };
        let (spec, routes) = scene.child("child", only_first(faults));
        scene.supervisor.start_child(spec.intensity(prompt(1))).await.unwrap();
        routes.order.send(Order::Panic).unwrap();
        let queued = routes.count.call(Count, SECOND).await;
        assert!(matches!(queued, Err(CallError::Lost)), "{queued:?}");
        assert!(!scene.log.take().contains(&"child counted".to_owned()));
    });
}

#[test]
fn each_incarnation_has_a_fresh_value_and_a_fresh_mailbox() {
    paused(async {
        let scene = Scene::here();
        let routes = scene.sound("child").await;
        assert_eq!((routes.count().await, routes.count().await), (0, 1));
        routes.order.send(Order::Panic).unwrap();
        routes.count.send(Count).unwrap(); // queued behind the crash
        routes.crash(Order::Quit).await; // as is this
        assert_eq!(routes.count().await, 0);
        assert_eq!(scene.exits().len(), 1);
    });
}

#[test]
fn a_call_that_is_queued_behind_a_crash_fails_and_does_not_hang() {
    paused(async {
        let scene = Scene::here();
        let routes = scene.sound("child").await;
        routes.order.send(Order::Panic).unwrap();
        assert!(matches!(routes.count.call(Count, SECOND).await, Err(CallError::Lost)));
    });
}

#[test]
fn an_address_that_somebody_kept_fails_after_a_crash() {
    paused(async {
        let scene = Scene::here();
        let kept = Arc::new(Mutex::new(Vec::<Addr<Fragile>>::new()));
        let (keep, log) = (Arc::clone(&kept), scene.log.clone());
        let spec = ChildSpec::new("child", here(), move |context: &mut Context<Fragile>, incarnation| {
            keep.lock().unwrap().push(context.address());
            let make = incarnation == Incarnation::FIRST;
            Fragile::made("child", Faults { make, ..Faults::default() }, &log)
        });
        scene.supervisor.start_child(spec.intensity(prompt(5))).await.unwrap();
        let [never_made, living] = std::mem::take(&mut *kept.lock().unwrap()).try_into().unwrap();
        assert_eq!(never_made.send(Count).await, Err(MailboxError::Closed));
        assert_eq!(living.send(Count).await, Ok(0));
        assert_eq!(living.send(Order::Panic).await, Err(MailboxError::Closed));
        assert_eq!(living.send(Count).await, Err(MailboxError::Closed));
        assert!(living.try_send(Count).is_err() && !living.connected());
    });
}

#[test]
fn a_child_to_which_no_address_leads_lives_on() {
    paused(async {
        let scene = Scene::here();
        let log = Log::default();
        let make = move |_: &mut Context<Fragile>, _| Fragile::made("child", Faults::default(), &log);
        scene.supervisor.start_child(ChildSpec::new("child", here(), make)).await.unwrap();
        tokio::time::sleep(3600 * SECOND).await;
        assert_eq!(scene.exits(), []);
    });
}

#[test]
fn on_exit_is_called_before_any_restart_is_scheduled() {
    paused(async {
        let scene = Scene::here();
        let log = scene.log.clone();
        let (spec, routes) = scene.child("child", |_| Faults::default());
        let spec =
            spec.intensity(prompt(5)).on_exit(move |report| log.add(format!("on_exit: {}", report.reason)));
        scene.supervisor.start_child(spec).await.unwrap();
        scene.log.take();
        routes.crash(Order::Panic).await;
        routes.count().await;
        let expected = [
            "child stopped",
            "on_exit: panicked: handler",
            "root: child 1 panicked: handler",
            "root: child 2 in 0ns",
            "root: child 2 up",
            "child counted",
        ];
        assert_eq!(scene.log.take(), expected);
    });
}

#[test]
fn panics_in_callbacks_change_nothing() {
    paused(async {
        let supervisor =
            Supervisor::start("root", &here(), Box::new(|| panic!("rng")), |_| panic!("observer"));
        let (spec, routes) = crate::fixture::child("child", &Log::default(), here(), |_| Faults::default());
        let spec = spec.intensity(prompt(5)).on_exit(|_| panic!("on_exit"));
        supervisor.start_child(spec).await.unwrap();
        routes.crash(Order::Panic).await;
        assert_eq!(routes.count().await, 0);
    });
}

#[test]
fn a_thousand_crashes_of_one_child_are_survived() {
    paused(async {
        let scene = Scene::here();
        let routes = scene.sound("child").await;
        for _ in 0..1000 {
            routes.crash(Order::Panic).await;
        }
        assert_eq!(routes.count().await, 0);
        assert_eq!(scene.exits().last().unwrap().incarnation.number(), 1000);
    });
}

#[test]
fn a_thousand_children_that_crash_at_once_are_all_begun_anew() {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    paused(async {
        let scene = Scene::here();
        let mut all = Vec::new();
        for number in 0..1000 {
            let log = Log::default();
            let make =
                move |_: &mut Context<Fragile>, _| Fragile::made(NAMES[number % 4], Faults::default(), &log);
            let (slots, routes) = crate::fixture::Routes::channel();
            let spec =
                ChildSpec::new(format!("child-{number}"), here(), make).publish(slots.0).publish(slots.1);
            scene.supervisor.start_child(spec.intensity(prompt(1))).await.unwrap();
            all.push(routes);
        }
        for routes in &all {
            routes.order.send(Order::Panic).unwrap();
        }
        while scene.exits().len() < 1000 {
            tokio::task::yield_now().await;
        }
        for routes in &all {
            assert_eq!(routes.count().await, 0);
        }
    });
}

#[test]
fn a_child_that_cannot_be_made_is_not_kept_and_takes_nobody_down() {
    paused(async {
        let scene = Scene::here();
        let sibling = scene.sound("sibling").await;
        let (spec, routes) = scene.child("child", |_| Faults { make: true, ..Faults::default() });
        let refused = scene.supervisor.start_child(spec.intensity(prompt(2))).await;
        let Err(StartError::NotUp(last)) = refused else { panic!("{refused:?}") };
        assert_eq!((last.reason, last.incarnation.number()), (panicked("make"), 3));
        assert_eq!(routes.count.send(Count).unwrap_err().reason, Refusal::Retired);
        scene.sound("child").await;
        assert_eq!(sibling.count().await, 0);
    });
}

/// An actor that is not `Send` can be supervised: this compiles.
#[test]
fn an_actor_need_not_be_send() {
    struct Local(std::rc::Rc<()>);
    impl Actor for Local {
        type Context = Context<Self>;
        fn started(&mut self, _: &mut Context<Self>) {
            assert_eq!(std::rc::Rc::strong_count(&self.0), 1);
        }
    }
    paused(async {
        let spec = ChildSpec::new("local", here(), |_: &mut Context<Local>, _| Local(std::rc::Rc::new(())));
        Scene::here().supervisor.start_child(spec).await.unwrap();
    });
}
