//! What a witness is asked, and what its answer means.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use steadfast_core::cluster::{Leader, Topic, TopicError, Topics};
use steadfast_core::endpoints::view::{Address, View};
use steadfast_core::ids::ClusterId;
use steadfast_kafka::api::ErrorCode;
use steadfast_kafka::api::metadata::{Metadata, MetadataAnswer, PartitionMetadata, TopicMetadata};
use steadfast_kafka::connection::{ConnectError, ConnectFailure};

use crate::dialler::Dialler;

/// One answer of a witness.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// A question to one address on a fresh connection.
pub(super) struct Question {
    pub(super) dialler: Dialler,
    pub(super) to: Address,
    /// The name that resolves to it, where one does.
    pub(super) name: Option<Address>,
    pub(super) topics: Vec<Arc<str>>,
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
        let question = Metadata { topics: Some(self.topics) };
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
pub(super) fn topics_of(topics: &[TopicMetadata]) -> Topics {
    let leader = |partition: &PartitionMetadata| {
        (partition.index, Leader { node: partition.leader, epoch: partition.leader_epoch })
    };
    let known = |topic: &TopicMetadata| {
        let partitions = topic.partitions.iter().map(leader).collect();
        let known = Topic { id: topic.id, error: TopicError::from_code(topic.error.0), partitions };
        (Arc::clone(&topic.name), known)
    };
    topics.iter().map(known).collect()
}
