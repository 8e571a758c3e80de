//! LZ4 frames.

use std::io::Write;

use lz4::{BlockSize, Decoder, EncoderBuilder};

use super::Fault;
use super::output::Output;

pub(super) fn decompress(body: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    let mut output = Output::new(body.len(), limit);
    let mut rest = body;
    loop {
        let mut decoder = Decoder::new(rest)?;
        output.drain(&mut decoder)?;
        let (after, ended) = decoder.finish();
        ended.map_err(|_| Fault::Damaged("the frame does not end".into()))?;
        if after.is_empty() {
            return output.finish();
        }
        rest = after;
    }
}

/// 64 KiB blocks, independent of each other, as Java's producer writes them: its consumer reads no others.
pub(super) fn compress(plain: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut encoder = EncoderBuilder::new()
        .block_size(BlockSize::Max64KB)
        .block_mode(lz4::BlockMode::Independent)
        .build(Vec::new())?;
    encoder.write_all(plain)?;
    let (body, ended) = encoder.finish();
    ended?;
    Ok(body)
}
