//! What the proxy does to the endpoints, and what that may cost.

use std::collections::BTreeSet;
use std::io;
use std::ops::RangeInclusive;
use std::time::Duration;

use steadfast_core::endpoints::drift::Threshold;
use steadfast_sim::proxy::{DriftProxy, Nodes, Old};
use tokio::time::sleep;

use crate::drill::policy::Policy;

/// How long old addresses go on when they do: longer than the usual time between two polls.
const GRACE: Duration = Duration::from_secs(10);
/// Between two moves of a rolling migration.
const STEP: Duration = Duration::from_secs(1);
/// After the first of two moves: in the midst of the recovery.
const AT_ONCE: Duration = Duration::from_millis(20);

/// After the recovery.
const AFTERMATH: Duration = Duration::from_secs(1);

/// What is rehearsed on the user's own cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// Every endpoint moves; old addresses refuse.
    AllReplaced,
    /// One endpoint after the other moves; old addresses accept and are silent.
    Rolling,
    /// Every broker is found at another's address.
    Recycled,
    /// One broker moves.
    PartialOne,
    /// All brokers but one move; it takes three.
    PartialMost,
    /// Every endpoint moves; old addresses accept and are silent.
    BlackHole,
    /// Every endpoint moves; old addresses answer no SYN.
    BlackHoleDropped,
    /// Only old addresses are configured; they name the new ones for ten seconds, then they refuse.
    Grace,
    /// Every endpoint moves; one old broker goes on naming the old ones for ten seconds, then it refuses. It takes two.
    StaleBroker,
    /// Connections that stand fall silent; the addresses go on.
    SilentConnections,
    /// Every endpoint moves, and again in the midst of the recovery.
    Twice,
}

/// One thing that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Brokers are given new addresses.
    Move(Nodes, Old),
    /// Two brokers are given each other's address.
    Swap(i32, i32),
    /// All connections that stand fall silent.
    Silence,
    /// What stands on the bootstrap address ends as the rest does: behind it are brokers that moved.
    EndBootstrap(Old),
    /// Time passes.
    Wait(Duration),
}

impl Scenario {
    /// All of them, in the order in which they are played.
    pub const ALL: [Scenario; 11] = [
        Scenario::AllReplaced,
        Scenario::Rolling,
        Scenario::Recycled,
        Scenario::PartialOne,
        Scenario::PartialMost,
        Scenario::BlackHole,
        Scenario::BlackHoleDropped,
        Scenario::Grace,
        Scenario::StaleBroker,
        Scenario::SilentConnections,
        Scenario::Twice,
    ];

    /// The name of the catalogue's scenario of which this is one way to play it.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::AllReplaced => "all-replaced",
            Scenario::Rolling => "rolling",
            Scenario::Recycled => "recycled",
            Scenario::PartialOne | Scenario::PartialMost => "partial",
            Scenario::BlackHole | Scenario::BlackHoleDropped => "black-hole",
            Scenario::Grace => "grace",
            Scenario::StaleBroker => "stale-broker",
            Scenario::SilentConnections => "silent-connections",
            Scenario::Twice => "twice",
        }
    }

    /// The name in the table: another for each way.
    pub fn title(self) -> &'static str {
        match self {
            Scenario::PartialOne => "partial: one",
            Scenario::PartialMost => "partial: most",
            Scenario::BlackHole => "black-hole: silent",
            Scenario::BlackHoleDropped => "black-hole: no SYN",
            other => other.name(),
        }
    }

    /// What happens, in words.
    pub fn described(self) -> &'static str {
        match self {
            Scenario::AllReplaced => "every endpoint moves; old addresses refuse",
            Scenario::Rolling => "one endpoint after the other moves; old addresses accept and are silent",
            Scenario::Recycled => "every broker is found at another one's address",
            Scenario::PartialOne => "one broker moves",
            Scenario::PartialMost => "all brokers but one move",
            Scenario::BlackHole => "every endpoint moves; old addresses accept and are silent",
            Scenario::BlackHoleDropped => "every endpoint moves; old addresses answer no SYN",
            Scenario::Grace => {
                "only old addresses are configured; they name the new ones for 10 s, then refuse"
            }
            Scenario::StaleBroker => {
                "every endpoint moves; one old broker names the old ones for 10 s, then refuses"
            }
            Scenario::SilentConnections => "standing connections fall silent; the addresses go on",
            Scenario::Twice => "every endpoint moves, and again in the midst of the recovery",
        }
    }

    /// Why it cannot be played on so many brokers.
    pub(super) fn hindered(self, brokers: usize) -> Option<String> {
        let needed = match self {
            Scenario::Recycled | Scenario::PartialOne | Scenario::StaleBroker => 2,
            Scenario::PartialMost => 3,
            _ => 1,
        };
        (brokers < needed).then(|| format!("takes {needed} brokers, the cluster has {brokers}"))
    }

    /// Whether the service knows nothing but the brokers' first addresses.
    pub(super) fn knows_old_addresses_only(self) -> bool {
        self == Scenario::Grace
    }

    /// What is done to these brokers, in order.
    pub(super) fn steps(self, brokers: &[i32]) -> Vec<Step> {
        let all = |old| vec![Step::Move(Nodes::All, old), Step::EndBootstrap(old)];
        let some = |nodes: &[i32]| Nodes::Some(nodes.iter().copied().collect());
        match (self, brokers) {
            (Scenario::AllReplaced, _) => all(Old::Refuse),
            (Scenario::BlackHole, _) => all(Old::BlackHole),
            (Scenario::BlackHoleDropped, _) => all(Old::Drop),
            (Scenario::Grace, _) => all(Old::Grace(GRACE)),
            (Scenario::StaleBroker, [one, others @ ..]) => vec![
                // The first to move is the one that remembers where all were.
                Step::Move(some(&[*one]), Old::Stale(GRACE)),
                Step::Move(some(others), Old::Refuse),
                Step::EndBootstrap(Old::Refuse),
            ],
            (Scenario::Twice, _) => [all(Old::Refuse), vec![Step::Wait(AT_ONCE)], all(Old::Refuse)].concat(),
            (Scenario::SilentConnections, _) => vec![Step::Silence],
            (Scenario::Rolling, brokers) => {
                let step = |node: &i32| [Step::Wait(STEP), Step::Move(some(&[*node]), Old::BlackHole)];
                brokers.iter().flat_map(step).skip(1).collect()
            }
            (Scenario::Recycled, brokers) => {
                // Each swap hands the first one's address on: in the end all have rotated.
                brokers.windows(2).map(|two| Step::Swap(two[0], two[1])).collect()
            }
            (Scenario::PartialOne, [one, ..]) => vec![Step::Move(some(&[*one]), Old::Refuse)],
            (Scenario::PartialMost, [_, most @ ..]) => vec![Step::Move(some(most), Old::Refuse)],
            // Fewer brokers than it takes: see `hindered`.
            (Scenario::PartialOne | Scenario::PartialMost | Scenario::StaleBroker, _) => Vec::new(),
        }
    }

    /// The brokers to which new connections are due.
    pub(super) fn struck(self, brokers: &[i32]) -> BTreeSet<i32> {
        let struck = match self {
            Scenario::PartialOne => brokers.get(..1),
            Scenario::PartialMost => brokers.get(1..),
            _ => Some(brokers),
        };
        struck.unwrap_or_default().iter().copied().collect()
    }

    /// How long old addresses go on at first: time is counted from their end.
    pub(super) fn grace(self) -> Duration {
        match self {
            Scenario::Grace => GRACE,
            _ => Duration::ZERO,
        }
    }

    /// For how long it is watched after all were back: what comes twice may come late, and what still misleads may be
    /// believed late.
    pub(super) fn aftermath(self) -> Duration {
        match self {
            Scenario::StaleBroker => GRACE,
            _ => AFTERMATH,
        }
    }

    /// How long recovery may take under this policy, where nothing else takes time.
    pub(super) fn limit(self, policy: &Policy) -> Duration {
        match self {
            Scenario::AllReplaced
            | Scenario::Recycled
            | Scenario::PartialOne
            | Scenario::PartialMost
            | Scenario::Grace
            | Scenario::StaleBroker
            | Scenario::Twice => policy.refused(),
            Scenario::Rolling
            | Scenario::BlackHole
            | Scenario::BlackHoleDropped
            | Scenario::SilentConnections => policy.silent(),
        }
    }

    /// How many respawns it may cost under this threshold.
    pub(super) fn respawns(self, brokers: usize, threshold: Threshold) -> RangeInclusive<usize> {
        let of = |moved: usize| usize::from(threshold.is_exceeded_by(moved as f64 / brokers.max(1) as f64));
        match self {
            Scenario::AllReplaced
            | Scenario::BlackHole
            | Scenario::BlackHoleDropped
            | Scenario::Grace
            | Scenario::StaleBroker => of(brokers)..=of(brokers),
            // It is seen at once, or in the midst of it and again.
            Scenario::Recycled => of(brokers)..=2 * of(brokers),
            Scenario::PartialOne => of(1)..=of(1),
            Scenario::PartialMost => of(brokers - 1)..=of(brokers - 1),
            // As many moves as are seen at once are one drift.
            Scenario::Rolling => 0..=brokers,
            Scenario::Twice => of(brokers)..=2 * of(brokers),
            Scenario::SilentConnections => 0..=0,
        }
    }
}

impl Step {
    /// Whether connections break by it.
    pub(super) fn strikes(&self) -> bool {
        matches!(self, Step::Move(..) | Step::Swap(..) | Step::Silence)
    }

    /// Does it.
    pub(super) async fn take(&self, proxy: &DriftProxy) -> io::Result<()> {
        match self {
            Step::Move(nodes, old) => proxy.move_endpoints(nodes.clone(), *old).await.map(drop),
            Step::Swap(one, other) => proxy.swap(*one, *other).map(drop),
            Step::Silence => proxy.silence(&Nodes::All).map(drop),
            Step::EndBootstrap(old) => {
                proxy.end_bootstrap_connections(*old);
                Ok(())
            }
            Step::Wait(time) => {
                sleep(*time).await;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_has_a_name_of_its_own() {
        let titles: BTreeSet<&str> = Scenario::ALL.iter().map(|scenario| scenario.title()).collect();
        assert_eq!(titles.len(), Scenario::ALL.len());
    }

    #[test]
    fn what_takes_more_brokers_than_there_are_is_not_played() {
        assert!(Scenario::Recycled.hindered(1).is_some_and(|reason| reason.contains("takes 2")));
        assert!(Scenario::PartialMost.hindered(2).is_some());
        assert_eq!(Scenario::ALL.iter().filter_map(|scenario| scenario.hindered(3)).count(), 0);
    }

    #[test]
    fn whatever_is_played_strikes_somebody_and_does_something() {
        for scenario in Scenario::ALL {
            let brokers = [4, 7, 9];
            assert!(!scenario.steps(&brokers).is_empty() && !scenario.struck(&brokers).is_empty());
        }
        assert_eq!(Scenario::PartialMost.struck(&[4, 7, 9]), BTreeSet::from([7, 9]));
    }

    #[test]
    fn time_passes_between_moves_and_not_after_the_last() {
        for scenario in Scenario::ALL {
            let steps = scenario.steps(&[4, 7, 9]);
            assert!(
                !matches!(steps.last(), Some(Step::Wait(_))),
                "{scenario:?}: the first look would be late"
            );
        }
    }

    #[test]
    fn the_user_s_threshold_decides_what_costs_a_respawn() {
        let all = |share: f64| Scenario::AllReplaced.respawns(3, Threshold::try_from(share).unwrap());
        assert_eq!((all(0.5), all(1.0)), (1..=1, 0..=0));
        let usual = Threshold::default();
        assert_eq!(Scenario::PartialOne.respawns(3, usual), 0..=0);
        assert_eq!(Scenario::PartialMost.respawns(3, usual), 1..=1);
    }
}
