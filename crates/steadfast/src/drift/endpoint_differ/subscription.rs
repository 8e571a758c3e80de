//! What is subscribed by now: resolved from the configuration and what is believed of the topics.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext, Context, SpawnHandle, StreamHandler};

use super::EndpointDiffer;
use crate::config::{Config, TopicPattern, Topics};
use crate::drift::subscribed::{Subscription, named};
use crate::messages::Listing;
use crate::watching::Changed;

/// Each change costs the group a rebalance: what changes within this time is one.
const COALESCE: Duration = Duration::from_millis(500);

/// What the differ knows of it.
#[derive(Default)]
pub(super) struct Resolving {
    /// The pattern for which a verified broker has listed all topics, and which of those Kafka itself keeps.
    listed: Option<(Arc<str>, BTreeSet<Arc<str>>)>,
    /// Whether topics came or went since it was resolved last.
    stale: bool,
    /// A change that waits for others.
    waiting: Option<SpawnHandle>,
}

impl EndpointDiffer {
    /// A verified broker has said what topics there are.
    pub(super) fn listed(&mut self, listing: &Listing) {
        if let Some(pattern) = &listing.pattern {
            let listed = Some((Arc::clone(pattern), listing.internal.clone()));
            self.resolving.stale |= self.resolving.listed != listed;
            self.resolving.listed = listed;
        }
    }

    pub(super) fn topics_changed(&mut self) {
        self.resolving.stale = true;
    }

    /// Publishes what is subscribed by now, if that is another than before: the first time at once, later after a pause
    /// in which more may change.
    pub(super) fn resolve(&mut self, ctx: &mut Context<Self>) {
        if !std::mem::take(&mut self.resolving.stale) || self.resolving.waiting.is_some() {
            return;
        }
        let published = self.seat.subscribed.subscribe();
        let published = published.borrow().clone();
        match (self.subscription(), published) {
            (Some(_), None) => self.publish_subscription(),
            (Some(now), Some(before)) if now != *before => {
                self.resolving.waiting = Some(ctx.run_later(COALESCE, |differ, _| {
                    differ.resolving.waiting = None;
                    differ.publish_subscription();
                }));
            }
            (Some(_), Some(_)) | (None, _) => {}
        }
    }

    fn publish_subscription(&self) {
        let Some(subscription) = self.subscription() else { return };
        self.seat.subscribed.send_if_modified(|published| {
            let changed = published.as_deref() != Some(&subscription);
            if changed {
                *published = Some(Arc::new(subscription));
            }
            changed
        });
    }

    /// None as long as nobody has listed the topics that may match.
    fn subscription(&self) -> Option<Subscription> {
        match &self.seat.config.borrow().topics {
            Topics::Named(names) => Some(named(names)),
            Topics::Matching(pattern) => self.matching(pattern),
        }
    }

    fn matching(&self, pattern: &TopicPattern) -> Option<Subscription> {
        let (_, internal) = self.resolving.listed.as_ref().filter(|(listed, _)| listed == pattern.text())?;
        let cluster = self.seat.cluster.borrow();
        let matching = |name: &&Arc<str>| pattern.matches(name) && !internal.contains(*name);
        let topics = cluster.leaders.topics().filter(matching).cloned().collect();
        Some(Subscription { topics, pattern: Some(Arc::clone(pattern.text())) })
    }
}

impl StreamHandler<Changed<Arc<Config>>> for EndpointDiffer {
    fn handle(&mut self, _: Changed<Arc<Config>>, ctx: &mut Context<Self>) {
        self.resolving.stale = true;
        self.resolve(ctx);
    }

    /// The end of the published configuration is the end of the service.
    fn finished(&mut self, _: &mut Context<Self>) {}
}
