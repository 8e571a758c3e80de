//! Asks once, or again and again for somebody who watches.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::HowArgs;
use super::asker::{Asker, Failure};
use crate::cli::Output;
use crate::config::Config;
use crate::exit::Exit;

/// To the upper left corner.
const HOME: &str = "\x1b[H";
/// Away with everything, once.
const CLEAR: &str = "\x1b[2J";
/// Away with the rest of a line.
const LINE: &str = "\x1b[K\n";
/// Away with what is below.
const REST: &str = "\x1b[J";

/// Asks as often as `how` says, and tells what was found. `exit` is that of what was found last.
pub(super) async fn repeat<T: Serialize>(
    how: &HowArgs,
    config: Arc<Config>,
    mut ask: impl AsyncFnMut(&mut Asker) -> Result<T, Failure>,
    text: impl Fn(&T) -> String,
    exit: impl Fn(&T) -> Exit,
) -> Exit {
    let mut reached: Option<Asker> = None;
    let mut left = how.count.unwrap_or(if how.watch.is_some() { u64::MAX } else { 1 });
    let mut screen = Screen::of(how);
    loop {
        let next = Instant::now() + how.watch.unwrap_or(Duration::ZERO);
        // Brokers close connections that are idle for long: no failure of this look.
        reached = reached.filter(|asker| !asker.is_closed());
        let told = async {
            let asker = match &mut reached {
                Some(asker) => asker,
                None => reached.insert(Asker::reach(Arc::clone(&config)).await?),
            };
            ask(asker).await
        };
        let told = told.await;
        let last = match &told {
            Ok(told) => exit(told),
            Err(failure) => failure.exit(),
        };
        let shown = match &told {
            Ok(told) => screen.show(told, &text),
            Err(failure) => screen.failed(failure),
        };
        // The next time begins with a fresh connection, from the bootstrap servers on.
        if told.is_err() {
            reached = None;
        }
        left -= 1;
        if left == 0 || shown.is_err() {
            return last;
        }
        sleep_until(next).await;
    }
}

/// How answers are shown.
enum Screen {
    /// A table, once.
    Table,
    /// A line of JSON for each.
    Lines,
    /// A table that takes the place of the one before.
    InPlace { drawn: bool },
}

impl Screen {
    fn of(how: &HowArgs) -> Screen {
        match (how.output, how.watch) {
            (Output::Text, None) => Screen::Table,
            (Output::Text, Some(_)) if io::stdout().is_terminal() => Screen::InPlace { drawn: false },
            (Output::Text | Output::Json, _) => Screen::Lines,
        }
    }

    /// Fails when nobody reads any more.
    fn show<T: Serialize>(&mut self, told: &T, text: impl Fn(&T) -> String) -> io::Result<()> {
        match self {
            Screen::Table => write(&text(told)),
            Screen::Lines => write(&format!("{}\n", json!(told))),
            Screen::InPlace { drawn } => {
                let begin =
                    if std::mem::replace(drawn, true) { HOME.to_owned() } else { format!("{CLEAR}{HOME}") };
                write(&in_place(&begin, &text(told)))
            }
        }
    }

    fn failed(&mut self, failure: &Failure) -> io::Result<()> {
        match self {
            Screen::Table | Screen::Lines => {
                eprintln!("{failure}");
                Ok(())
            }
            Screen::InPlace { drawn } => {
                *drawn = true;
                write(&in_place(&format!("{CLEAR}{HOME}"), &format!("{failure}\n")))
            }
        }
    }
}

fn in_place(begin: &str, text: &str) -> String {
    format!("{begin}{}{REST}", text.replace('\n', LINE))
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_in_place_wipes_what_stood_there() {
        assert_eq!(in_place(HOME, "a\nb\n"), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
    }

    #[test]
    fn watched_json_and_watched_pipes_are_lines() {
        let how = |output, watch| HowArgs { output, watch, count: None };
        assert!(matches!(Screen::of(&how(Output::Json, Some(Duration::from_secs(1)))), Screen::Lines));
        assert!(matches!(Screen::of(&how(Output::Json, None)), Screen::Lines));
        assert!(matches!(Screen::of(&how(Output::Text, None)), Screen::Table));
    }
}
