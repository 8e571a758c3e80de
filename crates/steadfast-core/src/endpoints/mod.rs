//! Which endpoints a long-lived client should use: views, drift, agreement, the race of discovery, the
//! budget and the respawn. Generic over the node's key; it knows nothing of Kafka.

pub mod agreement;
pub mod backoff;
pub mod budget;
pub mod confirmed;
pub mod drift;
pub mod race;
pub mod reach;
pub mod resolution;
pub mod respawn;
pub mod supervised;
pub mod view;
