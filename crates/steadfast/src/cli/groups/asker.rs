//! Asks a cluster, each question with a limit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use serde::Serialize;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId, Partition};
use steadfast_kafka::api::find_coordinator::FindCoordinator;
use steadfast_kafka::api::metadata::{Metadata, TopicMetadata};
use steadfast_kafka::api::{Api, ErrorCode};
use steadfast_kafka::connection::{CallError, CallFailure, ConnectError, Connection, Dial};
use steadfast_kafka::transport::{SystemResolver, Tcp};
use tokio::time::{Instant, sleep};

use crate::config::Config;
use crate::dialler::Dialler;
use crate::exit::Exit;

/// What a connection, each step of its handshake and each answer may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How long is waited for a coordinator or a leader that is only just becoming one.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon it is asked for again.
const AGAIN: Duration = Duration::from_millis(200);

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// Nobody answers, or not who is needed.
    #[error("{0}")]
    Unreachable(String),
    /// The cluster refuses us.
    #[error("{0}")]
    Denied(String),
    /// The cluster answered, and this is what is wrong.
    #[error("{0}")]
    Found(String),
    /// The broker knows nothing of the kind.
    #[error("{0}")]
    Unspoken(String),
}

impl Failure {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Failure::Unreachable(_) => Exit::Unreachable,
            Failure::Denied(_) => Exit::Denied,
            Failure::Found(_) | Failure::Unspoken(_) => Exit::Found,
        }
    }

    /// What an error code of `of` amounts to.
    pub(super) fn code(of: impl Display, code: ErrorCode) -> Failure {
        let text = format!("{of}: {code}");
        match code {
            ErrorCode::GROUP_AUTHORIZATION_FAILED
            | ErrorCode::TOPIC_AUTHORIZATION_FAILED
            | ErrorCode::CLUSTER_AUTHORIZATION_FAILED => Failure::Denied(text),
            code if is_passing(code) => Failure::Unreachable(text),
            _ => Failure::Found(text),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Failure {
        match error.failure {
            CallFailure::Version(_) => Failure::Unspoken(error.to_string()),
            _ => Failure::Unreachable(error.to_string()),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Failure {
        match error.is_denied() {
            true => Failure::Denied(error.to_string()),
            false => Failure::Unreachable(error.to_string()),
        }
    }
}

/// Whether somebody else is asked, or the same one a moment later.
fn is_passing(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::COORDINATOR_NOT_AVAILABLE
            | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
            | ErrorCode::NOT_COORDINATOR
            | ErrorCode::NOT_LEADER_OR_FOLLOWER
            | ErrorCode::LEADER_NOT_AVAILABLE
            | ErrorCode::OFFSET_NOT_AVAILABLE
            | ErrorCode::REQUEST_TIMED_OUT
    )
}

/// Connections to a cluster that was reached.
pub(super) struct Asker {
    config: Arc<Config>,
    dialler: Dialler,
    cluster: Option<ClusterId>,
    first: Connection,
    brokers: BTreeMap<NodeId, Address>,
    lines: BTreeMap<NodeId, Connection>,
}

/// Who coordinates a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Coordinator {
    pub(super) broker: NodeId,
    pub(super) address: Address,
}

impl Asker {
    /// Tries all bootstrap servers at once; the first to answer is believed.
    pub(super) async fn reach(config: Arc<Config>) -> Result<Asker, Failure> {
        let dialler = Dialler::of_command(Arc::new(Tcp::new(SystemResolver)), Arc::clone(&config));
        let pin = config.drift.cluster_id.clone();
        let servers = config.kafka.bootstrap_servers.iter();
        let mut tries: FuturesUnordered<_> =
            servers.map(|server| open(&dialler, server.clone(), None, pin.clone())).collect();
        let mut failed: Option<Failure> = None;
        while let Some(tried) = tries.next().await {
            match tried {
                Ok(first) => {
                    drop(tries);
                    return Ok(Asker::over(config, dialler, first));
                }
                // Whoever refuses us says more than whoever does not answer.
                Err(error) => match &failed {
                    Some(Failure::Denied(_)) => {}
                    _ => failed = Some(error.into()),
                },
            }
        }
        Err(failed.unwrap_or_else(|| Failure::Unreachable("there is nobody to ask".to_owned())))
    }

    fn over(config: Arc<Config>, dialler: Dialler, first: Connection) -> Asker {
        let view = config.as_reached(first.opened().view.clone());
        let brokers = view.endpoints.into_iter().map(|(node, endpoint)| (node, endpoint.address)).collect();
        Asker { config, dialler, cluster: view.cluster, first, brokers, lines: BTreeMap::new() }
    }

    /// Whether whom it asks first is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.first.is_closed()
    }

    /// All brokers of the cluster.
    pub(super) fn brokers(&self) -> BTreeSet<NodeId> {
        self.brokers.keys().copied().collect()
    }

    /// Connections to these brokers, those that are missing opened at once.
    pub(super) async fn lines(
        &mut self,
        nodes: impl IntoIterator<Item = NodeId>,
    ) -> BTreeMap<NodeId, Result<Connection, Failure>> {
        self.lines.retain(|_, line| !line.is_closed());
        let nodes: BTreeSet<NodeId> = nodes.into_iter().collect();
        let missing = nodes.iter().filter(|node| !self.lines.contains_key(node));
        let opened = join_all(missing.map(|node| {
            let address = self.brokers.get(node).cloned();
            let (dialler, cluster) = (&self.dialler, self.cluster.clone());
            async move {
                let unknown = || Failure::Unreachable(format!("no broker {node} is in the cluster"));
                let address = address.ok_or_else(unknown)?;
                Ok::<_, Failure>((*node, open(dialler, address, Some(*node), cluster).await?))
            }
        }));
        let mut failed: BTreeMap<NodeId, Failure> = BTreeMap::new();
        let missing: Vec<NodeId> =
            nodes.iter().filter(|node| !self.lines.contains_key(node)).copied().collect();
        for (node, opened) in missing.into_iter().zip(opened.await) {
            match opened {
                Ok((node, line)) => drop(self.lines.insert(node, line)),
                Err(failure) => drop(failed.insert(node, failure)),
            }
        }
        let line = |node: NodeId| match (self.lines.get(&node), failed.remove(&node)) {
            (Some(line), _) => (node, Ok(line.clone())),
            (None, failure) => {
                (node, Err(failure.unwrap_or_else(|| Failure::Unreachable("not connected".to_owned()))))
            }
        };
        nodes.into_iter().map(line).collect()
    }

    /// The coordinator of a group, and a connection to it.
    pub(super) async fn coordinator(
        &mut self,
        group: &Arc<str>,
    ) -> Result<(Coordinator, Connection), Failure> {
        let until = Instant::now() + PATIENCE;
        loop {
            let question = FindCoordinator { group: Arc::clone(group) };
            match self.first.call(question, LIMIT).await?.coordinator {
                Ok(found) => {
                    let address = self.config.reached(&found.address).clone();
                    self.brokers.insert(found.node, address.clone());
                    let mut lines = self.lines([found.node]).await;
                    let line = lines.remove(&found.node);
                    let gone = || Failure::Unreachable(format!("broker {} is not reached", found.node));
                    let line = line.ok_or_else(gone)??;
                    return Ok((Coordinator { broker: found.node, address }, line));
                }
                Err(code) if is_passing(code) && Instant::now() < until => sleep(AGAIN).await,
                Err(code) => return Err(Failure::code(format!("the coordinator of group {group}"), code)),
            }
        }
    }

    /// Asks the coordinator of a group; again for a while if what `error` finds is that it is not ready, or moved.
    pub(super) async fn ask_coordinator<A: Api + Clone>(
        &mut self,
        group: &Arc<str>,
        question: A,
        error: impl Fn(&A::Answer) -> ErrorCode,
    ) -> Result<A::Answer, Failure> {
        let until = Instant::now() + PATIENCE;
        loop {
            let (_, line) = self.coordinator(group).await?;
            let answer = line.call(question.clone(), LIMIT).await?;
            match error(&answer) {
                code if is_passing(code) && Instant::now() < until => sleep(AGAIN).await,
                code if is_passing(code) => return Err(Failure::code(format!("group {group}"), code)),
                _ => return Ok(answer),
            }
        }
    }

    /// These topics as they are.
    pub(super) async fn topics(&self, names: BTreeSet<Arc<str>>) -> Result<Vec<TopicMetadata>, Failure> {
        let asked = Metadata { topics: Some(names.into_iter().collect()) };
        Ok(self.first.call(asked, LIMIT).await?.topics)
    }

    /// Asks the leaders of these partitions, all at once, and for a while those again that lead no more.
    pub(super) async fn ask_leaders<A: Api, V>(
        &mut self,
        partitions: &BTreeSet<Partition>,
        question: impl Fn(&BTreeSet<Partition>) -> A,
        take: impl Fn(A::Answer) -> BTreeMap<Partition, Result<V, ErrorCode>>,
    ) -> Result<BTreeMap<Partition, Result<V, String>>, Failure> {
        let until = Instant::now() + PATIENCE;
        let mut left = partitions.clone();
        let mut found = BTreeMap::new();
        loop {
            for (partition, answer) in self.ask_leaders_once(&left, &question, &take).await? {
                match answer {
                    Ok(value) => drop(found.insert(partition, Ok(value))),
                    Err(Unled::Passing(_)) if Instant::now() < until => continue,
                    Err(Unled::Passing(why) | Unled::Final(why)) => drop(found.insert(partition, Err(why))),
                }
            }
            left.retain(|partition| !found.contains_key(partition));
            if left.is_empty() {
                return Ok(found);
            }
            sleep(AGAIN).await;
        }
    }

    async fn ask_leaders_once<A: Api, V>(
        &mut self,
        partitions: &BTreeSet<Partition>,
        question: &impl Fn(&BTreeSet<Partition>) -> A,
        take: &impl Fn(A::Answer) -> BTreeMap<Partition, Result<V, ErrorCode>>,
    ) -> Result<BTreeMap<Partition, Result<V, Unled>>, Failure> {
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let names = partitions.iter().map(|partition| Arc::clone(&partition.topic)).collect();
        let (leaders, mut found) = by_leader(partitions, &self.topics(names).await?);
        let lines = self.lines(leaders.keys().copied()).await;
        let answers = join_all(leaders.iter().zip(lines).map(|((_, led), (_, line))| async move {
            let answer = match line {
                Ok(line) => line.call(question(led), LIMIT).await.map_err(Failure::from),
                Err(failure) => Err(failure),
            };
            (led, answer)
        }));
        for (led, answer) in answers.await {
            let mut answer = match answer {
                Ok(answer) => take(answer),
                Err(failure) => {
                    let passing = || Err(Unled::Passing(failure.to_string()));
                    found.extend(led.iter().map(|partition| (partition.clone(), passing())));
                    continue;
                }
            };
            for partition in led {
                let value = match answer.remove(partition) {
                    Some(Err(code)) if is_passing(code) => Err(Unled::Passing(code.to_string())),
                    Some(Err(code)) => Err(Unled::Final(code.to_string())),
                    Some(Ok(value)) => Ok(value),
                    None => Err(Unled::Final("the answer does not mention it".to_owned())),
                };
                found.insert(partition.clone(), value);
            }
        }
        Ok(found)
    }
}

/// Why a leader said nothing of a partition.
enum Unled {
    /// It may be otherwise in a moment.
    Passing(String),
    Final(String),
}

type Led = BTreeMap<NodeId, BTreeSet<Partition>>;

/// Who leads which of them, and what is wrong with the others.
fn by_leader<V>(
    partitions: &BTreeSet<Partition>,
    topics: &[TopicMetadata],
) -> (Led, BTreeMap<Partition, Result<V, Unled>>) {
    let (mut led, mut unled) = (Led::new(), BTreeMap::new());
    for partition in partitions {
        let topic = topics.iter().find(|topic| topic.name == partition.topic);
        let listed = topic.and_then(|topic| topic.partitions.iter().find(|one| one.index == partition.index));
        let why = match (topic, listed.map(|listed| listed.leader)) {
            (_, Some(Some(leader))) => {
                led.entry(leader).or_default().insert(partition.clone());
                continue;
            }
            (_, Some(None)) => Unled::Passing("it has no leader".to_owned()),
            (Some(topic), None) if topic.error != ErrorCode::NONE => {
                Unled::Final(format!("the topic: {}", topic.error))
            }
            (_, None) => Unled::Final("there is no such partition".to_owned()),
        };
        unled.insert(partition.clone(), Err(why));
    }
    (led, unled)
}

/// One question, on a connection that stands.
pub(super) async fn call<A: Api>(line: &Connection, question: A) -> Result<A::Answer, CallError> {
    line.call(question, LIMIT).await
}

async fn open(
    dialler: &Dialler,
    address: Address,
    node: Option<NodeId>,
    pin: Option<ClusterId>,
) -> Result<Connection, ConnectError> {
    let dial = Dial { connect_limit: LIMIT, answer_limit: LIMIT, ..dialler.dial(address, node, pin) };
    Connection::open(&*dialler.transport, dial).await
}
