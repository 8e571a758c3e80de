//! Kafka's frames out of a stream: a length of four bytes, then that many bytes. Bounded, and never allocated ahead
//! of what has arrived.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// How long a request may be. Kafka allows 100 MiB (`socket.request.max.bytes`); what clients send stays far below,
/// and this bounds what one hostile connection can take.
pub(crate) const LIMIT: usize = 16 << 20;

const PREFIX: usize = 4;
const CHUNK: usize = 8 << 10;

/// What arrived and was not yet taken.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    buffer: BytesMut,
}

impl Frames {
    /// Reads what is there; how much, zero when the peer has closed. Safe to drop at any time.
    pub(crate) async fn fill(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        self.buffer.reserve(CHUNK);
        from.read_buf(&mut self.buffer).await
    }

    /// The next whole frame, without its length.
    pub(crate) fn next(&mut self) -> io::Result<Option<Bytes>> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX>() else { return Ok(None) };
        let found = i32::from_be_bytes(*prefix);
        let size = usize::try_from(found).ok().filter(|size| *size <= LIMIT).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("expected a frame of at most {LIMIT} bytes, found one of {found}"),
            )
        })?;
        if self.buffer.len() < PREFIX + size {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        Ok(Some(self.buffer.split_to(size).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn frames(mut wire: &[u8]) -> io::Result<Vec<Bytes>> {
        let (mut frames, mut all) = (Frames::default(), Vec::new());
        while frames.fill(&mut wire).await? > 0 {
            while let Some(frame) = frames.next()? {
                all.push(frame);
            }
        }
        Ok(all)
    }

    #[tokio::test]
    async fn whole_frames_are_taken_and_the_rest_waits() {
        let found = frames(&[0, 0, 0, 2, 7, 8, 0, 0, 0, 0, 0, 0, 0, 3, 1]).await.unwrap();
        assert_eq!(found, [Bytes::from_static(&[7, 8]), Bytes::new()]);
    }

    #[tokio::test]
    async fn a_frame_that_is_too_long_or_negative_is_refused() {
        for wire in [[0x7f, 0xff, 0xff, 0xff], [0xff, 0xff, 0xff, 0xff], [1, 0, 0, 1]] {
            assert!(frames(&wire).await.is_err());
        }
    }
}
