//! gzip.

use std::io::Write;

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::Fault;
use super::output::Output;

pub(super) fn decompress(body: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    let mut output = Output::new(body.len(), limit);
    output.drain(&mut MultiGzDecoder::new(body))?;
    output.finish()
}

pub(super) fn compress(plain: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain)?;
    Ok(encoder.finish()?)
}
