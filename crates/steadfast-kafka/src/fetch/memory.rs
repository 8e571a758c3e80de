//! A bound on the bytes that are fetched and not yet processed.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bytes that all fetch loops of a process may hold together. Cheap to clone.
///
/// A loop reserves the worst case before it asks, and gives back what the answer did not need. The rest is held
/// by the answer's frame, until the last record that borrows from it is gone.
#[derive(Debug, Clone)]
pub struct Memory {
    free: Arc<Semaphore>,
    capacity: u32,
}

/// Bytes that are reserved.
#[derive(Debug)]
pub struct Reserved(OwnedSemaphorePermit);

struct Frame {
    bytes: Bytes,
    _held: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Memory {
    /// At most `capacity` bytes (up to 2 GiB).
    pub fn new(capacity: usize) -> Memory {
        let capacity = u32::try_from(capacity).unwrap_or(u32::MAX).clamp(1, u32::MAX >> 1);
        Memory { free: Arc::new(Semaphore::new(capacity as usize)), capacity }
    }

    /// Bytes in all.
    pub fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Bytes that are free.
    pub fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// Waits until `bytes` (at most the capacity) are free, and reserves them. None when the process ends.
    /// The wait ends when handlers give bytes back; whoever calls can drop it.
    pub async fn reserve(&self, bytes: usize) -> Option<Reserved> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.capacity);
        Arc::clone(&self.free).acquire_many_owned(bytes).await.ok().map(Reserved)
    }

    /// Reserves `bytes` (at most the capacity) if they are free and nobody waits for them.
    pub fn try_reserve(&self, bytes: usize) -> Option<Reserved> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.capacity);
        Arc::clone(&self.free).try_acquire_many_owned(bytes).ok().map(Reserved)
    }

    /// Bytes that were made by decompression: they take what is free. What is not free is overdrawn, and the
    /// next reservation waits for it; so the overdraft is at most one answer per loop.
    pub fn hold(&self, bytes: Bytes) -> Bytes {
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let free = u32::try_from(self.free.available_permits()).unwrap_or(u32::MAX);
        let held = Arc::clone(&self.free).try_acquire_many_owned(size.min(free)).ok();
        Bytes::from_owner(Frame { bytes, _held: held })
    }
}

impl Reserved {
    /// How many bytes.
    pub fn bytes(&self) -> usize {
        self.0.num_permits()
    }

    /// The frame takes what it needs of the reservation; the rest is free again.
    pub fn hold(self, frame: Bytes) -> Bytes {
        let Reserved(mut permit) = self;
        let needed = permit.num_permits().min(frame.len());
        let spare = permit.num_permits() - needed;
        drop(permit.split(spare));
        Bytes::from_owner(Frame { bytes: frame, _held: Some(permit) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_holds_its_bytes_until_the_last_slice_is_gone() {
        let memory = Memory::new(1000);
        let reserved = memory.reserve(800).await.unwrap();
        assert_eq!(memory.free(), 200);
        let frame = reserved.hold(Bytes::from(vec![0; 300]));
        assert_eq!(memory.free(), 700);
        let slice = frame.slice(10..20);
        drop(frame);
        assert_eq!(memory.free(), 700);
        drop(slice);
        assert_eq!(memory.free(), 1000);
    }

    #[tokio::test]
    async fn more_than_the_capacity_is_capped_so_that_a_large_batch_makes_progress() {
        let memory = Memory::new(100);
        let reserved = memory.reserve(5000).await.unwrap();
        let frame = reserved.hold(Bytes::from(vec![0; 5000]));
        assert_eq!(memory.free(), 0);
        drop(frame);
        assert_eq!(memory.free(), 100);
    }

    #[tokio::test]
    async fn decompressed_bytes_take_what_is_free() {
        let memory = Memory::new(100);
        let plain = memory.hold(Bytes::from(vec![0; 160]));
        assert_eq!(memory.free(), 0);
        drop(plain);
        assert_eq!(memory.free(), 100);
    }
}
