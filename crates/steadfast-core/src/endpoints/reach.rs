//! Which nodes of the agreed view are out of reach, from discovery to discovery, and which of them are missed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::agreement::OwnWord;
use super::view::{Address, View};
use crate::tick::Tick;

/// The nodes that cannot be used at the addresses that the agreed view has for them: they are silent there, or say
/// that they are elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach<N: Ord>(BTreeMap<N, Absent>);

/// One that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// Where it was asked.
    pub address: Address,
    /// Since when each question has been in vain.
    pub since: Tick,
    /// What became of the last one.
    pub reason: String,
}

impl<N: Ord + Clone> Reach<N> {
    /// Nobody is known to be out of reach.
    pub fn new() -> Reach<N> {
        Reach(BTreeMap::new())
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes in what was heard of the nodes of `view`. Who was not asked stays as it was: a new discovery forgets
    /// nothing here.
    pub fn heard(&mut self, view: &View<N>, words: &BTreeMap<N, OwnWord>, now: Tick) {
        let confirms = |node: &N| matches!(words.get(node), Some(OwnWord::Confirms));
        self.0.retain(|node, absent| view.address(node) == Some(&absent.address) && !confirms(node));
        for (node, word) in words {
            let reason = match word {
                OwnWord::Confirms => continue,
                OwnWord::Denies => "it says that it is elsewhere",
                OwnWord::Absent { reason } => reason,
            };
            let Some(address) = view.address(node).cloned() else { continue };
            let absent = self.0.entry(node.clone()).or_insert_with(|| Absent {
                address,
                since: now,
                reason: String::new(),
            });
            reason.clone_into(&mut absent.reason);
        }
    }

    /// Who is missed of those that have been out of reach for at least `settle`: each that is `needed`, or all of them
    /// if fewer than half of the nodes are left. One that is listed, dead and of no use to us is not.
    pub fn missed(
        &self,
        view: &View<N>,
        confirmed: &BTreeSet<N>,
        needed: impl Fn(&N, &Absent) -> bool,
        settle: Duration,
        now: Tick,
    ) -> BTreeMap<N, Absent> {
        let mut out: BTreeMap<N, Absent> = self.0.clone();
        out.retain(|_, absent| now.since(absent.since) >= settle);
        let left = confirmed.iter().filter(|node| !out.contains_key(node)).count();
        if left * 2 >= view.endpoints.len() {
            out.retain(|node, absent| needed(node, absent));
        }
        out
    }

    /// When somebody more will have been out of reach for `settle`.
    pub fn next_deadline(&self, settle: Duration, now: Tick) -> Option<Tick> {
        self.0.values().map(|absent| absent.since + settle).filter(|until| *until > now).min()
    }
}

impl<N: Ord + Clone> Default for Reach<N> {
    fn default() -> Reach<N> {
        Reach::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(2);

    fn at(millis: u64) -> Tick {
        Tick::at(Duration::from_millis(millis))
    }

    fn view(nodes: i32) -> View<i32> {
        View::new(None, (1..=nodes).map(|node| (node, Address::new(format!("b{node}"), 9092))))
    }

    fn silent() -> OwnWord {
        OwnWord::Absent { reason: "refused".into() }
    }

    fn missed(reach: &Reach<i32>, nodes: i32, needed: &[i32], now: u64) -> Vec<i32> {
        let all = (1..=nodes).collect();
        let missed = reach.missed(&view(nodes), &all, |node, _| needed.contains(node), SETTLE, at(now));
        missed.into_keys().collect()
    }

    fn without(nodes: i32, away: &[i32]) -> Reach<i32> {
        let mut reach = Reach::new();
        reach.heard(&view(nodes), &away.iter().map(|node| (*node, silent())).collect(), at(0));
        reach
    }

    #[test]
    fn a_node_that_is_needed_is_missed_when_it_has_not_answered_for_a_while() {
        let mut reach = without(3, &[2]);
        assert_eq!(missed(&reach, 3, &[2], 1_999), [] as [i32; 0]);
        assert_eq!(reach.next_deadline(SETTLE, at(0)), Some(at(2_000)));
        assert_eq!((missed(&reach, 3, &[2], 2_000), reach.next_deadline(SETTLE, at(2_000))), (vec![2], None));
        reach.heard(&view(3), &BTreeMap::from([(2, OwnWord::Confirms)]), at(3_000));
        assert_eq!(missed(&reach, 3, &[2], 3_000), [] as [i32; 0]);
    }

    #[test]
    fn one_that_says_it_is_elsewhere_is_as_good_as_silent() {
        let mut reach = Reach::new();
        reach.heard(&view(3), &BTreeMap::from([(2, OwnWord::Denies)]), at(0));
        reach.heard(&view(3), &BTreeMap::from([(2, silent())]), at(1_000));
        assert_eq!(missed(&reach, 3, &[2], 2_000), [2]);
    }

    #[test]
    fn one_that_is_dead_and_of_no_use_is_not_missed() {
        assert_eq!(missed(&without(3, &[2]), 3, &[1, 3], 9_000), [] as [i32; 0]);
        assert_eq!(missed(&without(2, &[2]), 2, &[1], 9_000), [] as [i32; 0]);
    }

    #[test]
    fn where_fewer_than_half_are_left_all_are_missed() {
        assert_eq!(missed(&without(3, &[2, 3]), 3, &[], 9_000), [2, 3]);
        assert_eq!(missed(&without(4, &[2, 3]), 4, &[], 9_000), [] as [i32; 0]);
    }

    #[test]
    fn repeated_silence_does_not_set_the_clock_back_and_an_unasked_node_stays_as_it_was() {
        let mut reach = without(3, &[2]);
        reach.heard(&view(3), &BTreeMap::from([(2, silent())]), at(1_500));
        reach.heard(&view(3), &BTreeMap::new(), at(1_900));
        assert_eq!(missed(&reach, 3, &[2], 2_000), [2]);
    }

    #[test]
    fn a_node_that_moves_or_is_gone_begins_anew() {
        let mut reach = without(3, &[2, 3]);
        let mut moved = view(2);
        moved.endpoints.insert(2, crate::endpoints::view::Endpoint::new(Address::new("new", 1)));
        reach.heard(&moved, &BTreeMap::new(), at(1_000));
        assert_eq!(reach, Reach::new());
    }
}
