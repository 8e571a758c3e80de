//! The member: core's machine, given connections, a clock and an arbiter of its own.
//!
//! JoinGroup and SyncGroup have a connection of their own, since the coordinator holds their answers back and is
//! deaf on that connection meanwhile; heartbeats and the leave go through another.

mod consumer;
mod requests;
mod search;
mod seat;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use actix::{Actor, AsyncContext, Context, Handler, SpawnHandle, StreamHandler};
use steadfast_core::endpoints::race::Evidence;
use steadfast_core::group::MemberId;
use steadfast_core::group::account::Happening;
use steadfast_core::group::actions::Action;
use steadfast_core::group::events::{Event, LossReason};
use steadfast_core::group::member::Machine;
use steadfast_core::ids::{NodeId, TopicId};

use super::line::{Coordinator, Line};
use crate::drift::published::Cluster;
use crate::drift::subscribed::Subscribed;
use crate::events::Event as Told;
use crate::messages::{CountTopics, Crash, End, Leave, Ownership, Released, Suspect};
use crate::watching::{Changed, changes};
pub(crate) use seat::Seat;

/// The actor.
pub(crate) struct Member {
    seat: Arc<Seat>,
    machine: Machine,
    /// For JoinGroup and SyncGroup.
    rounds: Line,
    /// For Heartbeat and LeaveGroup.
    beats: Line,
    timer: Option<SpawnHandle>,
    /// Who coordinates the group, as FindCoordinator said last.
    found: Option<NodeId>,
    /// Where the coordinator was when it was last asked.
    coordinator: Option<Coordinator>,
    counted: BTreeMap<Arc<str>, i32>,
    named: BTreeMap<TopicId, Arc<str>>,
    seeds: usize,
    /// Whether the machine was started.
    started: bool,
}

impl Member {
    /// A member that goes on from the standing in its seat.
    pub(crate) fn new(seat: Arc<Seat>) -> Member {
        let standing = seat.standing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // What to subscribe to it is told before it is started.
        let machine = Machine::new(seat.settings.clone(), BTreeSet::new(), standing, fresh_id(&seat));
        let (rounds, beats) = seat.lines();
        Member {
            seat,
            machine,
            rounds,
            beats,
            timer: None,
            found: None,
            coordinator: None,
            counted: BTreeMap::new(),
            named: BTreeMap::new(),
            seeds: 0,
            started: false,
        }
    }

    fn tell(&mut self, event: Event, ctx: &mut Context<Self>) {
        let now = self.seat.env.now();
        let actions = self.machine.handle(event, now);
        *self.seat.standing.lock().unwrap_or_else(PoisonError::into_inner) = self.machine.standing().clone();
        for action in actions {
            self.act(action, ctx);
        }
        self.arm(ctx);
    }

    fn arm(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let Some(deadline) = self.machine.next_deadline() else { return };
        let wait = deadline.since(self.seat.env.now());
        self.timer = Some(ctx.run_later(wait, |member, ctx| {
            member.timer = None;
            member.tell(Event::DeadlineReached, ctx);
        }));
    }

    fn act(&mut self, action: Action, ctx: &mut Context<Self>) {
        match action {
            Action::FindCoordinator { request, deadline } => self.find(request, deadline, ctx),
            Action::Join(join) => self.join(join, ctx),
            Action::Sync(sync) => self.sync(sync, ctx),
            Action::AskAgain => self.rounds.ask_again(),
            Action::Heartbeat(heartbeat) => self.heartbeat(heartbeat, ctx),
            Action::Leave(leave) => self.leave(leave, ctx),
            Action::ConsumerHeartbeat(heartbeat) => self.consumer_heartbeat(heartbeat, ctx),
            Action::CountPartitions { topics } => drop(self.seat.poller.send(CountTopics(topics))),
            Action::Revoke { partitions, deadline } => self.own(Ownership::Revoked { partitions, deadline }),
            Action::Assign { partitions, generation } => {
                self.own(Ownership::Assigned { partitions, generation })
            }
            Action::Lost { partitions, reason } => {
                self.seat.accounts.note(Happening::Lost { partitions: partitions.clone() });
                self.own(Ownership::Lost { partitions, reason });
            }
            Action::Publish(membership) => {
                let settled = membership.as_ref().is_some_and(|membership| membership.settled);
                self.seat.vitals.settled(settled, self.seat.env.now());
                self.seat.membership.send_replace(membership);
            }
            Action::Rebalancing { reason } => self.seat.accounts.note(Happening::Began { reason }),
            Action::Rebalanced(rebalance) => {
                let took = rebalance.took.drain + rebalance.took.join + rebalance.took.sync;
                self.seat.events.emit(Told::GroupRebalanced {
                    generation: rebalance.generation.0,
                    reason: rebalance.reason.to_string(),
                    assignor: rebalance.assignor.to_string(),
                    led: rebalance.leader,
                    took_ms: took.as_secs_f64() * 1e3,
                });
                self.seat.accounts.note(Happening::Settled(Box::new(rebalance)));
            }
            Action::CoordinatorLost { reason } => {
                self.seat.accounts.note(Happening::CoordinatorLost);
                let evidence = if reason == LossReason::Silent { Evidence::Silent } else { Evidence::Broken };
                self.suspect(evidence, &format!("the group coordinator: {reason}"));
            }
            Action::Noted { api, code, reaction } => {
                tracing::debug!(?api, ?code, ?reaction, "the coordinator refused a request");
            }
            Action::Left => drop(self.seat.end.send(End::Left)),
            Action::Fatal(refusal) => {
                self.seat.events.emit(Told::MemberRefused { reason: refusal.to_string() });
                drop(self.seat.end.send(End::Refused(refusal.to_string())));
            }
        }
    }

    /// Without a checkpointer (it is being begun anew) the ownership is taken from the member's standing.
    fn own(&self, ownership: Ownership) {
        drop(self.seat.checkpointer.send(ownership));
    }

    fn suspect(&self, evidence: Evidence, reason: &str) {
        let (node, address) = match &self.coordinator {
            Some(Coordinator { node, address, .. }) => (Some(*node), Some(address.clone())),
            None => (None, None),
        };
        drop(self.seat.suspect.send(Suspect { reason: reason.to_owned(), evidence, node, address }));
    }

    /// Takes over what to subscribe to. As long as that is not known, there is nothing to join for.
    fn subscribe(&mut self, ctx: &mut Context<Self>) {
        let Some(subscription) = self.seat.subscribed.borrow().clone() else { return };
        let (topics, pattern) = (subscription.topics.clone(), subscription.pattern.clone());
        self.tell(Event::SubscriptionChanged { topics, pattern }, ctx);
        if !std::mem::replace(&mut self.started, true) {
            self.tell(Event::Start, ctx);
        }
    }

    /// The published cluster changed: partition counts, or the coordinator's address.
    fn observe(&mut self, ctx: &mut Context<Self>) {
        let (counts, names, moved) = {
            let cluster = self.seat.cluster.borrow();
            let moved = self.coordinator.as_ref().is_some_and(|coordinator| {
                cluster.address(coordinator.node).is_some_and(|address| *address != coordinator.address)
            });
            (cluster.partition_counts(), cluster.topic_names(), moved)
        };
        if moved {
            self.tell(Event::CoordinatorLost { reason: LossReason::EndpointMoved }, ctx);
        }
        if counts != self.counted {
            self.counted = counts.clone();
            self.tell(Event::PartitionsChanged { counts }, ctx);
        }
        if names != self.named {
            self.named = names.clone();
            self.tell(Event::TopicsNamed { names }, ctx);
        }
    }
}

/// The id of a member that makes its own (KIP-848): a random UUID, written as Kafka writes them.
fn fresh_id(seat: &Seat) -> MemberId {
    const MARKS: u128 = 0xf << 76 | 0x3 << 62;
    const RANDOM: u128 = 0x4 << 76 | 0x2 << 62; // version 4 (RFC 9562)
    let id = TopicId(u128::from_be_bytes(seat.env.dice.bytes()) & !MARKS | RANDOM);
    MemberId(id.to_string().into())
}

impl Actor for Member {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.add_stream(changes(self.seat.cluster.clone()));
        ctx.add_stream(changes(self.seat.subscribed.clone()));
        // The partition counts are to be known before the first round.
        self.observe(ctx);
        self.subscribe(ctx);
    }
}

impl StreamHandler<Changed<Subscribed>> for Member {
    fn handle(&mut self, _: Changed<Subscribed>, ctx: &mut Context<Self>) {
        self.subscribe(ctx);
    }

    /// The end of what is published is the end of the service, not of the membership.
    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl StreamHandler<Changed<Arc<Cluster>>> for Member {
    fn handle(&mut self, _: Changed<Arc<Cluster>>, ctx: &mut Context<Self>) {
        self.observe(ctx);
    }

    /// The end of the published cluster is the end of the service, not of the membership.
    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl Handler<Released> for Member {
    type Result = ();

    fn handle(&mut self, released: Released, ctx: &mut Context<Self>) {
        let event = match released {
            Released::Partitions(partitions) => Event::Revoked { partitions },
            Released::CommitRefused { generation, code } => Event::CommitRefused { generation, code },
        };
        self.tell(event, ctx);
    }
}

impl Handler<Leave> for Member {
    type Result = ();

    fn handle(&mut self, leave: Leave, ctx: &mut Context<Self>) {
        self.tell(Event::Leave { reason: leave.reason }, ctx);
    }
}

impl Handler<Crash> for Member {
    type Result = ();

    fn handle(&mut self, _: Crash, _: &mut Context<Self>) {
        panic!("asked to crash");
    }
}
