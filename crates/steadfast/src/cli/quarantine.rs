//! `steadfast quarantine`: which partitions stand still, and letting them go on.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::run::load;
use super::{Exit, QuarantineCommand, ReleaseArgs};
use crate::control_socket::{Answer, LIMIT, NAME, Request, Row};
use crate::service::state_directory;

/// The longest answer that is read: many partitions with long reasons.
const MOST_BYTES: u64 = 64 << 20;

/// Runs the command.
pub fn quarantine(command: &QuarantineCommand) -> Exit {
    let (args, request, output) = match command {
        QuarantineCommand::List(args) => (&args.config, Request::List, args.output),
        QuarantineCommand::Release(args) => (&args.config, release(args), args.output),
    };
    let directory = match load(args) {
        Ok((config, _)) => state_directory(&config),
        Err(error) => {
            eprintln!("{error}");
            return Exit::Configuration;
        }
    };
    let answer = match ask(&directory.join(NAME), &request) {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("steadfast is not running here: {}: {error}", directory.join(NAME).display());
            return Exit::Unreachable;
        }
    };
    if let Some(error) = &answer.error {
        eprintln!("{error}");
        return Exit::Internal;
    }
    output.print(&answer, |answer| table(&request, answer));
    if answer.not_quarantined.is_empty() { Exit::Fine } else { Exit::Found }
}

fn release(args: &ReleaseArgs) -> Request {
    Request::Release { partitions: (!args.all).then(|| args.partitions.iter().cloned().collect()) }
}

fn ask(path: &Path, request: &Request) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(MOST_BYTES)).read_until(b'\n', &mut answer)?;
    Ok(serde_json::from_slice(&answer)?)
}

fn table(request: &Request, answer: &Answer) -> String {
    let (heading, empty) = match request {
        Request::List => ("in quarantine", "no partition is in quarantine\n"),
        Request::Release { .. } => ("released", "nothing was released\n"),
    };
    let mut text = match answer.partitions.is_empty() {
        true => empty.to_owned(),
        false => format!("{heading}:\n"),
    };
    for Row { topic, partition, offset, since, failures, reason } in &answer.partitions {
        text += &format!(
            "  {topic}/{partition}  at {offset}  since {since}  after {failures} failures  {reason}\n"
        );
    }
    for name in &answer.not_quarantined {
        text += &format!("  {name} is not in quarantine here\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_where_and_why_and_since_when() {
        let row = Row {
            topic: "orders".to_owned(),
            partition: 3,
            offset: 7,
            since: "2026-01-02T03:04:05.678Z".to_owned(),
            failures: 10,
            reason: "no good".to_owned(),
        };
        let answer = Answer { partitions: vec![row], not_quarantined: vec!["orders/4".into()], error: None };
        assert_eq!(
            table(&Request::Release { partitions: None }, &answer),
            "released:\n  orders/3  at 7  since 2026-01-02T03:04:05.678Z  after 10 failures  no good\n  \
             orders/4 is not in quarantine here\n"
        );
        assert_eq!(table(&Request::List, &Answer::default()), "no partition is in quarantine\n");
    }

    #[test]
    fn a_service_that_does_not_run_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(
            ask(&directory.path().join(NAME), &Request::List).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
