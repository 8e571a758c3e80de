//! The hour by which the speed of simulation is measured: an endpoint drift every minute.

use std::time::Duration;

use steadfast_sim::embedded::{Nodes, Old};

use super::journal::Happening;
use super::world::{Plan, Report, World, simulate};

/// How many moves there are.
pub const MOVES: u32 = 60;
/// Records a second.
pub const RATE: f64 = 10.0;

/// Plays an hour: 12 partitions, [`RATE`] records a second, every endpoint moves every minute, in turn refusing,
/// black-holed and dropped at the old addresses.
///
/// # Panics
/// With the seed, if what was appended is not processed within a minute of the end.
pub fn an_hour_with_a_move_every_minute(
    seed: u64,
    check: impl FnMut(&World, &Happening) + Send + 'static,
) -> Report {
    let minute = Duration::from_secs(60);
    let ((), report) = simulate(Plan::new(seed), check, async |world| {
        let load = world.load(RATE);
        for old in [Old::Refuse, Old::BlackHole, Old::Drop].into_iter().cycle().take(MOVES as usize) {
            world.elapse(minute).await;
            let moved = world.inject(format!("every endpoint moves: {old:?}"), |cluster| {
                cluster.move_endpoints(&Nodes::All, old)
            });
            moved.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
        drop(load);
        assert!(world.caught_up(minute).await, "seed {seed}: {:?}", world.tally().missing());
    });
    report
}
