//! A drift's way: metadata poller, endpoint differ, supervisor, consumer.

pub mod endpoint_differ;
pub mod fed;
pub mod metadata_poller;
pub mod published;
pub(crate) mod slot;
pub mod supervisor;
