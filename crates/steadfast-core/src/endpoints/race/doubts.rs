//! Suspicions that stay although discoveries find nothing: each is looked into again, later and later.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Evidence;
use crate::endpoints::backoff::{Backoff, Jitter};
use crate::tick::Tick;

/// What is suspected again and again, and how often in vain.
///
/// A broker that is half dead (it accepts connections and resets them, or refuses one partition for ever) is suspected
/// at each attempt to use it, and every discovery says that all is as it was. So after one that found nothing the next
/// on the same evidence against the same node waits: a moment first, because most news is only late, then twice as
/// long each time, with full jitter, up to the backoff's limit. Anything that is found ends all of that, and so does as
/// long a quiet. Nothing is forgotten: what has to wait is looked into when its time has come, or earlier by a
/// discovery that begins on something else.
#[derive(Debug, Clone)]
pub struct Doubts<N: Ord> {
    backoff: Backoff,
    doubts: BTreeMap<(N, Evidence), Doubt>,
}

#[derive(Debug, Clone, Copy)]
struct Doubt {
    /// How many discoveries in a row found nothing.
    in_vain: u32,
    state: State,
}

/// ```text
///          suspected               nothing found             suspected
///   (none) ─────────► LookedInto ────────────────► Resting ────────────► Waiting
///                       ▲    ▲   suspected, rested    │                     │
///                       │    └────────────────────────┘                     │
///                       └─────── rested, or another discovery begins ───────┘
/// ```
/// From Resting back to none when it is quiet for long, from anywhere when anything is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A discovery is about it, or about to begin.
    LookedInto,
    /// It was not suspected since the last discovery found nothing.
    Resting { until: Tick },
    /// It was suspected again, too early.
    Waiting { until: Tick },
}

impl<N: Ord + Clone> Doubts<N> {
    /// Nothing is suspected.
    pub fn new(backoff: Backoff) -> Doubts<N> {
        Doubts { backoff, doubts: BTreeMap::new() }
    }

    /// Something speaks against `node`. Says whether to look into it now; else it is remembered.
    pub fn suspected(&mut self, node: N, evidence: Evidence, now: Tick) -> bool {
        let quiet = self.backoff.limit;
        self.doubts.retain(|_, doubt| !doubt.is_over(quiet, now));
        let doubt = self.doubts.entry((node, evidence)).or_insert(Doubt::NEW);
        let look = match doubt.state {
            State::LookedInto => true,
            State::Resting { until } | State::Waiting { until } => now >= until,
        };
        doubt.state = match doubt.state {
            _ if look => State::LookedInto,
            State::Resting { until } | State::Waiting { until } => State::Waiting { until },
            State::LookedInto => State::LookedInto,
        };
        look
    }

    /// A discovery begins, on whatever evidence: it looks into everything that waits.
    pub fn begun(&mut self) {
        for doubt in self.doubts.values_mut() {
            if matches!(doubt.state, State::Waiting { .. }) {
                doubt.state = State::LookedInto;
            }
        }
    }

    /// The discovery has ended, and everything is as it was.
    pub fn nothing_found(&mut self, jitter: Jitter, now: Tick) {
        for doubt in self.doubts.values_mut().filter(|doubt| doubt.state == State::LookedInto) {
            let until = now + self.backoff.wait(doubt.in_vain, jitter);
            *doubt = Doubt { in_vain: doubt.in_vain.saturating_add(1), state: State::Resting { until } };
        }
    }

    /// Something is not as it was: whatever was suspected may have been about that.
    pub fn found(&mut self) {
        self.doubts.clear();
    }

    /// The strongest evidence of what has waited for long enough: a discovery is to begin on it.
    pub fn due(&mut self, now: Tick) -> Option<Evidence> {
        let mut due = Vec::new();
        for ((_, evidence), doubt) in &mut self.doubts {
            if matches!(doubt.state, State::Waiting { until } if now >= until) {
                doubt.state = State::LookedInto;
                due.push(*evidence);
            }
        }
        due.into_iter().min()
    }

    /// When [`Doubts::due`] has something.
    pub fn next_deadline(&self) -> Option<Tick> {
        let waiting = |doubt: &Doubt| match doubt.state {
            State::Waiting { until } => Some(until),
            State::LookedInto | State::Resting { .. } => None,
        };
        self.doubts.values().filter_map(waiting).min()
    }
}

impl Doubt {
    const NEW: Doubt = Doubt { in_vain: 0, state: State::LookedInto };

    fn is_over(&self, quiet: Duration, now: Tick) -> bool {
        match self.state {
            State::Resting { until } => now >= until + quiet,
            State::LookedInto | State::Waiting { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), limit: Duration::from_secs(5) };
    /// What a discovery takes.
    const LOOK: u64 = 10;

    fn at(millis: u64) -> Tick {
        Tick::at(Duration::from_millis(millis))
    }

    /// A node is suspected every so many milliseconds, and discoveries find nothing: when they began.
    fn half_dead(every: u64, during: u64, mut jitter: impl FnMut() -> Jitter) -> Vec<u64> {
        let mut doubts = Doubts::new(BACKOFF);
        let (mut begun, mut ends) = (Vec::new(), None);
        for now in 0..during {
            let mut look = doubts.due(at(now)).is_some();
            if now % every == 0 {
                look |= doubts.suspected(1, Evidence::Broken, at(now));
            }
            if look && ends.is_none() {
                doubts.begun();
                begun.push(now);
                ends = Some(now + LOOK);
            }
            if ends == Some(now) {
                doubts.nothing_found(jitter(), at(now));
                ends = None;
            }
        }
        begun
    }

    #[test]
    fn the_first_suspicion_and_the_first_retry_are_quick_and_the_others_ever_later() {
        let begun = half_dead(1, 25_000, || Jitter::FULL);
        let waits: Vec<u64> = begun.windows(2).map(|two| two[1] - two[0] - LOOK).collect();
        assert_eq!((begun[0], &waits[..8]), (0, &[50, 100, 200, 400, 800, 1600, 3200, 5000][..]));
    }

    #[test]
    fn a_broker_that_is_half_dead_for_an_hour_costs_a_discovery_in_2_s_at_most() {
        let mut share = 0.0;
        // Evenly spread draws: the golden ratio's fractions.
        let jitter = || {
            share = (share + 0.618_033_988_75) % 1.0;
            Jitter::new(share)
        };
        let begun = half_dead(100, 3_600_000, jitter).len();
        assert!((1_000..1_600).contains(&begun), "{begun}");
    }

    #[test]
    fn another_node_or_better_evidence_is_looked_into_at_once() {
        let mut doubts = Doubts::new(BACKOFF);
        assert!(doubts.suspected(1, Evidence::Silent, at(0)));
        doubts.nothing_found(Jitter::FULL, at(0));
        assert!(!doubts.suspected(1, Evidence::Silent, at(1)));
        assert!(doubts.suspected(2, Evidence::Silent, at(1)));
        assert!(doubts.suspected(1, Evidence::Broken, at(1)));
    }

    #[test]
    fn what_was_suspected_for_nothing_long_ago_is_news_again() {
        let mut doubts = Doubts::new(BACKOFF);
        let mut now = 0;
        for _ in 0..9 {
            assert!(doubts.suspected(1, Evidence::Broken, at(now)));
            doubts.nothing_found(Jitter::FULL, at(now));
            now += 5_000;
        }
        now += 5_000;
        assert!(doubts.suspected(1, Evidence::Broken, at(now)));
        doubts.nothing_found(Jitter::FULL, at(now));
        assert!(!doubts.suspected(1, Evidence::Broken, at(now + 49)));
        assert_eq!(doubts.next_deadline(), Some(at(now + 50)));
    }

    #[test]
    fn a_discovery_on_something_else_looks_into_what_waits_too() {
        let mut doubts = Doubts::new(BACKOFF);
        assert!(doubts.suspected(1, Evidence::Broken, at(0)));
        doubts.nothing_found(Jitter::FULL, at(0));
        assert!(!doubts.suspected(1, Evidence::Broken, at(10)));
        doubts.begun();
        assert_eq!(doubts.next_deadline(), None);
        doubts.nothing_found(Jitter::FULL, at(20));
        assert!(!doubts.suspected(1, Evidence::Broken, at(119)));
        assert_eq!(doubts.due(at(119)), None);
        assert_eq!(doubts.due(at(120)), Some(Evidence::Broken));
    }

    /// What may happen, and after how many milliseconds.
    #[derive(Debug, Clone)]
    enum Step {
        Suspected(u8, Evidence),
        NothingFound(f64),
        Found,
    }

    fn steps() -> impl Strategy<Value = Vec<(Step, u64)>> {
        let evidence = prop_oneof![Just(Evidence::Broken), Just(Evidence::Silent)];
        let step = prop_oneof![
            6 => (0..3u8, evidence).prop_map(|(node, evidence)| Step::Suspected(node, evidence)),
            3 => (0.0..=1.0f64).prop_map(Step::NothingFound),
            1 => Just(Step::Found),
        ];
        proptest::collection::vec((step, 0..2_000u64), 1..200)
    }

    proptest! {
        /// Whatever happens: no suspicion waits for longer than the limit, none is lost, none waits that was not
        /// looked into in vain before, and none waits after something was found.
        #[test]
        fn every_suspicion_is_looked_into_in_time(steps in steps()) {
            let mut doubts = Doubts::new(BACKOFF);
            let mut waiting: BTreeMap<(u8, Evidence), Tick> = BTreeMap::new();
            let mut in_vain: BTreeMap<(u8, Evidence), bool> = BTreeMap::new();
            let mut now = 0;
            for (step, wait) in steps {
                let until = now + wait;
                while let Some(deadline) = doubts.next_deadline().filter(|deadline| *deadline <= at(until)) {
                    let evidence = doubts.due(deadline);
                    prop_assert!(evidence.is_some());
                    doubts.begun();
                    waiting.clear();
                }
                now = until;
                match step {
                    Step::Suspected(node, evidence) => {
                        let key = (node, evidence);
                        if doubts.suspected(node, evidence, at(now)) {
                            doubts.begun();
                            waiting.clear();
                        } else {
                            prop_assert!(in_vain.get(&key).copied().unwrap_or(false));
                            waiting.entry(key).or_insert(at(now));
                        }
                        in_vain.entry(key).or_insert(false);
                    }
                    Step::NothingFound(share) => {
                        doubts.nothing_found(Jitter::new(share), at(now));
                        in_vain.values_mut().for_each(|vain| *vain = true);
                    }
                    Step::Found => {
                        doubts.found();
                        waiting.clear();
                        in_vain.clear();
                    }
                }
                prop_assert_eq!(doubts.next_deadline().is_some(), !waiting.is_empty());
                for since in waiting.values() {
                    prop_assert!(at(now).since(*since) <= BACKOFF.limit, "waits since {}", since);
                }
            }
        }
    }
}
