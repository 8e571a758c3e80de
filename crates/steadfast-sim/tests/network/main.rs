//! The network around the embedded cluster: doors, links, faults, schedules.
#![expect(clippy::disallowed_methods, reason = "the tests are clients: they dial for themselves")]
#![expect(clippy::unwrap_used, reason = "what fails here fails its test")]

mod client;
mod doors;
mod faults;
mod tls;
