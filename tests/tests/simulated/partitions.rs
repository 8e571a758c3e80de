//! The service is cut off from brokers, in both directions or in one, for less and for longer than its session.

use std::time::Duration;

use steadfast::vitals::Reading;
use steadfast_core::ids::NodeId;
use steadfast_sim::faults::{Fault, Nodes, Way};
use steadfast_tests::simulated::journal::What;
use steadfast_tests::simulated::world::{GROUP, Plan, World};

use crate::play::{SECOND, Story, all, befall, play};

const FETCH_MAX_WAIT: Duration = Duration::from_millis(500);

/// What the service is cut off from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Everybody,
    /// The coordinator among them.
    TheMajority,
    /// The other brokers lead all partitions.
    TheCoordinator,
    /// The coordinator leads nothing.
    TheLeaders,
    /// It leads nothing and coordinates nothing.
    OneOfNoUse,
}

const WAYS: [Way; 3] = [Way::Both, Way::Requests, Way::Answers];

fn coordinator(world: &World) -> NodeId {
    world.cluster().with(|cluster| cluster.coordinator(GROUP)).unwrap()
}

fn severed(world: &World, from: From) -> Nodes {
    let coordinator = coordinator(world);
    let others = (1..=3).map(NodeId).filter(|node| *node != coordinator);
    match from {
        From::Everybody => Nodes::All,
        From::TheMajority => Nodes::Some(others.take(1).chain([coordinator]).collect()),
        From::TheCoordinator => Nodes::one(coordinator),
        From::TheLeaders => Nodes::Some(others.collect()),
        From::OneOfNoUse => Nodes::Some(others.take(1).collect()),
    }
}

fn isolate(world: &World, nodes: &Nodes, way: Way) {
    let nodes: Vec<NodeId> = match nodes {
        Nodes::All => (1..=3).map(NodeId).collect(),
        Nodes::Some(nodes) => nodes.iter().copied().collect(),
    };
    for node in nodes {
        befall(world, Fault::Isolate { node, way });
    }
}

/// A partition of the network, and how ready the service was at its end and a while after it.
struct Cut {
    story: Story,
    during: Reading,
    after: Reading,
}

fn cut(seed: u64, from: From, way: Way, during: Duration) -> Cut {
    let mut readings = Vec::new();
    let reading = |world: &World| {
        let control = world.services().remove(&1).flatten().unwrap();
        control.vitals().read(world.now())
    };
    let story = play(Plan::new(seed), async |world| {
        let idle = match from {
            From::TheCoordinator | From::TheLeaders => Some(coordinator(world)),
            From::OneOfNoUse => (1..=3).map(NodeId).find(|node| *node != coordinator(world)),
            From::Everybody | From::TheMajority => None,
        };
        if let Some(from) = idle {
            befall(world, Fault::MoveLeaders { from });
            world.elapse(FORE).await;
        }
        let nodes = severed(world, from);
        isolate(world, &nodes, way);
        world.elapse(during).await;
        readings.push(reading(world));
        befall(world, Fault::Heal { nodes: all() });
        world.elapse(40 * SECOND).await;
        readings.push(reading(world));
    });
    let after = readings.pop().unwrap();
    let during = readings.pop().unwrap();
    Cut { story, during, after }
}

/// A session lasts 45 s.
const SHORTER: Duration = Duration::from_secs(30);
const LONGER: Duration = Duration::from_secs(60);
const SESSION: Duration = Duration::from_secs(45);
/// The longest pause between two attempts to connect.
const BACK: Duration = Duration::from_millis(1_100);
/// A heartbeat's interval until silence is noticed, a question in vain, and the time that doubtful things are given.
const TOLD: Duration = Duration::from_millis(6_600);
/// What was away is reached, and a look at it is due.
const WELL: Duration = Duration::from_millis(2_200);
/// Leaders move before brokers are cut off that lead, or do not, and then all is calm again.
const FORE: Duration = Duration::from_secs(10);

impl Cut {
    fn failed(&self) -> Vec<&'static str> {
        self.during.failed().map(|check| check.name).collect()
    }

    /// Soon after the cut it was said once which brokers were missing, and soon after its end that all was well.
    fn was_degraded(&self, since: Duration, during: Duration) -> &Cut {
        let (degraded, recovered) =
            (self.story.events("service.degraded"), self.story.times("service.recovered"));
        assert_eq!((degraded.len(), recovered.len()), (1, 1), "{}", self.story.told());
        let (at, event) = &degraded[0];
        assert!(*at <= since + TOLD, "{at:?}\n{}", self.story.told());
        assert!(recovered[0] <= since + during + WELL, "{recovered:?}\n{}", self.story.told());
        assert!(event["missing"][0].as_str().unwrap().starts_with("broker "), "{event}");
        assert!(self.failed().contains(&"cluster"), "{:?}", self.during);
        self
    }

    /// The records that the service said to have delivered again.
    fn told_again(&self) -> u64 {
        let told = self.story.events("records.redelivered");
        told.iter().filter_map(|(_, event)| event["records"].as_u64()).sum()
    }

    fn again(&self) -> u64 {
        self.story.report.tally.redelivered().into_values().map(|offsets| offsets.len() as u64).sum()
    }

    /// The group went on as if nothing had been.
    fn continued(&self, limit: Duration) -> &Cut {
        self.story.is_clean(limit).cost(0, 0);
        assert!(self.story.times("partitions.lost").is_empty(), "{}", self.story.told());
        assert_eq!(self.told_again(), 0, "{}", self.story.told());
        assert!(self.after.ready, "{:?}", self.after);
        self
    }

    /// The session ended, here not later than at the coordinator, and after one round all went on. What came again
    /// was counted.
    fn rejoined(&self, since: Duration, limit: Duration) -> &Cut {
        self.story.lost_nothing().cost(0, 1);
        let slowest = self.story.slowest();
        assert!(slowest <= limit, "a record waited for {slowest:?}\n{}", self.story.told());
        let lost = self.story.times("partitions.lost");
        assert!(lost.len() == 1 && lost[0] <= since + SESSION, "{lost:?}\n{}", self.story.told());
        assert_eq!(self.told_again(), self.again(), "{}", self.story.told());
        for happening in &self.story.happenings {
            if let What::Delivered(batch) = &happening.what {
                assert!(batch.current, "{happening:?}");
            }
        }
        assert!(self.failed().contains(&"heartbeat"), "{:?}", self.during);
        assert!(self.after.ready, "{:?}", self.after);
        self
    }
}

#[test]
fn cut_off_from_everybody_for_less_than_the_session_all_goes_on_without_a_round() {
    for way in WAYS {
        let cut = cut(901, From::Everybody, way, SHORTER);
        cut.continued(SHORTER + BACK);
        assert!(cut.failed().contains(&"cluster"), "{:?}", cut.during);
        let degraded = cut.story.events("service.degraded");
        let missing = degraded[0].1["missing"].as_array().unwrap();
        // Each broker by its address, and the bootstrap address.
        assert!(degraded.len() == 1 && missing.len() == 4, "{}", cut.story.told());
        assert_eq!(cut.story.times("service.recovered").len(), 1, "{}", cut.story.told());
    }
}

#[test]
fn cut_off_from_everybody_for_longer_than_the_session_the_group_is_joined_anew() {
    for way in WAYS {
        let cut = cut(902, From::Everybody, way, LONGER);
        cut.rejoined(Duration::ZERO, LONGER + BACK);
        assert!(cut.failed().contains(&"cluster"), "{:?}", cut.during);
    }
}

#[test]
fn cut_off_from_the_majority_for_less_than_the_session_the_others_flow_on() {
    for way in WAYS {
        let cut = cut(903, From::TheMajority, way, SHORTER);
        cut.continued(SHORTER + BACK).was_degraded(Duration::ZERO, SHORTER);
    }
}

#[test]
fn cut_off_from_the_majority_for_longer_than_the_session_the_group_is_joined_anew() {
    for way in WAYS {
        let cut = cut(904, From::TheMajority, way, LONGER);
        cut.rejoined(Duration::ZERO, LONGER + BACK).was_degraded(Duration::ZERO, LONGER);
    }
}

#[test]
fn cut_off_from_the_coordinator_for_less_than_the_session_records_flow_on() {
    for way in WAYS {
        let cut = cut(905, From::TheCoordinator, way, SHORTER);
        cut.continued(FETCH_MAX_WAIT).was_degraded(FORE, SHORTER);
    }
}

#[test]
fn cut_off_from_the_coordinator_for_longer_than_the_session_nothing_is_processed_without_a_lease() {
    for way in WAYS {
        let cut = cut(906, From::TheCoordinator, way, LONGER);
        // From the end of the session on nothing is processed.
        cut.rejoined(FORE, FORE + LONGER - cut.story.times("partitions.lost")[0] + BACK);
    }
}

#[test]
fn cut_off_from_the_leaders_for_however_long_the_group_knows_nothing_of_it() {
    for way in WAYS {
        for during in [SHORTER, LONGER] {
            let cut = cut(907, From::TheLeaders, way, during);
            cut.continued(during + BACK).was_degraded(FORE, during);
            assert_eq!(cut.failed().contains(&"fetch"), during == LONGER, "{:?}", cut.during);
        }
    }
}

#[test]
fn a_broker_that_was_out_of_reach_and_of_no_use_is_missed_as_soon_as_it_leads() {
    let unused = |world: &World| {
        let coordinator = coordinator(world);
        let mut others = (1..=3).map(NodeId).filter(move |node| *node != coordinator);
        (others.next().unwrap(), others.next().unwrap())
    };
    let story = play(Plan::new(909), async |world| {
        let (away, other) = unused(world);
        befall(world, Fault::MoveLeaders { from: away });
        world.elapse(FORE).await;
        befall(world, Fault::Isolate { node: away, way: Way::Both });
        world.elapse(SHORTER).await;
        befall(world, Fault::MoveLeaders { from: other });
        world.elapse(SHORTER).await;
        befall(world, Fault::Heal { nodes: all() });
        world.elapse(10 * SECOND).await;
    });
    let (led, healed) = (FORE + SHORTER, FORE + SHORTER + SHORTER);
    let (told, well) = (story.times("service.degraded"), story.times("service.recovered"));
    // Its fetches are missed 5 s beyond the time for which they may wait, and a look is due each second.
    assert!(told.len() == 1 && told[0] >= led && told[0] <= led + 7 * SECOND, "{told:?}\n{}", story.told());
    assert!(well.len() == 1 && well[0] >= healed && well[0] <= healed + WELL, "{well:?}\n{}", story.told());
}

#[test]
fn cut_off_from_a_broker_that_leads_and_coordinates_nothing_the_service_is_as_ready_as_before() {
    for way in WAYS {
        let cut = cut(908, From::OneOfNoUse, way, LONGER);
        cut.continued(FETCH_MAX_WAIT);
        assert!(cut.during.ready, "{:?}", cut.during);
        assert!(cut.story.times("service.degraded").is_empty(), "{}", cut.story.told());
    }
}
