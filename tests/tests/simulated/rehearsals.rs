//! The scenarios that are played on a real Kafka too (tests/tests/kafka), each under the same name.

use steadfast_tests::simulated::stage::rehearse;

/// Each is played from so many seeds.
const SEEDS: u64 = 3;

/// One test for each scenario of a room.
macro_rules! test_each {
    ($room:ident: $($scenario:ident),+ $(,)?) => {
        mod $room {
            use steadfast_tests::scenarios::$room as scenarios;

            $(
                #[test]
                fn $scenario() {
                    for seed in 1..=super::SEEDS {
                        super::rehearse(seed, async |stage| scenarios::$scenario(stage).await);
                    }
                }
            )+
        }
    };
}

steadfast_tests::recovery_scenarios!(test_each);
steadfast_tests::members_scenarios!(test_each);
