//! An actor that fails where it is told to, and a supervisor that is listened to.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use actix::{
    Actor, ActorContext, Arbiter, ArbiterHandle, AsyncContext, Context, Handler, Message, Running, System,
};
use steadfast_supervision::{
    Backoff, ChildSpec, ExitReport, Happening, Incarnation, Intensity, Route, Slot, SupervisionEvent,
    Supervisor, SupervisorHandle, Worker,
};
use tokio::runtime::Builder;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// On one thread, under paused time.
pub(crate) fn paused<F: Future>(test: F) -> F::Output {
    let runtime = || Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    System::with_tokio_rt(runtime).block_on(test)
}

/// With real threads, in real time.
pub(crate) fn threaded<F: Future>(test: F) -> F::Output {
    System::new().block_on(test)
}

/// Blocks this thread until that of `arbiter` has begun whatever it was given before.
pub(crate) fn turns(arbiter: &Arbiter) {
    for _ in 0..5 {
        let (turn, turned) = std::sync::mpsc::channel();
        arbiter.spawn_fn(move || turn.send(()).unwrap());
        turned.recv().unwrap();
    }
}

pub(crate) fn here() -> ArbiterHandle {
    Arbiter::current()
}

/// What happened, in order: shared by everything in a test.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    /// Whether a line has this in it.
    pub(crate) fn contains(&self, text: &str) -> bool {
        self.0.lock().unwrap().iter().any(|line| line.contains(text))
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Where an incarnation panics by itself, with the place's name as the message.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) make: bool,
    pub(crate) started: bool,
    pub(crate) stopping: bool,
    pub(crate) stopped: bool,
    pub(crate) dropped: bool,
    /// Says Continue whenever it is asked to stop.
    pub(crate) obstinate: bool,
}

/// Refuses to stop.
pub(crate) const OBSTINATE: Faults =
    Faults { make: false, started: false, stopping: false, stopped: false, dropped: false, obstinate: true };

pub(crate) struct Fragile {
    faults: Faults,
    counted: u32,
    log: Log,
    name: &'static str,
}

impl Fragile {
    pub(crate) fn made(name: &'static str, faults: Faults, log: &Log) -> Self {
        assert!(!faults.make, "make");
        Self { faults, counted: 0, log: log.clone(), name }
    }
}

impl Actor for Fragile {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        assert!(!self.faults.started, "started");
    }

    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        assert!(!self.faults.stopping, "stopping");
        if self.faults.obstinate { Running::Continue } else { Running::Stop }
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.log.add(format!("{} stopped", self.name));
        assert!(!self.faults.stopped, "stopped");
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(!self.faults.dropped, "dropped");
    }
}

/// Answers how many were counted before, by this incarnation.
#[derive(Message)]
#[rtype(result = "u32")]
pub(crate) struct Count;

#[derive(Message)]
#[rtype(result = "()")]
pub(crate) enum Order {
    Panic,
    PanicInFuture,
    Quit,
}

impl Handler<Count> for Fragile {
    type Result = u32;

    fn handle(&mut self, _: Count, _: &mut Context<Self>) -> u32 {
        self.counted += 1;
        self.log.add(format!("{} counted", self.name));
        self.counted - 1
    }
}

impl Handler<Order> for Fragile {
    type Result = ();

    fn handle(&mut self, order: Order, context: &mut Context<Self>) {
        match order {
            Order::Panic => panic!("handler"),
            Order::PanicInFuture => {
                context.spawn(actix::fut::wrap_future(async { panic!("future") }));
            }
            Order::Quit => context.stop(),
        }
    }
}

/// A supervisor, what it says, and a child's routes.
pub(crate) struct Scene {
    pub(crate) supervisor: SupervisorHandle,
    pub(crate) log: Log,
    exits: Arc<Mutex<Vec<ExitReport>>>,
}

impl Scene {
    pub(crate) fn on(arbiter: &ArbiterHandle) -> Self {
        let (log, exits) = (Log::default(), Arc::new(Mutex::new(Vec::new())));
        let (to_log, to_exits) = (log.clone(), Arc::clone(&exits));
        let on_event = move |event: &SupervisionEvent| {
            if let Happening::Exited { report } = &event.what {
                to_exits.lock().unwrap().push(report.clone());
            }
            to_log.add(line(event));
        };
        let supervisor = Supervisor::start("root", arbiter, Box::new(|| 0.5), on_event);
        Self { supervisor, log, exits }
    }

    pub(crate) fn here() -> Self {
        Self::on(&here())
    }

    pub(crate) fn exits(&self) -> Vec<ExitReport> {
        self.exits.lock().unwrap().clone()
    }

    /// A child whose incarnations have these faults.
    pub(crate) fn child(
        &self,
        name: &'static str,
        faults: impl Fn(Incarnation) -> Faults + Send + 'static,
    ) -> (ChildSpec<Worker<Fragile>>, Routes) {
        child(name, &self.log, here(), faults)
    }

    /// A sound child, up.
    pub(crate) async fn sound(&self, name: &'static str) -> Routes {
        let (spec, routes) = self.child(name, |_| Faults::default());
        self.supervisor.start_child(spec.intensity(prompt(1_000_000))).await.unwrap();
        routes
    }
}

pub(crate) fn child(
    name: &'static str,
    log: &Log,
    arbiter: ArbiterHandle,
    faults: impl Fn(Incarnation) -> Faults + Send + 'static,
) -> (ChildSpec<Worker<Fragile>>, Routes) {
    let (slots, routes) = Routes::channel();
    (slotted(name, log, arbiter, slots, faults), routes)
}

/// The same, under routes that exist already.
pub(crate) fn slotted(
    name: &'static str,
    log: &Log,
    arbiter: ArbiterHandle,
    slots: (Slot<Count>, Slot<Order>),
    faults: impl Fn(Incarnation) -> Faults + Send + 'static,
) -> ChildSpec<Worker<Fragile>> {
    let log = log.clone();
    let make = move |_: &mut Context<Fragile>, incarnation| Fragile::made(name, faults(incarnation), &log);
    ChildSpec::new(name, arbiter, make).publish(slots.0).publish(slots.1)
}

#[derive(Clone)]
pub(crate) struct Routes {
    pub(crate) count: Route<Count>,
    pub(crate) order: Route<Order>,
}

impl Routes {
    pub(crate) fn channel() -> ((Slot<Count>, Slot<Order>), Self) {
        let ((to_count, count), (to_order, order)) = (Route::channel(), Route::channel());
        ((to_count, to_order), Self { count, order })
    }

    pub(crate) async fn count(&self) -> u32 {
        self.count.wait_up(60 * SECOND).await.unwrap();
        self.count.call(Count, 60 * SECOND).await.unwrap()
    }

    /// Sends an order that ends the incarnation. Its end comes in the same turn as its answer, if any, so on
    /// one thread it has ended when this returns.
    pub(crate) async fn crash(&self, order: Order) {
        self.order.wait_up(60 * SECOND).await.unwrap();
        self.order.call(order, 60 * SECOND).await.ok();
    }
}

/// `restarts` in ten seconds, without pauses.
pub(crate) fn prompt(restarts: u32) -> Intensity {
    Intensity { restarts, window: 10 * SECOND, backoff: Backoff::NONE }
}

fn line(event: &SupervisionEvent) -> String {
    let SupervisionEvent { supervisor, what } = event;
    let what = match what {
        Happening::Started { child, incarnation } => format!("{child} {incarnation} up"),
        Happening::Exited { report } => format!("{} {} {}", report.child, report.incarnation, report.reason),
        Happening::Restarting { child, incarnation, delay } => format!("{child} {incarnation} in {delay:?}"),
        Happening::GaveUp { report } => format!("gave up on {}", report.child),
        Happening::Escalated { report } => format!("escalates {}", report.child),
        Happening::Ended { ended } => format!("ended: {}", ended.reason),
    };
    format!("{supervisor}: {what}")
}
