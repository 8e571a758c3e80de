//! The consumer: fetch connections and loops of one incarnation.
//!
//! It is built from a view, prepares its connections, takes the partitions over when it is promoted, and from
//! then on keeps its loops in line with what is owned and who leads it.

mod leaderless;
mod named;
mod out_of_range;
mod recreated;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, StreamHandler, WrapFuture};
use steadfast_core::endpoints::backoff::Jitter;
use steadfast_core::endpoints::race::Evidence;
use steadfast_core::endpoints::view::{Address, View};
use steadfast_core::ids::{AssignmentEpoch, ConsumerIncarnation, LeaderEpoch, NodeId, Offset, Partition};
use steadfast_core::progress::Progress;
use steadfast_core::stall::Watchdog;
use steadfast_kafka::connection::Connection;
use steadfast_kafka::fetch::intake::Note;
use steadfast_kafka::fetch::leader::{LeaderLoop, Led, Settings};
use steadfast_kafka::fetch::memory::Memory;
use steadfast_supervision::Route;
use steadfast_watch as watch;
use tokio::task::AbortHandle;

use crate::config::{AutoOffsetReset, OutOfRange};
use crate::consume::handlers::HandlerRoutes;
use crate::consume::intake::LoopIntake;
use crate::consume::progress::ProgressTable;
use crate::dialler::Dialler;
use crate::drift::published::Cluster;
use crate::env::Env;
use crate::events::{Event, Place, Replaced};
use crate::messages::{Adapt, ConsumerState, Crash, LoopNote, Observed, Promote, Suspect};
use crate::observers::Events;
use crate::post::Post;
use crate::vitals::Vitals;
use crate::watching::{Changed, changes};
use named::Refusals;

/// What every incarnation is given by wiring.
#[derive(Clone)]
pub(crate) struct Seat {
    pub(crate) env: Env,
    pub(crate) dialler: Dialler,
    pub(crate) settings: Settings,
    pub(crate) memory: Memory,
    pub(crate) table: Arc<ProgressTable>,
    pub(crate) handlers: HandlerRoutes,
    pub(crate) cluster: watch::Receiver<Arc<Cluster>>,
    pub(crate) supervisor: Post<ConsumerState>,
    pub(crate) suspect: Route<Suspect>,
    pub(crate) differ: Route<Observed>,
    pub(crate) vitals: Vitals,
    pub(crate) events: Events,
    pub(crate) reset: AutoOffsetReset,
    pub(crate) out_of_range: OutOfRange,
    pub(crate) stall_timeout: Duration,
    /// `max.poll.records`: the most that a handler is given at once.
    pub(crate) most_records: usize,
    /// How long the end of an incarnation may take.
    pub(crate) drain: Duration,
}

/// The actor.
pub(crate) struct Consumer {
    seat: Arc<Seat>,
    /// It never changes its security settings.
    dialler: Dialler,
    incarnation: ConsumerIncarnation,
    /// The view that this incarnation uses: the one it was built from, or adapted to.
    view: Arc<View<NodeId>>,
    /// Connections that were made ready before the promotion.
    ready: BTreeMap<NodeId, Connection>,
    promoted: bool,
    loops: BTreeMap<NodeId, Loop>,
    /// Assignments and offsets at which partitions were taken over, until their first accepted fetch.
    awaited: BTreeMap<Partition, (AssignmentEpoch, Offset)>,
    gap: i64,
    watchdog: Watchdog,
    /// The leaders, as we know them, that knew less than we do when they were asked.
    behind: BTreeMap<Partition, Option<(NodeId, LeaderEpoch)>>,
    leaderless: leaderless::Leaderless,
    refusals: Refusals,
}

/// A running loop: it ends with this value.
struct Loop {
    address: Address,
    /// The broker's resolution when it began: see [`Cluster::resolution`].
    resolution: u64,
    led: watch::Sender<Led>,
    task: AbortHandle,
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How often the watchdog looks.
const WATCH: Duration = Duration::from_secs(1);

impl Consumer {
    /// The incarnation that uses `view`. It fetches nothing before it is promoted.
    pub(crate) fn new(
        seat: Arc<Seat>,
        incarnation: ConsumerIncarnation,
        view: Arc<View<NodeId>>,
    ) -> Consumer {
        let watchdog = Watchdog::new(seat.stall_timeout);
        let dialler = seat.dialler.with_settings_of_now();
        Consumer {
            seat,
            dialler,
            incarnation,
            view,
            ready: BTreeMap::new(),
            promoted: false,
            loops: BTreeMap::new(),
            awaited: BTreeMap::new(),
            gap: 0,
            watchdog,
            behind: BTreeMap::new(),
            leaderless: leaderless::Leaderless::default(),
            refusals: Refusals::default(),
        }
    }

    /// Which partitions each broker leads, of those that are owned.
    fn desired(&self) -> BTreeMap<NodeId, BTreeMap<Partition, LeaderEpoch>> {
        let cluster = self.seat.cluster.borrow();
        let mut desired: BTreeMap<NodeId, BTreeMap<Partition, LeaderEpoch>> = BTreeMap::new();
        for partition in self.seat.table.owned() {
            if let Some((node, epoch)) = cluster.leader(&partition) {
                desired.entry(node).or_default().insert(partition, epoch);
            }
        }
        desired
    }

    /// Where this incarnation reaches the broker: only where the broker itself has confirmed it.
    fn address(&self, node: NodeId) -> Option<Address> {
        let cluster = self.seat.cluster.borrow();
        let address = self.view.address(&node)?;
        (cluster.address(node) == Some(address)).then(|| address.clone())
    }

    /// Ends the loops that nothing is to be fetched by. Another view that is agreed is no reason: until this incarnation
    /// adapts to it or is replaced, what works goes on.
    fn leave_loops(&mut self, desired: &BTreeMap<NodeId, BTreeMap<Partition, LeaderEpoch>>) {
        let cluster = Arc::clone(&self.seat.cluster.borrow());
        let view = Arc::clone(&self.view);
        self.loops.retain(|node, running| {
            desired.contains_key(node)
                && view.address(node) == Some(&running.address)
                && cluster.resolution(*node) == running.resolution
        });
    }

    /// Opens a connection to every leader of owned partitions, all at once.
    fn prepare(&mut self, ctx: &mut Context<Self>) {
        let desired = self.desired();
        let targets: Vec<(NodeId, Address)> =
            desired.keys().filter_map(|node| Some((*node, self.address(*node)?))).collect();
        let (io, wanted) = (self.seat.env.placement.io.clone(), desired.len());
        let dialler = self.dialler.clone();
        let pin = self.seat.cluster.borrow().pin.clone();
        let open = targets.into_iter().map(move |(node, address)| {
            let (dialler, pin) = (dialler.clone(), pin.clone());
            let open = async move { (node, dialler.open(address, Some(node), pin).await) };
            io.spawn(open)
        });
        let all = futures::future::join_all(open.collect::<Vec<_>>());
        let done = all.into_actor(self).map(move |opened, consumer, _| {
            let mut failure = None;
            if opened.is_empty() {
                failure = Some("no leader of what is owned is verified at any address".to_owned());
            }
            for outcome in opened {
                match outcome {
                    Ok((node, Ok(connection))) => drop(consumer.ready.insert(node, connection)),
                    Ok((_, Err(error))) => failure = Some(error.to_string()),
                    Err(error) => failure = Some(error.to_string()),
                }
            }
            let incarnation = consumer.incarnation;
            let state = match failure {
                Some(reason) if consumer.ready.is_empty() && wanted > 0 => {
                    ConsumerState::PrepareFailed(incarnation, reason)
                }
                Some(_) | None => ConsumerState::Prepared(incarnation),
            };
            consumer.seat.supervisor.send(state);
        });
        ctx.spawn(done);
    }

    /// Brings the loops in line: one for each broker that leads owned partitions, at its address of the view.
    fn reconcile(&mut self, ctx: &mut Context<Self>) {
        if !self.promoted {
            return;
        }
        self.stop_recreated();
        let desired = self.desired();
        self.leave_loops(&desired);
        for (node, led) in desired {
            match self.loops.get(&node) {
                Some(running) => {
                    running.led.send_if_modified(|current| {
                        let changed = **current != led;
                        *current = Arc::new(led);
                        changed
                    });
                }
                None => {
                    if let Some(address) = self.address(node) {
                        self.start_loop(node, address, led, ctx);
                    }
                }
            }
        }
    }

    fn start_loop(
        &mut self,
        node: NodeId,
        address: Address,
        led: BTreeMap<Partition, LeaderEpoch>,
        ctx: &mut Context<Self>,
    ) {
        let seat = &self.seat;
        let (sender, receiver) = watch::channel(Arc::new(led));
        let owned = seat.table.owned().len().max(1);
        let intake =
            LoopIntake::new(node, self.incarnation, seat, ctx.address().recipient(), share(seat, owned));
        let pin = seat.cluster.borrow().pin.clone();
        let dice = seat.env.dice.clone();
        let fetching = LeaderLoop {
            node,
            incarnation: self.incarnation,
            dial: self.dialler.dial(address.clone(), Some(node), pin),
            transport: Arc::clone(&self.dialler.transport),
            settings: fair_settings(seat, self.view.endpoints.len()),
            memory: seat.memory.clone(),
            led: receiver,
            intake: Arc::new(intake),
            jitter: Arc::new(move || Jitter::new(dice.fraction())),
        };
        let ready = self.ready.remove(&node).filter(|connection| *connection.address() == address);
        let task = seat.env.placement.io.spawn(fetching.run(ready));
        let resolution = seat.cluster.borrow().resolution(node);
        self.loops.insert(node, Loop { address, resolution, led: sender, task: task.abort_handle() });
        // A panic in the loop is this actor's panic: it ends, and the respawn machine makes another one.
        let ended = task.into_actor(self).map(|outcome, _, _| match outcome {
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            Ok(()) | Err(_) => {}
        });
        ctx.spawn(ended);
    }

    /// A position that does not move although records wait: the broker's connection is replaced.
    fn watch(&mut self, ctx: &mut Context<Self>) {
        let (table, now) = (Arc::clone(&self.seat.table), self.seat.env.now());
        let mut stalled = BTreeSet::new();
        for partition in table.owned() {
            let waiting = table.fetch_from(&partition, self.incarnation).filter(|position| {
                let more = table.end(&partition).is_some_and(|end| end > position.offset);
                more && table.outstanding(&partition) == 0
            });
            let stood = self.watchdog.look(&partition, waiting, now);
            if let (Some(stood), Some(position)) = (stood, waiting) {
                self.seat.vitals.stalled(&partition, position, stood, now);
                self.seat.events.emit(Event::PartitionStalled {
                    place: Place::from(&partition),
                    position: position.offset,
                    stalled_ms: stood.as_secs_f64() * 1e3,
                });
                stalled.extend(self.seat.cluster.borrow().leader(&partition).map(|(node, _)| node));
            }
        }
        for node in stalled {
            self.loops.remove(&node);
        }
        self.reconcile(ctx);
        self.ask_for_leaders();
        ctx.run_later(WATCH, Self::watch);
    }

    fn accepted(&mut self, node: NodeId, partition: Partition, from: Offset) {
        self.refusals.accepted(node);
        let Some((assignment, before)) = self.awaited.remove(&partition) else { return };
        // Where another assignment begins is the group's to say: who had the partition meanwhile went on with it.
        if self.seat.table.read(&partition, Progress::assignment) != Some(assignment) {
            return self.first_record();
        }
        self.gap += (from.0 - before.0).max(0);
        self.seat.events.emit(Event::PartitionResumed {
            place: Place::from(&partition),
            before,
            after: from,
        });
        self.first_record();
    }

    fn first_record(&mut self) {
        // What was given up meanwhile is not waited for.
        let seat = Arc::clone(&self.seat);
        let fetched = |partition: &Partition| seat.table.fetch_from(partition, self.incarnation).is_some();
        let waits = self.awaited.keys().any(fetched);
        if !waits {
            self.awaited.clear();
            let (incarnation, gap) = (self.incarnation, self.gap);
            self.seat.supervisor.send(ConsumerState::FirstRecord { incarnation, gap });
        }
    }

    fn replaced(&self, node: NodeId, waited: Duration) {
        let Some(server) = self.view.address(&node).cloned().map(Into::into) else { return };
        let connection = Replaced { server, node, reason: owed(waited) };
        self.seat.events.emit(Event::ConnectionReplaced { connection });
    }

    fn suspect(&self, node: NodeId, evidence: Evidence, reason: String) {
        let address = self.view.address(&node).cloned();
        drop(self.seat.suspect.send(Suspect { reason, evidence, node: Some(node), address }));
    }
}

fn owed(waited: Duration) -> String {
    format!("a request is unanswered for {} ms", waited.as_millis())
}

/// One loop's part of the memory: while all of them wait for records, half of it is still free.
fn fair_settings(seat: &Seat, brokers: usize) -> Settings {
    let fair = seat.memory.capacity() / 2 / brokers.max(1);
    let fair = i32::try_from(fair).unwrap_or(i32::MAX).max(64 << 10);
    Settings { max_bytes: seat.settings.max_bytes.min(fair), ..seat.settings.clone() }
}

/// Bytes that one partition's handler may hold: enough to work on, and never so many that one slow partition
/// takes what the others need.
fn share(seat: &Seat, owned: usize) -> u64 {
    let usual = 2 * u64::try_from(seat.settings.partition_max_bytes).unwrap_or(0);
    let fair = (seat.memory.capacity() / 2 / owned) as u64;
    usual.min(fair).max(64 << 10)
}

impl Actor for Consumer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.add_stream(changes(self.seat.cluster.clone()));
        ctx.add_stream(changes(self.seat.table.ownership()));
        self.prepare(ctx);
        ctx.run_later(WATCH, Self::watch);
    }
}

impl Handler<Promote> for Consumer {
    type Result = ();

    fn handle(&mut self, _: Promote, ctx: &mut Context<Self>) {
        self.promoted = true;
        self.awaited = self.seat.table.hand_over(self.incarnation);
        self.reconcile(ctx);
        self.seat.supervisor.send(ConsumerState::Promoted(self.incarnation));
        self.first_record();
    }
}

impl Handler<Adapt> for Consumer {
    type Result = ();

    fn handle(&mut self, Adapt(view): Adapt, ctx: &mut Context<Self>) {
        self.view = view;
        self.reconcile(ctx);
    }
}

impl StreamHandler<Changed<Arc<Cluster>>> for Consumer {
    fn handle(&mut self, _: Changed<Arc<Cluster>>, ctx: &mut Context<Self>) {
        self.reconcile(ctx);
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl StreamHandler<Changed<u64>> for Consumer {
    fn handle(&mut self, _: Changed<u64>, ctx: &mut Context<Self>) {
        self.reconcile(ctx);
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl Handler<LoopNote> for Consumer {
    type Result = ();

    fn handle(&mut self, LoopNote { incarnation, node, note }: LoopNote, ctx: &mut Context<Self>) {
        if incarnation != self.incarnation {
            return;
        }
        match note {
            Note::Accepted { partition, from } => self.accepted(node, partition, from),
            Note::Broken { reason, evidence, .. } => self.suspect(node, evidence, reason),
            Note::Silent { waited } => {
                self.suspect(node, Evidence::Silent, owed(waited));
            }
            Note::Replaced { waited } => self.replaced(node, waited),
            Note::NotLeader { partition, code, named } => self.not_leader(node, partition, code, named, ctx),
            Note::Refused { partition, code } => {
                self.seat.events.emit(Event::PartitionRefused {
                    place: Place::from(&partition),
                    error: code.to_string(),
                });
            }
            Note::OutOfRange { partition, position, shared, earliest, latest } => {
                self.out_of_range(&partition, position, shared, (earliest, latest));
            }
            Note::Undecodable { partition, position, error } => {
                self.seat.events.emit(Event::PartitionUndecodable {
                    place: Place::from(&partition),
                    position,
                    error,
                });
            }
        }
    }
}

impl Handler<Crash> for Consumer {
    type Result = ();

    fn handle(&mut self, _: Crash, _: &mut Context<Self>) {
        panic!("asked to crash");
    }
}
