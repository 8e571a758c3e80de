//! The bytes that a group's members write for each other: subscriptions and assignments of the consumer
//! protocol, which brokers pass on unread.
//!
//! Whoever may join the group may put anything here, so no length is trusted: what is read is held against
//! what is left, nothing is allocated ahead, and one member's bytes fail that member alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use steadfast_core::group::MemberId;
use steadfast_core::group::assign::{Assignor, Candidate};
use steadfast_core::group::subscription::{Assignment, Subscription};
use steadfast_core::ids::{GroupGeneration, Partition};

/// What we write, and the newest that we read: what is newer only adds fields at the end.
const VERSION: i16 = 3;

/// Bytes that are no subscription or assignment, or a value that fits into none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// The bytes end too early.
    #[error("expected {expected} of {wanted} bytes at byte {at}, found {left} bytes left")]
    Short {
        /// What should stand there.
        expected: &'static str,
        /// Where it should begin.
        at: usize,
        /// How long it should be.
        wanted: usize,
        /// How much there is.
        left: usize,
    },
    /// A number is outside of what it counts.
    #[error("expected {expected} at byte {at}, found {found}")]
    Number {
        /// What should stand there.
        expected: &'static str,
        /// Where it begins.
        at: usize,
        /// What stands there.
        found: i64,
    },
    /// A name is no UTF-8.
    #[error("expected a name in UTF-8 at byte {at}")]
    Name {
        /// Where it begins.
        at: usize,
    },
    /// What should be written is too long for its length field.
    #[error("{what} of {length} bytes or entries cannot be written: the most is {most}")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// How long it is.
        length: usize,
        /// How long it may be.
        most: usize,
    },
}

/// One member as the leader sees it. What it wrote counts as an empty subscription if it cannot be read, so
/// that it does not fail the group; the error says why.
pub fn read_candidate(
    assignor: &str,
    id: MemberId,
    instance: Option<Arc<str>>,
    bytes: &[u8],
) -> (Candidate, Option<BlobError>) {
    match read_subscription(assignor, bytes) {
        Ok(subscription) => (Candidate { id, instance, subscription }, None),
        Err(error) => (Candidate { id, instance, subscription: Subscription::default() }, Some(error)),
    }
}

/// Reads the subscription that a member offers with `assignor`. For `cooperative-sticky` the user data says
/// what the fixed fields of old versions do not: the generation and, in version 0, what the member holds.
pub fn read_subscription(assignor: &str, bytes: &[u8]) -> Result<Subscription, BlobError> {
    let mut from = Reader { bytes, at: 0 };
    let version = from.version()?;
    let topics = from.list("a topic's name", |from| from.name().map(Arc::from))?;
    let user_data = from.nullable_bytes("user data")?.unwrap_or_default().to_vec();
    let mut subscription = Subscription { topics, user_data, ..Subscription::default() };
    if version >= 1 {
        subscription.owned = from.partitions()?;
    }
    if version >= 2 {
        subscription.generation = known(from.i32("a generation")?);
    }
    if version >= 3 {
        subscription.rack = from.nullable_name()?.map(str::to_owned);
    }
    if assignor == Assignor::CooperativeSticky.name() && subscription.generation.is_none() {
        add_user_data(&mut subscription, version);
    }
    Ok(subscription)
}

/// Writes our subscription as it is offered with `assignor`: version 3, topics sorted, and for
/// `cooperative-sticky` Java's user data, the generation in four bytes.
pub fn write_subscription(assignor: Assignor, subscription: &Subscription) -> Result<Bytes, BlobError> {
    let mut to = Writer(BytesMut::new());
    to.0.put_i16(VERSION);
    to.length("topics", subscription.topics.len())?;
    for topic in &subscription.topics {
        to.name(topic)?;
    }
    let generation = subscription.generation.map_or(-1, |generation| generation.0);
    match assignor {
        Assignor::CooperativeSticky => to.nullable_bytes(&generation.to_be_bytes())?,
        Assignor::Range => to.nullable_bytes(&subscription.user_data)?,
    }
    to.partitions(&subscription.owned)?;
    to.0.put_i32(generation);
    match &subscription.rack {
        Some(rack) => to.name(rack)?,
        None => to.0.put_i16(-1),
    }
    Ok(to.0.freeze())
}

/// Reads an assignment. No bytes at all are an empty one: the leader did not mention the member.
pub fn read_assignment(bytes: &[u8]) -> Result<Assignment, BlobError> {
    if bytes.is_empty() {
        return Ok(Assignment::default());
    }
    let mut from = Reader { bytes, at: 0 };
    from.version()?;
    let partitions = from.partitions()?;
    let user_data = from.nullable_bytes("user data")?.unwrap_or_default().to_vec();
    Ok(Assignment { partitions, user_data })
}

/// Writes what a member is to read.
pub fn write_assignment(assignment: &Assignment) -> Result<Bytes, BlobError> {
    let mut to = Writer(BytesMut::new());
    to.0.put_i16(VERSION);
    to.partitions(&assignment.partitions)?;
    to.nullable_bytes(&assignment.user_data)?;
    Ok(to.0.freeze())
}

/// Takes from the user data what the fixed fields leave open: Java's four bytes of generation, or the form
/// of librdkafka and franz-go (that of Java's `sticky`), topics with partitions and then the generation.
/// Bytes of neither form say nothing.
fn add_user_data(subscription: &mut Subscription, version: i16) {
    let mut from = Reader { bytes: &subscription.user_data, at: 0 };
    if let Ok(four) = <[u8; 4]>::try_from(from.bytes) {
        subscription.generation = known(i32::from_be_bytes(four));
        return;
    }
    let Ok(partitions) = from.partitions() else { return };
    subscription.generation = from.i32("a generation").ok().and_then(known);
    if version < 1 {
        subscription.owned = partitions;
    }
}

fn known(generation: i32) -> Option<GroupGeneration> {
    (generation >= 0).then_some(GroupGeneration(generation))
}

/// Reads from the front, and never past the end.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, expected: &'static str, wanted: usize) -> Result<&'a [u8], BlobError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let short = BlobError::Short { expected, at: self.at, wanted, left: rest.len() };
        let taken = rest.get(..wanted).ok_or(short)?;
        self.at += wanted;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], BlobError> {
        let mut fixed = [0; N];
        fixed.copy_from_slice(self.take(expected, N)?);
        Ok(fixed)
    }

    fn i16(&mut self, expected: &'static str) -> Result<i16, BlobError> {
        self.fixed(expected).map(i16::from_be_bytes)
    }

    fn i32(&mut self, expected: &'static str) -> Result<i32, BlobError> {
        self.fixed(expected).map(i32::from_be_bytes)
    }

    /// The version, or the newest that we know if it is newer.
    fn version(&mut self) -> Result<i16, BlobError> {
        match self.i16("a version")? {
            version @ 0.. => Ok(version.min(VERSION)),
            found => Err(BlobError::Number { expected: "a version", at: 0, found: found.into() }),
        }
    }

    /// A length; none for -1.
    fn length(&mut self, expected: &'static str, found: i64, at: usize) -> Result<Option<usize>, BlobError> {
        match usize::try_from(found) {
            Ok(length) => Ok(Some(length)),
            Err(_) if found == -1 => Ok(None),
            Err(_) => Err(BlobError::Number { expected, at, found }),
        }
    }

    fn nullable_bytes(&mut self, expected: &'static str) -> Result<Option<&'a [u8]>, BlobError> {
        let at = self.at;
        let found = self.i32("a length")?;
        let length = self.length("a length", found.into(), at)?;
        length.map(|length| self.take(expected, length)).transpose()
    }

    fn nullable_name(&mut self) -> Result<Option<&'a str>, BlobError> {
        let at = self.at;
        let found = self.i16("a length")?;
        let Some(length) = self.length("a length", found.into(), at)? else { return Ok(None) };
        let at = self.at;
        let name = self.take("a name", length)?;
        str::from_utf8(name).map(Some).map_err(|_| BlobError::Name { at })
    }

    fn name(&mut self) -> Result<&'a str, BlobError> {
        let at = self.at;
        self.nullable_name()?.ok_or(BlobError::Number { expected: "a name's length", at, found: -1 })
    }

    /// As many entries as the count says, as long as there are bytes for them; none for a count of -1.
    fn list<T: Ord>(
        &mut self,
        expected: &'static str,
        mut entry: impl FnMut(&mut Self) -> Result<T, BlobError>,
    ) -> Result<BTreeSet<T>, BlobError> {
        let at = self.at;
        let found = self.i32("a count")?;
        let count = self.length(expected, found.into(), at)?.unwrap_or(0);
        (0..count).map(|_| entry(self)).collect()
    }

    fn partitions(&mut self) -> Result<BTreeSet<Partition>, BlobError> {
        let by_topic = self.list("a count of topics", |from| {
            let topic: Arc<str> = from.name()?.into();
            let indexes = from.list("a count of partitions", Reader::index)?;
            Ok(indexes.into_iter().map(|index| Partition::new(topic.clone(), index)).collect::<Vec<_>>())
        })?;
        Ok(by_topic.into_iter().flatten().collect())
    }

    fn index(&mut self) -> Result<i32, BlobError> {
        let at = self.at;
        match self.i32("a partition's number")? {
            index @ 0.. => Ok(index),
            found => Err(BlobError::Number { expected: "a partition's number", at, found: found.into() }),
        }
    }
}

struct Writer(BytesMut);

impl Writer {
    fn length(&mut self, what: &'static str, length: usize) -> Result<(), BlobError> {
        let most = i32::MAX as usize;
        let length = i32::try_from(length).map_err(|_| BlobError::TooLong { what, length, most })?;
        self.0.put_i32(length);
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<(), BlobError> {
        let most = i16::MAX as usize;
        let too_long = BlobError::TooLong { what: "a name", length: name.len(), most };
        self.0.put_i16(i16::try_from(name.len()).map_err(|_| too_long)?);
        self.0.put_slice(name.as_bytes());
        Ok(())
    }

    /// Absent if there are none, as Java writes it.
    fn nullable_bytes(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        if bytes.is_empty() {
            self.0.put_i32(-1);
            return Ok(());
        }
        self.length("user data", bytes.len())?;
        self.0.put_slice(bytes);
        Ok(())
    }

    fn partitions(&mut self, partitions: &BTreeSet<Partition>) -> Result<(), BlobError> {
        let sorted: Vec<&Partition> = partitions.iter().collect();
        let by_topic: Vec<&[&Partition]> = sorted.chunk_by(|one, next| one.topic == next.topic).collect();
        self.length("topics", by_topic.len())?;
        for of_topic in by_topic {
            if let Some(first) = of_topic.first() {
                self.name(&first.topic)?;
            }
            self.length("partitions", of_topic.len())?;
            of_topic.iter().for_each(|partition| self.0.put_i32(partition.index));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
    use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

    use super::*;

    fn subscription() -> Subscription {
        Subscription {
            topics: ["orders".into(), "audit".into()].into(),
            owned: [Partition::new("orders", 2), Partition::new("orders", 0), Partition::new("audit", 1)]
                .into(),
            generation: Some(GroupGeneration(7)),
            rack: Some("eu-1".into()),
            user_data: Vec::new(),
        }
    }

    /// What librdkafka writes as user data: topics with partitions, then the generation.
    fn sticky_user_data(partitions: &[Partition], generation: Option<i32>) -> Vec<u8> {
        let mut to = Writer(BytesMut::new());
        to.partitions(&partitions.iter().cloned().collect()).unwrap();
        generation.into_iter().for_each(|generation| to.0.put_i32(generation));
        to.0.to_vec()
    }

    fn foreign(version: i16, owned: bool, user_data: Vec<u8>) -> Vec<u8> {
        let mut foreign = ConsumerProtocolSubscription::default()
            .with_topics(vec![StrBytes::from_static_str("orders")])
            .with_user_data(Some(user_data.into()));
        foreign.generation_id = -1;
        if owned {
            let mut held =
                kafka_protocol::messages::consumer_protocol_subscription::TopicPartition::default();
            held.topic = StrBytes::from_static_str("orders").into();
            held.partitions = vec![4];
            foreign.owned_partitions.push(held);
        }
        let mut bytes = BytesMut::new();
        bytes.put_i16(version);
        foreign.encode(&mut bytes, version).unwrap();
        bytes.to_vec()
    }

    #[test]
    fn other_implementations_read_our_subscription() {
        let bytes = write_subscription(Assignor::CooperativeSticky, &subscription()).unwrap();
        let mut rest = bytes.slice(2..);
        assert_eq!(bytes[..2], [0, 3]);
        let read = ConsumerProtocolSubscription::decode(&mut rest, 3).unwrap();
        assert!(rest.is_empty());
        assert_eq!(read.topics.iter().map(|topic| topic.as_str()).collect::<Vec<_>>(), ["audit", "orders"]);
        assert_eq!(read.generation_id, 7);
        assert_eq!(read.rack_id.unwrap().as_str(), "eu-1");
        assert_eq!(read.user_data.unwrap()[..], [0, 0, 0, 7]);
        assert_eq!(read.owned_partitions[1].partitions, [0, 2]);
    }

    #[test]
    fn other_implementations_read_our_assignment() {
        let assignment = Assignment { partitions: subscription().owned, user_data: Vec::new() };
        let mut bytes = write_assignment(&assignment).unwrap().slice(2..);
        let read = ConsumerProtocolAssignment::decode(&mut bytes, 3).unwrap();
        assert!(bytes.is_empty());
        assert_eq!(read.assigned_partitions.len(), 2);
        assert_eq!(read.assigned_partitions[0].topic.0.as_str(), "audit");
    }

    #[test]
    fn old_versions_say_less() {
        for version in 0..=3 {
            let read = read_subscription("range", &foreign(version, version > 0, vec![1, 2])).unwrap();
            assert_eq!(read.topics, ["orders".into()].into());
            assert_eq!(read.owned.len(), usize::from(version > 0));
            assert_eq!((read.generation, read.rack, read.user_data), (None, None, vec![1, 2]));
        }
    }

    #[test]
    fn versions_to_come_are_read_as_far_as_they_are_known() {
        let mut bytes = write_subscription(Assignor::Range, &subscription()).unwrap().to_vec();
        bytes[1] = 9;
        bytes.extend([1, 2, 3]);
        assert_eq!(read_subscription("range", &bytes), Ok(subscription()));
    }

    #[test]
    fn the_generation_is_taken_from_javas_user_data_where_the_fields_have_none() {
        let read = read_subscription("cooperative-sticky", &foreign(1, true, vec![0, 0, 0, 5])).unwrap();
        assert_eq!(read.generation, Some(GroupGeneration(5)));
        assert_eq!(read.owned, [Partition::new("orders", 4)].into());
    }

    #[test]
    fn the_generation_is_taken_from_librdkafkas_user_data_where_the_fields_have_none() {
        let held = [Partition::new("orders", 1), Partition::new("orders", 2)];
        let with = sticky_user_data(&held, Some(6));
        let read = read_subscription("cooperative-sticky", &foreign(1, true, with.clone())).unwrap();
        assert_eq!(read.generation, Some(GroupGeneration(6)));
        assert_eq!(read.owned, [Partition::new("orders", 4)].into(), "the fields know better what it holds");
        let read = read_subscription("cooperative-sticky", &foreign(0, false, with)).unwrap();
        assert_eq!(read.owned, held.clone().into());
        let without = sticky_user_data(&held, None);
        let read = read_subscription("cooperative-sticky", &foreign(0, false, without)).unwrap();
        assert_eq!((read.owned, read.generation), (held.into(), None));
    }

    #[test]
    fn user_data_of_no_known_form_says_nothing() {
        let read = read_subscription("cooperative-sticky", &foreign(3, true, vec![255; 9])).unwrap();
        assert_eq!((read.generation, read.owned.len()), (None, 1));
    }

    #[test]
    fn what_cannot_be_read_counts_as_empty_and_is_reported() {
        let (candidate, error) = read_candidate("range", "m".into(), None, &[0, 1, 127, 255, 255, 255]);
        assert_eq!(candidate.subscription, Subscription::default());
        let expected = BlobError::Short { expected: "a length", at: 6, wanted: 2, left: 0 };
        assert_eq!(error, Some(expected));
        let (candidate, error) = read_candidate(
            "range",
            "m".into(),
            None,
            &write_subscription(Assignor::Range, &subscription()).unwrap(),
        );
        assert_eq!((candidate.subscription, error), (subscription(), None));
    }

    #[test]
    fn no_bytes_are_an_empty_assignment() {
        assert_eq!(read_assignment(&[]), Ok(Assignment::default()));
        assert!(read_assignment(&[0]).is_err());
    }

    #[test]
    fn a_name_that_is_too_long_is_refused_and_not_cut() {
        let topics = ["x".repeat(40_000).into()].into();
        let long = Subscription { topics, ..Subscription::default() };
        let expected = BlobError::TooLong { what: "a name", length: 40_000, most: 32_767 };
        assert_eq!(write_subscription(Assignor::Range, &long), Err(expected));
    }
}
