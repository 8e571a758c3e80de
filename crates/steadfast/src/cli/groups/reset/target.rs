//! Where a partition shall begin, and what of that is in its log.

use steadfast_core::ids::Offset;

use super::moment::Moment;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Earliest,
    Latest,
    Offset(Offset),
    Shift(i64),
    Moment(Moment),
    Current,
}

/// What is known of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) committed: Option<Offset>,
    pub(super) earliest: Offset,
    pub(super) latest: Offset,
    /// The first record that is not older than the moment.
    pub(super) at_moment: Option<Offset>,
}

/// Where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) to: Offset,
    /// What was asked for, if that is not in the log.
    pub(super) asked: Option<i64>,
}

impl Target {
    /// The offset it stands for, or the nearest one in the log.
    pub(super) fn in_log(self, known: &Known) -> Result<Moved, String> {
        let asked = match self {
            Target::Earliest => known.earliest,
            Target::Latest => known.latest,
            Target::Offset(offset) => offset,
            Target::Shift(by) => {
                let from = known.committed.ok_or("nothing is committed that could be shifted")?;
                Offset(from.0.saturating_add(by))
            }
            Target::Moment(_) => known.at_moment.unwrap_or(known.latest),
            Target::Current => known.committed.unwrap_or(known.latest),
        };
        // A log that is truncated meanwhile may end before it began.
        let to = asked.min(known.latest).max(known.earliest);
        Ok(Moved { to, asked: (to != asked).then_some(asked.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Known = Known {
        committed: Some(Offset(50)),
        earliest: Offset(10),
        latest: Offset(100),
        at_moment: Some(Offset(70)),
    };

    fn moved(target: Target, known: &Known) -> (i64, Option<i64>) {
        let moved = target.in_log(known).unwrap();
        (moved.to.0, moved.asked)
    }

    #[test]
    fn each_target_is_found_in_the_log() {
        let moment = Target::Moment("2026-11-22T05:30:00".parse().unwrap());
        for (target, to) in [
            (Target::Earliest, 10),
            (Target::Latest, 100),
            (Target::Offset(Offset(33)), 33),
            (Target::Shift(5), 55),
            (Target::Shift(-5), 45),
            (moment, 70),
            (Target::Current, 50),
        ] {
            assert_eq!(moved(target, &KNOWN), (to, None), "{target:?}");
        }
        let later = Known { at_moment: None, ..KNOWN };
        assert_eq!(moved(moment, &later), (100, None), "no record is that late");
    }

    #[test]
    fn what_is_not_in_the_log_becomes_the_nearest_that_is_and_is_said() {
        for (target, to, asked) in [
            (Target::Offset(Offset(3)), 10, 3),
            (Target::Offset(Offset(101)), 100, 101),
            (Target::Shift(-1_000), 10, -950),
            (Target::Shift(i64::MAX), 100, i64::MAX),
            (Target::Shift(i64::MIN), 10, i64::MIN + 50),
        ] {
            assert_eq!(moved(target, &KNOWN), (to, Some(asked)), "{target:?}");
        }
        let gone = Known { committed: Some(Offset(3)), ..KNOWN };
        assert_eq!(moved(Target::Current, &gone), (10, Some(3)));
    }

    #[test]
    fn where_nothing_is_committed_current_is_the_end_and_nothing_can_be_shifted() {
        let fresh = Known { committed: None, ..KNOWN };
        assert_eq!(moved(Target::Current, &fresh), (100, None));
        assert!(Target::Shift(1).in_log(&fresh).unwrap_err().contains("nothing is committed"));
    }
}
