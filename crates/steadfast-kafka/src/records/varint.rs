//! The variable-length integers of record bodies: zigzag, seven bits a byte, lowest first.

use thiserror::Error;

/// Why an integer could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum VarintError {
    #[error("the bytes end within an integer")]
    Ended,
    #[error("an integer takes more than {0} bytes")]
    TooLong(usize),
}

/// Reads an integer of at most 5 bytes. Bits beyond the 32nd are dropped, as Java's consumer drops them.
#[inline]
pub(super) fn read_i32(input: &mut &[u8]) -> Result<i32, VarintError> {
    let raw = read::<5>(input)? as u32;
    Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Reads an integer of at most 10 bytes. Bits beyond the 64th are dropped, as Java's consumer drops them.
#[inline]
pub(super) fn read_i64(input: &mut &[u8]) -> Result<i64, VarintError> {
    let raw = read::<10>(input)?;
    Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

/// Appends `value` in at most 5 bytes.
pub(super) fn write_i32(out: &mut Vec<u8>, value: i32) {
    write(out, u64::from(((value << 1) ^ (value >> 31)) as u32));
}

/// Appends `value` in at most 10 bytes.
pub(super) fn write_i64(out: &mut Vec<u8>, value: i64) {
    write(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Most integers of a record fit one byte: that way is short enough to be inlined.
#[inline]
fn read<const MAX: usize>(input: &mut &[u8]) -> Result<u64, VarintError> {
    match input.split_first() {
        Some((&byte, rest)) if byte < 0x80 => {
            *input = rest;
            Ok(u64::from(byte))
        }
        _ => read_longer::<MAX>(input),
    }
}

fn read_longer<const MAX: usize>(input: &mut &[u8]) -> Result<u64, VarintError> {
    let mut value = 0;
    for (index, &byte) in input.iter().take(MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *input = &input[index + 1..];
            return Ok(value);
        }
    }
    Err(if input.len() < MAX { VarintError::Ended } else { VarintError::TooLong(MAX) })
}

fn write(out: &mut Vec<u8>, mut raw: u64) {
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_numbers_of_both_signs_take_one_byte() {
        for (value, byte) in [(0, 0), (-1, 1), (1, 2), (-64, 127), (63, 126)] {
            let mut out = Vec::new();
            write_i32(&mut out, value);
            assert_eq!(out, [byte]);
        }
    }

    #[test]
    fn an_integer_without_end_is_refused() {
        assert_eq!(read_i32(&mut &[0xff; 9][..]), Err(VarintError::TooLong(5)));
        assert_eq!(read_i64(&mut &[0xff; 12][..]), Err(VarintError::TooLong(10)));
        assert_eq!(read_i32(&mut &[0xff; 4][..]), Err(VarintError::Ended));
        assert_eq!(read_i64(&mut &[][..]), Err(VarintError::Ended));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(narrow: i32, wide: i64, after: u8) {
            let mut out = Vec::new();
            write_i32(&mut out, narrow);
            write_i64(&mut out, wide);
            out.push(after);
            let mut input = &out[..];
            prop_assert_eq!(read_i32(&mut input), Ok(narrow));
            prop_assert_eq!(read_i64(&mut input), Ok(wide));
            prop_assert_eq!(input, &[after]);
        }
    }
}
