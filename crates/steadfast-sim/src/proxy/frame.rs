//! Kafka's frames: a length of four bytes, then that many bytes. Bounded, and never allocated ahead of what
//! has arrived.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Above what brokers accept by default (`socket.request.max.bytes`, 100 MiB) and what clients fetch.
const LIMIT: usize = 128 << 20;

/// How many bytes of a frame are its length.
pub(super) const PREFIX: usize = 4;

/// Reads one whole frame, its length in front, into `frame`. False when the peer closed between two frames.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin), frame: &mut Vec<u8>) -> io::Result<bool> {
    frame.clear();
    let mut prefix = [0; PREFIX];
    if from.read(&mut prefix[..1]).await? == 0 {
        return Ok(false);
    }
    from.read_exact(&mut prefix[1..]).await?;
    let size = usize::try_from(i32::from_be_bytes(prefix)).ok().filter(|size| *size <= LIMIT);
    let size =
        size.ok_or_else(|| invalid(format!("expected a frame of at most {LIMIT} bytes, found {prefix:?}")))?;
    frame.extend(prefix);
    let read = from.take(size as u64).read_to_end(frame).await?;
    if read < size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(true)
}

/// A frame around `content`.
pub(super) fn around(content: &[u8]) -> io::Result<Vec<u8>> {
    let size =
        i32::try_from(content.len()).map_err(|_| invalid(format!("{} bytes fit no frame", content.len())))?;
    Ok([&size.to_be_bytes()[..], content].concat())
}

/// The bytes break the protocol.
pub(super) fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_is_read_with_its_length() {
        let mut wire: &[u8] = &[0, 0, 0, 2, 7, 8];
        let mut frame = Vec::new();
        assert!(read(&mut wire, &mut frame).await.unwrap());
        assert_eq!(frame, around(&[7, 8]).unwrap());
        assert!(!read(&mut wire, &mut frame).await.unwrap());
    }

    #[tokio::test]
    async fn a_frame_that_is_too_long_negative_or_cut_off_is_refused() {
        for mut wire in
            [&[0x7f, 0xff, 0xff, 0xff, 0][..], &[0xff, 0xff, 0xff, 0xff], &[0, 0, 0, 2, 7], &[0, 0]]
        {
            assert!(read(&mut wire, &mut Vec::new()).await.is_err());
        }
    }
}
