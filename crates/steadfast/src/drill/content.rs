//! What the records of a world hold: each another value, so that one is never taken for another.

use steadfast_core::ids::{Offset, Partition};

/// The value of the record at this offset.
pub fn value(partition: &Partition, offset: Offset) -> String {
    format!("{partition} {offset}")
}

/// What tells one value from another (FNV-1a).
pub fn content(value: &[u8]) -> u64 {
    value.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
