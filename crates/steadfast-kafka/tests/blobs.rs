//! Whatever other members wrote: what is written is read, and no bytes do harm.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use steadfast_core::group::assign::Assignor;
use steadfast_core::group::subscription::{Assignment, Held, Subscription};
use steadfast_core::ids::{GroupGeneration, Partition};
use steadfast_kafka::blobs::{read_assignment, read_subscription, write_assignment, write_subscription};

fn any_partitions() -> impl Strategy<Value = BTreeSet<Partition>> {
    let partition = ("[a-z.]{1,5}", 0..20i32).prop_map(|(topic, index)| Partition::new(topic, index));
    prop::collection::btree_set(partition, 0..30)
}

fn any_subscription() -> impl Strategy<Value = Subscription> {
    let topics = prop::collection::btree_set("[a-z.]{1,5}".prop_map(Arc::from), 0..10);
    let generation = prop::option::of((0..i32::MAX).prop_map(GroupGeneration));
    (topics, any_partitions(), generation, prop::option::of("[a-z]{0,9}"), any::<Vec<u8>>()).prop_map(
        |(topics, owned, generation, rack, user_data)| Subscription {
            topics,
            owned,
            generation,
            rack,
            previous: Held::default(),
            user_data,
        },
    )
}

/// Bytes of any kind, and bytes that are nearly right.
fn any_blob() -> impl Strategy<Value = Vec<u8>> {
    let wrong = (any_subscription(), any::<prop::sample::Index>(), any::<u8>(), any::<prop::sample::Index>());
    let nearly = wrong.prop_map(|(subscription, place, byte, end)| {
        let previous = Held { partitions: subscription.owned.clone(), generation: subscription.generation };
        let subscription = Subscription { previous, ..subscription };
        let assignor = Assignor::ALL[place.index(Assignor::ALL.len())];
        let mut bytes = write_subscription(assignor, &subscription).expect("short names").to_vec();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        bytes.truncate(end.index(bytes.len()) + 1);
        bytes
    });
    prop_oneof![any::<Vec<u8>>(), nearly]
}

/// What `ConsumerProtocol` and the assignors of kafka-clients 4.2.0 write for a member that wants orders and audit,
/// and was assigned orders-2, orders-0 and audit-1 in generation 7, in each version of the subscription.
const OF_JAVA: [(&str, i16, &str); 8] = [
    (
        "sticky",
        0,
        "0000000000020005617564697400066f72646572730000002b0000000200056175646974000000010000000100066f726465727300000002000000020000000000000007",
    ),
    (
        "sticky",
        1,
        "0001000000020005617564697400066f72646572730000002b0000000200056175646974000000010000000100066f72646572730000000200000002000000000000000700000000",
    ),
    (
        "sticky",
        2,
        "0002000000020005617564697400066f72646572730000002b0000000200056175646974000000010000000100066f7264657273000000020000000200000000000000070000000000000007",
    ),
    (
        "sticky",
        3,
        "0003000000020005617564697400066f72646572730000002b0000000200056175646974000000010000000100066f7264657273000000020000000200000000000000070000000000000007000465752d31",
    ),
    ("cooperative-sticky", 0, "0000000000020005617564697400066f72646572730000000400000007"),
    (
        "cooperative-sticky",
        1,
        "0001000000020005617564697400066f726465727300000004000000070000000200056175646974000000010000000100066f7264657273000000020000000000000002",
    ),
    (
        "cooperative-sticky",
        2,
        "0002000000020005617564697400066f726465727300000004000000070000000200056175646974000000010000000100066f726465727300000002000000000000000200000007",
    ),
    (
        "cooperative-sticky",
        3,
        "0003000000020005617564697400066f726465727300000004000000070000000200056175646974000000010000000100066f726465727300000002000000000000000200000007000465752d31",
    ),
];

/// Before the first assignment, and after an assignment of nothing.
const EMPTY_OF_JAVA: [(&str, Option<GroupGeneration>); 2] = [
    ("00030000000100066f7264657273ffffffff00000000ffffffffffff", None),
    ("00030000000100066f72646572730000000800000000000000040000000000000004ffff", Some(GroupGeneration(4))),
];

#[expect(clippy::unwrap_used, reason = "the texts stand above")]
fn of_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

#[test]
fn javas_members_are_read() {
    let all: BTreeSet<Partition> = [("orders", 2), ("orders", 0), ("audit", 1)]
        .map(|(topic, index)| Partition::new(topic, index))
        .into();
    let held = Held { partitions: all.clone(), generation: Some(GroupGeneration(7)) };
    for (assignor, version, bytes) in OF_JAVA {
        let read = read_subscription(assignor, &of_hex(bytes)).unwrap();
        assert_eq!(read.topics, ["audit".into(), "orders".into()].into());
        assert_eq!(read.rack.as_deref(), (version >= 3).then_some("eu-1"), "{assignor} {version}");
        match assignor {
            "sticky" => assert_eq!(read.previous, held, "{version}"),
            _ => {
                assert_eq!(read.generation, held.generation, "{version}");
                assert_eq!(read.owned, if version >= 1 { all.clone() } else { BTreeSet::new() }, "{version}");
            }
        }
    }
}

#[test]
fn an_eager_member_of_ours_writes_what_java_writes() {
    for (bytes, generation) in EMPTY_OF_JAVA {
        let previous = Held { partitions: BTreeSet::new(), generation };
        let topics = ["orders".into()].into();
        let ours = Subscription { topics, generation, previous, ..Subscription::default() };
        assert_eq!(write_subscription(Assignor::Sticky, &ours).unwrap(), of_hex(bytes));
        assert_eq!(read_subscription("sticky", &of_hex(bytes)).unwrap().previous, ours.previous);
    }
}

#[test]
fn a_cooperative_member_of_ours_writes_what_java_writes() {
    let (assignor, _, newest) = OF_JAVA[7];
    let read = read_subscription(assignor, &of_hex(newest)).unwrap();
    assert_eq!(write_subscription(Assignor::CooperativeSticky, &read).unwrap(), of_hex(newest));
}

#[test]
fn the_first_version_of_stickys_user_data_has_no_generation() {
    let (_, _, with) = OF_JAVA[3];
    let mut bytes = of_hex(with);
    let user_data = 21..25; // its length; the generation is its end
    assert_eq!(bytes[user_data.clone()], 0x2b_u32.to_be_bytes());
    bytes[user_data].copy_from_slice(&0x27_u32.to_be_bytes());
    bytes.drain(25 + 0x27..25 + 0x2b);
    let read = read_subscription("sticky", &bytes).unwrap();
    assert_eq!((read.previous.partitions.len(), read.previous.generation), (3, None));
}

proptest! {
    #[test]
    fn what_was_written_is_read(subscription in any_subscription()) {
        let bytes = write_subscription(Assignor::Range, &subscription).unwrap();
        prop_assert_eq!(read_subscription("range", &bytes), Ok(subscription.clone()));
        let sticky = write_subscription(Assignor::CooperativeSticky, &subscription).unwrap();
        let read = read_subscription("cooperative-sticky", &sticky).unwrap();
        prop_assert_eq!((read.owned, read.generation), (subscription.owned, subscription.generation));
    }

    #[test]
    fn what_was_assigned_before_is_read_as_it_was_written(subscription in any_subscription()) {
        let previous = Held { partitions: subscription.owned, generation: subscription.generation };
        let eager = Subscription { owned: BTreeSet::new(), previous, ..subscription };
        let bytes = write_subscription(Assignor::Sticky, &eager).unwrap();
        let read = read_subscription("sticky", &bytes).unwrap();
        prop_assert_eq!((read.previous, read.owned, read.topics), (eager.previous, eager.owned, eager.topics));
    }

    #[test]
    fn an_assignment_that_was_written_is_read(partitions in any_partitions(), user_data: Vec<u8>) {
        let assignment = Assignment { partitions, user_data };
        let bytes = write_assignment(&assignment).unwrap();
        prop_assert_eq!(read_assignment(&bytes), Ok(assignment));
    }

    #[test]
    fn no_bytes_make_it_panic_or_hold_more_than_they_are(bytes in any_blob()) {
        for assignor in ["range", "roundrobin", "sticky", "cooperative-sticky", "another"] {
            if let Ok(read) = read_subscription(assignor, &bytes) {
                let held = read.topics.len() * 2 + read.owned.len() * 4 + read.user_data.len();
                prop_assert!(held <= bytes.len());
                prop_assert!(read.previous.partitions.len() * 4 <= read.user_data.len());
            }
        }
        if let Ok(read) = read_assignment(&bytes) {
            prop_assert!(read.partitions.len() * 4 + read.user_data.len() <= bytes.len());
        }
    }
}
