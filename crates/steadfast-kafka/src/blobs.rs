//! The bytes that a group's members write for each other: subscriptions and assignments of the consumer
//! protocol, which brokers pass on unread.
//!
//! Whoever may join the group may put anything here, so no length is trusted: what is read is held against
//! what is left, nothing is allocated ahead, and one member's bytes fail that member alone.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use steadfast_core::group::MemberId;
use steadfast_core::group::assign::{Assignor, Candidate};
use steadfast_core::group::subscription::{Assignment, Held, Subscription};
use steadfast_core::ids::GroupGeneration;

pub use self::fields::BlobError;
use self::fields::{Reader, Writer};

mod fields;

/// What we write, and the newest that we read: what is newer only adds fields at the end.
const VERSION: i16 = 3;

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

/// Reads the subscription that a member offers with `assignor`. For `sticky` the user data says what the
/// member was assigned before. For `cooperative-sticky` it says what the fixed fields of old versions do not:
/// the generation and, in version 0, what the member holds.
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
    match Assignor::named(assignor) {
        Some(Assignor::Sticky) => subscription.previous = previous(&subscription.user_data),
        Some(Assignor::CooperativeSticky) if subscription.generation.is_none() => {
            add_user_data(&mut subscription, version);
        }
        Some(Assignor::CooperativeSticky | Assignor::Range | Assignor::RoundRobin) | None => {}
    }
    Ok(subscription)
}

/// Writes our subscription as it is offered with `assignor`: version 3, topics sorted, and the user data as
/// Java writes it: for `cooperative-sticky` the generation in four bytes, for `sticky` what we were assigned
/// before with its generation (none before the first assignment).
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
        Assignor::Sticky => to.nullable_bytes(&sticky_user_data(&subscription.previous)?)?,
        Assignor::Range | Assignor::RoundRobin => to.nullable_bytes(&subscription.user_data)?,
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

/// What Java's `sticky` writes: topics with partitions, then the generation.
fn sticky_user_data(previous: &Held) -> Result<Bytes, BlobError> {
    let mut to = Writer(BytesMut::new());
    if previous != &Held::default() {
        to.partitions(&previous.partitions)?;
        to.0.put_i32(previous.generation.map_or(-1, |generation| generation.0));
    }
    Ok(to.0.freeze())
}

/// Reads what `sticky` wrote, here or elsewhere; its first version had no generation. Bytes of another form
/// say nothing: who has lost its past is served like a new member.
fn previous(user_data: &[u8]) -> Held {
    let mut from = Reader { bytes: user_data, at: 0 };
    let Ok(partitions) = from.partitions() else { return Held::default() };
    Held { partitions, generation: from.i32("a generation").ok().and_then(known) }
}

/// Takes from the user data what the fixed fields leave open: Java's four bytes of generation, or the form
/// of librdkafka and franz-go (that of Java's `sticky`), topics with partitions and then the generation.
/// Bytes of neither form say nothing.
fn add_user_data(subscription: &mut Subscription, version: i16) {
    if let Ok(four) = <[u8; 4]>::try_from(subscription.user_data.as_slice()) {
        subscription.generation = known(i32::from_be_bytes(four));
        return;
    }
    let held = previous(&subscription.user_data);
    subscription.generation = held.generation;
    if version < 1 {
        subscription.owned = held.partitions;
    }
}

fn known(generation: i32) -> Option<GroupGeneration> {
    (generation >= 0).then_some(GroupGeneration(generation))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
    use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

    use steadfast_core::ids::Partition;

    use super::*;

    fn subscription() -> Subscription {
        Subscription {
            topics: ["orders".into(), "audit".into()].into(),
            owned: [Partition::new("orders", 2), Partition::new("orders", 0), Partition::new("audit", 1)]
                .into(),
            generation: Some(GroupGeneration(7)),
            rack: Some("eu-1".into()),
            previous: Held::default(),
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
