//! The full sweep: every broker of the view in use is asked on a fresh connection, whoever agreed already.

use std::sync::Arc;

use actix::fut::wrap_stream;
use actix::{ActorStreamExt, AsyncContext, Context};
use futures::{StreamExt, stream};
use steadfast_core::endpoints::view::{Address, View};
use steadfast_core::ids::NodeId;

use super::question::{Answered, Question};
use super::{MetadataPoller, OTHER_VIEW};
use crate::messages::Observed;

/// How many brokers are asked at once: a sweep is in no hurry.
const AT_ONCE: usize = 8;

impl MetadataPoller {
    /// A discovery ends with the first majority: what is wrong with the others it does not hear. So they are asked at
    /// intervals; who tells another view is a reason for a discovery.
    pub(super) fn sweep(&mut self, ctx: &mut Context<Self>) {
        let in_use = self.seat.cluster.borrow().view.clone();
        if let Some(view) = in_use {
            self.ask_each(&view, ctx);
        }
        let wait = self.config().drift.sweep_interval;
        ctx.run_later(wait, |poller, ctx| poller.sweep(ctx));
    }

    fn ask_each(&self, view: &View<NodeId>, ctx: &mut Context<Self>) {
        let (dialler, io) = (self.seat.dialler.clone(), self.seat.env.placement.io.clone());
        let brokers: Vec<(NodeId, Address)> =
            view.endpoints.iter().map(|(node, at)| (*node, at.address.clone())).collect();
        let asked = stream::iter(brokers).map(move |(node, to)| {
            let (dialler, at) = (dialler.clone(), to.clone());
            let question = io.spawn(Question { dialler, to, name: None, topics: Some(Vec::new()) }.ask());
            async move {
                let answer = question.await.unwrap_or_else(|error| Err(error.to_string()));
                (node, at, answer)
            }
        });
        let answers = wrap_stream::<_, Self>(asked.buffer_unordered(AT_ONCE));
        let swept = answers.map(|(node, at, answer), poller, ctx| poller.swept(node, at, answer, ctx));
        ctx.spawn(swept.finish());
    }

    fn swept(
        &mut self,
        node: NodeId,
        address: Address,
        answer: Result<Answered, String>,
        ctx: &mut Context<Self>,
    ) {
        let answer = match answer {
            Ok((answer, _)) => answer,
            Err(reason) => return drop(self.seat.differ.send(Observed::Missed { address, reason })),
        };
        let observation = self.observation(address.clone(), &answer);
        let cluster = Arc::clone(&self.seat.cluster.borrow());
        let differs = cluster.view.as_deref() != Some(&observation.view);
        self.observed(observation, None, None);
        if differs {
            self.suspect_broker(node, address, OTHER_VIEW, ctx);
        }
    }
}
