//! Which records of transactions a reader sees.

/// Kafka's `isolation.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// Everything up to the high watermark.
    ReadUncommitted,
    /// What is decided, up to the last stable offset; aborted records are marked in the answer.
    #[default]
    ReadCommitted,
}

impl Isolation {
    pub(super) fn on_the_wire(self) -> i8 {
        match self {
            Isolation::ReadUncommitted => 0,
            Isolation::ReadCommitted => 1,
        }
    }
}
