//! What this crate promises, one promise a test. All but those about threads run under paused time on one
//! thread.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod arbiters;
mod crashes;
mod fixture;
mod replaceable;
mod restarts;
mod routes;
mod shutdown;
mod trees;
