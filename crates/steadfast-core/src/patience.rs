//! How long an answer is waited for before its connection is doubted.

use std::time::Duration;

/// What one broker usually takes, and what it is allowed to take before a fresh connection is tried beside the one
/// that is silent.
///
/// A silent connection is to be left early, a slow broker must not be left again and again. So the limit is four
/// times the usual, within a second of it, and doubles with every connection that was replaced without an answer: a
/// broker that answers slowly but surely is answered for after a few replacements, and is known to be slow from then
/// on.
#[derive(Debug, Clone)]
pub struct Patience {
    floor: Duration,
    most: Duration,
    usual: Duration,
    /// The limit since a connection was replaced, until an answer comes.
    grown: Duration,
}

/// The limit is not further above the usual than this.
const SLACK: Duration = Duration::from_secs(1);

impl Patience {
    /// Nothing is known of the broker: the limit is `floor`. Whatever is learned, it stays within `most`.
    pub fn new(floor: Duration, most: Duration) -> Patience {
        Patience { floor: floor.min(most), most, usual: Duration::ZERO, grown: Duration::ZERO }
    }

    /// How long the broker may take, beyond what it was asked to wait and said it would hold back.
    pub fn limit(&self) -> Duration {
        let usual = (self.usual * 4).min(self.usual + SLACK);
        usual.max(self.floor).max(self.grown).min(self.most)
    }

    /// An answer took `beyond` what it was asked to wait and said it would hold back.
    ///
    /// What is usual rises at once to what was waited for on purpose, else to twice itself at most: one answer that
    /// was held up for seconds must not hide the next silence. It falls by an eighth.
    pub fn answered(&mut self, beyond: Duration) {
        let most = self.floor.max(self.usual * 2).max(self.grown).min(self.most);
        self.usual = beyond.min(most).max(self.usual * 7 / 8);
        self.grown = Duration::ZERO;
    }

    /// The limit passed, and a fresh connection took the silent one's place.
    pub fn replaced(&mut self) {
        self.grown = (self.limit() * 2).min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FLOOR: Duration = Duration::from_millis(100);
    const MOST: Duration = Duration::from_secs(30);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn fresh() -> Patience {
        Patience::new(FLOOR, MOST)
    }

    /// Asks a broker once that takes `takes` each time; how many connections are replaced until it answers.
    fn asked(patience: &mut Patience, takes: Duration) -> u32 {
        let mut replaced = 0;
        while takes > patience.limit() && patience.limit() < MOST {
            patience.replaced();
            replaced += 1;
        }
        patience.answered(takes);
        replaced
    }

    #[test]
    fn a_broker_of_which_nothing_is_known_has_the_floor() {
        assert_eq!(fresh().limit(), FLOOR);
        assert_eq!(Patience::new(FLOOR, ms(40)).limit(), ms(40));
    }

    #[test]
    fn what_is_usual_is_allowed_four_times_and_at_most_a_second_more() {
        let mut patience = fresh();
        patience.answered(ms(80));
        assert_eq!(patience.limit(), ms(320));
        for _ in 0..10 {
            patience.answered(ms(3000));
        }
        assert_eq!(patience.limit(), ms(4000));
    }

    #[test]
    fn one_answer_that_was_held_up_raises_the_limit_a_little_only() {
        let mut patience = fresh();
        patience.answered(ms(20_000));
        assert_eq!(patience.limit(), ms(400));
    }

    #[test]
    fn a_broker_that_is_slow_and_sure_is_left_a_few_times_and_then_never() {
        let mut patience = fresh();
        assert_eq!(asked(&mut patience, ms(3000)), 5);
        for _ in 0..1000 {
            assert_eq!(asked(&mut patience, ms(3000)), 0);
        }
    }

    proptest! {
        #[test]
        fn the_limit_stays_within_its_bounds_whatever_happens(
            steps in prop::collection::vec(prop::option::of(0..100_000u64), 0..200),
        ) {
            let mut patience = fresh();
            for step in steps {
                match step {
                    Some(millis) => patience.answered(ms(millis)),
                    None => patience.replaced(),
                }
                prop_assert!((FLOOR..=MOST).contains(&patience.limit()));
            }
        }

        #[test]
        fn a_broker_that_never_takes_longer_than_it_did_is_never_left_again(
            takes in 0..30_000u64, times in prop::collection::vec(0..=100u64, 1..20),
        ) {
            let mut patience = fresh();
            let replaced = asked(&mut patience, ms(takes));
            prop_assert!(replaced <= 9, "{replaced}");
            // As slow each time, or faster now and then and as slow again.
            for percent in times {
                asked(&mut patience, ms(takes * percent / 100));
                prop_assert!(asked(&mut patience, ms(takes)) <= 1);
            }
        }

        #[test]
        fn a_broker_that_is_quick_again_is_soon_doubted_early(takes in 0..30_000u64) {
            let mut patience = fresh();
            asked(&mut patience, ms(takes));
            for _ in 0..60 {
                patience.answered(ms(0));
            }
            prop_assert_eq!(patience.limit(), FLOOR);
        }
    }
}
