//! What the service takes the cluster for, against what it is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId};
use steadfast_core::tick::Tick;

use super::deliveries::name;
use super::happening::Service;
use super::violation::{Broken, Invariant, ensure};

/// What was heard before may count for so long, and a discovery take the rest.
const HEARD_FOR: Duration = Duration::from_secs(35);

/// Brokers, and where each is reached.
type View = BTreeMap<NodeId, Address>;

/// What brokers say, and whose cluster is pinned.
#[derive(Debug, Default)]
pub(super) struct Views {
    told: BTreeSet<View>,
    /// What was told until then, and no more.
    former: VecDeque<(View, Tick)>,
    pinned: Option<ClusterId>,
    /// Since when, and until when, each service has heard from each address what the cluster is, without a long pause.
    heard: BTreeMap<(Service, Address), (Tick, Tick)>,
}

impl Views {
    /// From now on brokers tell these views and no others.
    pub(super) fn told(&mut self, told: BTreeSet<View>, at: Tick) {
        let before = std::mem::replace(&mut self.told, told);
        self.former.retain(|(_, until)| at <= *until + HEARD_FOR);
        self.former.extend(before.difference(&self.told).map(|view| (view.clone(), at)));
    }

    pub(super) fn heard(&mut self, service: Service, from: Address, at: Tick) {
        let heard = self.heard.entry((service, from)).or_insert((at, at));
        *heard = if at.since(heard.1) > HEARD_FOR { (at, at) } else { (heard.0, at) };
    }

    /// Most addresses that the view names have answered, or one has and it has stood for a while.
    pub(super) fn is_witnessed(
        &self,
        service: Service,
        endpoints: &View,
        settle: Duration,
        at: Tick,
    ) -> Result<(), Broken> {
        let electorate: BTreeSet<&Address> = endpoints.values().collect();
        let heard = |address: &&Address| {
            let heard = self.heard.get(&(service, Address::clone(address)));
            heard.filter(|(_, last)| at.since(*last) <= HEARD_FOR).map(|(since, _)| *since)
        };
        let answers: Vec<Tick> = electorate.iter().filter_map(heard).collect();
        let settled = answers.iter().any(|since| at.since(*since) >= settle);
        ensure(answers.len() * 2 > electorate.len() || settled, Invariant::ViewWitnessed, || {
            format!("{} agrees on {endpoints:?}: {} of its addresses answered", name(service), answers.len())
        })
    }

    pub(super) fn agreed(
        &mut self,
        service: Service,
        cluster: Option<ClusterId>,
        endpoints: &View,
        at: Tick,
    ) -> Result<(), Broken> {
        let pinned = self.pinned.get_or_insert_with(|| cluster.clone().unwrap_or_else(|| "".into()));
        ensure(cluster.as_ref() == Some(&*pinned), Invariant::ClusterPinned, || {
            format!("{} agrees on {cluster:?}, pinned is {pinned}", name(service))
        })?;
        if self.told.is_empty() && self.former.is_empty() {
            return Ok(());
        }
        let mut former = self.former.iter().filter(|(_, until)| at <= *until + HEARD_FOR);
        let heard = self.told.contains(endpoints) || former.any(|(view, _)| view == endpoints);
        ensure(heard, Invariant::ViewTrue, || {
            let (told, former) = (&self.told, &self.former);
            format!("{} agrees on {endpoints:?}, told is {told:?}, before {former:?}", name(service))
        })
    }
}
