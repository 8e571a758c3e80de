//! What is in the offsets that never reached the handlers: nothing (transactions' markers, records that were aborted or
//! compacted away), or records that were left out. The brokers are asked, past the service and the proxy.

use std::sync::Arc;
use std::time::Duration;

use steadfast_core::acked::Span;
use steadfast_core::ids::{LeaderEpoch, NodeId, Partition, TopicId};
use steadfast_kafka::api::ErrorCode;
use steadfast_kafka::api::fetch::{Fetch, FetchFrom, FetchedPartition, PartitionFrom};
use steadfast_kafka::api::metadata::Metadata;
use steadfast_kafka::connection::Connection;
use steadfast_kafka::fetch::answer::{Fetched, fetched};

use tokio::time::{Instant, timeout_at};

use super::cluster::connect;
use crate::config::Config;
use crate::dialler::open_once;
use crate::wiring::{DECOMPRESSED_LIMIT, isolation};

/// What each request may take.
const LIMIT: Duration = Duration::from_secs(5);
/// What all of them together may take.
const IN_ALL: Duration = Duration::from_secs(30);
/// Enough for any batch that follows the broker's default of the largest; a larger one comes whole.
const BYTES: i32 = 1 << 20;
/// So many answers are read for one hole; then it is not known what is in the rest.
const ANSWERS: usize = 100;

/// Offsets of one partition, between two spans that reached its handler.
pub(super) type Hole = (Partition, Span);

/// What became of looking into one.
#[derive(Debug, thiserror::Error)]
#[error("{partition}, offsets {} to {}: {why}", span.from.0, span.next.0 - 1)]
pub(super) struct Unknown {
    partition: Partition,
    span: Span,
    why: String,
}

/// How many records there are in these holes.
///
/// # Errors
/// One of them could not be looked into.
pub(super) async fn records_in(config: &Config, holes: &[Hole]) -> Result<u64, Unknown> {
    let (mut records, until) = (0, Instant::now() + IN_ALL);
    for (partition, span) in holes {
        let unknown = |why| Unknown { partition: partition.clone(), span: *span, why };
        let looked = timeout_at(until, look(config, partition, *span)).await;
        let looked = looked.unwrap_or_else(|_| Err(format!("not answered within {IN_ALL:?} in all")));
        records += looked.map_err(unknown)?;
    }
    Ok(records)
}

async fn look(config: &Config, partition: &Partition, mut span: Span) -> Result<u64, String> {
    let (leader, topic) = leader(config, partition).await?;
    let mut records = 0;
    for _ in 0..ANSWERS {
        let Some(part) = fetch(config, &leader, partition, topic, span).await? else { return Ok(records) };
        for batch in part.batches {
            let plain = batch.decompress(DECOMPRESSED_LIMIT).map_err(|error| error.to_string())?;
            let inside = plain.records().flatten().filter(|record| span.contains(record.offset));
            records += inside.count() as u64;
        }
        span.from = span.from.max(part.next);
        if span.is_empty() {
            return Ok(records);
        }
    }
    Err(format!("more than {ANSWERS} answers"))
}

/// A connection to whoever leads the partition now, and the topic's identity.
async fn leader(config: &Config, partition: &Partition) -> Result<(Connection, TopicId), String> {
    let connection = connect(config).await.map_err(|error| error.to_string())?;
    let question = Metadata { topics: Some(vec![Arc::clone(&partition.topic)]) };
    let answer = connection.call(question, LIMIT).await.map_err(|error| error.to_string())?;
    let topic = answer.topics.first().ok_or("the topic is not described")?;
    let led = topic.partitions.iter().find(|led| led.index == partition.index);
    let leader: NodeId = led.and_then(|led| led.leader).ok_or("nobody leads it")?;
    let address = answer.view.address(&leader).ok_or("its leader is not listed")?;
    let connection = open_once(config, address, LIMIT).await.map_err(|error| error.to_string())?;
    Ok((connection, topic.id))
}

/// What the log has from the span's first offset on; none: nothing (any more).
async fn fetch(
    config: &Config,
    leader: &Connection,
    partition: &Partition,
    topic: TopicId,
    span: Span,
) -> Result<Option<Fetched>, String> {
    let from = PartitionFrom {
        index: partition.index,
        offset: span.from,
        leader_epoch: LeaderEpoch::UNKNOWN,
        last_fetched_epoch: LeaderEpoch::UNKNOWN,
        max_bytes: BYTES,
    };
    let topics = vec![FetchFrom { name: Arc::clone(&partition.topic), id: topic, partitions: vec![from] }];
    let isolation = isolation(config);
    let fetch = Fetch {
        max_wait: Duration::ZERO,
        min_bytes: 0,
        max_bytes: BYTES,
        isolation,
        rack: "".into(),
        topics,
    };
    let answer = leader.call(fetch, LIMIT).await.map_err(|error| error.to_string())?;
    let part = answer.topics.into_iter().flat_map(|topic| topic.partitions).next();
    let Some(FetchedPartition { error, records, aborted, .. }) = part else {
        return Err(format!("an answer without the partition: {}", answer.error));
    };
    match error {
        ErrorCode::NONE => fetched(records.unwrap_or_default(), span.from, isolation, aborted)
            .map_err(|error| error.to_string()),
        ErrorCode::OFFSET_OUT_OF_RANGE => Ok(None),
        error => Err(error.to_string()),
    }
}
