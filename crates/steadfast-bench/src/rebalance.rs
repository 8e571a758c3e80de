//! Rebalances of steadfast's groups and of today's clients': members join and leave under load.

pub mod client;
pub mod group;
pub mod member;
pub mod play;
pub mod promotion;
pub mod report;
pub mod slow;
pub mod window;
