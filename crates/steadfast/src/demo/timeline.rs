//! What happened when, each in a line: from what the service told, what the sink was given and who moved.

use std::time::Duration;

use steadfast_core::endpoints::view::Address;

use super::outcome::Outcome;
use super::plan::Mode;
use super::seen::{Move, Seen, Told};
use crate::events::Event;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    /// When, from the demo's begin.
    pub(crate) at: Duration,
    /// What.
    pub(crate) text: String,
    /// More of it, each in a line of its own.
    pub(crate) more: Vec<String>,
}

/// Of what a healthy run does not tell, at most so many are told one by one.
const MOST_ODDITIES: usize = 12;

/// Everything of note, in order.
pub(crate) fn moments(seen: &Seen, outcome: &Outcome) -> Vec<Moment> {
    let mut moments: Vec<Moment> = flow(seen).into_iter().chain(odd(seen)).collect();
    if let Some(moved) = &seen.moved {
        moments.push(all_move(seen, moved));
        moments.extend(noticed(seen, moved));
        moments.extend(agreed(seen, moved));
        moments.extend(decided(seen));
        moments.extend(prepared(outcome));
        moments.extend(handed_over(seen, outcome));
        moments.extend(resumed(moved, outcome));
    }
    moments.extend(end(seen));
    moments.sort_by_key(|moment| moment.at);
    moments
}

fn moment(at: Duration, text: impl Into<String>) -> Moment {
    Moment { at, text: text.into(), more: Vec::new() }
}

/// When the last partition's first record was delivered.
fn flow(seen: &Seen) -> Option<Moment> {
    let mut first = std::collections::BTreeMap::new();
    for delivery in &seen.deliveries {
        first.entry(delivery.mark.partition).or_insert(delivery.at);
    }
    let at = *first.values().max()?;
    Some(moment(at, format!("{} flow to steadfast, the group's only member", partitions(first.len()))))
}

fn all_move(seen: &Seen, moved: &Move) -> Moment {
    let who = match moved.from.len() {
        1 => "the only broker moves".to_owned(),
        2 => "both brokers move".to_owned(),
        many => format!("all {many} brokers move"),
    };
    let old = match seen.plan.mode {
        Mode::Refused => "the old ports refuse, connections that stand are reset",
        Mode::Blackhole => "the old ports and the connections that stand stay open, and silent",
    };
    let paths = moved.from.iter().filter_map(|(node, from)| {
        let to = moved.to.get(node)?;
        Some(format!("broker {node}  {from} -> {}", elsewhere(from, to)))
    });
    Moment { at: moved.at, text: format!("{who}: {old}"), more: paths.collect() }
}

/// The new address, its host only if that is another.
fn elsewhere(from: &Address, to: &Address) -> String {
    if from.host == to.host { format!(":{}", to.port) } else { to.to_string() }
}

fn after_move<'a>(seen: &'a Seen, moved: &Move) -> impl Iterator<Item = &'a Told> {
    let at = moved.at;
    seen.told.iter().filter(move |told| told.at >= at)
}

fn noticed(seen: &Seen, moved: &Move) -> Option<Moment> {
    let mut reasons = after_move(seen, moved).filter_map(|told| match &told.event {
        Event::EndpointSuspected { reason, node, .. } => Some((told.at, reason, *node)),
        _ => None,
    });
    let (at, reason, node) = reasons.next()?;
    let whose = node.map(|node| format!("broker {node}, ")).unwrap_or_default();
    let mut noticed = moment(at, format!("noticed: {whose}{}", plain(reason)));
    let more: Vec<Duration> = reasons.map(|(at, ..)| at).collect();
    if let Some(last) = more.last() {
        let span = last.saturating_sub(at).as_secs_f64() * 1e3;
        let signs = if more.len() == 1 { "sign" } else { "signs" };
        noticed.more.push(format!("and {} more {signs} like it in {span:.0} ms", more.len()));
    }
    Some(noticed)
}

/// A reason without what says nothing to a person.
fn plain(reason: &str) -> String {
    let reason = reason.replace("the connection is closed: ", "");
    match reason.split_once(" (os error") {
        Some((said, _)) => said.to_owned(),
        None => reason,
    }
}

fn agreed(seen: &Seen, moved: &Move) -> Option<Moment> {
    after_move(seen, moved).find_map(|told| match &told.event {
        Event::ViewAgreed { endpoints, support, electorate, .. } if *endpoints == moved.to => Some(moment(
            told.at,
            format!("agreed: {support} of {electorate} brokers, asked at their new addresses, say the same"),
        )),
        _ => None,
    })
}

fn decided(seen: &Seen) -> Option<Moment> {
    seen.told.iter().find_map(|told| match &told.event {
        Event::EndpointDrifted { changes, score, threshold, action } => Some(moment(
            told.at,
            format!(
                "decided: {} endpoints changed, score {score:.2} over {threshold}: {action}",
                changes.len()
            ),
        )),
        _ => None,
    })
}

fn prepared(outcome: &Outcome) -> Option<Moment> {
    let phases = outcome.phases?;
    let (_, at, _) = phases.named().into_iter().find(|(name, ..)| *name == "handover")?;
    Some(moment(at, "prepared: a new consumer is connected to the new addresses, beside the old one"))
}

fn handed_over(seen: &Seen, outcome: &Outcome) -> Option<Moment> {
    let phases = outcome.phases?;
    let (_, begin, length) = phases.named().into_iter().find(|(name, ..)| *name == "handover")?;
    let resumed = seen.told.iter().filter_map(|told| match &told.event {
        Event::PartitionResumed { before, after, .. } => Some(before == after),
        _ => None,
    });
    let (same, other): (Vec<bool>, Vec<bool>) = resumed.partition(|same| *same);
    let place = match other.len() {
        0 => "each goes on at the offset where it was".to_owned(),
        other => format!("{other} NOT at the offset where they were"),
    };
    let all = partitions(same.len() + other.len());
    Some(moment(begin + length, format!("handed over: {all}, {place}")))
}

fn resumed(moved: &Move, outcome: &Outcome) -> Vec<Moment> {
    let first = outcome.resumed.iter().min_by_key(|(_, after)| **after);
    let first = first.map(|(partition, after)| {
        moment(
            moved.at + *after,
            format!("the first record written since is delivered, on partition {partition}"),
        )
    });
    let every = outcome.recovery.map(|after| {
        let all = match outcome.written_after.len() {
            1 => "the only partition flows again".to_owned(),
            2 => "both partitions flow again".to_owned(),
            many => format!("all {many} partitions flow again"),
        };
        moment(moved.at + after, all)
    });
    first.into_iter().chain(every).collect()
}

fn end(seen: &Seen) -> Option<Moment> {
    let last = seen.deliveries.last()?;
    Some(moment(last.at, "the last record is delivered"))
}

/// What a healthy run does not tell.
fn odd(seen: &Seen) -> Vec<Moment> {
    let mut rounds = 0;
    let mut odd: Vec<Moment> = Vec::new();
    for told in &seen.told {
        let is_odd = match &told.event {
            Event::GroupRebalanced { .. } => {
                rounds += 1;
                rounds > 1
            }
            Event::ConsumerRespawned { reason, .. } => *reason == "crash",
            event => is_odd(event),
        };
        if is_odd {
            odd.push(moment(told.at, told.event.message()));
        }
    }
    let left = odd.len().saturating_sub(MOST_ODDITIES);
    odd.truncate(MOST_ODDITIES);
    if let Some(last) = odd.last_mut().filter(|_| left > 0) {
        last.more.push(format!("and {left} more such events"));
    }
    odd
}

fn is_odd(event: &Event) -> bool {
    match event {
        Event::WitnessFailed { .. }
        | Event::PartitionStalled { .. }
        | Event::PartitionsLost { .. }
        | Event::CheckpointFailed { .. }
        | Event::ActorRestarted { .. }
        | Event::ActorFailed { .. }
        | Event::BatchReturned { .. }
        | Event::RecordsRedelivered { .. }
        | Event::PartitionQuarantined { .. }
        | Event::SinkUnavailable { .. }
        | Event::SinkRecovered { .. }
        | Event::RecordDeadLettered { .. }
        | Event::DeadLettersUnavailable { .. }
        | Event::PartitionReleased { .. }
        | Event::PartitionUndecodable { .. }
        | Event::PartitionRefused { .. }
        | Event::OffsetsOutOfRange { .. }
        | Event::ClusterRegressed { .. }
        | Event::TopicRecreated { .. }
        | Event::ServiceDegraded { .. }
        | Event::ServiceRecovered { .. }
        | Event::RespawnBudgetSpent { .. }
        | Event::MemberRefused { .. }
        | Event::AuthenticationFailed { .. }
        | Event::TlsFailed { .. }
        | Event::ConnectionReplaced { .. }
        | Event::ConfigReloaded { .. }
        | Event::ConfigRejected { .. } => true,
        // Told of in other lines, or part of every run.
        Event::ServiceStarted { .. }
        | Event::HttpListening { .. }
        | Event::ViewAgreed { .. }
        | Event::EndpointSuspected { .. }
        | Event::EndpointDrifted { .. }
        | Event::ConsumerRespawned { .. }
        | Event::PartitionResumed { .. }
        | Event::PartitionsAssigned { .. }
        | Event::PartitionStarted { .. }
        | Event::PartitionsRevoked { .. }
        | Event::GroupRebalanced { .. }
        | Event::GroupRebalanceCompleted { .. }
        | Event::GroupAdvised { .. }
        | Event::CheckpointCommitted { .. }
        | Event::ServiceStopped { .. } => false,
    }
}

fn partitions(count: usize) -> String {
    match count {
        1 => "1 partition".to_owned(),
        many => format!("{many} partitions"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::sample::{self, ms, rebalanced, told};

    fn lines(seen: &Seen) -> Vec<(u128, String)> {
        let moments = moments(seen, &Outcome::of(seen));
        moments.into_iter().map(|moment| (moment.at.as_millis(), moment.text)).collect()
    }

    #[test]
    fn a_recovery_is_told_in_its_order() {
        let expected = [
            (902, "2 partitions flow to steadfast, the group's only member"),
            (1_000, "both brokers move: the old ports refuse, connections that stand are reset"),
            (1_004, "noticed: broker 1, Fetch to 127.0.0.1:4001: Connection reset by peer"),
            (1_020, "agreed: 2 of 2 brokers, asked at their new addresses, say the same"),
            (1_021, "decided: 2 endpoints changed, score 1.00 over 0.5: respawn"),
            (1_034, "prepared: a new consumer is connected to the new addresses, beside the old one"),
            (1_035, "handed over: 2 partitions, each goes on at the offset where it was"),
            (1_041, "the first record written since is delivered, on partition 0"),
            (1_052, "both partitions flow again"),
            (1_053, "the last record is delivered"),
        ];
        assert_eq!(lines(&sample::clean()), expected.map(|(at, text)| (at, text.to_owned())));
    }

    #[test]
    fn who_moved_where_stands_under_the_move_and_more_signs_under_the_first() {
        let seen = sample::clean();
        let moments = moments(&seen, &Outcome::of(&seen));
        assert_eq!(
            moments[1].more,
            ["broker 0  127.0.0.1:4000 -> :5000", "broker 1  127.0.0.1:4001 -> :5001"]
        );
        assert_eq!(moments[2].more, ["and 1 more sign like it in 1 ms"]);
    }

    #[test]
    fn what_a_healthy_run_does_not_tell_is_told_too() {
        let mut seen = sample::clean();
        seen.told.push(rebalanced(1_400));
        let missing = vec!["no broker answers".to_owned()];
        seen.told.push(told(1_300, Event::ServiceDegraded { missing }));
        let told: Vec<String> = lines(&seen).into_iter().skip(10).map(|(_, text)| text).collect();
        assert_eq!(told, ["degraded: no broker answers", "generation 1 of the group stands (first join)"]);
    }

    #[test]
    fn a_run_in_which_nothing_happened_has_no_moments() {
        let seen = Seen { acked: vec![], deliveries: vec![], told: vec![], moved: None, ..sample::clean() };
        assert_eq!(lines(&seen), []);
    }

    #[test]
    fn oddities_without_end_are_cut() {
        let mut seen = sample::clean();
        for at in 0..100 {
            seen.told.push(told(2_000 + at, Event::ServiceRecovered { degraded_ms: 1.0 }));
        }
        let moments = moments(&seen, &Outcome::of(&seen));
        assert_eq!(moments.len(), 10 + MOST_ODDITIES);
        assert_eq!(moments.last().unwrap().more, ["and 88 more such events"]);
        assert!(moments.iter().all(|moment| moment.at < ms(2_100)));
    }
}
