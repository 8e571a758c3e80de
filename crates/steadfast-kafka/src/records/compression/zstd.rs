//! Zstandard frames.
//!
//! They are unfolded in one go into a buffer of the right size, because a streaming decoder first allocates
//! the window that the frame's header asks for, up to 128 MiB for a frame of a few bytes. Java's producer
//! does not say how much is inside; how much it can be at most follows from the block headers.

use zstd::bulk::Decompressor;

use super::Fault;

const FRAME_MAGIC: u32 = 0xfd2f_b528;
/// The lowest four bits of a skippable frame's magic number are free.
const SKIPPABLE_MAGIC: u32 = 0x184d_2a50;
/// What one block unfolds to at most (RFC 8878, 3.1.1.2.4).
const BLOCK_MAX: usize = 128 << 10;
/// What zstd says when the buffer does not hold what is inside.
const TOO_SMALL: &str = "Destination buffer is too small";

pub(super) fn decompress(body: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    let most = most_inside(body).ok_or_else(|| Fault::Damaged("the frame does not end".into()))?;
    let mut plain = Vec::with_capacity(most.min(limit));
    match Decompressor::new()?.decompress_to_buffer(body, &mut plain) {
        Ok(_) => Ok(plain),
        Err(error) if most > limit && error.to_string() == TOO_SMALL => Err(Fault::TooLarge),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn compress(plain: &[u8]) -> Result<Vec<u8>, Fault> {
    Ok(zstd::bulk::compress(plain, 1)?)
}

/// What all frames of `body` unfold to at most, or none if they are not whole.
fn most_inside(mut body: &[u8]) -> Option<usize> {
    let mut most = 0_usize;
    while !body.is_empty() {
        let magic = u32::from_le_bytes(*take(&mut body)?);
        most = most.saturating_add(match magic {
            FRAME_MAGIC => frame(&mut body)?,
            magic if magic & !0xf == SKIPPABLE_MAGIC => {
                let length = u32::from_le_bytes(*take(&mut body)?);
                skip(&mut body, usize::try_from(length).ok()?)?;
                0
            }
            _ => return None,
        });
    }
    Some(most)
}

/// Walks the frame's blocks (RFC 8878, 3.1.1) and adds up what they unfold to at most.
fn frame(body: &mut &[u8]) -> Option<usize> {
    let [descriptor] = *take(body)?;
    skip(body, header_rest(descriptor))?;
    let mut most = 0_usize;
    loop {
        let [low, middle, high] = *take(body)?;
        let block = u32::from_le_bytes([low, middle, high, 0]);
        let size = (block >> 3) as usize;
        let (compressed, plain) = match (block >> 1) & 3 {
            0 => (size, size),
            1 => (1, size),
            2 => (size, BLOCK_MAX),
            _ => return None,
        };
        skip(body, compressed)?;
        most = most.saturating_add(plain);
        if block & 1 == 1 {
            let checksum = if descriptor & 4 == 0 { 0 } else { 4 };
            skip(body, checksum)?;
            return Some(most);
        }
    }
}

/// The bytes of window descriptor, dictionary id and content size, by the frame header's descriptor.
fn header_rest(descriptor: u8) -> usize {
    let single_segment = descriptor & 0x20 != 0;
    let window = if single_segment { 0 } else { 1 };
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content_size = match descriptor >> 6 {
        0 if single_segment => 1,
        0 => 0,
        1 => 2,
        2 => 4,
        _ => 8,
    };
    window + dictionary + content_size
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(head)
}

fn skip(bytes: &mut &[u8], count: usize) -> Option<()> {
    *bytes = bytes.get(count..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// As Java's producer does it: what is inside is not known when the header is written.
    fn streamed(plain: &[u8], window_log: u32) -> Vec<u8> {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(window_log).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_frame_that_hides_its_size_is_read_whatever_window_it_asks_for() {
        let plain = [7; 200_000];
        for window_log in [10, 20, 27] {
            let body = streamed(&plain, window_log);
            let unfolded = decompress(&body, 200_000).unwrap();
            assert_eq!(unfolded, plain);
            assert_eq!(unfolded.capacity(), 200_000, "the window took no part in it");
            assert!(matches!(decompress(&body, 199_999), Err(Fault::TooLarge)));
        }
    }

    #[test]
    fn a_frame_that_claims_gigabytes_allocates_what_its_blocks_can_hold() {
        // Eight bytes of content size in the header, then one raw block of one byte.
        let lying = [0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 9, 0, 0, 5];
        assert_eq!(most_inside(&lying), Some(1));
        assert!(matches!(decompress(&lying, 1 << 30), Err(Fault::Damaged(_))));
    }

    #[test]
    fn skippable_frames_are_skipped() {
        let body = [&[0x5f, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2], &compress(b"after").unwrap()[..]].concat();
        assert_eq!(decompress(&body, 100).unwrap(), b"after");
    }
}
