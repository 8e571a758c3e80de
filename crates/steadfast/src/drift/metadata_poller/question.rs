//! What a witness is asked, and what its answer means.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use steadfast_core::cluster::{Cluster as Leaders, Leader, Topic, TopicError, Topics as KnownTopics};
use steadfast_core::endpoints::view::{Address, View};
use steadfast_core::ids::{ClusterId, TopicId};
use steadfast_kafka::api::ErrorCode;
use steadfast_kafka::api::metadata::{Metadata, MetadataAnswer, PartitionMetadata, TopicMetadata};
use steadfast_kafka::connection::{ConnectError, ConnectFailure};

use crate::config::Topics;
use crate::dialler::Dialler;
use crate::messages::Listing;

/// One answer of a witness.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// A question to one address on a fresh connection.
pub(super) struct Question {
    pub(super) dialler: Dialler,
    pub(super) to: Address,
    /// The name that resolves to it, where one does.
    pub(super) name: Option<Address>,
    /// All of them if none.
    pub(super) topics: Option<Vec<Arc<str>>>,
}

/// What one wants to know of topics.
#[derive(Clone)]
pub(super) struct Wanted {
    /// What is consumed.
    pub(super) topics: Topics,
    /// What the leader of the group has to know besides.
    pub(super) counted: BTreeSet<Arc<str>>,
}

impl Wanted {
    /// What to ask Metadata for: with a pattern for all topics, since no broker resolves patterns there.
    pub(super) fn question(&self) -> Option<Vec<Arc<str>>> {
        let named = self.topics.question()?;
        let wanted: BTreeSet<Arc<str>> = named.into_iter().chain(self.counted.iter().cloned()).collect();
        Some(wanted.into_iter().collect())
    }

    /// What the answer says. One that lists all topics says of those that it leaves out that there are none.
    pub(super) fn listing(&self, answer: &[TopicMetadata], known: &Leaders) -> Listing {
        let Some(pattern) = self.topics.pattern() else {
            return Listing { topics: topics_of(answer), pattern: None, internal: BTreeSet::new() };
        };
        let counted = |topic: &TopicMetadata| self.counted.contains(&topic.name);
        let listed = answer.iter().filter(|topic| self.topics.take(topic) || counted(topic));
        let mut topics = topics_of(listed.clone());
        let internal = listed.filter(|topic| topic.is_internal).map(|topic| Arc::clone(&topic.name));
        let internal = internal.collect();
        let wanted = |name: &&Arc<str>| pattern.matches(name) || self.counted.contains(*name);
        for name in known.topics().filter(wanted).chain(&self.counted) {
            topics.entry(Arc::clone(name)).or_insert_with(no_topic);
        }
        Listing { topics, pattern: Some(Arc::clone(pattern.text())), internal }
    }
}

fn no_topic() -> Topic {
    Topic { id: TopicId::UNKNOWN, error: Some(TopicError::Unknown), partitions: BTreeMap::new() }
}

/// What was answered, and by which resolved address.
pub(super) type Answered = (MetadataAnswer, Option<IpAddr>);

impl Question {
    /// Another cluster's answer is an answer: who judges will see it, and nothing but Metadata is asked here.
    pub(super) async fn ask(self) -> Result<Answered, String> {
        let opened = match &self.name {
            Some(name) => self.dialler.open_one_of(name, self.to).await,
            None => self.dialler.open(self.to, None, None).await,
        };
        let connection = match opened {
            Ok(connection) => connection,
            // An answer too: who judges says that it is none to be believed.
            Err(ConnectError { failure: ConnectFailure::NoBrokers { cluster }, .. }) => {
                return Ok((nobody(cluster), None));
            }
            Err(error) => return Err(error.failure.to_string()),
        };
        let peer = connection.peer().map(|peer| peer.ip());
        let question = Metadata { topics: self.topics };
        let answer = connection.call(question, ANSWER_LIMIT).await;
        answer.map(|answer| (answer, peer)).map_err(|error| error.failure.to_string())
    }
}

/// What a broker of this cluster says that names no brokers.
fn nobody(cluster: Option<ClusterId>) -> MetadataAnswer {
    MetadataAnswer {
        error: ErrorCode::NONE,
        throttle: Duration::ZERO,
        view: View::new(cluster, []),
        controller: None,
        topics: Vec::new(),
    }
}

/// Topics as core knows them.
fn topics_of<'a>(topics: impl IntoIterator<Item = &'a TopicMetadata>) -> KnownTopics {
    let leader = |partition: &PartitionMetadata| {
        (partition.index, Leader { node: partition.leader, epoch: partition.leader_epoch })
    };
    let known = |topic: &TopicMetadata| {
        let partitions = topic.partitions.iter().map(leader).collect();
        let known = Topic { id: topic.id, error: TopicError::from_code(topic.error.0), partitions };
        (Arc::clone(&topic.name), known)
    };
    topics.into_iter().map(known).collect()
}
