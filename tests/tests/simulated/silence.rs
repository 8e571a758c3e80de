//! Connections that stand fall silent, while new ones to the same address work.

use steadfast_sim::faults::Fault;

use crate::play::{SECOND, all, ms, under};

#[test]
fn connections_that_fall_silent_cost_neither_respawn_nor_round() {
    let story = under(601, Fault::SilenceConnections { nodes: all() });
    // A fetch's max wait and kafka.request.timeout.ms.
    story.is_clean(30 * SECOND + ms(700)).cost(0, 0);
}
