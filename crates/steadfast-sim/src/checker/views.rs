//! What the service takes the cluster for, against what it is.

use std::collections::BTreeMap;
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
    pinned: Option<ClusterId>,
}

impl Views {
    pub(super) fn truth(&mut self, endpoints: Option<BTreeMap<NodeId, Address>>, at: Tick) {
        let before = self.truth.take();
        self.truth = endpoints.map(|endpoints| match before {
            Some((before, since)) if before == endpoints => (before, since),
            Some(_) | None => (endpoints, at),
        });
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
        let settled = at >= *since + HEARD_FOR;
        ensure(!settled || truth == endpoints, Invariant::ViewTrue, || {
            format!("{} agrees on {endpoints:?}, since {since} it is {truth:?}", name(service))
        })
    }
}
