//! What the service takes the cluster for, against what it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId};
use steadfast_core::tick::Tick;

use super::deliveries::name;
use super::happening::Service;
use super::violation::{Broken, Invariant, ensure};

/// What was heard before may count for so long, and a discovery take the rest.
const HEARD_FOR: Duration = Duration::from_secs(35);

/// The truth, and whose cluster is pinned.
#[derive(Debug, Default)]
pub(super) struct Views {
    truth: Option<(BTreeMap<NodeId, Address>, Tick)>,
    /// Who has agreed on it.
    known: BTreeSet<Service>,
    pinned: Option<ClusterId>,
    /// When each service heard last from each address what the cluster is, and since when without a long pause.
    heard: BTreeMap<(Service, Address), (Tick, Tick)>,
}

impl Views {
    pub(super) fn truth(&mut self, endpoints: Option<BTreeMap<NodeId, Address>>, at: Tick) {
        if self.truth.as_ref().map(|(truth, _)| truth) != endpoints.as_ref() {
            self.truth = endpoints.map(|endpoints| (endpoints, at));
            self.known.clear();
        }
    }

    pub(super) fn heard(&mut self, service: Service, from: Address, at: Tick) {
        let heard = self.heard.entry((service, from)).or_insert((at, at));
        *heard = if at.since(heard.1) > HEARD_FOR { (at, at) } else { (heard.0, at) };
    }

    /// Most addresses that the view names have answered, or one has and it has stood for a while.
    pub(super) fn is_witnessed(
        &self,
        service: Service,
        endpoints: &BTreeMap<NodeId, Address>,
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
        endpoints: &BTreeMap<NodeId, Address>,
        at: Tick,
    ) -> Result<(), Broken> {
        let pinned = self.pinned.get_or_insert_with(|| cluster.clone().unwrap_or_else(|| "".into()));
        ensure(cluster.as_ref() == Some(&*pinned), Invariant::ClusterPinned, || {
            format!("{} agrees on {cluster:?}, pinned is {pinned}", name(service))
        })?;
        let Some((truth, since)) = &self.truth else { return Ok(()) };
        let settled = at >= *since + HEARD_FOR || self.known.contains(&service);
        if truth == endpoints {
            self.known.insert(service);
            return Ok(());
        }
        ensure(!settled, Invariant::ViewTrue, || {
            format!("{} agrees on {endpoints:?}, since {since} it is {truth:?}", name(service))
        })
    }
}
