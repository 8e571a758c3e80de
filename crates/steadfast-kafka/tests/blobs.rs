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
        let mut bytes = write_subscription(Assignor::Range, &subscription).expect("short names").to_vec();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        bytes.truncate(end.index(bytes.len()) + 1);
        bytes
    });
    prop_oneof![any::<Vec<u8>>(), nearly]
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
    fn an_assignment_that_was_written_is_read(partitions in any_partitions(), user_data: Vec<u8>) {
        let assignment = Assignment { partitions, user_data };
        let bytes = write_assignment(&assignment).unwrap();
        prop_assert_eq!(read_assignment(&bytes), Ok(assignment));
    }

    #[test]
    fn no_bytes_make_it_panic_or_hold_more_than_they_are(bytes in any_blob()) {
        for assignor in ["range", "cooperative-sticky"] {
            if let Ok(read) = read_subscription(assignor, &bytes) {
                let held = read.topics.len() * 2 + read.owned.len() * 4 + read.user_data.len();
                prop_assert!(held <= bytes.len());
            }
        }
        if let Ok(read) = read_assignment(&bytes) {
            prop_assert!(read.partitions.len() * 4 + read.user_data.len() <= bytes.len());
        }
    }
}
