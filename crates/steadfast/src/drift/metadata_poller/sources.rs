//! Where a discovery begins: every address that may know better.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use steadfast_core::endpoints::race::{Event, Source};
use steadfast_core::endpoints::view::Address;

use super::MetadataPoller;
use super::names::{is_name, resolve};

impl MetadataPoller {
    /// In use, stored, configured, resolved from a bootstrap name, fed by the user's own actors.
    pub(super) fn sources(&self) -> Vec<(Address, Source)> {
        let config = self.config();
        let cluster = Arc::clone(&self.seat.cluster.borrow());
        // Also what the consumer still uses when another view is agreed already: who is listed there has a say.
        let in_use = cluster.view.iter().chain(&cluster.in_use).flat_map(|view| view.endpoints.values());
        let in_use = in_use.map(|endpoint| (endpoint.address.clone(), Source::InUse));
        let stored = self.seat.last_known_good.iter().map(|at| (at.clone(), Source::LastKnownGood));
        let configured = config.kafka.bootstrap_servers.iter().map(|at| (at.clone(), Source::Configuration));
        let resolved = self.bootstrap.keys().map(|at| (at.clone(), Source::Bootstrap));
        let fed = Arc::clone(&self.seat.fed.borrow());
        let fed = fed.values().flatten().map(|at| (at.clone(), Source::Fed));
        in_use.chain(stored).chain(configured).chain(resolved).chain(fed).collect()
    }

    /// A bootstrap name may have many addresses, and the first that can be connected to may be the one that knows
    /// nothing: each is asked for itself, in the discovery that runs.
    pub(super) fn resolve_bootstrap(&mut self, ctx: &mut Context<Self>) {
        let config = self.config();
        let names: BTreeSet<Address> =
            config.kafka.bootstrap_servers.iter().filter(|at| is_name(at)).cloned().collect();
        let transport = Arc::clone(&self.seat.dialler.transport);
        let resolved = self.seat.env.placement.io.spawn(resolve(transport, names.clone()));
        let done = resolved.into_actor(self).map(move |resolved, poller, ctx| {
            let resolved = resolved.unwrap_or_default();
            // A name that gives no answer now may lead to where it did.
            let unanswered = |name: &Address| names.contains(name) && !resolved.contains_key(name);
            let kept: Vec<_> = poller.bootstrap.iter().filter(|(_, name)| unanswered(name)).collect();
            let kept: BTreeMap<_, _> =
                kept.into_iter().map(|(at, name)| (at.clone(), name.clone())).collect();
            let each: BTreeMap<_, _> = kept.into_iter().chain(each_of(resolved)).collect();
            if poller.bootstrap != each {
                poller.bootstrap = each;
                let sources = poller.sources();
                poller.tell(Event::Sources(sources), ctx);
            }
        });
        ctx.spawn(done);
    }
}

/// The addresses of those names that have several, each with its name. What has one is asked by its name already.
fn each_of(resolved: BTreeMap<Address, Vec<SocketAddr>>) -> BTreeMap<Address, Address> {
    let several = resolved.into_iter().filter(|(_, answers)| answers.len() > 1);
    let each = several.flat_map(|(name, answers)| {
        answers.into_iter().map(move |at| (Address::new(at.ip().to_string(), at.port()), name.clone()))
    });
    each.collect()
}
