//! One handler per owned partition: built-in sinks or the user's own actors, each with its own life.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use futures::future::BoxFuture;
use steadfast_core::ids::{AssignmentEpoch, HandlerIncarnation, Offset, Partition};
use steadfast_core::progress::{Lease, Progress, State};
use steadfast_supervision::{
    Backoff, ChildId, ChildSpec, ExitReason, ExitReport, Intensity, OnExhausted, Route, Slot, StartError,
    SupervisorHandle,
};
use steadfast_watch as watch;
use tokio::sync::mpsc;

use crate::config::OnStall;
use crate::consume::batch::Batch;
use crate::consume::progress::ProgressTable;
use crate::drift::published::Cluster;
use crate::env::Env;
use crate::events::Event;
use crate::messages::{Crash, End, OwnershipChanged, Release};
use crate::observers::Events;

mod stalled;

/// Where each partition's batches go. Shared by wiring, the fetch loops and the keeper of the handlers.
#[derive(Clone, Default)]
pub(crate) struct HandlerRoutes(Arc<RwLock<Routes>>);

/// A partition's route, and the assignment that its handler is for.
type Routes = BTreeMap<Partition, (AssignmentEpoch, Route<Batch>)>;

impl HandlerRoutes {
    /// Gives the batch to the partition's handler. One that cannot be delivered is dropped, which returns it.
    pub(crate) fn send(&self, partition: &Partition, batch: Batch) {
        let route = self.0.read().unwrap_or_else(PoisonError::into_inner).get(partition).cloned();
        if let Some((_, route)) = route {
            drop(route.send(batch));
        }
    }

    /// The partitions that have a handler, or will have one when it has been begun anew, and for which assignment.
    fn partitions(&self) -> BTreeMap<Partition, AssignmentEpoch> {
        let routes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let leading = routes.iter().filter(|(_, (_, route))| !route.is_retired());
        leading.map(|(partition, (assignment, _))| (partition.clone(), *assignment)).collect()
    }

    fn insert(&self, partition: Partition, assignment: AssignmentEpoch, route: Route<Batch>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(partition, (assignment, route));
    }

    fn remove(&self, partition: &Partition) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(partition);
    }
}

/// What one partition's handler is started with.
pub(crate) struct Post {
    partition: Partition,
    slot: Slot<Batch>,
    seat: Arc<Seat>,
}

/// Starts one partition's handler, whatever its type.
pub(crate) type StartHandler =
    Arc<dyn Fn(Post) -> BoxFuture<'static, Result<ChildId, StartError>> + Send + Sync>;

/// Forgets the type of the handlers that `make` makes.
pub(crate) fn handlers_of<A, F>(make: F) -> StartHandler
where
    A: Actor<Context = Context<A>> + Handler<Batch>,
    F: Fn(&Partition) -> A + Send + Sync + 'static,
{
    let make = Arc::new(make);
    Arc::new(move |post: Post| post.start(Arc::clone(&make)))
}

impl Post {
    fn start<A, F>(self, make: Arc<F>) -> BoxFuture<'static, Result<ChildId, StartError>>
    where
        A: Actor<Context = Context<A>> + Handler<Batch>,
        F: Fn(&Partition) -> A + Send + Sync + 'static,
    {
        let Post { partition, slot, seat } = self;
        let arbiter = seat.env.placement.handler(partition.index).clone();
        let name = name_of(&partition);
        let life = Arc::new(AtomicU64::new(0));
        let (making, ended) = ((Arc::clone(&seat), partition.clone(), Arc::clone(&life)), Arc::clone(&seat));
        let make = move |ctx: &mut Context<A>, _| {
            let (seat, partition, life) = &making;
            let incarnation = seat.lives.fetch_add(1, Ordering::Relaxed) + 1;
            let actor = make(partition);
            life.store(incarnation, Ordering::Relaxed);
            let (table, partition) = (Arc::clone(&seat.table), partition.clone());
            // After `started`, when batches can reach it: until then nothing is claimed for it.
            ctx.run_later(Duration::ZERO, move |_, _| {
                table.handler_up(&partition, HandlerIncarnation(incarnation));
            });
            actor
        };
        let on_exit = move |exit: &ExitReport| {
            ended.table.handler_down(&partition, HandlerIncarnation(life.load(Ordering::Relaxed)));
            if let ExitReason::Panicked { message } = &exit.reason {
                tracing::debug!(%partition, message, "a handler crashed");
            }
        };
        let spec = ChildSpec::new(name, arbiter, make)
            .publish(slot)
            .intensity(INTENSITY)
            .on_exhausted(OnExhausted::GiveUp)
            .on_exit(on_exit);
        seat.supervisor.start_child(spec)
    }
}

/// The name of a partition's handler among the supervisor's children.
pub(crate) fn name_of(partition: &Partition) -> String {
    format!("handler {partition}")
}

/// What the keeper is given by wiring.
pub(crate) struct Seat {
    pub(crate) env: Env,
    pub(crate) table: Arc<ProgressTable>,
    pub(crate) routes: HandlerRoutes,
    /// The supervisor of the handlers: a crash of one is its business alone.
    pub(crate) supervisor: SupervisorHandle,
    pub(crate) start: StartHandler,
    pub(crate) cluster: watch::Receiver<Arc<Cluster>>,
    /// `kafka.max.poll.interval.ms`, and what follows.
    pub(crate) stall: (Duration, OnStall),
    pub(crate) end: mpsc::UnboundedSender<End>,
    /// Counts the lives of all handlers.
    pub(crate) lives: AtomicU64,
    pub(crate) events: Events,
}

/// Keeps one handler per owned partition.
pub(crate) struct Handlers {
    seat: Arc<Seat>,
    /// What runs, as this keeper knows it, and for which assignment: a handler does not outlive its own.
    kept: BTreeMap<Partition, AssignmentEpoch>,
}

impl Handlers {
    /// A keeper that goes on from the routes that its predecessor left.
    pub(crate) fn new(seat: Arc<Seat>) -> Handlers {
        let mut kept = seat.routes.partitions();
        let quarantined = |partition: &Partition| {
            seat.table.read(partition, |progress| progress.state() == State::Quarantined) == Some(true)
        };
        kept.extend(seat.table.assignments().into_iter().filter(|(partition, _)| quarantined(partition)));
        Handlers { seat, kept }
    }

    /// Starts what is owned and has no handler, stops what has one and is not owned.
    fn reconcile(&mut self, ctx: &mut Context<Self>) {
        let owned = self.seat.table.assignments();
        let over = |(partition, assignment): &(&Partition, &AssignmentEpoch)| {
            owned.get(*partition) != Some(*assignment)
        };
        let gone: Vec<Partition> =
            self.kept.iter().filter(over).map(|(partition, _)| partition.clone()).collect();
        for partition in gone {
            self.kept.remove(&partition);
            self.seat.routes.remove(&partition);
            drop(self.seat.supervisor.stop_child(name_of(&partition).as_str()));
        }
        for (partition, assignment) in owned {
            if !self.kept.contains_key(&partition) {
                self.start(partition, assignment, ctx);
            }
        }
    }

    fn start(&mut self, partition: Partition, assignment: AssignmentEpoch, ctx: &mut Context<Self>) {
        let (slot, route) = Route::channel();
        self.kept.insert(partition.clone(), assignment);
        self.seat.routes.insert(partition.clone(), assignment, route);
        let post = Post { partition: partition.clone(), slot, seat: Arc::clone(&self.seat) };
        let started = (self.seat.start)(post).into_actor(self).map(move |started, keeper, ctx| {
            match started {
                Ok(_) => {}
                // The one before it is still being stopped.
                Err(StartError::NameTaken { .. }) => {
                    keeper.kept.remove(&partition);
                    ctx.run_later(AGAIN, Self::reconcile);
                }
                Err(error @ StartError::NotUp(_)) => keeper.give_up(&partition, &error.to_string()),
                Err(StartError::Ending { .. }) => {}
            }
        });
        ctx.spawn(started);
    }

    /// The partition leaves quarantine with a handler that begins anew.
    fn release(&mut self, partition: &Partition, ctx: &mut Context<Self>) {
        let topic = self.seat.cluster.borrow().topic_id(&partition.topic);
        let Some(acked) = self.seat.table.release_from_quarantine(partition, topic) else { return };
        self.kept.remove(partition);
        self.seat.routes.remove(partition);
        drop(self.seat.supervisor.stop_child(name_of(partition).as_str()));
        self.seat.events.emit(Event::PartitionReleased { place: partition.into(), acked });
        self.reconcile(ctx);
    }

    fn give_up(&self, partition: &Partition, reason: &str) {
        quarantine(&self.seat.table, &self.seat.events, partition, reason);
    }
}

const AGAIN: Duration = Duration::from_millis(20);

/// One record that a handler panics over costs it many lives until it is found: how often it is tried is the rule of
/// the partition's retries. This is for handlers that do not even begin, and reaches quarantine within a minute.
const INTENSITY: Intensity = Intensity {
    restarts: 60,
    window: Duration::from_secs(60),
    backoff: Backoff { first: Duration::from_millis(10), limit: Duration::from_millis(500), jitter: 0.5 },
};

/// The partition stays owned and is not fetched any more. One that is being given up is not kept for that.
pub(crate) fn quarantine(table: &ProgressTable, events: &Events, partition: &Partition, reason: &str) {
    quarantine_if(table, events, partition, reason, |_| true);
}

/// Quarantines the partition if `lease` still lives: what was found under another one says nothing about this one.
pub(crate) fn quarantine_under(
    table: &ProgressTable,
    events: &Events,
    partition: &Partition,
    lease: Lease,
    reason: &str,
) {
    quarantine_if(table, events, partition, reason, |progress| progress.lease() == Some(lease));
}

fn quarantine_if(
    table: &ProgressTable,
    events: &Events,
    partition: &Partition,
    reason: &str,
    wanted: impl FnOnce(&Progress) -> bool,
) {
    let quarantined = table.update(partition, |progress| {
        if !wanted(progress) {
            return None;
        }
        let before = progress.state();
        progress.quarantine();
        (before != progress.state()).then(|| progress.acked())
    });
    if let Some(acked) = quarantined {
        tell_quarantined(table, events, partition, acked, reason);
    }
}

/// Says that the partition is in quarantine from `acked` on.
pub(crate) fn tell_quarantined(
    table: &ProgressTable,
    events: &Events,
    partition: &Partition,
    acked: Offset,
    reason: &str,
) {
    table.note_quarantine(partition, reason);
    events.emit(Event::PartitionQuarantined { place: partition.into(), acked, reason: reason.to_owned() });
}

impl Actor for Handlers {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.reconcile(ctx);
        self.watch(ctx);
    }
}

impl Handler<OwnershipChanged> for Handlers {
    type Result = ();

    fn handle(&mut self, _: OwnershipChanged, ctx: &mut Context<Self>) {
        self.reconcile(ctx);
    }
}

impl Handler<Release> for Handlers {
    type Result = ();

    fn handle(&mut self, Release(partition): Release, ctx: &mut Context<Self>) {
        self.release(&partition, ctx);
    }
}

impl Handler<Crash> for Handlers {
    type Result = ();

    fn handle(&mut self, _: Crash, _: &mut Context<Self>) {
        panic!("asked to crash");
    }
}

#[cfg(test)]
mod tests {
    use steadfast_core::retry::Rule;
    use steadfast_core::tick::Tick;

    use super::*;

    fn assigned(table: &ProgressTable, partition: &Partition) -> Lease {
        table.begin_at(partition, Offset(5));
        table.read(partition, Progress::lease).flatten().unwrap()
    }

    #[test]
    fn what_was_found_under_an_earlier_assignment_quarantines_nothing() {
        let table = ProgressTable::new(|| Tick::ZERO, Rule::default(), || 1.0);
        let (partition, events) = (Partition::new("orders", 0), Events::new("test", Vec::new()));
        let earlier = assigned(&table, &partition);
        table.update(&partition, Progress::release);
        let current = assigned(&table, &partition);
        quarantine_under(&table, &events, &partition, earlier, "refused");
        assert!(table.quarantined().is_empty());
        quarantine_under(&table, &events, &partition, current, "refused");
        assert_eq!(table.quarantined()[&partition].reason, "refused");
    }
}
