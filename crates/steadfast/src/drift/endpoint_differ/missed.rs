//! Which brokers of the agreed view are missed: whom nobody could reach for a while although they are needed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext, Context};
use steadfast_core::endpoints::agreement::OwnWord;
use steadfast_core::endpoints::reach::{Absent, Reach};
use steadfast_core::ids::NodeId;
use steadfast_core::tick::Tick;

use super::EndpointDiffer;
use crate::drift::published::Cluster;
use crate::vitals::Part;

/// How often those are looked at that are out of reach: they may be reached on other ways than by being asked, and be
/// needed from now on.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A connection whose fetches were answered within so long, beyond the time for which they may wait, works.
const LATELY: Duration = Duration::from_secs(5);

/// Brokers that fall silent within so long are told together.
const TOGETHER: Duration = Duration::from_secs(1);

impl EndpointDiffer {
    /// Takes in who answered, and who did not.
    pub(super) fn note_reach(&mut self) {
        let published = Arc::clone(&self.seat.cluster.borrow());
        let Some(view) = &published.view else { return };
        self.coordinator = self.seat.vitals.coordinator().or(self.coordinator);
        let mut words = self.agreement.own_words(view);
        for (_, word) in words.iter_mut().filter(|(node, _)| self.misled.contains_key(node)) {
            *word = OwnWord::Absent { reason: "another broker answers there".to_owned() };
        }
        let mut reach = published.reach.clone();
        reach.heard(view, &words, self.seat.env.now());
        self.set_reach(reach);
    }

    /// After a while in which nothing could be agreed, everybody has some time to come back.
    pub(super) fn forget_reach(&mut self) {
        self.set_reach(Reach::new());
    }

    fn set_reach(&self, reach: Reach<NodeId>) {
        self.seat.cluster.send_if_modified(|cluster| {
            // Nobody has to act on it.
            if cluster.reach != reach {
                *cluster = Arc::new(Cluster { reach, ..Cluster::clone(cluster) });
            }
            false
        });
    }

    /// Who has been out of reach for so long, and is needed.
    pub(super) fn missed(&self, settle: Duration) -> BTreeMap<NodeId, Absent> {
        let published = Arc::clone(&self.seat.cluster.borrow());
        let Some(view) = &published.view else { return BTreeMap::new() };
        let (vitals, now) = (&self.seat.vitals, self.seat.env.now());
        let lately = LATELY + self.seat.config.borrow().kafka.fetch_max_wait;
        let lately = Tick::at(now.since_start().saturating_sub(lately));
        let needed = |node: &NodeId, absent: &Absent| {
            let coordinates = self.coordinator == Some(*node) && vitals.lacks_coordinator(absent.since);
            // Who led before may have answered since, and so may a connection that has gone silent later.
            coordinates || vitals.lacks_leader(*node, absent.since.max(lately))
        };
        published.reach.missed(view, &published.verified, needed, settle, now)
    }

    /// Says who is missed from now on, or nobody any more. Before a view is agreed again that would be one part of
    /// what is missing: then all of it is told.
    pub(super) fn look(&mut self, ctx: &mut Context<Self>) {
        if let Some(looking) = self.looking.take() {
            ctx.cancel_future(looking);
        }
        let now = self.seat.env.now();
        let mut missed = self.missed(self.settle);
        if !missed.is_empty() {
            missed = self.missed(self.settle.saturating_sub(TOGETHER));
        }
        let (vitals, events) = (&self.seat.vitals, &self.seat.events);
        if missed.is_empty() {
            self.missed.clear();
            vitals.recovered(Part::Brokers, events, now);
        } else if self.agreed || !self.missed.is_empty() {
            let news = missed.keys().any(|node| !self.missed.contains(node));
            let what = |(node, Absent { address, reason, .. }): (&NodeId, &Absent)| {
                format!("broker {node} at {address}: {reason}")
            };
            vitals.degraded(Part::Brokers, missed.iter().map(what).collect(), news, events, now);
            self.missed = missed.into_keys().collect();
        }
        let next = self.seat.cluster.borrow().reach.next_deadline(self.settle, now);
        // Who is of no use now may lead a partition later.
        let again = (!self.seat.cluster.borrow().reach.is_empty()).then(|| now + LOOK_AGAIN);
        if let Some(at) = next.into_iter().chain(again).min() {
            self.looking = Some(ctx.run_later(at.since(now), |differ, ctx| {
                differ.looking = None;
                differ.look(ctx);
            }));
        }
    }
}
