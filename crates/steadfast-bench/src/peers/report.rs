//! The figures for people, for a document, and for machines.

use std::time::Duration;

use serde_json::{Value, json};

use super::case::Case;
use super::client::Client;
use super::play::{Life, Move};

/// One line for a life that has just ended.
pub fn progress(life: &Life) -> String {
    let row = Row { case: life.case, client: life.client, lives: vec![life] };
    let gone_on = match life.moves.last() {
        Some(last) if last.back().is_none() => format!("  ({} partitions had gone on)", last.0.len()),
        _ => String::new(),
    };
    let each: Vec<String> = life.moves.iter().map(|one| seconds(one.back(), life.limit)).collect();
    format!(
        "{:<13} {:>2}  {:<26}{:>22} s  lost {}, delivered again {}, rebalances {}, load {:.1}{gone_on}",
        life.case.name(),
        life.number,
        life.client.title(),
        each.join(", "),
        row.lost(),
        row.redelivered(),
        row.rebalances(),
        life.load,
    )
}

/// One table of all that was measured, as Markdown, with what it was measured on and with.
pub fn markdown(lives: &[Life], machine: &Value, settings: &str) -> Vec<String> {
    let mut lines = vec![machine_line(machine), format!("{settings}.")];
    lines.extend([
        String::new(),
        "| case | client | moves | median, s | worst, s | lost | delivered again | rebalances |".to_owned(),
        "|---|---|---|---|---|---|---|---|".to_owned(),
    ]);
    lines.extend(rows(lives).iter().map(Row::line));
    lines.extend(["", "| case | what happens |", "|---|---|"].map(str::to_owned));
    let played = |case: &&Case| lives.iter().any(|life| life.case == **case);
    let cases = Case::all().iter().filter(played);
    lines.extend(cases.map(|case| format!("| `{}` | {} |", case.name(), case.described())));
    lines.extend(
        ["", "| client | version | set beside bootstrap, group and topic |", "|---|---|---|"]
            .map(str::to_owned),
    );
    let said =
        |client: Client| format!("| {} | {} | {} |", client.title(), client.version(), client.settings());
    lines.extend(clients(lives).into_iter().map(said));
    lines
}

/// What steadfast misses, in words.
pub fn missed(lives: &[Life]) -> Vec<String> {
    let ours = rows(lives).into_iter().filter(|row| row.client == Client::Steadfast);
    ours.flat_map(|row| row.missed()).collect()
}

/// One life as JSON; times in milliseconds.
pub fn json(life: &Life) -> Value {
    let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
    let by_partition = |one: &Move| -> serde_json::Map<String, Value> {
        one.0.iter().map(|(partition, after)| (partition.to_string(), json!(ms(*after)))).collect()
    };
    let moves = life
        .moves
        .iter()
        .map(|one| json!({"back_ms": one.back().map(ms), "first_ms_by_partition": by_partition(one)}));
    json!({
        "client": life.client.name(),
        "version": life.client.version(),
        "settings": life.client.settings(),
        "case": life.case.name(),
        "life": life.number,
        "limit_ms": ms(life.limit),
        "moves": moves.collect::<Vec<_>>(),
        "acknowledged": life.counted.map(|counted| counted.acknowledged),
        "lost": life.counted.map(|counted| counted.lost),
        "redelivered": life.counted.map(|counted| counted.redelivered),
        "rebalances": life.counted.and_then(|counted| counted.rejoined),
        "load_average": life.load,
    })
}

/// The lives of one client in one case.
struct Row<'a> {
    case: Case,
    client: Client,
    lives: Vec<&'a Life>,
}

impl Row<'_> {
    /// How long it took, by move; none where it was not back within the limit.
    fn times(&self) -> Vec<Option<Duration>> {
        self.lives.iter().flat_map(|life| &life.moves).map(Move::back).collect()
    }

    fn limit(&self) -> Duration {
        self.lives.iter().map(|life| life.limit).max().unwrap_or_default()
    }

    /// The middle one, and the worst: a time that was not waited for is longer than all others.
    fn median_and_worst(&self) -> (Option<Duration>, Option<Duration>) {
        let mut times = self.times();
        times.sort_by_key(|time| time.unwrap_or(Duration::MAX));
        let half = times.len() / 2;
        let middle = |at: usize| times.get(at).copied().flatten();
        let median = match times.len() {
            even if even > 0 && even % 2 == 0 => {
                middle(half - 1).zip(middle(half)).map(|(one, next)| (one + next) / 2)
            }
            _ => middle(half),
        };
        (median, times.last().copied().flatten())
    }

    fn line(&self) -> String {
        let (median, worst) = self.median_and_worst();
        let limit = self.limit();
        format!(
            "| `{}` | {} | {} | {} | {} | {} | {} | {} |",
            self.case.name(),
            self.client.title(),
            self.times().len(),
            seconds(median, limit),
            seconds(worst, limit),
            self.lost(),
            self.redelivered(),
            self.rebalances()
        )
    }

    /// Over all lives; of one that ended before the client was back nothing can be said.
    fn sum(&self, of: impl Fn(&super::play::Counted) -> Option<u64>) -> String {
        let counted: Option<Vec<u64>> =
            self.lives.iter().filter_map(|life| life.counted.as_ref()).map(of).collect();
        match counted {
            Some(counted) if !counted.is_empty() => counted.iter().sum::<u64>().to_string(),
            _ => "-".to_owned(),
        }
    }

    fn lost(&self) -> String {
        self.sum(|counted| Some(counted.lost as u64))
    }

    fn redelivered(&self) -> String {
        self.sum(|counted| Some(counted.redelivered as u64))
    }

    fn rebalances(&self) -> String {
        self.sum(|counted| counted.rejoined)
    }

    fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        let (median, worst) = self.median_and_worst();
        let limits = self.case.target().map_or((self.limit(), self.limit()), |target| target);
        for (what, found, limit) in [("median", median, limits.0), ("worst", worst, limits.1)] {
            if found.is_none_or(|found| found >= limit) {
                missed.push(format!(
                    "{what} expected under {} s, found {} s",
                    seconds(Some(limit), limit),
                    seconds(found, self.limit())
                ));
            }
        }
        let counts =
            [("lost", self.lost()), ("redelivered", self.redelivered()), ("rebalances", self.rebalances())];
        missed.extend(
            counts
                .iter()
                .filter(|(_, count)| count != "0")
                .map(|(what, count)| format!("{what}: expected 0, found {count}")),
        );
        missed.into_iter().map(|missed| format!("{}: {missed}", self.case.name())).collect()
    }
}

fn rows(lives: &[Life]) -> Vec<Row<'_>> {
    let clients = clients(lives);
    let pairs = Case::all().iter().flat_map(|case| clients.iter().map(|client| (*case, *client)));
    let row = |(case, client)| {
        let of_it = |life: &&Life| life.case == case && life.client == client;
        Row { case, client, lives: lives.iter().filter(of_it).collect() }
    };
    pairs.map(row).filter(|row| !row.lives.is_empty()).collect()
}

/// Who was measured, in order.
fn clients(lives: &[Life]) -> Vec<Client> {
    let measured = |client: &Client| lives.iter().any(|life| life.client == *client);
    Client::available().into_iter().filter(measured).collect()
}

fn machine_line(machine: &Value) -> String {
    let text = |field: &str| machine[field].as_str().unwrap_or("unknown").to_owned();
    format!(
        "{}, {} cores, {} MB; Linux {}, {}, Apache Kafka {}, {}, {} build, commit {}.",
        text("processor"),
        machine["cores"],
        machine["memory_mb"],
        text("kernel"),
        text("java"),
        text("kafka"),
        text("rustc"),
        text("profile"),
        text("commit")
    )
}

fn seconds(time: Option<Duration>, limit: Duration) -> String {
    match time.map(|time| time.as_secs_f64()) {
        None => format!("> {}", limit.as_secs_f64()),
        Some(time) if time < 1.0 => format!("{time:.3}"),
        Some(time) if time < 10.0 => format!("{time:.1}"),
        Some(time) => format!("{time:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::play::Counted;
    use super::*;

    fn life(client: Client, number: usize, ms: &[u64], lost: usize) -> Life {
        let whole =
            |ms: &u64| Move((0..12).map(|partition| (partition, Duration::from_millis(*ms))).collect());
        let rejoined = client.is_in_a_classic_group().then_some(0);
        Life {
            client,
            case: Case::Refuse,
            number,
            limit: Duration::from_secs(30),
            moves: ms.iter().map(whole).collect(),
            counted: Some(Counted { acknowledged: 9, lost, redelivered: 3 * lost, rejoined }),
            load: 1.5,
        }
    }

    fn dead() -> Life {
        let some = Move((0..5).map(|partition| (partition, Duration::from_millis(7))).collect());
        Life { moves: vec![some], counted: None, ..life(Client::Rskafka, 1, &[], 0) }
    }

    fn lives() -> Vec<Life> {
        vec![
            life(Client::Steadfast, 1, &[41, 60, 52], 0),
            dead(),
            life(Client::Steadfast, 2, &[44], 1),
            life(Client::Java848, 1, &[4_440, 12_600], 0),
        ]
    }

    #[test]
    fn all_moves_of_a_client_make_one_row() {
        let lines = markdown(&lives(), &json!({"cores": 2, "kafka": "4.2.0"}), "settings");
        assert!(lines[0].contains("2 cores") && lines[0].contains("Apache Kafka 4.2.0"), "{}", lines[0]);
        for row in [
            "| `refuse` | steadfast | 4 | 0.048 | 0.060 | 1 | 3 | 0 |",
            "| `refuse` | Java, KIP-848 | 2 | 8.5 | 13 | 0 | 0 | - |",
            "| `refuse` | rskafka, no group | 1 | > 30 | > 30 | - | - | - |",
        ] {
            assert!(lines.iter().any(|line| line == row), "{row} is not in {lines:#?}");
        }
    }

    #[test]
    fn a_life_that_was_ended_says_what_was_waited_for_and_counts_nothing() {
        let progress = progress(&dead());
        assert!(progress.contains("> 30 s  lost -, delivered again -, rebalances -"), "{progress}");
        assert!(progress.ends_with("(5 partitions had gone on)"), "{progress}");
        assert_eq!(json(&dead())["moves"][0]["back_ms"], Value::Null);
    }

    #[test]
    fn only_steadfast_is_held_against_targets() {
        assert_eq!(
            missed(&lives()),
            ["refuse: lost: expected 0, found 1", "refuse: redelivered: expected 0, found 3"]
        );
        let slow = [life(Client::Steadfast, 1, &[90, 120, 300], 0)];
        assert_eq!(
            missed(&slow),
            [
                "refuse: median expected under 0.100 s, found 0.120 s",
                "refuse: worst expected under 0.250 s, found 0.300 s"
            ]
        );
    }
}
