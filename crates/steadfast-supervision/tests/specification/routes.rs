//! Routes: never a message swallowed that is known not to have arrived.

use std::time::Duration;

use actix::{Actor, Context, Handler, Message};
use steadfast_supervision::{CallError, ChildSpec, NotUp, Refusal, Route};
use tokio::time::Instant;

use crate::fixture::{Count, Faults, Log, Order, SECOND, Scene, here, paused, prompt};

/// Takes a second over each message.
struct Slow;

impl Actor for Slow {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype(result = "u32")]
struct Work(u32);

impl Handler<Work> for Slow {
    type Result = actix::AtomicResponse<Self, u32>;

    fn handle(&mut self, work: Work, _: &mut Context<Self>) -> Self::Result {
        let pause = async move {
            tokio::time::sleep(SECOND).await;
            work.0
        };
        actix::AtomicResponse::new(Box::pin(actix::fut::wrap_future(pause)))
    }
}

async fn slow(scene: &Scene, capacity: usize) -> Route<Work> {
    let (slot, route) = Route::channel();
    let spec = ChildSpec::new("slow", here(), move |context: &mut Context<Slow>, _| {
        context.set_mailbox_capacity(capacity);
        Slow
    });
    scene.supervisor.start_child(spec.publish(slot)).await.unwrap();
    route
}

#[test]
fn a_route_that_is_down_gives_the_message_back() {
    paused(async {
        let (slot, route) = Route::<Work>::channel();
        let back = route.send(Work(7)).unwrap_err();
        assert_eq!((back.message.0, back.reason), (7, Refusal::Down));
        let Err(CallError::NotSent(back)) = route.call(Work(8), SECOND).await else { panic!("sent") };
        assert_eq!((back.message.0, back.reason), (8, Refusal::Down));
        drop(slot);
        let back = route.try_send(Work(9)).unwrap_err();
        assert_eq!((back.message.0, back.reason), (9, Refusal::Retired));
    });
}

#[test]
fn a_route_is_down_from_the_crash_until_the_next_incarnation_is_up() {
    paused(async {
        let scene = Scene::here();
        let mut pausing = prompt(5);
        pausing.backoff.first = SECOND;
        pausing.backoff.limit = SECOND;
        let (spec, routes) = scene.child("child", |_| Faults::default());
        scene.supervisor.start_child(spec.intensity(pausing)).await.unwrap();
        routes.crash(Order::Panic).await;
        assert_eq!(routes.count.send(Count).unwrap_err().reason, Refusal::Down);
        let asked = Instant::now();
        assert_eq!(routes.count.wait_up(SECOND / 2).await, Err(NotUp::TimedOut(SECOND / 2)));
        routes.count.wait_up(SECOND).await.unwrap();
        assert_eq!(asked.elapsed(), SECOND);
        routes.count.send(Count).unwrap();
    });
}

/// Sends to itself while it cleans up.
struct Narcissus(Route<Fatal>, Log);

#[derive(Message)]
#[rtype(result = "()")]
struct Fatal;

impl Actor for Narcissus {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Context<Self>) {
        let refused = self.0.send(Fatal).map_err(|back| back.reason);
        self.1.add(format!("{refused:?}"));
    }
}

impl Handler<Fatal> for Narcissus {
    type Result = ();

    fn handle(&mut self, _: Fatal, _: &mut Context<Self>) {
        panic!("fatal");
    }
}

#[test]
fn a_route_is_down_while_a_crashed_incarnation_cleans_up() {
    paused(async {
        let scene = Scene::here();
        let (slot, route) = Route::channel();
        let (own, log) = (route.clone(), scene.log.clone());
        let make = move |_: &mut Context<Narcissus>, _| Narcissus(own.clone(), log.clone());
        scene.supervisor.start_child(ChildSpec::new("narcissus", here(), make).publish(slot)).await.unwrap();
        route.call(Fatal, SECOND).await.unwrap_err();
        assert!(scene.log.contains("Err(Down)"));
    });
}

#[test]
fn a_control_message_is_taken_however_full_the_mailbox_is() {
    paused(async {
        let scene = Scene::here();
        let route = slow(&scene, 1).await;
        for number in 0..100 {
            route.send(Work(number)).unwrap();
        }
        let asked = Instant::now();
        assert_eq!(route.call(Work(100), 200 * SECOND).await.unwrap(), 100);
        assert_eq!(asked.elapsed(), 101 * SECOND);
    });
}

#[test]
fn calls_are_answered_however_full_observers_have_made_the_mailbox() {
    paused(async {
        let scene = Scene::here();
        let route = slow(&scene, 1).await;
        while route.try_send(Work(0)).is_ok() {}
        let calls = futures::join!(route.call(Work(1), 9 * SECOND), route.call(Work(2), 9 * SECOND));
        assert_eq!((calls.0.unwrap(), calls.1.unwrap()), (1, 2));
    });
}

#[test]
fn an_observer_is_sent_to_only_while_its_mailbox_has_room() {
    paused(async {
        let scene = Scene::here();
        let route = slow(&scene, 4).await;
        let taken = (0..100).take_while(|&number| route.try_send(Work(number)).is_ok()).count();
        assert_eq!(taken, 4);
        let back = route.clone().try_send(Work(77)).unwrap_err();
        assert_eq!((back.message.0, back.reason), (77, Refusal::Full));
        tokio::time::sleep(10 * SECOND).await;
        route.try_send(Work(78)).unwrap();
    });
}

#[test]
fn a_call_never_outlives_its_deadline_and_is_then_skipped() {
    paused(async {
        let scene = Scene::here();
        let route = slow(&scene, 16).await;
        route.send(Work(1)).unwrap();
        let asked = Instant::now();
        let late = route.call(Work(2), Duration::from_millis(300)).await;
        assert!(matches!(late, Err(CallError::TimedOut(_))), "{late:?}");
        assert_eq!(asked.elapsed(), Duration::from_millis(300));
        assert_eq!(route.call(Work(3), 10 * SECOND).await.unwrap(), 3);
        assert_eq!(asked.elapsed(), 2 * SECOND, "the call that was given up on took no time of the actor's");
    });
}

#[test]
fn waiting_for_a_retired_route_ends_at_once() {
    paused(async {
        let (slot, route) = Route::<Work>::channel();
        let waiting = route.wait_up(3600 * SECOND);
        drop(slot);
        assert_eq!(waiting.await, Err(NotUp::Retired));
    });
}

#[test]
fn a_route_retires_with_the_last_clone_of_its_slot() {
    let (slot, route) = Route::<Work>::channel();
    let clone = slot.clone();
    drop(slot);
    assert_eq!(route.send(Work(0)).unwrap_err().reason, Refusal::Down);
    drop(clone);
    assert_eq!(route.send(Work(0)).unwrap_err().reason, Refusal::Retired);
}
