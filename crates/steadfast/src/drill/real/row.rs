//! One line of the table.

use std::time::Duration;

use serde::Serialize;

use super::played::Played;

/// How a scenario went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All was as it should be.
    Passed,
    /// Something was not.
    Failed,
    /// It cannot be played here.
    Skipped,
}

/// What shows that a partition is back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// The first record of every partition in which records flowed before, and its leader's first answer to a fetch.
    Records,
    /// The leaders' first answers to fetches: no records flowed.
    Answers,
}

/// One scenario on the user's own cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The scenario's name.
    pub name: &'static str,
    /// How it went.
    pub result: Verdict,
    /// What was not as it should be, each in words; or why nothing was played.
    pub why: Vec<String>,
    /// From the last move, or from the end of the old addresses where they went on at first, until the last partition was
    /// back, in milliseconds. None when it was not, or nothing was played.
    pub recovery_ms: Option<u64>,
    /// What shows that it was back.
    pub evidence: Option<Evidence>,
    /// Offsets that respawns skipped.
    pub gap: i64,
    /// Records that came twice.
    pub redelivered: u64,
    /// Respawns because of drift.
    pub respawns: usize,
    /// Rebalances after the first join.
    pub rebalances: usize,
}

impl Row {
    pub(super) fn of(name: &'static str, played: &Played) -> Row {
        let why = played.complaints();
        Row {
            name,
            result: if why.is_empty() { Verdict::Passed } else { Verdict::Failed },
            why,
            recovery_ms: played.recovery.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            evidence: Some(played.evidence),
            gap: played.gap,
            redelivered: played.redelivered,
            respawns: played.respawns,
            rebalances: played.rebalances,
        }
    }

    pub(super) fn failed(name: &'static str, why: String) -> Row {
        Row { result: Verdict::Failed, ..Row::skipped(name, why) }
    }

    pub(super) fn skipped(name: &'static str, why: String) -> Row {
        Row {
            name,
            result: Verdict::Skipped,
            why: vec![why],
            recovery_ms: None,
            evidence: None,
            gap: 0,
            redelivered: 0,
            respawns: 0,
            rebalances: 0,
        }
    }

    /// The same, and the service did not end as it should if `complaint` says so.
    pub(super) fn with_end(mut self, complaint: Option<String>) -> Row {
        if let Some(complaint) = complaint {
            self.result = Verdict::Failed;
            self.why.push(complaint);
        }
        self
    }

    /// The line above rows.
    pub fn heading() -> String {
        columns(["scenario", "verdict", "recovery", "until", "gap", "redelivered", "respawns", "rebalances"])
    }

    /// The row as text; what is wrong stands in lines below it.
    pub fn text(&self) -> String {
        let verdict = match self.result {
            Verdict::Passed => "passed",
            Verdict::Failed => "FAILED",
            Verdict::Skipped => "skipped",
        };
        let recovery = self.recovery_ms.map_or("-".to_owned(), |ms| seconds(Duration::from_millis(ms)));
        let until = match self.evidence {
            Some(Evidence::Records) => "record",
            Some(Evidence::Answers) => "answer",
            None => "-",
        };
        let (gap, redelivered) = (self.gap.to_string(), self.redelivered.to_string());
        let (respawns, rebalances) = (self.respawns.to_string(), self.rebalances.to_string());
        let mut text =
            columns([self.name, verdict, &recovery, until, &gap, &redelivered, &respawns, &rebalances]);
        for why in &self.why {
            text += &format!("\n    {why}");
        }
        text
    }
}

fn columns([name, verdict, recovery, until, gap, redelivered, respawns, rebalances]: [&str; 8]) -> String {
    format!(
        "{name:<18}  {verdict:<7}  {recovery:>9}  {until:<6}  {gap:>5}  {redelivered:>11}  {respawns:>8}  {rebalances:>10}"
    )
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_figures_under_the_heading_and_what_is_wrong_below() {
        let row = Row {
            result: Verdict::Passed,
            why: Vec::new(),
            recovery_ms: Some(41),
            evidence: Some(Evidence::Answers),
            respawns: 1,
            ..Row::skipped("grace", String::new())
        };
        let (heading, line) = (Row::heading(), row.text());
        let ends = |name: &str| heading.find(name).unwrap() + name.len();
        for (name, figure) in [("recovery", "0.041 s"), ("respawns", " 1"), ("rebalances", " 0")] {
            assert!(line[..ends(name)].ends_with(figure), "{name} in\n{heading}\n{line}");
        }
        let failed = row.with_end(Some("the service did not end".to_owned()));
        assert_eq!(failed.result, Verdict::Failed);
        assert!(failed.text().ends_with("\n    the service did not end"));
    }
}
