//! Groups of up to twenty members, which come, go, die, freeze and are cut off, while their coordinator moves: every
//! invariant holds after each happening, and in the end everybody has its share.

use std::collections::BTreeSet;

use steadfast_tests::simulated::sweep::{play_crowd, sweep};

/// How many crowds each change has to survive; `just simulate --crowds` plays more of them.
const SEEDS: u64 = 40;

#[test]
fn forty_crowds_hold_every_invariant_and_come_to_share_evenly() {
    let failed = sweep(play_crowd, 0..SEEDS, |_| ());
    for verdict in &failed {
        eprintln!("{verdict}\n");
    }
    let seeds: BTreeSet<u64> = failed.iter().map(|verdict| verdict.seed).collect();
    assert_eq!(seeds, BTreeSet::new(), "these seeds fail; their stories stand above");
}
