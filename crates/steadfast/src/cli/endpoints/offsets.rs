//! Where a group would begin in a cluster.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId, Offset, Partition};
use steadfast_kafka::api::ErrorCode;
use steadfast_kafka::api::find_coordinator::FindCoordinator;
use steadfast_kafka::api::metadata::Metadata;
use steadfast_kafka::api::offset_fetch::OffsetFetch;
use steadfast_kafka::connection::Connection;
use tokio::time::{Instant, sleep};

use super::Here;

/// What an answer may take.
const LIMIT: Duration = Duration::from_secs(1);
/// How long a coordinator is waited for: the first question of a cluster's life makes it create the topic that
/// coordinators need.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon one that is not there yet is asked for again.
const AGAIN: Duration = Duration::from_millis(200);

/// Where the group begins in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct OfTopic {
    pub(super) topic: Arc<str>,
    pub(super) partitions: Vec<Start>,
    /// Why that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
}

/// Where the group begins in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Start {
    pub(super) partition: i32,
    /// What the group has committed there; none if nothing: `auto.offset.reset` applies.
    pub(super) committed: Option<Offset>,
    /// Why that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
}

/// Where the group begins in each configured topic of the cluster `pin`.
pub(super) async fn starts(here: &Here, broker: (NodeId, Address), pin: &ClusterId) -> Vec<OfTopic> {
    let topics = &here.config.topics;
    let unknown = |problem: &str| {
        let of_topic = |topic: &Arc<str>| OfTopic::unknown(topic, problem);
        match topics.pattern() {
            Some(pattern) => vec![of_topic(pattern.text())],
            None => topics.names().iter().map(of_topic).collect(),
        }
    };
    let (node, address) = broker;
    let connection = match here.dialler.open(address, Some(node), Some(pin.clone())).await {
        Ok(connection) => connection,
        Err(error) => return unknown(&error.to_string()),
    };
    let found = match connection.call(Metadata { topics: topics.question() }, LIMIT).await {
        Ok(answer) => answer.topics,
        Err(error) => return unknown(&error.to_string()),
    };
    let coordinator = coordinator(here, &connection, pin).await;
    let mut starts = Vec::new();
    for topic in found.into_iter().filter(|topic| topics.take(topic)) {
        starts.push(match (&coordinator, topic.error) {
            (_, error) if error != ErrorCode::NONE => OfTopic::unknown(&topic.name, &error.to_string()),
            (Err(problem), _) => OfTopic::unknown(&topic.name, problem),
            (Ok(coordinator), _) => {
                let of = |index| Partition::new(Arc::clone(&topic.name), index);
                let partitions = topic.partitions.iter().map(|partition| of(partition.index)).collect();
                committed(here, coordinator, &topic.name, partitions).await
            }
        });
    }
    starts
}

async fn coordinator(here: &Here, connection: &Connection, pin: &ClusterId) -> Result<Connection, String> {
    let question = FindCoordinator { group: Arc::from(here.config.kafka.group_id.as_str()) };
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = connection.call(question.clone(), LIMIT).await.map_err(|error| error.to_string())?;
        match answer.coordinator {
            Ok(found) => {
                let reached = here.config.reached(&found.address).clone();
                let opened = here.dialler.open(reached, Some(found.node), Some(pin.clone())).await;
                return opened.map_err(|error| error.to_string());
            }
            Err(ErrorCode::COORDINATOR_NOT_AVAILABLE) if Instant::now() < until => sleep(AGAIN).await,
            Err(code) => return Err(format!("the group's coordinator: {code}")),
        }
    }
}

async fn committed(
    here: &Here,
    coordinator: &Connection,
    topic: &Arc<str>,
    partitions: BTreeSet<Partition>,
) -> OfTopic {
    let group = Arc::from(here.config.kafka.group_id.as_str());
    let answer = match coordinator.call(OffsetFetch { group, member: None, partitions }, LIMIT).await {
        Ok(answer) if answer.error == ErrorCode::NONE => answer,
        Ok(answer) => return OfTopic::unknown(topic, &answer.error.to_string()),
        Err(error) => return OfTopic::unknown(topic, &error.to_string()),
    };
    let start = |(partition, found): (Partition, Result<Option<_>, ErrorCode>)| Start {
        partition: partition.index,
        problem: found.as_ref().err().map(ToString::to_string),
        committed: found
            .ok()
            .flatten()
            .map(|stored: steadfast_kafka::api::offset_commit::CommittedOffset| stored.offset),
    };
    let partitions = answer.partitions.into_iter().map(start).collect();
    OfTopic { topic: Arc::clone(topic), partitions, problem: None }
}

impl OfTopic {
    fn unknown(topic: &Arc<str>, problem: &str) -> OfTopic {
        OfTopic { topic: Arc::clone(topic), partitions: Vec::new(), problem: Some(problem.to_owned()) }
    }
}
