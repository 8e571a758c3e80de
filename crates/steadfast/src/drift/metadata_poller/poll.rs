//! The poll: one verified broker after another is asked whether anything is new, each over a connection that stands.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, SpawnHandle, WrapFuture};
use steadfast_core::endpoints::race::Evidence;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{NodeId, TopicId};
use steadfast_core::tick::Tick;
use steadfast_kafka::api::ErrorCode;
use steadfast_kafka::api::metadata::{Metadata, MetadataAnswer, TopicMetadata};
use steadfast_kafka::connection::{ConnectError, Connection};

use super::question::{ANSWER_LIMIT, Wanted};
use super::{MetadataPoller, OTHER_VIEW, REBOOTSTRAP};
use crate::config::SecuritySettings;
use crate::drift::published::Cluster;
use crate::messages::Suspect;

/// What is wrong with a broker whose topics are others than those that are known.
const OTHER_TOPIC: &str = "a broker shows a topic under another id";

/// How many brokers are polled, and have a connection that stands. Of more, whoever is left out is heard in
/// discoveries and sweeps.
const MOST: usize = 64;

/// A suspicion that waits for its discovery has somebody asked at once, this often at most.
const EARLY: Duration = Duration::from_secs(1);

/// What a connection that stands may take: then a fresh one is tried.
const OWED: Duration = Duration::from_millis(500);

/// Who is polled when, and over what.
#[derive(Default)]
pub(super) struct Polls {
    standing: BTreeMap<NodeId, Standing>,
    turn: usize,
    /// The first of those that are polled where they are not all: clients are not to meet at the same brokers.
    first: Option<usize>,
    /// The next poll; none while one is under way.
    timer: Option<SpawnHandle>,
    began: Tick,
}

/// A connection that stands, and what it was opened with.
struct Standing {
    connection: Connection,
    security: SecuritySettings,
    /// The broker's resolution (see [`Cluster::resolution`]).
    resolution: u64,
}

impl Polls {
    /// Closes the connections that lead elsewhere than the published view does.
    pub(super) fn retain(&mut self, cluster: &Cluster) {
        self.standing.retain(|node, standing| standing.is_of(cluster, *node));
    }

    /// Closes the connections that are made to what their names resolve to no longer: who does the work may have left
    /// already, and nothing is to be replaced because of a poll.
    pub(super) fn leave_behind(&mut self, resolved: &BTreeMap<Address, Vec<SocketAddr>>) {
        self.standing.retain(|_, Standing { connection, .. }| {
            let peer = connection.peer().map(|peer| peer.ip().to_canonical());
            let answers = peer.zip(resolved.get(connection.address()));
            answers.is_none_or(|(peer, answers)| answers.iter().any(|at| at.ip().to_canonical() == peer))
        });
    }

    /// Whose turn it is. `share`, from 0 to 1, is asked for once.
    fn next(
        &mut self,
        verified: &BTreeMap<NodeId, Address>,
        share: impl FnOnce() -> f64,
    ) -> Option<(NodeId, Address)> {
        let count = verified.len();
        let first = match count {
            0..=MOST => 0,
            _ => *self.first.get_or_insert_with(|| (share() * count as f64) as usize),
        };
        self.turn = self.turn.wrapping_add(1);
        let at = (first + self.turn % count.clamp(1, MOST)) % count.max(1);
        verified.iter().nth(at).map(|(node, address)| (*node, address.clone()))
    }
}

impl Standing {
    fn is_of(&self, cluster: &Cluster, node: NodeId) -> bool {
        let address = cluster.address(node) == Some(self.connection.address());
        address && cluster.resolution(node) == self.resolution && !self.connection.is_closed()
    }
}

impl MetadataPoller {
    pub(super) fn sleep_until_poll(&mut self, ctx: &mut Context<Self>) {
        let wait = self.seat.env.dice.jittered(self.config().drift.poll_interval);
        self.polls.timer = Some(ctx.run_later(wait, |poller, ctx| poller.poll(None, ctx)));
    }

    /// A suspicion has to wait for its discovery: meanwhile another broker is asked, for it costs one request, and may
    /// have heard of what the last discovery came too early for: an election, a broker that is back elsewhere.
    pub(super) fn poll_early(&mut self, suspected: NodeId, ctx: &mut Context<Self>) {
        if self.seat.env.now().since(self.polls.began) < EARLY {
            return;
        }
        if let Some(timer) = self.polls.timer.take() {
            ctx.cancel_future(timer);
            self.poll(Some(suspected), ctx);
        }
    }

    /// Asks the next verified broker whether anything is new, but not this one if there is another.
    fn poll(&mut self, suspected: Option<NodeId>, ctx: &mut Context<Self>) {
        let cluster = Arc::clone(&self.seat.cluster.borrow());
        self.resolve_names(&cluster, ctx);
        (self.polls.timer, self.polls.began) = (None, self.seat.env.now());
        let dice = &self.seat.env.dice;
        let mut verified = cluster.verified();
        verified.retain(|node, _| Some(*node) != suspected || cluster.verified.len() == 1);
        let Some((node, address)) = self.polls.next(&verified, || dice.fraction()) else {
            self.discover(Evidence::Broken, ctx);
            return self.sleep_until_poll(ctx);
        };
        let (security, resolution) = (self.seat.dialler.security(), cluster.resolution(node));
        let standing = self.polls.standing.remove(&node);
        let standing =
            standing.filter(|standing| standing.is_of(&cluster, node) && standing.security == security);
        let (dialler, pin) = (self.seat.dialler.clone(), cluster.pin.clone());
        let (to, wanted) = (address.clone(), self.wanted());
        let question = Metadata { topics: wanted.question() };
        let opened = async move { dialler.open(to, Some(node), pin).await };
        let question = self.seat.env.placement.io.spawn(asked(standing, opened, question));
        let done = question.into_actor(self).map(move |outcome, poller, ctx| {
            match outcome.unwrap_or_else(|error| Err((Evidence::Broken, error.to_string()))) {
                Ok((connection, answer)) => {
                    poller.stand(node, Standing { connection, security, resolution });
                    poller.polled(node, address, &wanted, &answer, ctx);
                }
                Err((evidence, reason)) => {
                    poller.seat.vitals.metadata_failed();
                    let (node, address) = (Some(node), Some(address));
                    poller.suspect(Suspect { reason, evidence, node, address }, ctx)
                }
            }
            poller.sleep_until_poll(ctx);
        });
        ctx.spawn(done);
    }

    /// Where the broker is may have changed meanwhile.
    fn stand(&mut self, node: NodeId, standing: Standing) {
        if standing.is_of(&self.seat.cluster.borrow(), node) {
            self.polls.standing.insert(node, standing);
        }
    }

    /// What a poll heard of leaders is news at once; another view than the one in use is a reason to ask all.
    fn polled(
        &mut self,
        node: NodeId,
        address: Address,
        wanted: &Wanted,
        answer: &MetadataAnswer,
        ctx: &mut Context<Self>,
    ) {
        // Who asks for a new bootstrap has nothing else to say.
        if answer.error == ErrorCode::REBOOTSTRAP_REQUIRED {
            return self.suspect_broker(node, address, REBOOTSTRAP, ctx);
        }
        let observation = self.observation(address.clone(), answer);
        let cluster = Arc::clone(&self.seat.cluster.borrow());
        let doubt = if cluster.view.as_deref() != Some(&observation.view) {
            Some(OTHER_VIEW)
        } else {
            answer.topics.iter().any(|topic| is_another(topic, &cluster)).then_some(OTHER_TOPIC)
        };
        let topics = self.listing(wanted, &answer.topics);
        self.observed(observation, Some(topics), None);
        if let Some(doubt) = doubt {
            self.suspect_broker(node, address, doubt, ctx);
        }
    }
}

/// Whether a topic is shown under another id than it is known by: it may have been created again.
fn is_another(topic: &TopicMetadata, cluster: &Cluster) -> bool {
    topic.id != TopicId::UNKNOWN
        && cluster.leaders.topic_id(&topic.name).is_some_and(|known| known != topic.id)
}

/// Asks over the connection that stands. It may be all that is wrong: the broker is doubted if a fresh one fails too.
async fn asked(
    standing: Option<Standing>,
    opened: impl Future<Output = Result<Connection, ConnectError>>,
    question: Metadata,
) -> Result<(Connection, MetadataAnswer), (Evidence, String)> {
    if let Some(Standing { connection, .. }) = standing
        && let Ok(answer) = connection.call(question.clone(), OWED).await
    {
        return Ok((connection, answer));
    }
    let connection = opened.await.map_err(|error| (error.evidence(), error.to_string()))?;
    let answer = connection.call(question, ANSWER_LIMIT).await;
    Ok((connection, answer.map_err(|error| (error.evidence(), error.to_string()))?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn brokers(count: u16) -> BTreeMap<NodeId, Address> {
        (0..count).map(|number| (NodeId(i32::from(number)), Address::new("kafka", number))).collect()
    }

    fn polled(polls: &mut Polls, brokers: &BTreeMap<NodeId, Address>, times: usize) -> BTreeSet<NodeId> {
        (0..times).filter_map(|_| Some(polls.next(brokers, || 0.999)?.0)).collect()
    }

    #[test]
    fn every_broker_has_its_turn() {
        let mut polls = Polls::default();
        assert!(polls.next(&brokers(0), || 0.5).is_none());
        for count in [1, 3, 64] {
            assert_eq!(polled(&mut polls, &brokers(count), usize::from(count)).len(), usize::from(count));
        }
    }

    #[test]
    fn of_very_many_brokers_the_same_64_are_polled() {
        let (mut polls, brokers) = (Polls::default(), brokers(1_000));
        let mut some = polled(&mut polls, &brokers, 64);
        assert_eq!(some.len(), 64);
        assert!(some.contains(&NodeId(999)) && some.contains(&NodeId(0)), "they go round: {some:?}");
        some.extend(polled(&mut polls, &brokers, 500));
        assert_eq!(some.len(), 64);
    }
}
