//! Bytes that nobody can foresee.

use ring::rand::{SecureRandom, SystemRandom};

/// Random bytes of the operating system's, if it gives any.
pub(crate) fn unforeseeable<const COUNT: usize>() -> Option<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes)
}
