//! One leader's pipeline: all of its partitions in one request, the next fetch in flight while the last answer
//! is decompressed and delivered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use steadfast_core::ids::{ConsumerIncarnation, LeaderEpoch, NodeId, Offset, Partition};
use steadfast_core::progress::Position;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::answer::fetched;
use super::claims::Claims;
use super::intake::{Intake, Note, Want};
use super::memory::Memory;
use super::request::{Ask, matched, request};
use crate::api::fetch::{Fetch, FetchedPartition};
use crate::api::list_offsets::{ListOffsets, ListedOffset, LogEnd, OffsetAsked};
use crate::api::offset_for_leader_epoch::{EpochAsked, OffsetForLeaderEpoch};
use crate::api::{ErrorCode, Isolation};
use crate::connection::{CallError, Connection, Dial, Pending};
use crate::transport::Transport;

/// How a loop fetches. The limits are Kafka's own settings of the same names.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether records of open and aborted transactions are left out.
    pub isolation: Isolation,
    /// How long the leader may wait for records.
    pub max_wait: Duration,
    /// How many bytes it should wait for.
    pub min_bytes: i32,
    /// How many bytes an answer may have; a larger first batch is sent whole all the same.
    pub max_bytes: i32,
    /// How many bytes of one partition.
    pub partition_max_bytes: i32,
    /// How long any request may take in all.
    pub request_timeout: Duration,
    /// How large a batch may become by decompression.
    pub decompressed_limit: usize,
}

/// The partitions that a loop fetches, with the leader epoch that is known for each.
pub type Led = Arc<BTreeMap<Partition, LeaderEpoch>>;

/// A fetch is overdue when it is unanswered past its max wait, what this broker usually takes on top, and this.
const OVERDUE_FLOOR: Duration = Duration::from_millis(100);

/// A partition that its leader refuses is asked for again after this.
const REST: Duration = Duration::from_millis(100);

/// A partition whose answer makes no sense is asked for again after this.
const LONG_REST: Duration = Duration::from_secs(1);

/// How often a loop without anything to fetch looks again.
const LOOK: Duration = Duration::from_millis(100);

const RECONNECT_FIRST: Duration = Duration::from_millis(25);
const RECONNECT_LIMIT: Duration = Duration::from_secs(1);

/// One leader's fetch loop.
pub struct LeaderLoop<I> {
    /// The broker.
    pub node: NodeId,
    /// The life of the consumer that it belongs to.
    pub incarnation: ConsumerIncarnation,
    /// Where and how it connects.
    pub dial: Dial,
    /// What it connects with.
    pub transport: Arc<dyn Transport>,
    /// How it fetches.
    pub settings: Settings,
    /// The bound on what it holds.
    pub memory: Memory,
    /// Which partitions it fetches; it ends when the sender is gone.
    pub led: watch::Receiver<Led>,
    /// Where it learns what is wanted and puts what it fetched.
    pub intake: Arc<I>,
}

struct Asked {
    pending: Pending<Fetch>,
    asks: Vec<Ask>,
    sent: Instant,
    max_wait: Duration,
    reserved: super::memory::Reserved,
}

/// What one connection has seen.
struct Session {
    connection: Connection,
    /// What this broker usually takes beyond the wait that it was asked for.
    usual: Duration,
    throttle: Duration,
    /// The first fetch does not wait for records: its answer proves the leader.
    first: bool,
    /// Counts the fetches.
    turn: usize,
    resting: BTreeMap<Partition, Instant>,
    /// Positions that the leader does not have: it is asked what it has instead.
    doubted: Vec<(Partition, Position)>,
}

/// The connection is of no use any more.
struct Broken(String);

impl From<CallError> for Broken {
    fn from(error: CallError) -> Broken {
        Broken(error.to_string())
    }
}

impl<I: Intake> LeaderLoop<I> {
    /// Runs until the owner drops the sender of [`LeaderLoop::led`]; `connection` is used first if there is one.
    /// When the connection breaks, the loop says so and connects again, until its owner decides otherwise.
    pub async fn run(mut self, connection: Option<Connection>) {
        let mut ready = connection;
        let mut failures = 0u32;
        while self.led.has_changed().is_ok() {
            let connection = match ready.take() {
                Some(connection) => connection,
                None => match Connection::open(&*self.transport, self.dial.clone()).await {
                    Ok(connection) => connection,
                    Err(error) => {
                        self.intake.note(Note::Broken { reason: error.to_string(), stood: false });
                        failures = failures.saturating_add(1);
                        sleep(RECONNECT_FIRST.saturating_mul(1 << failures.min(6)).min(RECONNECT_LIMIT))
                            .await;
                        continue;
                    }
                },
            };
            failures = 0;
            if let Err(Broken(reason)) = self.serve(connection).await {
                self.intake.note(Note::Broken { reason, stood: true });
                sleep(RECONNECT_FIRST).await;
            }
        }
    }

    /// Fetches over one connection until it breaks (the error) or the loop is to end.
    async fn serve(&mut self, connection: Connection) -> Result<(), Broken> {
        let mut session = Session {
            connection,
            usual: Duration::ZERO,
            throttle: Duration::ZERO,
            first: true,
            turn: 0,
            resting: BTreeMap::new(),
            doubted: Vec::new(),
        };
        let mut changes = self.intake.changes();
        let (intake, memory) = (Arc::clone(&self.intake), self.memory.clone());
        let mut claims = Claims::new(self.node, intake, memory, self.settings.decompressed_limit);
        loop {
            changes.borrow_and_update();
            if self.led.has_changed().is_err() {
                claims.deliver();
                return Ok(());
            }
            let unplaced = self.unplaced(&session);
            if !unplaced.is_empty() || !session.doubted.is_empty() {
                // The answers may never come: the connection may break, or the owner end the loop meanwhile.
                claims.deliver();
                self.place(&mut session, unplaced).await?;
                self.examine_doubted(&mut session).await?;
            }
            let wanted = self.wanted(&session);
            if wanted.is_empty() {
                claims.deliver();
                self.idle(&session, &mut changes).await?;
                continue;
            }
            let asked = self.ask(&mut session, wanted, &mut claims).await;
            // Also when asking failed.
            claims.deliver();
            let Some(asked) = asked? else { continue };
            self.answered(&mut session, asked, &mut claims).await?;
        }
    }

    /// Waits until something may be wanted.
    async fn idle(&mut self, session: &Session, changes: &mut watch::Receiver<u64>) -> Result<(), Broken> {
        // A look now and then makes up for what changed without being told.
        let look = Instant::now() + LOOK;
        let wake = session.resting.values().min().copied().map_or(look, |wake| wake.min(look));
        tokio::select! {
            biased;
            reason = session.connection.closed() => Err(Broken(reason.to_string())),
            // An end of the sender is seen by the caller.
            _ = self.led.changed() => Ok(()),
            _ = changes.changed() => Ok(()),
            () = sleep_until(wake) => Ok(()),
        }
    }

    fn awake(&self, session: &Session) -> Vec<(Partition, LeaderEpoch)> {
        let now = Instant::now();
        let rested = |partition: &Partition| session.resting.get(partition).is_none_or(|until| *until <= now);
        let led = Arc::clone(&self.led.borrow());
        led.iter().filter(|(partition, _)| rested(partition)).map(|(p, epoch)| (p.clone(), *epoch)).collect()
    }

    fn wanted(&self, session: &Session) -> Vec<Ask> {
        let wants = |(partition, leader_epoch): (Partition, LeaderEpoch)| match self.intake.want(&partition) {
            Want::Records(from) => Some(Ask { partition, leader_epoch, from }),
            Want::Nothing | Want::Offset(_) => None,
        };
        let mut wanted: Vec<_> = self.awake(session).into_iter().filter_map(wants).collect();
        // Who is asked for first is answered first: turn, so that a full answer starves none.
        if !wanted.is_empty() {
            let turn = session.turn % wanted.len();
            wanted.rotate_left(turn);
        }
        wanted
    }

    async fn ask(
        &mut self,
        session: &mut Session,
        asks: Vec<Ask>,
        claims: &mut Claims<I>,
    ) -> Result<Option<Asked>, Broken> {
        let per_partition = usize::try_from(self.settings.partition_max_bytes).unwrap_or(usize::MAX);
        let limit = usize::try_from(self.settings.max_bytes).unwrap_or(usize::MAX);
        let worst = per_partition.saturating_mul(asks.len()).min(limit).min(self.memory.capacity());
        let reserve = self.memory.reserve(worst);
        tokio::pin!(reserve);
        let reserved = match futures::poll!(reserve.as_mut()) {
            std::task::Poll::Ready(reserved) => reserved,
            std::task::Poll::Pending => {
                // What was claimed holds memory until it is processed: let it go first.
                claims.deliver();
                tokio::select! {
                    biased;
                    reason = session.connection.closed() => return Err(Broken(reason.to_string())),
                    _ = self.led.changed() => return Ok(None),
                    reserved = &mut reserve => reserved,
                }
            }
        };
        let Some(reserved) = reserved else { return Ok(None) };
        let max_wait = if session.first { Duration::ZERO } else { self.settings.max_wait };
        let request = request(&asks, &self.settings, max_wait);
        let sent = Instant::now();
        let pending = session.connection.send(&request, self.settings.request_timeout)?;
        Ok(Some(Asked { pending, asks, sent, max_wait, reserved }))
    }

    /// Waits for the answer and claims what it brought.
    async fn answered(
        &self,
        session: &mut Session,
        asked: Asked,
        claims: &mut Claims<I>,
    ) -> Result<(), Broken> {
        let Asked { pending, asks, sent, max_wait, reserved } = asked;
        let slack = OVERDUE_FLOOR.max(session.usual * 4) + session.throttle;
        let raw = pending.raw();
        tokio::pin!(raw);
        let raw = match timeout_at(sent + max_wait + slack, raw.as_mut()).await {
            Ok(raw) => raw?,
            Err(_) => {
                self.intake.note(Note::Silent { waited: sent.elapsed() });
                raw.await?
            }
        };
        let beyond = sent.elapsed().saturating_sub(max_wait);
        session.usual = beyond.max(session.usual * 7 / 8);
        session.first = false;
        session.turn = session.turn.wrapping_add(1);
        let answer = raw.wrapped(|frame| reserved.hold(frame)).decode()?;
        session.throttle = answer.throttle;
        for (ask, part) in matched(answer, asks) {
            self.part(session, ask, part, claims);
        }
        Ok(())
    }

    fn part(&self, session: &mut Session, ask: Ask, part: FetchedPartition, claims: &mut Claims<I>) {
        let Ask { partition, from: position, .. } = ask;
        match part.error {
            ErrorCode::NONE => {}
            ErrorCode::OFFSET_OUT_OF_RANGE => return session.doubt(partition, position),
            code if about_the_leader(code) => {
                session.rest(&partition, REST);
                return self.intake.note(Note::NotLeader { partition, code });
            }
            code => {
                session.rest(&partition, LONG_REST);
                return self.intake.note(Note::Refused { partition, code });
            }
        }
        if part.diverging.is_some() {
            return session.doubt(partition, position);
        }
        let end = match self.settings.isolation {
            Isolation::ReadCommitted => part.last_stable_offset,
            Isolation::ReadUncommitted => part.high_watermark,
        };
        if let Some(end) = end {
            self.intake.saw_end(&partition, end);
        }
        self.intake.note(Note::Accepted { partition: partition.clone(), from: position.offset });
        let records = part.records.unwrap_or_default();
        match fetched(records, position.offset, self.settings.isolation, part.aborted) {
            Ok(None) => {}
            Ok(Some(fetched)) => claims.claim(partition, position, fetched),
            Err(error) => {
                session.rest(&partition, LONG_REST);
                let error = error.to_string();
                self.intake.note(Note::Undecodable { partition, position: position.offset, error });
            }
        }
    }

    /// The partitions for which nothing was ever committed.
    fn unplaced(&self, session: &Session) -> BTreeMap<Partition, OffsetAsked> {
        let wants = |(partition, leader_epoch): (Partition, LeaderEpoch)| match self.intake.want(&partition) {
            Want::Offset(at) => Some((partition, OffsetAsked { at, leader_epoch })),
            Want::Nothing | Want::Records(_) => None,
        };
        self.awake(session).into_iter().filter_map(wants).collect()
    }

    /// Asks where their log begins or ends.
    async fn place(
        &self,
        session: &mut Session,
        unplaced: BTreeMap<Partition, OffsetAsked>,
    ) -> Result<(), Broken> {
        if unplaced.is_empty() {
            return Ok(());
        }
        for (partition, found) in self.listed(session, unplaced.clone()).await? {
            match (found, unplaced.get(&partition)) {
                (Ok(found), Some(asked)) if found.offset.0 >= 0 => {
                    self.intake.placed(&partition, asked.at, found.offset, found.leader_epoch);
                }
                (Err(code), _) if about_the_leader(code) => {
                    session.rest(&partition, REST);
                    self.intake.note(Note::NotLeader { partition, code });
                }
                (Err(code), _) => {
                    session.rest(&partition, LONG_REST);
                    self.intake.note(Note::Refused { partition, code });
                }
                (Ok(_), _) => session.rest(&partition, LONG_REST),
            }
        }
        Ok(())
    }

    async fn listed(
        &self,
        session: &Session,
        partitions: BTreeMap<Partition, OffsetAsked>,
    ) -> Result<BTreeMap<Partition, Result<ListedOffset, ErrorCode>>, Broken> {
        let request = ListOffsets { isolation: self.settings.isolation, partitions };
        Ok(session.connection.call(request, self.settings.request_timeout).await?.partitions)
    }

    async fn examine_doubted(&self, session: &mut Session) -> Result<(), Broken> {
        for (partition, position) in std::mem::take(&mut session.doubted) {
            self.examine(session, &partition, position).await?;
        }
        Ok(())
    }

    /// The leader does not have the position: asks it what it has instead.
    async fn examine(
        &self,
        session: &Session,
        partition: &Partition,
        position: Position,
    ) -> Result<(), Broken> {
        let leader_epoch = self.led.borrow().get(partition).copied().unwrap_or(LeaderEpoch::UNKNOWN);
        let shared = self.shared_history(session, partition, leader_epoch, position).await?;
        let mut ends = Vec::new();
        for at in [LogEnd::Earliest, LogEnd::Latest] {
            let asked = [(partition.clone(), OffsetAsked { at, leader_epoch })].into();
            match self.listed(session, asked).await?.remove(partition) {
                Some(Ok(found)) => ends.push(found.offset),
                Some(Err(code)) => {
                    self.intake.note(Note::NotLeader { partition: partition.clone(), code });
                    return Ok(());
                }
                None => return Ok(()),
            }
        }
        if let [earliest, latest] = ends[..] {
            let partition = partition.clone();
            self.intake.note(Note::OutOfRange { partition, position, shared, earliest, latest });
        }
        Ok(())
    }

    /// Where the leader's history parts from ours, if before the position (KIP-320).
    async fn shared_history(
        &self,
        session: &Session,
        partition: &Partition,
        current_leader: LeaderEpoch,
        position: Position,
    ) -> Result<Option<(Offset, LeaderEpoch)>, Broken> {
        let Some(epoch) = position.leader_epoch.known() else { return Ok(None) };
        let partitions = [(partition.clone(), EpochAsked { current_leader, epoch })].into();
        let request = OffsetForLeaderEpoch { partitions };
        let mut answer = session.connection.call(request, self.settings.request_timeout).await?;
        let end = answer.partitions.remove(partition).and_then(Result::ok).flatten();
        let shared = end.filter(|end| end.end_offset < position.offset);
        Ok(shared.map(|end| (end.end_offset, end.epoch)))
    }
}

/// Whether the error says that another broker is to be asked, or the same one a little later.
fn about_the_leader(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NOT_LEADER_OR_FOLLOWER
            | ErrorCode::FENCED_LEADER_EPOCH
            | ErrorCode::UNKNOWN_LEADER_EPOCH
            | ErrorCode::LEADER_NOT_AVAILABLE
            | ErrorCode::REPLICA_NOT_AVAILABLE
            | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            | ErrorCode::UNKNOWN_TOPIC_ID
            | ErrorCode::INCONSISTENT_TOPIC_ID
            | ErrorCode::OFFSET_NOT_AVAILABLE
            | ErrorCode::KAFKA_STORAGE_ERROR
    )
}

impl Session {
    fn rest(&mut self, partition: &Partition, how_long: Duration) {
        let now = Instant::now();
        self.resting.retain(|_, until| *until > now);
        self.resting.insert(partition.clone(), now + how_long);
    }

    fn doubt(&mut self, partition: Partition, position: Position) {
        self.rest(&partition, LONG_REST);
        self.doubted.push((partition, position));
    }
}
