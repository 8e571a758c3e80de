//! The proxy's own first question to the cluster: who is in it?

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use kafka_protocol::messages::{ApiKey, MetadataRequest, RequestHeader};
use kafka_protocol::protocol::Encodable;
use tokio::io::AsyncWriteExt;

use super::frame::{self, PREFIX, invalid};
use super::listener::connect;
use super::registry::Registry;
use super::rewrite::rewrite;

const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Served by every broker from Kafka 2.4 on.
const VERSION: i16 = 9;

/// Asks one address after the other until one of them names brokers.
pub(super) async fn learn(registry: &Arc<Registry>, seeds: &[SocketAddr]) -> io::Result<()> {
    let mut failed =
        io::Error::new(io::ErrorKind::InvalidInput, "expected at least one address of the cluster");
    for seed in seeds {
        match tokio::time::timeout(ANSWER_LIMIT, ask(registry, *seed)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => failed = io::Error::new(error.kind(), format!("{seed}: {error}")),
            Err(_) => failed = io::Error::new(io::ErrorKind::TimedOut, format!("{seed} does not answer")),
        }
    }
    Err(failed)
}

async fn ask(registry: &Arc<Registry>, seed: SocketAddr) -> io::Result<()> {
    let mut broker = connect(&seed.ip().to_string(), seed.port()).await?;
    broker.write_all(&frame::around(&question()?)?).await?;
    let mut answer = Vec::new();
    if !frame::read(&mut broker, &mut answer).await? {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let named = rewrite(ApiKey::Metadata as i16, VERSION, &answer[PREFIX..], &mut registry.learner())?;
    named.map(drop).ok_or_else(|| invalid("the cluster names no brokers"))
}

fn question() -> io::Result<BytesMut> {
    let mut question = BytesMut::new();
    let header = RequestHeader::default()
        .with_request_api_key(ApiKey::Metadata as i16)
        .with_request_api_version(VERSION);
    let no_topics =
        MetadataRequest::default().with_topics(Some(Vec::new())).with_allow_auto_topic_creation(false);
    header
        .encode(&mut question, ApiKey::Metadata.request_header_version(VERSION))
        .and_then(|()| no_topics.encode(&mut question, VERSION))
        .map_err(io::Error::other)?;
    Ok(question)
}
