//! What is taken in of topics: from verified brokers of the agreed view, and from nobody else.

use std::sync::Arc;

use steadfast_core::cluster::Changes;
use steadfast_core::endpoints::view::Address;
use steadfast_core::tick::Tick;

use super::EndpointDiffer;
use crate::drift::published::Cluster;
use crate::events::{Event, Place};
use crate::messages::{Elected, Listing};

impl EndpointDiffer {
    pub(super) fn observe(&mut self, witness: &Address, listing: &Listing, now: Tick) {
        self.listed(listing);
        let mut cluster = Cluster::clone(&self.seat.cluster.borrow());
        let missing = cluster.leaders.missing().count();
        let changes = cluster.leaders.observe(witness, &listing.topics, now);
        // The leader of the group waits to hear of a topic, also that there is none.
        let news = !changes.is_empty() || cluster.leaders.missing().count() != missing;
        // Also what changes nothing is remembered: who said what, and when.
        self.seat.cluster.send_if_modified(|published| {
            *published = Arc::new(cluster);
            news
        });
        if !changes.appeared.is_empty() || !changes.gone.is_empty() {
            self.topics_changed();
        }
        self.tell_changes(&changes);
    }

    /// What one answer names is taken in at once: each look at the cluster is of all its topics.
    pub(super) fn learn(&mut self, elected: &[Elected]) {
        let mut cluster = Cluster::clone(&self.seat.cluster.borrow());
        let learn = |one: &Elected| cluster.leaders.learn(&one.partition, one.topic, one.node, one.epoch);
        if elected.iter().filter_map(learn).count() > 0 {
            self.seat.cluster.send_replace(Arc::new(cluster));
        }
    }

    fn tell_changes(&self, changes: &Changes) {
        for recreated in &changes.recreated {
            self.seat.events.emit(Event::TopicRecreated { topic: recreated.into() });
        }
        for regressed in &changes.regressed {
            self.seat.events.emit(Event::ClusterRegressed {
                place: Place::from(&regressed.partition),
                before: regressed.from,
                after: regressed.to,
            });
        }
    }

    /// Those are heard who are verified by now.
    pub(super) fn learn_topics(&mut self, now: Tick) {
        let published = Arc::clone(&self.seat.cluster.borrow());
        let verified = self.unheard.extract_if(.., |witness, _| published.is_verified_at(witness));
        for (witness, topics) in verified.collect::<Vec<_>>() {
            self.observe(&witness, &topics, now);
        }
    }
}
