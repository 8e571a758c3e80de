//! Snappy in two framings: that of Java's snappy-java, which most producers write, and one bare block.
//!
//! snappy-java writes a header of 16 bytes (magic, version, lowest compatible version), then blocks, each
//! with its compressed length in four bytes. Streams may be joined: where a length should stand, another
//! header may.

use snap::raw::{Decoder, Encoder, decompress_len};

use super::Fault;
use super::output::Output;

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const HEADER: usize = 16;
/// The version and lowest compatible version that snappy-java writes.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
/// Plain bytes of a block that [`compress`] writes; Java's are as large.
const BLOCK: usize = 32 << 10;

pub(super) fn decompress(body: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    let mut output = Output::new(body.len(), limit);
    if !body.starts_with(&MAGIC) {
        unfold(body, &mut output)?;
        return output.finish();
    }
    let mut rest = body;
    while !rest.is_empty() {
        rest = match rest.strip_prefix(&MAGIC) {
            Some(_) => rest.get(HEADER..).ok_or_else(|| damaged("a header is cut off"))?,
            None => framed(rest, &mut output)?,
        };
    }
    output.finish()
}

pub(super) fn compress(plain: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut body = [MAGIC, VERSIONS].concat();
    for block in plain.chunks(BLOCK) {
        let block = Encoder::new().compress_vec(block).map_err(std::io::Error::from)?;
        body.extend_from_slice(&(block.len() as u32).to_be_bytes());
        body.extend_from_slice(&block);
    }
    Ok(body)
}

/// Unfolds one block with its length before it, and gives what follows it.
fn framed<'a>(rest: &'a [u8], output: &mut Output) -> Result<&'a [u8], Fault> {
    let (length, rest) = rest.split_first_chunk().ok_or_else(|| damaged("a block's length is cut off"))?;
    let (block, rest) = usize::try_from(u32::from_be_bytes(*length))
        .ok()
        .and_then(|length| rest.split_at_checked(length))
        .ok_or_else(|| damaged("a block is cut off"))?;
    unfold(block, output)?;
    Ok(rest)
}

fn unfold(block: &[u8], output: &mut Output) -> Result<(), Fault> {
    let length = decompress_len(block).map_err(std::io::Error::from)?;
    Decoder::new().decompress(block, output.room(length)?).map_err(std::io::Error::from)?;
    Ok(())
}

fn damaged(detail: &str) -> Fault {
    Fault::Damaged(detail.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_block_is_read_too() {
        let body = Encoder::new().compress_vec(b"bare bare bare bare").unwrap();
        assert_eq!(decompress(&body, 100).unwrap(), b"bare bare bare bare");
    }

    #[test]
    fn a_block_that_claims_gigabytes_is_refused_before_anything_is_allocated() {
        let claim = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(matches!(decompress(&claim, 1000), Err(Fault::TooLarge)));
        let framed = [&MAGIC[..], &VERSIONS, &[0, 0, 0, 5], &claim].concat();
        assert!(matches!(decompress(&framed, 1000), Err(Fault::TooLarge)));
    }

    #[test]
    fn a_block_shorter_than_it_says_is_damaged() {
        let framed = [&MAGIC[..], &VERSIONS, &[0, 0, 1, 0, 1]].concat();
        assert!(matches!(decompress(&framed, 1000), Err(Fault::Damaged(_))));
    }
}
