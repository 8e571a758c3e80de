//! The sweep of simulated worlds: `just simulate` plays more of them.

use std::collections::BTreeSet;

use steadfast_tests::simulated::sweep::{play, sweep};

/// How many worlds each change has to survive.
const SEEDS: u64 = 300;

#[test]
fn three_hundred_worlds_hold_every_invariant() {
    let failed = sweep(play, 0..SEEDS, |_| ());
    for verdict in &failed {
        eprintln!("{verdict}\n");
    }
    let seeds: BTreeSet<u64> = failed.iter().map(|verdict| verdict.seed).collect();
    assert_eq!(seeds, BTreeSet::new(), "these seeds fail; their stories stand above");
}
