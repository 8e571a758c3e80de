//! The `kafka` sink: writes the records to another topic, in order per source partition.
//!
//! rskafka writes; it retries without bound and has no deadline of its own, so every call to it gets one here.
//! Its records keep headers in a map: of several headers of one name the last one is written. It proves who it is once
//! for each connection: a broker that wants that again (KIP-368) ends the connection, and the batch is written through
//! another one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context, Handler};
use chrono::{DateTime, Utc};
use futures::FutureExt;
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::client::{
    Client, ClientBuilder, Credentials, OauthBearerCredentials, OauthCallback, SaslConfig,
};
use rskafka::record::Record as Produced;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{Offset, Partition};
use steadfast_kafka::records::lazy::{Record, RecordError};
use steadfast_kafka::security::{Sasl, ScramHash, Secret};
use steadfast_watch as watch;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::config::{Config, Elsewhere};
use crate::consume::batch::Batch;

/// How long one write may take before its batch is returned.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
/// How many bytes go into one request: half of what a topic takes by default (`max.message.bytes`).
const WRITE_BYTES: usize = 512 << 10;
/// How long finding the cluster and its topic may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The connection to the target topic, shared by the partitions' handlers. Cheap to clone.
#[derive(Clone)]
pub struct Target {
    io: Handle,
    topic: Arc<str>,
    cluster: Written,
    open: Arc<Mutex<Option<Open>>>,
}

/// The cluster that is written to.
#[derive(Clone)]
pub enum Written {
    /// The one that is consumed, found and secured as the configuration says at the time.
    Consumed(watch::Receiver<Arc<Config>>),
    /// Another one.
    Elsewhere(Elsewhere),
}

impl Written {
    fn now(&self) -> Elsewhere {
        match self {
            Written::Elsewhere(elsewhere) => elsewhere.clone(),
            Written::Consumed(config) => {
                let config = Arc::clone(&config.borrow());
                let bootstrap_servers = config.kafka.bootstrap_servers.clone();
                Elsewhere { bootstrap_servers, security: config.kafka.security.clone() }
            }
        }
    }
}

#[derive(Clone)]
struct Open {
    client: Arc<Client>,
    partitions: i32,
    /// What it was opened with.
    with: Elsewhere,
}

/// Records that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// rskafka gave up.
    #[error("topic {topic}: {error}")]
    Kafka {
        /// The target topic.
        topic: Arc<str>,
        /// What it said.
        error: rskafka::client::error::Error,
    },
    /// The target topic does not exist: topics are never created.
    #[error("topic {topic} does not exist at {bootstrap}; create it first")]
    NoTopic {
        /// The target topic.
        topic: Arc<str>,
        /// Where it was looked for.
        bootstrap: String,
    },
    /// No answer in time.
    #[error("topic {topic}: no answer within {limit:?}")]
    Timeout {
        /// The target topic.
        topic: Arc<str>,
        /// The limit.
        limit: Duration,
    },
    /// A record cannot be decoded.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl WriteError {
    /// Whether the records are to blame, and not the target or the way to it.
    pub(super) fn is_refusal(&self) -> bool {
        use rskafka::client::error::{Error, ProtocolError as Said};
        match self {
            WriteError::Kafka { error: Error::ServerError { protocol_error, .. }, .. } => matches!(
                protocol_error,
                Said::MessageTooLarge
                    | Said::RecordListTooLarge
                    | Said::InvalidRecord
                    | Said::CorruptMessage
                    | Said::InvalidTimestamp
                    | Said::UnsupportedForMessageFormat
                    | Said::PolicyViolation
            ),
            WriteError::Record(_) => true,
            WriteError::Kafka { .. } | WriteError::NoTopic { .. } | WriteError::Timeout { .. } => false,
        }
    }
}

impl Target {
    /// The topic of this cluster; nothing is connected before the first batch.
    pub fn new(io: Handle, topic: impl Into<Arc<str>>, cluster: Written) -> Target {
        Target { io, topic: topic.into(), cluster, open: Arc::default() }
    }

    async fn partition(&self, source: &Partition, open: &Open) -> Result<PartitionClient, WriteError> {
        // Order is kept per source partition: all of its records go to one partition of the target.
        let partition = source.index.rem_euclid(open.partitions);
        let client = open.client.partition_client(&*self.topic, partition, UnknownTopicHandling::Error);
        self.limited(CONNECT_LIMIT, client).await
    }

    async fn connection(&self) -> Result<Open, WriteError> {
        let mut open = self.open.lock().await;
        let with = self.cluster.now();
        if let Some(open) = open.as_ref().filter(|open| open.with == with) {
            return Ok(open.clone());
        }
        let client = self.limited(CONNECT_LIMIT, client_of(&with).build()).await?;
        let topics = self.limited(CONNECT_LIMIT, client.list_topics()).await?;
        let topic = topics.iter().find(|topic| *topic.name == *self.topic);
        let partitions = topic.map_or(0, |topic| i32::try_from(topic.partitions.len()).unwrap_or(0));
        if partitions == 0 {
            let bootstrap = texts(&with.bootstrap_servers).join(",");
            return Err(WriteError::NoTopic { topic: Arc::clone(&self.topic), bootstrap });
        }
        let made = Open { client: Arc::new(client), partitions, with };
        *open = Some(made.clone());
        Ok(made)
    }

    /// The next write connects anew: rskafka never leaves brokers that are gone. Who holds the connection just now
    /// opens another one, or finds out for himself.
    fn forget(&self) {
        if let Ok(mut open) = self.open.try_lock() {
            *open = None;
        }
    }

    /// Writes one record that came from `source`, on the runtime of connections, within a time that begins before the
    /// connection is waited for. It ends with the future that this returns: what nobody waits for any more is not
    /// written later.
    pub(super) async fn write(&self, source: &Partition, record: Produced) -> Result<(), WriteError> {
        let (target, source) = (self.clone(), source.clone());
        let mut writing = JoinSet::new();
        writing.spawn_on(async move { target.write_here(&source, record).await }, &self.io);
        match writing.join_next().await {
            Some(Ok(written)) => written,
            // It panicked, or its runtime has ended.
            Some(Err(_)) | None => Err(self.late(Duration::ZERO)),
        }
    }

    async fn write_here(&self, source: &Partition, record: Produced) -> Result<(), WriteError> {
        let written = timeout(WRITE_LIMIT, produce(self, source, &mut None, vec![record])).await;
        let written = written.unwrap_or_else(|_| Err(self.late(WRITE_LIMIT)));
        if written.as_ref().is_err_and(|error| !error.is_refusal()) {
            self.forget();
        }
        written
    }

    fn late(&self, limit: Duration) -> WriteError {
        WriteError::Timeout { topic: Arc::clone(&self.topic), limit }
    }

    async fn limited<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, rskafka::client::error::Error>>,
    ) -> Result<T, WriteError> {
        match timeout(limit, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(WriteError::Kafka { topic: Arc::clone(&self.topic), error }),
            Err(_) => Err(self.late(limit)),
        }
    }
}

fn texts(addresses: &[Address]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

/// A client for this cluster, secured as its settings say.
fn client_of(with: &Elsewhere) -> ClientBuilder {
    let builder = ClientBuilder::new(texts(&with.bootstrap_servers)).client_id("steadfast");
    let security = with.security.security();
    let builder = match &security.tls {
        Some(tls) => builder.tls_config(tls.config()),
        None => builder,
    };
    match &security.sasl {
        Some(sasl) => builder.sasl_config(sasl_of(sasl)),
        None => builder,
    }
}

fn sasl_of(sasl: &Sasl) -> SaslConfig {
    let credentials = |username: &str, password: &Secret| {
        Credentials::new(username.to_owned(), password.expose().to_owned())
    };
    match sasl {
        Sasl::Plain { username, password } => SaslConfig::Plain(credentials(username, password)),
        Sasl::Scram { hash: ScramHash::Sha256, username, password } => {
            SaslConfig::ScramSha256(credentials(username, password))
        }
        Sasl::Scram { hash: ScramHash::Sha512, username, password } => {
            SaslConfig::ScramSha512(credentials(username, password))
        }
        Sasl::OauthBearer { tokens } => {
            let tokens = Arc::clone(tokens);
            let callback: OauthCallback = Arc::new(move || {
                let tokens = Arc::clone(&tokens);
                async move { Ok(tokens.token().await?.expose().to_owned()) }.boxed()
            });
            SaslConfig::Oauthbearer(OauthBearerCredentials {
                callback,
                authz_id: None,
                bearer_kvs: Vec::new(),
            })
        }
    }
}

/// The way to a partition of the target, and what it was opened with.
struct Route {
    client: PartitionClient,
    with: Elsewhere,
}

/// The handler of one partition.
pub struct Forward {
    batches: mpsc::UnboundedSender<Batch>,
    task: AbortHandle,
}

impl Forward {
    /// A handler that writes the records of `source` to `target`.
    pub fn new(target: Target, source: Partition) -> Forward {
        let (batches, waiting) = mpsc::unbounded_channel();
        let io = target.io.clone();
        let task = io.spawn(forward(target, source, waiting)).abort_handle();
        Forward { batches, task }
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One batch at a time, so that order is kept. What waits is bounded by the fetched bytes it holds.
async fn forward(target: Target, source: Partition, mut waiting: mpsc::UnboundedReceiver<Batch>) {
    let mut route = None;
    while let Some(batch) = waiting.recv().await {
        if !batch.is_current() {
            continue;
        }
        match write(&target, &source, &mut route, &batch).await {
            Ok(()) => batch.done(),
            Err((Some(offset), error)) => batch.rejected(offset, error),
            Err((None, error)) => {
                route = None;
                target.forget();
                batch.unavailable(error);
            }
        }
    }
}

/// Writes the batch. What cannot be written comes with its offset if the record is to blame and not the target;
/// everything before it is written then.
async fn write(
    target: &Target,
    source: &Partition,
    route: &mut Option<Route>,
    batch: &Batch,
) -> Result<(), (Option<Offset>, WriteError)> {
    let mut waiting: Vec<Record<'_>> = Vec::new();
    let mut size = 0;
    for record in batch.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                write_all(target, source, route, &waiting).await?;
                return Err((Some(error.from), error.into()));
            }
        };
        let length = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        if size > 0 && size + length > WRITE_BYTES {
            write_all(target, source, route, &std::mem::take(&mut waiting)).await?;
            size = 0;
        }
        size += length;
        waiting.push(record);
    }
    write_all(target, source, route, &waiting).await
}

/// In one request; when that is refused one by one, to find out which of them is.
async fn write_all(
    target: &Target,
    source: &Partition,
    route: &mut Option<Route>,
    records: &[Record<'_>],
) -> Result<(), (Option<Offset>, WriteError)> {
    if records.is_empty() {
        return Ok(());
    }
    match produce(target, source, route, records.iter().map(produced).collect()).await {
        Err(error) if error.is_refusal() => {}
        written => return written.map_err(|error| (None, error)),
    }
    for record in records {
        let written = produce(target, source, route, vec![produced(record)]).await;
        written.map_err(|error| (error.is_refusal().then_some(record.offset), error))?;
    }
    Ok(())
}

async fn produce(
    target: &Target,
    source: &Partition,
    route: &mut Option<Route>,
    records: Vec<Produced>,
) -> Result<(), WriteError> {
    let Route { client, with } = match route.take_if(|route| route.with == target.cluster.now()) {
        Some(route) => route,
        None => {
            let open = target.connection().await?;
            Route { client: target.partition(source, &open).await?, with: open.with }
        }
    };
    let written = target.limited(WRITE_LIMIT, client.produce(records, Compression::NoCompression)).await;
    // A connection on which records were refused is as good as before.
    if written.as_ref().map_or_else(WriteError::is_refusal, |_| true) {
        *route = Some(Route { client, with });
    }
    written.map(drop)
}

fn produced(record: &Record<'_>) -> Produced {
    let headers: BTreeMap<String, Vec<u8>> = record
        .headers()
        .map(|header| (header.key_text().into_owned(), header.value.unwrap_or_default().to_vec()))
        .collect();
    Produced {
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers,
        timestamp: DateTime::<Utc>::from_timestamp_millis(record.timestamp).unwrap_or_default(),
    }
}

impl Actor for Forward {
    type Context = Context<Self>;
}

impl Handler<Batch> for Forward {
    type Result = ();

    fn handle(&mut self, batch: Batch, _: &mut Context<Self>) {
        // Without the task the batch comes back, and is returned as it is dropped.
        drop(self.batches.send(batch));
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;

    use super::*;

    /// A target whose connection somebody else is opening for as long as `open` is held.
    fn target() -> Target {
        let text = "topics = [\"t\"]\nstate.dir = \"/s\"\nkafka.bootstrap.servers = \"k:1\"\nkafka.group.id = \"g\"\n";
        let config = watch::Sender::new(Arc::new(Config::from_toml_str(text).unwrap()));
        Target::new(Handle::current(), "bad", Written::Consumed(config.subscribe()))
    }

    fn record() -> Produced {
        let timestamp = DateTime::<Utc>::default();
        Produced { key: None, value: None, headers: BTreeMap::new(), timestamp }
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_the_connection_is_part_of_the_time_that_a_write_has() {
        let target = target();
        let _held = target.open.lock().await;
        let told = target.write(&Partition::new("orders", 3), record()).await;
        assert!(matches!(told, Err(WriteError::Timeout { limit: WRITE_LIMIT, .. })), "{told:?}");
        assert_eq!(Arc::strong_count(&target.open), 1, "nothing is left that would write later");
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_nobody_waits_for_any_more_is_not_done_later() {
        let target = target();
        let _held = target.open.lock().await;
        let partition = Partition::new("orders", 3);
        let given_up = timeout(Duration::from_secs(1), target.write(&partition, record())).await;
        assert!(given_up.is_err(), "{given_up:?}");
        yield_now().await;
        assert_eq!(Arc::strong_count(&target.open), 1);
    }
}
