//! Which exits are followed by a restart, after what pause, and what follows when there were too many.

use std::time::Duration;

use steadfast_supervision::{Backoff, EndReason, Intensity, OnExhausted, Refusal, Restart, StartError};
use tokio::time::Instant;

use crate::fixture::{Count, Faults, Order, SECOND, Scene, paused, prompt};

/// Whether a child with this policy comes back after this order.
fn comes_back(restart: Restart, order: Order) -> bool {
    paused(async {
        let scene = Scene::here();
        let (spec, routes) = scene.child("child", |_| Faults::default());
        scene.supervisor.start_child(spec.restart(restart).intensity(prompt(5))).await.unwrap();
        routes.crash(order).await;
        routes.count.wait_up(SECOND).await.is_ok()
    })
}

#[test]
fn a_permanent_child_comes_back_after_every_exit() {
    assert!(comes_back(Restart::Permanent, Order::Panic));
    assert!(comes_back(Restart::Permanent, Order::Quit));
}

#[test]
fn a_transient_child_comes_back_after_a_crash_only() {
    assert!(comes_back(Restart::Transient, Order::Panic));
    assert!(!comes_back(Restart::Transient, Order::Quit));
}

#[test]
fn a_temporary_child_never_comes_back() {
    assert!(!comes_back(Restart::Temporary, Order::Panic));
    assert!(!comes_back(Restart::Temporary, Order::Quit));
}

#[test]
fn the_pauses_double_up_to_their_limit_and_are_shortened_by_luck() {
    paused(async {
        let scene = Scene::here(); // its luck is 0.5
        let backoff =
            Backoff { first: Duration::from_millis(100), limit: Duration::from_millis(400), jitter: 0.5 };
        let intensity = Intensity { restarts: 10, window: 60 * SECOND, backoff };
        let (spec, routes) = scene.child("child", |_| Faults::default());
        scene.supervisor.start_child(spec.intensity(intensity)).await.unwrap();
        let mut pauses = Vec::new();
        for _ in 0..4 {
            routes.crash(Order::Panic).await;
            let crashed = Instant::now();
            routes.count.wait_up(60 * SECOND).await.unwrap();
            pauses.push(crashed.elapsed().as_millis());
        }
        assert_eq!(pauses, [75, 150, 300, 300]);
    });
}

#[test]
fn a_child_that_crashes_rarely_enough_is_begun_anew_for_ever() {
    paused(async {
        let scene = Scene::here();
        let (spec, routes) = scene.child("child", |_| Faults::default());
        scene.supervisor.start_child(spec.intensity(prompt(1))).await.unwrap();
        for _ in 0..100 {
            routes.crash(Order::Panic).await;
            tokio::time::sleep(11 * SECOND).await;
        }
        assert_eq!(routes.count().await, 0);
    });
}

#[test]
fn too_many_crashes_escalate_the_siblings_stop_and_the_root_says_why() {
    paused(async {
        let scene = Scene::here();
        let (older, younger) = (scene.sound("older").await, scene.sound("younger").await);
        let (spec, routes) = scene.child("child", |_| Faults::default());
        scene.supervisor.start_child(spec.intensity(prompt(1))).await.unwrap();
        scene.log.take();
        routes.crash(Order::Panic).await;
        routes.crash(Order::Panic).await;
        let ended = scene.supervisor.ended().await;
        let EndReason::Escalated { cause } = ended.reason else { panic!("{ended:?}") };
        assert_eq!(cause.to_string(), "child (incarnation 2) after 0ns: panicked: handler");
        let stopped: Vec<_> = ended.exits.iter().map(|exit| &*exit.child).collect();
        assert_eq!(stopped, ["younger", "older"]);
        for routes in [older, younger, routes] {
            assert_eq!(routes.count.send(Count).unwrap_err().reason, Refusal::Retired);
        }
        let log = scene.log.take();
        assert!(log.contains(&"root: escalates child".to_owned()), "{log:?}");
        assert!(log.last().unwrap().starts_with("root: ended: escalated: child (incarnation 2)"), "{log:?}");
    });
}

#[test]
fn too_many_crashes_of_a_child_that_may_be_given_up_concern_nobody_else() {
    paused(async {
        let scene = Scene::here();
        let sibling = scene.sound("sibling").await;
        let (spec, routes) = scene.child("child", |_| Faults::default());
        let spec = spec.intensity(prompt(1)).on_exhausted(OnExhausted::GiveUp);
        scene.supervisor.start_child(spec).await.unwrap();
        routes.crash(Order::Panic).await;
        routes.crash(Order::Panic).await;
        assert!(routes.count.wait_up(3600 * SECOND).await.is_err());
        assert_eq!(routes.count.send(Count).unwrap_err().reason, Refusal::Retired);
        assert_eq!(sibling.count().await, 0);
        assert_eq!(scene.log.take().iter().filter(|line| *line == "root: gave up on child").count(), 1);
    });
}

#[test]
fn a_child_that_keeps_failing_to_come_up_is_not_kept_past_its_limit() {
    paused(async {
        let scene = Scene::here();
        let backoff = Backoff { first: SECOND, limit: SECOND, jitter: 0.0 };
        let intensity = Intensity { restarts: 1000, window: 10 * SECOND, backoff };
        let (spec, _routes) = scene.child("child", |_| Faults { started: true, ..Faults::default() });
        let asked = Instant::now();
        let spec = spec.intensity(intensity).start_within(Duration::from_millis(2500));
        let refused = scene.supervisor.start_child(spec).await;
        assert_eq!(asked.elapsed(), Duration::from_millis(2500));
        let Err(StartError::NotUp(last)) = refused else { panic!("{refused:?}") };
        assert_eq!(last.incarnation.number(), 3);
        tokio::time::sleep(60 * SECOND).await;
        assert_eq!(scene.exits().len(), 3);
    });
}

#[test]
fn two_living_children_never_share_a_name() {
    paused(async {
        let scene = Scene::here();
        scene.sound("child").await;
        let (spec, _routes) = scene.child("child", |_| Faults::default());
        let refused = scene.supervisor.start_child(spec).await;
        assert!(matches!(refused, Err(StartError::NameTaken { .. })), "{refused:?}");
        scene.supervisor.stop_child("child").await.unwrap();
        scene.sound("child").await;
    });
}

#[test]
fn a_limit_longer_than_any_clock_is_no_limit() {
    paused(async {
        let scene = Scene::here();
        let (spec, routes) = scene.child("child", |_| Faults::default());
        let spec = spec.start_within(Duration::MAX).shutdown(Duration::MAX).intensity(prompt(1));
        scene.supervisor.start_child(spec).await.unwrap();
        routes.crash(Order::Panic).await;
        assert_eq!(routes.count().await, 0);
        scene.supervisor.shut_down().await;
    });
}

/// One run: five children, told fifty times to crash or to quit.
fn run() -> Vec<String> {
    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
    paused(async {
        let scene = Scene::here();
        let mut all = Vec::new();
        for name in NAMES {
            let (spec, routes) = scene.child(name, |_| Faults::default());
            scene.supervisor.start_child(spec.on_exhausted(OnExhausted::GiveUp)).await.unwrap();
            all.push(routes);
        }
        for turn in 0..50_u32 {
            let order = if turn % 3 == 0 { Order::Quit } else { Order::Panic };
            all[(turn * turn) as usize % NAMES.len()].order.send(order).ok();
            tokio::time::sleep(Duration::from_millis(u64::from(turn * 7 % 40))).await;
        }
        scene.supervisor.shut_down().await;
        scene.log.take()
    })
}

#[test]
fn the_same_run_gives_the_same_log() {
    let first = run();
    assert!(first.len() > 50, "{first:?}");
    assert_eq!(first, run());
}
