use super::*;
use crate::group::round::Phases;

/// An account, and the time.
struct Scene {
    account: Account,
    now: Tick,
    spent: Spent,
}

fn of(indexes: impl IntoIterator<Item = i32>) -> BTreeSet<Partition> {
    indexes.into_iter().map(|index| Partition::new("t", index)).collect()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn exact(offsets: u64) -> Handed {
    Handed { offsets, certainty: Certainty::Exact }
}

impl Scene {
    fn new() -> Scene {
        Scene { account: Account::default(), now: Tick::at(ms(1_000)), spent: Spent::default() }
    }

    /// Something happens so many milliseconds after what happened before, and costs a request of 100 bytes.
    fn then(&mut self, wait: u64, happening: Happening) -> Option<Record> {
        self.now = self.now + ms(wait);
        self.spent.requests += 1;
        self.spent.bytes += 100;
        self.account.handle(happening, self.now, self.spent)
    }

    fn settle(&mut self, wait: u64, manner: Manner, assigned: BTreeSet<Partition>) -> Option<Record> {
        self.settle_releasing(wait, manner, assigned, of([]))
    }

    fn settle_releasing(
        &mut self,
        wait: u64,
        manner: Manner,
        assigned: BTreeSet<Partition>,
        releasing: BTreeSet<Partition>,
    ) -> Option<Record> {
        let took = Phases { drain: ms(0), join: ms(wait), sync: ms(0) };
        let rebalance = Rebalance {
            reason: Reason::RoundBegan,
            latest: Reason::RoundBegan,
            trigger: None,
            took,
            generation: GroupGeneration(7),
            manner,
            assignor: "range".into(),
            leader: false,
            led_by: None,
            gathered: None,
            assigned,
            releasing,
        };
        self.then(wait, Happening::Settled(Box::new(rebalance)))
    }

    fn fetch(&mut self, wait: u64, index: i32) -> Option<Record> {
        self.then(0, Happening::Working { partition: Partition::new("t", index) });
        self.then(wait, Happening::Fetched { partition: Partition::new("t", index) })
    }

    /// A member that owns these, and all is quiet.
    fn owning(indexes: impl IntoIterator<Item = i32> + Clone) -> Scene {
        let mut scene = Scene::new();
        scene.then(0, Happening::Began { reason: Reason::Start });
        scene.settle(0, Manner::Eager, of(indexes.clone()));
        for index in indexes {
            scene.fetch(0, index);
        }
        assert!(scene.account.open.is_none());
        scene
    }
}

#[test]
fn an_eager_round_stops_everything_and_moves_what_moves() {
    let mut scene = Scene::owning(0..4);
    let began = scene.spent;
    scene.then(500, Happening::Began { reason: Reason::RoundBegan });
    scene.then(0, Happening::Stopped { partitions: of(0..4) });
    scene.then(20, Happening::Drained { partitions: of(0..4) });
    scene.then(5, Happening::GivenUp { partitions: of(0..4), undrained: 0 });
    assert_eq!(scene.settle(75, Manner::Eager, of([0, 1, 4])), None);
    for (index, offsets) in [(0, 0), (1, 3), (4, 0)] {
        scene.then(0, Happening::Placed { partition: Partition::new("t", index), handed: exact(offsets) });
    }
    assert_eq!(scene.fetch(10, 0), None);
    assert_eq!(scene.fetch(0, 1), None);
    let record = scene.fetch(10, 4).unwrap();
    assert_eq!((&record.taken, &record.given, record.kept), (&of([4]), &of([2, 3]), 2));
    // Partitions 0 and 1 waited for 110 ms, 4 for 120.
    assert_eq!(record.unavailable, ms(110 + 110 + 120));
    assert_eq!((record.took.commit, record.took.revoke), (Some(ms(5)), None));
    assert_eq!((record.took.handlers, record.took.first_record), (Some(ms(10)), Some(ms(20))));
    assert_eq!((record.whole, record.handed, record.rounds), (ms(120), exact(3), 1));
    assert_eq!(record.spent.requests, scene.spent.requests - began.requests - 1);
    assert_eq!(record.spent.bytes, 100 * record.spent.requests);
}

#[test]
fn a_cooperative_round_and_the_one_that_it_asks_for_are_one_rebalance() {
    let mut scene = Scene::owning(0..4);
    scene.then(500, Happening::Began { reason: Reason::RoundBegan });
    assert_eq!(scene.settle_releasing(10, Manner::Cooperative, of(0..2), of(2..4)), None);
    scene.then(0, Happening::Stopped { partitions: of(2..4) });
    scene.then(30, Happening::Drained { partitions: of(2..4) });
    assert_eq!(scene.then(4, Happening::GivenUp { partitions: of(2..4), undrained: 1 }), None);
    scene.then(0, Happening::Began { reason: Reason::Released });
    let record = scene.settle(6, Manner::Cooperative, of(0..2)).unwrap();
    assert_eq!((record.rounds, record.kept, &record.given), (2, 2, &of(2..4)));
    assert_eq!((record.took.revoke, record.took.commit), (Some(ms(34)), Some(ms(4))));
    assert_eq!(record.took.join, ms(16));
    assert_eq!((record.unavailable, record.undrained), (Duration::ZERO, 1), "what is kept has no pause");
    assert_eq!(record.took.first_record, None, "nothing was taken up");
    assert_eq!(record.reason, Reason::RoundBegan);
}

#[test]
fn what_is_taken_up_from_others_is_unavailable_from_the_first_sign_on() {
    let mut scene = Scene::owning([0]);
    scene.then(500, Happening::Began { reason: Reason::RoundBegan });
    scene.settle(40, Manner::Cooperative, of([0, 1]));
    let record = scene.fetch(10, 1).unwrap();
    assert_eq!((record.unavailable, record.kept, &record.taken), (ms(50), 1, &of([1])));
}

#[test]
fn what_was_lost_is_unavailable_from_its_loss_on_and_counts_in_the_round_that_follows() {
    let mut scene = Scene::owning(0..2);
    scene.then(0, Happening::CoordinatorLost);
    scene.then(500, Happening::Lost { partitions: of(0..2) });
    scene.then(100, Happening::Began { reason: Reason::SessionExpired });
    scene.settle(50, Manner::Eager, of([0]));
    let record = scene.fetch(50, 0).unwrap();
    assert_eq!((record.lost, record.kept, &record.given), (2, 1, &of([1])));
    assert_eq!((record.unavailable, record.coordinator_losses), (ms(200), 1));
}

#[test]
fn a_round_that_overtakes_another_closes_it_and_takes_its_waits_over() {
    let mut scene = Scene::owning([0]);
    scene.then(0, Happening::Began { reason: Reason::RoundBegan });
    scene.settle(100, Manner::Cooperative, of([0, 1]));
    let overtaken = scene.then(50, Happening::Began { reason: Reason::RoundBegan }).unwrap();
    assert_eq!((overtaken.unseen, overtaken.unavailable), (1, ms(150)));
    assert_eq!((overtaken.took.first_record, &overtaken.taken), (None, &of([1])));
    // In the second round partition 1 is kept: it is owned, though it was never fetched.
    let record = scene.settle(10, Manner::Cooperative, of([0, 1])).unwrap();
    assert_eq!((record.kept, record.unseen), (2, 0));
}

#[test]
fn a_round_that_begins_again_before_its_assignment_is_the_same_rebalance() {
    let mut scene = Scene::owning([0]);
    scene.then(0, Happening::Began { reason: Reason::RoundBegan });
    assert_eq!(scene.then(10, Happening::Began { reason: Reason::Restarted }), None);
    let record = scene.settle(10, Manner::Cooperative, of([0])).unwrap();
    assert_eq!((record.whole, record.rounds), (ms(20), 1));
}

#[test]
fn a_partition_that_is_never_fetched_is_waited_for_half_a_minute() {
    let mut scene = Scene::owning([]);
    scene.then(0, Happening::Began { reason: Reason::RoundBegan });
    scene.settle(0, Manner::Eager, of([0]));
    assert_eq!(scene.account.next_deadline(), Some(scene.now + ms(30_000)));
    assert_eq!(scene.then(29_999, Happening::Looked), None);
    let record = scene.then(1, Happening::Looked).unwrap();
    assert_eq!((record.unseen, record.unavailable), (1, ms(30_000)));
}

#[test]
fn what_is_least_certain_says_how_certain_the_sum_is() {
    for (worst, expected) in [
        (Certainty::Exact, Certainty::Exact),
        (Certainty::AtLeast, Certainty::AtLeast),
        (Certainty::Unknown, Certainty::Unknown),
    ] {
        let mut scene = Scene::owning([]);
        scene.then(0, Happening::Began { reason: Reason::RoundBegan });
        scene.settle(0, Manner::Eager, of(0..2));
        scene.then(0, Happening::Placed { partition: Partition::new("t", 0), handed: exact(5) });
        let handed = Handed { offsets: 2, certainty: worst };
        scene.then(0, Happening::Placed { partition: Partition::new("t", 1), handed });
        scene.fetch(0, 0);
        let record = scene.fetch(0, 1).unwrap();
        assert_eq!(record.handed, Handed { offsets: 7, certainty: expected });
    }
}

#[test]
fn with_the_consumer_protocol_no_other_round_is_waited_for() {
    let mut scene = Scene::owning(0..2);
    scene.then(0, Happening::Began { reason: Reason::RoundBegan });
    assert_eq!(scene.settle_releasing(5, Manner::Consumer, of([0]), of([1])), None);
    scene.then(0, Happening::Stopped { partitions: of([1]) });
    scene.then(5, Happening::Drained { partitions: of([1]) });
    let record = scene.then(5, Happening::GivenUp { partitions: of([1]), undrained: 0 }).unwrap();
    assert_eq!((record.took.revoke, record.given), (Some(ms(10)), of([1])));
}

#[test]
fn leaving_is_no_rebalance() {
    let mut scene = Scene::owning(0..2);
    scene.then(0, Happening::Stopped { partitions: of(0..2) });
    scene.then(5, Happening::Drained { partitions: of(0..2) });
    assert_eq!(scene.then(5, Happening::GivenUp { partitions: of(0..2), undrained: 0 }), None);
    assert_eq!(scene.account.next_deadline(), None);
}
