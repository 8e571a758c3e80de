//! What would make rebalances fewer, shorter or cleaner, concluded from those that were (S1.11).
//!
//! Nothing is advised without evidence: each piece of advice says what it saw, and which setting to change by how
//! much. One rebalance is no pattern; a first join is none of anybody's faults.

use std::fmt;
use std::time::Duration;

use super::actions::{Manner, Reason};

/// A finished rebalance, as far as advice needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// How long ago it ended.
    pub ago: Duration,
    /// What began it.
    pub reason: Reason,
    /// How members went through it.
    pub manner: Manner,
    /// Its phases; see [`Took`](super::account::Took).
    pub drain: Duration,
    /// Until the generation.
    pub join: Duration,
    /// Until the assignment.
    pub sync: Duration,
    /// Until partitions were given up.
    pub revoke: Duration,
    /// Of giving up, the commits.
    pub commit: Duration,
    /// Until the handlers of what was taken up had begun.
    pub handlers: Duration,
    /// Until all that was taken up had been fetched.
    pub first_record: Duration,
    /// Partitions taken up.
    pub taken: usize,
    /// Partitions kept.
    pub kept: usize,
    /// Partitions that still held what was delivered when they were given up.
    pub undrained: usize,
    /// Offsets that came again.
    pub handed_again: u64,
    /// How often the coordinator's connections were left before it.
    pub coordinator_losses: u32,
    /// As leader: members without partitions.
    pub idle_members: Option<usize>,
}

/// The settings that advice is about, as they are in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set {
    /// `kafka.session.timeout.ms`.
    pub session: Duration,
    /// `kafka.max.poll.interval.ms`.
    pub rebalance_timeout: Duration,
    /// `checkpoint.drain`.
    pub drain: Duration,
    /// `checkpoint.interval`.
    pub checkpoint: Duration,
    /// Whether `kafka.group.instance.id` is set.
    pub is_static: bool,
}

/// A cause and its cure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// Which.
    pub cause: Cause,
    /// What was seen, in a sentence.
    pub evidence: String,
    /// What to change, and by how much.
    pub cure: String,
}

/// What makes rebalances frequent, slow or costly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Frequent: the session ends although the coordinator can be reached.
    Heartbeats,
    /// Frequent: the session ends, and the coordinator had been lost before.
    Network,
    /// Frequent: handlers take longer than a round waits for its members.
    Handlers,
    /// Frequent: members come and go.
    Restarts,
    /// Slow: handlers take long to finish what they hold.
    Draining,
    /// Slow: everything stops, although little moves.
    Eager,
    /// Slow: other members take long to join.
    OtherMembers,
    /// Slow: handlers take long to begin.
    Initialisation,
    /// Slow: brokers take long to answer.
    Brokers,
    /// Costly: what was handed out was not acked when it was given up.
    Undrained,
    /// Costly: former owners ended without committing.
    Uncommitted,
    /// There are more members than partitions.
    Idle,
}

impl Cause {
    /// In a word or two.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Heartbeats => "heartbeats",
            Cause::Network => "network",
            Cause::Handlers => "handlers",
            Cause::Restarts => "restarts",
            Cause::Draining => "draining",
            Cause::Eager => "eager",
            Cause::OtherMembers => "other_members",
            Cause::Initialisation => "initialisation",
            Cause::Brokers => "brokers",
            Cause::Undrained => "undrained",
            Cause::Uncommitted => "uncommitted",
            Cause::Idle => "idle_members",
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.evidence, self.cure)
    }
}

/// What is looked at.
pub const WINDOW: Duration = Duration::from_secs(3600);
/// So many of one kind in the window are frequent.
const FREQUENT: usize = 3;
/// A phase that lasts so long is slow: S1.12 came down to this for a whole rebalance.
const SLOW: Duration = Duration::from_millis(1200);
/// So many that are slow in the same way are a pattern.
const PATTERN: usize = 2;

type Rule = fn(&[&Seen], &Set) -> Option<Advice>;

/// The advice that follows from `all` rebalances, of which the latest is last. In the order of [`Cause`].
pub fn advise(all: &[Seen], set: &Set) -> Vec<Advice> {
    let recent: Vec<&Seen> = all.iter().filter(|seen| seen.ago <= WINDOW).collect();
    let rules: [Rule; 12] = [
        heartbeats,
        network,
        handlers,
        restarts,
        draining,
        eager,
        other_members,
        initialisation,
        brokers,
        undrained,
        uncommitted,
        idle,
    ];
    rules.iter().filter_map(|rule| rule(&recent, set)).collect()
}

fn heartbeats(recent: &[&Seen], set: &Set) -> Option<Advice> {
    let dropped = count(recent, |seen| seen.reason.is_dropped() && seen.coordinator_losses == 0);
    let session = longer(set.session);
    (dropped >= FREQUENT).then(|| Advice {
        cause: Cause::Heartbeats,
        evidence: format!(
            "{dropped} rebalances within an hour because the group had dropped this member although the coordinator \
             could be reached: its heartbeats came too late"
        ),
        cure: format!(
            "raise `kafka.session.timeout.ms` from {} to {}, leave `kafka.heartbeat.interval.ms` unset or at most {}, \
             and see whether the process is short of CPU or stands still",
            told(set.session),
            told(session),
            told(session / 3)
        ),
    })
}

fn network(recent: &[&Seen], set: &Set) -> Option<Advice> {
    let dropped = count(recent, |seen| seen.reason.is_dropped() && seen.coordinator_losses > 0);
    (dropped >= FREQUENT).then(|| Advice {
        cause: Cause::Network,
        evidence: format!(
            "{dropped} rebalances within an hour because the session ended after the coordinator could not be reached"
        ),
        cure: format!(
            "look at the network and at the coordinator; until it is mended raise `kafka.session.timeout.ms` from {} \
             to {}",
            told(set.session),
            told(longer(set.session))
        ),
    })
}

fn handlers(recent: &[&Seen], set: &Set) -> Option<Advice> {
    let expired = count(recent, |seen| seen.reason == Reason::RoundExpired);
    (expired >= PATTERN).then(|| Advice {
        cause: Cause::Handlers,
        evidence: format!("{expired} rounds within an hour took longer than members may take to join"),
        cure: format!(
            "raise `kafka.max.poll.interval.ms` from {} to {} in all members, or have handlers work in smaller pieces",
            told(set.rebalance_timeout),
            told(longer(set.rebalance_timeout))
        ),
    })
}

fn restarts(recent: &[&Seen], set: &Set) -> Option<Advice> {
    let others = count(recent, |seen| seen.reason == Reason::RoundBegan);
    (others >= 2 * FREQUENT && !set.is_static).then(|| Advice {
        cause: Cause::Restarts,
        evidence: format!("{others} rebalances within an hour because other members came or went"),
        cure: format!(
            "give every member a `kafka.group.instance.id` of its own, with a `kafka.session.timeout.ms` (now {}) \
             longer than a restart takes: then a restart costs no rebalance",
            told(set.session)
        ),
    })
}

fn draining(recent: &[&Seen], set: &Set) -> Option<Advice> {
    let slow = |seen: &&&Seen| (seen.drain + seen.revoke).saturating_sub(seen.commit) >= SLOW;
    let longest = recent.iter().filter(slow).map(|seen| seen.drain + seen.revoke).max()?;
    let slow = recent.iter().filter(slow).count();
    (slow >= PATTERN).then(|| Advice {
        cause: Cause::Draining,
        evidence: format!(
            "in {slow} rebalances within an hour handlers took long, up to {}, to finish what they held",
            told(longest)
        ),
        cure: format!(
            "have them hold less: halve `kafka.max.partition.fetch.bytes` and `fetch.buffer_bytes`; or lower \
             `checkpoint.drain` (now {}), at the price that what is not finished comes again",
            told(set.drain)
        ),
    })
}

fn eager(recent: &[&Seen], _: &Set) -> Option<Advice> {
    let idle_stop = |seen: &&&Seen| {
        seen.manner == Manner::Eager && seen.reason != Reason::Start && seen.kept > seen.taken
    };
    let stops = recent.iter().filter(idle_stop).count();
    let kept: usize = recent.iter().filter(idle_stop).map(|seen| seen.kept).sum();
    (stops >= FREQUENT).then(|| Advice {
        cause: Cause::Eager,
        evidence: format!(
            "{stops} rebalances within an hour stopped {kept} partitions that stayed where they were"
        ),
        cure: "set `kafka.partition.assignment.strategy` to `cooperative-sticky` in all members, by way of both \
               names in all of them: then only what moves stops"
            .to_owned(),
    })
}

fn other_members(recent: &[&Seen], set: &Set) -> Option<Advice> {
    let slow = count(recent, |seen| seen.join >= SLOW);
    (slow >= PATTERN).then(|| Advice {
        cause: Cause::OtherMembers,
        evidence: format!("in {slow} rebalances within an hour the other members took longer than {} to join", told(SLOW)),
        cure: format!(
            "lower the `heartbeat.interval.ms` of those members, by which they hear of a round, to {} (those of \
             steadfast: leave it unset), and look at what they do before they join",
            told(Duration::from_secs(1).min(set.session / 3))
        ),
    })
}

fn initialisation(recent: &[&Seen], _: &Set) -> Option<Advice> {
    let slow = |seen: &&&Seen| seen.taken > 0 && seen.handlers >= SLOW;
    let longest = recent.iter().filter(slow).map(|seen| seen.handlers).max()?;
    let slow = recent.iter().filter(slow).count();
    (slow >= PATTERN).then(|| Advice {
        cause: Cause::Initialisation,
        evidence: format!(
            "in {slow} rebalances within an hour handlers took long to begin, up to {}",
            told(longest)
        ),
        cure: "load state after a handler's start instead of in it, keep it where the next owner finds it, or move \
               fewer partitions at once: `cooperative-sticky` and a `kafka.group.instance.id`"
            .to_owned(),
    })
}

fn brokers(recent: &[&Seen], _: &Set) -> Option<Advice> {
    let fetching = |seen: &Seen| seen.first_record.saturating_sub(seen.handlers);
    let slow = |seen: &&&Seen| {
        seen.taken > 0 && (fetching(seen) >= SLOW || seen.sync >= SLOW || seen.commit >= SLOW)
    };
    let moved = recent.iter().filter(slow).map(|seen| seen.taken).max()?;
    let slow = recent.iter().filter(slow).count();
    (slow >= PATTERN).then(|| Advice {
        cause: Cause::Brokers,
        evidence: format!(
            "in {slow} rebalances within an hour brokers took longer than {} over an assignment, a commit or first \
             fetches, with up to {moved} partitions that moved",
            told(SLOW)
        ),
        cure: "look at the brokers' request queues; meanwhile lower `kafka.fetch.max.bytes`, and have fewer \
               partitions move at once: `cooperative-sticky`"
            .to_owned(),
    })
}

fn undrained(recent: &[&Seen], set: &Set) -> Option<Advice> {
    let partitions: usize = recent.iter().map(|seen| seen.undrained).sum();
    (partitions > 0).then(|| Advice {
        cause: Cause::Undrained,
        evidence: format!(
            "{partitions} partitions were given up within an hour before their handlers had acked what they held: that \
             came again"
        ),
        cure: format!(
            "raise `checkpoint.drain` from {} to {}, or have handlers finish sooner",
            told(set.drain),
            told(longer(set.drain))
        ),
    })
}

fn uncommitted(recent: &[&Seen], set: &Set) -> Option<Advice> {
    let again: u64 = recent.iter().map(|seen| seen.handed_again).sum();
    let times = count(recent, |seen| seen.handed_again > 0);
    let shorter = (set.checkpoint / 5).max(Duration::from_millis(500));
    (again > 0).then(|| Advice {
        cause: Cause::Uncommitted,
        evidence: format!(
            "{again} records came again in {times} rebalances within an hour: their former owners had not committed them \
             when they lost or gave up their partitions"
        ),
        cure: format!(
            "lower `checkpoint.interval` from {} to {}, raise `checkpoint.drain` from {} if the former owner said \
             `undrained`, and have members stopped by SIGTERM, not killed",
            told(set.checkpoint),
            told(shorter),
            told(set.drain)
        ),
    })
}

fn idle(recent: &[&Seen], _: &Set) -> Option<Advice> {
    let last = recent.iter().rev().find(|seen| seen.idle_members.is_some())?;
    let idle = last.idle_members.filter(|idle| *idle > 0)?;
    Some(Advice {
        cause: Cause::Idle,
        evidence: format!("{idle} members of the group have no partition"),
        cure: format!("stop {idle} of the group's instances, or add partitions to its topics"),
    })
}

fn count(recent: &[&Seen], is_so: impl Fn(&Seen) -> bool) -> usize {
    recent.iter().filter(|seen| is_so(seen)).count()
}

/// Twice as long.
fn longer(setting: Duration) -> Duration {
    setting.saturating_mul(2)
}

/// As durations are written in the configuration.
fn told(duration: Duration) -> String {
    match duration.as_millis() {
        millis if millis % 60_000 == 0 && millis > 0 => format!("{}m", millis / 60_000),
        millis if millis % 1_000 == 0 => format!("{}s", millis / 1_000),
        millis => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests;
