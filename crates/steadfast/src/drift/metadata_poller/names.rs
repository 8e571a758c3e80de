//! The names of the endpoints in use: resolved again at each poll, and compared with what is connected.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use steadfast_core::endpoints::resolution::Resolutions;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;
use steadfast_core::tick::Tick;
use steadfast_kafka::transport::Transport;
use tokio::time::timeout;

use crate::dialler::Peers;
use crate::drift::published::Cluster;
use crate::messages::Resolved;

/// How many names are resolved at once.
const AT_ONCE: usize = 8;

/// For all names together: what came by then counts.
const LIMIT: Duration = Duration::from_secs(1);

/// How long until the same names are suspected again: what they lead to may not be up yet.
const SUSPECTED_AGAIN: Duration = Duration::from_secs(30);

/// What each of these names resolves to now; those are left out of which that is not known in time.
pub(super) async fn resolve(
    transport: Arc<dyn Transport>,
    names: BTreeSet<Address>,
) -> BTreeMap<Address, Vec<SocketAddr>> {
    let ask = |name: Address| {
        let transport = Arc::clone(&transport);
        async move {
            let answers = transport.resolve(&name).await;
            (name, answers)
        }
    };
    let mut asking = stream::iter(names).map(ask).buffer_unordered(AT_ONCE);
    let mut resolved = BTreeMap::new();
    let all = async {
        while let Some((name, answers)) = asking.next().await {
            if let Ok(answers) = answers {
                resolved.insert(name, answers);
            }
        }
    };
    let in_time = timeout(LIMIT, all).await;
    if in_time.is_err() {
        tracing::debug!("names are not resolved within {LIMIT:?}");
    }
    resolved
}

/// Whether the host is a name and no IP address.
pub(super) fn is_name(address: &Address) -> bool {
    address.host.parse::<IpAddr>().is_err()
}

/// What names said, and what follows.
pub(super) struct Names {
    resolutions: Resolutions,
    /// To what connections are made that their names do not lead to, and when that was suspected.
    stale: BTreeMap<Address, (BTreeSet<IpAddr>, Tick)>,
    /// What was to be replaced already: a connection that nobody uses may stand for long after.
    replaced: BTreeMap<Address, BTreeSet<IpAddr>>,
    /// The published resolutions, as they were when they were last looked at.
    published: BTreeMap<NodeId, u64>,
}

impl Names {
    pub(super) fn new(settle: Duration) -> Names {
        Names {
            resolutions: Resolutions::new(settle),
            stale: BTreeMap::new(),
            replaced: BTreeMap::new(),
            published: BTreeMap::new(),
        }
    }

    /// Takes in what the names of all endpoints in use resolve to. Says what is to be suspected.
    pub(super) fn resolved(
        &mut self,
        resolved: &BTreeMap<Address, Vec<SocketAddr>>,
        in_use: &BTreeSet<Address>,
        peers: &Peers,
        now: Tick,
    ) -> Vec<Resolved> {
        self.resolutions.retain(in_use);
        self.stale.retain(|address, _| in_use.contains(address));
        self.replaced.retain(|address, _| in_use.contains(address));
        let names = resolved.iter().filter(|(address, _)| in_use.contains(address));
        names.filter_map(|(address, answers)| self.one(address, answers, peers, now)).collect()
    }

    fn one(
        &mut self,
        address: &Address,
        answers: &[SocketAddr],
        peers: &Peers,
        now: Tick,
    ) -> Option<Resolved> {
        let to = answers.first()?.ip().to_canonical();
        let answers: BTreeSet<IpAddr> = answers.iter().map(|at| at.ip().to_canonical()).collect();
        let mut stale = self.resolutions.resolved(address, &answers, &peers.of(address), now);
        if let Some(replaced) = self.replaced.get_mut(address) {
            replaced.retain(|ip| !answers.contains(ip));
            stale.retain(|ip| !replaced.contains(ip));
        }
        let Some(from) = stale.first().copied() else {
            self.stale.remove(address);
            return None;
        };
        let told = self
            .stale
            .get(address)
            .filter(|(before, told)| *before == stale && now.since(*told) < SUSPECTED_AGAIN);
        if told.is_some() {
            return None;
        }
        self.stale.insert(address.clone(), (stale, now));
        Some(Resolved { address: address.clone(), from, to })
    }

    /// What a fresh connection to `address` that is made to `peer` leaves behind, if that is anything.
    pub(super) fn left_behind(&self, address: &Address, peer: Option<IpAddr>) -> Option<Resolved> {
        let (stale, _) = self.stale.get(address)?;
        let to = peer.map(|peer| peer.to_canonical()).filter(|peer| !stale.contains(peer))?;
        Some(Resolved { address: address.clone(), from: *stale.first()?, to })
    }

    /// What was published as resolved anew is replaced: no more is to follow from it.
    pub(super) fn follow(&mut self, cluster: &Cluster) {
        for (node, resolution) in &cluster.resolutions {
            let before = self.published.insert(*node, *resolution).unwrap_or(0);
            let address = cluster.view.as_ref().and_then(|view| view.address(node));
            if *resolution > before
                && let Some(address) = address
                && let Some((stale, _)) = self.stale.remove(address)
            {
                self.replaced.entry(address.clone()).or_default().extend(stale);
            }
        }
    }
}
