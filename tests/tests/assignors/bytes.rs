//! What Java's members write about themselves.

use std::time::Duration;

use steadfast_core::group::assign::Assignor;
use steadfast_core::group::subscription::Held;
use steadfast_core::ids::{GroupGeneration, Partition};
use steadfast_kafka::blobs::read_subscription;
use steadfast_tests::assignors::{Java, Writing};

const LIMIT: Duration = Duration::from_secs(60);

/// Each assignor in each version: what the version can say arrives.
pub(crate) fn read() {
    let held = Held {
        partitions: [("orders", 2), ("orders", 0), ("audit", 1)]
            .map(|(topic, index)| Partition::new(topic, index))
            .into(),
        generation: Some(GroupGeneration(7)),
    };
    let mut writings = Vec::new();
    for assignor in Assignor::ALL {
        for version in 0..=3 {
            let topics = vec!["orders".into(), "audit".into()];
            let rack = Some("eu-1".to_owned());
            writings.push(Writing { assignor, topics, held: held.clone(), rack, version });
        }
    }
    let written = Java::start().unwrap().write(&writings, LIMIT).unwrap();
    for (writing, bytes) in writings.iter().zip(written) {
        let read = read_subscription(writing.assignor.name(), &bytes).unwrap();
        assert_eq!(read.topics, writing.topics.iter().cloned().collect(), "{writing:?}");
        assert_eq!(read.rack, writing.rack.clone().filter(|_| writing.version >= 3), "{writing:?}");
        match writing.assignor {
            Assignor::Sticky => assert_eq!(read.previous, held, "{writing:?}"),
            Assignor::CooperativeSticky => {
                let known = writing.version >= 1;
                assert_eq!(
                    read.owned,
                    if known { held.partitions.clone() } else { [].into() },
                    "{writing:?}"
                );
                assert_eq!(read.generation, held.generation, "{writing:?}");
            }
            Assignor::Range | Assignor::RoundRobin => {
                assert_eq!(read.generation, held.generation.filter(|_| writing.version >= 2), "{writing:?}");
            }
        }
    }
}
