//! One member of a group, and its way to what it is to have.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use steadfast_core::tick::Tick;

use super::embedded::Embedded;
use super::{ConsumerGroupSettings, Place};

/// The epoch of a static member that has left for a while.
pub(super) const AWAY: i32 = -2;

/// Where a member is on its way to its target.
///
/// ```text
///              must give up               gave up, more is held by others
///   Stable ───────────────► Unrevoked ──────────────────────────────────► Unreleased
///     ▲ │                       │                                           │    ▲
///     │ └───────────────────────┼── what it is to get is held by others ────┼────┘
///     └────── gave up ──────────┴──────────── all is released ──────────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has what it is to have in its epoch.
    Stable,
    /// It has not said yet that it gave up what it is to give up.
    Unrevoked,
    /// What it is to get has not been given up by others.
    Unreleased,
}

/// A member.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) instance: Option<Arc<str>>,
    pub(super) rack: Option<Arc<str>>,
    pub(super) client_id: Arc<str>,
    pub(super) client_host: Arc<str>,
    pub(super) rebalance_timeout: Duration,
    /// The assignor that it would like.
    pub(super) assignor: Option<Arc<str>>,
    pub(super) topics: BTreeSet<Arc<str>>,
    pub(super) regex: Option<Arc<str>>,
    pub(super) epoch: i32,
    pub(super) previous_epoch: i32,
    pub(super) standing: Standing,
    pub(super) assigned: BTreeSet<Place>,
    /// It was told to give these up.
    pub(super) revoking: BTreeSet<Place>,
    pub(super) session_deadline: Option<Tick>,
    pub(super) revoke_deadline: Option<Tick>,
    /// What a member of the classic protocol has besides; none for one of the consumer protocol.
    pub(super) classic: Option<Embedded>,
}

/// What a member is to come to.
pub(super) struct Target<'a> {
    pub(super) epoch: i32,
    pub(super) places: &'a BTreeSet<Place>,
    /// What any member holds, this one too, or is to give up.
    pub(super) held: &'a BTreeSet<Place>,
}

impl Member {
    /// One that has said nothing yet.
    pub(super) fn new() -> Member {
        Member {
            instance: None,
            rack: None,
            client_id: "".into(),
            client_host: "".into(),
            rebalance_timeout: Duration::ZERO,
            assignor: None,
            topics: BTreeSet::new(),
            regex: None,
            epoch: 0,
            previous_epoch: 0,
            standing: Standing::Stable,
            assigned: BTreeSet::new(),
            revoking: BTreeSet::new(),
            session_deadline: None,
            revoke_deadline: None,
            classic: None,
        }
    }

    /// For how long it may be silent: a member of the classic protocol says so itself.
    pub(super) fn session(&self, settings: &ConsumerGroupSettings) -> Duration {
        self.classic.as_ref().map_or(settings.session_timeout, |classic| classic.session_timeout)
    }

    pub(super) fn has_reached(&self, epoch: i32) -> bool {
        self.standing == Standing::Stable && self.epoch == epoch
    }

    /// All that no other member may be given.
    pub(super) fn holds(&self) -> impl Iterator<Item = Place> + '_ {
        self.assigned.iter().chain(&self.revoking).copied()
    }

    /// Goes one step towards its target. `owned` is what it says that it owns, if it does.
    pub(super) fn reconcile(&mut self, target: &Target<'_>, owned: Option<&BTreeSet<Place>>, now: Tick) {
        let before = (self.epoch, self.standing);
        match self.standing {
            Standing::Stable if self.epoch == target.epoch => return,
            Standing::Stable | Standing::Unreleased => self.step(self.epoch, target, owned),
            Standing::Unrevoked if still_owns(owned, &self.revoking) => {}
            // What it had to revoke is done: that is an epoch of its own.
            Standing::Unrevoked => self.step(self.epoch + 1, target, owned),
        }
        match self.standing {
            Standing::Unrevoked if before != (self.epoch, self.standing) => {
                self.revoke_deadline = Some(now + self.rebalance_timeout);
            }
            Standing::Unrevoked => {}
            Standing::Stable | Standing::Unreleased => self.revoke_deadline = None,
        }
    }

    fn step(&mut self, epoch: i32, target: &Target<'_>, owned: Option<&BTreeSet<Place>>) {
        let kept: BTreeSet<Place> = self.assigned.intersection(target.places).copied().collect();
        let revoking: BTreeSet<Place> = self.assigned.difference(target.places).copied().collect();
        if !revoking.is_empty() && still_owns(owned, &revoking) {
            (self.assigned, self.revoking, self.standing) = (kept, revoking, Standing::Unrevoked);
            return self.enter(epoch);
        }
        let missing: BTreeSet<Place> = target.places.difference(&kept).copied().collect();
        let free: BTreeSet<Place> = missing.difference(target.held).copied().collect();
        self.standing = if free.len() == missing.len() { Standing::Stable } else { Standing::Unreleased };
        self.assigned = kept.union(&free).copied().collect();
        self.revoking = BTreeSet::new();
        self.enter(target.epoch);
    }

    /// Each step makes the epoch before it the previous one, also where the epoch stays.
    fn enter(&mut self, epoch: i32) {
        self.previous_epoch = std::mem::replace(&mut self.epoch, epoch);
    }
}

/// Whether it may own any of these still: it does as long as it does not say what it owns.
fn still_owns(owned: Option<&BTreeSet<Place>>, revoking: &BTreeSet<Place>) -> bool {
    owned.is_none_or(|owned| !owned.is_disjoint(revoking))
}
