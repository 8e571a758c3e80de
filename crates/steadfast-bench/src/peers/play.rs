//! One client, some moves.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant, SystemTime};

use steadfast_sim::proxy::Nodes;
use steadfast_tests::checker::{Acked, Checker, Mark, Verdict};
use steadfast_tests::kafka::Cluster;

use super::case::Case;
use super::client::{Client, Consumer, Place};
use crate::ground::{Ground, whole};
use crate::machine::load_average;
use crate::scene::count;

/// Until every partition flows for the first time.
const BEGIN_LIMIT: Duration = Duration::from_secs(60);
/// Flow before the move: longer than the 5 s after which clients commit.
const FLOW: Duration = Duration::from_secs(6);
/// By so much more in each further run, so that moves fall on other phases of what clients do at intervals.
const PHASE: Duration = Duration::from_millis(737);
/// Between two moves, so that one is not measured in the other's wake.
const REST: Duration = Duration::from_secs(1);
/// Flow after the last partition has gone on, in which something may come again.
const AFTERMATH: Duration = Duration::from_secs(5);
/// How long the last record is waited for after the load has ended.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);
/// Between two looks at what came. Times are taken when a record comes, not when it is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How a life is played.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What happens.
    pub case: Case,
    /// How long a client is waited for.
    pub limit: Duration,
    /// Whether the connections that stand on the bootstrap address survive a move of every endpoint. Otherwise they
    /// end as those to the old endpoints do: behind a name or a load balancer are brokers that moved.
    pub keep_bootstrap_connections: bool,
}

/// What one client made of some moves, one after the other, in one life.
#[derive(Debug, Clone, PartialEq)]
pub struct Life {
    /// Who.
    pub client: Client,
    /// Of what.
    pub case: Case,
    /// From 1 on.
    pub number: usize,
    /// How long it was waited for at each move.
    pub limit: Duration,
    /// By move: the first after which it was not back ends its life.
    pub moves: Vec<Move>,
    /// What was counted; none when a partition did not go on.
    pub counted: Option<Counted>,
    /// The machine's load average when the endpoints first moved.
    pub load: f64,
}

/// By partition, from the move (or the end of the old ports, where they went on at first) to the first record that was
/// sent after the old ports ended. A partition without one within the limit is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move(pub BTreeMap<i32, Duration>);

/// What the brokers acknowledged, compared with what the client was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Records that the brokers acknowledged.
    pub acknowledged: usize,
    /// Acknowledged, and never delivered.
    pub lost: usize,
    /// Delivered again.
    pub redelivered: usize,
    /// How often the client joined its group again after the first move: each is a rebalance. None where that is not
    /// seen from outside.
    pub rejoined: Option<u64>,
}

impl Move {
    /// How long it took until every partition had gone on; none if that took longer than the limit.
    pub fn back(&self) -> Option<Duration> {
        if whole(&self.0) { self.0.values().max().copied() } else { None }
    }
}

impl Life {
    /// Whether it came back each time.
    pub fn came_back(&self) -> bool {
        self.moves.iter().all(|one| one.back().is_some())
    }
}

/// JoinGroup.
const JOIN: i16 = 11;

/// Plays one life on a proxy, topic and group of its own: at most so many moves.
///
/// # Errors
/// The client does not begin to consume within a minute, or what it is measured with fails.
pub fn play(cluster: &Cluster, plan: Plan, client: Client, number: usize, moves: usize) -> io::Result<Life> {
    let Plan { case, limit, .. } = plan;
    let name = format!("recovery-{}-{}-{number}", case.name(), client.name());
    let ground = Ground::begin(cluster, &name)?;
    let bootstrap =
        if case.old_addresses_only() { ground.listed() } else { ground.proxy.bootstrap().to_string() };
    let mut consumer = client.start(Place { bootstrap: &bootstrap, name: &name })?;
    await_begin(&mut *consumer, client)?;
    std::thread::sleep(FLOW + PHASE * u32::try_from(number % 10).unwrap_or_default());
    let joined = ground.proxy.requests_of(JOIN);
    let mut life =
        Life { client, case, number, limit, moves: Vec::new(), counted: None, load: load_average() };
    for nth in 0..moves {
        std::thread::sleep(REST);
        life.moves.push(strike(&ground, &mut *consumer, plan, number * moves + nth)?);
        if !life.came_back() {
            break;
        }
    }
    let Ground { load, proxy, runtime } = ground;
    if life.came_back() {
        std::thread::sleep(AFTERMATH);
        let rejoined = client.is_in_a_classic_group().then(|| proxy.requests_of(JOIN) - joined);
        let acked = load.stop()?;
        look(&mut *consumer, DRAIN_LIMIT, |seen| seen.outstanding(&acked).is_empty());
        life.counted = Some(counted(&consumer.seen(), &acked, rejoined));
    }
    consumer.end();
    drop((proxy, runtime));
    Ok(life)
}

fn await_begin(consumer: &mut dyn Consumer, client: Client) -> io::Result<()> {
    if look(consumer, BEGIN_LIMIT, |seen| whole(&seen.first_after(SystemTime::UNIX_EPOCH))) {
        return Ok(());
    }
    let found = consumer.seen().first_after(SystemTime::UNIX_EPOCH).len();
    let (client, all) = (client.title(), crate::ground::PARTITIONS);
    Err(io::Error::other(format!(
        "{client}: expected {all} partitions to flow within {BEGIN_LIMIT:?}, found {found}"
    )))
}

/// One move, and how long each partition took.
fn strike(ground: &Ground, consumer: &mut dyn Consumer, plan: Plan, number: usize) -> io::Result<Move> {
    let Plan { case, limit, keep_bootstrap_connections } = plan;
    let (moved, mut closed) = ground.shift(case.nodes(number), case.old())?;
    if case.nodes(number) == Nodes::All && !keep_bootstrap_connections {
        ground.proxy.end_bootstrap_connections(case.old());
        closed = SystemTime::now();
    }
    let counted_from = moved.at + case.grace();
    let closed = closed.max(counted_from);
    if let Ok(left) = counted_from.duration_since(SystemTime::now()) {
        std::thread::sleep(left);
    }
    let first = |seen: &Checker| first_sent_after(seen, &ground.load.sent_after(closed), counted_from);
    look(consumer, limit, |seen| whole(&first(seen)));
    let mut first = first(&consumer.seen());
    first.retain(|_, after| *after <= limit);
    Ok(Move(first))
}

/// Looks at what the client was given until that is enough, or until `limit`: whether it was enough.
fn look(consumer: &mut dyn Consumer, limit: Duration, enough: impl Fn(&Checker) -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if enough(&consumer.seen()) {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(LOOK);
    }
}

/// By partition, how long after `moved` the first of the `sent` records came.
fn first_sent_after(seen: &Checker, sent: &BTreeSet<Mark>, moved: SystemTime) -> BTreeMap<i32, Duration> {
    let mut first = BTreeMap::new();
    for delivered in seen.delivered().iter().filter(|delivered| sent.contains(&delivered.mark)) {
        if let Ok(after) = delivered.at.duration_since(moved) {
            first.entry(delivered.mark.partition).or_insert(after);
        }
    }
    first
}

fn counted(seen: &Checker, acked: &Acked, rejoined: Option<u64>) -> Counted {
    let Verdict { lost, redelivered, .. } = seen.verdict(acked);
    Counted { acknowledged: count(acked), lost: lost.len(), redelivered: redelivered.len(), rejoined }
}

#[cfg(test)]
mod tests {
    use steadfast_tests::checker::Delivered;

    use super::*;

    const MOVED: u64 = 100;

    fn at(ms: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
    }

    fn seen(deliveries: &[(i32, u64, u64)]) -> Checker {
        let mut checker = Checker::default();
        for &(partition, sequence, ms) in deliveries {
            let offset = i64::try_from(sequence).unwrap();
            checker.see(Delivered { mark: Mark { partition, sequence }, offset, at: at(ms) });
        }
        checker
    }

    #[test]
    fn a_record_that_was_under_way_at_the_move_is_not_the_first() {
        let seen = seen(&[(0, 4, 101), (0, 5, 140), (0, 6, 150), (1, 7, 160)]);
        let sent = [(0, 5), (0, 6), (1, 9)].map(|(partition, sequence)| Mark { partition, sequence });
        let expected = BTreeMap::from([(0, Duration::from_millis(40))]);
        assert_eq!(first_sent_after(&seen, &sent.into(), at(MOVED)), expected);
    }

    #[test]
    fn a_client_is_back_when_its_last_partition_is() {
        let first: BTreeMap<i32, Duration> = (0..12_i32)
            .map(|partition| (partition, Duration::from_secs(partition.unsigned_abs().into())))
            .collect();
        let mut one = Move(first);
        assert_eq!(one.back(), Some(Duration::from_secs(11)));
        one.0.remove(&3);
        assert_eq!(one.back(), None);
    }

    #[test]
    fn what_did_not_come_is_lost_and_what_came_twice_redelivered() {
        let seen = seen(&[(0, 0, 1), (0, 1, 2), (0, 0, 3), (0, 1, 4)]);
        let acked = Acked::from([(0, BTreeSet::from([0, 1, 2]))]);
        let expected = Counted { acknowledged: 3, lost: 1, redelivered: 2, rejoined: None };
        assert_eq!(counted(&seen, &acked, None), expected);
    }
}
