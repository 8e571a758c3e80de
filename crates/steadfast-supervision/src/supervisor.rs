//! The supervisor: one task, one queue, one timer; one-for-one.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use actix::ArbiterHandle;
use steadfast_watch as watch;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{
    caught::{caught, guarded},
    child::{Lifeline, Order},
    deadline::reached,
    event::{Happening, SupervisionEvent},
    exit::{ExitReason, ExitReport, Incarnation},
    handle::{ChildId, Note, StartError, StopError, SupervisorHandle, Which},
    roster::{Child, Sequel, State, Whom},
    shutdown::{EndReason, Ended, Shutdown, next_to_stop},
    spec::{AnyChildSpec, Notice, OnExhausted},
};

/// Begins supervision trees.
pub struct Supervisor;

impl Supervisor {
    /// Starts a root supervisor without children on `arbiter`, which should run nothing that stalls.
    ///
    /// `rng` gives numbers from 0 to 1 for the jitter of backoffs, the whole tree's. `on_event` is called on
    /// the arbiter of the supervisor that speaks; it must not block, and a panic in it is logged and changes
    /// nothing. If `arbiter` is gone, [`SupervisorHandle::ended`] says so.
    pub fn start(
        name: impl Into<Arc<str>>,
        arbiter: &ArbiterHandle,
        rng: Box<dyn FnMut() -> f64 + Send>,
        on_event: impl Fn(&SupervisionEvent) + Send + Sync + 'static,
    ) -> SupervisorHandle {
        let around =
            Surroundings { path: name.into(), observe: Arc::new(on_event), rng: Arc::new(Mutex::new(rng)) };
        let (family, handle) = Family::new(around);
        let (root, orders) = Lifeline::new(|| ());
        arbiter.spawn(async move {
            family.run(orders).await;
            drop(root);
        });
        handle
    }
}

/// What a supervisor shares with those below it.
#[derive(Clone)]
pub(crate) struct Surroundings {
    path: Arc<str>,
    observe: Arc<dyn Fn(&SupervisionEvent) + Send + Sync>,
    rng: Arc<Mutex<Box<dyn FnMut() -> f64 + Send>>>,
}

impl Surroundings {
    pub(crate) fn below(&self, name: &str) -> Self {
        Self { path: format!("{}/{name}", self.path).into(), ..self.clone() }
    }

    fn emit(&self, what: Happening) {
        let event = SupervisionEvent { supervisor: Arc::clone(&self.path), what };
        guarded(&self.path, || (self.observe)(&event));
    }

    fn luck(&self) -> f64 {
        let draw = || (self.rng.lock().unwrap_or_else(PoisonError::into_inner))();
        caught(draw).unwrap_or_default()
    }
}

/// A supervisor's children, and the task that minds them. Dropped, it cuts them loose.
pub(crate) struct Family {
    /// In the order in which they were started.
    children: BTreeMap<ChildId, Child>,
    next_id: u64,
    /// The children of the setup that are still to be started, and whom to tell when all are up.
    firstborn: VecDeque<AnyChildSpec>,
    up: Option<Box<dyn FnOnce() + Send>>,
    around: Surroundings,
    notes: mpsc::UnboundedReceiver<Note>,
    to_self: mpsc::UnboundedSender<Note>,
    shutdown: Option<Shutdown>,
    ended: watch::Sender<Option<Ended>>,
}

impl Family {
    pub(crate) fn new(around: Surroundings) -> (Self, SupervisorHandle) {
        let (to_self, notes) = mpsc::unbounded_channel();
        let (ended, when_ended) = watch::channel(None);
        let name = Arc::clone(&around.path);
        let handle = SupervisorHandle { name, notes: to_self.clone(), ended: when_ended };
        let family = Self {
            children: BTreeMap::new(),
            next_id: 1,
            firstborn: VecDeque::new(),
            up: None,
            around,
            notes,
            to_self,
            shutdown: None,
            ended,
        };
        (family, handle)
    }

    /// Starts `children`, each when the one before is up, then calls `up`.
    pub(crate) fn start_in_order(&mut self, children: Vec<AnyChildSpec>, up: Box<dyn FnOnce() + Send>) {
        self.firstborn = children.into();
        self.up = Some(up);
        self.start_next_firstborn();
    }

    pub(crate) async fn run(mut self, mut orders: watch::Receiver<Order>) -> Ended {
        loop {
            self.advance_shutdown();
            if self.children.is_empty()
                && let Some(shutdown) = self.shutdown.take()
            {
                return self.end(shutdown);
            }
            let deadline = self.children.values().filter_map(Child::deadline).min();
            tokio::select! {
                biased;
                order = orders.changed() => match order {
                    Ok(()) => self.begin_shutdown(EndReason::ShutDown),
                    Err(_) => return self.end(Shutdown::begin(EndReason::Abandoned)),
                },
                Some(note) = self.notes.recv() => self.take(note),
                () = reached(deadline) => self.expire(Instant::now()),
            }
        }
    }

    fn take(&mut self, note: Note) {
        match note {
            Note::Start { spec, reply } => self.start(*spec, reply),
            Note::Stop { which, reply } => self.stop(which, reply),
            Note::ShutDown => self.begin_shutdown(EndReason::ShutDown),
            Note::Up { id, incarnation } => self.child_up(id, incarnation),
            Note::Exited { id, incarnation, reason } => self.child_exited(id, incarnation, reason),
        }
    }

    // Starting

    fn start(&mut self, spec: AnyChildSpec, reply: oneshot::Sender<Result<ChildId, StartError>>) {
        let supervisor = Arc::clone(&self.around.path);
        if self.shutdown.is_some() {
            reply.send(Err(StartError::Ending { supervisor })).ok();
        } else if self.names().any(|name| *name == spec.name) {
            reply.send(Err(StartError::NameTaken { supervisor, child: spec.name })).ok();
        } else {
            self.add(spec, Whom::Caller(reply));
        }
    }

    fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        let living = self.children.values().map(|child| &child.spec.name);
        living.chain(self.firstborn.iter().map(|spec| &spec.name))
    }

    fn add(&mut self, mut spec: AnyChildSpec, whom: Whom) {
        let id = ChildId(self.next_id);
        self.next_id += 1;
        let notice = self.notice(id, Incarnation::FIRST);
        let life = spec.launch(Incarnation::FIRST, &self.around, notice);
        self.children.insert(id, Child::new(spec, whom, life, Instant::now()));
    }

    fn notice(&self, id: ChildId, incarnation: Incarnation) -> Notice {
        let (to_up, to_exit) = (self.to_self.clone(), self.to_self.clone());
        // A supervisor that has ended need not be told.
        let up = move || drop(to_up.send(Note::Up { id, incarnation }));
        let exit = move |reason| drop(to_exit.send(Note::Exited { id, incarnation, reason }));
        Notice { up: Box::new(up), exit: Box::new(exit) }
    }

    fn start_next_firstborn(&mut self) {
        if let Some(spec) = self.firstborn.pop_front() {
            self.add(spec, Whom::Setup);
        } else if let Some(up) = self.up.take() {
            up();
        }
    }

    fn child_up(&mut self, id: ChildId, incarnation: Incarnation) {
        let Some(child) = self.children.get_mut(&id) else { return };
        if !child.comes_up(incarnation, Instant::now()) {
            return;
        }
        let starter = child.starter.take();
        let name = Arc::clone(&child.spec.name);
        self.around.emit(Happening::Started { child: name, incarnation });
        match starter.map(|starter| starter.whom) {
            Some(Whom::Caller(reply)) => drop(reply.send(Ok(id))),
            Some(Whom::Setup) => self.start_next_firstborn(),
            None => {}
        }
    }

    fn relaunch(&mut self, id: ChildId) {
        let Some(mut child) = self.children.remove(&id) else { return };
        child.incarnation = child.incarnation.next();
        let notice = self.notice(id, child.incarnation);
        let life = child.spec.launch(child.incarnation, &self.around, notice);
        child.relaunched(life, Instant::now());
        self.children.insert(id, child);
    }

    // Exits

    fn child_exited(&mut self, id: ChildId, incarnation: Incarnation, reason: ExitReason) {
        let now = Instant::now();
        let Some(child) = self.children.get_mut(&id) else { return };
        let asked_for = child.is_stopping() || self.shutdown.is_some();
        let Some(report) = child.ends(incarnation, reason, now) else { return };
        if let Some(callback) = &child.spec.policy.on_exit {
            guarded(&child.spec.name, || callback(&report));
        }
        self.around.emit(Happening::Exited { report: report.clone() });
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.record(report.clone());
        }
        let sequel =
            if asked_for { Sequel::Forget } else { child.sequel(&report.reason, now, self.around.luck()) };
        match sequel {
            Sequel::Forget => self.remove(id, report),
            Sequel::Restart { until } => {
                child.state = State::Waiting { until };
                let (child, incarnation) = (Arc::clone(&child.spec.name), incarnation.next());
                self.around.emit(Happening::Restarting { child, incarnation, delay: until - now });
            }
            Sequel::Exhausted => self.exhausted(id, report),
        }
    }

    fn exhausted(&mut self, id: ChildId, report: ExitReport) {
        let Some(child) = self.children.get(&id) else { return };
        // A child that never came up concerns whoever started it.
        let escalate = child.starter.is_none() && child.spec.policy.on_exhausted == OnExhausted::Escalate;
        self.remove(id, report.clone());
        if escalate {
            self.escalate(report);
        } else {
            self.around.emit(Happening::GaveUp { report });
        }
    }

    fn escalate(&mut self, report: ExitReport) {
        self.around.emit(Happening::Escalated { report: report.clone() });
        self.begin_shutdown(EndReason::Escalated { cause: Box::new(report) });
    }

    /// Removes a child after its last exit and tells everyone who asked.
    fn remove(&mut self, id: ChildId, last: ExitReport) {
        let Some(child) = self.children.remove(&id) else { return };
        for stopper in child.stoppers {
            stopper.send(Ok(last.clone())).ok();
        }
        match child.starter.map(|starter| starter.whom) {
            Some(Whom::Caller(reply)) => drop(reply.send(Err(StartError::NotUp(last)))),
            Some(Whom::Setup) => self.escalate(last),
            None => {}
        }
    }

    // Deadlines

    fn expire(&mut self, now: Instant) {
        let is_due = |child: &Child| child.deadline().is_some_and(|deadline| deadline <= now);
        let due: Vec<_> =
            self.children.iter().filter(|(_, child)| is_due(child)).map(|(&id, _)| id).collect();
        for id in due {
            self.expire_child(id, now);
        }
    }

    fn expire_child(&mut self, id: ChildId, now: Instant) {
        let Some(child) = self.children.get_mut(&id) else { return };
        let incarnation = child.incarnation;
        if child.start_overdue(now) {
            self.give_up_starting(id, incarnation);
            return;
        }
        match child.state {
            State::Waiting { .. } => self.relaunch(id),
            State::Starting { .. } | State::Stopping { .. } => {
                self.child_exited(id, incarnation, ExitReason::Abandoned);
            }
            State::Up { .. } => {}
        }
    }

    /// A child that was not up in time is not kept.
    fn give_up_starting(&mut self, id: ChildId, incarnation: Incarnation) {
        self.order_stop(id);
        self.child_exited(id, incarnation, ExitReason::Abandoned);
    }

    // Stopping

    fn stop(&mut self, which: Which, reply: oneshot::Sender<Result<ExitReport, StopError>>) {
        let found = match &which {
            Which::Id(id) => self.children.get_key_value(id),
            Which::Name(name) => self.children.iter().find(|(_, child)| child.spec.name == *name),
        };
        let Some(id) = found.map(|(&id, _)| id) else {
            reply.send(Err(StopError::Unknown { supervisor: Arc::clone(&self.around.path), which })).ok();
            return;
        };
        if let Some(child) = self.children.get_mut(&id) {
            child.stoppers.push(reply);
        }
        self.order_stop(id);
    }

    /// Tells a child to stop; one that is waiting for its restart is removed at once.
    fn order_stop(&mut self, id: ChildId) {
        let Some(child) = self.children.get_mut(&id) else { return };
        if !child.order_stop(Instant::now())
            && let Some(last) = child.last.clone()
        {
            self.remove(id, last);
        }
    }

    fn begin_shutdown(&mut self, reason: EndReason) {
        if self.shutdown.is_some() {
            return;
        }
        self.shutdown = Some(Shutdown::begin(reason));
        self.firstborn.clear();
        self.up = None;
        let is_waiting = |child: &Child| matches!(child.state, State::Waiting { .. });
        let waiting = self.children.iter().filter(|(_, child)| is_waiting(child));
        for id in waiting.map(|(&id, _)| id).collect::<Vec<_>>() {
            self.order_stop(id);
        }
    }

    fn advance_shutdown(&mut self) {
        while self.shutdown.is_some()
            && let Some(id) = next_to_stop(self.children.iter().map(|(&id, child)| (id, child.is_stopping())))
        {
            self.order_stop(id);
        }
    }

    fn end(self, shutdown: Shutdown) -> Ended {
        let ended = shutdown.over();
        self.around.emit(Happening::Ended { ended: ended.clone() });
        self.ended.send_replace(Some(ended.clone()));
        ended
    }
}
