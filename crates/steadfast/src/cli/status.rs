//! The status line: how a running service does, at the bottom of a terminal. Log lines go above it.

mod line;

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use crate::config::{Config, Sink};
use crate::service::Control;
use line::Pace;

/// How often the line is drawn.
const EVERY: Duration = Duration::from_millis(250);
/// Where the terminal does not say how wide it is.
const USUAL_WIDTH: u16 = 80;
/// To the line's begin, and away with what stands there.
const ERASE: &str = "\r\x1b[K";

/// Standard error with a line at its bottom. Cheap to clone.
#[derive(Clone)]
pub(super) struct Screen(Arc<Mutex<Bottom>>);

struct Bottom {
    out: Box<dyn Write + Send>,
    line: String,
    over: bool,
}

/// Whether a line can be kept at the bottom of standard error: it is a terminal that can erase, and records do not go
/// to the same one.
pub(super) fn is_possible(config: &Config) -> bool {
    let records = matches!(config.sink, Sink::Stdout) && io::stdout().is_terminal();
    let erases = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
    io::stderr().is_terminal() && erases && !records
}

impl Screen {
    pub(super) fn stderr() -> Screen {
        Screen::over(Box::new(io::stderr()))
    }

    fn over(out: Box<dyn Write + Send>) -> Screen {
        Screen(Arc::new(Mutex::new(Bottom { out, line: String::new(), over: false })))
    }

    /// Draws the line again and again, until the end, on a thread of its own.
    pub(super) fn show(&self, control: Control) {
        let screen = self.clone();
        let mut pace = Pace::default();
        let drawn = std::thread::Builder::new().name("status".to_owned()).spawn(move || {
            while screen.draw(pace.line(&control, width())) {
                std::thread::sleep(EVERY);
            }
        });
        if let Err(error) = drawn {
            tracing::warn!(%error, "no status line");
        }
    }

    /// Takes the line away, for good.
    pub(super) fn end(&self) {
        self.draw(String::new());
        self.bottom().over = true;
    }

    /// Puts another line in the place of the one that stands there; false after the end.
    fn draw(&self, line: String) -> bool {
        let mut bottom = self.bottom();
        if bottom.over {
            return false;
        }
        bottom.line = line;
        bottom.write(&[]);
        true
    }

    fn bottom(&self) -> MutexGuard<'_, Bottom> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bottom {
    /// Writes above the line, in one piece.
    fn write(&mut self, above: &[u8]) {
        let line = if above.is_empty() || above.ends_with(b"\n") { self.line.as_str() } else { "" };
        let all = [if self.over { "" } else { ERASE }.as_bytes(), above, line.as_bytes()].concat();
        // A terminal that is gone is no reason to fail.
        let _ = self.out.write_all(&all).and_then(|()| self.out.flush());
    }
}

/// Writes above the line.
pub(super) struct Above(Screen);

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.bottom().write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Screen {
    type Writer = Above;

    fn make_writer(&'a self) -> Above {
        Above(self.clone())
    }
}

fn width() -> usize {
    let width = crossterm::terminal::size().map_or(USUAL_WIDTH, |(columns, _)| columns);
    usize::from(if width == 0 { USUAL_WIDTH } else { width })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn log_lines_go_above_the_line_and_the_end_takes_it_away() {
        let paper = Paper::default();
        let screen = Screen::over(Box::new(paper.clone()));
        assert!(screen.draw("one".to_owned()));
        screen.make_writer().write_all(b"a log line\n").unwrap();
        assert!(screen.draw("two".to_owned()));
        screen.end();
        assert!(!screen.draw("three".to_owned()));
        screen.make_writer().write_all(b"the last\n").unwrap();
        let written = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        let expected = format!("{ERASE}one{ERASE}a log line\none{ERASE}two{ERASE}the last\n");
        assert_eq!(written, expected);
    }

    #[test]
    fn lines_of_many_threads_are_never_torn() {
        let paper = Paper::default();
        let screen = Screen::over(Box::new(paper.clone()));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let mut above = screen.make_writer();
                let screen = &screen;
                scope.spawn(move || {
                    for number in 0..200 {
                        above.write_all(format!("log {thread} {number}\n").as_bytes()).unwrap();
                        screen.draw(format!("status {thread}"));
                    }
                });
            }
        });
        let written = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        let whole = |row: &&str| {
            let words: Vec<&str> = row.trim_end().split(' ').collect();
            matches!(words.as_slice(), ["log", _, _] | ["status", _] | [""])
        };
        let rows: Vec<&str> =
            written.split(['\r', '\n']).map(|row| row.trim_start_matches("\x1b[K")).collect();
        assert_eq!(rows.iter().filter(|row| row.starts_with("log")).count(), 800);
        assert!(rows.iter().all(whole), "{rows:?}");
    }
}
