//! What a member is told once, from the configuration.

use std::sync::Arc;
use std::time::Duration;

use super::GroupProtocol;
use super::assign::{Assignor, Protocol};
use super::pace::Pace;

/// A member's settings. Kafka's own names stand beside those that have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `group.id`.
    pub group: Arc<str>,
    /// `group.instance.id`: makes it a static member (KIP-345).
    pub instance: Option<Arc<str>>,
    /// `group.protocol`.
    pub group_protocol: GroupProtocol,
    /// `group.remote.assignor`: what the coordinator is to assign with (the consumer protocol).
    pub remote_assignor: Option<Arc<str>>,
    /// `client.rack`.
    pub rack: Option<String>,
    /// `session.timeout.ms`: without a heartbeat for so long, the coordinator gives our partitions away.
    pub session_timeout: Duration,
    /// `max.poll.interval.ms`, on the wire the rebalance timeout: how long a round waits for its members.
    pub rebalance_timeout: Duration,
    /// How often to heartbeat.
    pub pace: Pace,
    /// `partition.assignment.strategy`: what we offer, the preferred one first.
    pub assignors: Vec<Assignor>,
    /// `checkpoint.drain`: how long handlers may go on with partitions that are given up.
    pub drain_limit: Duration,
    /// How long an answer may take that the coordinator has no reason to hold back.
    pub answer_limit: Duration,
    /// Whether the group is left at a stop.
    pub leave_on_stop: LeaveOnStop,
    /// What jitter is drawn from: another one in each member, so that many do not come back in step. 0: none, every
    /// pause has its full length.
    pub seed: u64,
}

/// Whether a member that is told to stop leaves the group, which costs the others a rebalance at once, or stays until
/// its session ends (KIP-345, KIP-1092).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LeaveOnStop {
    /// Static members stay, the others leave.
    #[default]
    Auto,
    /// Static members leave too.
    Always,
    /// Nobody leaves.
    Never,
}

/// What a round's release takes on top of the drain limit, for the commit and its repetition.
const COMMIT_GRACE: Duration = Duration::from_secs(5);
/// What a join may take on top of the rebalance timeout, as in Java (KAFKA-4160).
const JOIN_GRACE: Duration = Duration::from_secs(5);

impl Settings {
    /// The defaults of Java's client, with an adaptive pace: session 45 s, rebalance timeout 300 s, `range`
    /// before `cooperative-sticky`; drain limit and answer limit 5 s.
    pub fn new(group: impl Into<Arc<str>>) -> Settings {
        Settings {
            group: group.into(),
            instance: None,
            group_protocol: GroupProtocol::Classic,
            remote_assignor: None,
            rack: None,
            session_timeout: Duration::from_secs(45),
            rebalance_timeout: Duration::from_secs(300),
            pace: Pace::ADAPTIVE,
            assignors: vec![Assignor::Range, Assignor::CooperativeSticky],
            drain_limit: Duration::from_secs(5),
            answer_limit: Duration::from_secs(5),
            leave_on_stop: LeaveOnStop::Auto,
            seed: 0,
        }
    }

    /// How we go through rounds: cooperative only if every assignor that we offer is, as in Java. Were the
    /// chosen one to decide, a member that offers `range` alone could turn a cooperative group, in mid-round,
    /// into one in which two members hold the same partition.
    ///
    /// So a group goes from eager to cooperative in two rolling restarts (KIP-429): first every member offers
    /// `cooperative-sticky` behind what it offered before, and all go on eagerly; then each drops the eager
    /// ones. From the first that does, the group has only `cooperative-sticky` in common; who still
    /// offers both comes to each round with empty hands, so nothing of it can be held twice.
    pub fn protocol(&self) -> Protocol {
        let cooperative = |assignor: &Assignor| assignor.protocol() == Protocol::Cooperative;
        if !self.assignors.is_empty() && self.assignors.iter().all(cooperative) {
            Protocol::Cooperative
        } else {
            Protocol::Eager
        }
    }

    /// Whether the group is told when we stop.
    pub(super) fn leaves(&self) -> bool {
        match self.leave_on_stop {
            LeaveOnStop::Auto => self.instance.is_none(),
            LeaveOnStop::Always => true,
            LeaveOnStop::Never => false,
        }
    }

    /// How long handlers may drain: below the rebalance timeout whatever is configured.
    pub(super) fn drain(&self) -> Duration {
        self.drain_limit.min(self.rebalance_timeout / 2)
    }

    /// How long a release may take with its commit, before the partitions count as lost.
    pub(super) fn release(&self) -> Duration {
        (self.drain() + COMMIT_GRACE).min(self.rebalance_timeout * 3 / 4)
    }

    /// How long a JoinGroup or a SyncGroup may be held back by the coordinator.
    pub(super) fn parked(&self) -> Duration {
        self.rebalance_timeout + JOIN_GRACE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_eager_assignor_makes_all_of_it_eager() {
        let mut settings = Settings::new("g");
        assert_eq!(settings.protocol(), Protocol::Eager);
        settings.assignors = vec![Assignor::CooperativeSticky];
        assert_eq!(settings.protocol(), Protocol::Cooperative);
        for eager in [Assignor::Range, Assignor::RoundRobin, Assignor::Sticky] {
            settings.assignors = vec![eager, Assignor::CooperativeSticky];
            assert_eq!(settings.protocol(), Protocol::Eager, "{eager}, on the way to cooperative");
        }
        settings.assignors = vec![];
        assert_eq!(settings.protocol(), Protocol::Eager);
    }

    #[test]
    fn a_release_ends_before_the_round_does() {
        let mut settings = Settings::new("g");
        assert_eq!(settings.drain(), Duration::from_secs(5));
        settings.drain_limit = Duration::from_secs(3600);
        assert!(settings.drain() < settings.release() && settings.release() < settings.rebalance_timeout);
    }
}
