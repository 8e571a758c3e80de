//! What is subscribed by now, published as one watched value: named topics as they are configured, a pattern with the
//! topics that match it.

use std::collections::BTreeSet;
use std::sync::Arc;

use steadfast_watch as watch;

use crate::config::Topics;

/// What is subscribed; none until that is known, which with a pattern takes a broker's word.
pub(crate) type Subscribed = Option<Arc<Subscription>>;

/// What the member is to subscribe to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Subscription {
    /// The topics: with a pattern those that match by now.
    pub(crate) topics: BTreeSet<Arc<str>>,
    /// The pattern's text, for brokers that resolve patterns themselves.
    pub(crate) pattern: Option<Arc<str>>,
}

/// What is subscribed at start.
pub(crate) fn at_start(topics: &Topics) -> (watch::Sender<Subscribed>, watch::Receiver<Subscribed>) {
    watch::channel(match topics {
        Topics::Named(names) => Some(Arc::new(named(names))),
        Topics::Matching(_) => None,
    })
}

/// Named topics are subscribed whether they exist or not.
pub(crate) fn named(names: &[Arc<str>]) -> Subscription {
    Subscription { topics: names.iter().cloned().collect(), pattern: None }
}
