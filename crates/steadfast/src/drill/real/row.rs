//! One line of the table.

use std::time::Duration;

use serde::Serialize;

use super::played::Played;
use crate::drill::expected::seconds;
use crate::drill::verdict::Verdict;

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
    /// How long that may have taken, under the policy and to brokers as far away as these. None when nothing was played.
    pub limit_ms: Option<u64>,
    /// What shows that it was back.
    pub evidence: Option<Evidence>,
    /// Records that never came, although later ones of their partition did.
    pub gap: u64,
    /// Records that came twice.
    pub redelivered: u64,
    /// Respawns because of drift.
    pub respawns: usize,
    /// How often it asked to join its group after the first time, by the requests that the proxy saw.
    pub rebalances: u64,
}

impl Row {
    pub(super) fn of(name: &'static str, played: &Played) -> Row {
        let why = played.complaints();
        Row {
            name,
            result: Verdict::of(&why),
            why,
            recovery_ms: played.recovery.map(millis),
            limit_ms: Some(millis(played.limit)),
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
            limit_ms: None,
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
        columns([
            "scenario",
            "verdict",
            "recovery",
            "limit",
            "until",
            "gap",
            "redelivered",
            "respawns",
            "rebalances",
        ])
    }

    /// The row as text; what is wrong stands in lines below it.
    pub fn text(&self) -> String {
        let time = |ms: Option<u64>| ms.map_or("-".to_owned(), |ms| seconds(Duration::from_millis(ms)));
        let (verdict, recovery, limit) = (self.result.text(), time(self.recovery_ms), time(self.limit_ms));
        let until = match self.evidence {
            Some(Evidence::Records) => "record",
            Some(Evidence::Answers) => "answer",
            None => "-",
        };
        let (gap, redelivered) = (self.gap.to_string(), self.redelivered.to_string());
        let (respawns, rebalances) = (self.respawns.to_string(), self.rebalances.to_string());
        let counted = [&gap, &redelivered, &respawns, &rebalances].map(String::as_str);
        let [gap, redelivered, respawns, rebalances] = counted;
        let mut text =
            columns([self.name, verdict, &recovery, &limit, until, gap, redelivered, respawns, rebalances]);
        for why in &self.why {
            text += &format!("\n    {why}");
        }
        text
    }
}

fn columns(columns: [&str; 9]) -> String {
    let [name, verdict, recovery, limit, until, gap, redelivered, respawns, rebalances] = columns;
    format!(
        "{name:<18}  {verdict:<7}  {recovery:>9}  {limit:>6}  {until:<6}  {gap:>5}  {redelivered:>11}  {respawns:>8}  \
         {rebalances:>10}"
    )
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
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
            limit_ms: Some(1250),
            evidence: Some(Evidence::Answers),
            respawns: 1,
            ..Row::skipped("grace", String::new())
        };
        let (heading, line) = (Row::heading(), row.text());
        let ends = |name: &str| heading.find(name).unwrap() + name.len();
        for (name, figure) in
            [("recovery", "41 ms"), ("limit", "1.2 s"), ("respawns", " 1"), ("rebalances", " 0")]
        {
            assert!(line[..ends(name)].ends_with(figure), "{name} in\n{heading}\n{line}");
        }
        let failed = row.with_end(Some("the service did not end".to_owned()));
        assert_eq!(failed.result, Verdict::Failed);
        assert!(failed.text().ends_with("\n    the service did not end"));
    }
}
