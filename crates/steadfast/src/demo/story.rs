//! The story of a run, as a person reads it.

use std::time::Duration;

use super::outcome::{Outcome, Phases};
use super::plan::Plan;
use super::seen::{Move, Seen};
use super::timeline::{self, Moment};

/// Partitions in one row of the table.
const COLUMNS: usize = 12;
/// Where the text of the timeline begins.
const INDENT: &str = "             ";

/// The whole story, in lines.
pub(crate) fn lines(seen: &Seen, outcome: &Outcome) -> Vec<String> {
    let zero = seen.moved.as_ref().map(|moved| moved.at).unwrap_or_default();
    let mut lines = opening(&seen.plan, seen.moved.as_ref());
    lines.push(String::new());
    lines.extend(timeline::moments(seen, outcome).iter().flat_map(|moment| moment_lines(moment, zero)));
    if let Some(phases) = &outcome.phases {
        lines.push(String::new());
        lines.push(format!("The respawn, as steadfast measured it: {}", phases_line(phases)));
    }
    lines.extend(by_partition(outcome));
    lines.push(String::new());
    lines.extend(proof(outcome));
    lines
}

fn opening(plan: &Plan, moved: Option<&Move>) -> Vec<String> {
    let mut lines = vec![
        "Every endpoint of a cluster moves while steadfast consumes from it.".to_owned(),
        String::new(),
        format!(
            "{}, {}, {} records at {} a second, to each partition one every {} ms.",
            count(plan.brokers, "broker"),
            count(plan.partitions, "partition"),
            plan.records,
            plan.rate,
            millis(plan.beat())
        ),
    ];
    if let Some(moved) = moved {
        let bootstrap = &moved.bootstrap;
        lines.extend([
            format!("The bootstrap address {bootstrap} stays, as a DNS name or a load balancer does."),
            "The producer has listeners of its own, which stay: only the consumer is put to the test."
                .to_owned(),
        ]);
    }
    lines
}

fn count(number: i32, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn moment_lines(moment: &Moment, zero: Duration) -> Vec<String> {
    let after = seconds(moment.at, zero);
    let first = format!("{after:>9} s  {}", moment.text);
    let more = moment.more.iter().map(|more| format!("{INDENT}{more}"));
    std::iter::once(first).chain(more).collect()
}

/// The time from `zero` to `at` in seconds, signed.
fn seconds(at: Duration, zero: Duration) -> String {
    match at.checked_sub(zero) {
        Some(after) => format!("+{:.3}", after.as_secs_f64()),
        None => format!("-{:.3}", zero.saturating_sub(at).as_secs_f64()),
    }
}

/// A time in milliseconds, short.
pub(crate) fn millis(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 9.95 { format!("{ms:.1}") } else { format!("{ms:.0}") }
}

fn phases_line(phases: &Phases) -> String {
    let named = phases.named();
    let each: Vec<String> =
        named.iter().map(|(name, _, length)| format!("{name} {}", millis(*length))).collect();
    format!("{} ms", each.join(", "))
}

fn by_partition(outcome: &Outcome) -> Vec<String> {
    let awaited: Vec<i32> = outcome.written_after.iter().copied().collect();
    if awaited.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![
        String::new(),
        "The first record written after the move, by partition, in ms from the move:".to_owned(),
    ];
    for row in awaited.chunks(COLUMNS) {
        let cells =
            |of: &dyn Fn(&i32) -> String| row.iter().map(|one| format!("{:>6}", of(one))).collect::<String>();
        lines.push(format!("  partition {}", cells(&|one| one.to_string())));
        let time =
            |one: &i32| outcome.resumed.get(one).map_or_else(|| "never".to_owned(), |after| millis(*after));
        lines.push(format!("  ms        {}", cells(&time)));
    }
    lines
}

fn proof(outcome: &Outcome) -> Vec<String> {
    let Outcome { produced, consumed, lost, redelivered, rebalances, respawns, disordered, .. } = *outcome;
    let respawns = match respawns {
        0 => "no respawn".to_owned(),
        1 => "one respawn".to_owned(),
        many => format!("{many} respawns"),
    };
    let disordered = if disordered == 0 { String::new() } else { format!(", out of order {disordered}") };
    let mut lines = vec![format!(
        "produced {produced}, consumed {consumed}, lost {lost}, redelivered {redelivered}, \
         rebalances {rebalances}{disordered}, {respawns}"
    )];
    lines.extend(outcome.trouble.iter().map(|trouble| format!("trouble: {trouble}")));
    lines.push(verdict(outcome));
    lines
}

fn verdict(outcome: &Outcome) -> String {
    match outcome.recovery {
        Some(recovery) if outcome.holds() => {
            format!("It kept its place: every partition flowed again {} ms after the move.", millis(recovery))
        }
        None if outcome.holds() => "It kept its place. Nothing was written after the move.".to_owned(),
        Some(recovery) => {
            let recovery = millis(recovery);
            format!("IT DID NOT KEEP ITS PLACE, though every partition flowed again after {recovery} ms.")
        }
        None if outcome.written_after.is_empty() => "It was not played to its end.".to_owned(),
        None => {
            let (back, awaited) = (outcome.resumed.len(), outcome.written_after.len());
            format!("IT DID NOT KEEP ITS PLACE: {back} of {awaited} partitions flowed again.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::sample::{self, ms};

    fn told(seen: &Seen) -> String {
        lines(seen, &Outcome::of(seen)).join("\n")
    }

    #[test]
    fn a_recovery_is_a_story_that_ends_well() {
        let expected = "\
Every endpoint of a cluster moves while steadfast consumes from it.

2 brokers, 2 partitions, 8 records at 1000 a second, to each partition one every 2.0 ms.
The bootstrap address 127.0.0.1:4100 stays, as a DNS name or a load balancer does.
The producer has listeners of its own, which stay: only the consumer is put to the test.

   -0.098 s  2 partitions flow to steadfast, the group's only member
   +0.000 s  both brokers move: the old ports refuse, connections that stand are reset
             broker 0  127.0.0.1:4000 -> :5000
             broker 1  127.0.0.1:4001 -> :5001
   +0.004 s  noticed: broker 1, Fetch to 127.0.0.1:4001: Connection reset by peer
             and 1 more sign like it in 1 ms
   +0.020 s  agreed: 2 of 2 brokers, asked at their new addresses, say the same
   +0.021 s  decided: 2 endpoints changed, score 1.00 over 0.5: respawn
   +0.035 s  prepared: a new consumer is connected to the new addresses, beside the old one
   +0.035 s  handed over: 2 partitions, each goes on at the offset where it was
   +0.041 s  the first record written since is delivered, on partition 0
   +0.052 s  both partitions flow again
   +0.053 s  the last record is delivered

The respawn, as steadfast measured it: detect 1.0, discover 15, verify 14, handover 0.5, first record 15 ms

The first record written after the move, by partition, in ms from the move:
  partition      0     1
  ms            41    52

produced 8, consumed 8, lost 0, redelivered 0, rebalances 0, one respawn
It kept its place: every partition flowed again 52 ms after the move.";
        assert_eq!(told(&sample::clean()), expected);
    }

    #[test]
    fn a_partition_that_never_came_back_is_named_and_the_verdict_is_loud() {
        let mut seen = sample::clean();
        seen.deliveries.retain(|delivery| delivery.mark.partition == 0 || delivery.at < ms(1_000));
        seen.trouble.push("the service did not end".to_owned());
        let told = told(&seen);
        for part in [
            "  ms            41 never\n",
            "produced 8, consumed 6, lost 2,",
            "\ntrouble: the service did not end\n",
            "IT DID NOT KEEP ITS PLACE: 1 of 2 partitions flowed again.",
        ] {
            assert!(told.contains(part), "{part:?} is not in\n{told}");
        }
    }

    #[test]
    fn a_story_without_a_move_is_told_from_the_begin() {
        let mut seen = sample::clean();
        seen.moved = None;
        seen.trouble.push("nothing moved".to_owned());
        let told = told(&seen);
        assert!(told.contains("   +0.902 s  2 partitions flow") && !told.contains("bootstrap"), "{told}");
        assert!(told.ends_with("\ntrouble: nothing moved\nIt was not played to its end."), "{told}");
    }
}
