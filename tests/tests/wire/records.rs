//! Record batches as they go over the wire.

use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{
    Compression, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record, RecordBatchDecoder,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

/// What a batch begins with: base offset and length.
const LOG_OVERHEAD: usize = 12;

/// A batch to be written.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    records: Vec<(i64, String)>,
    producer: (i64, i16, i32),
    transactional: bool,
}

impl Batch {
    /// Records with these values of now, which nobody in particular wrote. (If they were old, Kafka would begin a new
    /// segment for whatever is written later, and a fetch gives what is in one.)
    pub(crate) fn of(values: &[&str]) -> Batch {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_millis()).unwrap();
        Batch::timed(&values.iter().map(|value| (now, *value)).collect::<Vec<_>>())
    }

    /// Records with these times (in milliseconds) and values.
    pub(crate) fn timed(records: &[(i64, &str)]) -> Batch {
        Batch {
            records: records.iter().map(|(time, value)| (*time, (*value).to_owned())).collect(),
            producer: (NO_PRODUCER_ID, NO_PRODUCER_EPOCH, NO_SEQUENCE),
            transactional: false,
        }
    }

    /// Written by this producer, its first record having this sequence.
    pub(crate) fn by(self, (id, epoch): (i64, i16), sequence: i32) -> Batch {
        Batch { producer: (id, epoch, sequence), ..self }
    }

    /// As part of the producer's transaction.
    pub(crate) fn transactional(self) -> Batch {
        Batch { transactional: true, ..self }
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> Bytes {
        let (producer_id, producer_epoch, base_sequence) = self.producer;
        let record = |(offset, (timestamp, value)): (i32, &(i64, String))| Record {
            transactional: self.transactional,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id,
            producer_epoch,
            timestamp_type: TimestampType::Creation,
            offset: i64::from(offset),
            // The encoder begins a new batch where offsets and sequences don't grow together.
            sequence: base_sequence + offset,
            timestamp: *timestamp,
            key: None,
            value: Some(Bytes::from(value.clone())),
            headers: Default::default(),
        };
        let records: Vec<Record> = (0..).zip(&self.records).map(record).collect();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        let mut bytes = BytesMut::new();
        RecordBatchEncoder::encode(&mut bytes, &records, &options).unwrap();
        bytes.freeze()
    }
}

/// The batches that are whole, as a consumer takes them: the last may be cut off.
pub(crate) fn whole_batches(records: &Bytes) -> Vec<Bytes> {
    let mut batches = Vec::new();
    let mut rest = records.clone();
    while let Some(length) = rest.get(8..LOG_OVERHEAD) {
        let length = i32::from_be_bytes(length.try_into().unwrap());
        let size = LOG_OVERHEAD + usize::try_from(length).unwrap();
        if rest.len() < size {
            break;
        }
        batches.push(rest.split_to(size));
    }
    batches
}

/// The records in the batches that are whole, the control records too.
pub(crate) fn decoded(records: &Bytes) -> Vec<Record> {
    let sets =
        whole_batches(records).into_iter().map(|mut batch| RecordBatchDecoder::decode(&mut batch).unwrap());
    sets.flat_map(|set| set.records).collect()
}

/// Offset and value of each record that is no control record.
pub(crate) fn values(records: &Bytes) -> Vec<(i64, String)> {
    let data = decoded(records).into_iter().filter(|record| !record.control);
    data.map(|record| (record.offset, String::from_utf8(record.value.unwrap().to_vec()).unwrap())).collect()
}
