//! Claimed records on their way to the intake.

use std::sync::Arc;

use steadfast_core::acked::Span;
use steadfast_core::ids::{NodeId, Partition};
use steadfast_core::progress::Grant;

use super::answer::Fetched;
use super::intake::{Delivery, Intake};
use super::memory::Memory;
use crate::records::batch::BatchError;
use crate::records::compression::Compression;
use crate::records::lazy::PlainBatch;

/// Claimed, not yet decompressed. The position is past these records already, so nobody else fetches them: they
/// are delivered or, whatever happens to the loop (a broken connection, an abort, a panic), given back.
pub(super) struct Claimed<I: Intake> {
    pub(super) intake: Arc<I>,
    pub(super) partition: Partition,
    pub(super) span: Span,
    pub(super) grant: Grant,
    pub(super) fetched: Fetched,
    pub(super) delivered: bool,
}

impl<I: Intake> Drop for Claimed<I> {
    fn drop(&mut self) {
        if !self.delivered {
            self.intake.undeliverable(&self.partition, &self.grant);
        }
    }
}

impl<I: Intake> Claimed<I> {
    /// Decompresses into at most `limit` bytes in all, and delivers.
    ///
    /// # Errors
    /// [`BatchError`] when a batch cannot be decompressed: the records are given back.
    pub(super) fn deliver(mut self, leader: NodeId, memory: &Memory, limit: usize) -> Result<(), BatchError> {
        let parts = self.plain(memory, limit)?;
        self.delivered = true;
        let (partition, grant) = (self.partition.clone(), self.grant.clone());
        self.intake.deliver(Delivery { partition, leader, span: self.span, grant, parts });
        Ok(())
    }

    fn plain(&self, memory: &Memory, limit: usize) -> Result<Vec<PlainBatch>, BatchError> {
        let mut left = limit;
        let mut parts = Vec::with_capacity(self.fetched.batches.len());
        for batch in &self.fetched.batches {
            let plain = batch.decompress(left)?;
            parts.push(match plain.header().compression {
                // It borrows from its frame, which is counted already.
                Compression::None => plain,
                Compression::Gzip | Compression::Snappy | Compression::Lz4 | Compression::Zstd => {
                    left = left.saturating_sub(plain.plain().len());
                    PlainBatch::new(*plain.header(), memory.hold(plain.plain().clone()))
                }
            });
        }
        Ok(parts)
    }
}
