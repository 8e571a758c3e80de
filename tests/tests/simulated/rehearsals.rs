//! The scenarios that are played on a real Kafka too (tests/tests/kafka, tests/tests/wire), each under the same name.

use steadfast_tests::simulated::stage::rehearse;

/// Each is played from so many seeds.
const SEEDS: u64 = 3;

/// One test for each scenario of a room.
macro_rules! test_each {
    ($room:ident: $($scenario:ident),+ $(,)?) => {
        $(
            #[test]
            fn $scenario() {
                for seed in 1..=super::SEEDS {
                    super::rehearse(seed, async |stage| scenarios::$room::$scenario(stage).await);
                }
            }
        )+
    };
}

mod recovery {
    use steadfast_tests::scenarios;

    steadfast_tests::recovery_scenarios!(test_each);
}

mod members {
    use steadfast_tests::scenarios;

    steadfast_tests::members_scenarios!(test_each);
    steadfast_tests::moved_members_scenarios!(test_each);
}
