//! One leader's pipeline: all of its partitions in one request, the next fetch in flight while the last answer
//! is decompressed and delivered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use steadfast_core::acked::Span;
use steadfast_core::endpoints::backoff::{Backoff, Jitter};
use steadfast_core::endpoints::view::Endpoint;
use steadfast_core::ids::{ConsumerIncarnation, LeaderEpoch, NodeId, Offset, Partition, TopicId};
use steadfast_core::progress::{Claim, Position};
use steadfast_watch as watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::answer::{Fetched, fetched};
use super::claimed::Claimed;
use super::intake::{Intake, NamedLeader, Note, Want};
use super::memory::{Memory, Reserved};
use super::request::{Ask, matched, request};
use super::session::{Kept, LONG_REST, Leave, REST, Session};
use crate::api::fetch::{Fetch, FetchAnswer, FetchedPartition};
use crate::api::list_offsets::OffsetAsked;
use crate::api::{ErrorCode, Isolation};
use crate::connection::{CloseReason, ConnectError, Connection, Dial, Pending};
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

/// How often a loop looks again at partitions that it does not fetch now.
const LOOK: Duration = Duration::from_millis(100);

/// How long after failures the next connection is tried.
const RECONNECT: Backoff = Backoff { first: Duration::from_millis(25), limit: Duration::from_secs(1) };

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
    /// Draws how much of a pause is waited, so that many clients do not come back in step.
    pub jitter: Arc<dyn Fn() -> Jitter + Send + Sync>,
}

/// A fetch on its way.
struct Asked {
    pending: Pending<Fetch>,
    asks: Vec<Ask>,
    /// All that is led, also what is not asked for.
    led: Led,
    /// How many that begin wait for a later fetch.
    waiting: usize,
    sent: Instant,
    max_wait: Duration,
    reserved: Reserved,
}

/// What the partitions want now.
#[derive(Default)]
struct Wanted {
    asks: Vec<Ask>,
    unplaced: BTreeMap<Partition, OffsetAsked>,
    /// Positions of which a fetch would not tell whether the leader's log has parted from ours before them.
    unproven: Vec<Ask>,
    /// All that is led.
    led: Led,
    /// Whether a partition that is led is neither: it rests, is paused, or full.
    left_out: bool,
    /// How many are left out because many begin.
    waiting: usize,
}

/// What a loop does next.
enum Step {
    /// It awaits the answer of a fetch that was sent.
    Await(Asked),
    /// It asks the leader about positions.
    LookUp(Wanted),
    /// It waits for so much memory.
    Memory(usize),
    /// It waits until something is wanted.
    Idle,
}

impl<I: Intake> LeaderLoop<I> {
    /// Runs until the owner drops the sender of [`LeaderLoop::led`]; `connection` is used first if there is one.
    /// When the connection breaks, the loop says so and connects again, until its owner decides otherwise.
    pub async fn run(mut self, connection: Option<Connection>) {
        let mut ready = connection;
        let mut kept = Kept::new(self.settings.request_timeout);
        let mut failures = 0u32;
        while self.led.has_changed().is_ok() {
            let (reason, evidence, stood) = match self.opened(ready.take()).await {
                Err(error) => (error.to_string(), error.evidence(), false),
                Ok(connection) => {
                    let mut session = Session::new(connection, kept);
                    let Err(leave) = self.serve(&mut session).await else { return };
                    // A broker that is well until it is asked for records is no better than one that is away.
                    failures = if session.proven { 0 } else { failures };
                    kept = session.kept;
                    match leave {
                        Leave::Broken { reason, evidence } => (reason, evidence, true),
                        Leave::Silent { fresh, waited } => {
                            session
                                .connection
                                .close(CloseReason::Requested("it is silent, a fresh one works"));
                            kept.patience.replaced();
                            self.intake.note(Note::Replaced { waited });
                            ready = Some(fresh);
                            continue;
                        }
                        Leave::Narrow { fresh } => {
                            session
                                .connection
                                .close(CloseReason::Requested("more is asked for over a fresh one"));
                            ready = Some(fresh);
                            continue;
                        }
                    }
                }
            };
            self.intake.note(Note::Broken { reason, evidence, stood });
            sleep(self.pause(failures)).await;
            failures = failures.saturating_add(1);
        }
    }

    /// How long after so many failures the next connection is tried. After the first one all come at once: whoever can
    /// recover is to do so soon.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let jitter = if failures == 0 { Jitter::FULL } else { (self.jitter)() };
        RECONNECT.wait(failures, jitter)
    }

    async fn opened(&self, ready: Option<Connection>) -> Result<Connection, ConnectError> {
        match ready {
            Some(connection) => Ok(connection),
            None => Connection::open(&*self.transport, self.dial.clone()).await,
        }
    }

    /// Fetches over one connection until it breaks (the error) or the loop is to end.
    async fn serve(&mut self, session: &mut Session) -> Result<(), Leave> {
        let mut changes = self.intake.changes();
        let mut claimed = Vec::new();
        loop {
            changes.mark_unchanged();
            if self.led.has_changed().is_err() {
                self.deliver(session, claimed);
                return Ok(());
            }
            let step = self.step(session);
            // What is claimed waits for the sending of the next fetch, and for nothing else.
            self.deliver(session, std::mem::take(&mut claimed));
            match step? {
                Step::Await(asked) => claimed = self.answered(session, asked).await?,
                Step::LookUp(wanted) => self.look_up(session, wanted).await?,
                Step::Memory(bytes) => {
                    if let Some(asked) = self.await_memory(session, bytes).await? {
                        claimed = self.answered(session, asked).await?;
                    }
                }
                Step::Idle => self.idle(session, &mut changes).await?,
            }
        }
    }

    fn step(&self, session: &Session) -> Result<Step, Leave> {
        let wanted = self.wanted(session);
        if !wanted.unplaced.is_empty() || !wanted.unproven.is_empty() || !session.kept.doubtful.is_empty() {
            return Ok(Step::LookUp(wanted));
        }
        if wanted.asks.is_empty() {
            return Ok(Step::Idle);
        }
        let bytes = self.worst(wanted.asks.len());
        match self.memory.try_reserve(bytes) {
            Some(reserved) => self.send(session, wanted, reserved).map(Step::Await),
            None => Ok(Step::Memory(bytes)),
        }
    }

    fn wanted(&self, session: &Session) -> Wanted {
        let led = Arc::clone(&self.led.borrow());
        let mut wanted = Wanted { led: Arc::clone(&led), ..Wanted::default() };
        for (partition, &leader_epoch) in led.iter() {
            let want = self.want(session, partition);
            let partition = partition.clone();
            match want {
                Want::Records(from) => {
                    let ask = Ask { partition, leader_epoch, from };
                    let asks = if session.is_proven(&ask) { &mut wanted.asks } else { &mut wanted.unproven };
                    asks.push(ask);
                }
                Want::Offset(at) => {
                    wanted.unplaced.insert(partition, OffsetAsked { at, leader_epoch });
                }
                Want::Nothing => wanted.left_out = true,
            }
        }
        (wanted.asks, wanted.waiting) = session.kept.ramped(wanted.asks);
        // Who is asked for first is answered first: turn, so that a full answer starves none.
        if !wanted.asks.is_empty() {
            let turn = session.kept.turn % wanted.asks.len();
            wanted.asks.rotate_left(turn);
        }
        wanted
    }

    fn want(&self, session: &Session, partition: &Partition) -> Want {
        let want = || self.intake.want(partition);
        if session.is_awake(partition) {
            return want();
        }
        let elsewhere =
            |at: Position| Some(want()).filter(|want| !matches!(want, Want::Records(from) if *from == at));
        session.examined(partition).and_then(elsewhere).unwrap_or(Want::Nothing)
    }

    /// What a fetch of so many partitions may bring at worst. It is at most half of what is free, so that a
    /// leader without records does not keep the memory of the others while it waits for some.
    fn worst(&self, partitions: usize) -> usize {
        let per_partition = usize::try_from(self.settings.partition_max_bytes).unwrap_or(usize::MAX);
        let limit = usize::try_from(self.settings.max_bytes).unwrap_or(usize::MAX);
        let half = self.memory.free() / 2;
        per_partition.saturating_mul(partitions).min(limit).min(half.max(per_partition)).max(1)
    }

    fn send(&self, session: &Session, wanted: Wanted, reserved: Reserved) -> Result<Asked, Leave> {
        let max_wait = match (session.proven && wanted.waiting == 0, wanted.left_out) {
            (false, _) => Duration::ZERO,
            // Whoever is left out joins the next request: it must not wait for the others' records for long.
            (true, true) => self.settings.max_wait.min(LOOK),
            (true, false) => self.settings.max_wait,
        };
        let max_bytes = i32::try_from(reserved.bytes()).unwrap_or(i32::MAX).min(self.settings.max_bytes);
        let request = request(&wanted.asks, &self.settings, max_wait, max_bytes);
        let pending = session.connection.send(&request, max_wait + self.settings.request_timeout)?;
        let Wanted { asks, led, waiting, .. } = wanted;
        Ok(Asked { pending, asks, led, waiting, sent: Instant::now(), max_wait, reserved })
    }

    /// Waits until `bytes` are free and sends what is wanted then.
    async fn await_memory(&mut self, session: &Session, bytes: usize) -> Result<Option<Asked>, Leave> {
        let reserved = tokio::select! {
            biased;
            reason = session.connection.closed() => return Err(reason.into()),
            _ = self.led.changed() => None,
            reserved = self.memory.reserve(bytes) => reserved,
        };
        let wanted = self.wanted(session);
        match reserved {
            Some(reserved) if !wanted.asks.is_empty() => self.send(session, wanted, reserved).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    /// Waits until something may be wanted.
    async fn idle(&mut self, session: &Session, changes: &mut watch::Receiver<u64>) -> Result<(), Leave> {
        // A look now and then makes up for what changed without being told.
        let look = Instant::now() + LOOK;
        let wake = session.next_wake().map_or(look, |wake| wake.min(look));
        tokio::select! {
            biased;
            reason = session.connection.closed() => Err(reason.into()),
            // An end of the sender is seen by the caller.
            _ = self.led.changed() => Ok(()),
            Ok(()) = changes.changed() => Ok(()),
            () = sleep_until(wake) => Ok(()),
        }
    }

    async fn look_up(&self, session: &mut Session, mut wanted: Wanted) -> Result<(), Leave> {
        while let Some((partition, position)) = session.kept.doubtful.pop_first() {
            self.examine(session, partition, position).await?;
        }
        if !wanted.unplaced.is_empty() {
            self.place(session, wanted.unplaced).await?;
        }
        // What was examined just now rests.
        wanted.unproven.retain(|ask| session.is_awake(&ask.partition));
        if !wanted.unproven.is_empty() {
            self.prove(session, wanted.unproven).await?;
        }
        Ok(())
    }

    /// Waits for the answer and claims what it brought.
    async fn answered(&self, session: &mut Session, asked: Asked) -> Result<Vec<Claimed<I>>, Leave> {
        let Asked { pending, asks, led, waiting, sent, max_wait, reserved } = asked;
        let opened = session.opened;
        let raw = tokio::select! {
            biased;
            raw = self.answer(session, pending, max_wait) => raw?,
            fresh = self.wider(&led, opened, sent + max_wait) => return Err(Leave::Narrow { fresh }),
        };
        let early = sent.elapsed() < max_wait / 2;
        let answer = raw.wrapped(|frame| reserved.hold(frame)).decode()?;
        session.proven = true;
        session.kept.turn = session.kept.turn.wrapping_add(1);
        session.kept.began(&asks, waiting, &led);
        Ok(self.claims(session, answer, asks, early))
    }

    fn claims(
        &self,
        session: &mut Session,
        mut answer: FetchAnswer,
        asks: Vec<Ask>,
        early: bool,
    ) -> Vec<Claimed<I>> {
        if answer.error != ErrorCode::NONE {
            asks.into_iter().for_each(|ask| self.refused(session, ask.partition, answer.error, None));
            return Vec::new();
        }
        let endpoints = std::mem::take(&mut answer.endpoints);
        let matched = matched(answer, asks);
        for Ask { partition, from, .. } in matched.missing {
            self.undecodable(
                session,
                partition,
                from.offset,
                "the answer leaves the partition out".to_owned(),
            );
        }
        let nothing = |part: &FetchedPartition| {
            let silent = part.error == ErrorCode::NONE && part.diverging.is_none();
            silent && part.records.as_ref().is_none_or(|records| records.is_empty())
        };
        // As long as the position is past the end that a new leader knows, it answers at once.
        if early && matched.answered.iter().all(|(_, part)| nothing(part)) {
            matched.answered.iter().for_each(|(ask, _)| session.rest(&ask.partition, REST));
        }
        let part = |(ask, part)| self.part(session, ask, part, &endpoints);
        matched.answered.into_iter().filter_map(part).collect()
    }

    fn part(
        &self,
        session: &mut Session,
        ask: Ask,
        part: FetchedPartition,
        endpoints: &BTreeMap<NodeId, Endpoint>,
    ) -> Option<Claimed<I>> {
        let Ask { partition, from, .. } = ask;
        match part.error {
            ErrorCode::NONE if part.diverging.is_none() => {}
            ErrorCode::NONE | ErrorCode::OFFSET_OUT_OF_RANGE => {
                session.kept.doubtful.insert(partition, from);
                return None;
            }
            code => {
                self.refused(session, partition, code, named(from.topic, &part, endpoints));
                return None;
            }
        }
        let end = match self.settings.isolation {
            Isolation::ReadCommitted => part.last_stable_offset,
            Isolation::ReadUncommitted => part.high_watermark,
        };
        if let Some(end) = end {
            self.intake.saw_end(&partition, end);
        }
        self.intake.note(Note::Accepted { partition: partition.clone(), from: from.offset });
        let records = part.records.unwrap_or_default();
        let brought = !records.is_empty();
        match fetched(records, from.offset, self.settings.isolation, part.aborted) {
            Ok(Some(fetched)) => self.claim(session, partition, from, fetched),
            Ok(None) => {
                if brought {
                    session.rest(&partition, REST);
                }
                None
            }
            Err(error) => {
                self.undecodable(session, partition, from.offset, error.to_string());
                None
            }
        }
    }

    fn claim(
        &self,
        session: &mut Session,
        partition: Partition,
        from: Position,
        mut fetched: Fetched,
    ) -> Option<Claimed<I>> {
        if session.kept.one_by_one.contains(&partition) {
            fetched.cut_to_one();
            let limit = self.settings.decompressed_limit;
            let tried =
                fetched.batches.iter().find_map(|batch| Some((batch, batch.decompress(limit).err()?)));
            if let Some((batch, error)) = tried {
                let span = Span::new(from.offset, fetched.next);
                self.intake.unreadable(&partition, span, batch, &error);
                self.undecodable(session, partition, from.offset, error.to_string());
                return None;
            }
        }
        match self.intake.claim(&partition, from, fetched.next, fetched.last_epoch) {
            Claim::Granted(grant) => {
                let span = Span::new(from.offset, grant.next);
                fetched.batches.retain(|batch| batch.header().base_offset < span.next);
                let intake = Arc::clone(&self.intake);
                Some(Claimed { intake, partition, span, grant, fetched, delivered: false })
            }
            Claim::FetchFrom(_) | Claim::Paused | Claim::Superseded => None,
        }
    }

    /// Decompresses and delivers. The next fetch is on its way already. What cannot be delivered is given back,
    /// and what is wrong with it is said when it comes again.
    fn deliver(&self, session: &mut Session, claimed: Vec<Claimed<I>>) {
        for claimed in claimed {
            let partition = claimed.partition.clone();
            let delivered = claimed.deliver(self.node, &self.memory, self.settings.decompressed_limit);
            if delivered.is_err() {
                session.kept.one_by_one.insert(partition);
            }
        }
    }

    fn undecodable(&self, session: &mut Session, partition: Partition, position: Offset, error: String) {
        session.rest(&partition, LONG_REST);
        self.intake.note(Note::Undecodable { partition, position, error });
    }
}

/// Whom the broker names as the leader, with its address beside it.
fn named(
    topic: TopicId,
    part: &FetchedPartition,
    endpoints: &BTreeMap<NodeId, Endpoint>,
) -> Option<NamedLeader> {
    let current = part.current_leader?;
    let node = current.node?;
    let address = endpoints.get(&node)?.address.clone();
    Some(NamedLeader { topic, node, epoch: current.epoch, address })
}
