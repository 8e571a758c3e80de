//! Kafka's framing: a length of four bytes, then so many bytes. The length is a claim, never a reason to
//! allocate.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The largest frame that is read unless configured otherwise, in bytes.
pub const DEFAULT_LIMIT: usize = 64 << 20;

/// What is set aside for a frame before any of it has arrived, in bytes.
const FIRST_CHUNK: usize = 64 << 10;

/// The types of the TLS records that a listener may begin with.
const ALERT: u8 = 0x15;
const HANDSHAKE: u8 = 0x16;

/// Why no frame was read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream ended between two frames.
    #[error("the peer closed the connection")]
    Ended,
    /// The stream ended within a frame.
    #[error("the stream ended within a frame: {found} of {expected} bytes arrived")]
    Cut {
        /// How many bytes the frame (or its length) has.
        expected: usize,
        /// How many arrived.
        found: usize,
    },
    /// The length is negative.
    #[error("expected a frame's length, found {found}")]
    Negative {
        /// The length as it was sent.
        found: i32,
    },
    /// The length is above the limit.
    #[error("expected a frame of at most {limit} bytes, found one of {found}")]
    TooLarge {
        /// The length as it was sent.
        found: usize,
        /// The limit in force.
        limit: usize,
    },
    /// What would be the length is the head of a TLS record: a listener that was spoken to in plain text and
    /// expected TLS answers with an alert.
    #[error("expected a frame, found a TLS record")]
    Tls,
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads one frame of at most `limit` bytes, without its length. Memory grows with what has arrived, not
/// with what was announced. Not cancel-safe: a frame that was begun must be read to its end.
pub async fn read_frame(from: &mut (impl AsyncRead + Unpin), limit: usize) -> Result<Bytes, FrameError> {
    let length = checked(read_length(from).await?, limit)?;
    let mut frame = BytesMut::with_capacity(length.min(FIRST_CHUNK));
    while frame.len() < length {
        let missing = length - frame.len();
        if frame.capacity() == frame.len() {
            frame.reserve(missing.min(frame.len()));
        }
        if from.take(missing as u64).read_buf(&mut frame).await? == 0 {
            return Err(FrameError::Cut { expected: length, found: frame.len() });
        }
    }
    Ok(frame.freeze())
}

async fn read_length(from: &mut (impl AsyncRead + Unpin)) -> Result<i32, FrameError> {
    let mut length = [0; 4];
    let mut found = 0;
    while found < length.len() {
        match from.read(&mut length[found..]).await? {
            0 if found == 0 => return Err(FrameError::Ended),
            0 => return Err(FrameError::Cut { expected: length.len(), found }),
            more => found += more,
        }
    }
    Ok(i32::from_be_bytes(length))
}

fn checked(length: i32, limit: usize) -> Result<usize, FrameError> {
    let found = usize::try_from(length).map_err(|_| FrameError::Negative { found: length })?;
    match length.to_be_bytes() {
        _ if found <= limit => Ok(found),
        [ALERT | HANDSHAKE, 3, 0..=4, _] => Err(FrameError::Tls),
        _ => Err(FrameError::TooLarge { found, limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(body: &[u8]) -> Vec<u8> {
        [&(body.len() as i32).to_be_bytes()[..], body].concat()
    }

    async fn read(mut bytes: &[u8], limit: usize) -> Result<Bytes, FrameError> {
        read_frame(&mut bytes, limit).await
    }

    #[tokio::test]
    async fn a_frame_is_read_and_the_next_one_left_alone() {
        let bytes = [framed(b"first"), framed(b""), framed(b"last")].concat();
        let mut from = &bytes[..];
        for expected in ["first", "", "last"] {
            assert_eq!(read_frame(&mut from, 5).await.unwrap(), expected);
        }
        assert!(matches!(read_frame(&mut from, 5).await, Err(FrameError::Ended)));
    }

    #[tokio::test]
    async fn a_frame_above_the_limit_is_refused_before_it_is_read() {
        let outcome = read(&framed(b"123456"), 5).await;
        assert!(matches!(outcome, Err(FrameError::TooLarge { found: 6, limit: 5 })));
    }

    #[tokio::test]
    async fn the_head_of_a_tls_record_is_told_from_a_length() {
        for (head, is_tls) in [
            ([0x15, 3, 1, 0], true),
            ([0x16, 3, 4, 0], true),
            ([0x15, 3, 5, 0], false),
            ([0x14, 3, 3, 0], false),
        ] {
            assert_eq!(matches!(read(&head, 5).await, Err(FrameError::Tls)), is_tls, "{head:?}");
        }
        let whole = read(&[0x15, 3, 3, 0], usize::MAX).await;
        assert!(matches!(whole, Err(FrameError::Cut { .. })), "a limit that admits it takes it for a length");
    }

    #[tokio::test]
    async fn a_negative_length_is_named() {
        let outcome = read(&(-2i32).to_be_bytes(), 5).await;
        assert!(matches!(outcome, Err(FrameError::Negative { found: -2 })));
    }

    #[tokio::test]
    async fn a_stream_that_ends_within_a_frame_says_how_far_it_came() {
        let bytes = framed(b"12345");
        assert!(matches!(read(&bytes[..7], 5).await, Err(FrameError::Cut { expected: 5, found: 3 })));
        assert!(matches!(read(&bytes[..3], 5).await, Err(FrameError::Cut { expected: 4, found: 3 })));
    }

    #[tokio::test]
    async fn a_large_frame_arrives_whole_in_pieces() {
        let body: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        let (mut ours, mut theirs) = tokio::io::duplex(1_000);
        let sent = framed(&body);
        let write = async move { tokio::io::AsyncWriteExt::write_all(&mut theirs, &sent).await };
        let (read, written) = tokio::join!(read_frame(&mut ours, DEFAULT_LIMIT), write);
        written.unwrap();
        assert_eq!(read.unwrap(), body);
    }

    proptest! {
        #[test]
        fn whatever_arrives_is_a_frame_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            if let Ok(frame) = runtime.block_on(read(&bytes, 16)) {
                prop_assert_eq!(&frame[..], &bytes[4..4 + frame.len()]);
            }
        }
    }
}
