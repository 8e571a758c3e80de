//! A drift's way: metadata poller, endpoint differ, supervisor, consumer.

pub mod endpoint_differ;
pub mod fed;
pub(crate) mod last_known_good;
pub mod metadata_poller;
pub mod published;
pub(crate) mod slot;
pub(crate) mod subscribed;
pub mod supervisor;
