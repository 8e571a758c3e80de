//! What came of one scenario.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::row::Evidence;
use crate::drill::expected::seconds;

/// What was seen of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Played {
    /// How long it took until all were back; none: it was not waited for any longer.
    pub(super) recovery: Option<Duration>,
    /// How long it may have taken.
    pub(super) limit: Duration,
    pub(super) evidence: Evidence,
    /// What is still missing, in words.
    pub(super) missing: Option<String>,
    /// Records that never came, although later ones of their partition did.
    pub(super) gap: u64,
    /// Why that is not known of all offsets.
    pub(super) unknown: Option<String>,
    pub(super) redelivered: u64,
    pub(super) respawns: usize,
    /// How many it may have been.
    pub(super) expected: RangeInclusive<usize>,
    /// How often it asked to join its group again.
    pub(super) rebalances: u64,
}

impl Played {
    /// What is not as it should be, in words; empty when all is.
    pub(super) fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        match self.recovery {
            None => {
                let missing = self.missing.as_deref().unwrap_or("it is not told what is missing");
                complaints.push(format!("it did not come back: {missing}"));
            }
            Some(recovery) if recovery > self.limit => complaints.push(format!(
                "recovery took {}, at most {} expected",
                seconds(recovery),
                seconds(self.limit)
            )),
            Some(_) => {}
        }
        if let Some(unknown) = &self.unknown {
            complaints.push(format!("it is not known what was left out: {unknown}"));
        }
        let counted = [
            ("records left out", self.gap != 0, self.gap.to_string()),
            ("records redelivered", self.redelivered != 0, self.redelivered.to_string()),
            ("joins of the group", self.rebalances != 0, self.rebalances.to_string()),
        ];
        complaints.extend(
            counted.into_iter().filter(|counted| counted.1).map(|(what, _, count)| format!("{count} {what}")),
        );
        if !self.expected.contains(&self.respawns) {
            complaints.push(format!("{} respawns, expected {}", self.respawns, range(&self.expected)));
        }
        complaints
    }
}

fn range(expected: &RangeInclusive<usize>) -> String {
    if expected.start() == expected.end() {
        expected.start().to_string()
    } else {
        format!("{} to {}", expected.start(), expected.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played() -> Played {
        Played {
            recovery: Some(Duration::from_millis(40)),
            evidence: Evidence::Answers,
            missing: None,
            limit: Duration::from_secs(1),
            gap: 0,
            unknown: None,
            redelivered: 0,
            respawns: 1,
            expected: 1..=1,
            rebalances: 0,
        }
    }

    #[test]
    fn whoever_comes_back_at_the_expected_price_gives_no_reason_to_complain() {
        assert_eq!(played().complaints(), Vec::<String>::new());
        assert_eq!(Played { respawns: 2, expected: 0..=3, ..played() }.complaints(), Vec::<String>::new());
    }

    #[test]
    fn who_comes_back_late_failed() {
        let late = Played { recovery: Some(Duration::from_millis(4600)), ..played() };
        assert_eq!(late.complaints(), ["recovery took 4.6 s, at most 1.0 s expected"]);
    }

    #[test]
    fn every_fault_is_named() {
        let bad = Played { recovery: None, gap: 3, redelivered: 2, respawns: 4, rebalances: 1, ..played() };
        let bad =
            Played { missing: Some("broker 2".to_owned()), unknown: Some("no leader".to_owned()), ..bad };
        assert_eq!(
            bad.complaints(),
            [
                "it did not come back: broker 2",
                "it is not known what was left out: no leader",
                "3 records left out",
                "2 records redelivered",
                "1 joins of the group",
                "4 respawns, expected 1"
            ]
        );
    }
}
