//! The figures for people, for a document, and for machines.

use std::time::Duration;

use serde_json::{Value, json};

use super::case::Case;
use super::client::Client;
use super::play::Run;

/// One line for a run that has just ended.
pub fn progress(run: &Run) -> String {
    let Run { client, case, number, first, load, .. } = run;
    let partitions = match run.back() {
        Some(_) => String::new(),
        None => format!("  ({} partitions had gone on)", first.len()),
    };
    let (lost, redelivered) = (lost(&[run]), redelivered(&[run]));
    format!(
        "{:<10} {number:>2}  {:<26}{:>7} s  lost {lost}, delivered again {redelivered}, load {load:.1}{partitions}",
        case.name(),
        client.title(),
        seconds(run),
    )
}

/// A table of all runs, by case and client.
pub fn table(runs: &[Run]) -> Vec<String> {
    let mut lines =
        vec![format!("{:<10} {:<26} {:<24} {:<6} delivered again", "case", "client", "seconds", "lost")];
    lines.extend(rows(runs).iter().map(|Row { case, client, runs }| {
        let (seconds, lost, redelivered) = (all_seconds(runs), lost(runs), redelivered(runs));
        format!("{:<10} {:<26} {seconds:<24} {lost:<6} {redelivered}", case.name(), client.title())
    }));
    lines
}

/// The same as Markdown, with what it was measured on and with.
pub fn markdown(runs: &[Run], machine: &Value, settings: &str) -> Vec<String> {
    let mut lines = vec![machine_line(machine), format!("{settings}.")];
    let rows = rows(runs);
    for of_case in rows.chunk_by(|one, next| one.case == next.case) {
        let Some(Row { case, runs, .. }) = of_case.first() else { continue };
        let limit = runs.first().map_or(0, |run| run.limit.as_secs());
        lines.extend([
            String::new(),
            format!("`{}`: {}. A run ended after {limit} s.", case.name(), case.described()),
            String::new(),
            "| client | seconds, by run | lost | delivered again, by run |".to_owned(),
            "|---|---|---|---|".to_owned(),
        ]);
        lines.extend(of_case.iter().map(|Row { client, runs, .. }| {
            let (seconds, lost, redelivered) = (all_seconds(runs), lost(runs), redelivered(runs));
            format!("| {} | {seconds} | {lost} | {redelivered} |", client.title())
        }));
    }
    lines.extend([
        String::new(),
        "| client | version | set beside bootstrap, group and topic |".to_owned(),
        "|---|---|---|".to_owned(),
    ]);
    lines.extend(
        clients(runs)
            .into_iter()
            .map(|client| format!("| {} | {} | {} |", client.title(), client.version(), client.settings())),
    );
    lines
}

/// One run as JSON; times in milliseconds.
pub fn json(run: &Run) -> Value {
    let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
    let first: serde_json::Map<String, Value> =
        run.first.iter().map(|(partition, after)| (partition.to_string(), json!(ms(*after)))).collect();
    json!({
        "client": run.client.name(),
        "version": run.client.version(),
        "settings": run.client.settings(),
        "case": run.case.name(),
        "run": run.number,
        "limit_ms": ms(run.limit),
        "back_ms": run.back().map(ms),
        "first_ms_by_partition": first,
        "acknowledged": run.counted.map(|counted| counted.acknowledged),
        "lost": run.counted.map(|counted| counted.lost),
        "redelivered": run.counted.map(|counted| counted.redelivered),
        "load_average": run.load,
    })
}

/// The runs of one client in one case.
struct Row<'a> {
    case: Case,
    client: Client,
    runs: Vec<&'a Run>,
}

fn rows(runs: &[Run]) -> Vec<Row<'_>> {
    let clients = clients(runs);
    let pairs = Case::all().iter().flat_map(|case| clients.iter().map(|client| (*case, *client)));
    let row = |(case, client)| {
        let of_it = |run: &&Run| run.case == case && run.client == client;
        Row { case, client, runs: runs.iter().filter(of_it).collect() }
    };
    pairs.map(row).filter(|row| !row.runs.is_empty()).collect()
}

/// Who was measured, in order.
fn clients(runs: &[Run]) -> Vec<Client> {
    let measured = |client: &Client| runs.iter().any(|run| run.client == *client);
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

fn all_seconds(runs: &[&Run]) -> String {
    listed(runs, seconds)
}

fn seconds(run: &Run) -> String {
    match run.back().map(|back| back.as_secs_f64()) {
        None => format!("> {}", run.limit.as_secs_f64()),
        Some(back) if back < 1.0 => format!("{back:.2}"),
        Some(back) if back < 10.0 => format!("{back:.1}"),
        Some(back) => format!("{back:.0}"),
    }
}

/// Over all runs; of one that ended before the client was back nothing can be said.
fn lost(runs: &[&Run]) -> String {
    let counted: Vec<usize> = runs.iter().filter_map(|run| run.counted).map(|counted| counted.lost).collect();
    if counted.is_empty() { "-".to_owned() } else { counted.iter().sum::<usize>().to_string() }
}

fn redelivered(runs: &[&Run]) -> String {
    listed(runs, |run| run.counted.map_or_else(|| "-".to_owned(), |counted| counted.redelivered.to_string()))
}

fn listed(runs: &[&Run], cell: impl Fn(&Run) -> String) -> String {
    runs.iter().map(|run| cell(run)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::play::Counted;
    use super::*;

    fn run(client: Client, number: usize, ms: u64, counted: Option<Counted>) -> Run {
        let partitions = if counted.is_some() { 12 } else { 5 };
        let first = (0..partitions).map(|partition| (partition, Duration::from_millis(ms))).collect();
        Run { client, case: Case::Refuse, number, limit: Duration::from_secs(30), first, counted, load: 1.5 }
    }

    fn runs() -> Vec<Run> {
        let counted = |lost, redelivered| Some(Counted { acknowledged: 9, lost, redelivered });
        vec![
            run(Client::Steadfast, 1, 41, counted(0, 0)),
            run(Client::Rskafka, 1, 7, None),
            run(Client::Steadfast, 2, 4_440, counted(1, 3)),
            run(Client::Rskafka, 2, 12_600, counted(0, 2)),
        ]
    }

    #[test]
    fn runs_of_a_client_stand_in_one_row() {
        let table = table(&runs());
        let cells: Vec<Vec<&str>> = table
            .iter()
            .map(|row| row.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect())
            .collect();
        assert_eq!(cells[1], ["refuse", "steadfast", "0.04, 4.4", "1", "0, 3"]);
        assert_eq!(cells[2], ["refuse", "rskafka, no group", "> 30, 13", "0", "-, 2"]);
    }

    #[test]
    fn a_run_that_was_ended_says_what_was_waited_for_and_counts_nothing() {
        let progress = progress(&runs()[1]);
        assert!(progress.contains("> 30 s  lost -, delivered again -"), "{progress}");
        assert!(progress.ends_with("(5 partitions had gone on)"), "{progress}");
        assert_eq!(json(&runs()[1])["back_ms"], Value::Null);
    }

    #[test]
    fn a_document_says_what_was_measured_with_what() {
        let lines = markdown(&runs(), &json!({"cores": 2, "kafka": "4.2.0"}), "settings");
        assert!(lines[0].contains("2 cores") && lines[0].contains("Apache Kafka 4.2.0"), "{}", lines[0]);
        for row in ["| steadfast | 0.04, 4.4 | 1 | 0, 3 |", "| rskafka, no group | > 30, 13 | 0 | -, 2 |"] {
            assert!(lines.iter().any(|line| line == row), "{lines:#?}");
        }
        assert!(lines.iter().any(|line| line.starts_with("| steadfast | 0.")), "{lines:#?}");
    }
}
