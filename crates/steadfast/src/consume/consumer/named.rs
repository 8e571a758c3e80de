//! What follows when a broker says that it does not lead partitions, and who does (KIP-951).

use std::collections::BTreeMap;
use std::time::Duration;

use actix::{AsyncContext, Context};
use steadfast_core::endpoints::race::Evidence;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{NodeId, Partition};
use steadfast_core::tick::Tick;
use steadfast_kafka::api::ErrorCode;
use steadfast_kafka::fetch::intake::NamedLeader;

use super::Consumer;
use crate::messages::{Elected, Observed};

/// What brokers refused for want of leadership: what comes with one answer is told at once.
#[derive(Default)]
pub(super) struct Refusals {
    elected: Vec<Elected>,
    unled: BTreeMap<NodeId, Unled>,
    /// How often of late what answers at a broker's address has named that broker, and when it did last.
    misleading: BTreeMap<NodeId, (u32, Tick)>,
}

/// What one broker does not lead, and where it leads to nobody that is verified.
struct Unled {
    partition: Partition,
    code: ErrorCode,
    /// How many more partitions.
    more: usize,
    named: Option<NamedLeader>,
    /// Whether it named the broker that we took it for.
    names_itself: bool,
}

/// An elected broker may need a moment until it knows of it. After so many answers it is another one that answers.
const MISLED: u32 = 3;
/// Answers further apart have nothing to do with each other.
const OF_LATE: Duration = Duration::from_secs(5);

impl Refusals {
    /// The broker leads something, so it is the one that it is taken for.
    pub(super) fn accepted(&mut self, node: NodeId) {
        self.misleading.remove(&node);
    }

    fn is_empty(&self) -> bool {
        self.elected.is_empty() && self.unled.is_empty()
    }

    fn misleads(&mut self, node: NodeId, now: Tick) -> bool {
        self.misleading.retain(|_, (_, last)| now.since(*last) <= OF_LATE);
        let (times, last) = self.misleading.entry(node).or_insert((0, now));
        (*times, *last) = (*times + 1, now);
        *times >= MISLED
    }
}

impl Consumer {
    /// A newer leader that is verified where it is said to be takes over at once. One that would be somewhere else
    /// is not believed: everybody is asked, as where none is named.
    pub(super) fn not_leader(
        &mut self,
        node: NodeId,
        partition: Partition,
        code: ErrorCode,
        named: Option<NamedLeader>,
        ctx: &mut Context<Self>,
    ) {
        if self.is_behind(&partition, code) {
            return;
        }
        if self.refusals.is_empty() {
            ctx.run_later(Duration::ZERO, Self::tell_refusals);
        }
        // Who only has a newer epoch names itself by right.
        let names_itself = code == ErrorCode::NOT_LEADER_OR_FOLLOWER
            && named.as_ref().is_some_and(|named| named.node == node);
        let news = named.filter(|named| self.is_news(&partition, named));
        match news {
            Some(NamedLeader { topic, node, epoch, address }) if self.is_verified(node, &address) => {
                self.refusals.elected.push(Elected { partition, topic, node, epoch });
            }
            named => self.unled(node, Unled { partition, code, more: 0, named, names_itself }),
        }
    }

    fn unled(&mut self, node: NodeId, unled: Unled) {
        match self.refusals.unled.get_mut(&node) {
            Some(told) => {
                told.more += 1;
                told.names_itself |= unled.names_itself;
            }
            None => drop(self.refusals.unled.insert(node, unled)),
        }
    }

    fn tell_refusals(&mut self, _: &mut Context<Self>) {
        let elected = std::mem::take(&mut self.refusals.elected);
        if !elected.is_empty() {
            drop(self.seat.differ.send(Observed::LeadersNamed(elected)));
        }
        let now = self.seat.env.now();
        for (node, unled) in std::mem::take(&mut self.refusals.unled) {
            let reason = if unled.names_itself && self.refusals.misleads(node, now) {
                self.leave_misled(node);
                format!(
                    "another broker answers for {node}: it names {node} as the leader of what it does not lead"
                )
            } else {
                unled.to_string()
            };
            self.suspect(node, Evidence::Broken, reason);
        }
    }

    /// Nothing is asked there until the broker is verified anew, and then over a fresh connection.
    fn leave_misled(&mut self, node: NodeId) {
        self.refusals.misleading.remove(&node);
        self.loops.remove(&node);
        drop(self.seat.differ.send(Observed::Misled { node }));
    }

    /// A broker may hear of an election later than we do. What it says of that is heeded when it says so again.
    fn is_behind(&mut self, partition: &Partition, code: ErrorCode) -> bool {
        let known = self.seat.cluster.borrow().leader(partition);
        code == ErrorCode::UNKNOWN_LEADER_EPOCH && self.behind.insert(partition.clone(), known) != Some(known)
    }

    fn is_news(&self, partition: &Partition, named: &NamedLeader) -> bool {
        let known = self.seat.cluster.borrow().leader(partition);
        known.is_none_or(|(_, epoch)| named.epoch > epoch)
    }

    fn is_verified(&self, node: NodeId, address: &Address) -> bool {
        let config = self.dialler.config.borrow();
        self.seat.cluster.borrow().address(node) == Some(config.reached(address))
    }
}

impl std::fmt::Display for Unled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.partition)?;
        if self.more > 0 {
            write!(f, " and {} more", self.more)?;
        }
        write!(f, ": {}", self.code)?;
        if let Some(named) = &self.named {
            write!(f, ", and broker {} leads it now, at {}", named.node, named.address)?;
        }
        Ok(())
    }
}
