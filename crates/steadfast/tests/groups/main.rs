//! `steadfast groups` as its users see it, on clusters in memory over TCP.
#![expect(clippy::unwrap_used, reason = "a program that cannot be run fails its test")]
#![expect(clippy::disallowed_methods, reason = "real processes are waited for by the real clock")]

mod look;
mod place;
mod reset;
