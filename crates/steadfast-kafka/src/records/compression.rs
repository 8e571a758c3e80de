//! The codecs of record batches, each decompressing into a bounded number of bytes.
//!
//! A batch of some kilobytes can unfold into gigabytes, and the producer that sent it is not ours: so the
//! caller says how much it is ready to hold, and no codec's output goes beyond that.

mod gzip;
mod lz4;
mod output;
mod snappy;
mod zstd;

use std::fmt;

use thiserror::Error;

/// How a batch's body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952), any number of members.
    Gzip,
    /// Snappy blocks in the framing of Java's snappy-java, or one bare block.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard frames (KIP-110).
    Zstd,
}

impl Compression {
    /// All of them, by their number in a batch's attributes.
    pub const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    /// What the lowest three bits of a batch's attributes name.
    pub(super) fn from_attributes(attributes: i16) -> Option<Compression> {
        Compression::ALL.get(usize::from(attributes as u8 & 7)).copied()
    }

    /// The lowest three bits of a batch's attributes.
    pub(super) fn attributes(self) -> i16 {
        self as i16
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        })
    }
}

/// Why bytes could not be compressed or decompressed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CompressionError {
    /// There is more in them than the caller wants to hold.
    #[error("the {codec} body unfolds to more than {limit} bytes")]
    TooLarge {
        /// The codec.
        codec: Compression,
        /// The caller's limit, in bytes.
        limit: usize,
    },
    /// They are not what the codec writes.
    #[error("the {codec} body is damaged: {detail}")]
    Damaged {
        /// The codec.
        codec: Compression,
        /// What the codec says.
        detail: String,
    },
}

/// Decompresses `body` into at most `limit` bytes. The result's capacity never exceeds `limit` + 1; beside
/// it, lz4 takes up to two of the frame's blocks (4 MiB each at most), the others some hundred KiB.
///
/// # Errors
/// [`CompressionError::TooLarge`] when there is more in it, [`CompressionError::Damaged`] when it is not
/// what the codec writes.
pub fn decompress(codec: Compression, body: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
    let plain = match codec {
        Compression::None if body.len() > limit => Err(Fault::TooLarge),
        Compression::None => Ok(body.to_vec()),
        Compression::Gzip => gzip::decompress(body, limit),
        Compression::Snappy => snappy::decompress(body, limit),
        Compression::Lz4 => lz4::decompress(body, limit),
        Compression::Zstd => zstd::decompress(body, limit),
    };
    plain.map_err(|fault| fault.of(codec, limit))
}

/// Compresses `plain` as Java's producer does, at a fast level: for writers of test data.
///
/// # Errors
/// [`CompressionError::Damaged`] when the codec refuses.
pub fn compress(codec: Compression, plain: &[u8]) -> Result<Vec<u8>, CompressionError> {
    let body = match codec {
        Compression::None => Ok(plain.to_vec()),
        Compression::Gzip => gzip::compress(plain),
        Compression::Snappy => snappy::compress(plain),
        Compression::Lz4 => lz4::compress(plain),
        Compression::Zstd => zstd::compress(plain),
    };
    body.map_err(|fault| fault.of(codec, usize::MAX))
}

/// What a codec's own file says went wrong, before codec and limit are added.
#[derive(Debug)]
enum Fault {
    TooLarge,
    Damaged(String),
}

impl Fault {
    fn of(self, codec: Compression, limit: usize) -> CompressionError {
        match self {
            Fault::TooLarge => CompressionError::TooLarge { codec, limit },
            Fault::Damaged(detail) => CompressionError::Damaged { codec, detail },
        }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Fault {
        Fault::Damaged(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODECS: [Compression; 4] =
        [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    fn text(length: usize) -> Vec<u8> {
        b"so much of it is the same; ".iter().copied().cycle().take(length).collect()
    }

    #[test]
    fn bodies_of_every_size_come_back() {
        for codec in Compression::ALL {
            for length in [0, 1, 100, 32 << 10, 65_537, 300_000, 3 << 20] {
                let body = compress(codec, &text(length)).unwrap();
                assert_eq!(decompress(codec, &body, length).unwrap(), text(length), "{codec} {length}");
            }
        }
    }

    #[test]
    fn one_byte_over_the_limit_is_refused_with_limit_and_codec() {
        for codec in Compression::ALL {
            for length in [1, 4096, 300_000] {
                let body = compress(codec, &text(length)).unwrap();
                let limit = length - 1;
                assert_eq!(decompress(codec, &body, limit), Err(CompressionError::TooLarge { codec, limit }));
            }
        }
        let error = CompressionError::TooLarge { codec: Compression::Lz4, limit: 9 };
        assert_eq!(error.to_string(), "the lz4 body unfolds to more than 9 bytes");
    }

    #[test]
    fn a_bomb_takes_no_more_than_the_limit() {
        let zeros = vec![0; 32 << 20];
        for codec in CODECS {
            let body = compress(codec, &zeros).unwrap();
            let limit = 100_000;
            assert_eq!(decompress(codec, &body, limit), Err(CompressionError::TooLarge { codec, limit }));
        }
    }

    #[test]
    fn the_buffer_stays_within_the_limit() {
        for codec in CODECS {
            for limit in [300_000, 300_001, 310_000, 1 << 30] {
                let plain = decompress(codec, &compress(codec, &text(300_000)).unwrap(), limit).unwrap();
                assert!(plain.capacity() <= limit + 1 && plain.capacity() <= 2 << 20, "{codec} {limit}");
            }
        }
    }

    #[test]
    fn a_body_that_is_cut_off_is_damaged() {
        for codec in CODECS {
            let body = compress(codec, &text(100_000)).unwrap();
            for cut in [1, 5, body.len() / 2, body.len() - 1] {
                let result = decompress(codec, &body[..cut], 1 << 20);
                assert!(matches!(result, Err(CompressionError::Damaged { .. })), "{codec} {cut}: {result:?}");
            }
        }
    }

    #[test]
    fn joined_streams_are_one_body() {
        for codec in CODECS {
            let body = [compress(codec, b"one ").unwrap(), compress(codec, b"two").unwrap()].concat();
            assert_eq!(decompress(codec, &body, 100).unwrap(), b"one two", "{codec}");
        }
    }
}
