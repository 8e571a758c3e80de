//! Supervisors under supervisors.

use std::sync::{Arc, Mutex};

use steadfast_supervision::{
    AnyChildSpec, ChildSpec, EndReason, ExitReason, Slot, StartError, SupervisorHandle,
};

use crate::fixture::{
    Count, Faults, Log, Order, Routes, SECOND, Scene, child, here, paused, prompt, slotted,
};

type Handles = Arc<Mutex<Vec<SupervisorHandle>>>;

/// A branch with two children, `older` and `younger`, under routes that outlive the branch's incarnations,
/// and the handles of those.
fn branch(log: &Log, faults: Faults) -> (ChildSpec<steadfast_supervision::Tree>, [Routes; 2], Handles) {
    let ((older, older_routes), (younger, younger_routes)) = (Routes::channel(), Routes::channel());
    let (log, handles) = (log.clone(), Handles::default());
    let keep = Arc::clone(&handles);
    let setup = move |handle: &SupervisorHandle, _| -> Vec<AnyChildSpec> {
        keep.lock().unwrap().push(handle.clone());
        let spec = |name, slots: &(Slot<Count>, Slot<Order>), faults| {
            slotted(name, &log, here(), slots.clone(), move |_| faults).intensity(prompt(1)).into()
        };
        vec![spec("older", &older, Faults::default()), spec("younger", &younger, faults)]
    };
    (ChildSpec::supervisor("branch", here(), setup), [older_routes, younger_routes], handles)
}

#[test]
fn a_branch_is_up_when_all_its_first_children_are() {
    paused(async {
        let scene = Scene::here();
        let (spec, routes, _) = branch(&scene.log, Faults::default());
        scene.supervisor.start_child(spec).await.unwrap();
        assert!(routes.iter().all(|routes| routes.count.is_up()));
        let expected = ["root/branch: older 1 up", "root/branch: younger 1 up", "root: branch 1 up"];
        assert_eq!(scene.log.take(), expected);
    });
}

#[test]
fn a_crash_below_stays_below_while_the_branch_can_deal_with_it() {
    paused(async {
        let scene = Scene::here();
        let (spec, [older, younger], _) = branch(&scene.log, Faults::default());
        scene.supervisor.start_child(spec).await.unwrap();
        assert_eq!(older.count().await, 0);
        younger.crash(Order::Panic).await;
        assert_eq!((older.count().await, younger.count().await), (1, 0));
    });
}

#[test]
fn a_branch_that_escalates_is_begun_anew_with_all_its_children_under_the_same_routes() {
    paused(async {
        let scene = Scene::here();
        let (spec, [older, younger], handles) = branch(&scene.log, Faults::default());
        scene.supervisor.start_child(spec.intensity(prompt(1))).await.unwrap();
        assert_eq!(older.count().await, 0);
        younger.crash(Order::Panic).await;
        younger.crash(Order::Panic).await;
        while handles.lock().unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!((older.count().await, younger.count().await), (0, 0));
        let exits = scene.exits();
        let last = exits.last().unwrap();
        let ExitReason::Escalated { cause } = &last.reason else { panic!("{last}") };
        assert_eq!((&*last.child, &*cause.child, cause.incarnation.number()), ("branch", "younger", 2));
    });
}

#[test]
fn what_no_branch_can_deal_with_reaches_the_root() {
    paused(async {
        let scene = Scene::here();
        let sibling = scene.sound("sibling").await;
        let (spec, [_, younger], _) = branch(&scene.log, Faults::default());
        scene.supervisor.start_child(spec.intensity(prompt(0))).await.unwrap();
        younger.crash(Order::Panic).await;
        younger.crash(Order::Panic).await;
        let ended = scene.supervisor.ended().await;
        let EndReason::Escalated { cause } = ended.reason else { panic!("{ended:?}") };
        let text = "branch (incarnation 1) after 0ns: gave up on a child: \
                    younger (incarnation 2) after 0ns: panicked: handler";
        assert_eq!(cause.to_string(), text);
        assert!(!sibling.count.is_up());
    });
}

#[test]
fn a_branch_whose_first_child_cannot_come_up_does_not_come_up() {
    paused(async {
        let scene = Scene::here();
        let (spec, [older, _], _) = branch(&scene.log, Faults { make: true, ..Faults::default() });
        let refused = scene.supervisor.start_child(spec.intensity(prompt(0))).await.unwrap_err();
        let text = "it did not come up: branch (incarnation 1) after 0ns: gave up on a child: \
                    younger (incarnation 2) after 0ns: panicked: make";
        assert_eq!(refused.to_string(), text);
        assert!(!older.count.is_up());
    });
}

#[test]
fn a_panic_in_a_setup_is_a_crash_of_the_branch() {
    paused(async {
        let scene = Scene::here();
        let spec = ChildSpec::supervisor("branch", here(), |_, incarnation| {
            assert!(incarnation.number() > 1, "setup");
            Vec::new()
        });
        scene.supervisor.start_child(spec.intensity(prompt(1))).await.unwrap();
        assert_eq!(scene.exits()[0].reason, ExitReason::Panicked { message: "setup".into() });
    });
}

#[test]
fn a_setup_that_names_two_children_alike_is_a_crash_of_the_branch() {
    paused(async {
        let scene = Scene::here();
        let log = scene.log.clone();
        let spec = ChildSpec::supervisor("branch", here(), move |_, _| {
            let twin = || child("twin", &log, here(), |_| Faults::default()).0.into();
            vec![twin(), twin()]
        });
        let refused = scene.supervisor.start_child(spec.intensity(prompt(0))).await.unwrap_err();
        assert!(refused.to_string().ends_with("panicked: the setup names two children twin"), "{refused}");
    });
}

#[test]
fn a_name_in_the_setup_is_taken_before_that_child_is_started() {
    paused(async {
        let scene = Scene::here();
        let log = scene.log.clone();
        let refusals = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&refusals);
        let spec = ChildSpec::supervisor("branch", here(), move |handle, _| {
            let named = |name| child(name, &log, here(), |_| Faults::default()).0;
            *keep.lock().unwrap() = Some(handle.start_child(named("younger")));
            vec![named("older").into(), named("younger").into()]
        });
        scene.supervisor.start_child(spec).await.unwrap();
        let refusal = refusals.lock().unwrap().take().unwrap();
        assert!(matches!(refusal.await, Err(StartError::NameTaken { .. })));
    });
}

#[test]
fn children_are_added_to_a_branch_while_it_runs_and_stop_with_it_in_order() {
    paused(async {
        let scene = Scene::here();
        let (spec, _, handles) = branch(&scene.log, Faults::default());
        scene.supervisor.start_child(spec).await.unwrap();
        scene.sound("sibling").await;
        let handle = handles.lock().unwrap()[0].clone();
        let (late, _routes) = child("late", &scene.log, here(), |_| Faults::default());
        handle.start_child(late).await.unwrap();
        scene.log.take();
        scene.supervisor.shut_down().await;
        let log = scene.log.take();
        let stopped: Vec<_> = log.iter().filter(|line| !line.contains(':')).collect();
        assert_eq!(stopped, ["sibling stopped", "late stopped", "younger stopped", "older stopped"]);
    });
}

#[test]
fn a_branch_that_is_not_down_within_its_limit_is_abandoned_with_all_below_it() {
    paused(async {
        let scene = Scene::here();
        let (spec, [older, younger], handles) =
            branch(&scene.log, Faults { obstinate: true, ..Faults::default() });
        scene.supervisor.start_child(spec.shutdown(2 * SECOND)).await.unwrap();
        let handle = handles.lock().unwrap()[0].clone();
        let report = scene.supervisor.stop_child("branch").await.unwrap();
        assert_eq!((report.reason, report.lived_for), (ExitReason::Abandoned, 2 * SECOND));
        assert_eq!(handle.ended().await.reason, EndReason::Abandoned);
        assert!(!older.count.is_up() && !younger.count.is_up());
    });
}
