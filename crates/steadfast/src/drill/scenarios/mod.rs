//! The catalogue: every way in which endpoints drift, once.

use super::scenario::Scenario;

mod amid;
mod configured;
mod crowd;
mod moves;
mod names;
mod outages;
mod sizes;
mod strangers;

/// All of them, by number.
pub const ALL: &[Scenario] = &[
    moves::ALL_REPLACED,
    moves::ROLLING,
    names::DNS_NEW_ADDRESSES,
    names::STABLE_NAME,
    moves::RECYCLED,
    moves::PORT_SWAP,
    configured::TO_TLS,
    names::LOAD_BALANCER,
    strangers::OTHER_CLUSTER,
    strangers::STALE_BROKER,
    strangers::HALF_METADATA,
    strangers::LAGGING_METADATA,
    sizes::PARTIAL,
    sizes::SCALE,
    moves::FLAPPING,
    outages::UNREACHABLE,
    outages::HUNG_CLOSE,
    outages::BLACK_HOLE,
    configured::DEAD_BOOTSTRAP,
    configured::COLD_START,
    amid::MID_REBALANCE,
    amid::MID_COMMIT,
    amid::TWICE,
    amid::PANICS,
    moves::GRACE,
    outages::SILENT_CONNECTIONS,
    crowd::STORM,
    configured::CONFIG_AND_DRIFT,
    outages::THROTTLED,
];

/// The scenario of this name.
pub fn named(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}
