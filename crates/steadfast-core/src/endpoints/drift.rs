//! The difference between the view in use and the agreed one, and whether it is worth a respawn.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::view::{Address, View};

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change<N> {
    /// The node is reached elsewhere.
    Moved {
        /// Which node.
        node: N,
        /// Where it is reached according to the view in use.
        from: Address,
        /// Where it is reached according to the agreed view.
        to: Address,
    },
    /// The agreed view does not list the node.
    Gone {
        /// Which node.
        node: N,
        /// Where it was reached.
        from: Address,
    },
    /// The view in use does not list the node.
    Added {
        /// Which node.
        node: N,
        /// Where it is reached.
        to: Address,
    },
    /// The advertised address is the same and resolves to something else. It takes part in no score: the
    /// connection is made anew, nothing more.
    Resolved {
        /// Which node.
        node: N,
        /// The advertised address.
        address: Address,
        /// What our connection is made to.
        from: IpAddr,
        /// What the name says now.
        to: IpAddr,
    },
}

impl<N> Change<N> {
    /// The kind's name, as the metric `endpoint_drift_total{kind}` has it.
    pub fn kind(&self) -> &'static str {
        match self {
            Change::Moved { .. } => "moved",
            Change::Gone { .. } => "gone",
            Change::Added { .. } => "added",
            Change::Resolved { .. } => "resolved",
        }
    }

    /// The node concerned.
    pub fn node(&self) -> &N {
        match self {
            Change::Moved { node, .. }
            | Change::Gone { node, .. }
            | Change::Added { node, .. }
            | Change::Resolved { node, .. } => node,
        }
    }

    /// Whether an endpoint in use is lost by it.
    fn scores(&self) -> bool {
        match self {
            Change::Moved { .. } | Change::Gone { .. } => true,
            Change::Added { .. } | Change::Resolved { .. } => false,
        }
    }
}

/// What differs, and how much of what is in use it concerns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drift<N> {
    /// The changes: those of the view in use in order of its nodes, then what was added.
    pub changes: Vec<Change<N>>,
    /// The share of the endpoints in use that moved or are gone, from 0 to 1.
    pub score: f64,
}

impl<N> Drift<N> {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Adds that `node`'s unchanged `address` resolves to something else; the score stays.
    pub fn resolved(&mut self, node: N, address: Address, from: IpAddr, to: IpAddr) {
        self.changes.push(Change::Resolved { node, address, from, to });
    }
}

/// What differs between the view in use and the agreed one. An empty view in use scores 1 as soon as
/// anything is agreed: nothing that could be adapted is there. Cluster ids are not compared: the agreement
/// has seen to them.
pub fn drift<N: Ord + Clone>(in_use: &View<N>, agreed: &View<N>) -> Drift<N> {
    let lost = in_use.endpoints.iter().filter_map(|(node, endpoint)| {
        let from = endpoint.address.clone();
        match agreed.address(node) {
            Some(to) if *to == from => None,
            Some(to) => Some(Change::Moved { node: node.clone(), from, to: to.clone() }),
            None => Some(Change::Gone { node: node.clone(), from }),
        }
    });
    let added = agreed.endpoints.iter().filter(|(node, _)| !in_use.endpoints.contains_key(node));
    let added = added.map(|(node, at)| Change::Added { node: node.clone(), to: at.address.clone() });
    let changes: Vec<_> = lost.chain(added).collect();
    let score = score(&changes, in_use.endpoints.len());
    Drift { changes, score }
}

fn score<N>(changes: &[Change<N>], in_use: usize) -> f64 {
    if in_use == 0 {
        return if changes.is_empty() { 0.0 } else { 1.0 };
    }
    let lost = changes.iter().filter(|change| change.scores()).count();
    lost as f64 / in_use as f64
}

/// The score above which the client is replaced instead of adapted in place: from 0 to 1, 0.5 by default.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Threshold(f64);

/// The number is no share.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("expected a threshold from 0 to 1, found {found}")]
pub struct ThresholdError {
    /// What was found instead.
    pub found: f64,
}

impl Threshold {
    /// Whether `score` is strictly greater: at exactly the threshold the client adapts in place.
    pub fn is_exceeded_by(self, score: f64) -> bool {
        score > self.0
    }
}

impl Default for Threshold {
    fn default() -> Threshold {
        Threshold(0.5)
    }
}

impl TryFrom<f64> for Threshold {
    type Error = ThresholdError;

    fn try_from(share: f64) -> Result<Threshold, ThresholdError> {
        if (0.0..=1.0).contains(&share) { Ok(Threshold(share)) } else { Err(ThresholdError { found: share }) }
    }
}

impl From<Threshold> for f64 {
    fn from(threshold: Threshold) -> f64 {
        threshold.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn view(endpoints: &[(i32, &str)]) -> View<i32> {
        View::new(Some("c".into()), endpoints.iter().map(|(node, host)| (*node, Address::new(*host, 9092))))
    }

    fn kinds(drift: &Drift<i32>) -> Vec<(i32, &'static str)> {
        drift.changes.iter().map(|change| (*change.node(), change.kind())).collect()
    }

    #[test]
    fn an_unchanged_view_does_not_drift() {
        let view = view(&[(1, "a"), (2, "b")]);
        assert_eq!(drift(&view, &view), Drift { changes: vec![], score: 0.0 });
        assert!(drift(&view, &view).is_empty());
    }

    #[test]
    fn one_of_three_is_taken_in_place_and_two_of_three_is_a_respawn() {
        let in_use = view(&[(1, "a"), (2, "b"), (3, "c")]);
        let one = drift(&in_use, &view(&[(1, "x"), (2, "b"), (3, "c")]));
        let two = drift(&in_use, &view(&[(1, "x"), (2, "y"), (3, "c")]));
        assert!(!Threshold::default().is_exceeded_by(one.score));
        assert!(Threshold::default().is_exceeded_by(two.score));
    }

    #[test]
    fn at_exactly_the_threshold_the_client_adapts_in_place() {
        let half = drift(&view(&[(1, "a"), (2, "b")]), &view(&[(1, "a"), (2, "y")]));
        assert_eq!(half.score, 0.5);
        assert!(!Threshold::default().is_exceeded_by(half.score));
    }

    #[test]
    fn a_node_that_is_gone_counts_as_one_that_moved() {
        let drift = drift(&view(&[(1, "a"), (2, "b"), (3, "c")]), &view(&[(1, "x"), (3, "c")]));
        assert_eq!(kinds(&drift), [(1, "moved"), (2, "gone")]);
        assert_eq!(drift.score, 2.0 / 3.0);
    }

    #[test]
    fn added_nodes_and_changed_resolutions_score_nothing() {
        let mut drift = drift(&view(&[(1, "a")]), &view(&[(1, "a"), (2, "b")]));
        let at = |last| IpAddr::from([127, 0, 0, last]);
        drift.resolved(1, Address::new("a", 9092), at(1), at(2));
        assert_eq!(kinds(&drift), [(2, "added"), (1, "resolved")]);
        assert_eq!(drift.score, 0.0);
    }

    #[test]
    fn where_nothing_is_in_use_anything_agreed_is_a_full_drift() {
        assert_eq!(drift(&view(&[]), &view(&[(1, "a")])).score, 1.0);
        assert_eq!(drift(&view(&[]), &view(&[])).score, 0.0);
    }

    #[test]
    fn what_is_no_share_is_no_threshold() {
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(Threshold::try_from(wrong).is_err(), "{wrong}");
        }
        for right in [0.0, 0.5, 1.0] {
            assert_eq!(f64::from(Threshold::try_from(right).unwrap()), right);
        }
    }

    fn endpoints() -> impl Strategy<Value = BTreeMap<i32, u16>> {
        proptest::collection::btree_map(0..8i32, 1..5u16, 0..8)
    }

    fn as_view(endpoints: &BTreeMap<i32, u16>) -> View<i32> {
        View::new(None, endpoints.iter().map(|(node, port)| (*node, Address::new("h", *port))))
    }

    proptest! {
        #[test]
        fn the_score_is_the_share_of_what_was_lost(a in endpoints(), b in endpoints()) {
            let found = drift(&as_view(&a), &as_view(&b));
            let kept = a.iter().filter(|(node, port)| b.get(node) == Some(port)).count();
            prop_assert!((0.0..=1.0).contains(&found.score));
            if a.is_empty() {
                prop_assert_eq!(found.score, if b.is_empty() { 0.0 } else { 1.0 });
            } else {
                prop_assert_eq!(found.score, (a.len() - kept) as f64 / a.len() as f64);
                let lost = found.changes.iter().any(|change| matches!(change.kind(), "moved" | "gone"));
                prop_assert_eq!(found.score > 0.0, lost);
            }
        }

        #[test]
        fn one_more_lost_endpoint_never_lowers_the_score(a in endpoints(), b in endpoints(), lose in 0..8i32, moved: bool) {
            let before = drift(&as_view(&a), &as_view(&b)).score;
            let mut worse = b.clone();
            if moved && a.contains_key(&lose) { worse.insert(lose, 99); } else { worse.remove(&lose); }
            prop_assume!(!(a.is_empty() && worse.is_empty()));
            let after = drift(&as_view(&a), &as_view(&worse)).score;
            prop_assert!(after >= before);
            let was_kept = a.contains_key(&lose) && a.get(&lose) == b.get(&lose);
            prop_assert_eq!(after > before, was_kept);
        }

        #[test]
        fn seen_from_the_other_side_gone_is_added_and_moves_are_reversed(a in endpoints(), b in endpoints()) {
            let mirrored = |change: Change<i32>| match change {
                Change::Moved { node, from, to } => Change::Moved { node, from: to, to: from },
                Change::Gone { node, from } => Change::Added { node, to: from },
                Change::Added { node, to } => Change::Gone { node, from: to },
                Change::Resolved { node, address, from, to } => Change::Resolved { node, address, from: to, to: from },
            };
            let by_node = |mut changes: Vec<Change<i32>>| { changes.sort_by_key(|change| *change.node()); changes };
            let there = drift(&as_view(&a), &as_view(&b)).changes;
            let back = drift(&as_view(&b), &as_view(&a)).changes.into_iter().map(mirrored).collect();
            prop_assert_eq!(by_node(there), by_node(back));
        }

        #[test]
        fn taking_the_changes_in_leaves_no_drift(a in endpoints(), b in endpoints()) {
            let mut taken = as_view(&a);
            for change in drift(&as_view(&a), &as_view(&b)).changes {
                match change {
                    Change::Moved { node, to, .. } | Change::Added { node, to } => {
                        taken.endpoints.insert(node, super::super::view::Endpoint::new(to));
                    }
                    Change::Gone { node, .. } => { taken.endpoints.remove(&node); }
                    Change::Resolved { .. } => {}
                }
            }
            prop_assert_eq!(taken, as_view(&b));
        }
    }
}
