//! steadfast's benchmarks.
