//! How often something costly may be done.

use std::collections::VecDeque;
use std::time::Duration;

use crate::tick::Tick;

/// So many tokens per window. A token comes back one whole window after it was taken, so no window of that
/// length, wherever it begins, ever sees more than the budget; a bucket that is refilled evenly would allow
/// almost twice as many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    tokens: u32,
    window: Duration,
    /// When the tokens that are out were taken, oldest first: at most `tokens` of them.
    taken: VecDeque<Tick>,
}

/// No token is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all {tokens} tokens of the last {window:?} are taken")]
pub struct OutOfBudget {
    /// How many there are in a window.
    pub tokens: u32,
    /// The window.
    pub window: Duration,
    /// When the next one comes back; none if the budget is zero.
    pub until: Option<Tick>,
}

impl Budget {
    /// `tokens` in each `window`; zero tokens allow nothing.
    pub fn new(tokens: u32, window: Duration) -> Budget {
        Budget { tokens, window, taken: VecDeque::new() }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// None is left; the error says until when.
    pub fn take(&mut self, now: Tick) -> Result<(), OutOfBudget> {
        self.check(now)?;
        while self.taken.front().is_some_and(|at| self.is_back(*at, now)) {
            self.taken.pop_front();
        }
        self.taken.push_back(now);
        Ok(())
    }

    /// The token that was taken last comes back at once, if one is out.
    pub fn give_back(&mut self) {
        self.taken.pop_back();
    }

    /// Whether a token could be taken, without taking it.
    ///
    /// # Errors
    /// None is left; the error says until when.
    pub fn check(&self, now: Tick) -> Result<(), OutOfBudget> {
        if self.available(now) > 0 {
            return Ok(());
        }
        let until = self.taken.front().map(|oldest| *oldest + self.window);
        Err(OutOfBudget { tokens: self.tokens, window: self.window, until })
    }

    /// How many tokens are left.
    pub fn available(&self, now: Tick) -> u32 {
        let out = self.taken.iter().filter(|at| !self.is_back(**at, now)).count();
        self.tokens.saturating_sub(u32::try_from(out).unwrap_or(u32::MAX))
    }

    fn is_back(&self, taken: Tick, now: Tick) -> bool {
        now >= taken + self.window
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: u64) -> Tick {
        Tick::at(Duration::from_secs(seconds))
    }

    #[test]
    fn a_token_comes_back_one_window_after_it_was_taken() {
        let mut budget = Budget::new(2, Duration::from_secs(600));
        assert_eq!(budget.take(seconds(0)), Ok(()));
        assert_eq!(budget.take(seconds(300)), Ok(()));
        let error = budget.take(seconds(599)).unwrap_err();
        assert_eq!(error.until, Some(seconds(600)));
        assert_eq!(budget.take(seconds(600)), Ok(()));
        assert_eq!(budget.take(seconds(600)).unwrap_err().until, Some(seconds(900)));
    }

    #[test]
    fn checking_takes_nothing() {
        let mut budget = Budget::new(1, Duration::from_secs(1));
        assert_eq!((budget.check(seconds(0)), budget.available(seconds(0))), (Ok(()), 1));
        assert_eq!(budget.take(seconds(0)), Ok(()));
        assert_eq!((budget.check(seconds(0)).is_ok(), budget.available(seconds(0))), (false, 0));
    }

    #[test]
    fn a_token_that_is_given_back_can_be_taken_again_at_once() {
        let mut budget = Budget::new(1, Duration::from_secs(5));
        assert_eq!(budget.take(seconds(0)), Ok(()));
        budget.give_back();
        assert_eq!(budget.take(seconds(1)), Ok(()));
        assert_eq!(budget.take(seconds(1)).unwrap_err().until, Some(seconds(6)));
        budget.give_back();
        budget.give_back();
        assert_eq!(budget.available(seconds(1)), 1);
    }

    #[test]
    fn a_budget_of_zero_never_has_a_token() {
        let mut budget = Budget::new(0, Duration::from_secs(1));
        assert_eq!(budget.take(seconds(9)).unwrap_err().until, None);
    }

    proptest! {
        #[test]
        fn no_window_sees_more_than_the_budget(
            tokens in 0..5u32, window in 1..50u64, waits in proptest::collection::vec(0..20u64, 1..200),
        ) {
            let mut budget = Budget::new(tokens, Duration::from_secs(window));
            let (mut now, mut takes) = (0, Vec::new());
            for wait in waits {
                now += wait;
                let before = budget.available(seconds(now));
                let taken = budget.take(seconds(now));
                prop_assert_eq!(taken.is_ok(), before > 0);
                match taken {
                    Ok(()) => takes.push(now),
                    Err(error) => prop_assert!(error.until.is_none_or(|until| until > seconds(now))),
                }
                prop_assert!(budget.taken.len() <= tokens as usize);
            }
            for start in &takes {
                let within = takes.iter().filter(|at| (*start..start + window).contains(at)).count();
                prop_assert!(within <= tokens as usize);
            }
        }

        #[test]
        fn what_was_refused_is_allowed_at_the_time_named(
            tokens in 1..5u32, window in 1..50u64, waits in proptest::collection::vec(0..5u64, 1..50),
        ) {
            let mut budget = Budget::new(tokens, Duration::from_secs(window));
            let mut now = 0;
            for wait in waits {
                now += wait;
                if let Err(OutOfBudget { until: Some(until), .. }) = budget.take(seconds(now)) {
                    prop_assert_eq!(budget.check(until), Ok(()));
                }
            }
        }
    }
}
