//! One rebalance, from its first sign to its assignment.

use std::fmt;
use std::time::Duration;

use super::MemberId;
use super::trigger::Trigger;
use crate::tick::Tick;

/// Why we join, as we tell the coordinator (KIP-800) and the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// We were no member before.
    Start,
    /// The actor was restarted in mid-round.
    Restarted,
    /// The coordinator said that a round has begun.
    RoundBegan,
    /// What went to others has been given up: the second round of a cooperative rebalance.
    Released,
    /// We want other topics.
    SubscriptionChanged,
    /// Topics began or ceased to match the pattern that we subscribe by.
    MatchesChanged,
    /// Topics have other partition counts; only the leader joins for it.
    PartitionsChanged,
    /// The coordinator went on to another generation without us.
    IllegalGeneration,
    /// The coordinator does not accept our member epoch any more.
    FencedEpoch,
    /// The coordinator has forgotten us.
    UnknownMember,
    /// We have not reached the coordinator for the session timeout.
    SessionExpired,
    /// The round took longer than the rebalance timeout.
    RoundExpired,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 12] = [
        Reason::Start,
        Reason::Restarted,
        Reason::RoundBegan,
        Reason::Released,
        Reason::SubscriptionChanged,
        Reason::MatchesChanged,
        Reason::PartitionsChanged,
        Reason::IllegalGeneration,
        Reason::FencedEpoch,
        Reason::UnknownMember,
        Reason::SessionExpired,
        Reason::RoundExpired,
    ];

    /// The reason in a word, to group and count by.
    pub fn class(self) -> &'static str {
        match self {
            Reason::Start => "start",
            Reason::Restarted => "restarted",
            Reason::RoundBegan => "round_began",
            Reason::Released => "released",
            Reason::SubscriptionChanged => "subscription_changed",
            Reason::MatchesChanged => "matches_changed",
            Reason::PartitionsChanged => "partitions_changed",
            Reason::IllegalGeneration => "illegal_generation",
            Reason::FencedEpoch => "fenced_epoch",
            Reason::UnknownMember => "unknown_member",
            Reason::SessionExpired => "session_expired",
            Reason::RoundExpired => "round_expired",
        }
    }

    /// The reason of this class.
    pub fn named(class: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.class() == class)
    }

    /// Whether the group had dropped us, or we took it to have: what we owned may have been another's meanwhile.
    pub fn is_dropped(self) -> bool {
        match self {
            Reason::IllegalGeneration
            | Reason::FencedEpoch
            | Reason::UnknownMember
            | Reason::SessionExpired => true,
            Reason::Start
            | Reason::Restarted
            | Reason::RoundBegan
            | Reason::Released
            | Reason::SubscriptionChanged
            | Reason::MatchesChanged
            | Reason::PartitionsChanged
            | Reason::RoundExpired => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Start => "first join",
            Reason::Restarted => "restarted during a rebalance",
            Reason::RoundBegan => "the group is rebalancing",
            Reason::Released => "revoked partitions were released",
            Reason::SubscriptionChanged => "the subscription changed",
            Reason::MatchesChanged => "topics began or ceased to match the pattern",
            Reason::PartitionsChanged => "partition counts changed",
            Reason::IllegalGeneration => "the generation has passed",
            Reason::FencedEpoch => "the coordinator fenced the member epoch",
            Reason::UnknownMember => "the coordinator does not know the member id",
            Reason::SessionExpired => "the session expired",
            Reason::RoundExpired => "the rebalance timed out",
        })
    }
}

/// How long a round's phases took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases {
    /// Giving up what had to be given up before joining.
    pub drain: Duration,
    /// From there until the coordinator named the generation.
    pub join: Duration,
    /// From there until the assignment came.
    pub sync: Duration,
}

/// A round that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Round {
    /// What began it.
    pub(super) reason: Reason,
    /// Why we join the next time: it may not complete at once.
    pub(super) latest: Reason,
    /// Who makes the assignment, once it is known.
    pub(super) led_by: Option<MemberId>,
    /// What set it off, as far as we can tell as its leader.
    pub(super) trigger: Option<Trigger>,
    began: Tick,
    drained: Tick,
    joined: Tick,
}

impl Round {
    pub(super) fn new(reason: Reason, now: Tick) -> Round {
        Round { reason, latest: reason, led_by: None, trigger: None, began: now, drained: now, joined: now }
    }

    pub(super) fn drained(&mut self, now: Tick) {
        self.drained = now;
    }

    pub(super) fn joined(&mut self, now: Tick) {
        self.joined = now;
    }

    pub(super) fn phases(&self, now: Tick) -> Phases {
        Phases {
            drain: self.drained.since(self.began),
            join: self.joined.since(self.drained),
            sync: now.since(self.joined),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_class_of_its_own_by_which_it_is_found() {
        for reason in Reason::ALL {
            assert_eq!(Reason::named(reason.class()), Some(reason));
        }
        assert_eq!(Reason::named("moonlight"), None);
    }
}
