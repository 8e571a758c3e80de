//! How many partitions that begin are fetched from one leader at once (S1.6).
//!
//! What begins is cold: its records come from the broker's disk, and each partition may bring a full share of bytes. When
//! hundreds of them are taken up in one move, one request for all of them holds a thread of the broker, pushes what
//! others read out of its cache, and takes as much of our own memory as a fetch may. So first a few are asked for, and
//! twice as many after each answer: the broker's own pace sets ours. Few are not held up at all.

/// So many may begin at once.
pub const AT_ONCE: usize = 16;

/// One leader's ramp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ramp {
    /// Answers since some had to wait.
    answers: u32,
}

impl Ramp {
    /// How many of `beginning` partitions may be asked for in the next fetch.
    pub fn admits(self, beginning: usize) -> usize {
        let doubled = AT_ONCE.saturating_mul(2_usize.saturating_pow(self.answers));
        beginning.min(doubled)
    }

    /// A fetch was answered that left so many waiting.
    pub fn answered(&mut self, waiting: usize) {
        self.answers = if waiting == 0 { 0 } else { self.answers.saturating_add(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many are asked for first in each fetch, until all have begun.
    fn bursts(mut beginning: usize) -> Vec<usize> {
        let (mut ramp, mut bursts) = (Ramp::default(), Vec::new());
        while beginning > 0 {
            let admitted = ramp.admits(beginning);
            beginning -= admitted;
            ramp.answered(beginning);
            bursts.push(admitted);
        }
        assert_eq!(ramp, Ramp::default(), "the next move begins gently again");
        bursts
    }

    #[test]
    fn a_small_move_is_not_held_up() {
        for few in 1..=AT_ONCE {
            assert_eq!(bursts(few), [few]);
        }
    }

    #[test]
    fn a_large_move_takes_twice_as_many_with_each_answer() {
        assert_eq!(bursts(17), [16, 1]);
        assert_eq!(bursts(1_000), [16, 32, 64, 128, 256, 504]);
        assert!(bursts(100_000).len() <= 13);
    }

    #[test]
    fn no_number_of_answers_overflows() {
        let mut ramp = Ramp::default();
        for _ in 0..1_000 {
            ramp.answered(1);
        }
        assert_eq!(ramp.admits(usize::MAX), usize::MAX);
    }
}
