//! Owned partitions without a leader in the agreed view: who agreed on it may have known too little.

use std::sync::Arc;
use std::time::Duration;

use steadfast_core::endpoints::backoff::{Backoff, Jitter};
use steadfast_core::endpoints::race::Evidence;
use steadfast_core::ids::{NodeId, Partition};
use steadfast_core::tick::Tick;

use super::Consumer;
use crate::messages::Suspect;

/// How often everybody is asked: an election takes a moment, and a partition that is offline stays so for long.
const PACE: Backoff = Backoff { first: Duration::from_secs(2), limit: Duration::from_secs(60) };

/// When everybody is asked again.
#[derive(Debug, Default)]
pub(super) struct Leaderless {
    asked: u32,
    next: Option<Tick>,
}

impl Leaderless {
    /// Whether everybody is to be asked, now that there are such partitions, or none.
    fn is_due(&mut self, missing: bool, jitter: impl FnOnce() -> Jitter, now: Tick) -> bool {
        let due = match (missing, self.next) {
            (false, _) => {
                *self = Leaderless::default();
                return false;
            }
            (true, Some(next)) if now < next => return false,
            (true, next) => next.is_some(),
        };
        self.asked = self.asked.saturating_add(u32::from(due));
        self.next = Some(now + PACE.wait(self.asked, jitter()));
        due
    }
}

impl Consumer {
    /// A client that has found only one broker, or half of them, agrees with those and would ask no others: that a
    /// partition has no leader there is a reason to.
    pub(super) fn ask_for_leaders(&mut self) {
        if !self.promoted {
            return;
        }
        let (missing, dice) = (self.leaderless(), &self.seat.env.dice);
        let jitter = || Jitter::new(dice.fraction());
        if !self.leaderless.is_due(missing.is_some(), jitter, self.seat.env.now()) {
            return;
        }
        let Some((partition, node)) = missing else { return };
        let reason = match node {
            Some(node) => format!("{partition}: broker {node} leads it, and is not in the agreed view"),
            None => format!("{partition}: nobody is known to lead it"),
        };
        let (evidence, address) = (Evidence::Broken, None);
        drop(self.seat.suspect.send(Suspect { reason, evidence, node, address }));
    }

    /// An owned partition whose leader is not known, or not where the agreed view could say where it is.
    fn leaderless(&self) -> Option<(Partition, Option<NodeId>)> {
        let cluster = Arc::clone(&self.seat.cluster.borrow());
        let view = cluster.view.as_ref()?;
        let mut owned = self.seat.table.owned().into_iter();
        owned.find_map(|partition| match cluster.leader(&partition) {
            Some((node, _)) if view.endpoints.contains_key(&node) => None,
            leader => Some((partition, leader.map(|(node, _)| node))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At which seconds of ten minutes everybody is asked, looking each second.
    fn asked(missing: impl Fn(u64) -> bool) -> Vec<u64> {
        let mut leaderless = Leaderless::default();
        let now = |second| Tick::at(Duration::from_secs(second));
        (0..600).filter(|at| leaderless.is_due(missing(*at), || Jitter::FULL, now(*at))).collect()
    }

    #[test]
    fn everybody_is_asked_soon_and_then_ever_less_often() {
        assert_eq!(asked(|_| true), [2, 6, 14, 30, 62, 122, 182, 242, 302, 362, 422, 482, 542]);
    }

    #[test]
    fn an_election_of_a_second_is_nobody_s_business() {
        assert_eq!(asked(|second| second % 3 == 0), [0u64; 0]);
    }

    #[test]
    fn what_is_missed_anew_is_asked_for_soon_again() {
        assert_eq!(
            asked(|second| !(100..=500).contains(&second)),
            [2, 6, 14, 30, 62, 503, 507, 515, 531, 563]
        );
    }
}
