//! steadfast's benchmarks: a real Apache Kafka behind the drift proxy, the service as a process of its own, and
//! everything measured from outside of it. docs/benchmarks.md says how to repeat them.
#![expect(clippy::disallowed_methods, reason = "real processes are measured by the real clock")]

pub mod conclusion;
pub mod ground;
pub mod machine;
pub mod peers;
pub mod rebalance;
pub mod recovery;
pub mod scene;
pub mod seen;
pub mod story;
